package jail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// ReaderSpec says what reading child to start. A reader runs an engine over files and input that cannot be trusted: it
// reads what Bounds.Read names, computes, and writes its answer to a pipe. There is nothing else it can do.
type ReaderSpec struct {
	Args   []string  // argv after argv[0]
	Owner  string    // a parent that is root makes the child the owner of this path; "" or a path of root: no change
	Stderr io.Writer // gets the child's output line by line: capped, control characters escaped; nil = dropped
}

// Reader is a running reading child. The caller writes to In, closes it, reads Out to its end and calls Wait.
type Reader struct {
	In    io.WriteCloser
	Out   io.ReadCloser
	proc  *os.Process
	done  chan struct{}
	state *os.ProcessState
	err   error
	ended atomic.Bool
}

// StartReader runs this same binary with spec.Args as a child without privileges and with an empty environment (but GORACE). Its main
// must call EnterReader before it touches anything it does not trust. The child dies with the parent, and when ctx ends.
func StartReader(ctx context.Context, spec ReaderSpec) (*Reader, error) {
	var open []*os.File
	fail := func(err error) (*Reader, error) {
		for _, f := range open {
			f.Close()
		}
		return nil, fmt.Errorf("start reader: %w", err)
	}
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			return fail(err)
		}
		open = append(open, r, w)
	}
	attr := &os.ProcAttr{Dir: "/", Env: inherited("GORACE"), Files: []*os.File{open[0], open[3], open[5]}, Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}}
	if cred, err := ownerOf(spec.Owner); err != nil {
		return fail(err)
	} else if cred != nil {
		attr.Sys.Credential = cred
	}
	r := &Reader{In: open[1], Out: open[2], done: make(chan struct{})}
	hideDescriptors()
	started := make(chan error)
	go ownThread(func() {
		r.run(ctx, append([]string{filepath.Base(os.Args[0])}, spec.Args...), attr, open[4], spec.Stderr, started)
	})
	if err := <-started; err != nil {
		return fail(err)
	}
	for _, f := range []*os.File{open[0], open[3], open[5]} {
		f.Close()
	}
	return r, nil
}

// run is the life of the child, on a thread of its own (see Child.spawn).
func (r *Reader) run(ctx context.Context, argv []string, attr *os.ProcAttr, out *os.File, stderr io.Writer, started chan<- error) {
	giveUp()
	proc, err := execSelf(argv, attr)
	if err != nil {
		started <- err
		return
	}
	r.proc = proc
	stop := context.AfterFunc(ctx, r.Kill)
	started <- nil
	var relayed sync.WaitGroup
	relayed.Go(func() { relay(out, stderr) })
	r.state, r.err = proc.Wait()
	stop()
	r.ended.Store(true)
	relayed.Wait()
	close(r.done)
}

// ownerOf is who the child becomes: the owner of path when the parent is root and the owner is not, else nil.
func ownerOf(path string) (*syscall.Credential, error) {
	if path == "" || os.Geteuid() != 0 {
		return nil, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Uid == 0 {
		return nil, nil
	}
	return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}, nil
}

// Kill ends the child at once; Wait waits.
func (r *Reader) Kill() {
	if !r.ended.Load() {
		_ = r.proc.Kill()
	}
}

// Pid is the process id.
func (r *Reader) Pid() int { return r.proc.Pid }

// Wait blocks until the child has ended and says how: nil for exit code 0, else an *EndError.
func (r *Reader) Wait() error {
	<-r.done
	if r.err != nil {
		return fmt.Errorf("wait for reader: %w", r.err)
	}
	if r.state.Success() {
		return nil
	}
	e := &EndError{State: r.state.String()}
	if ws, ok := r.state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = ws.Signal()
	}
	return e
}

// EndError says how a child ended that did not end well. Signal is 0 when it was none.
type EndError struct {
	State  string
	Signal syscall.Signal
}

func (e *EndError) Error() string { return "child ended: " + e.State }

// Bounds is what a reading child may use.
type Bounds struct {
	Read    []string // files and folders (with what is below them) that can be read; every other file is shut
	Address uint64   // bytes of address space that can be written (heap, stacks, libraries' data), 0 = no limit
	CPU     uint64   // seconds of processor time, then the kernel ends the process; 0 = no limit
	Heap    int64    // bytes the Go heap aims to stay under, 0 = no aim
}

