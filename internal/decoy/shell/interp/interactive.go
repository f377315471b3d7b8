package interp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"path"
	"strings"
	"time"

	"bartizan/internal/decoy/shell/syntax"
	"bartizan/internal/decoy/shell/vfs"
)

// errInterrupt says that the visitor pressed ^C.
var errInterrupt = errors.New("interrupt")

// Terminal is the line discipline of an interactive session. It is used by
// one goroutine.
type Terminal struct {
	S      *Shell
	in     *bufio.Reader
	out    io.Writer
	echo   bool
	skipLF bool // the byte after CR may be the LF or NUL that telnet adds
}

// Interactive serves a prompt until the visitor leaves (nil), the connection
// ends or ctx is done. With pty it edits lines, echoes and translates line
// ends; without, it reads commands as a shell reads a script from a pipe. The
// caller closes rw when ctx ends, because a blocked Read does not notice.
func (s *Shell) Interactive(ctx context.Context, rw io.ReadWriter, pty bool) error {
	s.Login = pty
	s.Top.Name = "-bash"
	t := &Terminal{S: s, in: bufio.NewReaderSize(&patientReader{s, rw}, 512), out: rw, echo: true}
	var stdin io.Reader = t.in
	if pty {
		t.out = &crlfWriter{w: rw}
		s.echo = func(on bool) { t.echo = on }
		stdin = &cookedReader{t: t}
		if _, err := io.WriteString(t.out, s.greeting()); err != nil {
			return err
		}
	}
	defer s.Close()
	for ctx.Err() == nil {
		line, err := t.command(pty)
		if errors.Is(err, errInterrupt) {
			continue
		}
		if err != nil && line == "" {
			if pty && errors.Is(err, io.EOF) {
				_, werr := io.WriteString(t.out, "logout\n")
				return werr
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if _, ended := s.Run(ctx, line, stdin, t.out, t.out); ended {
			return nil
		}
		if s.session >= s.Limits.SessionOutput {
			return nil // nothing more could be shown; the line drops
		}
	}
	return ctx.Err()
}

// SetWindow tells the width of the visitor's terminal in columns. It may be
// called at any time from any goroutine.
func (s *Shell) SetWindow(columns int) { s.columns.Store(int32(max(20, min(columns, 500)))) }

// greeting is what sshd and login print before the first prompt.
func (s *Shell) greeting() string {
	var b strings.Builder
	p := s.P
	if p.Distro.ID == "ubuntu" {
		b.WriteString("Welcome to " + p.Distro.PrettyName + " (GNU/Linux " + p.Kernel.Release + " " + p.Kernel.Machine + ")\n\n * Documentation:  https://help.ubuntu.com\n * Management:     https://landscape.canonical.com\n * Support:        https://ubuntu.com/pro\n\n")
	} else {
		b.WriteString("Linux " + p.Hostname + " " + p.Kernel.Release + " " + p.Kernel.Version + " " + p.Kernel.Machine + "\n")
		if m, err := s.Fs.Slurp("/etc/motd"); err == nil {
			b.WriteString(Clip(string(m), 4096))
		}
	}
	for _, l := range p.Logins {
		if l.User == s.Who.Name {
			b.WriteString("Last login: " + l.At.Format("Mon Jan _2 15:04:05 2006") + " from " + l.From + "\n")
			break
		}
	}
	return b.String()
}

// command reads one complete command, asking for more lines while quotes,
// here-documents or compound commands are open.
func (t *Terminal) command(pty bool) (string, error) {
	var src strings.Builder
	prompt := t.S.Prompt()
	for {
		line, err := t.line(prompt, pty, true)
		if err != nil && (line == "" || errors.Is(err, errInterrupt)) {
			if src.Len() > 0 && errors.Is(err, io.EOF) {
				return src.String(), nil
			}
			return "", err
		}
		src.WriteString(line)
		if src.Len() > t.S.Limits.LineBytes || !t.Incomplete(src.String()) {
			return src.String(), nil
		}
		if !strings.HasSuffix(line, "\\") || err != nil {
			src.WriteByte('\n')
		} else { // a continued line is joined
			joined := strings.TrimSuffix(src.String(), "\\")
			src.Reset()
			src.WriteString(joined)
		}
		if err != nil {
			return src.String(), nil
		}
		prompt = "> "
	}
}

func (t *Terminal) Incomplete(src string) bool {
	if strings.HasSuffix(src, "\\") && !strings.HasSuffix(src, "\\\\") {
		return true
	}
	p := syntax.NewParser(src+"\n", 3*t.S.Limits.Depth)
	for {
		l, err := p.Next()
		if err != nil {
			return err == syntax.ErrIncomplete
		}
		if l == nil {
			return false
		}
	}
}

// line reads one line without its end. Input beyond Limits.LineBytes rings
// the bell and is dropped.
func (t *Terminal) line(prompt string, pty, history bool) (string, error) {
	if !pty {
		return t.plain()
	}
	e := &editor{t: t, prompt: prompt, at: len(t.S.history), history: history}
	if _, err := io.WriteString(t.out, prompt); err != nil {
		return "", err
	}
	for {
		b, err := t.in.ReadByte()
		if err != nil {
			return "", err
		}
		if skip := t.skipLF; skip {
			t.skipLF = false
			if b == '\n' || b == 0 {
				continue
			}
		}
		done, err := e.key(b)
		if done || err != nil {
			return string(e.buf), err
		}
	}
}

func (t *Terminal) plain() (string, error) {
	var buf []byte
	for {
		b, err := t.in.ReadByte()
		if err != nil || b == '\n' {
			return strings.TrimSuffix(string(buf), "\r"), err
		}
		if len(buf) <= t.S.Limits.LineBytes {
			buf = append(buf, b)
		}
	}
}

// editor is one line being edited.
type editor struct {
	t       *Terminal
	prompt  string
	buf     []byte
	pos     int
	at      int // position in the history
	history bool
	esc     []byte // an escape sequence being received
}

func (e *editor) print(s string) error {
	if !e.t.echo {
		return nil
	}
	_, err := io.WriteString(e.t.out, s)
	return err
}

// key handles one byte; done says that the line is complete.
func (e *editor) key(b byte) (done bool, err error) {
	if len(e.esc) > 0 {
		return false, e.escape(b)
	}
	switch b {
	case '\r', '\n':
		e.t.skipLF = b == '\r'
		_, err = io.WriteString(e.t.out, "\n")
		return true, err
	case 3:
		if _, err := io.WriteString(e.t.out, "^C\n"); err != nil {
			return true, err
		}
		return true, errInterrupt
	case 4:
		if len(e.buf) == 0 {
			return true, io.EOF
		}
		return !e.history, nil
	case 8, 127:
		return false, e.erase(e.pos - e.width(-1))
	case 21: // ^U
		return false, e.erase(0)
	case 23: // ^W
		i := e.pos
		for i > 0 && e.buf[i-1] == ' ' {
			i--
		}
		for i > 0 && e.buf[i-1] != ' ' {
			i--
		}
		return false, e.erase(i)
	case 11: // ^K
		e.buf = e.buf[:e.pos]
		return false, e.print("\x1b[K")
	case 1: // ^A
		return false, e.move(0)
	case 5: // ^E
		return false, e.move(len(e.buf))
	case 12: // ^L
		return false, e.print("\x1b[H\x1b[2J" + e.prompt + string(e.buf))
	case '\t':
		if e.history {
			return false, e.complete()
		}
	case 27:
		e.esc = append(e.esc, b)
		return false, nil
	}
	if b < 32 && b != '\t' {
		return false, nil
	}
	return false, e.insert(string([]byte{b}))
}

// width is the size of the character before (-1) or at (0) the cursor.
func (e *editor) width(dir int) int {
	n := 0
	if dir < 0 {
		for e.pos-n > 0 {
			n++
			if e.buf[e.pos-n]&0xc0 != 0x80 {
				break
			}
		}
		return n
	}
	for e.pos+n < len(e.buf) {
		n++
		if e.pos+n < len(e.buf) && e.buf[e.pos+n]&0xc0 != 0x80 {
			break
		}
	}
	return n
}

func (e *editor) insert(s string) error {
	if len(e.buf)+len(s) > e.t.S.Limits.LineBytes {
		return e.print("\a")
	}
	if e.pos == len(e.buf) {
		e.buf = append(e.buf, s...)
		e.pos += len(s)
		return e.print(s)
	}
	if len(e.buf) > 4096 { // redrawing costs the rest of the line for every key
		return e.print("\a")
	}
	tail := string(e.buf[e.pos:])
	e.buf = append(append(e.buf[:e.pos:e.pos], s...), tail...)
	e.pos += len(s)
	return e.print(s + tail + strings.Repeat("\b", runes(tail)))
}

func runes(s string) int { return len([]rune(s)) }

// erase removes from i to the cursor.
func (e *editor) erase(i int) error {
	if i >= e.pos || i < 0 {
		return nil
	}
	n := runes(string(e.buf[i:e.pos]))
	tail := string(e.buf[e.pos:])
	e.buf = append(e.buf[:i], tail...)
	e.pos = i
	back := strings.Repeat("\b", n)
	return e.print(back + tail + strings.Repeat(" ", n) + strings.Repeat("\b", n+runes(tail)))
}

func (e *editor) move(to int) error {
	to = max(0, min(to, len(e.buf)))
	var err error
	if to < e.pos {
		err = e.print(strings.Repeat("\b", runes(string(e.buf[to:e.pos]))))
	} else {
		err = e.print(string(e.buf[e.pos:to]))
	}
	e.pos = to
	return err
}

func (e *editor) replace(s string) error {
	if err := e.move(0); err != nil {
		return err
	}
	old := runes(string(e.buf))
	e.buf, e.pos = []byte(s), len(s)
	fill := max(0, old-runes(s))
	return e.print(s + strings.Repeat(" ", fill) + strings.Repeat("\b", fill))
}

// escape collects a control sequence; unknown ones vanish.
func (e *editor) escape(b byte) error {
	e.esc = append(e.esc, b)
	if len(e.esc) == 2 && (b == '[' || b == 'O') {
		return nil
	}
	if len(e.esc) > 2 && (syntax.IsDigit(b) || b == ';') && len(e.esc) < 16 {
		return nil
	}
	seq := string(e.esc[1:])
	e.esc = e.esc[:0]
	switch seq {
	case "[A", "OA":
		return e.recall(-1)
	case "[B", "OB":
		return e.recall(1)
	case "[C", "OC":
		return e.move(e.pos + e.width(0))
	case "[D", "OD":
		return e.move(e.pos - e.width(-1))
	case "[H", "[1~", "OH":
		return e.move(0)
	case "[F", "[4~", "OF":
		return e.move(len(e.buf))
	case "[3~":
		if n := e.width(0); n > 0 {
			if err := e.move(e.pos + n); err != nil {
				return err
			}
			return e.erase(e.pos - n)
		}
	}
	return nil
}

func (e *editor) recall(step int) error {
	h := e.t.S.history
	at := e.at + step
	if !e.history || at < 0 || at > len(h) {
		return nil
	}
	e.at = at
	if at == len(h) {
		return e.replace("")
	}
	return e.replace(h[at])
}

// complete finishes the path or command under the cursor when it is unique.
func (e *editor) complete() error {
	word := string(e.buf[strings.LastIndexByte(string(e.buf[:e.pos]), ' ')+1 : e.pos])
	if word == "" || len(word) > vfs.MaxPath {
		return nil
	}
	dir, base := path.Split(word)
	look := e.t.S.Top.Abs(dir)
	switch {
	case dir == "" && len(word) == e.pos: // the first word is a command
		look = "/usr/bin"
	case dir == "":
		look = e.t.S.Top.Cwd
	case strings.HasPrefix(dir, "~/"):
		look = e.t.S.Who.Home + dir[1:]
	}
	list, err := e.t.S.Fs.ReadDir(look)
	if err != nil {
		return e.print("\a")
	}
	var hits []string
	for _, f := range list {
		if strings.HasPrefix(f.Name(), base) && (base != "" || !strings.HasPrefix(f.Name(), ".")) {
			end := " "
			if f.IsDir() {
				end = "/"
			}
			hits = append(hits, f.Name()+end)
		}
	}
	if len(hits) == 0 {
		return e.print("\a")
	}
	common := hits[0]
	for _, h := range hits[1:] {
		for !strings.HasPrefix(h, common) {
			common = common[:len(common)-1]
		}
	}
	if len(common) <= len(base) {
		return e.print("\a")
	}
	return e.insert(common[len(base):])
}

// cookedReader is the terminal as a command's standard input: it delivers
// edited lines; ^D at the start of a line is the end of input.
type cookedReader struct {
	t    *Terminal
	rest []byte
}

func (c *cookedReader) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		line, err := c.t.line("", true, false)
		if errors.Is(err, errInterrupt) {
			c.t.S.Abort("")
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
		c.rest = []byte(line + "\n")
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// patientReader does not charge the time a visitor needs to type or send to
// the time a command may take.
type patientReader struct {
	s *Shell
	r io.Reader
}

func (p *patientReader) Read(b []byte) (int, error) {
	start := time.Now()
	n, err := p.r.Read(b)
	p.s.deadline = p.s.deadline.Add(time.Since(start))
	return n, err
}

// crlfWriter ends lines as a terminal in cooked mode does.
type crlfWriter struct{ w io.Writer }

func (c *crlfWriter) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b)+8)
	for i, ch := range b {
		if ch == '\n' && (i == 0 || b[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, ch)
	}
	if _, err := c.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Width is the number of columns of the visitor's terminal.
func (s *Shell) Width() int {
	if n := s.columns.Load(); n > 0 {
		return int(n)
	}
	return 80
}
