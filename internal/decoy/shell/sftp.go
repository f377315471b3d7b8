package shell

import (
	"io"
	"io/fs"
	"path"
	"time"
)

// info is the fs.FileInfo of a node.
type info struct {
	name string
	n    node
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.n.length() }
func (i info) ModTime() time.Time { return i.n.mtime }
func (i info) IsDir() bool        { return i.n.isDir() }

// Sys returns Owner.
func (i info) Sys() any { return Owner{UID: i.n.uid, GID: i.n.gid} }

func (i info) Mode() fs.FileMode {
	m := fs.FileMode(i.n.mode & 0o777)
	switch i.n.mode & modeType {
	case modeDir:
		m |= fs.ModeDir
	case modeLink:
		m |= fs.ModeSymlink
	case modeChr:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case modeBlk:
		m |= fs.ModeDevice
	}
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if i.n.mode&bit != 0 {
			m |= flag
		}
	}
	return m
}

// Owner is what Sys of a FileInfo from FS returns.
type Owner struct{ UID, GID int }

func (f *FS) stat(p string, follow bool) (fs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, canonical, err := f.walk(p, follow)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: p, Err: err}
	}
	return info{path.Base(canonical), *n}, nil
}

// Stat describes the file p leads to.
func (f *FS) Stat(p string) (fs.FileInfo, error) { return f.stat(p, true) }

// Lstat describes p without following a final symbolic link.
func (f *FS) Lstat(p string) (fs.FileInfo, error) { return f.stat(p, false) }

// Readlink returns the target of a symbolic link.
func (f *FS) Readlink(p string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, _, err := f.walk(p, false)
	if err == nil && !n.isLink() {
		err = errInval
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: p, Err: err}
	}
	return n.target, nil
}

// RealPath returns the canonical form of p, which need not exist.
func (f *FS) RealPath(p string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, canonical, err := f.walk(p, true); err == nil {
		return canonical
	}
	return path.Clean("/" + p)
}

// ReadDir lists a directory sorted by name.
func (f *FS) ReadDir(p string) ([]fs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, _, err := f.walk(p, true)
	switch {
	case err != nil:
	case !n.isDir():
		err = errNotDir
	case !f.allowed(n, 4):
		err = errAccess
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: p, Err: err}
	}
	var out []fs.FileInfo
	for _, name := range f.children(n) {
		out = append(out, info{name, *n.kids[name]})
	}
	return out, nil
}

// File is an open file of an FS. It is safe for concurrent use.
type File struct {
	fs      *FS
	n       *node
	path    string
	how     string
	write   bool
	append  bool
	written bool
	pos     int64
}

// Open opens p for reading.
func (f *FS) Open(p string) (*File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, canonical, err := f.walk(p, true)
	switch {
	case err != nil:
	case n.isDir():
		err = errIsDir
	case !f.allowed(n, 4):
		err = errAccess
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p, Err: err}
	}
	return &File{fs: f, n: n, path: canonical}, nil
}

// Create opens p for writing, made with perm if it is missing. truncate
// empties it, appending makes Write go to the end, exclusive fails when it
// exists. how names the way the content came ("sftp", "scp") for the sink.
func (f *FS) Create(p string, perm fs.FileMode, truncate, appending, exclusive bool, how string) (*File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, canonical, err := f.create(p, uint32(perm.Perm()), truncate, exclusive)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p, Err: err}
	}
	return &File{fs: f, n: n, path: canonical, how: how, write: true, append: appending}, nil
}

// ReadAt implements io.ReaderAt.
func (h *File) ReadAt(b []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	data := h.fs.content(h.n)
	h.fs.mu.Unlock()
	if off < 0 {
		return 0, errInval
	}
	if off >= int64(len(data)) {
		return 0, io.EOF
	}
	n := copy(b, data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Read implements io.Reader.
func (h *File) Read(b []byte) (int, error) {
	n, err := h.ReadAt(b, h.pos)
	h.pos += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// WriteAt implements io.WriterAt. Beyond the session's quota it fails with
// "No space left on device".
func (h *File) WriteAt(b []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if !h.write {
		return 0, errAccess
	}
	if off < 0 {
		return 0, errInval
	}
	if h.append {
		off = -1
	}
	h.written = true
	return h.fs.writeAt(h.n, b, off)
}

// Write implements io.Writer.
func (h *File) Write(b []byte) (int, error) {
	n, err := h.WriteAt(b, h.pos)
	h.pos += int64(n)
	return n, err
}

// Stat describes the open file.
func (h *File) Stat() (fs.FileInfo, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	return info{path.Base(h.path), *h.n}, nil
}

// Truncate cuts or extends the file.
func (h *File) Truncate(size int64) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	switch {
	case !h.write || size < 0:
		return errInval
	case !h.n.isReg() || h.n.owner != h.fs:
		return nil
	case size <= int64(len(h.n.data)):
		h.n.data = h.n.data[:size]
		return nil
	}
	_, err := h.fs.writeAt(h.n, make([]byte, min(size, h.fs.limits.FileBytes+1)-int64(len(h.n.data))), -1)
	return err
}

// Close reports written content to the sink.
func (h *File) Close() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.write && h.written {
		h.written = false
		h.fs.touchDirty(h.n, h.path, h.how, 0, false)
		h.fs.flush(h.n)
	}
	return nil
}

func (f *FS) change(op, p string, do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := do(); err != nil {
		return &fs.PathError{Op: op, Path: p, Err: err}
	}
	return nil
}

// Mkdir makes one directory.
func (f *FS) Mkdir(p string, perm fs.FileMode) error {
	return f.change("mkdir", p, func() error {
		_, err := f.add(p, &node{mode: modeDir | uint32(perm.Perm())})
		return err
	})
}

// Symlink makes a symbolic link at p.
func (f *FS) Symlink(target, p string) error {
	return f.change("symlink", p, func() error {
		if len(target) > maxPath {
			return errNameLen
		}
		_, err := f.add(p, &node{mode: modeLink | 0o777, target: target})
		return err
	})
}

// Remove unlinks a file.
func (f *FS) Remove(p string) error {
	return f.change("remove", p, func() error { return f.remove(p, false) })
}

// Rmdir removes an empty directory.
func (f *FS) Rmdir(p string) error {
	return f.change("rmdir", p, func() error { return f.remove(p, true) })
}

// Rename moves a file or directory, replacing a file or an empty directory.
func (f *FS) Rename(from, to string) error {
	return f.change("rename", from, func() error { return f.rename(from, to) })
}

// Chmod sets the permission bits.
func (f *FS) Chmod(p string, perm fs.FileMode) error {
	return f.change("chmod", p, func() error { return f.setMode(p, uint32(perm.Perm())) })
}

// Chtimes sets the modification time.
func (f *FS) Chtimes(p string, mtime time.Time) error {
	return f.change("chtimes", p, func() error {
		return f.alter(p, func(n *node) { n.mtime = mtime })
	})
}

func (f *FS) setMode(p string, mode uint32) error {
	err := f.alter(p, func(n *node) { n.mode = n.mode&modeType | mode&0o7777 })
	if n, _, werr := f.walk(p, true); err == nil && werr == nil && mode&0o111 != 0 {
		f.flush(n) // made executable: this is the finished payload
	}
	return err
}

// alter changes the metadata of a file the session's user owns.
func (f *FS) alter(p string, change func(*node)) error {
	n, canonical, err := f.walk(p, true)
	switch {
	case err != nil:
		return err
	case f.uid != 0 && n.uid != f.uid, n.immut:
		return errPerm
	case readOnly(canonical):
		return errPerm
	}
	change(f.own(canonical))
	return nil
}
