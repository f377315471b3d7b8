package shell

import (
	"context"
	"errors"
	"fmt"
	goparser "go/parser"
	"go/token"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/decoy/shell/interp"
)

func TestFSForSFTP(t *testing.T) {
	s, rec := testShell(t, interp.Limits{FSBytes: 10_000, FileBytes: 8_000, Files: 5})
	f := s.FS()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(f.Mkdir("/tmp/up", 0o755))
	h, err := f.Create("/tmp/up/a.bin", 0o644, true, false, false, "sftp")
	must(err)
	if _, err := h.WriteAt([]byte("world"), 6); err != nil { // out of order, as clients do
		t.Fatal(err)
	}
	if _, err := h.WriteAt([]byte("hello "), 0); err != nil {
		t.Fatal(err)
	}
	must(h.Close())
	must(h.Close())
	if got := strings.Count(rec.all(), "sftp /tmp/up/a.bin 11"); got != 1 {
		t.Errorf("reported %d times: %s", got, rec.all())
	}
	if out, _ := run(s, "cat /tmp/up/a.bin"); out != "hello world" {
		t.Errorf("the shell reads %q", out)
	}
	st, err := f.Stat("/tmp/up/a.bin")
	must(err)
	if st.Size() != 11 || st.Mode().Perm() != 0o644 || st.Name() != "a.bin" {
		t.Errorf("stat: %d %s %s", st.Size(), st.Mode(), st.Name())
	}
	must(f.Chmod("/tmp/up/a.bin", 0o755))
	must(f.Rename("/tmp/up/a.bin", "/tmp/up/b.bin"))
	must(f.Symlink("b.bin", "/tmp/up/l"))
	list, err := f.ReadDir("/tmp/up")
	must(err)
	if len(list) != 2 || list[0].Name() != "b.bin" || list[1].Mode()&fs.ModeSymlink == 0 {
		t.Errorf("list %v", list)
	}
	h, err = f.Open("/tmp/up/l")
	must(err)
	if b, err := io.ReadAll(h); err != nil || string(b) != "hello world" {
		t.Errorf("read %q %v", b, err)
	}
	if _, err := h.Write([]byte("x")); err == nil {
		t.Error("wrote to a file opened for reading")
	}
	for _, c := range []struct {
		err  error
		want error
	}{
		{second(f.Open("/nope")), fs.ErrNotExist},
		{f.Mkdir("/tmp/up", 0o755), fs.ErrExist},
		{f.Rmdir("/tmp/up"), fs.ErrExist},
		{second(f.Create("/tmp/up/b.bin", 0o644, true, false, true, "sftp")), fs.ErrExist},
		{f.Remove("/proc/version"), fs.ErrPermission},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("error %v is not %v", c.err, c.want)
		}
	}
	h, err = f.Create("/tmp/big", 0o644, true, false, false, "sftp")
	must(err)
	if _, err := h.Write(make([]byte, 9_000)); err == nil {
		t.Error("a file beyond FileBytes was accepted")
	}
	var last error
	for i := range 20 {
		if last = f.Mkdir(fmt.Sprintf("/tmp/d%d", i), 0o755); last != nil {
			break
		}
	}
	if last == nil {
		t.Error("more than Files directories")
	}
	must(f.Remove("/tmp/big"))
	must(f.Mkdir("/tmp/again", 0o755)) // removing gives the quota back
}

func second[T any](_ T, err error) error { return err }

func TestSessionsAreSeparate(t *testing.T) {
	p := testPersona(t)
	clock := func() time.Time { return noon }
	a, b := New(p, "root", interp.Limits{}, nil, clock), New(p, "root", interp.Limits{}, nil, clock)
	run(a, "echo a > /tmp/x; rm -rf /etc /usr/bin/ls; echo changed > /var/www/html/index.html; useradd evil")
	if out, code := run(b, "ls /tmp /etc/passwd; grep evil /etc/passwd; head -1 /var/www/html/index.html"); code != 0 || out != "/etc/passwd\n\n/tmp:\n<!DOCTYPE html>\n" {
		t.Errorf("the other session sees %q (%d)", out, code)
	}
	if a.Img != b.Img {
		t.Error("the image is not shared")
	}
}

func TestConcurrentChannels(t *testing.T) {
	s, _ := testShell(t, interp.Limits{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := range 50 {
				name := fmt.Sprintf("/tmp/c%d-%d", i, k)
				if h, err := s.FS().Create(name, 0o644, true, false, false, "sftp"); err == nil {
					h.Write([]byte(name))
					h.Close()
				}
				s.FS().ReadDir("/tmp")
			}
		})
	}
	for range 50 {
		run(s, "ls -la /tmp; cat /tmp/c0-0; cat /proc/loadavg; rm -f /tmp/c1-*")
	}
	wg.Wait()
}

func TestScp(t *testing.T) {
	s, rec := testShell(t, interp.Limits{})
	var out strings.Builder
	in := "C0755 5 drop.bin\nELF\x01\x02\x00D0755 0 sub\nC0644 2 b\nhi\x00E\n"
	code, _ := s.Run(context.Background(), "scp -r -t /tmp", strings.NewReader(in), &out, io.Discard)
	if code != 0 || strings.Trim(out.String(), "\x00") != "" {
		t.Errorf("code %d, answered %q", code, out.String())
	}
	if got, _ := run(s, "cat /tmp/sub/b; ls -l /tmp/drop.bin | cut -c1-10"); got != "hi-rwxr-xr-x\n" {
		t.Errorf("stored %q", got)
	}
	if !strings.Contains(rec.all(), "scp /tmp/drop.bin 5") {
		t.Errorf("sink %q", rec.all())
	}
	out.Reset()
	s.Run(context.Background(), "scp -f /etc/hostname", strings.NewReader("\x00\x00\x00"), &out, io.Discard)
	if want := fmt.Sprintf("C0644 %d hostname\n%s\n\x00", len(s.P.Hostname)+1, s.P.Hostname); out.String() != want {
		t.Errorf("sent %q, want %q", out.String(), want)
	}
}

// TestNothingReal: no part of the emulation may be able to touch the machine.
func TestNothingReal(t *testing.T) {
	const own = "bartizan/internal/decoy/shell/"
	files := 0
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return err
		}
		files++
		ast, err := goparser.ParseFile(token.NewFileSet(), p, nil, goparser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range ast.Imports {
			name, _ := strconv.Unquote(i.Path.Value) // the parser accepted it
			if name == "net/url" || name == "io/fs" || name == "bartizan/internal/decoy/persona" || strings.HasPrefix(name, own) {
				continue
			}
			if name == "os" || name == "net" || name == "syscall" || name == "unsafe" || name == "plugin" || name == "reflect" || strings.HasPrefix(name, "os/") || strings.HasPrefix(name, "net/") || strings.Contains(name, ".") || strings.HasPrefix(name, "bartizan/") {
				t.Errorf("%s imports %s", p, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 30 {
		t.Errorf("looked at %d files only", files)
	}
}

func TestCommandCount(t *testing.T) {
	s, _ := testShell(t, interp.Limits{})
	if n := len(s.Img.Commands) + len(s.Img.Builtins); n < 150 {
		t.Errorf("%d commands", n)
	}
	for name := range s.Img.Commands {
		for _, args := range []string{"", " --help", " -x", " /nonexistent", " -l /etc"} {
			run(s, name+args+" < /dev/null")
			s.Ended = false
		}
		if out, _ := run(s, "echo ok"); out != "ok\n" {
			t.Fatalf("after %s the shell says %q", name, out)
		}
	}
}
