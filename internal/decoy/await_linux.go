package decoy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// fill parks the goroutine until the connection has bytes (or its end, or an
// error) to read, and returns a borrowed buffer filled with them. While it waits
// it owns none. What is there already costs neither a timer nor a wait.
func (w *wire) fill() (*bufio.Reader, error) {
	raw, err := w.rawConn()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if now.After(w.end) {
		return nil, os.ErrDeadlineExceeded // also for who never lets us wait
	}
	if w.armed && !now.Before(w.deadline) {
		w.extend() // the deadline of an earlier wait has passed, or is not to count any more
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
			w.extend() // only who waits needs a deadline
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

// rawConn is the connection's access to its descriptor, made once.
func (w *wire) rawConn() (syscall.RawConn, error) {
	if w.raw == nil {
		raw, err := w.tcp.SyscallConn()
		if err != nil {
			return nil, err
		}
		w.raw = raw
	}
	return w.raw, nil
}

// writeNow writes what fits the socket's buffer without waiting, which needs
// no timer. An error means that nothing can be told yet.
func (w *wire) writeNow(p []byte) (n int, err error) {
	raw, err := w.rawConn()
	if err != nil {
		return 0, err
	}
	werr := raw.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), p)
		return true
	})
	if werr != nil || err != nil {
		return max(n, 0), errors.Join(werr, err)
	}
	return n, nil
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
