package tools

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
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
)

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

func cmdCut(c *interp.Call) int {
	o := c.Flags("d:f:c:b:s", "delimiter=", "fields=", "characters=", "output-delimiter=")
	delim := "\t"
	if d := o.Get("d", "delimiter"); d != "" {
		delim = d[:1]
	}
	outDelim := delim
	if o.Has("output-delimiter") {
		outDelim = o.Get("output-delimiter")
	}
	spec := o.Get("f", "fields", "c", "b", "characters")
	list, ok := ranges(spec)
	if spec == "" || !ok {
		return c.Fail(1, "you must specify a list of bytes, characters, or fields\nTry 'cut --help' for more information.")
	}
	return c.Inputs(o.Rest, func(_ string, r io.Reader) {
		c.Lines(r, func(l string, _ bool) bool {
			if !o.Has("f", "fields") {
				var b []byte
				for i := range len(l) {
					if within(list, i+1) {
						b = append(b, l[i])
					}
				}
				return c.Sh.Spend(len(l)*len(list)/64) && c.Print(string(b)+"\n")
			}
			if !strings.Contains(l, delim) {
				return o.Has("s") || c.Print(l+"\n")
			}
			var keep []string
			for i, f := range strings.Split(l, delim) {
				if within(list, i+1) {
					keep = append(keep, f)
				}
			}
			return c.Sh.Spend(len(l)*len(list)/64) && c.Print(strings.Join(keep, outDelim)+"\n")
		})
	})
}

