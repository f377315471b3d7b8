package shell

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

func textCommands() map[string]commandFunc {
	return map[string]commandFunc{
		"cat": cmdCat, "tac": cmdTac, "more": cmdCat, "less": cmdCat, "head": cmdHead, "tail": cmdTail,
		"grep": cmdGrep, "egrep": cmdGrep, "fgrep": cmdGrep, "zgrep": cmdGrep, "cut": cmdCut, "sort": cmdSort, "uniq": cmdUniq,
		"wc": cmdWc, "tr": cmdTr, "tee": cmdTee, "rev": cmdRev, "nl": cmdNl, "seq": cmdSeq, "yes": cmdYes,
		"base64": cmdBase64, "md5sum": cmdHash, "sha1sum": cmdHash, "sha256sum": cmdHash, "sha512sum": cmdHash,
		"xxd": cmdXxd, "hexdump": cmdXxd, "od": cmdOd, "strings": cmdStrings, "expr": cmdExpr, "xargs": cmdXargs,
		"sed": cmdSed, "awk": cmdAwk, "gawk": cmdAwk, "mawk": cmdAwk, "fold": cmdCat, "column": cmdCat, "paste": cmdPaste,
		"diff": cmdDiff, "cmp": cmdDiff, "bc": cmdBc, "shuf": cmdSort, "sleep": cmdSleep, "usleep": cmdSleep, "timeout": cmdTimeout,
	}
}

func cmdCat(c *call) int {
	o := c.flags("nbsAeEtTvuwd:t:")
	n := 0
	return c.inputs(o.rest, func(_ string, r io.Reader) {
		if !o.has("n", "b", "A", "E", "e") {
			io.Copy(writeOnly{c.out}, r) // a broken output ends the copy
			return
		}
		c.lines(r, func(l string, nl bool) bool {
			n++
			pre := ""
			if o.has("n") || o.has("b") && l != "" {
				pre = fmt.Sprintf("%6d\t", n)
			}
			end := ""
			if o.has("A", "E", "e") {
				end = "$"
			}
			return c.print(pre + l + end + "\n")
		})
	})
}

func cmdTac(c *call) int {
	list, st := c.allLines(c.flags("").rest)
	for i := len(list) - 1; i >= 0 && c.print(list[i]+"\n"); i-- {
	}
	return st
}

// countFlag turns the historic "-5" into "-n 5".
func (c *call) countFlag() {
	for i, a := range c.args {
		if len(a) > 1 && a[0] == '-' && isDigit(a[1]) && strings.Trim(a[1:], "0123456789") == "" {
			c.args = append(append(append([]string{}, c.args[:i]...), "-n"+a[1:]), c.args[i+1:]...)
			return
		}
	}
}

func cmdHead(c *call) int {
	c.countFlag()
	o := c.flags("n:c:qvz", "lines=", "bytes=")
	n, byBytes := 10, false
	if v := o.get("n", "lines"); v != "" {
		n, _ = strconv.Atoi(v) // not a number prints nothing
	}
	if v := o.get("c", "bytes"); v != "" {
		n, byBytes = int(parseSize(v)), true
	}
	return c.inputs(o.rest, func(name string, r io.Reader) {
		if len(o.rest) > 1 && !o.has("q") {
			c.printf("==> %s <==\n", name)
		}
		if byBytes {
			io.CopyN(writeOnly{c.out}, r, int64(max(0, n))) // shorter input is fine
			return
		}
		if n < 0 {
			var list []string
			c.lines(r, func(l string, _ bool) bool { list = append(list, l); return len(list) < 100_000 })
			for _, l := range list[:max(0, len(list)+n)] {
				c.print(l + "\n")
			}
			return
		}
		i := 0
		if n > 0 {
			c.lines(r, func(l string, nl bool) bool {
				i++
				return c.print(l+map[bool]string{true: "\n"}[nl]) && i < n
			})
		}
	})
}

