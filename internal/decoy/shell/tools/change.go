package tools

import (
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
	"bartizan/internal/decoy/shell/vfs"
)

func cmdMkdir(c *interp.Call) int {
	o := c.Flags("pvm:")
	if len(o.Rest) == 0 {
		return c.Fail(1, "missing operand\nTry 'mkdir --help' for more information.")
	}
	status := 0
	for _, d := range o.Rest {
		err := c.Locked(func(f *vfs.FS) error {
			if !o.Has("p") {
				_, err := f.Add(c.E.Abs(d), &vfs.Node{Mode: vfs.ModeDir | 0o755})
				return err
			}
			cur := ""
			for _, part := range vfs.Split(c.E.Abs(d)) {
				cur += "/" + part
				n, _, err := f.Walk(cur, true)
				if err == nil && n.IsDir() {
					continue
				}
				if err == nil {
					return vfs.ErrExist
				}
				if _, err := f.Add(cur, &vfs.Node{Mode: vfs.ModeDir | 0o755}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			status = c.Fail(1, "cannot create directory ‘%s’: %s", d, err)
		} else if o.Has("v") {
			c.Printf("mkdir: created directory '%s'\n", d)
		}
	}
	return status
}

func cmdRmdir(c *interp.Call) int {
	status := 0
	for _, d := range c.Flags("pv").Rest {
		if err := c.Locked(func(f *vfs.FS) error { return f.Drop(c.E.Abs(d), true) }); err != nil {
			status = c.Fail(1, "failed to remove '%s': %s", d, err)
		}
	}
	return status
}

func cmdRm(c *interp.Call) int {
	o := c.Flags("rRfvidIuzn:")
	if len(o.Rest) == 0 {
		if o.Has("f") {
			return 0
		}
		return c.Fail(1, "missing operand\nTry 'rm --help' for more information.")
	}
	status := 0
	for _, a := range o.Rest {
		n, canonical, err := c.Node(a, false)
		if err != nil {
			if !o.Has("f") || err != vfs.ErrNoEnt && err != vfs.ErrNotDir {
				status = c.Fail(1, "cannot remove '%s': %s", a, err)
			}
			continue
		}
		switch {
		case canonical == "/" && !o.Has("no-preserve-root"):
			status = c.Fail(1, "it is dangerous to operate recursively on '/'\nrm: use --no-preserve-root to override this failsafe")
			continue
		case canonical == "/":
			status = c.Fail(1, "cannot remove '/': Device or resource busy")
			continue
		case n.IsDir() && !o.Has("r", "R"):
			status = c.Fail(1, "cannot remove '%s': Is a directory", a)
			continue
		}
		if base := path.Base(a); base == "." || base == ".." {
			status = c.Fail(1, "refusing to remove '.' or '..' directory: skipping '%s'", a)
			continue
		}
		if err := c.Locked(func(f *vfs.FS) error { return f.Unlink(c.E.Abs(a)) }); err != nil {
			status = c.Fail(1, "cannot remove '%s': %s", a, err)
		} else if o.Has("v") {
			c.Printf("removed '%s'\n", a)
		}
	}
	return status
}

func cmdTouch(c *interp.Call) int {
	o := c.Flags("amcd:r:t:", "date=", "reference=")
	if len(o.Rest) == 0 {
		return c.Fail(1, "missing file operand\nTry 'touch --help' for more information.")
	}
	when := c.Sh.Now()
	if r := o.Get("r", "reference"); r != "" {
		n, _, err := c.Node(r, true)
		if err != nil {
			return c.Fail(1, "failed to get attributes of '%s': %s", r, err)
		}
		when = n.Mtime
	}
	if t := o.Get("t"); t != "" {
		if p, err := time.Parse("200601021504", strings.SplitN(t, ".", 2)[0]); err == nil {
			when = p
		}
	}
	status := 0
	for _, p := range o.Rest {
		if _, _, err := c.Node(p, true); err != nil && o.Has("c") {
			continue
		}
		err := c.Locked(func(f *vfs.FS) error {
			n, _, err := f.MakeFile(c.E.Abs(p), 0o644, false, false)
			if err == vfs.ErrIsDir {
				return nil
			}
			if err == nil && n.Owner == f {
				n.Mtime = when
			}
			return err
		})
		if err != nil {
			status = c.Fail(1, "cannot touch '%s': %s", p, err)
		}
	}
	return status
}

func operands(c *interp.Call, o interp.Options, what string) ([]string, string, bool) {
	if t := o.Get("t"); t != "" {
		return o.Rest, t, true
	}
	switch len(o.Rest) {
	case 0:
		c.Fail(1, "missing file operand\nTry '%s --help' for more information.", what)
		return nil, "", false
	case 1:
		c.Fail(1, "missing destination file operand after '%s'\nTry '%s --help' for more information.", o.Rest[0], what)
		return nil, "", false
	}
	srcs, dst := o.Rest[:len(o.Rest)-1], o.Rest[len(o.Rest)-1]
	if n, _, err := c.Node(dst, true); len(srcs) > 1 && (err != nil || !n.IsDir()) {
		c.Fail(1, "target '%s' is not a directory", dst)
		return nil, "", false
	}
	return srcs, dst, true
}

func CmdCp(c *interp.Call) int {
	o := c.Flags("rRafpvdiLnut:m:o:g:Ds")
	srcs, dst, ok := operands(c, o, c.Name)
	if !ok {
		return 1
	}
	status := 0
	for _, s := range srcs {
		to := c.Into(s, dst)
		status = max(status, copyTree(c, s, to, o.Has("r", "R", "a"), 0))
		if o.Has("v") && status == 0 {
			c.Printf("'%s' -> '%s'\n", s, to)
		}
	}
	return status
}

func copyTree(c *interp.Call, src, dst string, deep bool, depth int) int {
	n, from, err := c.Node(src, !deep)
	if err != nil {
		return c.Fail(1, "cannot stat '%s': %s", src, err)
	}
	if n.IsDir() {
		if !deep {
			return c.Fail(1, "-r not specified; omitting directory '%s'", src)
		}
		_, to, _ := c.Node(dst, true)
		if depth > 24 || strings.HasPrefix(c.E.Abs(dst)+"/", from+"/") || to != "" && strings.HasPrefix(to+"/", from+"/") {
			return c.Fail(1, "cannot copy a directory, '%s', into itself, '%s'", src, dst)
		}
		err := c.Locked(func(f *vfs.FS) error { _, err := f.Add(c.E.Abs(dst), &vfs.Node{Mode: n.Mode}); return err })
		if err != nil && err != vfs.ErrExist {
			return c.Fail(1, "cannot create directory '%s': %s", dst, err)
		}
		status := 0
		for name := range n.Kids {
			if !c.Sh.Spend(2) {
				return 1
			}
			status = max(status, copyTree(c, src+"/"+name, dst+"/"+name, true, depth+1))
		}
		return status
	}
	if n.IsLink() {
		err = c.Locked(func(f *vfs.FS) error {
			_, err := f.Add(c.E.Abs(dst), &vfs.Node{Mode: n.Mode, Target: n.Target})
			return err
		})
	} else {
		var b []byte
		if b, err = c.Sh.Fs.Slurp(c.E.Abs(src)); err == nil {
			err = c.Sh.Store(c.E.Abs(dst), b, n.Mode&0o777, "cp")
		} else {
			return c.Fail(1, "cannot open '%s' for reading: %s", src, err)
		}
	}
	if err != nil {
		return c.Fail(1, "cannot create regular file '%s': %s", dst, err)
	}
	if n.Prog != "" { // a copy of a program still is that program
		c.Locked(func(f *vfs.FS) error {
			return f.Alter(c.E.Abs(dst), func(d *vfs.Node) { d.Prog, d.Size = n.Prog, n.Size; delete(f.Dirty, d) })
		})
	}
	return 0
}

func cmdMv(c *interp.Call) int {
	o := c.Flags("fvinut:")
	srcs, dst, ok := operands(c, o, "mv")
	if !ok {
		return 1
	}
	status := 0
	for _, s := range srcs {
		to := c.Into(s, dst)
		if _, _, err := c.Node(s, false); err != nil {
			status = c.Fail(1, "cannot stat '%s': %s", s, err)
			continue
		}
		if err := c.Locked(func(f *vfs.FS) error { return f.Move(c.E.Abs(s), c.E.Abs(to)) }); err != nil {
			status = c.Fail(1, "cannot move '%s' to '%s': %s", s, to, err)
		} else if o.Has("v") {
			c.Printf("renamed '%s' -> '%s'\n", s, to)
		}
	}
	return status
}

func cmdLn(c *interp.Call) int {
	o := c.Flags("sfnvr")
	if len(o.Rest) == 0 {
		return c.Fail(1, "missing file operand\nTry 'ln --help' for more information.")
	}
	src, dst := o.Rest[0], path.Base(o.Rest[0])
	if len(o.Rest) > 1 {
		dst = o.Rest[1]
	}
	to := c.Into(src, dst)
	if o.Has("f") {
		c.Locked(func(f *vfs.FS) error { return f.Drop(c.E.Abs(to), false) })
	}
	if !o.Has("s") {
		if st := copyTree(c, src, to, false, 0); st != 0 {
			return st
		}
		return 0
	}
	err := c.Locked(func(f *vfs.FS) error {
		if len(src) > vfs.MaxPath {
			return vfs.ErrNameLen
		}
		_, err := f.Add(c.E.Abs(to), &vfs.Node{Mode: vfs.ModeLink | 0o777, Target: src})
		return err
	})
	if err != nil {
		return c.Fail(1, "failed to create symbolic link '%s': %s", to, err)
	}
	return 0
}

func cmdTruncate(c *interp.Call) int {
	o := c.Flags("s:c")
	n, err := strconv.Atoi(o.Get("s"))
	if err != nil || n < 0 {
		return c.Fail(1, "Invalid number: ‘%s’", o.Get("s"))
	}
	for _, p := range o.Rest {
		old, _ := c.Sh.Fs.Slurp(c.E.Abs(p)) // a missing file is created
		size := min(int64(n), c.Sh.Limits.FileBytes)
		b := make([]byte, 0, size)
		b = append(b, old[:min(int64(len(old)), size)]...)
		if err := c.Sh.Store(c.E.Abs(p), b[:size], 0o644, "truncate"); err != nil {
			return c.Fail(1, "cannot open '%s' for writing: %s", p, err)
		}
	}
	return 0
}

func cmdDd(c *interp.Call) int {
	arg := map[string]string{"bs": "512", "count": "-1", "skip": "0"}
	for _, a := range c.Args {
		k, v, ok := strings.Cut(a, "=")
		if !ok {
			return c.Fail(1, "unrecognized operand ‘%s’", a)
		}
		arg[k] = v
	}
	bs, count, skip := parseSize(arg["bs"]), parseSize(arg["count"]), parseSize(arg["skip"])
	if bs <= 0 {
		return c.Fail(1, "invalid number: ‘%s’", arg["bs"])
	}
	var in io.Reader = c.In
	if p := arg["if"]; p != "" {
		var err error
		if in, err = c.Open(p); err != nil {
			return c.Fail(1, "failed to open '%s': %s", p, err)
		}
	}
	out := c.Out
	if p := arg["of"]; p != "" {
		w, err := c.Sh.OpenWrite(c.E.Abs(p), false)
		if err != nil {
			return c.Fail(1, "failed to open '%s': %s", p, err)
		}
		out = w
	}
	limit := c.Sh.Limits.FileBytes
	io.CopyN(io.Discard, in, min(skip*bs, limit)) // a short input just leaves nothing to copy
	want := limit
	if count >= 0 && count < limit/bs+1 {
		want = min(limit, count*bs)
	}
	buf := make([]byte, 32<<10)
	var n int64
	var werr error
	for n < want && !c.Sh.Dead() && werr == nil {
		k, err := in.Read(buf[:min(int64(len(buf)), want-n)])
		if k > 0 {
			_, werr = out.Write(buf[:k])
			n += int64(k)
		}
		if err != nil {
			break
		}
	}
	if werr == vfs.ErrNoSpace || werr == vfs.ErrTooBig {
		c.Fail(1, "error writing '%s': %s", arg["of"], vfs.ErrNoSpace)
	}
	if arg["status"] == "none" {
		return 0
	}
	fmt.Fprintf(c.Err, "%d+%d records in\n%d+%d records out\n%d bytes", n/bs, syntax.B2i(n%bs != 0), n/bs, syntax.B2i(n%bs != 0), n)
	if n >= 1000 {
		fmt.Fprintf(c.Err, " (%s, %s)", strings.ToLower(SiUnit(n, 1000)), SiUnit(n, 1024))
	}
	fmt.Fprintf(c.Err, " copied, %.6g s, %s/s\n", float64(n)/4e8+0.000021, "412 MB")
	return 0
}

func SiUnit(n int64, base float64) string {
	f, u := float64(n), 0
	for f >= base && u < 3 {
		f, u = f/base, u+1
	}
	suffix := []string{"B", "kB", "MB", "GB"}[u]
	if base == 1024 {
		suffix = []string{"B", "KiB", "MiB", "GiB"}[u]
	}
	return fmt.Sprintf("%.2g %s", f, suffix)
}

// parseSize reads numbers such as 1M or 512k; -1 for anything else.
func parseSize(s string) int64 {
	mul := int64(1)
	s = strings.TrimSuffix(strings.TrimSuffix(s, "B"), "i")
	if i := strings.IndexAny(s, "kKmMgGcw"); i > 0 && i == len(s)-1 {
		mul = map[byte]int64{'k': 1 << 10, 'm': 1 << 20, 'g': 1 << 30, 'c': 1, 'w': 2}[s[i]|32]
		s = s[:i]
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<31 {
		return -1
	}
	return n * mul
}
