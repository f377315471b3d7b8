// Package vfs is the file system of one visitor: a copy-on-write view of an
// image all sessions share, with quotas. It exists in memory only.
package vfs

import (
	"io/fs"
	"maps"
	"path"
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
		return e == ErrNoEnt
	case fs.ErrExist:
		return e == ErrExist || e == errNotEmpty
	case fs.ErrPermission:
		return e == ErrAccess || e == ErrPerm || e == errRoFS
	case fs.ErrInvalid:
		return e == errInval
	}
	return false
}

const (
	ErrNoEnt    errno = "No such file or directory"
	ErrExist    errno = "File exists"
	ErrIsDir    errno = "Is a directory"
	ErrNotDir   errno = "Not a directory"
	errNotEmpty errno = "Directory not empty"
	ErrAccess   errno = "Permission denied"
	ErrPerm     errno = "Operation not permitted"
	errRoFS     errno = "Read-only file system"
	ErrNoSpace  errno = "No space left on device"
	errLoop     errno = "Too many levels of symbolic links"
	errInval    errno = "Invalid argument"
	ErrTooBig   errno = "File too large"
	ErrNameLen  errno = "File name too long"
	errBusy     errno = "Device or resource busy"
)

// Bits of node.mode as stat(2) spells them.
const (
	ModeType = 0o170000
	ModeDir  = 0o040000
	ModeReg  = 0o100000
	ModeLink = 0o120000
	ModeChr  = 0o020000
	ModeBlk  = 0o060000
)

const (
	maxName  = 255
	MaxPath  = 4096
	maxLinks = 40
)

// Node is one file. Nodes without owner belong to the shared image of the
// persona and are never written; a session clones the way to what it changes.
type Node struct {
	Owner    *FS
	Mode     uint32
	Uid, Gid int
	Mtime    time.Time
	Data     []byte
	Size     int64 // pretended size of an image file whose bytes are not kept
	Target   string
	Kids     map[string]*Node
	Gen      func(now time.Time) []byte // content made when read, as in /proc
	Prog     string                     // command an image binary stands for
	Immut    bool                       // chattr +i
	fresh    bool                       // data is this session's own array
	lent     bool                       // a reader holds Data outside the lock
	Subdirs  int                        // of a snapshot: directories in it
}

func (n *Node) IsDir() bool  { return n.Mode&ModeType == ModeDir }
func (n *Node) IsLink() bool { return n.Mode&ModeType == ModeLink }
func (n *Node) IsReg() bool  { return n.Mode&ModeType == ModeReg }

func (n *Node) Length() int64 {
	switch {
	case n.IsDir():
		return 4096
	case n.IsLink():
		return int64(len(n.Target))
	case n.Size > 0:
		return n.Size
	}
	return int64(len(n.Data))
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
	Mu       sync.Mutex
	root     *Node
	limits   Quota
	Uid, Gid int
	Bytes    int64
	Files    int
	now      func() time.Time
	Dirty    map[*Node]*capture
	Report   func(path string, content []byte, how string)
}

// capture remembers a written file until it is reported to the sink.
type capture struct {
	path, how string
	run       int // Run in which it was last written
	appended  bool
}

// NewFS starts a session on a shared image.
func NewFS(root *Node, quota Quota, now func() time.Time) *FS {
	return &FS{root: root, limits: quota, now: now}
}

func (f *FS) Allowed(n *Node, bit uint32) bool {
	if f.Uid == 0 {
		return true
	}
	shift := uint32(0)
	if n.Uid == f.Uid {
		shift = 6
	} else if n.Gid == f.Gid {
		shift = 3
	}
	return n.Mode>>shift&bit != 0
}

func Split(p string) []string {
	var out []string
	for _, c := range strings.Split(path.Clean("/"+p), "/") {
		if c != "" {
			out = append(out, c)
		}
	}
	return out
}

