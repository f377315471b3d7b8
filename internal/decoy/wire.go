package decoy

import (
	"bufio"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// wire is the visitor's connection with the runner's limits on it.
type wire struct {
	net.Conn
	tcp   *net.TCPConn
	s     *Session
	quiet atomic.Bool // bytes are encrypted: do not record them
	in    int64
	out   int64
	first []byte
	noted bool // the transcript has begun

	pause    time.Duration // shorter than the idle limit, or 0
	deadline time.Time     // of reads, as set; zero: to be set before the next wait
	armed    bool          // the connection has had a read deadline
	fixed    time.Time     // of reads, as a library above us wants it; zero for none
	patience time.Time     // of writes, as set
	end      time.Time     // of everything

	// While direct, the socket is read without waiting, through the file
	// descriptor that the poller lends.
	direct bool
	fd     uintptr
	raw    syscall.RawConn
}

// errWait says that a direct read found nothing.
var errWait = errors.New("nothing to read yet")

// extend moves the idle deadline. Setting a timer costs more than reading a
// few bytes, so it moves only when a quarter of it has gone.
func (w *wire) extend() {
	idle := w.s.run.Limits.Idle
	if w.pause > 0 && w.pause < idle {
		idle = w.pause
	}
	want := time.Now().Add(idle)
	if want.After(w.end) {
		want = w.end
	}
	if !w.fixed.IsZero() && want.After(w.fixed) {
		want = w.fixed
	} else if want.Sub(w.deadline) < idle/4 {
		return
	}
	w.deadline, w.armed = want, true
	// Both fail only on a closed connection, which the read then reports.
	if w.patience.IsZero() {
		w.patience = want // one timer for both directions: most visits need no other
		_ = w.Conn.SetDeadline(want)
		return
	}
	_ = w.Conn.SetReadDeadline(want)
}

// await waits until the visitor has sent something and only then borrows a
// buffer, filled with it.
func (w *wire) await() (*bufio.Reader, error) {
	if w.tcp == nil {
		return w.s.run.getReader(w), nil
	}
	return w.fill()
}

func (w *wire) Read(p []byte) (n int, err error) {
	if w.in > w.s.run.Limits.In {
		return 0, ErrLimit // a reader that was given back may have forgotten it
	}
	if w.direct {
		n, err = readNow(w.fd, p)
	} else {
		w.extend()
		n, err = w.Conn.Read(p)
	}
	if n > 0 {
		before := w.in
		w.in += int64(n)
		if len(w.first) < maxFirst {
			w.first = append(w.first, p[:min(n, maxFirst-len(w.first))]...)
		}
		if !w.quiet.Load() && w.s.recording && (w.noted || w.in > maxFirst) {
			w.catchUp(before)
			w.s.Note('<', p[:n])
		}
		if w.in > w.s.run.Limits.In {
			return n, ErrLimit
		}
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	if w.out+int64(len(p)) > w.s.run.Limits.Out {
		return 0, ErrLimit
	}
	n := 0
	if w.tcp != nil {
		n, _ = w.writeNow(p) // an error shows again in the write that may wait
	}
	var err error
	if n < len(p) {
		// A visitor that does not read must not hold us: bounded by the same idle time.
		wait := min(w.s.run.Limits.Idle, 30*time.Second)
		if want := time.Now().Add(wait); want.Sub(w.patience) > wait/4 {
			w.patience = want
			_ = w.Conn.SetWriteDeadline(want) // fails only on a closed connection, which the write then reports
		}
		var more int
		more, err = w.Conn.Write(p[n:])
		n += more
	}
	w.out += int64(n)
	if !w.quiet.Load() && w.s.recording {
		w.catchUp(w.in)
		w.s.Note('>', p[:n])
	}
	return n, err
}

// catchUp begins the transcript with the first n bytes heard. Until somebody
// answers they are in first alone: many visitors never get that far.
func (w *wire) catchUp(n int64) {
	if !w.noted {
		w.noted = true
		w.s.Note('<', w.first[:n])
	}
}

// SetDeadline and its siblings keep libraries from lifting the runner's limits.
func (w *wire) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

func (w *wire) SetReadDeadline(t time.Time) error {
	w.fixed, w.deadline, w.armed = t, t, true // a zero deadline makes the next read set the idle limit again
	if t.IsZero() || t.After(w.end) {
		t = w.end
	}
	return w.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn; the runner's own patience stays in force.
func (w *wire) SetWriteDeadline(t time.Time) error {
	if t.IsZero() || t.After(w.end) {
		t = w.end
	}
	w.patience = t
	return w.Conn.SetWriteDeadline(t)
}

// recorded records what passes in clear text above an encrypted wire.
type recorded struct {
	net.Conn
	s *Session
}

func (c *recorded) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.s.Note('<', p[:n])
	return n, err
}

func (c *recorded) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.s.Note('>', p[:n])
	return n, err
}

// prefixed is a connection some bytes of which have been read already.
type prefixed struct {
	net.Conn
	head []byte
}

func (c *prefixed) Read(p []byte) (int, error) {
	if len(c.head) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.head)
	c.head = c.head[n:]
	return n, nil
}

// lend takes back a buffer of a transcript, if it is one that was lent.
func (r *Runner) lend(b []byte) {
	if cap(b) == recordSize {
		r.records.Put((*[recordSize]byte)(b[:recordSize]))
	}
}
