package shell

import (
	"io/fs"
	"maps"
	"path"
	"sort"
	"strings"
	"sync"
	"time"
)

// errno is an error with the text the C library gives it, because visitors
// read it in messages such as "cat: x: No such file or directory".
type errno string

func (e errno) Error() string { return string(e) }

// Is makes errors.Is work with the io/fs sentinels, which SFTP servers map.
func (e errno) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e == errNoEnt
	case fs.ErrExist:
		return e == errExist || e == errNotEmpty
	case fs.ErrPermission:
		return e == errAccess || e == errPerm || e == errRoFS
	case fs.ErrInvalid:
		return e == errInval
	}
	return false
}

const (
	errNoEnt    errno = "No such file or directory"
	errExist    errno = "File exists"
	errIsDir    errno = "Is a directory"
	errNotDir   errno = "Not a directory"
	errNotEmpty errno = "Directory not empty"
	errAccess   errno = "Permission denied"
	errPerm     errno = "Operation not permitted"
	errRoFS     errno = "Read-only file system"
	errNoSpace  errno = "No space left on device"
	errLoop     errno = "Too many levels of symbolic links"
	errInval    errno = "Invalid argument"
	errTooBig   errno = "File too large"
	errNameLen  errno = "File name too long"
	errBusy     errno = "Device or resource busy"
)

// Bits of node.mode as stat(2) spells them.
const (
	modeType = 0o170000
	modeDir  = 0o040000
	modeReg  = 0o100000
	modeLink = 0o120000
	modeChr  = 0o020000
	modeBlk  = 0o060000
)

const (
	maxName  = 255
	maxPath  = 4096
	maxLinks = 40
)

// node is one file. Nodes without owner belong to the shared image of the
// persona and are never written; a session clones the way to what it changes.
type node struct {
	owner    *FS
	mode     uint32
	uid, gid int
	mtime    time.Time
	data     []byte
	size     int64 // pretended size of an image file whose bytes are not kept
	target   string
	kids     map[string]*node
	gen      func(now time.Time) []byte // content made when read, as in /proc
	prog     string                     // command an image binary stands for
	immut    bool                       // chattr +i
	fresh    bool                       // data is this session's own array
}

func (n *node) isDir() bool  { return n.mode&modeType == modeDir }
func (n *node) isLink() bool { return n.mode&modeType == modeLink }
func (n *node) isReg() bool  { return n.mode&modeType == modeReg }

func (n *node) length() int64 {
	switch {
	case n.isDir():
		return 4096
	case n.isLink():
		return int64(len(n.target))
	case n.size > 0:
		return n.size
	}
	return int64(len(n.data))
}

// Quota bounds what a session may add to its file system.
type Quota struct {
	FSBytes   int64 // bytes of all files
	FileBytes int64 // bytes of one file
	Files     int   // files and directories
}

// FS is the file system one session sees: the persona's shared image plus the
// changes of this session, which are bounded by Limits and vanish with it.
// Methods are safe for concurrent use (a shell and an SFTP channel of one
// connection). Paths are absolute or relative to "/".
type FS struct {
	mu       sync.Mutex
	root     *node
	limits   Quota
	uid, gid int
	groups   []int
	bytes    int64
	files    int
	now      func() time.Time
	dirty    map[*node]*capture
	report   func(path string, content []byte, how string)
}

// capture remembers a written file until it is reported to the sink.
type capture struct {
	path, how string
	run       int // Run in which it was last written
	appended  bool
}

// newFS starts a session on a shared image.
func newFS(root *node, quota Quota, now func() time.Time) *FS {
	return &FS{root: root, limits: quota, now: now}
}

func (f *FS) allowed(n *node, bit uint32) bool {
	if f.uid == 0 {
		return true
	}
	shift := uint32(0)
	if n.uid == f.uid {
		shift = 6
	} else if n.gid == f.gid {
		shift = 3
	}
	return n.mode>>shift&bit != 0
}

