package decoy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"bartizan/internal/decoy/persona"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// ErrLimit ends a conversation that has used up one of its limits.
var ErrLimit = errors.New("visitor limit reached")

// bufferSize is the size of pooled read and write buffers. They are lent to a
// session only while it has something to read or write, because thousands of
// idle visitors must cost next to nothing.
const bufferSize = 4096

// maxHeld bounds the memory that all visitors of a runner occupy together with
// what they sent: transcripts, bodies, stored values (Session.Hold).
const maxHeld = 256 << 20

// recordSize is the size of the buffers lent to transcripts.
const recordSize = 2048

// maxFirst is how many of the visitor's first bytes an interaction carries.
const maxFirst = 512

// Session is one visitor of one decoy. Its reading and writing methods are for
// one goroutine; the observation methods may be called from several.
type Session struct {
	run  *Instance
	conn net.Conn // counted, limited and recorded
	wire *wire

	id     model.ULID
	start  time.Time
	remote netip.AddrPort
	local  netip.AddrPort
	source netip.Prefix // whose share of connections it counts for; invalid for nobody's
	ctx    context.Context

	r      *bufio.Reader
	w      *bufio.Writer
	linger bool

	report    sync.Mutex // keeps the report of an end behind that of the opening
	mu        sync.Mutex // guards what follows
	events    int
	held      int // bytes of the runner's shared memory this visit has taken
	ended     bool
	client    string
	prints    observe.Fingerprints
	record    []byte // transcript
	recording bool
	lastDir   byte
}

// ID is the identity of the interaction; all its observations carry it.
func (s *Session) ID() model.ULID { return s.id }

// Remote is the visitor's address, from the PROXY protocol where a named peer sent it.
func (s *Session) Remote() netip.AddrPort { return s.remote }

// Local is the address the visitor reached.
func (s *Session) Local() netip.AddrPort { return s.local }

// Persona is who this decoy pretends to be.
func (s *Session) Persona() *persona.Persona { return s.run.Persona }

// Now is the current time.
func (s *Session) Now() time.Time { return time.Now() }

// Conn is the connection for a library that wants one (TLS, SSH). It applies
// the same limits; do not mix it with the buffered methods.
func (s *Session) Conn() net.Conn { return s.conn }

// Upgrade puts a protocol such as TLS between the session and the wire: from
// now on the buffered methods work on what wrap returns. The transcript then
// records the clear text.
func (s *Session) Upgrade(wrap func(net.Conn) (net.Conn, error)) error {
	s.wire.quiet.Store(true)
	under := s.conn
	if n := s.Buffered(); n > 0 {
		// What was looked at to decide on the upgrade belongs to the new protocol.
		head, _ := s.r.Peek(n) // no error: n bytes are there
		under = &prefixed{Conn: s.conn, head: bytes.Clone(head)}
		if int64(n) == s.wire.in {
			s.unnote() // nothing was said in clear text before it
		}
	}
	s.release()
	c, err := wrap(under)
	if err != nil {
		return err
	}
	s.conn = &recorded{Conn: c, s: s}
	return nil
}

// Pause shortens how long a read waits for the visitor; 0 restores the limit
// of the instance. It never lengthens it.
func (s *Session) Pause(d time.Duration) {
	s.wire.pause = d
	s.wire.deadline = time.Time{}
}

// Linger asks the runner to keep reading (and ignoring) a moment after the last
// answer, for a visitor that is still sending: closing at once would make the
// kernel reset the connection and take the answer with it.
func (s *Session) Linger() { s.linger = true }

// forget makes what was consumed so far (a proxy's header) unheard: only what
// is still buffered came from the visitor.
func (s *Session) forget() {
	s.wire.in, s.wire.first = int64(s.Buffered()), nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record, s.lastDir, s.wire.noted = s.record[:0], 0, false
	if n := s.Buffered(); n > 0 {
		head, _ := s.r.Peek(n) // no error: n bytes are there
		s.wire.first = bytes.Clone(head[:min(n, maxFirst)])
		if s.recording && n > maxFirst {
			s.note('<', head)
			s.wire.noted = true
		}
	}
}

// Hold takes n bytes of the memory all visitors share, until this visit ends.
// When it says no, keep counting what arrives but stop keeping it.
func (s *Session) Hold(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hold(n)
}

func (s *Session) hold(n int) bool {
	if s.run.runner.held.Add(int64(n)) > maxHeld {
		s.run.runner.held.Add(-int64(n))
		return false
	}
	s.held += n
	return true
}

// Buffered tells how many bytes can be read without waiting.
func (s *Session) Buffered() int {
	if s.r == nil {
		return 0
	}
	return s.r.Buffered()
}

// Reader is the buffered reader, waiting for the first byte before it borrows
// a buffer. It belongs to the session until the next Flush.
func (s *Session) Reader() (*bufio.Reader, error) {
	if s.r == nil {
		if w, ok := s.conn.(*wire); ok {
			first, err := w.await()
			if err != nil {
				return nil, err
			}
			s.r = first
			return s.r, nil
		}
		s.r = s.run.getReader(s.conn)
	}
	return s.r, nil
}

