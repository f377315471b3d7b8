package ssh

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/decoy/shell"
)

// scp is the remote half of the old copy protocol: "scp -t" takes files,
// "scp -f" gives them. There is no specification; scp.c of OpenSSH is it.
type scp struct {
	sink      bool
	recursive bool
	times     bool
	mustDir   bool
	paths     []string

	in   *bufio.Reader
	out  io.Writer
	fs   *shell.FS
	home string
	fail bool
	left int // entries this transfer may still handle
}

const (
	maxSCPLine  = 2048
	maxSCPDepth = 32
	maxSCPFiles = 4096
)

// errSCP ends a transfer whose other side does not keep to the protocol.
var errSCP = errors.New("scp protocol error")

// parseSCP recognises the command lines that scp(1) sends.
func parseSCP(line string) (*scp, bool) {
	words, ok := splitWords(line)
	if !ok || len(words) < 2 || path.Base(words[0]) != "scp" {
		return nil, false
	}
	t := &scp{left: maxSCPFiles}
	var to, from, rest bool
	for _, w := range words[1:] {
		if rest || len(w) < 2 || w[0] != '-' {
			t.paths = append(t.paths, w)
			rest = true
			continue
		}
		if w == "--" {
			rest = true
			continue
		}
		for _, c := range w[1:] {
			switch c {
			case 't':
				to = true
			case 'f':
				from = true
			case 'r':
				t.recursive = true
			case 'p':
				t.times = true
			case 'd':
				t.mustDir = true
			case 'v', 'q', 'B', 'C', '1', '2', '4', '6', 'O':
			default:
				return nil, false
			}
		}
	}
	if to == from || len(t.paths) == 0 || to && len(t.paths) > 1 {
		return nil, false
	}
	t.sink = to
	return t, true
}

// splitWords splits as a shell does, without expansions; false when the line
// is more than one simple command.
func splitWords(line string) (words []string, ok bool) {
	var word strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == '\'' && c != '\'', quote == '"' && c != '"' && c != '\\':
			word.WriteByte(c)
		case c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			in = true
		case c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, in = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		case strings.IndexByte(";&|<>`$()", c) >= 0:
			return nil, false
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words, quote == 0
}

// serve runs the transfer and returns its exit status.
func (t *scp) serve(in io.Reader, out io.Writer, fs *shell.FS, home string) int {
	t.in, t.out, t.fs, t.home = bufio.NewReader(in), out, fs, home
	var err error
	if t.sink {
		err = t.receive(t.abs(t.paths[0]))
	} else {
		err = t.give()
	}
	if err != nil || t.fail {
		return 1
	}
	return 0
}

func (t *scp) abs(p string) string {
	if rest, ok := strings.CutPrefix(p, "~"); ok && (rest == "" || rest[0] == '/') {
		p = t.home + rest
	}
	if !strings.HasPrefix(p, "/") {
		p = path.Join(t.home, p) + strings.Repeat("/", min(1, strings.Count(p, "/")-strings.Count(strings.TrimRight(p, "/"), "/")))
	}
	return p
}

func (t *scp) ack() error {
	_, err := t.out.Write([]byte{0})
	return err
}

// complain tells the other side about one file and goes on.
func (t *scp) complain(format string, args ...any) error {
	t.fail = true
	_, err := fmt.Fprintf(t.out, "\x01scp: "+format+"\n", args...)
	return err
}

// line reads one message of the protocol.
func (t *scp) line() (string, error) {
	var b []byte
	for len(b) <= maxSCPLine {
		c, err := t.in.ReadByte()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return string(b), nil
		}
		b = append(b, c)
	}
	return "", errSCP
}

// response reads the other side's answer; false when it refuses the file.
func (t *scp) response() (bool, error) {
	c, err := t.in.ReadByte()
	if err != nil || c == 0 {
		return err == nil, err
	}
	if _, err := t.line(); err != nil {
		return false, err
	}
	t.fail = true
	if c == 1 {
		return false, nil
	}
	return false, errSCP
}

// receive is the sink: target is a directory or the name of the file.
func (t *scp) receive(target string) error {
	info, err := t.fs.Stat(target)
	isDir := err == nil && info.IsDir()
	if t.mustDir && !isDir {
		_ = t.complain("%s: %s", target, reason(err, "Not a directory"))
		return errSCP
	}
	if err := t.ack(); err != nil {
		return err
	}
	dirs := []string{target}
	var mtime time.Time
	for {
		line, err := t.line()
		if errors.Is(err, io.EOF) && len(dirs) == 1 {
			return nil
		}
		if err != nil {
			return err
		}
		if t.left--; t.left < 0 || line == "" {
			return errSCP
		}
		at := dirs[len(dirs)-1]
		switch line[0] {
		case 1, 2:
			t.fail = true
			if line[0] == 2 {
				return errSCP
			}
			continue
		case 'T':
			sec, _, _ := strings.Cut(line[1:], " ")
			if n, err := strconv.ParseInt(sec, 10, 40); err == nil {
				mtime = time.Unix(n, 0)
			}
			err = t.ack()
		case 'E':
			if len(dirs) == 1 {
				return errSCP
			}
			dirs = dirs[:len(dirs)-1]
			err = t.ack()
		case 'C', 'D':
			mode, size, name, ok := header(line)
			if !ok {
				_, _ = t.out.Write([]byte("\x01scp: protocol error: " + "bad header\n"))
				return errSCP
			}
			to := at
			if isDir || len(dirs) > 1 {
				to = path.Join(at, name)
			}
			if line[0] == 'C' {
				err = t.file(to, mode, size, mtime)
				mtime = time.Time{}
				break
			}
			if len(dirs) > maxSCPDepth || !t.recursive {
				return errSCP
			}
			if err = t.directory(to, mode); err == nil {
				dirs = append(dirs, to)
			}
		default:
			_, _ = t.out.Write([]byte("\x01scp: protocol error: unexpected <newline>\n"))
			return errSCP
		}
		if err != nil {
			return err
		}
	}
}

