package jail

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"time"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

const (
	marker    = "BARTIZAN_JAIL" // set in the child's environment by Start
	parentFD  = 3
	firstFile = 4
	helloMax  = 64 << 10
)

// hello is what the parent tells the child before it locks itself in.
type hello struct {
	Files     int    `json:"files"`
	UID       int    `json:"parent_uid"`
	Memory    int64  `json:"memory"`
	OpenFiles uint64 `json:"open_files"`
	Threads   uint64 `json:"threads"`
	Require   bool   `json:"require"`
}

// answer is what the child says when it is locked in, or why it is not.
type answer struct {
	Report Report `json:"report"`
	Error  string `json:"error,omitempty"`
}

// Options are the child's own wishes; what the operator configured comes from the parent.
type Options struct {
	// Require makes anything that cannot be put in force an error; the parent's Spec.Require does the same.
	Require bool
}

// Cell is what a child has in the jail.
type Cell struct {
	Report Report
	Conn   net.Conn   // to the parent
	Files  []*os.File // Spec.Files, in order; sockets become listeners with net.FileListener
}

// Inside says whether this process was started by Start and has not entered yet.
func Inside() bool { return os.Getenv(marker) != "" }

// Enter locks the calling process in for good, all its threads: no privileges, no files, no new sockets, no programs, no
// processes. It must be called first thing in main, before the program opens or starts anything, because what is open
// stays open. It tells the parent what is in force, which is what Start returns.
func Enter(opt Options) (*Cell, error) {
	if !Inside() {
		return nil, errors.New("enter jail: this process was not started as a decoy child; it is an internal command")
	}
	if err := os.Unsetenv(marker); err != nil {
		return nil, fmt.Errorf("enter jail: %w", err)
	}
	parent := os.NewFile(parentFD, "parent")
	conn, err := net.FileConn(parent)
	if err != nil {
		return nil, fmt.Errorf("enter jail: descriptor %d is not a connection to the parent: %w", parentFD, err)
	}
	var h hello
	if err := greet(conn, &h); err != nil {
		return nil, fmt.Errorf("enter jail: %w", err)
	}
	rep, listener, err := lock(h)
	if err == nil && (opt.Require || h.Require) {
		err = rep.Strict()
	}
	if serr := settle(rep, err, listener); serr != nil {
		err = errors.Join(err, fmt.Errorf("tell parent: %w", serr))
	}
	if err != nil {
		return nil, fmt.Errorf("enter jail: %w", err)
	}
	cell := &Cell{Report: rep, Conn: conn}
	for i := range h.Files {
		cell.Files = append(cell.Files, os.NewFile(uintptr(firstFile+i), fmt.Sprintf("handed-over-%d", i)))
	}
	return cell, parent.Close()
}

// greet says that the child is up (only then the parent raises a limit, because the run time moves it at its start) and
// reads what the parent wants.
func greet(conn net.Conn, h *hello) error {
	if err := conn.SetDeadline(time.Now().Add(startLimit)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{'R'}); err != nil {
		return fmt.Errorf("greet parent: %w", err)
	}
	raw, err := ReadFrame(conn, helloMax)
	if err != nil {
		return fmt.Errorf("read parent's greeting: %w", err)
	}
	if err := json.Unmarshal(raw, h); err != nil {
		return fmt.Errorf("read parent's greeting: %w", err)
	}
	return conn.SetDeadline(time.Time{})
}

// lock puts everything in force and looks whether it holds. The listener is the descriptor of the trip wire or -1.
func lock(h hello) (Report, int, error) {
	r := Report{PID: os.Getpid(), UID: os.Getuid(), User: nameOf(os.Getuid())}
	r.OwnUser = r.UID != 0 && r.UID != h.UID && os.Geteuid() == r.UID
	warmUp()
	r.Notes = strays(h.Files)
	if h.Memory > 0 {
		debug.SetMemoryLimit(h.Memory)
	}
	if err := lowerLimits(h, r.OwnUser); err != nil {
		return r, -1, err
	}
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) == nil {
		r.OpenFiles = lim.Cur
	}
	if unix.Getrlimit(unix.RLIMIT_DATA, &lim) == nil && lim.Cur != unix.RLIM_INFINITY {
		r.MemoryBytes = int64(lim.Cur)
	}
	status, err := os.Open("/proc/self/status") // read after the doors are shut
	if err != nil {
		return r, -1, fmt.Errorf("open /proc/self/status: %w (is /proc mounted?)", err)
	}
	defer status.Close()

	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return r, -1, fmt.Errorf("set no_new_privs: %w", errno)
	}
	if err := dropCapabilities(); err != nil {
		return r, -1, err
	}
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // looked at below
	got, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	r.Undumpable = err == nil && got == 0
	if r.Landlock, err = enterLandlock(); err != nil {
		return r, -1, err
	}
	listener := enterSeccomp(&r)
	if err := readStatus(status, &r); err != nil {
		return r, listener, err
	}
	r.judge()
	return r, listener, nil
}

