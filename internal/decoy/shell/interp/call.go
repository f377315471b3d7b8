package interp

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"bartizan/internal/decoy/shell/vfs"
)

type CommandFunc func(*Call) int

// Tty says whether standard input is the visitor's terminal.
func (c *Call) Tty() bool { return c.E.Fds[0] != nil && c.E.Fds[0].tty }

// Call is one running command.
type Call struct {
	Sh   *Shell
	E    *env
	Args []string // without the name
	Name string
	In   *bufio.Reader
	Out  io.Writer
	Err  io.Writer
}

func (c *Call) Printf(format string, a ...any) bool {
	_, err := fmt.Fprintf(c.Out, format, a...)
	return err == nil
}

func (c *Call) Print(s string) bool {
	_, err := io.WriteString(c.Out, s)
	if err == vfs.ErrNoSpace || err == vfs.ErrTooBig {
		c.Fail(1, "write error: %s", err)
	}
	return err == nil
}

// Fail prints "name: message" to standard error and returns code.
func (c *Call) Fail(code int, format string, a ...any) int {
	fmt.Fprintf(c.Err, c.Name+": "+format+"\n", a...) // a lost error message changes nothing
	return code
}

// usage is fail for builtins, which print the shell's name first.
func (c *Call) builtinFail(code int, format string, a ...any) int {
	c.E.complain(c.Name + ": " + fmt.Sprintf(format, a...))
	return code
}

// ReadAll reads an input within the limits.
func (c *Call) ReadAll(r io.Reader) []byte {
	b, err := io.ReadAll(io.LimitReader(r, c.Sh.Limits.FileBytes))
	if err != nil {
		return b
	}
	c.Sh.Spend(1 + len(b)/64)
	return b
}

// Open opens an operand; "-" is standard input.
func (c *Call) Open(p string) (io.Reader, error) {
	if p == "-" || p == "/dev/stdin" {
		return c.In, nil
	}
	return c.Sh.openRead(c.E.Abs(p))
}

// Inputs calls do for every operand, or for standard input without operands.
func (c *Call) Inputs(files []string, do func(name string, r io.Reader)) int {
	if len(files) == 0 {
		files = []string{"-"}
	}
	status := 0
	for _, f := range files {
		r, err := c.Open(f)
		if err != nil {
			status = c.Fail(1, "%s: %s", f, err)
			continue
		}
		do(f, r)
		if c.Sh.Dead() {
			break
		}
	}
	return status
}

// Options holds parsed flags.
type Options struct {
	Set  map[string]string
	Rest []string
	Bad  string
}

func (o Options) Has(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { _, ok := o.Set[n]; return ok })
}

func (o Options) Get(names ...string) string {
	for _, n := range names {
		if v, ok := o.Set[n]; ok {
			return v
		}
	}
	return ""
}

// Flags parses options as GNU getopt does: "n:v" lists short options, a colon
// marks an argument. Long options are accepted; "name=" in longs marks those
// that take their argument from the next word.
func (c *Call) Flags(short string, longs ...string) Options {
	o := Options{Set: map[string]string{}}
	args := c.Args
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			o.Rest = append(o.Rest, args[i+1:]...)
			return o
		case strings.HasPrefix(a, "--"):
			name, val, has := strings.Cut(a[2:], "=")
			if !has && slices.Contains(longs, name+"=") && i+1 < len(args) {
				i++
				val = args[i]
			}
			o.Set[name] = val
		case len(a) > 1 && a[0] == '-':
			for j := 1; j < len(a); j++ {
				f := a[j : j+1]
				k := strings.Index(short, f)
				if k < 0 || f == ":" {
					o.Bad = f
					continue
				}
				o.Set[f] = ""
				if k+1 < len(short) && short[k+1] == ':' {
					if j+1 < len(a) {
						o.Set[f] = a[j+1:]
					} else if i+1 < len(args) {
						i++
						o.Set[f] = args[i]
					}
					break
				}
			}
		default:
			if strings.HasPrefix(short, "+") { // stop at the first operand
				o.Rest = append(o.Rest, args[i:]...)
				return o
			}
			o.Rest = append(o.Rest, a)
		}
	}
	return o
}