// Read implements io.Reader.
func (s *Session) Read(p []byte) (int, error) {
	r, err := s.Reader()
	if err != nil {
		return 0, err
	}
	return r.Read(p)
}

// Peek returns the next n bytes without consuming them; fewer only with an error.
func (s *Session) Peek(n int) ([]byte, error) {
	r, err := s.Reader()
	if err != nil {
		return nil, err
	}
	return r.Peek(n)
}

// ReadByte reads one byte.
func (s *Session) ReadByte() (byte, error) {
	r, err := s.Reader()
	if err != nil {
		return 0, err
	}
	return r.ReadByte()
}

// ReadFull reads exactly len(p) bytes.
func (s *Session) ReadFull(p []byte) error {
	_, err := io.ReadFull(s, p)
	return err
}

// ReadLine reads up to and including '\n' and returns the line without its end
// of line. A line longer than Limits.Line ends the conversation with ErrLimit.
func (s *Session) ReadLine() (string, error) {
	var long []byte
	for {
		r, err := s.Reader()
		if err != nil {
			return "", err
		}
		part, err := r.ReadSlice('\n')
		if err == nil && long == nil {
			return string(trimEOL(part)), nil
		}
		long = append(long, part...)
		if len(long) > s.run.Limits.Line {
			return "", ErrLimit
		}
		switch {
		case err == nil:
			return string(trimEOL(long)), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return string(long), err
		}
	}
}

func trimEOL(b []byte) []byte {
	n := len(b)
	if n > 0 && b[n-1] == '\n' {
		n--
	}
	if n > 0 && b[n-1] == '\r' {
		n--
	}
	return b[:n]
}

// Write buffers p; Flush sends it. A read that has to wait does not flush.
func (s *Session) Write(p []byte) (int, error) {
	return s.writer().Write(p)
}

// WriteString buffers text.
func (s *Session) WriteString(text string) (int, error) {
	return s.writer().WriteString(text)
}

// Scratch is an empty slice to build an answer in, for the next Write only; what
// fits is neither allocated nor copied.
func (s *Session) Scratch() []byte { return s.writer().AvailableBuffer() }

func (s *Session) writer() *bufio.Writer {
	if s.w == nil {
		s.w = s.run.getWriter(s.conn)
	}
	return s.w
}

// Flush sends what was written and gives idle buffers back; call it before
// waiting for the visitor, also when there is nothing to send. A reader from
// Reader is not to be used after it.
func (s *Session) Flush() (err error) {
	if s.w != nil {
		err = s.w.Flush()
		s.run.putWriter(s.w)
		s.w = nil
	}
	if s.r != nil && s.r.Buffered() == 0 {
		s.run.putReader(s.r)
		s.r = nil
	}
	return err
}

// release gives both buffers back, whatever is in them.
func (s *Session) release() {
	if s.w != nil {
		s.run.putWriter(s.w)
		s.w = nil
	}
	if s.r != nil {
		s.run.putReader(s.r)
		s.r = nil
	}
}

// Identify records what the client calls itself and how its stack looks; empty
// fields leave what is known.
func (s *Session) Identify(client string, f observe.Fingerprints) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := func(to *string, v string, max int) {
		if v != "" {
			*to = clip(v, max)
		}
	}
	set(&s.client, client, 256)
	set(&s.prints.JA3, f.JA3, 64)
	set(&s.prints.JA4, f.JA4, 64)
	set(&s.prints.HASSH, f.HASSH, 64)
	set(&s.prints.SNI, f.SNI, 253)
	set(&s.prints.ALPN, f.ALPN, 64)
}

// Auth reports an offered credential. It is kept as evidence too: signals name
// no passwords, and many protocols do not show them in a transcript.
func (s *Session) Auth(a observe.AuthAttempt) error {
	a.User, a.Password, a.Key = clip(a.User, 512), clip(a.Password, 512), clip(a.Key, 512)
	secret := a.Password
	if secret == "" {
		secret = a.Key
	}
	kept := fmt.Sprintf("%s %q %q\n", a.Method, a.User, secret)
	return s.emit(observe.Observation{Kind: observe.KindAuth, Auth: &a, Evidence: blobs("credential", []byte(kept))})
}

// Command reports an executed command line, and keeps it as evidence: a signal
// quotes only the beginning.
func (s *Session) Command(user, line string) error {
	c := observe.Command{User: clip(user, 64), Line: clip(line, observe.MaxText)}
	return s.emit(observe.Observation{Kind: observe.KindCommand, Command: &c, Evidence: blobs("command", []byte(c.Line))})
}

// HTTP reports a request; raw, when given, is kept as evidence.
func (s *Session) HTTP(h observe.HTTPRequest, raw []byte) error {
	h.Method, h.Target, h.Proto, h.Host = clip(h.Method, 64), clip(h.Target, observe.MaxText), clip(h.Proto, 32), clip(h.Host, 512)
	if len(h.Headers) > observe.MaxFields {
		h.Headers = h.Headers[:observe.MaxFields]
	}
	for i := range h.Headers {
		h.Headers[i].Name, h.Headers[i].Value = clip(h.Headers[i].Name, 256), clip(h.Headers[i].Value, 8<<10)
	}
	if len(h.Body) > observe.MaxBody {
		h.Body = h.Body[:observe.MaxBody]
	}
	return s.emit(observe.Observation{Kind: observe.KindHTTP, HTTP: &h, Evidence: blobs("request", raw)})
}