func cmdTail(c *call) int {
	c.countFlag()
	o := c.flags("n:c:fFq", "lines=", "bytes=")
	v := o.get("n", "lines")
	from := strings.HasPrefix(v, "+")
	n := 10
	if v != "" {
		n, _ = strconv.Atoi(strings.TrimLeft(v, "+-")) // not a number prints nothing
	}
	return c.inputs(o.rest, func(name string, r io.Reader) {
		if len(o.rest) > 1 && !o.has("q") {
			c.printf("==> %s <==\n", name)
		}
		if b := o.get("c", "bytes"); b != "" {
			data := c.readAll(r)
			k := int(max(0, parseSize(strings.TrimPrefix(b, "+"))))
			if strings.HasPrefix(b, "+") {
				data = data[min(len(data), max(0, k-1)):]
			} else {
				data = data[max(0, len(data)-k):]
			}
			c.out.Write(data)
			return
		}
		if from {
			i := 0
			c.lines(r, func(l string, nl bool) bool {
				i++
				return i < n || c.print(l+map[bool]string{true: "\n"}[nl])
			})
			return
		}
		var list []string
		c.lines(r, func(l string, nl bool) bool {
			list = append(list, l+map[bool]string{true: "\n"}[nl])
			if len(list) > n+1024 {
				list = append(list[:0], list[len(list)-n:]...)
			}
			return n < 100_000
		})
		for _, l := range list[max(0, len(list)-n):] {
			c.print(l)
		}
	})
}

func cmdGrep(c *call) int {
	o := c.flags("ivncElFwqohHrRsxe:m:A:B:C:aPLz", "color=", "regexp=")
	pats := []string{}
	rest := o.rest
	if p := o.get("e", "regexp"); o.has("e", "regexp") {
		pats = strings.Split(p, "\n")
	} else if len(rest) > 0 {
		pats, rest = strings.Split(rest[0], "\n"), rest[1:]
	} else {
		c.printf("Usage: %s [OPTION]... PATTERNS [FILE]...\nTry '%s --help' for more information.\n", c.name, c.name)
		return 2
	}
	src := ""
	for i, p := range pats {
		if o.has("F") || c.name == "fgrep" {
			p = regexp.QuoteMeta(p)
		} else if !o.has("E", "P") && c.name != "egrep" {
			p = basicToExtended(p)
		}
		if i > 0 {
			src += "|"
		}
		src += p
	}
	if o.has("w") {
		src = `\b(?:` + src + `)\b`
	}
	if o.has("x") {
		src = "^(?:" + src + ")$"
	}
	re, err := compileRegex(src, true, o.has("i"))
	if err != nil || !c.sh.spend(20+len(src)) {
		return c.fail(2, "Invalid regular expression")
	}
	most := 1 << 30
	if m := o.get("m"); m != "" {
		most, _ = strconv.Atoi(m) // not a number: none
	}
	after, _ := strconv.Atoi(o.get("A", "C"))
	if o.has("r", "R") {
		rest = c.filesBelow(rest)
	}
	g := &grepper{c: c, o: o, re: re, most: most, after: after, named: (len(rest) > 1 || o.has("r", "R", "H")) && !o.has("h")}
	if len(rest) == 0 {
		rest = []string{"-"}
	}
	status := 0
	for _, name := range rest {
		r, err := c.open(name)
		if err != nil {
			if !o.has("s") {
				status = c.fail(2, "%s: %s", name, err)
			}
			continue
		}
		g.file(strings.Replace(name, "-", "(standard input)", int(b2i(name == "-"))), r)
	}
	if status == 0 && !g.any {
		return 1
	}
	return status
}