func (c *Call) Node(p string, follow bool) (vfs.Node, string, error) {
	c.Sh.Fs.Mu.Lock()
	defer c.Sh.Fs.Mu.Unlock()
	n, canonical, err := c.Sh.Fs.Walk(c.E.Abs(p), follow)
	if err != nil {
		return vfs.Node{}, "", err
	}
	return n.Snapshot(), canonical, nil
}

// Locked runs f under the file system's lock.
func (c *Call) Locked(f func(*vfs.FS) error) error {
	c.Sh.Fs.Mu.Lock()
	defer c.Sh.Fs.Mu.Unlock()
	return f(c.Sh.Fs)
}

// OutTTY says whether standard output goes to the visitor's terminal.
func (c *Call) OutTTY() bool {
	w, ok := c.Out.(*outWriter)
	return ok && c.Sh.Login && w != nil
}

// Into is the path a copy or move of src to dst ends at.
func (c *Call) Into(src, dst string) string {
	if n, _, err := c.Node(dst, true); err == nil && n.IsDir() {
		return strings.TrimSuffix(dst, "/") + "/" + path.Base(src)
	}
	return dst
}

// Lines calls do for every line of r with its bounded text; newline tells
// whether the line was terminated.
func (c *Call) Lines(r io.Reader, do func(line string, newline bool) bool) {
	br, ok := r.(*bufio.Reader)
	if !ok {
		br = bufio.NewReader(r)
	}
	for !c.Sh.Dead() {
		var b []byte
		var err error
		for {
			var part []byte
			part, err = br.ReadSlice('\n')
			if len(b)+len(part) <= c.Sh.Limits.VarBytes*8 {
				b = append(b, part...)
			}
			if err != bufio.ErrBufferFull || !c.Sh.Spend(8) {
				break
			}
		}
		if !c.Sh.Spend(1+len(b)/64) || len(b) == 0 {
			return
		}
		text := string(b)
		nl := strings.HasSuffix(text, "\n")
		if !do(strings.TrimSuffix(text, "\n"), nl) || err != nil {
			return
		}
	}
}

// WriteOnly hides ReadFrom, so that io.Copy uses a small buffer.
type WriteOnly struct{ W io.Writer }

func (w WriteOnly) Write(b []byte) (int, error) { return w.W.Write(b) }

func (c *Call) AllLines(files []string) ([]string, int) {
	var out []string
	bytes := 0
	st := c.Inputs(files, func(_ string, r io.Reader) {
		c.Lines(r, func(l string, _ bool) bool {
			out = append(out, l)
			bytes += len(l) + 16
			return bytes < 4<<20 && len(out) < 100_000
		})
	})
	return out, st
}

func (c *Call) Token(n int) string {
	const ab = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = ab[c.Sh.Random()%len(ab)]
	}
	return string(b)
}

// Visit walks a tree in name order; f returns false to skip a directory.
func (c *Call) Visit(name string, n *vfs.Node, depth int, f func(name string, n *vfs.Node, depth int) bool) {
	if !c.Sh.Spend(2) || !f(name, n, depth) || !n.IsDir() || depth > 40 {
		return
	}
	for _, k := range c.Sh.Fs.Children(n) {
		c.Visit(strings.TrimSuffix(name, "/")+"/"+k, n.Kids[k], depth+1, f)
	}
}

// ReadLine reads one line of bounded length.
func (c *Call) ReadLine(in *bufio.Reader, escapes bool) (string, error) {
	var b []byte
	for {
		ch, err := in.ReadByte()
		if err != nil {
			return string(b), err
		}
		if ch == '\n' {
			return string(b), nil
		}
		if escapes && ch == '\\' {
			if ch, err = in.ReadByte(); err != nil || ch == '\n' {
				continue
			}
		}
		if len(b) < c.Sh.Limits.VarBytes && ch != 0 {
			b = append(b, ch)
		}
		if len(b)&1023 == 0 && !c.Sh.Spend(16) {
			return "", io.EOF
		}
	}
}

// ReadSecret reads a line without echo on a terminal.
func (c *Call) ReadSecret() (string, error) {
	if c.Sh.echo != nil && c.Tty() {
		c.Sh.echo(false)
		defer c.Sh.echo(true)
	}
	return c.ReadLine(c.In, false)
}

// Image is what all sessions of one persona share: the pristine file tree
// and the command tables. It is immutable after buildImage.
type Image struct {
	Root     *vfs.Node
	Commands map[string]CommandFunc // programs with a file in /usr/bin
	Builtins map[string]CommandFunc
}
