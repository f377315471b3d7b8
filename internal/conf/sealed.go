package conf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Sealed is a secret that this process need not read: of "file:/absolute/path" it
// keeps the path, so that the text can be read by the process that uses it. A text
// that stands in the configuration itself was read with it, and is a Secret.
type Sealed struct {
	path string
	text Secret
}

// NewSealed makes one of plain text.
func NewSealed(s string) Sealed { return Sealed{text: NewSecret(s)} }

// ParseSealed reads one as a configuration gives it. A file is opened, so that what
// is wrong with it is said at once, but not read.
func ParseSealed(s string) (Sealed, error) {
	path, isFile := strings.CutPrefix(s, "file:")
	if !isFile {
		text, err := ParseSecret(s)
		return Sealed{text: text}, err
	}
	if !filepath.IsAbs(path) {
		return Sealed{}, fmt.Errorf("read secret file %q: the path must be absolute, such as file:/etc/bartizan/token", path)
	}
	f, err := openSecret(path)
	if err != nil {
		return Sealed{}, err
	}
	return Sealed{path: path}, f.Close()
}

// IsSet says whether there is a secret.
func (s Sealed) IsSet() bool { return s.path != "" || s.text.IsSet() }

// Path of the file that has it; "" when it is a text of the configuration.
func (s Sealed) Path() string { return s.path }

// Open opens the file that has it, with its mode checked anew; nil without one. The
// caller closes it.
func (s Sealed) Open() (*os.File, error) {
	if s.path == "" {
		return nil, nil
	}
	return openSecret(s.path)
}

// Read reads it into this process.
func (s Sealed) Read() (Secret, error) {
	if s.path == "" {
		return s.text, nil
	}
	return readSecret(s.path)
}

// String is the place of a file, and hides a text.
func (s Sealed) String() string {
	if s.path != "" {
		return "file:" + s.path
	}
	return s.text.String()
}

// Format hides the text from every verb.
func (s Sealed) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText is String.
func (s Sealed) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSealed.
func (s *Sealed) UnmarshalText(b []byte) error {
	v, err := ParseSealed(string(b))
	if err == nil {
		*s = v
	}
	return err
}

// openSecret opens a secret's file and looks at what it is: regular, and of nobody
// else's concern.
func openSecret(path string) (*os.File, error) {
	// O_NONBLOCK: a FIFO must not hang the start; it is refused below.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read secret file: %w", err)
	}
	if err := checkSecret(f, path); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkSecret(f *os.File, path string) error {
	info, err := f.Stat() // of the open file, so that it cannot be swapped in between
	if err != nil {
		return fmt.Errorf("read secret file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("read secret file %s: not a regular file", path)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("read secret file %s: others can read it (mode %04o): run `chmod 600 %s`", path, perm, path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("read secret file %s: it belongs to user id %d: run `chown root %s`", path, st.Uid, path)
	}
	return nil
}
