package jail

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	controlEnv = "JAIL_TEST_CONTROL"
	targetEnv  = "JAIL_TEST_TARGET"
	succeeded  = 42
)

// target is what the attacker goes for; the test makes it.
type target struct {
	Parent   int    // process to attack
	Secret   string // a file only the node may read
	Public   string // a file everyone may read
	Folder   string // a folder everyone may write
	TCP, UDP int    // loopback ports with a listener
	Unix     string // path of a listening unix socket
	Abstract string // name of an abstract one
	Listener int    // descriptor of a handed-over listener, -1 outside
}

// attack is one thing an intruder with code execution does. try returns nil when it worked. user is set where the attempt
// would work as any user, so that the control can be run without root too.
type attack struct {
	name string
	want string // errno inside the jail
	user bool
	try  func(target) error
}

func errnoName(err error) string {
	var e unix.Errno
	switch {
	case err == nil:
		return "SUCCESS"
	case errors.As(err, &e):
		return unix.ErrnoName(e)
	}
	return err.Error()
}

// sys makes a raw system call.
func sys(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	_, _, e := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	if e != 0 {
		return e
	}
	return nil
}

func ptr(s string) uintptr {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	keep = append(keep, p)
	return uintptr(unsafe.Pointer(p))
}

var keep []*byte // the kernel reads what the integers point at

const atCWD = ^uintptr(99) // AT_FDCWD = -100

func open(path string, flags int) error {
	fd, err := unix.Open(path, flags, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		var b [16]byte
		_, err = unix.Pread(fd, b[:], 0)
		if err == unix.EISDIR || err == unix.EIO { // opened is enough; address 0 of a memory file is not mapped
			err = nil
		}
	}
	return err
}