func cmdSort(c *interp.Call) int {
	o := c.Flags("nrufk:t:hVbo:gsR:Mc", "key=")
	list, st := c.AllLines(o.Rest)
	if !c.Sh.Spend(len(list) / 2) {
		return st
	}
	key := func(l string) string { return l }
	if k := o.Get("k", "key"); k != "" {
		n, _ := strconv.Atoi(strings.FieldsFunc(k+" ", func(r rune) bool { return r < '0' || r > '9' })[0]) // ends are ignored
		key = func(l string) string {
			f := strings.Fields(l)
			if t := o.Get("t"); t != "" {
				f = strings.Split(l, t[:1])
			}
			if n < 1 || n > len(f) {
				return ""
			}
			return strings.Join(f[n-1:], " ")
		}
	}
	numeric := o.Has("n", "g", "h", "V") || strings.Contains(o.Get("k", "key"), "n")
	reverse := o.Has("r") || strings.Contains(o.Get("k", "key"), "r")
	less := func(a, b string) bool {
		x, y := key(a), key(b)
		if numeric {
			if p, q := leadingNumber(x), leadingNumber(y); p != q {
				return p < q
			}
		} else if o.Has("f") {
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
		if o.Has("u") && i > 0 && (l == list[i-1] || numeric && leadingNumber(key(l)) == leadingNumber(key(list[i-1]))) {
			continue
		}
		b.WriteString(l + "\n")
	}
	if f := o.Get("o"); f != "" {
		if err := c.Sh.Store(c.E.Abs(f), []byte(b.String()), 0o644, "sort"); err != nil {
			return c.Fail(2, "open failed: %s: %s", f, err)
		}
		return st
	}
	c.Print(b.String())
	return st
}

func leadingNumber(s string) float64 {
	s = strings.TrimLeft(s, " \t")
	end := 0
	for end < len(s) && (syntax.IsDigit(s[end]) || s[end] == '.' || end == 0 && s[end] == '-') {
		end++
	}
	v, _ := strconv.ParseFloat(s[:end], 64) // not a number sorts as zero
	if end < len(s) {
		v *= map[byte]float64{'K': 1e3, 'M': 1e6, 'G': 1e9, 'T': 1e12}[s[end]] + b2f(strings.IndexByte("KMGT", s[end]) < 0)
	}
	return v
}

func b2f(b bool) float64 { return float64(syntax.B2i(b)) }

func cmdUniq(c *interp.Call) int {
	o := c.Flags("cduif:")
	list, st := c.AllLines(o.Rest[:min(1, len(o.Rest))])
	same := func(a, b string) bool { return a == b || o.Has("i") && strings.EqualFold(a, b) }
	for i := 0; i < len(list); {
		j := i
		for j < len(list) && same(list[i], list[j]) {
			j++
		}
		n := j - i
		switch {
		case o.Has("d") && n == 1, o.Has("u") && n > 1:
		case o.Has("c"):
			c.Printf("%7d %s\n", n, list[i])
		default:
			if !c.Print(list[i] + "\n") {
				return 1
			}
		}
		i = j
	}
	return st
}

func cmdWc(c *interp.Call) int {
	o := c.Flags("lwcmL")
	all := !o.Has("l", "w", "c", "m", "L")
	var total [3]int
	width := 1
	if len(o.Rest) == 0 && all {
		width = 7
	}
	type row struct {
		n    [3]int
		name string
	}
	var rows []row
	st := c.Inputs(o.Rest, func(name string, r io.Reader) {
		b := c.ReadAll(r)
		n := [3]int{bytes.Count(b, []byte("\n")), len(bytes.Fields(b)), len(b)}
		if o.Has("m") {
			n[2] = utf8.RuneCount(b)
		}
		for i := range n {
			total[i] += n[i]
		}
		if len(o.Rest) == 0 {
			name = ""
		}
		rows = append(rows, row{n, name})
	})
	if len(rows) > 1 {
		rows = append(rows, row{total, "total"})
	}
	if len(o.Rest) > 0 && (all || len(rows) > 1) {
		width = len(interp.Itoa(total[2]))
	}
	for _, r := range rows {
		var f []string
		for i, k := range []string{"l", "w", "c"} {
			if all || o.Has(k) || k == "c" && o.Has("m") {
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
		c.Print(line + "\n")
	}
	return st
}

// trSet expands ranges and classes of tr.
func trSet(s string) []byte {
	var out []byte
	for i := 0; i < len(s) && len(out) < 4096; i++ {
		if strings.HasPrefix(s[i:], "[:") {
			if e := strings.Index(s[i:], ":]"); e > 0 && syntax.Classes[s[i+2:i+e]] != nil {
				f := syntax.Classes[s[i+2:i+e]]
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
			text, _ := syntax.Unescape(s[i:i+n], syntax.EscPrintf)
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

func cmdTr(c *interp.Call) int {
	o := c.Flags("+dscCt")
	if len(o.Rest) == 0 || len(o.Rest) == 1 && !o.Has("d", "s") {
		return c.Fail(1, "missing operand\nTry 'tr --help' for more information.")
	}
	var from [256]int
	for i := range from {
		from[i] = -1
	}
	set1 := trSet(o.Rest[0])
	if o.Has("c", "C") {
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
	if len(o.Rest) > 1 {
		to = trSet(o.Rest[1])
		squeeze = to
	} else {
		squeeze = set1
	}
	for i, b := range set1 {
		if from[b] < 0 || o.Has("d") {
			from[b] = i
		}
	}
	last := -1
	buf := make([]byte, 4096)
	for !c.Sh.Dead() {
		n, err := c.In.Read(buf)
		out := make([]byte, 0, n)
		for _, b := range buf[:n] {
			if k := from[b]; k >= 0 {
				if o.Has("d") {
					continue
				}
				if len(to) > 0 {
					b = to[min(k, len(to)-1)]
				}
			}
			if o.Has("s") && int(b) == last && bytes.IndexByte(squeeze, b) >= 0 {
				continue
			}
			last = int(b)
			out = append(out, b)
		}
		if len(out) > 0 && !c.Print(string(out)) || err != nil || !c.Sh.Spend(1) {
			break
		}
	}
	return 0
}

func cmdTee(c *interp.Call) int {
	o := c.Flags("ai")
	ws := []io.Writer{c.Out}
	for _, f := range o.Rest {
		w, err := c.Sh.OpenWrite(c.E.Abs(f), o.Has("a"))
		if err != nil {
			c.Fail(1, "%s: %s", f, err)
			continue
		}
		ws = append(ws, w)
	}
	io.Copy(interp.WriteOnly{W: io.MultiWriter(ws...)}, c.In) // ends with the first broken output
	return 0
}

func CmdBase64(c *interp.Call) int {
	o := c.Flags("diw:", "wrap=")
	st := 0
	c.Inputs(o.Rest, func(_ string, r io.Reader) {
		b := c.ReadAll(r)
		if o.Has("d", "decode", "D") {
			clean := strings.Map(func(r rune) rune {
				if r == '\n' || r == '\r' || r == ' ' && o.Has("i") {
					return -1
				}
				return r
			}, string(b))
			out, err := base64.StdEncoding.DecodeString(clean)
			c.Out.Write(out[:max(0, len(out))])
			if err != nil {
				st = c.Fail(1, "invalid input")
			}
			return
		}
		text := base64.StdEncoding.EncodeToString(b)
		wrap := 76
		if o.Has("w", "wrap") {
			wrap = interp.ClampInt(o.Get("w", "wrap"), 1<<20)
		}
		for wrap > 0 && len(text) > wrap {
			if !c.Print(text[:wrap] + "\n") {
				return
			}
			text = text[wrap:]
		}
		c.Print(text)
		if wrap > 0 {
			c.Print("\n")
		}
	})
	return st
}

func cmdHash(c *interp.Call) int {
	o := c.Flags("cbt")
	return c.Inputs(o.Rest, func(name string, r io.Reader) {
		var h hash.Hash
		switch c.Name {
		case "md5sum":
			h = md5.New()
		case "sha1sum":
			h = sha1.New()
		case "sha512sum":
			h = sha512.New()
		default:
			h = sha256.New()
		}
		h.Write(c.ReadAll(r))
		c.Printf("%x  %s\n", h.Sum(nil), name)
	})
}
