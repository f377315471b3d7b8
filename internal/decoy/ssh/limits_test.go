package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"bartizan/internal/decoy"
	"bartizan/internal/observe"
)

func TestEnvironmentIsBounded(t *testing.T) {
	r := start(t, open())
	c := r.mustDial(t, "root", "x")
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	took := 0
	for i := range 200 {
		if s.Setenv("LC_X"+strings.Repeat("A", i%7)+string(rune('A'+i%26)), "v") == nil {
			took++
		}
	}
	if took != maxEnv {
		t.Errorf("%d variables taken, want %d", took, maxEnv)
	}
	if s.Setenv("LD_PRELOAD", "/x.so") == nil || s.Setenv("LC_BIG", strings.Repeat("x", 4096)) == nil {
		t.Error("a variable that sshd refuses is taken")
	}
}

// TestVisitorThatDoesNotRead holds the window shut while there is output; the
// decoy lets go when the visitor does.
func TestVisitorThatDoesNotRead(t *testing.T) {
	r := start(t, open())
	c := r.mustDial(t, "root", "x")
	ch, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go gossh.DiscardRequests(reqs)
	if _, err := ch.SendRequest("exec", true, gossh.Marshal(struct{ C string }{"seq 1 200000; seq 1 200000; seq 1 200000"})); err != nil {
		t.Fatal(err)
	}
	c.Close()
	r.sink.wait(t, "end", func(o *observe.Observation) bool { return o.Interaction != nil && o.Interaction.Ended })
}

func TestStopWhileBusy(t *testing.T) {
	r := start(t, open())
	c := r.mustDial(t, "root", "x")
	for _, line := range []string{"cat", "sleep 1000", "scp -t /tmp/x", "sh"} {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(line); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	r.stop(t)
	if d := time.Since(begin); d > 4*time.Second {
		t.Errorf("stopping takes %v", d)
	}
}

// unread is a service that only takes what comes.
type unread struct{ held chan int64 }

func (u unread) Serve(_ context.Context, s *decoy.Session) error {
	w, err := takeWire(s)
	if err != nil {
		return err
	}
	w.handed = true
	defer w.shut()
	_, _ = io.Copy(io.Discard, w) // ends when the visitor leaves
	u.held <- w.held
	return nil
}

// TestBulkIsCharged: what a visitor sends in bulk counts against the memory
// all visitors share, whether it waits unread or has become a file.
func TestBulkIsCharged(t *testing.T) {
	p, err := host()
	if err != nil {
		t.Fatal(err)
	}
	u := unread{make(chan int64, 1)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	run := decoy.NewRunner(nowhere{}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- run.Serve(ctx, &decoy.Instance{Name: "x", Service: "x", Impl: u, Persona: p, Limits: decoy.DefaultLimits()}, l)
	}()
	defer func() { cancel(); <-done }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Write(make([]byte, 2<<20))
	c.Close()
	if held := <-u.held; held < 2<<20-slack-holdStep || held > 2<<20 {
		t.Errorf("%d bytes charged for 2 MiB", held)
	}
}

func TestRekeying(t *testing.T) {
	r := start(t, open())
	c, err := gossh.Dial("tcp", r.addr, &gossh.ClientConfig{
		Config: gossh.Config{RekeyThreshold: 64 << 10}, User: "root", Auth: []gossh.AuthMethod{gossh.Password("x")}, HostKeyCallback: gossh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, 1<<20)
	rand.Read(payload)
	s.Stdin = bytes.NewReader(payload)
	if err := s.Run("cat > /tmp/big"); err != nil {
		t.Fatal(err)
	}
	o := r.sink.wait(t, "file", func(o *observe.Observation) bool { return o.File != nil && o.File.Path == "/tmp/big" })
	if !bytes.Equal(o.Evidence[0].Data, payload) {
		t.Error("content differs")
	}
}

func TestAcceptKeys(t *testing.T) {
	c := open()
	c.AcceptKeys = true
	r := start(t, c)
	signer := testKey(t)
	client, err := gossh.Dial("tcp", r.addr, &gossh.ClientConfig{User: "deploy", Auth: []gossh.AuthMethod{gossh.PublicKeys(signer)}, HostKeyCallback: gossh.InsecureIgnoreHostKey()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if out := run(t, client, "id -un"); !strings.Contains(out, "deploy") {
		t.Errorf("id says %q", out)
	}
	r.sink.wait(t, "key", func(o *observe.Observation) bool {
		return o.Auth != nil && o.Auth.Accepted && o.Auth.Method == "publickey" && o.Auth.Key == gossh.FingerprintSHA256(signer.PublicKey())
	})
}

func TestTooManyTriesEndTheConnection(t *testing.T) {
	c := open()
	c.Login.Never = true
	r := start(t, c)
	asked := 0
	_, err := gossh.Dial("tcp", r.addr, &gossh.ClientConfig{User: "root", HostKeyCallback: gossh.InsecureIgnoreHostKey(), Auth: []gossh.AuthMethod{
		gossh.RetryableAuthMethod(gossh.PasswordCallback(func() (string, error) { asked++; return "x", nil }), 20),
	}})
	if err == nil || asked != 6 {
		t.Errorf("%d passwords heard, want 6 (%v)", asked, err)
	}
}

func TestMistakesInConfig(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"max_auth_tries": func(c *Config) { c.MaxAuth = 0 }, "max_sessions": func(c *Config) { c.Channels = 0 },
		"login_grace_time": func(c *Config) { c.LoginGrace = 0 }, "version": func(c *Config) { c.Version = "OpenSSH" }, "weak pair": func(c *Config) { c.Login.Weak = []string{"x"} },
	} {
		c := Default()
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if _, err := New(Default()); err != nil {
		t.Error(err)
	}
}

func TestOpenSSHVersions(t *testing.T) {
	for v, want := range map[string][2]int{"SSH-2.0-OpenSSH_9.2p1 Debian-2": {9, 2}, "SSH-2.0-OpenSSH_8.4p1": {8, 4}, "SSH-2.0-dropbear_2022.83": {0, 0}, "SSH-2.0-OpenSSH_10.0": {10, 0}} {
		if a, b := openSSHVersion(v); a != want[0] || b != want[1] {
			t.Errorf("%s is %d.%d", v, a, b)
		}
	}
	if a := algorithmsOf("SSH-2.0-OpenSSH_8.4p1"); len(a.rsa) != 3 {
		t.Error("8.4 without ssh-rsa")
	}
	if a := algorithmsOf("SSH-2.0-OpenSSH_9.9p1"); a.kex[0] != gossh.KeyExchangeMLKEM768X25519 {
		t.Error("9.9 without ML-KEM")
	}
}

// BenchmarkLogin is a whole brute force step: connection, key exchange, one
// refused and one accepted password. The client's half runs in this process
// too; it does about the same work.
func BenchmarkLogin(b *testing.B) {
	c := open()
	c.FailDelay = 0
	r := start(b, c)
	before := cpu()
	for b.Loop() {
		client, err := r.dial("root", "x")
		if err != nil {
			b.Fatal(err)
		}
		client.Close()
	}
	b.ReportMetric(float64(b.N)/(cpu()-before).Seconds(), "logins/cpu-s")
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 1
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var errNoKey = errors.New("no key")

func testKey(t testing.TB) gossh.Signer {
	t.Helper()
	p, err := host()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range p.HostKeys() {
		if s, err := gossh.NewSignerFromSigner(k); err == nil {
			return s
		}
	}
	t.Fatal(errNoKey)
	return nil
}
