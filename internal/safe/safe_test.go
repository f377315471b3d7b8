package safe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"
)

func TestReadAllAtTheLimit(t *testing.T) {
	for _, wrap := range []func(io.Reader) io.Reader{
		func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader, iotest.HalfReader,
	} {
		for size := range 12 {
			in := bytes.Repeat([]byte("x"), size)
			got, err := ReadAll(wrap(bytes.NewReader(in)), 8, "thing")
			if size <= 8 {
				if err != nil || !bytes.Equal(got, in) {
					t.Errorf("size %d: %q, %v", size, got, err)
				}
				continue
			}
			tooLarge, ok := errors.AsType[*TooLargeError](err)
			if !ok || tooLarge.Max != 8 || tooLarge.What != "thing" || got != nil {
				t.Errorf("size %d: %q, %v", size, got, err)
			}
		}
	}
}

func TestCappedReaderStaysClosed(t *testing.T) {
	r := CappedReader(strings.NewReader("abcdef"), 3, "x")
	b, err := io.ReadAll(r)
	if string(b) != "abc" || err == nil {
		t.Fatalf("%q %v", b, err)
	}
	if n, again := r.Read(make([]byte, 4)); n != 0 || again != err {
		t.Errorf("a retry reads on: %d %v", n, again)
	}
}

func TestCappedReaderPassesErrors(t *testing.T) {
	boom := errors.New("boom")
	if _, err := ReadAll(iotest.ErrReader(boom), 8, "x"); !errors.Is(err, boom) {
		t.Error(err)
	}
	if _, err := ReadAll(stuck{}, 0, "x"); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestRecover(t *testing.T) {
	var seen any
	err := Recover("thing", func(v any, stack []byte) {
		seen = v
		if !bytes.Contains(stack, []byte("TestRecover")) {
			t.Errorf("stack does not lead to the panic: %s", stack)
		}
	}, func() error { panic("bad\nthing\x1b[2J") })
	p, ok := errors.AsType[*PanicError](err)
	if !ok || seen != "bad\nthing\x1b[2J" || p.Name != "thing" {
		t.Fatalf("%#v %v", err, seen)
	}
	if err.Error() != "thing panicked: bad thing [2J" {
		t.Errorf("%q", err)
	}
	if err := Recover("x", nil, func() error { panic(io.EOF) }); !errors.Is(err, io.EOF) {
		t.Errorf("an error panicked with stays visible: %v", err)
	}
	if err := Recover("x", nil, func() error { return io.EOF }); err != io.EOF {
		t.Error(err)
	}
	if err := Recover("x", nil, func() error { return make([]error, 0)[len(os.Args[:0])] }); err == nil {
		t.Error("runtime panic lost")
	}
}

func TestAtomicWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for i, mode := range []fs.FileMode{0o600, 0o644} {
		want := fmt.Sprint("content ", i)
		if err := AtomicWrite(path, []byte(want), mode); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, _ := os.Stat(path)
		if err != nil || string(got) != want || info.Mode().Perm() != mode {
			t.Errorf("%q %v %v", got, info.Mode(), err)
		}
	}
	if err := AtomicWrite(filepath.Join(dir, "none", "f"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	// A target that cannot be replaced: the old state and no litter stay.
	target := filepath.Join(dir, "dir")
	if err := os.MkdirAll(filepath.Join(target, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := AtomicWrite(target, []byte("x"), 0o600); err == nil {
		t.Error("wrote over a folder")
	}
	if err := AtomicWrite(dir+"/", nil, 0o600); err == nil {
		t.Error("wrote to a folder name")
	}
	names, _ := os.ReadDir(dir)
	if len(names) != 2 {
		t.Errorf("temporary files left: %v", names)
	}
}

func TestClean(t *testing.T) {
	for _, c := range []struct {
		in   string
		max  int
		want string
	}{
		{"plain", 10, "plain"},
		{"a\r\nb\x00\x1b[1mc\x7f", 20, "a  b  [1mc "},
		{"\xffx", 10, "\ufffdx"},
		{"\u202eevil\u2066", 10, "evil"},
		{"über", 1, ""},
		{"über", 2, "ü"},
		{"abc", 0, ""},
		{"abc", -1, ""},
		{"a\u2028b\u0085c", 10, "a b c"},
	} {
		if got := Clean(c.in, c.max); got != c.want {
			t.Errorf("Clean(%q, %d) = %q, want %q", c.in, c.max, got, c.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "a\x00b", "\xff\xfe", "\u202e", "😀", strings.Repeat("é", 50)} {
		f.Add(s, 10)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		got := Clean(s, limit)
		if !utf8.ValidString(got) || len(got) > max(limit, 0) {
			t.Fatalf("%q, %d -> %q", s, limit, got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Fatalf("%q keeps %U", got, r)
			}
		}
		if again := Clean(got, limit); again != got {
			t.Fatalf("not stable: %q -> %q", got, again)
		}
	})
}
