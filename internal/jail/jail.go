// Package jail starts a child process of this same binary without privileges and keeps it so. The child talks to
// attackers and is expected to be taken over one day; then it must be worth nothing: it has an own user, no_new_privs, no
// capabilities, no file system and no new TCP connections or listeners (Landlock), and a system call filter (seccomp)
// that leaves it threads, memory, and the descriptors it was given. Calls only an intruder makes are announced to the
// parent.
//
// It is not a container: the child sees the host's clock, kernel version and network addresses of its own connections,
// and it can use its share of processor and memory. What it says over its connection is to be treated like any other
// input from an attacker.
package jail

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startLimit is how long a child may take from exec to being locked in.
const startLimit = 15 * time.Second

// Spec says what child to start.
type Spec struct {
	Args    []string   // argv after argv[0]
	Files   []*os.File // become descriptors 4, 5, …; the caller keeps and closes its own
	UID     int        // 0 = the account UserName, else the first free id from 59733 on; ignored when the parent is not root
	GID     int        // 0 = the account's, else the same number as UID
	Account string     // "" = UserName; children that must not be one user have different ones
	Env     []string   // all of the child's environment; TZ and GORACE of the parent are added when set
	Stderr  io.Writer  // gets the child's output line by line: capped, control characters escaped; nil = dropped
	// Tripped is called for each call that only an intruder makes, from one goroutine, at most a few times a second (calls
	// between are counted and reported with the next). It must not block for long: the intruder's thread waits.
	Tripped     func(Trip)
	OpenFiles   uint64 // descriptor limit, 0 = the parent's; raising the hard limit needs root
	Threads     uint64 // limit on the threads of the child's user, 0 = 4096; only with an own user
	MemoryLimit int64  // bytes the Go heap aims to stay under; a hard limit on data is set at twice that plus 256 MiB. 0 = none
	Require     bool   // what cannot be put in force is an error and not just a line in Report.Missing
}

// Child is a running, locked-in child.
type Child struct {
	report  Report
	conn    net.Conn
	proc    *os.Process
	done    chan struct{} // closed when the process and all that serves it have ended
	state   *os.ProcessState
	waitErr error
	helpers sync.WaitGroup // whoever serves the child; Start itself counts until it is through
	ended   atomic.Bool    // the process is gone, the helpers may not be yet
	tripped atomic.Uint64
}

// Start runs this same binary with spec.Args as a child, waits until it has entered its jail, checks from outside that it
// has, and returns it. The child dies with the parent, and when ctx ends. Its main must call Enter first.
func Start(ctx context.Context, spec Spec) (*Child, error) {
	ctx2, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	mine, theirs, err := pair()
	if err != nil {
		return nil, fmt.Errorf("start child: %w", err)
	}
	defer theirs.Close()
	out, in, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start child: %w", err), mine.Close())
	}
	c := &Child{conn: mine, done: make(chan struct{})}
	c.helpers.Add(1)
	err = c.spawn(ctx, spec, theirs, in)
	in.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start child: %w", err), mine.Close(), out.Close())
	}
	theirs.Close() // so that a child that dies is seen as the end of the connection
	c.helpers.Go(func() { relay(out, spec.Stderr) })
	err = c.lockIn(ctx2, spec)
	c.helpers.Done()
	if err != nil {
		c.Kill()
		ended := c.Wait()
		return nil, errors.Join(fmt.Errorf("start child: %w (%v)", err, ended), mine.Close())
	}
	return c, nil
}

// Report says what is in force.
func (c *Child) Report() Report { return c.report }

// Conn is the connection to the child; the caller closes it. What comes from it is hostile input: read it with a FrameReader.
func (c *Child) Conn() net.Conn { return c.conn }

// Pid is the process id.
func (c *Child) Pid() int { return c.proc.Pid }

// Tripped is how often the child made a call that only an intruder makes.
func (c *Child) Tripped() uint64 { return c.tripped.Load() }

// Kill ends the child at once. It does not wait; Wait does.
func (c *Child) Kill() { _ = c.proc.Kill() }

// Wait blocks until the child has ended and everything that served it too, and says how it ended: nil for exit code 0.
func (c *Child) Wait() error {
	<-c.done
	if c.waitErr != nil {
		return fmt.Errorf("wait for child: %w", c.waitErr)
	}
	if ws, ok := c.state.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGSYS {
		return errors.New("child was killed by its system call filter: it was taken over, or runs on the wrong machine")
	}
	if !c.state.Success() {
		return errors.New("child ended: " + c.state.String())
	}
	return nil
}

// pair makes the connection between parent and child.
func pair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	f := os.NewFile(uintptr(fds[0]), "child")
	defer f.Close()
	theirs := os.NewFile(uintptr(fds[1]), "parent")
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make socket pair: %w", err), theirs.Close())
	}
	return conn, theirs, nil
}

// spawn starts the process on an own thread that lives as long as the child. The kernel sends the parent-death signal
// when the thread that forked ends, not when the process does; and the thread gives up for itself what the child must
// not inherit, so it must never be used for anything else (it ends with its goroutine, which stays locked to it).
func (c *Child) spawn(ctx context.Context, spec Spec, theirs, in *os.File) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	attr := &os.ProcAttr{
		Dir:   "/",
		Env:   environment(spec.Env),
		Files: append([]*os.File{null, in, in, theirs}, spec.Files...),
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	}
	if os.Geteuid() == 0 {
		uid, gid, err := identity(spec.UID, spec.GID, cmp.Or(spec.Account, UserName))
		if err != nil {
			return err
		}
		attr.Sys.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	hideDescriptors()
	argv := append([]string{filepath.Base(os.Args[0])}, spec.Args...)
	started := make(chan error)
	go ownThread(func() {
		giveUp()
		var err error
		c.proc, err = execSelf(argv, attr)
		if err != nil && attr.Sys.Credential != nil && !spec.Require && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL)) {
			// A container that has only root: better a child as the same user with all the rest than none. It says so.
			attr.Sys.Credential = nil
			c.proc, err = execSelf(argv, attr)
		}
		if err != nil {
			started <- err
			return
		}
		stop := context.AfterFunc(ctx, c.Kill)
		started <- nil
		c.state, c.waitErr = c.proc.Wait()
		stop()
		c.ended.Store(true)
		c.helpers.Wait()
		close(c.done)
	})
	return <-started
}