func split(p string) []string {
	var out []string
	for _, c := range strings.Split(path.Clean("/"+p), "/") {
		if c != "" {
			out = append(out, c)
		}
	}
	return out
}

// walk resolves p. It returns the node and its canonical path; with
// follow=false a final symbolic link is not followed.
func (f *FS) walk(p string, follow bool) (*node, string, error) {
	if p == "" {
		return nil, "", errNoEnt
	}
	if len(p) > maxPath {
		return nil, "", errNameLen
	}
	todo := strings.Split(p, "/")
	stack := []*node{f.root}
	var names []string
	links := 0
	for len(todo) > 0 {
		c := todo[0]
		todo = todo[1:]
		cur := stack[len(stack)-1]
		switch c {
		case "", ".":
			continue
		case "..":
			if len(names) > 0 {
				names, stack = names[:len(names)-1], stack[:len(stack)-1]
			}
			continue
		}
		if !cur.isDir() {
			return nil, "", errNotDir
		}
		if !f.allowed(cur, 1) {
			return nil, "", errAccess
		}
		if len(c) > maxName {
			return nil, "", errNameLen
		}
		kid, ok := cur.kids[c]
		if !ok {
			return nil, "", errNoEnt
		}
		if kid.isLink() && (follow || !allEmpty(todo)) {
			if links++; links > maxLinks || len(todo) > maxPath {
				return nil, "", errLoop
			}
			if strings.HasPrefix(kid.target, "/") {
				names, stack = nil, stack[:1]
			}
			todo = append(strings.Split(kid.target, "/"), todo...)
			continue
		}
		names, stack = append(names, c), append(stack, kid)
	}
	n := stack[len(stack)-1]
	if strings.HasSuffix(p, "/") && !n.isDir() {
		return nil, "", errNotDir
	}
	return n, "/" + strings.Join(names, "/"), nil
}

func allEmpty(list []string) bool {
	for _, s := range list {
		if s != "" {
			return false
		}
	}
	return true
}

// own clones every node on the canonical path that is not this session's yet.
func (f *FS) own(canonical string) *node {
	cur := f.ownNode(f.root)
	f.root = cur
	for _, c := range split(canonical) {
		kid := f.ownNode(cur.kids[c])
		cur.kids[c] = kid
		cur = kid
	}
	return cur
}

func (f *FS) ownNode(n *node) *node {
	if n.owner == f {
		return n
	}
	c := *n
	c.owner, c.fresh = f, false
	c.kids = maps.Clone(n.kids)
	c.data = n.data[:len(n.data):len(n.data)] // append copies; writeAt copies explicitly
	return &c
}

// parentOf resolves the directory that holds p's last component.
func (f *FS) parentOf(p string) (dir *node, canonical, name string, err error) {
	clean := strings.TrimRight(p, "/")
	i := strings.LastIndexByte(clean, '/')
	dirPath, name := clean[:i+1], clean[i+1:]
	if name == "" || name == "." || name == ".." {
		return nil, "", "", errExist
	}
	if len(name) > maxName {
		return nil, "", "", errNameLen
	}
	if dirPath == "" {
		dirPath = "/"
	}
	dir, canonical, err = f.walk(dirPath, true)
	if err != nil {
		return nil, "", "", err
	}
	if !dir.isDir() {
		return nil, "", "", errNotDir
	}
	return dir, canonical, name, nil
}

// readOnly says whether the kernel owns this part of the tree.
func readOnly(canonical string) bool {
	return canonical == "/proc" || strings.HasPrefix(canonical, "/proc/") || canonical == "/sys" || strings.HasPrefix(canonical, "/sys/")
}