func sock(family, kind, proto int) func(target) error {
	return func(target) error {
		fd, err := unix.Socket(family, kind, proto)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

func proc(name string) func(target) error {
	return func(t target) error { return open("/proc/"+strconv.Itoa(t.Parent)+"/"+name, unix.O_RDONLY) }
}

// attacks is the list. The first part is files, then network, programs and processes, privileges, the kernel.
func attacks() []attack {
	return append(append(fileAttacks(), networkAttacks()...), append(processAttacks(), kernelAttacks()...)...)
}

func fileAttacks() []attack {
	return []attack{
		{"read /etc/passwd", "EPERM", true, func(target) error { return open("/etc/passwd", unix.O_RDONLY) }},
		{"read a public file", "EPERM", true, func(t target) error { return open(t.Public, unix.O_RDONLY) }},
		{"read the node's data", "EPERM", false, func(t target) error { return open(t.Secret, unix.O_RDONLY) }},
		{"write the node's data", "EPERM", false, func(t target) error { return open(t.Secret, unix.O_WRONLY) }},
		{"list /", "EPERM", true, func(target) error { return open("/", unix.O_RDONLY|unix.O_DIRECTORY) }},
		{"create a file", "EPERM", true, func(t target) error { return open(t.Folder+"/made", unix.O_CREAT|unix.O_WRONLY) }},
		{"create an unnamed file", "EPERM", true, func(t target) error { return open(t.Folder, unix.O_TMPFILE|unix.O_RDWR) }},
		{"make a directory", "EPERM", true, func(t target) error { return unix.Mkdir(t.Folder+"/dir"+strconv.Itoa(os.Getpid()), 0o700) }},
		{"make a link", "EPERM", true, func(t target) error { return unix.Symlink("/", t.Folder+"/link"+strconv.Itoa(os.Getpid())) }},
		{"change a mode", "EPERM", false, func(t target) error { return unix.Chmod(t.Secret, 0o600) }},
		{"look for a file", "EPERM", true, func(t target) error { var st unix.Stat_t; return unix.Stat(t.Public, &st) }},
		{"look for a file (statx)", "EPERM", true, func(t target) error {
			var st unix.Statx_t
			return unix.Statx(unix.AT_FDCWD, t.Public, 0, unix.STATX_BASIC_STATS, &st)
		}},
		{"ask for access", "EPERM", true, func(t target) error { return unix.Faccessat(unix.AT_FDCWD, t.Public, unix.R_OK, 0) }},
		{"read a link", "EPERM", true, func(target) error { var b [64]byte; _, err := unix.Readlink("/proc/self/exe", b[:]); return err }},
		{"change directory", "EPERM", true, func(t target) error { return unix.Chdir(t.Folder) }},
		{"openat2", "EPERM", true, func(t target) error {
			fd, err := unix.Openat2(unix.AT_FDCWD, t.Public, &unix.OpenHow{Flags: unix.O_RDONLY})
			if err == nil {
				unix.Close(fd)
			}
			return err
		}},
		{"memory of the parent", "EPERM", true, proc("mem")},
		{"maps of the parent", "EPERM", true, proc("maps")},
		{"environment of the parent", "EPERM", true, proc("environ")},
		{"descriptors of the parent", "EPERM", true, proc("fd")},
		{"reopen what was inherited", "EPERM", true, func(target) error { return open("/proc/self/fd/0", unix.O_RDONLY) }},
		{"own memory as a file", "EPERM", true, func(target) error { return open("/proc/self/mem", unix.O_RDWR) }},
		{"a terminal or device", "EPERM", true, func(target) error { return open("/dev/null", unix.O_RDWR) }},
	}
}

func networkAttacks() []attack {
	return []attack{
		{"tcp socket", "EPERM", true, sock(unix.AF_INET, unix.SOCK_STREAM, 0)},
		{"tcp6 socket", "EPERM", true, sock(unix.AF_INET6, unix.SOCK_STREAM, 0)},
		{"multipath tcp socket", "EPERM", true, sock(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)},
		{"udp socket", "EPERM", true, sock(unix.AF_INET, unix.SOCK_DGRAM, 0)},
		{"raw socket", "EPERM", false, sock(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
		{"unix socket", "EPERM", true, sock(unix.AF_UNIX, unix.SOCK_STREAM, 0)},
		{"netlink socket", "EPERM", true, sock(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)},
		{"packet socket", "EPERM", false, sock(unix.AF_PACKET, unix.SOCK_RAW, 0)},
		{"pair of sockets", "EPERM", true, func(target) error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err }},
		{"connect to loopback", "EPERM", true, func(t target) error {
			return withSocket(t, unix.AF_INET, unix.SOCK_STREAM, func(fd int) error { return unix.Connect(fd, loop(t.TCP)) })
		}},
		{"bind and listen", "EPERM", true, func(t target) error {
			return withSocket(t, unix.AF_INET, unix.SOCK_STREAM, func(fd int) error { return errors.Join(unix.Bind(fd, loop(0)), unix.Listen(fd, 1)) })
		}},
		{"bind a handed-over socket", "EPERM", true, func(t target) error {
			return withSocket(t, unix.AF_INET, unix.SOCK_STREAM, func(fd int) error { return unix.Bind(fd, loop(0)) })
		}},
		{"listen on one", "EPERM", true, func(t target) error {
			return withSocket(t, unix.AF_INET, unix.SOCK_STREAM, func(fd int) error { return unix.Listen(fd, 1) })
		}},
		{"send a datagram", "EPERM", true, func(t target) error {
			return withSocket(t, unix.AF_INET, unix.SOCK_DGRAM, func(fd int) error { return unix.Sendto(fd, []byte("x"), 0, loop(t.UDP)) })
		}},
		{"send a message", "EPERM", true, func(t target) error {
			return withSocket(t, unix.AF_INET, unix.SOCK_DGRAM, func(fd int) error { return unix.Sendmsg(fd, []byte("x"), nil, loop(t.UDP), 0) })
		}},
		{"connect with the first data", "EPERM", true, func(t target) error {
			return withSocket(t, unix.AF_INET, unix.SOCK_STREAM, func(fd int) error {
				return unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, loop(t.TCP))
			})
		}},
		{"connect to a unix socket", "EPERM", true, func(t target) error {
			return withSocket(t, unix.AF_UNIX, unix.SOCK_STREAM, func(fd int) error { return unix.Connect(fd, &unix.SockaddrUnix{Name: t.Unix}) })
		}},
		{"connect to an abstract one", "EPERM", true, func(t target) error {
			return withSocket(t, unix.AF_UNIX, unix.SOCK_STREAM, func(fd int) error { return unix.Connect(fd, &unix.SockaddrUnix{Name: t.Abstract}) })
		}},
		{"attach a packet filter", "EPERM", false, func(t target) error {
			return withSocket(t, unix.AF_INET, unix.SOCK_STREAM, func(fd int) error {
				code := []unix.SockFilter{{Code: opReturn, K: 0xffff}}
				return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &code[0]})
			})
		}},
		{"ask for signals on data", "EPERM", true, func(t target) error {
			return withSocket(t, unix.AF_INET, unix.SOCK_STREAM, func(fd int) error { _, err := unix.FcntlInt(uintptr(fd), unix.F_SETOWN, os.Getpid()); return err })
		}},
	}
}