// Walk resolves p. It returns the node and its canonical path; with
// follow=false a final symbolic link is not followed.
func (f *FS) Walk(p string, follow bool) (*Node, string, error) {
	if p == "" {
		return nil, "", ErrNoEnt
	}
	if len(p) > MaxPath {
		return nil, "", ErrNameLen
	}
	todo := strings.Split(p, "/")
	stack := []*Node{f.root}
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
		if !cur.IsDir() {
			return nil, "", ErrNotDir
		}
		if !f.Allowed(cur, 1) {
			return nil, "", ErrAccess
		}
		if len(c) > maxName {
			return nil, "", ErrNameLen
		}
		kid, ok := cur.Kids[c]
		if !ok {
			return nil, "", ErrNoEnt
		}
		if kid.IsLink() && (follow || !allEmpty(todo)) {
			if links++; links > maxLinks || len(todo) > MaxPath {
				return nil, "", errLoop
			}
			if strings.HasPrefix(kid.Target, "/") {
				names, stack = nil, stack[:1]
			}
			todo = append(strings.Split(kid.Target, "/"), todo...)
			continue
		}
		names, stack = append(names, c), append(stack, kid)
	}
	n := stack[len(stack)-1]
	if strings.HasSuffix(p, "/") && !n.IsDir() {
		return nil, "", ErrNotDir
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

// Own clones every node on the canonical path that is not this session's yet.
func (f *FS) Own(canonical string) *Node {
	cur := f.ownNode(f.root)
	f.root = cur
	for _, c := range Split(canonical) {
		kid := f.ownNode(cur.Kids[c])
		cur.Kids[c] = kid
		cur = kid
	}
	return cur
}

// Snapshot is a copy that may be read without the lock. Of a directory it
// knows the names only.
func (n *Node) Snapshot() Node {
	c := *n
	if n.Kids != nil {
		c.Kids = make(map[string]*Node, len(n.Kids))
		for name, k := range n.Kids {
			c.Kids[name] = nil
			if k.IsDir() {
				c.Subdirs++
			}
		}
	}
	return c
}

func (f *FS) ownNode(n *Node) *Node {
	if n.Owner == f {
		return n
	}
	c := *n
	c.Owner, c.fresh = f, false
	c.Kids = maps.Clone(n.Kids)
	c.Data = n.Data[:len(n.Data):len(n.Data)] // append copies; writeAt copies explicitly
	return &c
}

// ParentOf resolves the directory that holds p's last component.
func (f *FS) ParentOf(p string) (dir *Node, canonical, name string, err error) {
	clean := strings.TrimRight(p, "/")
	i := strings.LastIndexByte(clean, '/')
	dirPath, name := clean[:i+1], clean[i+1:]
	if name == "" || name == "." || name == ".." {
		return nil, "", "", ErrExist
	}
	if len(name) > maxName {
		return nil, "", "", ErrNameLen
	}
	if dirPath == "" {
		dirPath = "/"
	}
	dir, canonical, err = f.Walk(dirPath, true)
	if err != nil {
		return nil, "", "", err
	}
	if !dir.IsDir() {
		return nil, "", "", ErrNotDir
	}
	return dir, canonical, name, nil
}

// ReadOnly says whether the kernel owns this part of the tree.
func ReadOnly(canonical string) bool {
	return canonical == "/proc" || strings.HasPrefix(canonical, "/proc/") || canonical == "/sys" || strings.HasPrefix(canonical, "/sys/")
}

// Add links a new node into the tree.
func (f *FS) Add(p string, n *Node) (string, error) {
	dir, canonical, name, err := f.ParentOf(p)
	if err != nil {
		return "", err
	}
	if _, ok := dir.Kids[name]; ok {
		return "", ErrExist
	}
	if ReadOnly(canonical) {
		return "", ErrNoEnt
	}
	if !f.Allowed(dir, 2) || dir.Immut {
		return "", ErrAccess
	}
	if f.Files >= f.limits.Files {
		return "", ErrNoSpace
	}
	f.Files++
	n.Owner, n.Uid, n.Gid, n.Mtime = f, f.Uid, f.Gid, f.now()
	if n.IsDir() && n.Kids == nil {
		n.Kids = map[string]*Node{}
	}
	d := f.Own(canonical)
	if d.Kids == nil {
		d.Kids = map[string]*Node{}
	}
	d.Kids[name] = n
	d.Mtime = n.Mtime
	return path.Join(canonical, name), nil
}
