package decoy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// fill parks the goroutine until the connection has bytes (or its end, or an
// error) to read, and returns a borrowed buffer filled with them. While it waits
// it owns none. It costs the same system calls as a plain read.
func (w *wire) fill() (*bufio.Reader, error) {
	raw, err := w.tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	var got *bufio.Reader
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		r := w.s.run.getReader(w)
		w.direct, w.fd = true, fd
		_, failed = r.Peek(1)
		w.direct = false
		if errors.Is(failed, errWait) {
			w.s.run.putReader(r)
			return false
		}
		got = r
		return true
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		if got != nil && got.Buffered() == 0 {
			w.s.run.putReader(got)
		}
		return nil, err
	}
	return got, nil
}

// readNow reads what is there, or fails with errWait.
func readNow(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, errWait
		case err != nil:
			return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}