// warmUp makes the run time read what it reads once and could not read later.
func warmUp() {
	_ = time.Now().Local().String() // time zone
	var b [1]byte
	_, _ = rand.Read(b[:])
}

// strays closes descriptors that were neither handed over nor made by the run time, and says so: they can only come from
// whoever started the parent.
func strays(files int) []string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return []string{"open descriptors not checked: " + err.Error()}
	}
	var notes []string
	for _, e := range entries {
		var fd int
		if _, err := fmt.Sscanf(e.Name(), "%d", &fd); err != nil || fd < firstFile+files {
			continue
		}
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:") || strings.HasPrefix(to, "/sys/fs/cgroup") ||
			strings.HasPrefix(to, "/proc/") || strings.HasPrefix(to, "socket:") && sameSocket(fd, parentFD) {
			continue
		}
		notes = append(notes, fmt.Sprintf("closed inherited descriptor %d", fd))
		_ = unix.Close(fd)
	}
	return notes
}

func sameSocket(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil && x.Ino == y.Ino && x.Dev == y.Dev
}

// dropCapabilities empties every set of every thread.
func dropCapabilities() error {
	_, _, _ = psx.Syscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0)
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if _, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&none[0])), 0); errno != 0 {
		return fmt.Errorf("drop capabilities: %w", errno)
	}
	return nil
}

// enterLandlock forbids everything this kernel's Landlock knows, and tries whether it holds.
func enterLandlock() (Landlock, error) {
	var l Landlock
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		return l, nil // judged as missing
	}
	sock, sockErr := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if sockErr == nil {
		defer unix.Close(sock)
	}
	if err := landlock.V11.BestEffort().Restrict(); err != nil {
		return l, fmt.Errorf("restrict with landlock: %w", err)
	}
	l.ABI = abi
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	l.FS = err == unix.EACCES
	if sockErr == nil {
		l.Net = unix.Bind(sock, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}) == unix.EACCES
	}
	l.Scope = abi >= 6 && unix.Kill(os.Getppid(), 0) == unix.EPERM
	return l, nil
}

// enterSeccomp loads the filter and returns the trip wire's descriptor, -1 without one.
func enterSeccomp(r *Report) int {
	listener, err := load(filter(os.Getpid(), unix.SECCOMP_RET_USER_NOTIF, handover...), true)
	if err != nil {
		// Before Linux 5.7, or under a filter that has a listener already.
		listener = -1
		if _, err = load(filter(os.Getpid(), refuse, handover...), false); err != nil {
			r.Notes = append(r.Notes, "seccomp: "+err.Error())
			return -1
		}
	}
	r.SeccompTripwire = listener >= 0
	return listener
}

// handover are the two calls needed between the two filters: to hand the trip wire to the parent and to load the second.
var handover = []uintptr{unix.SYS_SENDMSG, unix.SYS_SECCOMP}

// settle sends the answer with the trip wire, then shuts the last door.
func settle(r Report, why error, listener int) error {
	if listener >= 0 {
		defer func() { _ = unix.Close(listener) }() // the intruder must not answer his own alarms
	}
	a := answer{Report: r}
	if why != nil {
		a.Error = why.Error()
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	var rights []byte
	if listener >= 0 {
		rights = unix.UnixRights(listener)
	}
	if err := unix.Sendmsg(parentFD, []byte{'A'}, rights, nil, 0); err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	if r.Seccomp {
		var rules []rule
		for _, nr := range handover {
			rules = append(rules, rule{nr: nr, then: refuse})
		}
		if _, err := load(assemble(rules, allow), false); err != nil {
			return fmt.Errorf("load second filter: %w", err)
		}
	}
	return WriteFrame(fdWriter(parentFD), raw, helloMax)
}

type fdWriter int

func (f fdWriter) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Write(int(f), p[done:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(f), Events: unix.POLLOUT}}, 1000); err != nil && err != unix.EINTR {
				return done, err
			}
		case err != nil:
			return done, err
		default:
			done += n
		}
	}
	return done, nil
}

// readStatus takes the kernel's word on this process.
func readStatus(f io.ReaderAt, r *Report) error {
	buf := make([]byte, 16<<10)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read /proc/self/status: %w", err)
	}
	s := parseStatus(string(buf[:n]))
	r.NoNewPrivs, r.NoCapabilities, r.EmptyBounding, r.Seccomp = s.noNewPrivs, s.noCaps, s.emptyBounding, s.seccomp
	return nil
}
