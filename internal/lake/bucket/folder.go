package bucket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// folder is a store in a folder, for instance one that is mounted from another machine.
type folder struct{ base, dir string }

// NewFolder makes a store below a prefix in a folder. The folder itself is never made: when it is missing its store is away.
func NewFolder(base, prefix string) Store {
	return folder{base, filepath.Join(base, filepath.FromSlash(prefix))}
}

// here says whether the store is there.
func (f folder) here() error {
	if st, err := os.Stat(f.base); err != nil || !st.IsDir() {
		return fmt.Errorf("%s is no folder that can be used (is it mounted?)", f.base)
	}
	return nil
}

func (f folder) String() string { return f.dir }

// path is where a key lies. Keys come from listings and from our own names.
func (f folder) path(key string) (string, error) {
	if err := f.here(); err != nil {
		return "", err
	}
	if !filepath.IsLocal(filepath.FromSlash(key)) {
		return "", fmt.Errorf("the key %.200q is outside the folder", key)
	}
	return filepath.Join(f.dir, filepath.FromSlash(key)), nil
}

const pageKeys = 1000

func (f folder) List(ctx context.Context, prefix string, each func([]Object) error) error {
	start := f.dir
	if err := f.here(); err != nil {
		return err
	}
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		var err error
		if start, err = f.path(prefix[:i]); err != nil {
			return err
		}
	}
	var page []Object
	err := filepath.WalkDir(start, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return gone(err)
		}
		rel, err := filepath.Rel(f.dir, path)
		key := filepath.ToSlash(rel)
		if err != nil || e.IsDir() || !strings.HasPrefix(key, prefix) || strings.HasPrefix(e.Name(), tempPrefix) {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return gone(err)
		}
		if page = append(page, Object{key, info.Size(), info.ModTime()}); len(page) == pageKeys {
			err = each(page)
			page = nil
		}
		return errors.Join(err, ctx.Err())
	})
	if err == nil && len(page) > 0 {
		err = each(page)
	}
	return err
}

func (f folder) Read(_ context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	path, err := f.path(key)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", key, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	st, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if length < 0 || length > st.Size()-offset {
		length = max(0, st.Size()-offset)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(file, offset, length), file}, nil
}

const tempPrefix = ".put-"

func (f folder) Write(ctx context.Context, key string, body io.ReadSeeker, size int64, sum [sha256.Size]byte) (err error) {
	path, err := f.path(key)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.OpenFile(filepath.Join(dir, tempPrefix+model.NewULID(time.Now()).String()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gone(os.Remove(temp.Name()))) }()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(temp, h), io.LimitReader(body, size+1))
	if err = errors.Join(err, temp.Sync(), temp.Close(), ctx.Err()); err != nil {
		return err
	}
	if n != size || !bytes.Equal(h.Sum(nil), sum[:]) {
		return fmt.Errorf("write %s: %d bytes arrived that are not those announced", key, n)
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func (f folder) Create(_ context.Context, key string, data []byte) error {
	path, err := f.path(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// The name appears with its content: a link to a whole file, which fails when there is one.
	temp := filepath.Join(filepath.Dir(path), tempPrefix+model.NewULID(time.Now()).String())
	if err := safe.AtomicWrite(temp, data, 0o600); err != nil {
		return err
	}
	err = os.Link(temp, path)
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%s: %w", key, ErrExists)
	}
	return errors.Join(err, os.Remove(temp))
}

func (f folder) Remove(_ context.Context, key string) error {
	path, err := f.path(key)
	if err != nil {
		return err
	}
	if err := gone(os.Remove(path)); err != nil {
		return err
	}
	for dir := filepath.Dir(path); len(dir) > len(f.dir) && os.Remove(dir) == nil; dir = filepath.Dir(dir) {
	}
	return nil
}

func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
