package front

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// writer is the http.ResponseWriter of one request. A head and what follows at once leave
// together, in one write.
type writer struct {
	c       *conn
	header  http.Header
	out     *[]byte // what has not left; nil: nothing
	status  int     // 0: not said
	length  int64   // of the body; -1: in chunks
	written int64
	none    bool      // the status has no body
	last    bool      // the connection ends after it
	until   time.Time // when writing ends
	err     error
}

func (w *writer) reset() {
	clear(w.header)
	*w = writer{c: w.c, header: w.header}
}

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. It is called once, with a final status.
func (w *writer) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status < 200 || status > 999 {
		panic(fmt.Sprintf("front: status %d is none of an answer", status))
	}
	w.status, w.none, w.length = status, status == http.StatusNoContent || status == http.StatusNotModified, -1
	if n, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		w.length = n
	}
	delete(w.header, "Transfer-Encoding")
	delete(w.header, "Connection")
	if w.length < 0 || w.none {
		delete(w.header, "Content-Length")
	}
	w.last = w.last || w.c.s.closing.Load() || w.c.body.left > int64(w.c.in.Buffered())
	b := w.buffer()
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(append(append(b, ' '), http.StatusText(status)...), "\r\n"...)
	if _, ok := w.header["Date"]; !ok {
		b = time.Now().UTC().AppendFormat(append(b, "Date: "...), http.TimeFormat)
		b = append(b, "\r\n"...)
	}
	if w.last {
		b = append(b, "Connection: close\r\n"...)
	}
	if w.length < 0 && !w.none {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	*w.out = b
	_ = w.header.Write(w.pending()) // writing into memory does not fail
	*w.out = append(*w.out, "\r\n"...)
}

func (w *writer) buffer() []byte {
	if w.out == nil {
		w.out, _ = w.c.s.pool.Get().(*[]byte)
	}
	return *w.out
}

// pending appends to what has not left.
func (w *writer) pending() io.Writer { return appender{w} }

type appender struct{ w *writer }

func (a appender) Write(p []byte) (int, error) {
	*a.w.out = append(a.w.buffer(), p...)
	return len(p), nil
}

// WriteString is what http.Header writes with.
func (a appender) WriteString(s string) (int, error) {
	*a.w.out = append(a.w.buffer(), s...)
	return len(s), nil
}

var errNoBody = errors.New("an answer with this status has no body")

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.err != nil:
		return 0, w.err
	case len(p) == 0:
		return 0, nil
	case w.none:
		return 0, errNoBody
	case w.length >= 0 && w.written+int64(len(p)) > w.length:
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	b := w.buffer()
	if w.length < 0 {
		b = append(strconv.AppendInt(b, int64(len(p)), 16), "\r\n"...)
		*w.out = append(append(b, p...), "\r\n"...)
		if len(*w.out) > maxPending {
			w.flush()
		}
		return len(p), w.err
	}
	if len(b)+len(p) <= maxPending {
		*w.out = append(b, p...)
		return len(p), nil
	}
	w.flush()
	return w.write(p)
}

// write gives bytes to the connection.
func (w *writer) write(p []byte) (n int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	if !w.until.Equal(w.c.sent) {
		w.c.sent = w.until
		err = w.c.rwc.SetWriteDeadline(w.until)
	}
	if err == nil {
		n, err = w.c.rwc.Write(p)
	}
	if err != nil { // the client takes nothing any more
		w.err, w.last = err, true
		w.c.cancel()
	}
	return n, err
}

// maxPending is how much is copied together to leave at once, in bytes.
const maxPending = 64 << 10

// flush writes what has not left.
func (w *writer) flush() {
	if w.out == nil {
		return
	}
	b := w.out
	w.out = nil
	if len(*b) > 0 {
		_, _ = w.write(*b) // w.err has it
	}
	if cap(*b) <= 2*bufferSize {
		*b = (*b)[:0]
		w.c.s.pool.Put(b)
	}
}

// FlushError is called by http.ResponseController.
func (w *writer) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.flush()
	return w.err
}

// SetReadDeadline is called by http.ResponseController. It counts from the next read on.
func (w *writer) SetReadDeadline(t time.Time) error {
	w.c.until = t
	return nil
}

// SetWriteDeadline is called by http.ResponseController. It counts from the next write on.
func (w *writer) SetWriteDeadline(t time.Time) error {
	w.until = t
	return nil
}

// finish writes the end of an answer.
func (w *writer) finish() {
	if w.status == 0 {
		w.header.Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.none:
	case w.length < 0:
		*w.out = append(w.buffer(), "0\r\n\r\n"...)
	case w.written != w.length:
		w.last = true // the client has to see that something is missing
	}
	w.flush()
}
