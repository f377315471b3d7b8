package keys

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Marks stand for names of people that are not written down: the same name has the same mark
// as long as the key in the folder is the same, and without the key nobody can try names out.
type Marks struct{ key []byte }

// usersKey is 32 random bytes.
const usersKey = "users.key"

// OpenMarks reads the key of a gateway's folder, or makes one.
func OpenMarks(dir string) (Marks, error) {
	path := filepath.Join(dir, usersKey)
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		err = create(dir, path, key)
		if errors.Is(err, fs.ErrExist) { // somebody else was first
			key, err = os.ReadFile(path)
		}
	}
	switch {
	case err != nil:
		return Marks{}, fmt.Errorf("key for the names of users: %w", err)
	case len(key) != 32:
		return Marks{}, fmt.Errorf("key for the names of users: %s is %d bytes long, want 32: remove it, and users have new marks", path, len(key))
	}
	return Marks{key}, nil
}

// create writes a file that is whole as soon as it has its name.
func create(dir, path string, text []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, usersKey+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}

// Of is the mark of a name.
func (m Marks) Of(name string) string {
	h := hmac.New(sha256.New, m.key)
	h.Write([]byte(name))
	return "masked-" + hex.EncodeToString(h.Sum(nil)[:8])
}
