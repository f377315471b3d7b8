package lake

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// space is the size of a file system and what is free of it.
func space(dir string) (size, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("ask for free space in %s: %w", dir, err)
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize, nil
}

// room refuses when the disk is about to be full.
func (l *Lake) room() error {
	_, free, err := space(l.dir)
	if err != nil {
		return err
	}
	if free < l.opt.MinFree {
		return fmt.Errorf("%w: %d MB free in %s, %d MB stay free; make room, or lower lake.bytes", ErrNoSpace, free>>20, l.dir, l.opt.MinFree>>20)
	}
	return nil
}

// commit writes one file under its final name. The caller holds disk.
func (l *Lake) commit(s sealed) error {
	if err := l.stage(s); err != nil {
		return err
	}
	dir := filepath.Join(l.dir, filepath.FromSlash(s.part.Dir()))
	if err := os.Rename(filepath.Join(dir, tempName(s.name)), filepath.Join(dir, s.name)); err != nil {
		return fmt.Errorf("commit file: %w", err)
	}
	return syncDir(dir)
}

// stage writes one file, durably, under its temporary name.
func (l *Lake) stage(s sealed) error {
	dir, err := l.folder(s.part)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, tempName(s.name)), s.data); err != nil {
		return err
	}
	l.touched[s.part] = true
	return syncDir(dir)
}

// writeFile makes a new file and flushes it; when that fails there is none.
func writeFile(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write file: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// folder makes a partition's folder, durably. Retention may have removed it meanwhile.
func (l *Lake) folder(p Partition) (string, error) {
	rel := filepath.FromSlash(p.Dir())
	dir := filepath.Join(l.dir, rel)
	if _, err := os.Stat(dir); err == nil && l.known[rel] {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	for up := filepath.Dir(rel); ; up = filepath.Dir(up) {
		if err := syncDir(filepath.Join(l.dir, up)); err != nil {
			return "", err
		}
		if up == "." {
			break
		}
	}
	if len(l.known) > 4096 {
		clear(l.known)
	}
	l.known[rel] = true
	return dir, nil
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("flush folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("flush folder %s: %w", dir, err)
	}
	return nil
}

func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
