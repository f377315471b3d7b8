package shell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"bartizan/internal/decoy/shell/interp"
)

// session types keys into an interactive shell and returns the screen.
func session(t *testing.T, s *interp.Shell, keys string, pty bool) string {
	t.Helper()
	var out bytes.Buffer
	if err := s.Interactive(context.Background(), rw{strings.NewReader(keys), &out}, pty); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestInteractiveEcho(t *testing.T) {
	s, _ := testShell(t, interp.Limits{})
	got := session(t, s, "echo hi\rexit\r", true)
	prompt := "root@" + s.P.Hostname + ":~# "
	want := prompt + "echo hi\r\nhi\r\n" + prompt + "exit\r\nlogout\r\n"
	if !strings.HasSuffix(got, want) {
		t.Errorf("screen\n%q\ndoes not end with\n%q", got, want)
	}
	if !strings.Contains(got, s.P.Kernel.Release) {
		t.Error("no greeting")
	}
	if strings.Contains(strings.ReplaceAll(got, "\r\n", ""), "\n") {
		t.Error("a bare line feed reached the terminal")
	}
}

func TestInteractiveKeys(t *testing.T) {
	for _, c := range []struct{ name, keys, want string }{
		{"backspace", "echo abx\x7fc\r", "abc"},
		{"backspace over utf-8", "echo aü\x7fb\r", "ab"},
		{"ctrl-u", "garbage\x15echo ok\r", "ok"},
		{"ctrl-w", "echo one two\x17three\r", "one three"},
		{"ctrl-c", "echo no\x03echo yes\r", "yes"},
		{"cursor left and insert", "echo ac\x1b[Db\r", "abc"},
		{"home and end", "cho x\x01e\x05y\r", "xy"},
		{"kill to end", "echo ab cd\x1b[D\x1b[D\x0b\r", "ab"},
		{"delete", "echo axb\x1b[D\x1b[D\x1b[3~\r", "ab"},
		{"history up", "echo first\r\x1b[A\r", "first\nfirst"},
		{"history up up down", "echo 1\recho 2\r\x1b[A\x1b[A\x1b[B\r", "1\n2\n2"},
		{"line feed ends a line", "echo lf\n", "lf"},
		{"cr lf ends one line", "echo crlf\r\n", "crlf"},
		{"cr nul ends one line", "echo crnul\r\x00", "crnul"},
		{"completion of a path", "cat /etc/hostn\t\r", "{HOST}"},
		{"completion of a command", "whoa\t\r", "root"},
		{"quote over lines", "echo 'a\rb'\r", "a\nb"},
		{"backslash continues", "echo a\\\rb\r", "ab"},
		{"here-document", "cat <<E\rx\ry\rE\r", "x\ny"},
		{"loop over lines", "for i in 1 2; do\recho $i\rdone\r", "1\n2"},
		{"cat reads the terminal", "cat\rhello\r\x04", "hello"},
		{"cat to a file", "cat > /tmp/f\rline\r\x04cat /tmp/f\r", "line"},
		{"read", "read x\rvalue\recho got $x\r", "got value"},
		{"interrupt a reader", "cat\r\x03echo after\r", "after"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := testShell(t, interp.Limits{})
			got := session(t, s, c.keys, true)
			for _, want := range strings.Split(strings.ReplaceAll(c.want, "{HOST}", s.P.Hostname), "\n") {
				if !strings.Contains(got, "\r\n"+want+"\r\n") {
					t.Errorf("%q shows %q, want the line %q", c.keys, got, want)
				}
			}
		})
	}
}

func TestPasswordIsNotEchoed(t *testing.T) {
	s, rec := testShell(t, interp.Limits{})
	got := session(t, s, "passwd\rSecret99\rSecret99\r", true)
	if strings.Contains(got, "Secret99") {
		t.Error("the password was echoed")
	}
	if !strings.Contains(got, "password updated successfully") || !strings.Contains(rec.all(), "Secret99") {
		t.Errorf("screen %q, sink %q", got, rec.all())
	}
}

func TestWithoutTerminal(t *testing.T) {
	s, rec := testShell(t, interp.Limits{})
	got := session(t, s, "echo one\ncat > /tmp/f <<E\ntext\nE\ncat /tmp/f\nread v\nnext line\necho $v\nexit 3\necho not reached\n", false)
	if got != "one\ntext\nnext line\n" {
		t.Errorf("output %q", got)
	}
	if !strings.Contains(rec.all(), "redirect /tmp/f 5") {
		t.Errorf("sink %q", rec.all())
	}
}

func TestEndOfInput(t *testing.T) {
	s, _ := testShell(t, interp.Limits{})
	if got := session(t, s, "\x04", true); !strings.HasSuffix(got, "# logout\r\n") {
		t.Errorf("screen %q", got)
	}
	broken := errors.New("connection reset")
	s, _ = testShell(t, interp.Limits{})
	if err := s.Interactive(context.Background(), rw{io.MultiReader(strings.NewReader("ls\r"), failing{broken}), io.Discard}, true); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestPromptFollowsDirectoryAndUser(t *testing.T) {
	s, _ := testShell(t, interp.Limits{})
	host := s.P.Hostname
	for _, c := range [][2]string{{":", "root@" + host + ":~# "}, {"cd /var/log", "root@" + host + ":/var/log# "}, {"cd ~/.ssh", "root@" + host + ":~/.ssh# "}} {
		if run(s, c[0]); s.Prompt() != c[1] {
			t.Errorf("after %s the prompt is %q, want %q", c[0], s.Prompt(), c[1])
		}
	}
	name := s.P.Users[1].Name
	u := New(s.P, name, interp.Limits{}, nil, s.Clock)
	if want := name + "@" + host + ":~$ "; u.Prompt() != want {
		t.Errorf("prompt %q, want %q", u.Prompt(), want)
	}
	if out, code := run(u, "cat /etc/shadow; echo x > /etc/passwd; touch ~/ok && ls ok; id -u"); code != 0 || !strings.Contains(out, "cat: /etc/shadow: Permission denied") || !strings.Contains(out, "/etc/passwd: Permission denied") || !strings.Contains(out, "ok\n1000") {
		t.Errorf("an ordinary user sees %q", out)
	}
	v := New(s.P, "oracle;rm", interp.Limits{}, nil, s.Clock)
	if out, _ := run(v, "whoami; pwd; grep -c oracle /etc/passwd"); out != "oraclerm\n/home/oraclerm\n1\n" {
		t.Errorf("an unknown user sees %q", out)
	}
}
