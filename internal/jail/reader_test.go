package jail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// readerTold is what the test tells its reading child on standard input.
type readerTold struct {
	Mode   string
	Bounds Bounds
	Target target
	Inside string // folder the child may read
	Link   string // in it, a symbolic link to Target.Public
}

// mayLook are the attacks that only look whether something exists: Landlock does not cover them, and a reader needs the calls.
var mayLook = []string{"look for a file", "look for a file (statx)", "ask for access", "read a link"}

// reader is the child of these tests.
func reader() int {
	var told readerTold
	if err := json.NewDecoder(os.Stdin).Decode(&told); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := EnterReader(told.Bounds); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	switch told.Mode {
	case "eat":
		var kept [][]byte
		for {
			b := make([]byte, 16<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			kept = append(kept, b)
			if len(kept) > 1<<10 {
				return 0
			}
		}
	case "spin":
		for { //nolint:staticcheck // until the kernel ends it
		}
	}
	got := map[string]string{}
	for _, a := range attacks() {
		got[a.name] = errnoName(a.try(told.Target))
	}
	file := told.Inside + "/kept.parquet"
	for name, try := range map[string]func() error{
		"inside: read":            func() error { return open(file, unix.O_RDONLY) },
		"inside: list":            func() error { return open(told.Inside, unix.O_RDONLY|unix.O_DIRECTORY) },
		"inside: write":           func() error { return open(file, unix.O_WRONLY) },
		"inside: read and write":  func() error { return open(file, unix.O_RDWR) },
		"inside: cut":             func() error { return open(file, unix.O_RDONLY|unix.O_TRUNC) },
		"inside: truncate":        func() error { return unix.Truncate(file, 0) },
		"inside: create":          func() error { return open(told.Inside+"/new", unix.O_RDONLY|unix.O_CREAT) },
		"inside: unnamed file":    func() error { return open(told.Inside, unix.O_TMPFILE|unix.O_RDWR) },
		"inside: remove":          func() error { return unix.Unlink(file) },
		"inside: rename":          func() error { return unix.Rename(file, told.Inside+"/other") },
		"inside: hard link":       func() error { return unix.Link(file, told.Inside+"/other") },
		"inside: symbolic link":   func() error { return unix.Symlink("/etc/passwd", told.Inside+"/other") },
		"inside: mode":            func() error { return unix.Chmod(file, 0o777) },
		"inside: times":           func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, file, make([]unix.Timespec, 2), 0) },
		"inside: attribute":       func() error { return unix.Setxattr(file, "user.x", []byte("x"), 0) },
		"inside: link out":        func() error { return open(told.Link, unix.O_RDONLY) },
		"inside: dot dot":         func() error { return open(told.Inside+"/../public", unix.O_RDONLY) },
		"inside: make a folder":   func() error { return unix.Mkdir(told.Inside+"/d", 0o700) },
		"inside: map for writing": func() error { return mapForWriting(file) },
	} {
		got[name] = errnoName(try())
	}
	if err := json.NewEncoder(os.Stdout).Encode(got); err != nil {
		return 1
	}
	return 0
}

func mapForWriting(file string) error {
	fd, err := unix.Open(file, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Mmap(fd, 0, 4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return err
}

// readIn starts a reader, tells it, and returns what it wrote and how it ended.
func readIn(t *testing.T, told readerTold, owner string) (string, error) {
	t.Helper()
	r, err := StartReader(t.Context(), ReaderSpec{Args: []string{readerArg}, Owner: owner, Stderr: &logWriter{t: t}})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(r.In).Encode(told); err != nil {
		t.Error(err)
	}
	r.In.Close()
	out, err := io.ReadAll(r.Out)
	if err != nil {
		t.Error(err)
	}
	r.Out.Close()
	return string(out), r.Wait()
}

func lakeOf(t *testing.T) readerTold {
	t.Helper()
	to := aim(t)
	dir := filepath.Dir(to.Public) + "/lake"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/kept.parquet", []byte("PAR1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to.Public, dir+"/link"); err != nil {
		t.Fatal(err)
	}
	return readerTold{Bounds: Bounds{Read: []string{dir}, Address: 1 << 30, CPU: 60}, Target: to, Inside: dir, Link: dir + "/link"}
}

// TestReaderTakeOver lets an intruder loose in a reading child: it reads its folder, and nothing else works.
func TestReaderTakeOver(t *testing.T) {
	told := lakeOf(t)
	out, err := readIn(t, told, "")
	if err != nil {
		t.Fatal(err)
	}
	judgeReader(t, out)
	if b, err := os.ReadFile(told.Inside + "/kept.parquet"); err != nil || string(b) != "PAR1" {
		t.Errorf("the file is now %q, %v", b, err)
	}
}

func judgeReader(t *testing.T, out string) {
	t.Helper()
	var got map[string]string
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in %.200q", err, out)
	}
	if len(got) < leastAttacks+15 {
		t.Errorf("only %d attempts", len(got))
	}
	works := append([]string{"inside: read", "inside: list"}, mayLook...)
	for name, result := range got {
		want := false
		for _, w := range works {
			want = want || w == name
		}
		if (result == "SUCCESS") != want {
			t.Errorf("%s: %s, want success %v", name, result, want)
		}
	}
}

// TestReaderOwner: a lake of another user is read as that user.
func TestReaderOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	told := lakeOf(t)
	for _, p := range []string{told.Inside, told.Inside + "/kept.parquet"} {
		if err := os.Chown(p, 59790, 59790); err != nil {
			t.Fatal(err)
		}
	}
	out, err := readIn(t, told, told.Inside)
	if err != nil {
		t.Fatal(err)
	}
	judgeReader(t, out)
}

// TestReaderEnds: memory and processor time have an end, and the parent hears which.
func TestReaderEnds(t *testing.T) {
	told := lakeOf(t)
	told.Mode, told.Bounds.CPU = "spin", 1
	var end *EndError
	if _, err := readIn(t, told, ""); !errors.As(err, &end) || end.Signal != syscall.SIGKILL && end.Signal != syscall.SIGXCPU {
		t.Errorf("spin: %v", err)
	}
	if raceBuild {
		return // the race detector maps terabytes
	}
	told.Mode, told.Bounds.CPU, told.Bounds.Address = "eat", 60, 512<<20
	if _, err := readIn(t, told, ""); !errors.As(err, &end) {
		t.Errorf("eat: %v", err)
	}
}

// TestReaderRefusesToStart without what it shall read.
func TestReaderRefusesToStart(t *testing.T) {
	var end *EndError
	if _, err := readIn(t, readerTold{Bounds: Bounds{Read: []string{"/does/not/exist"}}}, ""); !errors.As(err, &end) || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("%v", err)
	}
}
