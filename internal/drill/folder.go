package drill

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	folderPrefix = "bartizan-drill-"
	folderLock   = "drill.lock"
)

// folder is the throw-away folder of a drill. It is locked for as long as the
// drill lives, so that the next drill can tell what a killed one has left.
type folder struct {
	path string
	lock *os.File
}

// newFolder makes a folder under the system's temporary one, and removes those
// of drills that were killed.
func newFolder() (*folder, error) {
	sweep(os.TempDir())
	path, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	f := &folder{path: path}
	if f.lock, err = lockIn(path, os.O_CREATE); err != nil {
		return nil, errors.Join(fmt.Errorf("lock data folder: %w", err), os.RemoveAll(path))
	}
	return f, nil
}

// close removes the folder, and the lock last.
func (f *folder) close() error { return errors.Join(os.RemoveAll(f.path), f.lock.Close()) }

// lockIn takes the lock in a folder, or fails at once when somebody has it.
func lockIn(dir string, flag int) (*os.File, error) {
	l, err := os.OpenFile(filepath.Join(dir, folderLock), os.O_RDWR|unix.O_NOFOLLOW|flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(l.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// sweep removes the folders of drills that no longer live. Anybody may write to
// the temporary folder: only real folders of this user with a lock that nobody
// holds are touched. What cannot be removed is left for the next time.
func sweep(tmp string) {
	found, err := filepath.Glob(filepath.Join(tmp, folderPrefix+"*"))
	if err != nil {
		return // only for a malformed pattern
	}
	for _, dir := range found {
		st, err := os.Lstat(dir)
		if err != nil || !st.IsDir() {
			continue
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); !ok || int(sys.Uid) != os.Geteuid() {
			continue
		}
		l, err := lockIn(dir, 0)
		if err != nil {
			continue // it lives, or is none of ours
		}
		_ = errors.Join(os.RemoveAll(dir), l.Close())
	}
}