// ownThread runs fn on a thread of its own that ends with it. The main thread cannot end, and its state is what
// /proc/PID shows for the process, so it is left alone.
func ownThread(fn func()) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			ownThread(fn)
		}()
		<-done
		runtime.UnlockOSThread()
		return
	}
	fn()
}

// giveUp drops, for the calling thread only, what the child would inherit: the right to gain privileges by exec, and every
// capability of the bounding and ambient sets. The effective ones stay until the child has changed its user.
func giveUp() {
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	for n := uintptr(0); n < 64; n++ { // fails without CAP_SETPCAP and beyond the last one; the report says what came of it
		if unix.Prctl(unix.PR_CAPBSET_DROP, n, 0, 0, 0) != nil {
			break
		}
	}
}

// hideDescriptors marks everything the parent itself inherited as close-on-exec; what Go opens is marked already.
func hideDescriptors() {
	if unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	entries, _ := os.ReadDir("/proc/self/fd") // before Linux 5.11
	for _, e := range entries {
		var fd int
		if _, err := fmt.Sscanf(e.Name(), "%d", &fd); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

func environment(env []string) []string {
	return append(append([]string{marker + "=1"}, env...), inherited("TZ", "GORACE")...)
}

// inherited are the variables of these names that are set. GORACE means
// nothing but to a program built with the race detector: there each process
// waits a second before it ends unless it is told not to.
func inherited(names ...string) []string {
	out := []string{}
	for _, name := range names {
		if v, ok := os.LookupEnv(name); ok {
			out = append(out, name+"="+v)
		}
	}
	return out
}

// execSelf starts the running binary. /proc/self/exe works below folders the new user cannot enter and after the file was
// replaced by an upgrade; only when the file itself is not executable for that user, a sealed copy in memory is used.
func execSelf(argv []string, attr *os.ProcAttr) (*os.Process, error) {
	proc, err := os.StartProcess("/proc/self/exe", argv, attr)
	if err == nil || !errors.Is(err, unix.EACCES) {
		return proc, err
	}
	fd, cerr := sealedCopy(len(attr.Files))
	if cerr != nil {
		return nil, errors.Join(fmt.Errorf("%w (make the program executable for all users)", err), cerr)
	}
	defer unix.Close(fd)
	return os.StartProcess(fmt.Sprintf("/proc/self/fd/%d", fd), argv, attr)
}

// sealedCopy copies the running binary to a memory file nobody can change. Its number is above the descriptors that the
// child is given, which would else overwrite it.
func sealedCopy(above int) (int, error) {
	src, err := os.Open("/proc/self/exe")
	if err != nil {
		return -1, fmt.Errorf("copy program: %w", err)
	}
	defer src.Close()
	fd, err := unix.MemfdCreate("bartizan", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("copy program to memory: %w", err)
	}
	dst := os.NewFile(uintptr(fd), "memory")
	defer dst.Close()
	if _, err := io.Copy(dst, src); err != nil {
		return -1, fmt.Errorf("copy program to memory: %w", err)
	}
	seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(dst.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return -1, fmt.Errorf("seal program in memory: %w", err)
	}
	// A descriptor open for writing makes exec fail with "text file busy"; reopen it for reading.
	ro, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", dst.Fd()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("reopen program in memory: %w", err)
	}
	defer unix.Close(ro)
	high, err := unix.FcntlInt(uintptr(ro), unix.F_DUPFD_CLOEXEC, above+16)
	if err != nil {
		return -1, fmt.Errorf("reopen program in memory: %w", err)
	}
	return high, nil
}

// lockIn talks the child into its jail: it says it is up, hears what is wanted, and answers with the report and the trip wire.
func (c *Child) lockIn(ctx context.Context, spec Spec) error {
	deadline, _ := ctx.Deadline()
	if err := c.conn.SetDeadline(deadline); err != nil {
		return err
	}
	var one [1]byte
	if _, err := io.ReadFull(c.conn, one[:]); err != nil {
		return fmt.Errorf("child did not come up: %w", err)
	}
	raiseFiles(c.proc.Pid, spec.OpenFiles)
	h := hello{
		Files: len(spec.Files), UID: os.Geteuid(), Memory: spec.MemoryLimit, OpenFiles: spec.OpenFiles, Threads: spec.Threads, Require: spec.Require,
	}
	if h.Threads == 0 {
		h.Threads = 4096
	}
	raw, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := WriteFrame(c.conn, raw, helloMax); err != nil {
		return err
	}
	wire, err := readRights(c.conn)
	if err != nil {
		return fmt.Errorf("child did not enter its jail: %w", err)
	}
	if wire != nil {
		c.helpers.Go(func() { c.watch(wire, spec.Tripped) })
	}
	if raw, err = ReadFrame(c.conn, helloMax); err != nil {
		return fmt.Errorf("child did not enter its jail: %w", err)
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return fmt.Errorf("read child's report: %w", err)
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	a.Report.PID = c.proc.Pid
	if err := verify(&a.Report); err != nil {
		return err
	}
	c.report = a.Report
	return c.conn.SetDeadline(time.Time{})
}