// File reports a file the visitor brought, with its content up to the cap.
func (s *Session) File(f observe.FileEvent, content []byte) error {
	f.Path, f.How = clip(f.Path, 1024), clip(f.How, 64)
	if max := s.run.Limits.File; len(content) > max {
		content, f.Capped = content[:max], true
	}
	if f.Type == "" {
		f.Type = FileType(content)
	}
	return s.emit(observe.Observation{Kind: observe.KindFile, File: &f, Evidence: blobs("file", content)})
}

// Fetch reports a download the visitor asked for.
func (s *Session) Fetch(url, tool string) error {
	return s.emit(observe.Observation{Kind: observe.KindFetch, Fetch: &observe.Fetch{URL: clip(url, model.MaxEntity), Tool: clip(tool, 64)}})
}

// Forward reports a wish to use the host as a relay.
func (s *Session) Forward(kind, target string) error {
	return s.emit(observe.Observation{Kind: observe.KindForward, Forward: &observe.Forward{Kind: clip(kind, 64), Target: clip(target, 512)}})
}

// Call reports an operation of a service protocol; raw, when given, is kept.
func (s *Session) Call(c observe.APICall, raw []byte) error {
	c.Operation, c.Detail = clip(c.Operation, 256), clip(c.Detail, observe.MaxText)
	if len(c.Args) > observe.MaxFields {
		c.Args = c.Args[:observe.MaxFields]
	}
	for i := range c.Args {
		c.Args[i] = clip(c.Args[i], observe.MaxText)
	}
	return s.emit(observe.Observation{Kind: observe.KindCall, Call: &c, Evidence: blobs("payload", raw)})
}

// Exchange reports a request to a model; raw, when given, is kept.
func (s *Session) Exchange(e observe.Exchange, raw []byte) error {
	for _, f := range []*string{&e.Model, &e.System, &e.Prompt, &e.Answer, &e.Options, &e.Route, &e.Key} {
		*f = clip(*f, observe.MaxText)
	}
	return s.emit(observe.Observation{Kind: observe.KindExchange, Exchange: &e, Evidence: blobs("request", raw)})
}

func blobs(what string, data []byte) []observe.Blob {
	if len(data) == 0 {
		return nil
	}
	if len(data) > observe.MaxBlobLen {
		data = data[:observe.MaxBlobLen]
	}
	return []observe.Blob{{What: what, Size: len(data), Data: data}}
}

// emit completes an observation and hands it on. Past the session's share the
// observation is dropped and counted; the conversation ends with ErrLimit.
func (s *Session) emit(o observe.Observation) error {
	s.mu.Lock()
	s.events++
	over := s.events > s.run.Limits.Events
	s.mu.Unlock()
	if over {
		s.run.dropped.Add(1)
		return ErrLimit
	}
	s.fill(&o)
	return s.run.sink.Emit(s.ctx, &o)
}

func (s *Session) fill(o *observe.Observation) {
	o.Session, o.Decoy, o.Service, o.Local, o.Remote = s.id, s.run.Name, s.run.Service, s.local, s.remote
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
}

// Note adds a line to the transcript that did not cross the wire in clear text:
// what an SSH visitor typed ('<') or saw ('>').
func (s *Session) Note(dir byte, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(dir, data)
}

// unnote begins the transcript anew.
func (s *Session) unnote() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record, s.lastDir = s.record[:0], 0
}

func (s *Session) note(dir byte, data []byte) {
	room := s.run.Limits.Transcript - len(s.record)
	if room <= 3 || len(data) == 0 || s.ended {
		return
	}
	data = data[:min(len(data), room-3)]
	if !s.grow(len(data) + 3) {
		return
	}
	if dir != s.lastDir {
		// One marker per change of direction; the bytes themselves stay raw.
		s.record = append(s.record, '\n', dir, ' ')
		s.lastDir = dir
	}
	s.record = append(s.record, data...)
}

// grow makes room for n bytes of transcript, with memory from the common share.
// Most visits end before theirs outgrows a lent buffer.
func (s *Session) grow(n int) bool {
	have, want := cap(s.record), len(s.record)+n
	switch {
	case want <= have:
		return true
	case have == 0 && want <= recordSize:
		if !s.hold(recordSize) {
			return false
		}
		s.record = s.run.runner.records.Get().(*[recordSize]byte)[:0]
		return true
	}
	more := max(want-have, min(have, s.run.Limits.Transcript-have))
	if !s.hold(more) {
		return false
	}
	lent := s.record
	s.record = append(make([]byte, 0, have+more), lent...)
	s.run.runner.lend(lent)
	return true
}

func clip(s string, max int) string {
	if len(s) > max {
		return s[:max]
	}
	return s
}