// withSocket gives fn a socket: outside the jail a new one, inside the handed-over listener, because there is no other.
func withSocket(t target, family, kind int, fn func(fd int) error) error {
	if t.Listener >= 0 {
		return fn(t.Listener)
	}
	fd, err := unix.Socket(family, kind, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return fn(fd)
}

func loop(port int) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
}

func processAttacks() []attack {
	return []attack{
		{"exec a shell", "EPERM", true, func(target) error {
			return unix.Exec("/bin/sh", []string{"sh", "-c", "exit " + strconv.Itoa(succeeded)}, nil)
		}},
		{"execveat", "EPERM", true, func(target) error {
			argv := []uintptr{ptr("sh"), ptr("-c"), ptr("exit " + strconv.Itoa(succeeded)), 0}
			env := []uintptr{0}
			return sys(unix.SYS_EXECVEAT, atCWD, ptr("/bin/sh"), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])), 0)
		}},
		{"memory file", "EPERM", true, func(target) error { fd, err := unix.MemfdCreate("x", 0); unix.Close(fd); return err }},
		{"fork", "EPERM", true, func(target) error {
			pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
			if e == 0 && pid == 0 {
				_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
			if e != 0 {
				return e
			}
			return nil
		}},
		{"clone3", "ENOSYS", true, func(target) error {
			args := struct{ flags, a, b, c, signal, s, z, t uint64 }{signal: uint64(unix.SIGCHLD)}
			pid, _, e := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
			if e == 0 && pid == 0 {
				_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
			if e != 0 {
				return e
			}
			return nil
		}},
		{"trace the parent", "EPERM", false, func(t target) error {
			runtime.LockOSThread()
			return sys(unix.SYS_PTRACE, 0x4206 /* PTRACE_SEIZE */, uintptr(t.Parent), 0, 0)
		}},
		{"read the parent's memory", "EPERM", false, func(t target) error {
			var b [8]byte // the test binary's text is not at a fixed address everywhere; EFAULT means the door was open
			local := []unix.Iovec{{Base: &b[0], Len: 8}}
			_, err := unix.ProcessVMReadv(t.Parent, local, []unix.RemoteIovec{{Base: 1, Len: 8}}, 0)
			if err == unix.EFAULT {
				return nil
			}
			return err
		}},
		{"signal the parent", "EPERM", true, func(t target) error { return unix.Kill(t.Parent, 0) }},
		{"signal a thread of the parent", "EPERM", true, func(t target) error { return unix.Tgkill(t.Parent, t.Parent, 0) }},
		{"signal everybody", "EPERM", true, func(target) error { return unix.Kill(-1, 0) }},
		{"queue a signal", "EPERM", true, func(t target) error {
			info := [16]uint64{}
			*(*int32)(unsafe.Pointer(&info[1])) = -1 // si_code SI_QUEUE
			return sys(unix.SYS_RT_SIGQUEUEINFO, uintptr(t.Parent), 0, uintptr(unsafe.Pointer(&info)))
		}},
		{"handle of the parent", "EPERM", true, func(t target) error { fd, err := unix.PidfdOpen(t.Parent, 0); unix.Close(fd); return err }},
		{"limits of the parent", "EPERM", true, func(t target) error {
			var lim unix.Rlimit
			return unix.Prlimit(t.Parent, unix.RLIMIT_NOFILE, nil, &lim)
		}},
		{"raise own limits", "EPERM", true, func(target) error {
			return unix.Prlimit(0, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
		}},
		{"become dumpable", "EPERM", true, func(target) error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }},
		{"outlive the parent", "EPERM", true, func(target) error { return unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0) }},
	}
}

