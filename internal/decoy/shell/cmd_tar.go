package shell

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"path"
	"strings"
)

// cmdTar reads and writes real archives within the limits.
func cmdTar(c *call) int {
	if len(c.args) > 0 && c.args[0] != "" && c.args[0][0] != '-' {
		c.args = append([]string{"-" + c.args[0]}, c.args[1:]...)
	}
	o := c.flags("xctzvjJf:C:pOhk", "file=", "directory=", "exclude=", "strip-components=")
	name := o.get("f", "file")
	dir := o.get("C", "directory")
	switch {
	case o.has("x"), o.has("t"):
		r := io.Reader(c.in)
		if name != "" && name != "-" {
			f, err := c.open(name)
			if err != nil {
				return c.fail(2, "%s: Cannot open: %s\ntar: Error is not recoverable: exiting now", name, err)
			}
			r = f
		}
		return c.untar(c.readAll(r), dir, o)
	case o.has("c"):
		return c.mkTar(name, o)
	}
	return c.fail(2, "You must specify one of the '-Acdtrux', '--delete' or '--test-label' options")
}

func (c *call) untar(raw []byte, dir string, o options) int {
	var r io.Reader = bytes.NewReader(raw)
	if bytes.HasPrefix(raw, []byte("\x1f\x8b")) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return c.fail(2, "Error is not recoverable: exiting now")
		}
		r = z
	}
	t := tar.NewReader(&chargedReader{c.sh, io.LimitReader(r, 4*c.sh.limits.FileBytes)})
	for n := 0; !c.sh.dead(); n++ {
		h, err := t.Next()
		if err == io.EOF && n > 0 {
			return 0
		}
		if err != nil {
			return c.fail(2, "This does not look like a tar archive\ntar: Exiting with failure status due to previous errors")
		}
		if o.has("v", "t") {
			c.printf("%s\n", h.Name)
		}
		p := path.Join(c.e.abs(dir), path.Clean("/"+h.Name))
		if dir == "" {
			p = path.Join(c.e.cwd, path.Clean("/"+h.Name))
		}
		if o.has("t") {
			continue
		}
		if h.Typeflag == tar.TypeDir {
			c.e.sub().invoke([]string{"mkdir", "-p", p}, 5)
			continue
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		c.e.sub().invoke([]string{"mkdir", "-p", path.Dir(p)}, 5)
		b := c.readAll(t)
		if err := c.sh.store(p, b, uint32(h.Mode)&0o777, "tar"); err != nil {
			return c.fail(2, "%s: Cannot open: %s\ntar: Exiting with failure status due to previous errors", h.Name, err)
		}
	}
	return 2
}

func (c *call) mkTar(name string, o options) int {
	var buf bytes.Buffer
	var z *gzip.Writer
	var w io.Writer = &buf
	if o.has("z") {
		z = gzip.NewWriter(&buf)
		w = z
	}
	t := tar.NewWriter(w)
	var files []string
	for _, a := range o.rest {
		if _, _, err := c.node(a, true); err != nil {
			return c.fail(2, "%s: Cannot stat: %s\ntar: Exiting with failure status due to previous errors", a, err)
		}
		files = append(files, c.filesBelow([]string{a})...)
	}
	for _, f := range files {
		b, err := c.sh.fs.slurp(c.e.abs(f))
		n, _, nerr := c.node(f, true)
		if err != nil || nerr != nil || !c.sh.spend(2+len(b)/64) || int64(buf.Len()+len(b)) > c.sh.limits.FileBytes {
			continue
		}
		t.WriteHeader(&tar.Header{Name: strings.TrimPrefix(f, "/"), Mode: int64(n.mode & 0o777), Size: int64(len(b)), ModTime: n.mtime, Typeflag: tar.TypeReg}) // a bytes.Buffer does not fail
		t.Write(b)
		if o.has("v") {
			c.printf("%s\n", f)
		}
	}
	t.Close()
	if z != nil {
		z.Close()
	}
	if name == "" || name == "-" {
		c.out.Write(buf.Bytes())
		return 0
	}
	if err := c.sh.store(c.e.abs(name), buf.Bytes(), 0o644, "tar"); err != nil {
		return c.fail(2, "%s: Cannot open: %s", name, err)
	}
	return 0
}
