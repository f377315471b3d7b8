package conf

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"bartizan/internal/safe"
)

// hidden is how a secret looks to everybody but Reveal.
const hidden = "<secret>"

// maxSecret bounds a secret file, in bytes.
const maxSecret = 64 << 10

// Secret is text that must not be printed. Every ordinary way of printing
// gives "<secret>" (or "" when it is not set). It holds a pointer because fmt
// does not ask the methods of unexported fields: even then only an address
// shows.
type Secret struct{ p *string }

// NewSecret makes a secret of plain text.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// ParseSecret reads a secret as a configuration gives it: the text itself, or
// "file:/absolute/path" of a regular file that only its owner can read (this
// process's user or root). A trailing line break in the file is dropped.
func ParseSecret(s string) (Secret, error) {
	if s == hidden {
		return Secret{}, errors.New("the placeholder " + hidden + " is not a secret: put the real one there, or file:/path")
	}
	path, isFile := strings.CutPrefix(s, "file:")
	if !isFile {
		return NewSecret(s), nil
	}
	if !filepath.IsAbs(path) {
		return Secret{}, fmt.Errorf("read secret file %q: the path must be absolute, such as file:/etc/bartizan/token", path)
	}
	return readSecret(path)
}

func readSecret(path string) (Secret, error) {
	f, err := openSecret(path)
	if err != nil {
		return Secret{}, err
	}
	defer f.Close()
	return readOpenSecret(f, path)
}

// ReadSecret reads a secret from an open file that was checked by whoever opened it.
// A trailing line break is dropped.
func ReadSecret(f *os.File) (Secret, error) { return readOpenSecret(f, f.Name()) }

func readOpenSecret(f *os.File, path string) (Secret, error) {
	data, err := safe.ReadAll(f, maxSecret, "secret file "+path)
	if err != nil {
		return Secret{}, err
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return Secret{}, fmt.Errorf("read secret file %s: the file is empty", path)
	}
	return NewSecret(text), nil
}

// Reveal returns the text. Call it where the secret is used, keep no copy.
func (s Secret) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

// IsSet says whether there is a secret.
func (s Secret) IsSet() bool { return s.p != nil }

// String hides the text.
func (s Secret) String() string {
	if s.p == nil {
		return ""
	}
	return hidden
}

// GoString hides the text from %#v.
func (s Secret) GoString() string { return s.String() }

// Format hides the text from every other verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText hides the text from encoders (XML, map keys, TOML).
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON hides the text from both JSON packages.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalYAML hides the text from YAML encoders.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue hides the text from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