// header reads "C0644 1234 name".
func header(line string) (mode iofs.FileMode, size int64, name string, ok bool) {
	f := strings.SplitN(line[1:], " ", 3)
	if len(f) != 3 {
		return 0, 0, "", false
	}
	m, err1 := strconv.ParseUint(f[0], 8, 16)
	size, err2 := strconv.ParseInt(f[1], 10, 63)
	name = f[2]
	if err1 != nil || err2 != nil || size < 0 || name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/') {
		return 0, 0, "", false
	}
	return iofs.FileMode(m & 0o777), size, name, true
}

func (t *scp) directory(p string, mode iofs.FileMode) error {
	if info, err := t.fs.Stat(p); err != nil || !info.IsDir() {
		if err := t.fs.Mkdir(p, mode|0o700); err != nil {
			_ = t.complain("%s: %s", p, reason(err, ""))
			return errSCP
		}
	}
	return t.ack()
}

// file takes one file. What does not fit is read and forgotten.
func (t *scp) file(p string, mode iofs.FileMode, size int64, mtime time.Time) error {
	f, err := t.fs.Create(p, mode, true, false, false, "scp")
	if err != nil {
		return t.complain("%s: %s", p, reason(err, ""))
	}
	if err := t.ack(); err != nil {
		return err
	}
	_, copyErr := io.CopyN(writerOnly{f}, t.in, size)
	wrote := f.Close() // reports what has arrived, also of a transfer that broke off
	if copyErr != nil {
		return copyErr
	}
	ok, err := t.response()
	if err != nil || !ok {
		return err
	}
	if !mtime.IsZero() {
		wrote = errors.Join(wrote, t.fs.Chtimes(p, mtime))
	}
	if wrote != nil {
		return t.complain("%s: %s", p, reason(wrote, ""))
	}
	return t.ack()
}

// writerOnly swallows what the file system has no room for, so that the
// protocol stays in step.
type writerOnly struct{ f *shell.File }

func (w writerOnly) Write(p []byte) (int, error) {
	_, _ = w.f.Write(p)
	return len(p), nil
}

// give is the source.
func (t *scp) give() error {
	if ok, err := t.response(); err != nil || !ok {
		return err
	}
	for _, p := range t.paths {
		if err := t.giveOne(t.abs(p), 0); err != nil {
			return err
		}
	}
	return nil
}

func (t *scp) giveOne(p string, depth int) error {
	if t.left--; t.left < 0 || depth > maxSCPDepth {
		return errSCP
	}
	info, err := t.fs.Stat(p)
	switch {
	case err != nil:
		return t.complain("%s: %s", p, reason(err, ""))
	case info.IsDir() && !t.recursive:
		return t.complain("%s: not a regular file", p)
	case info.IsDir():
		return t.giveDir(p, info, depth)
	case !info.Mode().IsRegular():
		return t.complain("%s: not a regular file", p)
	}
	f, err := t.fs.Open(p)
	if err != nil {
		return t.complain("%s: %s", p, reason(err, ""))
	}
	defer f.Close()
	if ok, err := t.announce(info, fmt.Sprintf("C%04o %d %s\n", info.Mode().Perm(), info.Size(), path.Base(p))); err != nil || !ok {
		return err
	}
	// The length is a promise: pad what is pretended to be larger than it is.
	if _, err := io.CopyN(t.out, io.MultiReader(f, zeros{}), info.Size()); err != nil {
		return err
	}
	if err := t.ack(); err != nil {
		return err
	}
	_, err = t.response()
	return err
}

func (t *scp) giveDir(p string, info iofs.FileInfo, depth int) error {
	list, err := t.fs.ReadDir(p)
	if err != nil {
		return t.complain("%s: %s", p, reason(err, ""))
	}
	if ok, err := t.announce(info, fmt.Sprintf("D%04o 0 %s\n", info.Mode().Perm(), path.Base(p))); err != nil || !ok {
		return err
	}
	for _, e := range list {
		if err := t.giveOne(path.Join(p, e.Name()), depth+1); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(t.out, "E\n"); err != nil {
		return err
	}
	_, err = t.response()
	return err
}

// announce sends the header of an entry; false when the other side refuses it.
func (t *scp) announce(info iofs.FileInfo, header string) (bool, error) {
	if t.times {
		at := info.ModTime().Unix()
		if _, err := fmt.Fprintf(t.out, "T%d 0 %d 0\n", at, at); err != nil {
			return false, err
		}
		if ok, err := t.response(); err != nil || !ok {
			return ok, err
		}
	}
	if _, err := io.WriteString(t.out, header); err != nil {
		return false, err
	}
	return t.response()
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// reason is the C library's text of an error.
func reason(err error, none string) string {
	var pe *iofs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	if err == nil {
		return none
	}
	return err.Error()
}
