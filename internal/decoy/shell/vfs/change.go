package vfs

import (
	"path"
	"sort"
	"strings"
)

// MakeFile makes or truncates a regular file for writing and returns its node.
func (f *FS) MakeFile(p string, perm uint32, truncate, exclusive bool) (*Node, string, error) {
	n, canonical, err := f.Walk(p, true)
	if err == ErrNoEnt {
		// A dangling link or a missing file: only the latter is created.
		fresh := &Node{Mode: ModeReg | perm&0o7777}
		canonical, err = f.Add(p, fresh)
		if err == ErrExist {
			err = ErrNoEnt
		}
		return fresh, canonical, err
	}
	if err != nil {
		return nil, "", err
	}
	if exclusive {
		return nil, "", ErrExist
	}
	if n.IsDir() {
		return nil, "", ErrIsDir
	}
	if !f.Allowed(n, 2) {
		return nil, "", ErrAccess
	}
	if n.Immut {
		return nil, "", ErrPerm
	}
	if !n.IsReg() || ReadOnly(canonical) {
		return n, canonical, nil // a device or kernel file: writes vanish
	}
	n = f.Own(canonical)
	if truncate {
		f.Flush(n)
		f.release(n)
		n.Data, n.Size, n.Gen, n.Prog = nil, 0, nil, ""
	}
	n.Mtime = f.now()
	return n, canonical, nil
}

// release returns a file's bytes to the quota.
func (f *FS) release(n *Node) {
	if n.Owner == f && n.fresh {
		f.Bytes = max(0, f.Bytes-int64(cap(n.Data)))
		n.fresh = false
	}
}

// WriteAt stores b; off < 0 appends. It never keeps more than the limits
// allow and reports how much fitted.
func (f *FS) WriteAt(n *Node, b []byte, off int64) (int, error) {
	if !n.IsReg() || n.Owner != f {
		return len(b), nil
	}
	if off < 0 {
		off = int64(len(n.Data))
	}
	end := off + int64(len(b))
	n.Size = 0
	if end > f.limits.FileBytes {
		return 0, ErrTooBig
	}
	if err := f.reserve(n, end); err != nil {
		return 0, err
	}
	if off < int64(len(n.Data)) {
		f.reclaim(n)
	}
	if old := int64(len(n.Data)); end > old {
		n.Data = n.Data[:end]
		clear(n.Data[old:]) // a gap, or what a truncation left behind
	}
	copy(n.Data[off:], b)
	n.Mtime = f.now()
	return len(b), nil
}

// reclaim copies data that a reader still holds before it is overwritten.
func (f *FS) reclaim(n *Node) {
	if n.lent {
		n.Data, n.lent = append(make([]byte, 0, cap(n.Data)), n.Data...), false
	}
}

// reserve gives n an array of its own with room for size bytes, within the
// quota. Arrays double while there is room and grow exactly when there is not.
func (f *FS) reserve(n *Node, size int64) error {
	held := int64(0)
	if n.fresh {
		if held = int64(cap(n.Data)); size <= held {
			return nil
		}
	}
	size = max(size, int64(len(n.Data)))
	room := f.limits.FSBytes - f.Bytes + held
	if size > room {
		return ErrNoSpace
	}
	grown := make([]byte, len(n.Data), max(size, min(2*held, room, f.limits.FileBytes)))
	copy(grown, n.Data)
	f.Bytes += int64(cap(grown)) - held
	n.Data, n.fresh, n.lent = grown, true, false
	return nil
}

// Content returns the bytes a reader of n sees.
func (f *FS) Content(n *Node) []byte {
	if n.Gen != nil {
		return n.Gen(f.now())
	}
	return n.Data
}

// Slurp returns a file's bytes. They must not be modified; they stay what they
// were when the file is written later.
func (f *FS) Slurp(p string) ([]byte, error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	n, _, err := f.Walk(p, true)
	switch {
	case err != nil:
		return nil, err
	case n.IsDir():
		return nil, ErrIsDir
	case !f.Allowed(n, 4):
		return nil, ErrAccess
	}
	if n.Owner == f { // a node of the image is everybody's: not even this may be written
		n.lent = true
	}
	return f.Content(n), nil
}

