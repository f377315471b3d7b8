package ssh

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"bartizan/internal/decoy"
	"bartizan/internal/observe"
)

// wire is the visitor's connection as the SSH library sees it. It reads the
// identification and the first packet along, because the library does not show
// them, and makes sure that nobody touches the session once Serve has returned.
type wire struct {
	net.Conn
	s *decoy.Session

	greeting string // written by us; the library's own is dropped
	rest     []byte // read and not yet handed on
	hello    *hello // reading along; nil when done
	handed   bool   // the library has it

	arrived int64 // bytes read from the visitor
	held    int64 // bytes of shared memory taken for them

	reading, writing sync.Mutex
	gone             atomic.Bool
}

// errGone ends what the library still wants from a connection that is over.
var errGone = errors.New("visit is over")

const (
	maxVersion = 255 // RFC 4253, section 4.2, with CR LF
	// slack is how much a visitor may send before it is charged.
	slack    = 256 << 10
	holdStep = 128 << 10
)

// takeWire takes the connection out of the session, and out of its transcript:
// what follows is encrypted and noted in clear where it is handled.
func takeWire(s *decoy.Session) (*wire, error) {
	w := &wire{s: s}
	return w, s.Upgrade(func(c net.Conn) (net.Conn, error) {
		w.Conn = c
		return c, nil
	})
}

// greet exchanges identification strings and answers strangers as sshd does.
func (w *wire) greet(version string) bool {
	w.greeting = version + "\r\n"
	if _, err := w.Conn.Write([]byte(w.greeting)); err != nil {
		return false
	}
	line, ok := w.readVersion()
	w.s.Note('<', line)
	text := strings.TrimRight(string(line), "\r\n")
	answer := ""
	switch {
	case !ok && len(line) < maxVersion:
		return false // left
	case strings.HasPrefix(text, "SSH-2.") || strings.HasPrefix(text, "SSH-1.99-"):
		if ok && len(text) > 8 {
			w.s.Identify(clean(text), observe.Fingerprints{})
			w.rest = append(line, w.rest...)
			w.hello = &hello{skip: len(line)}
			w.hello.see(w.rest)
			return true
		}
		answer = "Invalid SSH identification string.\r\n"
	case strings.HasPrefix(text, "SSH-1"):
		answer = "Protocol major versions differ.\r\n"
	default:
		answer = "Invalid SSH identification string.\r\n"
	}
	_, _ = w.Conn.Write([]byte(answer)) // the visitor is leaving anyway
	w.s.Note('>', []byte(answer))
	w.s.Linger()
	return false
}

// readVersion reads the first line; what was read beyond it is kept in rest.
func (w *wire) readVersion() (line []byte, ok bool) {
	buf := make([]byte, 0, 1024)
	for {
		n, err := w.Conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		w.arrived += int64(n)
		if i := bytes.IndexByte(buf, '\n'); i >= 0 && i < maxVersion {
			w.rest = buf[i+1:]
			return bytes.Clone(buf[:i+1]), true
		}
		if err != nil || len(buf) >= maxVersion {
			return buf, false
		}
	}
}

// Read implements net.Conn for the library.
func (w *wire) Read(p []byte) (int, error) {
	w.reading.Lock()
	defer w.reading.Unlock()
	if w.gone.Load() {
		return 0, errGone
	}
	if len(w.rest) > 0 {
		n := copy(p, w.rest)
		if w.rest = w.rest[n:]; len(w.rest) == 0 {
			w.rest = nil
			w.learn()
		}
		return n, nil
	}
	n, err := w.Conn.Read(p)
	if w.hello != nil {
		w.hello.see(p[:n])
		w.learn()
	}
	w.arrived += int64(n)
	for w.arrived-slack > w.held {
		// What arrives in bulk stays: as files, or in channels that nobody reads.
		if !w.s.Hold(holdStep) {
			return n, decoy.ErrLimit
		}
		w.held += holdStep
	}
	return n, err
}

// learn takes the fingerprint when the first packet is complete.
func (w *wire) learn() {
	if w.hello == nil || !w.hello.done {
		return
	}
	w.s.Identify("", observe.Fingerprints{HASSH: w.hello.hassh()})
	w.hello = nil
}

// Write implements net.Conn for the library.
func (w *wire) Write(p []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	if w.gone.Load() {
		return 0, errGone
	}
	if w.greeting != "" {
		own := w.greeting
		w.greeting = ""
		if string(p) == own {
			return len(p), nil
		}
	}
	return w.Conn.Write(p)
}

// hangUp ends the connection; readers and writers fail.
func (w *wire) hangUp() { _ = w.Conn.Close() } // closing twice is no mistake here

// Close implements net.Conn for the library.
func (w *wire) Close() error { return w.Conn.Close() }

// shut hands the connection back: afterwards no goroutine of the library that
// is still on its way out can reach the session through it.
func (w *wire) shut() {
	if !w.handed {
		return // nothing else reads, and the runner may still want to let an answer arrive
	}
	w.gone.Store(true)
	w.hangUp()
	w.reading.Lock()
	w.writing.Lock()
	w.writing.Unlock()
	w.reading.Unlock()
}

// clean makes what a stranger calls himself printable.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