func kernelAttacks() []attack {
	return []attack{
		{"become root", "EPERM", false, func(target) error { return sys(unix.SYS_SETUID, 0) }},
		{"change group", "EPERM", false, func(target) error { return sys(unix.SYS_SETGROUPS, 0, 0) }},
		{"set capabilities", "EPERM", true, func(target) error {
			var none [2]unix.CapUserData
			return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0])
		}},
		{"user namespace", "EPERM", true, func(target) error {
			err := sys(unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
			if err == unix.EINVAL { // the kernel refuses it to a process with threads, after it has agreed in principle
				err = nil
			}
			return err
		}},
		{"network namespace", "EPERM", false, func(target) error { return sys(unix.SYS_UNSHARE, unix.CLONE_NEWNET) }},
		{"mount", "EPERM", false, func(t target) error { return unix.Mount("none", t.Folder, "tmpfs", 0, "") }},
		{"chroot", "EPERM", false, func(target) error { return unix.Chroot("/") }},
		{"bpf", "EPERM", false, func(target) error {
			attr := struct{ kind, key, value, entries uint32 }{2 /* array */, 4, 4, 1}
			return sys(unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
		}},
		{"io_uring", "EPERM", true, func(target) error {
			var params [32]uint32
			return sys(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)))
		}},
		{"userfaultfd", "EPERM", false, func(target) error { return sys(unix.SYS_USERFAULTFD, unix.O_CLOEXEC) }},
		{"performance events", "EPERM", false, func(target) error {
			attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
			fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, 0)
			unix.Close(fd)
			return err
		}},
		{"key ring", "EPERM", true, func(target) error {
			_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_PROCESS_KEYRING, true)
			return err
		}},
		{"inotify", "EPERM", true, func(target) error { fd, err := unix.InotifyInit1(0); unix.Close(fd); return err }},
		{"personality", "EPERM", true, func(target) error { return sys(unix.SYS_PERSONALITY, 0xffffffff) }},
		{"load another filter", "EPERM", true, func(target) error {
			_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
			code := []unix.SockFilter{{Code: opReturn, K: allow}}
			p := unix.SockFprog{Len: 1, Filter: &code[0]}
			return sys(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&p)))
		}},
		{"memory that runs", "EPERM", true, func(target) error {
			_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
			return err
		}},
		{"memory made to run", "EPERM", true, func(target) error {
			m, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
			if err != nil {
				return fmt.Errorf("plain memory: %v", err)
			}
			return unix.Mprotect(m, unix.PROT_READ|unix.PROT_EXEC)
		}},
		{"shared memory", "EPERM", true, func(target) error {
			id, err := unix.SysvShmGet(0, 4096, 0o600|unix.IPC_CREAT)
			if err == nil {
				_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
			}
			return err
		}},
	}
}

// control is the attacker outside the jail: it tries the one attack named in the environment.
func control() int {
	var to target
	if err := json.Unmarshal([]byte(os.Getenv(targetEnv)), &to); err != nil {
		fmt.Println(err)
		return 1
	}
	for _, a := range attacks() {
		if a.name == os.Getenv(controlEnv) {
			err := a.try(to)
			if err == nil {
				return succeeded
			}
			fmt.Println(errnoName(err))
			return 1
		}
	}
	fmt.Println("no such attack")
	return 1
}
