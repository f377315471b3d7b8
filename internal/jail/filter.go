package jail

import (
	"golang.org/x/sys/unix"
)

// The filter is an allow-list: what a Go program with cgo needs to run threads, a heap and a network poller over
// descriptors it already has. Everything else is refused with EPERM. In particular no call that takes a path is on it
// (Landlock does not cover stat, chdir or readlink), none that makes a descriptor out of nothing but pipe, eventfd and
// epoll, and none that makes a process.
var allowed = []uintptr{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_CLOSE, unix.SYS_LSEEK, unix.SYS_FSTAT,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2, unix.SYS_EVENTFD2, unix.SYS_PIPE2,
	unix.SYS_PPOLL, unix.SYS_PSELECT6,
	unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_GETSOCKOPT, unix.SYS_SHUTDOWN,
	unix.SYS_RECVFROM, unix.SYS_RECVMSG,
	unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MREMAP, unix.SYS_BRK,
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY,
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETCPU, unix.SYS_RESTART_SYSCALL,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_RSEQ, unix.SYS_SET_ROBUST_LIST, unix.SYS_SET_TID_ADDRESS,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETPPID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
	unix.SYS_GETRUSAGE, unix.SYS_GETRANDOM, unix.SYS_UNAME, unix.SYS_CAPGET, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}

// tripped are calls that no code of ours makes inside the jail: whoever makes one has taken the process over. They are
// refused like the rest, and announced to the parent where the kernel can do it.
var tripped = []uintptr{
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_CONNECT, unix.SYS_SENDMMSG,
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP,
	unix.SYS_PROCESS_MADVISE, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_TKILL,
	unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_MOVE_MOUNT,
	unix.SYS_OPEN_TREE, unix.SYS_MOUNT_SETATTR, unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER,
	unix.SYS_IO_URING_REGISTER, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_MEMFD_CREATE, unix.SYS_MEMFD_SECRET,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT, unix.SYS_SWAPON,
	unix.SYS_PERSONALITY, unix.SYS_SETUID, unix.SYS_SETREUID, unix.SYS_SETRESUID, unix.SYS_SETGID, unix.SYS_SETREGID,
	unix.SYS_SETRESGID, unix.SYS_SETGROUPS, unix.SYS_CAPSET, unix.SYS_SETHOSTNAME, unix.SYS_CLOCK_SETTIME, unix.SYS_SETTIMEOFDAY,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_SYSLOG, unix.SYS_MQ_OPEN, unix.SYS_SHMGET, unix.SYS_MSGGET,
	unix.SYS_SEMGET, unix.SYS_FANOTIFY_INIT, unix.SYS_INOTIFY_INIT1, unix.SYS_SECCOMP, unix.SYS_PKEY_MPROTECT,
}

// socketOptions are the (level, name) pairs a server sets on a connection it accepted. The others are kernel code that
// an attacker would like to reach: packet filters, upper layer protocols, IP options, multicast.
var socketOptions = [][2]uint32{
	{unix.IPPROTO_TCP, unix.TCP_NODELAY}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}, {unix.IPPROTO_TCP, unix.TCP_KEEPCNT}, {unix.SOL_SOCKET, unix.SO_LINGER},
	{unix.SOL_SOCKET, unix.SO_RCVBUF}, {unix.SOL_SOCKET, unix.SO_SNDBUF}, {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
	{unix.IPPROTO_TCP, unix.TCP_QUICKACK},
}

const (
	refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	allow  = unix.SECCOMP_RET_ALLOW
)

// filter builds the rules for the process pid. trip is what is done with the calls of tripped; those of also are allowed,
// until a second filter refuses them.
func filter(pid int, trip uint32, also ...uintptr) []unix.SockFilter {
	var options [][]cond
	for _, o := range socketOptions {
		options = append(options, []cond{{arg: 1, val: o[0]}, {arg: 2, val: o[1]}})
	}
	rules := []rule{
		// First what every connection does.
		{nr: unix.SYS_SETSOCKOPT, any: options, then: allow},
		{nr: unix.SYS_SENDTO, any: [][]cond{{{arg: 4, val: 0, wide: true}}}, then: allow}, // no address: only to where it is connected
	}
	rules = append(rules, commonRules(pid)...)
	for _, list := range [][]uintptr{allowed, allowedHere, also} {
		for _, nr := range list {
			rules = append(rules, rule{nr: nr, then: allow})
		}
	}
	if trip != refuse {
		for _, list := range [][]uintptr{tripped, trippedHere} {
			for _, nr := range list {
				rules = append(rules, rule{nr: nr, then: trip})
			}
		}
	}
	return assemble(rules, refuse)
}

// commonRules are the calls that every jailed process pid makes, with the arguments they may have.
func commonRules(pid int) []rule {
	self := uint32(pid)
	var control [][]cond
	for _, c := range []uint32{unix.F_GETFL, unix.F_SETFL, unix.F_DUPFD_CLOEXEC, unix.F_GETFD, unix.F_SETFD} {
		control = append(control, []cond{{arg: 1, val: c}})
	}
	noExec := [][]cond{{{arg: 2, mask: unix.PROT_EXEC, val: 0}}}
	return []rule{
		{nr: unix.SYS_FCNTL, any: control, then: allow},
		// No memory becomes code: what runs is what was loaded before.
		{nr: unix.SYS_MMAP, any: noExec, then: allow},
		{nr: unix.SYS_MPROTECT, any: noExec, then: allow},
		// Threads, never processes; clone3 hides its flags behind a pointer, and libc falls back to clone.
		{nr: unix.SYS_CLONE, any: [][]cond{{{arg: 0, mask: unix.CLONE_THREAD | namespaceFlags, val: unix.CLONE_THREAD}}}, then: allow},
		{nr: unix.SYS_CLONE3, then: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		// The runtime pre-empts its own threads by signal.
		{nr: unix.SYS_TGKILL, any: [][]cond{{{arg: 0, val: self}}}, then: allow},
		{nr: unix.SYS_KILL, any: [][]cond{{{arg: 0, val: self}}}, then: allow},
		{nr: unix.SYS_PRCTL, any: [][]cond{
			{{arg: 0, val: unix.PR_SET_NAME}}, {{arg: 0, val: unix.PR_SET_VMA}, {arg: 1, val: unix.PR_SET_VMA_ANON_NAME}},
			{{arg: 0, val: unix.PR_GET_NO_NEW_PRIVS}}, {{arg: 0, val: unix.PR_GET_SECCOMP}},
		}, then: allow},
		// Reading one's own limits, not changing them.
		{nr: unix.SYS_PRLIMIT64, any: [][]cond{{{arg: 0, val: 0}, {arg: 2, val: 0, wide: true}}}, then: allow},
		// Short cuts the standard library takes where it can: EINVAL makes it copy by hand.
		{nr: unix.SYS_SPLICE, then: unix.SECCOMP_RET_ERRNO | uint32(unix.EINVAL)},
		{nr: unix.SYS_SENDFILE, then: unix.SECCOMP_RET_ERRNO | uint32(unix.EINVAL)},
		{nr: unix.SYS_COPY_FILE_RANGE, then: unix.SECCOMP_RET_ERRNO | uint32(unix.EINVAL)},
	}
}

const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET
