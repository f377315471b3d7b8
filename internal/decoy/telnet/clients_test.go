package telnet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/observe"
)

func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed: make test installs it", program)
	}
}

// output runs a program and returns everything it prints.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = t.TempDir()
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out)
}

// screen collects what a program prints while it runs.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
	new chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.new <- struct{}{}:
	default:
	}
	return s.buf.Write(p)
}

func (s *screen) until(t *testing.T, text string) {
	t.Helper()
	end := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		all := s.buf.String()
		if i := strings.Index(all, text); i >= 0 {
			s.buf.Next(i + len(text))
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		select {
		case <-s.new:
		case <-end:
			t.Fatalf("%q does not show in %q", text, all)
		}
	}
}

// TestTelnetProgram drives inetutils-telnet.
func TestTelnetProgram(t *testing.T) {
	need(t, "telnet")
	t.Parallel()
	r := start(t, open())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "telnet", "127.0.0.1", r.port)
	cmd.Env = append(os.Environ(), "TERM=vt220")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{new: make(chan struct{}, 1)}
	cmd.Stdout, cmd.Stderr = s, s
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.until(t, r.inst.Persona.Hostname+" login: ")
	io.WriteString(in, "root\n")
	s.until(t, "Password: ")
	io.WriteString(in, "secret\n")
	s.until(t, "# ")
	io.WriteString(in, "echo x$((20+22))y $TERM\n")
	s.until(t, "x42y vt220")
	io.WriteString(in, "exit\n")
	s.until(t, "Connection closed by foreign host.")
	in.Close()
	_ = cmd.Wait() // telnet's status says nothing
	r.sink.wait(t, "login", func(o *observe.Observation) bool {
		return o.Auth != nil && o.Auth.Accepted && o.Auth.User == "root" && o.Auth.Password == "secret"
	})
	r.sink.wait(t, "client", func(o *observe.Observation) bool {
		return o.Interaction != nil && o.Interaction.Ended && o.Interaction.Client == "telnet vt220" && o.Interaction.Protocol == "telnet"
	})
}

// words is long because hydra loses every other password to telnet's echo.
func words(t *testing.T) string {
	t.Helper()
	var list strings.Builder
	for i := range 60 {
		fmt.Fprintf(&list, "guess%dX\n", i)
	}
	p := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(p, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func (r *rig) brute(t *testing.T, least int) {
	t.Helper()
	r.sink.wait(t, "login", func(o *observe.Observation) bool { return o.Auth != nil && o.Auth.Accepted && o.Auth.User == "root" })
	if n := r.sink.count(func(o *observe.Observation) bool { return o.Auth != nil && !o.Auth.Accepted }); n < least {
		t.Errorf("%d failures reported before the login, want at least %d", n, least)
	}
}

func TestHydra(t *testing.T) {
	need(t, "hydra")
	t.Parallel()
	c := Default()
	c.FailDelay = time.Millisecond
	r := start(t, c)
	out := output(t, "hydra", "-I", "-t", "4", "-l", "root", "-P", words(t), "-s", r.port, "127.0.0.1", "telnet")
	if !strings.Contains(out, "login: root") || !strings.Contains(out, "1 valid password found") {
		t.Errorf("hydra says %s", out)
	}
	r.brute(t, 10)
}

func TestMedusa(t *testing.T) {
	need(t, "medusa")
	t.Parallel()
	c := Default()
	c.FailDelay = time.Millisecond
	c.Login.AnyAfter, c.Login.AnySpread = 3, 0 // medusa takes five seconds for each
	r := start(t, c)
	out := output(t, "medusa", "-h", "127.0.0.1", "-u", "root", "-P", words(t), "-n", r.port, "-M", "telnet", "-f", "-t", "4")
	if !strings.Contains(out, "ACCOUNT FOUND") || !strings.Contains(out, "[SUCCESS]") {
		t.Errorf("medusa says %s", out)
	}
	r.brute(t, 3)
}

func TestNmap(t *testing.T) {
	need(t, "nmap")
	t.Parallel()
	r := start(t, Default())
	out := output(t, "nmap", "-n", "-Pn", "-sV", "-p", r.port, "127.0.0.1")
	if !strings.Contains(out, "Linux telnetd") {
		t.Errorf("nmap says %s", out)
	}
}
