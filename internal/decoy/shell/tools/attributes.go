package tools

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/vfs"
)

func cmdChattr(c *interp.Call) int {
	status := 0
	mode := ""
	for _, a := range c.Args {
		if len(a) > 1 && (a[0] == '+' || a[0] == '-' || a[0] == '=') && a != "-R" {
			mode += a
			continue
		}
		if strings.HasPrefix(a, "-") {
			continue
		}
		err := c.Locked(func(f *vfs.FS) error {
			_, canonical, err := f.Walk(c.E.Abs(a), true)
			if err != nil {
				return err
			}
			if f.Uid != 0 || vfs.ReadOnly(canonical) {
				return vfs.ErrPerm
			}
			if strings.Contains(mode, "i") {
				f.Own(canonical).Immut = strings.HasPrefix(mode, "+")
			}
			return nil
		})
		if err == vfs.ErrPerm {
			status = c.Fail(1, "Operation not permitted while setting flags on %s", a)
		} else if err != nil {
			status = c.Fail(1, "%s while trying to stat %s", err, a)
		}
	}
	return status
}

func cmdLsattr(c *interp.Call) int {
	for _, a := range c.Flags("adR").Rest {
		n, _, err := c.Node(a, true)
		if err != nil {
			return c.Fail(1, "%s while trying to stat %s", err, a)
		}
		flags := "--------------e-------"
		if n.Immut {
			flags = "----i---------e-------"
		}
		c.Printf("%s %s\n", flags, a)
	}
	return 0
}

func cmdMktemp(c *interp.Call) int {
	o := c.Flags("dqup:t", "tmpdir=")
	name := "tmp." + c.Token(10)
	if len(o.Rest) > 0 {
		t := o.Rest[0]
		x := len(t) - len(strings.TrimRight(t, "X"))
		name = t[:len(t)-x] + c.Token(min(x, 32))
	}
	p := name
	if len(o.Rest) == 0 || o.Has("p", "t", "tmpdir") {
		dir := "/tmp"
		if d := o.Get("p", "tmpdir"); d != "" {
			dir = d
		}
		p = dir + "/" + name
	}
	var err error
	if o.Has("d") {
		err = c.Locked(func(f *vfs.FS) error { _, err := f.Add(c.E.Abs(p), &vfs.Node{Mode: vfs.ModeDir | 0o700}); return err })
	} else {
		err = c.Sh.Store(c.E.Abs(p), nil, 0o600, "mktemp")
	}
	if err != nil {
		return c.Fail(1, "failed to create file via template ‘%s’: %s", name, err)
	}
	c.Printf("%s\n", p)
	return 0
}

// cmdGzip really compresses with gzip within the limits; bzip2 and xz only
// say that the file is not theirs.
func cmdGzip(c *interp.Call) int {
	o := c.Flags("cdfkvq123456789tlnz")
	unpack := o.Has("d") || c.Name == "gunzip" || c.Name == "zcat"
	if c.Name == "bzip2" || c.Name == "xz" {
		for _, f := range o.Rest {
			if _, _, err := c.Node(f, true); err != nil {
				return c.Fail(1, "%s: %s", f, err)
			}
			return c.Fail(1, "%s: File format not recognized", f)
		}
		return 0
	}
	toOut := o.Has("c") || c.Name == "zcat" || len(o.Rest) == 0
	status := 0
	c.Inputs(o.Rest, func(name string, r io.Reader) {
		raw := c.ReadAll(r)
		var buf bytes.Buffer
		if unpack {
			z, err := gzip.NewReader(bytes.NewReader(raw))
			if err == nil {
				_, err = io.Copy(&buf, io.LimitReader(&interp.ChargedReader{S: c.Sh, R: z}, c.Sh.Limits.FileBytes))
			}
			if err != nil {
				status = c.Fail(1, "%s: not in gzip format", strings.Replace(name, "-", "stdin", 1))
				return
			}
		} else {
			z := gzip.NewWriter(&buf)
			z.Write(raw) // a bytes.Buffer does not fail
			z.Close()
		}
		if toOut {
			c.Out.Write(buf.Bytes())
			return
		}
		dst := name + ".gz"
		if unpack {
			dst = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".tgz")
		}
		if err := c.Sh.Store(c.E.Abs(dst), buf.Bytes(), 0o644, "gzip"); err != nil {
			status = c.Fail(1, "%s: %s", dst, err)
			return
		}
		if !o.Has("k") && dst != name {
			c.Locked(func(f *vfs.FS) error { return f.Unlink(c.E.Abs(name)) })
		}
	})
	return status
}

func cmdUnzip(c *interp.Call) int {
	for _, f := range c.Flags("od:qlrP:p").Rest {
		if _, _, err := c.Node(f, true); err != nil {
			if c.Name == "zip" {
				return c.Fail(12, "error: Nothing to do! (%s)", f)
			}
			fmt.Fprintf(c.Err, "unzip:  cannot find or open %s, %s.zip or %s.ZIP.\n", f, f, f)
			return 9
		}
		if c.Name == "unzip" {
			fmt.Fprintf(c.Err, "Archive:  %s\n  End-of-central-directory signature not found.  Either this file is not\n  a zipfile, or it constitutes one disk of a multi-part archive.\n", f)
			return 9
		}
	}
	return 0
}
