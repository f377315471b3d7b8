package tools

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
	"bartizan/internal/decoy/shell/vfs"
)

func TextCommands() map[string]interp.CommandFunc {
	return map[string]interp.CommandFunc{
		"cat": cmdCat, "tac": cmdTac, "more": cmdCat, "less": cmdCat, "head": cmdHead, "tail": cmdTail,
		"grep": cmdGrep, "egrep": cmdGrep, "fgrep": cmdGrep, "zgrep": cmdGrep, "cut": cmdCut, "sort": cmdSort, "uniq": cmdUniq,
		"wc": cmdWc, "tr": cmdTr, "tee": cmdTee, "rev": cmdRev, "nl": cmdNl, "seq": cmdSeq, "yes": cmdYes,
		"base64": CmdBase64, "md5sum": cmdHash, "sha1sum": cmdHash, "sha256sum": cmdHash, "sha512sum": cmdHash,
		"xxd": cmdXxd, "hexdump": cmdXxd, "od": cmdOd, "strings": cmdStrings, "expr": cmdExpr, "xargs": cmdXargs,
		"sed": cmdSed, "awk": cmdAwk, "gawk": cmdAwk, "mawk": cmdAwk, "fold": cmdCat, "column": cmdCat, "paste": cmdPaste,
		"diff": cmdDiff, "cmp": cmdDiff, "bc": cmdBc, "shuf": cmdSort, "sleep": cmdSleep, "usleep": cmdSleep, "timeout": cmdTimeout,
	}
}

func cmdCat(c *interp.Call) int {
	o := c.Flags("nbsAeEtTvuwd:t:")
	n := 0
	return c.Inputs(o.Rest, func(_ string, r io.Reader) {
		if !o.Has("n", "b", "A", "E", "e") {
			io.Copy(interp.WriteOnly{W: c.Out}, r) // a broken output ends the copy
			return
		}
		c.Lines(r, func(l string, nl bool) bool {
			n++
			pre := ""
			if o.Has("n") || o.Has("b") && l != "" {
				pre = fmt.Sprintf("%6d\t", n)
			}
			end := ""
			if o.Has("A", "E", "e") {
				end = "$"
			}
			return c.Print(pre + l + end + "\n")
		})
	})
}

func cmdTac(c *interp.Call) int {
	list, st := c.AllLines(c.Flags("").Rest)
	for i := len(list) - 1; i >= 0 && c.Print(list[i]+"\n"); i-- {
	}
	return st
}

// CountFlag turns the historic "-5" into "-n 5".
func CountFlag(c *interp.Call) {
	for i, a := range c.Args {
		if len(a) > 1 && a[0] == '-' && syntax.IsDigit(a[1]) && strings.Trim(a[1:], "0123456789") == "" {
			c.Args = append(append(append([]string{}, c.Args[:i]...), "-n"+a[1:]), c.Args[i+1:]...)
			return
		}
	}
}

func cmdHead(c *interp.Call) int {
	CountFlag(c)
	o := c.Flags("n:c:qvz", "lines=", "bytes=")
	n, byBytes := 10, false
	if v := o.Get("n", "lines"); v != "" {
		n, _ = strconv.Atoi(v) // not a number prints nothing
	}
	if v := o.Get("c", "bytes"); v != "" {
		n, byBytes = int(parseSize(v)), true
	}
	return c.Inputs(o.Rest, func(name string, r io.Reader) {
		if len(o.Rest) > 1 && !o.Has("q") {
			c.Printf("==> %s <==\n", name)
		}
		if byBytes {
			io.CopyN(interp.WriteOnly{W: c.Out}, r, int64(max(0, n))) // shorter input is fine
			return
		}
		if n < 0 {
			var list []string
			c.Lines(r, func(l string, _ bool) bool { list = append(list, l); return len(list) < 100_000 })
			for _, l := range list[:max(0, len(list)+n)] {
				c.Print(l + "\n")
			}
			return
		}
		i := 0
		if n > 0 {
			c.Lines(r, func(l string, nl bool) bool {
				i++
				return c.Print(l+map[bool]string{true: "\n"}[nl]) && i < n
			})
		}
	})
}

func cmdTail(c *interp.Call) int {
	CountFlag(c)
	o := c.Flags("n:c:fFq", "lines=", "bytes=")
	v := o.Get("n", "lines")
	from := strings.HasPrefix(v, "+")
	n := 10
	if v != "" {
		n, _ = strconv.Atoi(strings.TrimLeft(v, "+-")) // not a number prints nothing
	}
	return c.Inputs(o.Rest, func(name string, r io.Reader) {
		if len(o.Rest) > 1 && !o.Has("q") {
			c.Printf("==> %s <==\n", name)
		}
		if b := o.Get("c", "bytes"); b != "" {
			data := c.ReadAll(r)
			k := int(max(0, parseSize(strings.TrimPrefix(b, "+"))))
			if strings.HasPrefix(b, "+") {
				data = data[min(len(data), max(0, k-1)):]
			} else {
				data = data[max(0, len(data)-k):]
			}
			c.Out.Write(data)
			return
		}
		if from {
			i := 0
			c.Lines(r, func(l string, nl bool) bool {
				i++
				return i < n || c.Print(l+map[bool]string{true: "\n"}[nl])
			})
			return
		}
		var list []string
		c.Lines(r, func(l string, nl bool) bool {
			list = append(list, l+map[bool]string{true: "\n"}[nl])
			if len(list) > n+1024 {
				list = append(list[:0], list[len(list)-n:]...)
			}
			return n < 100_000
		})
		for _, l := range list[max(0, len(list)-n):] {
			c.Print(l)
		}
	})
}