// Drop unlinks a file or an empty directory.
func (f *FS) Drop(p string, wantDir bool) error {
	n, _, err := f.Walk(p, false)
	if err != nil {
		return err
	}
	if n.IsDir() != wantDir {
		if wantDir {
			return ErrNotDir
		}
		return ErrIsDir
	}
	if wantDir && len(n.Kids) > 0 {
		return errNotEmpty
	}
	return f.Unlink(p)
}

// Unlink drops p with everything below it.
func (f *FS) Unlink(p string) error {
	dir, canonical, name, err := f.ParentOf(p)
	if err != nil {
		return errInval
	}
	n, ok := dir.Kids[name]
	if !ok {
		return ErrNoEnt
	}
	full := path.Join(canonical, name)
	if ReadOnly(full) {
		return ErrPerm
	}
	if full == "/dev" {
		return errBusy
	}
	if !f.Allowed(dir, 2) {
		return ErrAccess
	}
	if n.Immut || dir.Mode&0o1000 != 0 && f.Uid != 0 && n.Uid != f.Uid {
		return ErrPerm
	}
	d := f.Own(canonical)
	delete(d.Kids, name)
	d.Mtime = f.now()
	f.forget(n)
	return nil
}

// forget gives back the quota of a removed subtree and reports captures in it.
func (f *FS) forget(n *Node) {
	if n.Owner != f {
		return // an image subtree cannot hold session nodes
	}
	f.Flush(n)
	f.release(n)
	f.Files = max(0, f.Files-1)
	for _, k := range n.Kids {
		f.forget(k)
	}
}

func (f *FS) Move(from, to string) error {
	n, src, err := f.Walk(from, false)
	if err != nil {
		return err
	}
	if t, c, err := f.Walk(to, true); err == nil && t.IsDir() && !n.IsDir() && c != src {
		return ErrIsDir
	}
	dir, canonical, name, err := f.ParentOf(to)
	if err != nil {
		return err
	}
	dst := path.Join(canonical, name)
	if dst == src {
		return nil
	}
	if strings.HasPrefix(dst+"/", src+"/") || ReadOnly(src) || ReadOnly(dst) {
		return errInval
	}
	if !f.Allowed(dir, 2) {
		return ErrAccess
	}
	srcDir, srcCanon, srcName, err := f.ParentOf(from)
	if err != nil {
		return errBusy
	}
	if !f.Allowed(srcDir, 2) || n.Immut {
		return ErrPerm
	}
	if old, ok := dir.Kids[name]; ok {
		if old.IsDir() && (!n.IsDir() || len(old.Kids) > 0) {
			return errNotEmpty
		}
		f.forget(old)
	}
	d := f.Own(srcCanon)
	delete(d.Kids, srcName)
	d.Mtime = f.now()
	d = f.Own(canonical)
	if d.Kids == nil {
		d.Kids = map[string]*Node{}
	}
	d.Kids[name] = n
	d.Mtime = f.now()
	if c := f.Dirty[n]; c != nil {
		c.path = dst
	}
	return nil
}

// Children lists a directory by name.
func (f *FS) Children(n *Node) []string {
	out := make([]string, 0, len(n.Kids))
	for k := range n.Kids {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// TouchDirty remembers that n was written, for the sink.
func (f *FS) TouchDirty(n *Node, p, how string, run int, appended bool) {
	if n.Owner != f || !n.IsReg() {
		return
	}
	if f.Dirty == nil {
		f.Dirty = map[*Node]*capture{}
	}
	f.Dirty[n] = &capture{path: p, how: how, run: run, appended: appended}
}

// Flush reports n if it was written since the last report.
func (f *FS) Flush(n *Node) {
	c := f.Dirty[n]
	if c == nil {
		return
	}
	delete(f.Dirty, n)
	if f.Report != nil {
		f.Report(c.path, n.Data, c.how)
	}
}

// FlushSettled reports every file that was not appended to in the given run;
// run < 0 reports all. Botnets write binaries by hundreds of appends, and one
// report of the whole is worth more than hundreds of fragments.
func (f *FS) FlushSettled(run int) {
	var list []*Node
	for n, c := range f.Dirty {
		if run < 0 || c.run < run || !c.appended {
			list = append(list, n)
		}
	}
	sort.Slice(list, func(i, j int) bool { return f.Dirty[list[i]].path < f.Dirty[list[j]].path })
	for _, n := range list {
		f.Flush(n)
	}
}