// add links a new node into the tree.
func (f *FS) add(p string, n *node) (string, error) {
	dir, canonical, name, err := f.parentOf(p)
	if err != nil {
		return "", err
	}
	if _, ok := dir.kids[name]; ok {
		return "", errExist
	}
	if readOnly(canonical) {
		return "", errNoEnt
	}
	if !f.allowed(dir, 2) || dir.immut {
		return "", errAccess
	}
	if f.files >= f.limits.Files {
		return "", errNoSpace
	}
	f.files++
	n.owner, n.uid, n.gid, n.mtime = f, f.uid, f.gid, f.now()
	if n.isDir() && n.kids == nil {
		n.kids = map[string]*node{}
	}
	d := f.own(canonical)
	if d.kids == nil {
		d.kids = map[string]*node{}
	}
	d.kids[name] = n
	d.mtime = n.mtime
	return path.Join(canonical, name), nil
}

// create makes or truncates a regular file for writing and returns its node.
func (f *FS) create(p string, perm uint32, truncate, exclusive bool) (*node, string, error) {
	n, canonical, err := f.walk(p, true)
	if err == errNoEnt {
		// A dangling link or a missing file: only the latter is created.
		fresh := &node{mode: modeReg | perm&0o7777}
		canonical, err = f.add(p, fresh)
		if err == errExist {
			err = errNoEnt
		}
		return fresh, canonical, err
	}
	if err != nil {
		return nil, "", err
	}
	if exclusive {
		return nil, "", errExist
	}
	if n.isDir() {
		return nil, "", errIsDir
	}
	if !f.allowed(n, 2) {
		return nil, "", errAccess
	}
	if n.immut {
		return nil, "", errPerm
	}
	if !n.isReg() || readOnly(canonical) {
		return n, canonical, nil // a device or kernel file: writes vanish
	}
	n = f.own(canonical)
	if truncate {
		f.flush(n)
		f.release(n)
		n.data, n.size, n.gen, n.prog = nil, 0, nil, ""
	}
	n.mtime = f.now()
	return n, canonical, nil
}

// release returns a file's bytes to the quota.
func (f *FS) release(n *node) {
	if n.owner == f && n.fresh {
		f.bytes = max(0, f.bytes-int64(cap(n.data)))
		n.fresh = false
	}
}

// writeAt stores b; off < 0 appends. It never keeps more than the limits
// allow and reports how much fitted.
func (f *FS) writeAt(n *node, b []byte, off int64) (int, error) {
	if !n.isReg() || n.owner != f {
		return len(b), nil
	}
	if off < 0 {
		off = int64(len(n.data))
	}
	end := off + int64(len(b))
	n.size = 0
	if end > f.limits.FileBytes {
		return 0, errTooBig
	}
	if err := f.reserve(n, end); err != nil {
		return 0, err
	}
	if old := int64(len(n.data)); end > old {
		n.data = n.data[:end]
		clear(n.data[old:]) // a gap, or what a truncation left behind
	}
	copy(n.data[off:], b)
	n.mtime = f.now()
	return len(b), nil
}

// reserve gives n an array of its own with room for size bytes, within the
// quota. Arrays double while there is room and grow exactly when there is not.
func (f *FS) reserve(n *node, size int64) error {
	held := int64(0)
	if n.fresh {
		if held = int64(cap(n.data)); size <= held {
			return nil
		}
	}
	size = max(size, int64(len(n.data)))
	room := f.limits.FSBytes - f.bytes + held
	if size > room {
		return errNoSpace
	}
	grown := make([]byte, len(n.data), max(size, min(2*held, room, f.limits.FileBytes)))
	copy(grown, n.data)
	f.bytes += int64(cap(grown)) - held
	n.data, n.fresh = grown, true
	return nil
}

// content returns the bytes a reader of n sees.
func (f *FS) content(n *node) []byte {
	if n.gen != nil {
		return n.gen(f.now())
	}
	return n.data
}

// remove unlinks a file or an empty directory.
func (f *FS) remove(p string, wantDir bool) error {
	n, _, err := f.walk(p, false)
	if err != nil {
		return err
	}
	if n.isDir() != wantDir {
		if wantDir {
			return errNotDir
		}
		return errIsDir
	}
	if wantDir && len(n.kids) > 0 {
		return errNotEmpty
	}
	return f.unlink(p)
}

