package shell

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

type commandFunc func(*call) int

// tty says whether standard input is the visitor's terminal.
func (c *call) tty() bool { return c.e.fds[0] != nil && c.e.fds[0].tty }

// call is one running command.
type call struct {
	sh   *Shell
	e    *env
	args []string // without the name
	name string
	in   *bufio.Reader
	out  io.Writer
	err  io.Writer
}

func (c *call) printf(format string, a ...any) bool {
	_, err := fmt.Fprintf(c.out, format, a...)
	return err == nil
}

func (c *call) print(s string) bool {
	_, err := io.WriteString(c.out, s)
	if err == errNoSpace || err == errTooBig {
		c.fail(1, "write error: %s", err)
	}
	return err == nil
}

// fail prints "name: message" to standard error and returns code.
func (c *call) fail(code int, format string, a ...any) int {
	fmt.Fprintf(c.err, c.name+": "+format+"\n", a...) // a lost error message changes nothing
	return code
}

// usage is fail for builtins, which print the shell's name first.
func (c *call) builtinFail(code int, format string, a ...any) int {
	c.e.complain(c.name + ": " + fmt.Sprintf(format, a...))
	return code
}

// readAll reads an input within the limits.
func (c *call) readAll(r io.Reader) []byte {
	b, err := io.ReadAll(io.LimitReader(r, c.sh.limits.FileBytes))
	if err != nil {
		return b
	}
	c.sh.spend(1 + len(b)/64)
	return b
}

// open opens an operand; "-" is standard input.
func (c *call) open(p string) (io.Reader, error) {
	if p == "-" || p == "/dev/stdin" {
		return c.in, nil
	}
	return c.sh.openRead(c.e.abs(p))
}

// inputs calls do for every operand, or for standard input without operands.
func (c *call) inputs(files []string, do func(name string, r io.Reader)) int {
	if len(files) == 0 {
		files = []string{"-"}
	}
	status := 0
	for _, f := range files {
		r, err := c.open(f)
		if err != nil {
			status = c.fail(1, "%s: %s", f, err)
			continue
		}
		do(f, r)
		if c.sh.dead() {
			break
		}
	}
	return status
}

// options holds parsed flags.
type options struct {
	set  map[string]string
	rest []string
	bad  string
}

func (o options) has(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { _, ok := o.set[n]; return ok })
}

func (o options) get(names ...string) string {
	for _, n := range names {
		if v, ok := o.set[n]; ok {
			return v
		}
	}
	return ""
}

// flags parses options as GNU getopt does: "n:v" lists short options, a colon
// marks an argument. Long options are accepted; "name=" in longs marks those
// that take their argument from the next word.
func (c *call) flags(short string, longs ...string) options {
	o := options{set: map[string]string{}}
	args := c.args
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			o.rest = append(o.rest, args[i+1:]...)
			return o
		case strings.HasPrefix(a, "--"):
			name, val, has := strings.Cut(a[2:], "=")
			if !has && slices.Contains(longs, name+"=") && i+1 < len(args) {
				i++
				val = args[i]
			}
			o.set[name] = val
		case len(a) > 1 && a[0] == '-':
			for j := 1; j < len(a); j++ {
				f := a[j : j+1]
				k := strings.Index(short, f)
				if k < 0 || f == ":" {
					o.bad = f
					continue
				}
				o.set[f] = ""
				if k+1 < len(short) && short[k+1] == ':' {
					if j+1 < len(a) {
						o.set[f] = a[j+1:]
					} else if i+1 < len(args) {
						i++
						o.set[f] = args[i]
					}
					break
				}
			}
		default:
			if strings.HasPrefix(short, "+") { // stop at the first operand
				o.rest = append(o.rest, args[i:]...)
				return o
			}
			o.rest = append(o.rest, a)
		}
	}
	return o
}

func (c *call) node(p string, follow bool) (node, string, error) {
	c.sh.fs.mu.Lock()
	defer c.sh.fs.mu.Unlock()
	n, canonical, err := c.sh.fs.walk(c.e.abs(p), follow)
	if err != nil {
		return node{}, "", err
	}
	return *n, canonical, nil
}

// locked runs f under the file system's lock.
func (c *call) locked(f func(*FS) error) error {
	c.sh.fs.mu.Lock()
	defer c.sh.fs.mu.Unlock()
	return f(c.sh.fs)
}

// outTTY says whether standard output goes to the visitor's terminal.
func (c *call) outTTY() bool {
	w, ok := c.out.(*outWriter)
	return ok && c.sh.login && w != nil
}

// into is the path a copy or move of src to dst ends at.
func (c *call) into(src, dst string) string {
	if n, _, err := c.node(dst, true); err == nil && n.isDir() {
		return strings.TrimSuffix(dst, "/") + "/" + path.Base(src)
	}
	return dst
}

// lines calls do for every line of r with its bounded text; newline tells
// whether the line was terminated.
func (c *call) lines(r io.Reader, do func(line string, newline bool) bool) {
	br, ok := r.(*bufio.Reader)
	if !ok {
		br = bufio.NewReader(r)
	}
	for !c.sh.dead() {
		var b []byte
		var err error
		for {
			var part []byte
			part, err = br.ReadSlice('\n')
			if len(b)+len(part) <= c.sh.limits.VarBytes*8 {
				b = append(b, part...)
			}
			if err != bufio.ErrBufferFull || !c.sh.spend(8) {
				break
			}
		}
		if !c.sh.spend(1+len(b)/64) || len(b) == 0 {
			return
		}
		text := string(b)
		nl := strings.HasSuffix(text, "\n")
		if !do(strings.TrimSuffix(text, "\n"), nl) || err != nil {
			return
		}
	}
}

// writeOnly hides ReadFrom, so that io.Copy uses a small buffer.
type writeOnly struct{ w io.Writer }

func (w writeOnly) Write(b []byte) (int, error) { return w.w.Write(b) }

func (c *call) allLines(files []string) ([]string, int) {
	var out []string
	bytes := 0
	st := c.inputs(files, func(_ string, r io.Reader) {
		c.lines(r, func(l string, _ bool) bool {
			out = append(out, l)
			bytes += len(l) + 16
			return bytes < 4<<20 && len(out) < 100_000
		})
	})
	return out, st
}

func (c *call) token(n int) string {
	const ab = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = ab[c.sh.random()%len(ab)]
	}
	return string(b)
}

// visit walks a tree in name order; f returns false to skip a directory.
func (c *call) visit(name string, n *node, depth int, f func(name string, n *node, depth int) bool) {
	if !c.sh.spend(2) || !f(name, n, depth) || !n.isDir() || depth > 40 {
		return
	}
	for _, k := range c.sh.fs.children(n) {
		c.visit(strings.TrimSuffix(name, "/")+"/"+k, n.kids[k], depth+1, f)
	}
}

// readLine reads one line of bounded length.
func (c *call) readLine(in *bufio.Reader, escapes bool) (string, error) {
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
		if len(b) < c.sh.limits.VarBytes && ch != 0 {
			b = append(b, ch)
		}
		if len(b)&1023 == 0 && !c.sh.spend(16) {
			return "", io.EOF
		}
	}
}

// readSecret reads a line without echo on a terminal.
func (c *call) readSecret() (string, error) {
	if c.sh.echo != nil && c.tty() {
		c.sh.echo(false)
		defer c.sh.echo(true)
	}
	return c.readLine(c.in, false)
}

// image is what all sessions of one persona share: the pristine file tree
// and the command tables. It is immutable after buildImage.
type image struct {
	root     *node
	commands map[string]commandFunc // programs with a file in /usr/bin
	builtins map[string]commandFunc
}
