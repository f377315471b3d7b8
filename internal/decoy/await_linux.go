package decoy

import (
	"net"

	"golang.org/x/sys/unix"
)

// awaitReadable parks the goroutine until the connection has bytes (or its end,
// or an error) to read, without owning a buffer while it waits.
func awaitReadable(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var one [1]byte
	return raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err != unix.EAGAIN && err != unix.EINTR
	})
}
