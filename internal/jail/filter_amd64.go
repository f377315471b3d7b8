package jail

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	// x32Bit marks the x32 table, a second set of numbers for the same calls.
	x32Bit = 0x40000000
)

// allowedHere are calls only this machine has; newer machines have just their successors.
var allowedHere = []uintptr{unix.SYS_EPOLL_WAIT, unix.SYS_POLL, unix.SYS_SELECT, unix.SYS_TIME}

var trippedHere = []uintptr{
	unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_USELIB, unix.SYS_IOPERM, unix.SYS_IOPL, unix.SYS_MODIFY_LDT, unix.SYS_CREATE_MODULE,
}

// readingHere are calls for files that only this machine still has.
var readingHere = []uintptr{unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_READLINK, unix.SYS_ACCESS, unix.SYS_GETDENTS}
