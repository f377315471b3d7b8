package shell

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// stream is an open file descriptor.
type stream struct {
	r   *bufio.Reader
	w   io.Writer
	tty bool
}

var (
	errPipe   = errors.New("Broken pipe")
	errBudget = errors.New("output limit")
)

func newInput(r io.Reader) *stream {
	if r == nil {
		r = bytes.NewReader(nil)
	}
	return &stream{r: bufio.NewReaderSize(r, 1024)}
}

// outWriter is the visitor's terminal or channel. Beyond the limits it drops
// everything and ends the line.
type outWriter struct {
	s *Shell
	w io.Writer
}

func (o *outWriter) Write(b []byte) (int, error) {
	if o.w == nil {
		return len(b), nil
	}
	s := o.s
	left := min(s.limits.Output-s.out, s.limits.SessionOutput-s.session)
	if int64(len(b)) > left {
		b = b[:max(left, 0)]
		s.abort("")
		if len(b) == 0 {
			return 0, errBudget
		}
	}
	s.out += int64(len(b))
	s.session += int64(len(b))
	s.spend(1 + len(b)/64)
	return o.w.Write(b)
}

// pipeBuf stands between two commands of a pipeline. Commands run one after
// the other, so a writer that would go on for ever meets a broken pipe.
type pipeBuf struct {
	s      *Shell
	buf    bytes.Buffer
	max    int
	broken bool
	e      *env // the writing shell; it dies of SIGPIPE
}

func (p *pipeBuf) Write(b []byte) (int, error) {
	if p.broken || p.buf.Len()+len(b) > p.max {
		p.broken = true
		if p.e != nil && p.e.ctl == ctlNone {
			p.e.ctl, p.e.status = ctlExit, 141
		}
		return 0, errPipe
	}
	if !p.s.spend(1 + len(b)/64) {
		return 0, errBudget
	}
	return p.buf.Write(b)
}

// fileOut writes to a file of the session.
type fileOut struct {
	s      *Shell
	n      *node
	path   string
	append bool
	off    int64
}

func (f *fileOut) Write(b []byte) (int, error) {
	if !f.s.spend(1 + len(b)/64) {
		return 0, errBudget
	}
	f.s.fs.mu.Lock()
	defer f.s.fs.mu.Unlock()
	off := f.off
	if f.append {
		off = -1
	}
	n, err := f.s.fs.writeAt(f.n, b, off)
	f.off += int64(n)
	f.s.fs.touchDirty(f.n, f.path, "redirect", f.s.run, f.append)
	return n, err
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errNoSpace }

// endless is /dev/zero or /dev/urandom; reading costs work, so it ends.
type endless struct {
	s      *Shell
	random bool
}

func (z *endless) Read(b []byte) (int, error) {
	if !z.s.spend(1 + len(b)/64) {
		return 0, io.EOF
	}
	if !z.random {
		clear(b)
		return len(b), nil
	}
	for i := range b {
		b[i] = byte(z.s.random() >> 7)
	}
	return len(b), nil
}

// chargedReader makes reading a file cost work, so that loops over big files
// end like loops over small ones.
type chargedReader struct {
	s *Shell
	r io.Reader
}

func (c *chargedReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if !c.s.spend(1 + n/64) {
		return 0, io.EOF
	}
	return n, err
}

// openRead opens a path for reading.
func (s *Shell) openRead(p string) (io.Reader, error) {
	switch p {
	case "/dev/zero":
		return &endless{s: s}, nil
	case "/dev/urandom", "/dev/random":
		return &endless{s: s, random: true}, nil
	case "/dev/null":
		return bytes.NewReader(nil), nil
	}
	b, err := s.fs.slurp(p)
	if err != nil {
		return nil, err
	}
	return &chargedReader{s, bytes.NewReader(b)}, nil
}

// slurp returns a file's bytes; they must not be modified.
func (f *FS) slurp(p string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, _, err := f.walk(p, true)
	switch {
	case err != nil:
		return nil, err
	case n.isDir():
		return nil, errIsDir
	case !f.allowed(n, 4):
		return nil, errAccess
	}
	return f.content(n), nil
}

// openWrite opens a path for writing.
func (s *Shell) openWrite(p string, appending bool) (io.Writer, error) {
	switch p {
	case "/dev/null", "/dev/zero", "/dev/tty":
		return discard{}, nil
	case "/dev/full":
		return full{}, nil
	}
	s.fs.mu.Lock()
	defer s.fs.mu.Unlock()
	n, canonical, err := s.fs.create(p, 0o644, !appending, false)
	if err != nil {
		return nil, err
	}
	if !n.isReg() {
		return discard{}, nil
	}
	s.fs.touchDirty(n, canonical, "redirect", s.run, appending)
	return &fileOut{s: s, n: n, path: canonical, append: appending}, nil
}

// store writes a whole file, as commands such as cp and sed -i do.
func (s *Shell) store(p string, b []byte, perm uint32, how string) error {
	if !s.spend(1 + len(b)/64) {
		return errNoSpace
	}
	s.fs.mu.Lock()
	defer s.fs.mu.Unlock()
	n, canonical, err := s.fs.create(p, perm, true, false)
	if err != nil {
		return err
	}
	if _, err := s.fs.writeAt(n, b, -1); err != nil {
		return err
	}
	s.fs.touchDirty(n, canonical, how, s.run, false)
	return nil
}
