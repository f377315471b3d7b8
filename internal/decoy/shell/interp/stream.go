package interp

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"bartizan/internal/decoy/shell/vfs"
)

// Stream is an open file descriptor.
type Stream struct {
	r   *bufio.Reader
	W   io.Writer
	tty bool
}

var (
	errPipe   = errors.New("Broken pipe")
	errBudget = errors.New("output limit")
)

func NewInput(r io.Reader) *Stream {
	if r == nil {
		r = bytes.NewReader(nil)
	}
	return &Stream{r: bufio.NewReaderSize(r, 1024)}
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
	left := min(s.Limits.Output-s.out, s.Limits.SessionOutput-s.session)
	if int64(len(b)) > left {
		b = b[:max(left, 0)]
		s.Abort("")
		if len(b) == 0 {
			return 0, errBudget
		}
	}
	s.out += int64(len(b))
	s.session += int64(len(b))
	s.Spend(1 + len(b)/64)
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
		if p.e != nil && p.e.Ctl == ctlNone {
			p.e.Ctl, p.e.Status = CtlExit, 141
		}
		return 0, errPipe
	}
	if !p.s.Spend(1 + len(b)/64) {
		return 0, errBudget
	}
	return p.buf.Write(b)
}

// fileOut writes to a file of the session.
type fileOut struct {
	s      *Shell
	n      *vfs.Node
	path   string
	append bool
	off    int64
}

func (f *fileOut) Write(b []byte) (int, error) {
	if !f.s.Spend(1 + len(b)/64) {
		return 0, errBudget
	}
	f.s.Fs.Mu.Lock()
	defer f.s.Fs.Mu.Unlock()
	off := f.off
	if f.append {
		off = -1
	}
	n, err := f.s.Fs.WriteAt(f.n, b, off)
	f.off += int64(n)
	f.s.Fs.TouchDirty(f.n, f.path, "redirect", f.s.run, f.append)
	return n, err
}

type Discard struct{}

func (Discard) Write(b []byte) (int, error) { return len(b), nil }

type full struct{}

func (full) Write([]byte) (int, error) { return 0, vfs.ErrNoSpace }

// Endless is /dev/zero or /dev/urandom; reading costs work, so it ends.
type Endless struct {
	S      *Shell
	Random bool
}

func (z *Endless) Read(b []byte) (int, error) {
	if !z.S.Spend(1 + len(b)/64) {
		return 0, io.EOF
	}
	if !z.Random {
		clear(b)
		return len(b), nil
	}
	for i := range b {
		b[i] = byte(z.S.Random() >> 7)
	}
	return len(b), nil
}

// ChargedReader makes reading a file cost work, so that loops over big files
// end like loops over small ones.
type ChargedReader struct {
	S *Shell
	R io.Reader
}

func (c *ChargedReader) Read(b []byte) (int, error) {
	n, err := c.R.Read(b)
	if !c.S.Spend(1 + n/64) {
		return 0, io.EOF
	}
	return n, err
}

// openRead opens a path for reading.
func (s *Shell) openRead(p string) (io.Reader, error) {
	switch p {
	case "/dev/zero":
		return &Endless{S: s}, nil
	case "/dev/urandom", "/dev/random":
		return &Endless{S: s, Random: true}, nil
	case "/dev/null":
		return bytes.NewReader(nil), nil
	}
	b, err := s.Fs.Slurp(p)
	if err != nil {
		return nil, err
	}
	return &ChargedReader{S: s, R: bytes.NewReader(b)}, nil
}

// OpenWrite opens a path for writing.
func (s *Shell) OpenWrite(p string, appending bool) (io.Writer, error) {
	switch p {
	case "/dev/null", "/dev/zero", "/dev/tty":
		return Discard{}, nil
	case "/dev/full":
		return full{}, nil
	}
	s.Fs.Mu.Lock()
	defer s.Fs.Mu.Unlock()
	n, canonical, err := s.Fs.MakeFile(p, 0o644, !appending, false)
	if err != nil {
		return nil, err
	}
	if !n.IsReg() {
		return Discard{}, nil
	}
	s.Fs.TouchDirty(n, canonical, "redirect", s.run, appending)
	return &fileOut{s: s, n: n, path: canonical, append: appending}, nil
}

// Store writes a whole file, as commands such as cp and sed -i do.
func (s *Shell) Store(p string, b []byte, perm uint32, how string) error {
	if !s.Spend(1 + len(b)/64) {
		return vfs.ErrNoSpace
	}
	s.Fs.Mu.Lock()
	defer s.Fs.Mu.Unlock()
	n, canonical, err := s.Fs.MakeFile(p, perm, true, false)
	if err != nil {
		return err
	}
	if _, err := s.Fs.WriteAt(n, b, -1); err != nil {
		return err
	}
	s.Fs.TouchDirty(n, canonical, how, s.run, false)
	return nil
}
