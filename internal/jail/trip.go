package jail

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Trip is a system call that no code of ours makes inside the jail. Its arguments are the intruder's.
type Trip struct {
	Call  string    // name, or its number
	Count uint64    // calls refused since the last Trip that was reported, this one included
	Time  time.Time // when it was refused
}

const tripEvery = 200 * time.Millisecond

// seccompNotif and seccompNotifResp mirror linux/seccomp.h.
type seccompNotif struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type seccompNotifResp struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// readRights reads the one byte of the answer and the descriptor that may come with it.
func readRights(conn net.Conn) (*os.File, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("not a unix connection")
	}
	var one [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := u.ReadMsgUnix(one[:], oob)
	if err != nil || n != 1 {
		return nil, fmt.Errorf("read answer: %w", errors.Join(err, unexpected(n)))
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(msgs) == 0 {
		return nil, nil
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) == 0 {
		return nil, nil
	}
	return os.NewFile(uintptr(fds[0]), "tripwire"), nil
}

func unexpected(n int) error {
	if n != 1 {
		return fmt.Errorf("%d bytes, want 1", n)
	}
	return nil
}

// watch refuses the announced calls and reports them, until the child is gone.
func (c *Child) watch(wire *os.File, report func(Trip)) {
	defer wire.Close()
	fd := int(wire.Fd())
	var last time.Time
	var since uint64
	for !c.ended.Load() { // kernels before 5.9 do not say when the last thread has gone
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(p, 500); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if p[0].Revents&unix.POLLIN == 0 {
			if p[0].Revents != 0 { // hung up: no thread uses the filter any more
				return
			}
			continue
		}
		var n seccompNotif
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // the caller died or was interrupted
		}
		resp := seccompNotifResp{id: n.id, error: -int32(unix.EPERM)}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&resp)))
		c.tripped.Add(1)
		since++
		if now := time.Now(); report != nil && now.Sub(last) >= tripEvery {
			report(Trip{Call: callName(uintptr(n.nr)), Count: since, Time: now})
			last, since = now, 0
		}
	}
}

// callName names the calls worth a name in an alarm.
func callName(nr uintptr) string {
	switch nr {
	case unix.SYS_SOCKET:
		return "socket"
	case unix.SYS_CONNECT:
		return "connect"
	case unix.SYS_BIND:
		return "bind"
	case unix.SYS_LISTEN:
		return "listen"
	case unix.SYS_EXECVE:
		return "execve"
	case unix.SYS_EXECVEAT:
		return "execveat"
	case unix.SYS_PTRACE:
		return "ptrace"
	case unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV:
		return "process_vm"
	case unix.SYS_MOUNT:
		return "mount"
	case unix.SYS_UNSHARE:
		return "unshare"
	case unix.SYS_BPF:
		return "bpf"
	case unix.SYS_IO_URING_SETUP:
		return "io_uring_setup"
	case unix.SYS_MEMFD_CREATE:
		return "memfd_create"
	case unix.SYS_SETUID, unix.SYS_SETRESUID:
		return "setuid"
	}
	return fmt.Sprintf("system call %d", nr)
}
