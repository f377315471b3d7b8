package tools

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"path"
	"strings"

	"bartizan/internal/decoy/shell/interp"
)

// cmdTar reads and writes real archives within the limits.
func cmdTar(c *interp.Call) int {
	if len(c.Args) > 0 && c.Args[0] != "" && c.Args[0][0] != '-' {
		c.Args = append([]string{"-" + c.Args[0]}, c.Args[1:]...)
	}
	o := c.Flags("xctzvjJf:C:pOhk", "file=", "directory=", "exclude=", "strip-components=")
	name := o.Get("f", "file")
	dir := o.Get("C", "directory")
	switch {
	case o.Has("x"), o.Has("t"):
		r := io.Reader(c.In)
		if name != "" && name != "-" {
			f, err := c.Open(name)
			if err != nil {
				return c.Fail(2, "%s: Cannot open: %s\ntar: Error is not recoverable: exiting now", name, err)
			}
			r = f
		}
		return untar(c, c.ReadAll(r), dir, o)
	case o.Has("c"):
		return mkTar(c, name, o)
	}
	return c.Fail(2, "You must specify one of the '-Acdtrux', '--delete' or '--test-label' options")
}

func untar(c *interp.Call, raw []byte, dir string, o interp.Options) int {
	var r io.Reader = bytes.NewReader(raw)
	if bytes.HasPrefix(raw, []byte("\x1f\x8b")) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return c.Fail(2, "Error is not recoverable: exiting now")
		}
		r = z
	}
	t := tar.NewReader(&interp.ChargedReader{S: c.Sh, R: io.LimitReader(r, 4*c.Sh.Limits.FileBytes)})
	for n := 0; !c.Sh.Dead(); n++ {
		h, err := t.Next()
		if err == io.EOF && n > 0 {
			return 0
		}
		if err != nil {
			return c.Fail(2, "This does not look like a tar archive\ntar: Exiting with failure status due to previous errors")
		}
		if o.Has("v", "t") {
			c.Printf("%s\n", h.Name)
		}
		p := path.Join(c.E.Abs(dir), path.Clean("/"+h.Name))
		if dir == "" {
			p = path.Join(c.E.Cwd, path.Clean("/"+h.Name))
		}
		if o.Has("t") {
			continue
		}
		if h.Typeflag == tar.TypeDir {
			c.E.Sub().Invoke([]string{"mkdir", "-p", p}, 5)
			continue
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		c.E.Sub().Invoke([]string{"mkdir", "-p", path.Dir(p)}, 5)
		b := c.ReadAll(t)
		if err := c.Sh.Store(p, b, uint32(h.Mode)&0o777, "tar"); err != nil {
			return c.Fail(2, "%s: Cannot open: %s\ntar: Exiting with failure status due to previous errors", h.Name, err)
		}
	}
	return 2
}

func mkTar(c *interp.Call, name string, o interp.Options) int {
	var buf bytes.Buffer
	var z *gzip.Writer
	var w io.Writer = &buf
	if o.Has("z") {
		z = gzip.NewWriter(&buf)
		w = z
	}
	t := tar.NewWriter(w)
	var files []string
	for _, a := range o.Rest {
		if _, _, err := c.Node(a, true); err != nil {
			return c.Fail(2, "%s: Cannot stat: %s\ntar: Exiting with failure status due to previous errors", a, err)
		}
		files = append(files, filesBelow(c, []string{a})...)
	}
	for _, f := range files {
		b, err := c.Sh.Fs.Slurp(c.E.Abs(f))
		n, _, nerr := c.Node(f, true)
		if err != nil || nerr != nil || !c.Sh.Spend(2+len(b)/64) || int64(buf.Len()+len(b)) > c.Sh.Limits.FileBytes {
			continue
		}
		t.WriteHeader(&tar.Header{Name: strings.TrimPrefix(f, "/"), Mode: int64(n.Mode & 0o777), Size: int64(len(b)), ModTime: n.Mtime, Typeflag: tar.TypeReg}) // a bytes.Buffer does not fail
		t.Write(b)
		if o.Has("v") {
			c.Printf("%s\n", f)
		}
	}
	t.Close()
	if z != nil {
		z.Close()
	}
	if name == "" || name == "-" {
		c.Out.Write(buf.Bytes())
		return 0
	}
	if err := c.Sh.Store(c.E.Abs(name), buf.Bytes(), 0o644, "tar"); err != nil {
		return c.Fail(2, "%s: Cannot open: %s", name, err)
	}
	return 0
}
