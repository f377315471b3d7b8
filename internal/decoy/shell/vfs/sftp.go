package vfs

import (
	"io"
	"io/fs"
	"path"
	"time"
)

// info is the fs.FileInfo of a node.
type info struct {
	name string
	n    Node
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.n.Length() }
func (i info) ModTime() time.Time { return i.n.Mtime }
func (i info) IsDir() bool        { return i.n.IsDir() }

// Sys returns Owner.
func (i info) Sys() any { return Owner{UID: i.n.Uid, GID: i.n.Gid} }

func (i info) Mode() fs.FileMode {
	m := fs.FileMode(i.n.Mode & 0o777)
	switch i.n.Mode & ModeType {
	case ModeDir:
		m |= fs.ModeDir
	case ModeLink:
		m |= fs.ModeSymlink
	case ModeChr:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case ModeBlk:
		m |= fs.ModeDevice
	}
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if i.n.Mode&bit != 0 {
			m |= flag
		}
	}
	return m
}

// Owner is what Sys of a FileInfo from FS returns.
type Owner struct{ UID, GID int }

func (f *FS) stat(p string, follow bool) (fs.FileInfo, error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	n, canonical, err := f.Walk(p, follow)
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
	f.Mu.Lock()
	defer f.Mu.Unlock()
	n, _, err := f.Walk(p, false)
	if err == nil && !n.IsLink() {
		err = errInval
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: p, Err: err}
	}
	return n.Target, nil
}

// RealPath returns the canonical form of p, which need not exist.
func (f *FS) RealPath(p string) string {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if _, canonical, err := f.Walk(p, true); err == nil {
		return canonical
	}
	return path.Clean("/" + p)
}

// ReadDir lists a directory sorted by name.
func (f *FS) ReadDir(p string) ([]fs.FileInfo, error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	n, _, err := f.Walk(p, true)
	switch {
	case err != nil:
	case !n.IsDir():
		err = ErrNotDir
	case !f.Allowed(n, 4):
		err = ErrAccess
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: p, Err: err}
	}
	var out []fs.FileInfo
	for _, name := range f.Children(n) {
		out = append(out, info{name, *n.Kids[name]})
	}
	return out, nil
}

// File is an open file of an FS. It is safe for concurrent use.
type File struct {
	fs      *FS
	n       *Node
	path    string
	how     string
	write   bool
	append  bool
	written bool
	pos     int64
}

// Open opens p for reading.
func (f *FS) Open(p string) (*File, error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	n, canonical, err := f.Walk(p, true)
	switch {
	case err != nil:
	case n.IsDir():
		err = ErrIsDir
	case !f.Allowed(n, 4):
		err = ErrAccess
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
	f.Mu.Lock()
	defer f.Mu.Unlock()
	n, canonical, err := f.MakeFile(p, uint32(perm.Perm()), truncate, exclusive)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p, Err: err}
	}
	return &File{fs: f, n: n, path: canonical, how: how, write: true, append: appending}, nil
}

// ReadAt implements io.ReaderAt.
func (h *File) ReadAt(b []byte, off int64) (int, error) {
	h.fs.Mu.Lock()
	defer h.fs.Mu.Unlock()
	data := h.fs.Content(h.n)
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
	h.fs.Mu.Lock()
	defer h.fs.Mu.Unlock()
	if !h.write {
		return 0, ErrAccess
	}
	if off < 0 {
		return 0, errInval
	}
	if h.append {
		off = -1
	}
	h.written = true
	return h.fs.WriteAt(h.n, b, off)
}

// Write implements io.Writer.
func (h *File) Write(b []byte) (int, error) {
	n, err := h.WriteAt(b, h.pos)
	h.pos += int64(n)
	return n, err
}

// Stat describes the open file.
func (h *File) Stat() (fs.FileInfo, error) {
	h.fs.Mu.Lock()
	defer h.fs.Mu.Unlock()
	return info{path.Base(h.path), *h.n}, nil
}

// Truncate cuts or extends the file.
func (h *File) Truncate(size int64) error {
	h.fs.Mu.Lock()
	defer h.fs.Mu.Unlock()
	switch {
	case !h.write || size < 0:
		return errInval
	case !h.n.IsReg() || h.n.Owner != h.fs:
		return nil
	case size <= int64(len(h.n.Data)):
		h.fs.reclaim(h.n)
		h.n.Data = h.n.Data[:size]
		return nil
	}
	_, err := h.fs.WriteAt(h.n, make([]byte, min(size, h.fs.limits.FileBytes+1)-int64(len(h.n.Data))), -1)
	return err
}

// Close reports written content to the sink.
func (h *File) Close() error {
	h.fs.Mu.Lock()
	defer h.fs.Mu.Unlock()
	if h.write && h.written {
		h.written = false
		h.fs.TouchDirty(h.n, h.path, h.how, 0, false)
		h.fs.Flush(h.n)
	}
	return nil
}

func (f *FS) change(op, p string, do func() error) error {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if err := do(); err != nil {
		return &fs.PathError{Op: op, Path: p, Err: err}
	}
	return nil
}

// Mkdir makes one directory.
func (f *FS) Mkdir(p string, perm fs.FileMode) error {
	return f.change("mkdir", p, func() error {
		_, err := f.Add(p, &Node{Mode: ModeDir | uint32(perm.Perm())})
		return err
	})
}

// Symlink makes a symbolic link at p.
func (f *FS) Symlink(target, p string) error {
	return f.change("symlink", p, func() error {
		if len(target) > MaxPath {
			return ErrNameLen
		}
		_, err := f.Add(p, &Node{Mode: ModeLink | 0o777, Target: target})
		return err
	})
}

// Remove unlinks a file.
func (f *FS) Remove(p string) error {
	return f.change("remove", p, func() error { return f.Drop(p, false) })
}

// Rmdir removes an empty directory.
func (f *FS) Rmdir(p string) error {
	return f.change("rmdir", p, func() error { return f.Drop(p, true) })
}

// Rename moves a file or directory, replacing a file or an empty directory.
func (f *FS) Rename(from, to string) error {
	return f.change("rename", from, func() error { return f.Move(from, to) })
}

// Chmod sets the permission bits.
func (f *FS) Chmod(p string, perm fs.FileMode) error {
	return f.change("chmod", p, func() error { return f.SetMode(p, uint32(perm.Perm())) })
}

// Chtimes sets the modification time.
func (f *FS) Chtimes(p string, mtime time.Time) error {
	return f.change("chtimes", p, func() error {
		return f.Alter(p, func(n *Node) { n.Mtime = mtime })
	})
}

func (f *FS) SetMode(p string, mode uint32) error {
	err := f.Alter(p, func(n *Node) { n.Mode = n.Mode&ModeType | mode&0o7777 })
	if n, _, werr := f.Walk(p, true); err == nil && werr == nil && mode&0o111 != 0 {
		f.Flush(n) // made executable: this is the finished payload
	}
	return err
}

// Alter changes the metadata of a file the session's user owns.
func (f *FS) Alter(p string, change func(*Node)) error {
	n, canonical, err := f.Walk(p, true)
	switch {
	case err != nil:
		return err
	case f.Uid != 0 && n.Uid != f.Uid, n.Immut:
		return ErrPerm
	case ReadOnly(canonical):
		return ErrPerm
	}
	change(f.Own(canonical))
	return nil
}