// unlink drops p with everything below it.
func (f *FS) unlink(p string) error {
	dir, canonical, name, err := f.parentOf(p)
	if err != nil {
		return errInval
	}
	n, ok := dir.kids[name]
	if !ok {
		return errNoEnt
	}
	full := path.Join(canonical, name)
	if readOnly(full) {
		return errPerm
	}
	if full == "/dev" {
		return errBusy
	}
	if !f.allowed(dir, 2) {
		return errAccess
	}
	if n.immut || dir.mode&0o1000 != 0 && f.uid != 0 && n.uid != f.uid {
		return errPerm
	}
	d := f.own(canonical)
	delete(d.kids, name)
	d.mtime = f.now()
	f.forget(n)
	return nil
}

// forget gives back the quota of a removed subtree and reports captures in it.
func (f *FS) forget(n *node) {
	if n.owner != f {
		return // an image subtree cannot hold session nodes
	}
	f.flush(n)
	f.release(n)
	f.files = max(0, f.files-1)
	for _, k := range n.kids {
		f.forget(k)
	}
}

func (f *FS) rename(from, to string) error {
	n, src, err := f.walk(from, false)
	if err != nil {
		return err
	}
	if t, c, err := f.walk(to, true); err == nil && t.isDir() && !n.isDir() && c != src {
		return errIsDir
	}
	dir, canonical, name, err := f.parentOf(to)
	if err != nil {
		return err
	}
	dst := path.Join(canonical, name)
	if dst == src {
		return nil
	}
	if strings.HasPrefix(dst+"/", src+"/") || readOnly(src) || readOnly(dst) {
		return errInval
	}
	if !f.allowed(dir, 2) {
		return errAccess
	}
	srcDir, srcCanon, srcName, err := f.parentOf(from)
	if err != nil {
		return errBusy
	}
	if !f.allowed(srcDir, 2) || n.immut {
		return errPerm
	}
	if old, ok := dir.kids[name]; ok {
		if old.isDir() && (!n.isDir() || len(old.kids) > 0) {
			return errNotEmpty
		}
		f.forget(old)
	}
	d := f.own(srcCanon)
	delete(d.kids, srcName)
	d.mtime = f.now()
	d = f.own(canonical)
	if d.kids == nil {
		d.kids = map[string]*node{}
	}
	d.kids[name] = n
	d.mtime = f.now()
	if c := f.dirty[n]; c != nil {
		c.path = dst
	}
	return nil
}

// children lists a directory by name.
func (f *FS) children(n *node) []string {
	out := make([]string, 0, len(n.kids))
	for k := range n.kids {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// touchDirty remembers that n was written, for the sink.
func (f *FS) touchDirty(n *node, p, how string, run int, appended bool) {
	if n.owner != f || !n.isReg() {
		return
	}
	if f.dirty == nil {
		f.dirty = map[*node]*capture{}
	}
	f.dirty[n] = &capture{path: p, how: how, run: run, appended: appended}
}

// flush reports n if it was written since the last report.
func (f *FS) flush(n *node) {
	c := f.dirty[n]
	if c == nil {
		return
	}
	delete(f.dirty, n)
	if f.report != nil {
		f.report(c.path, n.data, c.how)
	}
}

// flushSettled reports every file that was not appended to in the given run;
// run < 0 reports all. Botnets write binaries by hundreds of appends, and one
// report of the whole is worth more than hundreds of fragments.
func (f *FS) flushSettled(run int) {
	var list []*node
	for n, c := range f.dirty {
		if run < 0 || c.run < run || !c.appended {
			list = append(list, n)
		}
	}
	sort.Slice(list, func(i, j int) bool { return f.dirty[list[i]].path < f.dirty[list[j]].path })
	for _, n := range list {
		f.flush(n)
	}
}