// filesBelow expands directories for grep -r.
func (c *call) filesBelow(list []string) []string {
	if len(list) == 0 {
		list = []string{"."}
	}
	var out []string
	for _, d := range list {
		c.locked(func(f *FS) error {
			n, _, err := f.walk(c.e.abs(d), true)
			if err != nil {
				out = append(out, d)
				return nil
			}
			c.visit(d, n, 0, func(name string, n *node, _ int) bool {
				if n.isReg() && len(out) < c.sh.limits.Glob {
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
	c     *call
	o     options
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
	c.lines(r, func(l string, _ bool) bool {
		num++
		hit := g.re.MatchString(l) != o.has("v")
		if !hit {
			if show > 0 {
				show--
				return c.print(l + "\n")
			}
			return true
		}
		g.any = true
		count++
		show = g.after
		switch {
		case o.has("q", "l"):
			return false
		case o.has("c", "L"):
		case o.has("o"):
			for _, m := range g.re.FindAllString(l, 1000) {
				if m != "" && !c.print(pre+m+"\n") {
					return false
				}
			}
		default:
			at := pre
			if o.has("n") {
				at += itoa(num) + ":"
			}
			if !c.print(at + l + "\n") {
				return false
			}
		}
		return count < g.most
	})
	switch {
	case o.has("q"):
	case o.has("l") && count > 0, o.has("L") && count == 0:
		c.print(name + "\n")
	case o.has("c"):
		c.printf("%s%d\n", pre, count)
	}
}

// ranges parses a cut list such as 1,3-5,7-.
func ranges(s string) (out [][2]int, ok bool) {
	for _, p := range strings.Split(s, ",") {
		lo, hi, dash := strings.Cut(p, "-")
		a, err1 := strconv.Atoi(lo)
		b, err2 := strconv.Atoi(hi)
		switch {
		case !dash && err1 == nil:
			b = a
		case lo == "" && err2 == nil:
			a = 1
		case hi == "" && err1 == nil:
			b = 1 << 30
		case err1 != nil || err2 != nil:
			return nil, false
		}
		out = append(out, [2]int{a, b})
	}
	return out, len(out) < 256
}

func within(list [][2]int, i int) bool {
	for _, r := range list {
		if i >= r[0] && i <= r[1] {
			return true
		}
	}
	return false
}

func cmdCut(c *call) int {
	o := c.flags("d:f:c:b:s", "delimiter=", "fields=", "characters=", "output-delimiter=")
	delim := "\t"
	if d := o.get("d", "delimiter"); d != "" {
		delim = d[:1]
	}
	outDelim := delim
	if o.has("output-delimiter") {
		outDelim = o.get("output-delimiter")
	}
	spec := o.get("f", "fields", "c", "b", "characters")
	list, ok := ranges(spec)
	if spec == "" || !ok {
		return c.fail(1, "you must specify a list of bytes, characters, or fields\nTry 'cut --help' for more information.")
	}
	return c.inputs(o.rest, func(_ string, r io.Reader) {
		c.lines(r, func(l string, _ bool) bool {
			if !o.has("f", "fields") {
				var b []byte
				for i := range len(l) {
					if within(list, i+1) {
						b = append(b, l[i])
					}
				}
				return c.sh.spend(len(l)*len(list)/64) && c.print(string(b)+"\n")
			}
			if !strings.Contains(l, delim) {
				return o.has("s") || c.print(l+"\n")
			}
			var keep []string
			for i, f := range strings.Split(l, delim) {
				if within(list, i+1) {
					keep = append(keep, f)
				}
			}
			return c.sh.spend(len(l)*len(list)/64) && c.print(strings.Join(keep, outDelim)+"\n")
		})
	})
}

func cmdSort(c *call) int {
	o := c.flags("nrufk:t:hVbo:gsR:Mc", "key=")
	list, st := c.allLines(o.rest)
	if !c.sh.spend(len(list) / 2) {
		return st
	}
	key := func(l string) string { return l }
	if k := o.get("k", "key"); k != "" {
		n, _ := strconv.Atoi(strings.FieldsFunc(k+" ", func(r rune) bool { return r < '0' || r > '9' })[0]) // ends are ignored
		key = func(l string) string {
			f := strings.Fields(l)
			if t := o.get("t"); t != "" {
				f = strings.Split(l, t[:1])
			}
			if n < 1 || n > len(f) {
				return ""
			}
			return strings.Join(f[n-1:], " ")
		}
	}
	numeric := o.has("n", "g", "h", "V") || strings.Contains(o.get("k", "key"), "n")
	reverse := o.has("r") || strings.Contains(o.get("k", "key"), "r")
	less := func(a, b string) bool {
		x, y := key(a), key(b)
		if numeric {
			if p, q := leadingNumber(x), leadingNumber(y); p != q {
				return p < q
			}
		} else if o.has("f") {
			x, y = strings.ToUpper(x), strings.ToUpper(y)
		}
		if x != y {
			return x < y
		}
		return a < b
	}
	sort.SliceStable(list, func(i, j int) bool {
		if reverse {
			return less(list[j], list[i])
		}
		return less(list[i], list[j])
	})
	var b strings.Builder
	for i, l := range list {
		if o.has("u") && i > 0 && (l == list[i-1] || numeric && leadingNumber(key(l)) == leadingNumber(key(list[i-1]))) {
			continue
		}
		b.WriteString(l + "\n")
	}
	if f := o.get("o"); f != "" {
		if err := c.sh.store(c.e.abs(f), []byte(b.String()), 0o644, "sort"); err != nil {
			return c.fail(2, "open failed: %s: %s", f, err)
		}
		return st
	}
	c.print(b.String())
	return st
}

func leadingNumber(s string) float64 {
	s = strings.TrimLeft(s, " \t")
	end := 0
	for end < len(s) && (isDigit(s[end]) || s[end] == '.' || end == 0 && s[end] == '-') {
		end++
	}
	v, _ := strconv.ParseFloat(s[:end], 64) // not a number sorts as zero
	if end < len(s) {
		v *= map[byte]float64{'K': 1e3, 'M': 1e6, 'G': 1e9, 'T': 1e12}[s[end]] + b2f(strings.IndexByte("KMGT", s[end]) < 0)
	}
	return v
}

func b2f(b bool) float64 { return float64(b2i(b)) }

func cmdUniq(c *call) int {
	o := c.flags("cduif:")
	list, st := c.allLines(o.rest[:min(1, len(o.rest))])
	same := func(a, b string) bool { return a == b || o.has("i") && strings.EqualFold(a, b) }
	for i := 0; i < len(list); {
		j := i
		for j < len(list) && same(list[i], list[j]) {
			j++
		}
		n := j - i
		switch {
		case o.has("d") && n == 1, o.has("u") && n > 1:
		case o.has("c"):
			c.printf("%7d %s\n", n, list[i])
		default:
			if !c.print(list[i] + "\n") {
				return 1
			}
		}
		i = j
	}
	return st
}

func cmdWc(c *call) int {
	o := c.flags("lwcmL")
	all := !o.has("l", "w", "c", "m", "L")
	var total [3]int
	width := 1
	if len(o.rest) == 0 && all {
		width = 7
	}
	type row struct {
		n    [3]int
		name string
	}
	var rows []row
	st := c.inputs(o.rest, func(name string, r io.Reader) {
		b := c.readAll(r)
		n := [3]int{bytes.Count(b, []byte("\n")), len(bytes.Fields(b)), len(b)}
		if o.has("m") {
			n[2] = utf8.RuneCount(b)
		}
		for i := range n {
			total[i] += n[i]
		}
		if len(o.rest) == 0 {
			name = ""
		}
		rows = append(rows, row{n, name})
	})
	if len(rows) > 1 {
		rows = append(rows, row{total, "total"})
	}
	if len(o.rest) > 0 && (all || len(rows) > 1) {
		width = len(itoa(total[2]))
	}
	for _, r := range rows {
		var f []string
		for i, k := range []string{"l", "w", "c"} {
			if all || o.has(k) || k == "c" && o.has("m") {
				f = append(f, fmt.Sprintf("%*d", width, r.n[i]))
			}
		}
		if len(f) == 1 {
			f[0] = strings.TrimSpace(f[0])
		}
		line := strings.Join(f, " ")
		if r.name != "" {
			line += " " + r.name
		}
		c.print(line + "\n")
	}
	return st
}

// trSet expands ranges and classes of tr.
func trSet(s string) []byte {
	var out []byte
	for i := 0; i < len(s) && len(out) < 4096; i++ {
		if strings.HasPrefix(s[i:], "[:") {
			if e := strings.Index(s[i:], ":]"); e > 0 && classes[s[i+2:i+e]] != nil {
				f := classes[s[i+2:i+e]]
				for ch := range 256 {
					if f(byte(ch)) {
						out = append(out, byte(ch))
					}
				}
				i += e + 1
				continue
			}
		}
		ch := s[i]
		if ch == '\\' && i+1 < len(s) {
			n := 2
			for n < 4 && i+n < len(s) && s[i+1] >= '0' && s[i+1] <= '7' && s[i+n] >= '0' && s[i+n] <= '7' {
				n++
			}
			text, _ := unescape(s[i:i+n], escPrintf)
			if len(text) == 2 {
				text = text[1:]
			}
			ch = text[0]
			i += n - 1
		}
		if i+2 < len(s) && s[i+1] == '-' && s[i+2] >= ch {
			for k := int(ch); k <= int(s[i+2]); k++ {
				out = append(out, byte(k))
			}
			i += 2
			continue
		}
		out = append(out, ch)
	}
	return out
}

func cmdTr(c *call) int {
	o := c.flags("+dscCt")
	if len(o.rest) == 0 || len(o.rest) == 1 && !o.has("d", "s") {
		return c.fail(1, "missing operand\nTry 'tr --help' for more information.")
	}
	var from [256]int
	for i := range from {
		from[i] = -1
	}
	set1 := trSet(o.rest[0])
	if o.has("c", "C") {
		var in [256]bool
		for _, b := range set1 {
			in[b] = true
		}
		set1 = nil
		for i := range 256 {
			if !in[i] {
				set1 = append(set1, byte(i))
			}
		}
	}
	var to, squeeze []byte
	if len(o.rest) > 1 {
		to = trSet(o.rest[1])
		squeeze = to
	} else {
		squeeze = set1
	}
	for i, b := range set1 {
		if from[b] < 0 || o.has("d") {
			from[b] = i
		}
	}
	last := -1
	buf := make([]byte, 4096)
	for !c.sh.dead() {
		n, err := c.in.Read(buf)
		out := make([]byte, 0, n)
		for _, b := range buf[:n] {
			if k := from[b]; k >= 0 {
				if o.has("d") {
					continue
				}
				if len(to) > 0 {
					b = to[min(k, len(to)-1)]
				}
			}
			if o.has("s") && int(b) == last && bytes.IndexByte(squeeze, b) >= 0 {
				continue
			}
			last = int(b)
			out = append(out, b)
		}
		if len(out) > 0 && !c.print(string(out)) || err != nil || !c.sh.spend(1) {
			break
		}
	}
	return 0
}

func cmdTee(c *call) int {
	o := c.flags("ai")
	ws := []io.Writer{c.out}
	for _, f := range o.rest {
		w, err := c.sh.openWrite(c.e.abs(f), o.has("a"))
		if err != nil {
			c.fail(1, "%s: %s", f, err)
			continue
		}
		ws = append(ws, w)
	}
	io.Copy(writeOnly{io.MultiWriter(ws...)}, c.in) // ends with the first broken output
	return 0
}

func cmdBase64(c *call) int {
	o := c.flags("diw:", "wrap=")
	st := 0
	c.inputs(o.rest, func(_ string, r io.Reader) {
		b := c.readAll(r)
		if o.has("d", "decode", "D") {
			clean := strings.Map(func(r rune) rune {
				if r == '\n' || r == '\r' || r == ' ' && o.has("i") {
					return -1
				}
				return r
			}, string(b))
			out, err := base64.StdEncoding.DecodeString(clean)
			c.out.Write(out[:max(0, len(out))])
			if err != nil {
				st = c.fail(1, "invalid input")
			}
			return
		}
		text := base64.StdEncoding.EncodeToString(b)
		wrap := 76
		if o.has("w", "wrap") {
			wrap = clampInt(o.get("w", "wrap"), 1<<20)
		}
		for wrap > 0 && len(text) > wrap {
			if !c.print(text[:wrap] + "\n") {
				return
			}
			text = text[wrap:]
		}
		c.print(text)
		if wrap > 0 {
			c.print("\n")
		}
	})
	return st
}

func cmdHash(c *call) int {
	o := c.flags("cbt")
	return c.inputs(o.rest, func(name string, r io.Reader) {
		var h hash.Hash
		switch c.name {
		case "md5sum":
			h = md5.New()
		case "sha1sum":
			h = sha1.New()
		case "sha512sum":
			h = sha512.New()
		default:
			h = sha256.New()
		}
		h.Write(c.readAll(r))
		c.printf("%x  %s\n", h.Sum(nil), name)
	})
}