// EnterReader locks the calling process in for good, all its threads: it keeps the files of Bounds.Read for reading, its
// open descriptors, memory and threads. No file can be written, made, changed or removed, not even among those it reads;
// there are no sockets, programs, processes or privileges. Unlike Enter it puts everything in force or returns an error,
// and it looks whether it holds.
func EnterReader(b Bounds) error {
	warmUp()
	if b.Heap > 0 {
		debug.SetMemoryLimit(b.Heap)
	}
	if err := readerLimits(b); err != nil {
		return fmt.Errorf("enter jail: %w", err)
	}
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("enter jail: set no_new_privs: %w", errno)
	}
	if err := dropCapabilities(); err != nil {
		return fmt.Errorf("enter jail: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("enter jail: forbid dumps: %w", err)
	}
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		return errors.New("enter jail: this kernel has no Landlock (Linux 5.13 or newer with landlock in the boot parameter lsm=)")
	}
	var rules []landlock.Rule
	for _, path := range b.Read {
		var rights landlock.AccessFSSet = ll.AccessFSReadFile
		if st, err := os.Stat(path); err != nil {
			return fmt.Errorf("enter jail: %w", err)
		} else if st.IsDir() {
			rights |= ll.AccessFSReadDir
		}
		rules = append(rules, landlock.PathAccess(rights, path))
	}
	if err := landlock.V11.BestEffort().Restrict(rules...); err != nil {
		return fmt.Errorf("enter jail: restrict with landlock: %w", err)
	}
	if _, err := load(readerFilter(os.Getpid()), false); err != nil {
		return fmt.Errorf("enter jail: load system call filter: %w", err)
	}
	if err := provenReader(b); err != nil {
		return fmt.Errorf("enter jail: %w", err)
	}
	return nil
}

func readerLimits(b Bounds) error {
	limits := []struct {
		what int
		max  uint64
	}{{unix.RLIMIT_CORE, 0}, {unix.RLIMIT_FSIZE, 0}, {unix.RLIMIT_MSGQUEUE, 0}, {unix.RLIMIT_MEMLOCK, 0}, {unix.RLIMIT_RTPRIO, 0},
		{unix.RLIMIT_DATA, b.Address}, {unix.RLIMIT_CPU, b.CPU}}
	for i, l := range limits {
		if i >= 5 && l.max == 0 {
			continue
		}
		var old unix.Rlimit
		if err := unix.Getrlimit(l.what, &old); err != nil {
			return fmt.Errorf("read limit %d: %w", l.what, err)
		}
		l.max = min(l.max, old.Max)
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.max, Max: l.max}); err != nil {
			return fmt.Errorf("set limit %d to %d: %w", l.what, l.max, err)
		}
	}
	return nil
}

// provenReader tries what must fail now, and what must not.
func provenReader(b Bounds) error {
	if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
		_ = unix.Close(fd)
		return errors.New("sockets can still be made")
	}
	if fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
		_ = unix.Close(fd)
		for _, p := range b.Read {
			if p == "/" {
				return nil
			}
		}
		return errors.New("other folders can still be read")
	}
	for _, path := range b.Read {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "read", Path: path, Err: err}
		}
		_ = unix.Close(fd)
	}
	return nil
}

// reading are the calls that reading files takes beyond allowed. Landlock does not cover those that only look (stat,
// readlink, access): whoever has taken a reader over learns whether a path exists, and its size, not what is in it.
var reading = []uintptr{
	unix.SYS_NEWFSTATAT, unix.SYS_STATX, unix.SYS_GETDENTS64, unix.SYS_READLINKAT, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_GETCWD,
	unix.SYS_FSTATFS, unix.SYS_FADVISE64, unix.SYS_PREADV, unix.SYS_SYSINFO, unix.SYS_GETRLIMIT, unix.SYS_MEMBARRIER,
}

// writingFlags of openat: none may be set.
const writingFlags = unix.O_ACCMODE | unix.O_CREAT | unix.O_TRUNC | unix.O_APPEND | unix.O_TMPFILE&^unix.O_DIRECTORY

func readerFilter(pid int) []unix.SockFilter {
	rules := readerRules()
	rules = append(rules, commonRules(pid)...)
	for _, list := range [][]uintptr{allowed, allowedHere, reading, readingHere} {
		for _, nr := range list {
			rules = append(rules, rule{nr: nr, then: allow})
		}
	}
	return assemble(rules, refuse)
}

func readerRules() []rule {
	readOnly := []cond{{arg: 2, mask: writingFlags, val: unix.O_RDONLY}}
	return []rule{
		{nr: unix.SYS_OPENAT, any: [][]cond{readOnly}, then: allow},
		{nr: unix.SYS_OPENAT2, then: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}, // hides its flags; libraries fall back
	}
}