func cmdGrep(c *interp.Call) int {
	o := c.Flags("ivncElFwqohHrRsxe:m:A:B:C:aPLz", "color=", "regexp=")
	var pats []string
	rest := o.Rest
	if p := o.Get("e", "regexp"); o.Has("e", "regexp") {
		pats = strings.Split(p, "\n")
	} else if len(rest) > 0 {
		pats, rest = strings.Split(rest[0], "\n"), rest[1:]
	} else {
		c.Printf("Usage: %s [OPTION]... PATTERNS [FILE]...\nTry '%s --help' for more information.\n", c.Name, c.Name)
		return 2
	}
	src := ""
	for i, p := range pats {
		if o.Has("F") || c.Name == "fgrep" {
			p = regexp.QuoteMeta(p)
		} else if !o.Has("E", "P") && c.Name != "egrep" {
			p = interp.BasicToExtended(p)
		}
		if i > 0 {
			src += "|"
		}
		src += p
	}
	if o.Has("w") {
		src = `\b(?:` + src + `)\b`
	}
	if o.Has("x") {
		src = "^(?:" + src + ")$"
	}
	re, err := interp.CompileRegex(src, true, o.Has("i"))
	if err != nil || !c.Sh.Spend(20+len(src)) {
		return c.Fail(2, "Invalid regular expression")
	}
	most := 1 << 30
	if m := o.Get("m"); m != "" {
		most, _ = strconv.Atoi(m) // not a number: none
	}
	after, _ := strconv.Atoi(o.Get("A", "C"))
	if o.Has("r", "R") {
		rest = filesBelow(c, rest)
	}
	g := &grepper{c: c, o: o, re: re, most: most, after: after, named: (len(rest) > 1 || o.Has("r", "R", "H")) && !o.Has("h")}
	if len(rest) == 0 {
		rest = []string{"-"}
	}
	status := 0
	for _, name := range rest {
		r, err := c.Open(name)
		if err != nil {
			if !o.Has("s") {
				status = c.Fail(2, "%s: %s", name, err)
			}
			continue
		}
		g.file(strings.Replace(name, "-", "(standard input)", int(syntax.B2i(name == "-"))), r)
	}
	if status == 0 && !g.any {
		return 1
	}
	return status
}

// filesBelow expands directories for grep -r.
func filesBelow(c *interp.Call, list []string) []string {
	if len(list) == 0 {
		list = []string{"."}
	}
	var out []string
	for _, d := range list {
		c.Locked(func(f *vfs.FS) error {
			n, _, err := f.Walk(c.E.Abs(d), true)
			if err != nil {
				out = append(out, d)
				return nil
			}
			c.Visit(d, n, 0, func(name string, n *vfs.Node, _ int) bool {
				if n.IsReg() && len(out) < c.Sh.Limits.Glob {
					out = append(out, name)
				}
				return true
			})
			return nil
		})
	}
	return out
}

type grepper struct {
	c     *interp.Call
	o     interp.Options
	re    *regexp.Regexp
	most  int
	after int
	named bool
	any   bool
}

func (g *grepper) file(name string, r io.Reader) {
	o, c := g.o, g.c
	pre := ""
	if g.named {
		pre = name + ":"
	}
	count, num, show := 0, 0, 0
	c.Lines(r, func(l string, _ bool) bool {
		num++
		hit := g.re.MatchString(l) != o.Has("v")
		if !hit {
			if show > 0 {
				show--
				return c.Print(l + "\n")
			}
			return true
		}
		g.any = true
		count++
		show = g.after
		switch {
		case o.Has("q", "l"):
			return false
		case o.Has("c", "L"):
		case o.Has("o"):
			for _, m := range g.re.FindAllString(l, 1000) {
				if m != "" && !c.Print(pre+m+"\n") {
					return false
				}
			}
		default:
			at := pre
			if o.Has("n") {
				at += interp.Itoa(num) + ":"
			}
			if !c.Print(at + l + "\n") {
				return false
			}
		}
		return count < g.most
	})
	switch {
	case o.Has("q"):
	case o.Has("l") && count > 0, o.Has("L") && count == 0:
		c.Print(name + "\n")
	case o.Has("c"):
		c.Printf("%s%d\n", pre, count)
	}
}
