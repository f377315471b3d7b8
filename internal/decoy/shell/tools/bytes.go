package tools

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
)

func cmdRev(c *interp.Call) int {
	return c.Inputs(c.Args, func(_ string, r io.Reader) {
		c.Lines(r, func(l string, _ bool) bool {
			b := []rune(l)
			for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
				b[i], b[j] = b[j], b[i]
			}
			return c.Print(string(b) + "\n")
		})
	})
}

func cmdNl(c *interp.Call) int {
	n := 0
	return c.Inputs(c.Flags("b:w:s:").Rest, func(_ string, r io.Reader) {
		c.Lines(r, func(l string, _ bool) bool {
			if l == "" {
				return c.Print("       \n")
			}
			n++
			return c.Printf("%6d\t%s\n", n, l)
		})
	})
}

func cmdSeq(c *interp.Call) int {
	sep := "\n"
	args := c.Args
	width := false
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && !syntax.IsDigit(args[0][1]) {
		switch {
		case args[0] == "-w":
			width = true
		case args[0] == "-s" && len(args) > 1:
			sep, args = args[1], args[1:]
		case strings.HasPrefix(args[0], "-s"):
			sep = args[0][2:]
		}
		args = args[1:]
	}
	v := []int64{1, 1, 1}
	var nums []int64
	for _, a := range args {
		n, err := strconv.ParseInt(a, 10, 40)
		if err != nil {
			return c.Fail(1, "invalid floating point argument: ‘%s’", a)
		}
		nums = append(nums, n)
	}
	switch len(nums) {
	case 1:
		v[2] = nums[0]
	case 2:
		v[0], v[2] = nums[0], nums[1]
	case 3:
		copy(v, nums)
	default:
		return c.Fail(1, "missing operand\nTry 'seq --help' for more information.")
	}
	if v[1] == 0 {
		return c.Fail(1, "invalid Zero increment value: ‘0’")
	}
	w := max(len(args[0]), len(args[len(args)-1]))
	first := true
	for i := v[0]; v[1] > 0 && i <= v[2] || v[1] < 0 && i >= v[2]; i += v[1] {
		text := strconv.FormatInt(i, 10)
		if width {
			text = fmt.Sprintf("%0*d", min(w, 24), i)
		}
		if !first {
			text = sep + text
		}
		first = false
		if !c.Print(text) || !c.Sh.Spend(1) {
			return 1
		}
	}
	if !first {
		c.Print("\n")
	}
	return 0
}

func cmdYes(c *interp.Call) int {
	text := "y"
	if len(c.Args) > 0 {
		text = strings.Join(c.Args, " ")
	}
	block := strings.Repeat(text+"\n", max(1, 2048/(len(text)+1)))
	for c.Print(block) && !c.Sh.Dead() {
	}
	return 1
}

func cmdXxd(c *interp.Call) int {
	o := c.Flags("prCl:s:n:vg:c:bu")
	limit := c.Sh.Limits.FileBytes
	if n := parseSize(o.Get("l", "n")); n >= 0 && o.Has("l", "n") {
		limit = n
	}
	return c.Inputs(o.Rest, func(_ string, r io.Reader) {
		b := c.ReadAll(io.LimitReader(r, limit))
		if o.Has("r") {
			c.Print(string(unhex(b)))
			return
		}
		if o.Has("p") {
			for len(b) > 0 {
				n := min(30, len(b))
				if !c.Printf("%x\n", b[:n]) {
					return
				}
				b = b[n:]
			}
			return
		}
		for at := 0; at < len(b); at += 16 {
			row := b[at:min(at+16, len(b))]
			if !c.Print(hexRow(c.Name, o, at, row)) || !c.Sh.Spend(2) {
				return
			}
		}
		if c.Name == "hexdump" && len(b) > 0 {
			if o.Has("C") {
				c.Printf("%08x\n", len(b))
			} else {
				c.Printf("%07x\n", len(b))
			}
		}
	})
}

func unhex(b []byte) []byte {
	var out []byte
	hi := -1
	for _, ch := range b {
		v := strings.IndexByte("0123456789abcdef", ch|32)
		if v < 0 || ch == 0x10 {
			continue
		}
		if syntax.IsDigit(ch) {
			v = int(ch - '0')
		}
		if hi < 0 {
			hi = v
			continue
		}
		out = append(out, byte(hi<<4|v))
		hi = -1
	}
	return out
}

func hexRow(name string, o interp.Options, at int, row []byte) string {
	ascii := []byte(string(row))
	for i, ch := range ascii {
		if ch < 32 || ch > 126 {
			ascii[i] = '.'
		}
	}
	var b strings.Builder
	switch {
	case name == "hexdump" && o.Has("C"):
		fmt.Fprintf(&b, "%08x  ", at)
		for i := range 16 {
			if i < len(row) {
				fmt.Fprintf(&b, "%02x ", row[i])
			} else {
				b.WriteString("   ")
			}
			if i == 7 {
				b.WriteByte(' ')
			}
		}
		fmt.Fprintf(&b, " |%s|\n", ascii)
	case name == "hexdump":
		fmt.Fprintf(&b, "%07x", at)
		for i := 0; i < len(row); i += 2 {
			v := int(row[i])
			if i+1 < len(row) {
				v |= int(row[i+1]) << 8
			}
			fmt.Fprintf(&b, " %04x", v)
		}
		b.WriteByte('\n')
	default:
		fmt.Fprintf(&b, "%08x:", at)
		for i := range 16 {
			if i%2 == 0 {
				b.WriteByte(' ')
			}
			if i < len(row) {
				fmt.Fprintf(&b, "%02x", row[i])
			} else {
				b.WriteString("  ")
			}
		}
		fmt.Fprintf(&b, "  %s\n", ascii)
	}
	return b.String()
}

func cmdOd(c *interp.Call) int {
	o := c.Flags("A:t:N:j:vcxbdw:", "endian=")
	limit := c.Sh.Limits.FileBytes
	if o.Has("N") {
		limit = max(0, parseSize(o.Get("N")))
	}
	hex := o.Has("x") || strings.HasPrefix(o.Get("t"), "x")
	return c.Inputs(o.Rest, func(_ string, r io.Reader) {
		b := c.ReadAll(io.LimitReader(r, limit))
		for at := 0; at < len(b); at += 16 {
			row := b[at:min(at+16, len(b))]
			var s strings.Builder
			if o.Get("A") != "n" {
				fmt.Fprintf(&s, "%07o", at)
			}
			for i, ch := range row {
				switch {
				case o.Has("c") && ch >= 32 && ch < 127:
					fmt.Fprintf(&s, "   %c", ch)
				case o.Has("c"):
					fmt.Fprintf(&s, " %3s", map[byte]string{0: `\0`, 7: `\a`, 8: `\b`, 9: `\t`, 10: `\n`, 13: `\r`}[ch])
				case hex:
					fmt.Fprintf(&s, " %02x", ch)
				case o.Has("b"):
					fmt.Fprintf(&s, " %03o", ch)
				case i%2 == 0:
					v := int(ch)
					if i+1 < len(row) {
						v |= int(row[i+1]) << 8
					}
					fmt.Fprintf(&s, " %06o", v)
				}
			}
			if !c.Print(s.String() + "\n") {
				return
			}
		}
		if o.Get("A") != "n" {
			c.Printf("%07o\n", len(b))
		}
	})
}

func cmdStrings(c *interp.Call) int {
	return c.Inputs(c.Flags("an:t:").Rest, func(_ string, r io.Reader) {
		b := append(c.ReadAll(r), 0)
		start := 0
		for i, ch := range b {
			if ch >= 32 && ch < 127 || ch == '\t' {
				continue
			}
			if i-start >= 4 && !c.Print(string(b[start:i])+"\n") {
				return
			}
			start = i + 1
		}
	})
}

func cmdExpr(c *interp.Call) int {
	a := c.Args
	out := func(s string) int {
		c.Printf("%s\n", s)
		return int(syntax.B2i(s == "" || s == "0"))
	}
	switch {
	case len(a) == 0:
		return c.Fail(2, "missing operand\nTry 'expr --help' for more information.")
	case len(a) == 1:
		return out(a[0])
	case a[0] == "length" && len(a) == 2:
		return out(interp.Itoa(len(a[1])))
	case a[0] == "substr" && len(a) == 4:
		from, n := interp.ClampInt(a[2], 1<<20)-1, interp.ClampInt(a[3], 1<<20)
		if from < 0 || from >= len(a[1]) || n < 0 {
			return out("")
		}
		return out(interp.Clip(a[1][from:], n))
	case len(a) == 3 && (a[1] == ":" || a[1] == "=" || a[1] == "!="):
		if a[1] != ":" {
			return out(strconv.FormatInt(syntax.B2i((a[0] == a[2]) == (a[1] == "=")), 10))
		}
		re, err := interp.CompileRegex("^"+a[2], false, false)
		if err != nil {
			return c.Fail(2, "Invalid regular expression")
		}
		m := re.FindStringSubmatch(a[0])
		switch {
		case len(m) > 1:
			return out(m[1])
		case len(m) == 1:
			return out(interp.Itoa(len(m[0])))
		}
		return out("0")
	}
	expr := strings.Join(a, " ")
	if strings.Trim(expr, "0123456789+-*/%()<>=!&| ") != "" {
		return c.Fail(2, "non-integer argument")
	}
	v, err := c.E.Arith(expr)
	if err != nil {
		return c.Fail(2, "syntax error: unexpected argument")
	}
	return out(strconv.FormatInt(v, 10))
}

func cmdXargs(c *interp.Call) int {
	o := c.Flags("+0rtpn:I:i:P:L:d:s:", "max-args=")
	raw := string(c.ReadAll(c.In))
	var items []string
	switch {
	case o.Has("0"):
		items = strings.Split(strings.TrimSuffix(raw, "\x00"), "\x00")
	case o.Has("I", "i", "L"):
		items = strings.Split(strings.TrimSuffix(raw, "\n"), "\n")
	case o.Has("d"):
		d, _ := syntax.Unescape(o.Get("d"), syntax.EscPrintf)
		items = strings.Split(raw, d)
	default:
		items = strings.Fields(strings.NewReplacer(`"`, "", `'`, "").Replace(raw))
	}
	if len(items) > c.Sh.Limits.Words {
		items = items[:c.Sh.Limits.Words]
	}
	cmd := o.Rest
	if len(cmd) == 0 {
		cmd = []string{"echo"}
	}
	status := 0
	run := func(argv []string) bool {
		if !c.Sh.Spend(10) {
			return false
		}
		e := c.E.Sub()
		e.Fds[0] = interp.NewInput(nil)
		e.Invoke(argv, 5)
		if e.Status != 0 {
			status = 123
		}
		return true
	}
	if mark := o.Get("I", "i"); mark != "" {
		for _, it := range items {
			argv := make([]string, len(cmd))
			for i, a := range cmd {
				argv[i] = strings.ReplaceAll(a, mark, strings.TrimSpace(it))
			}
			if it != "" && !run(argv) {
				break
			}
		}
		return status
	}
	if len(items) == 0 && (o.Has("r") || raw == "" && cmd[0] != "echo") {
		return 0
	}
	per := len(items)
	if n, err := strconv.Atoi(o.Get("n", "max-args", "L")); err == nil && n > 0 {
		per = n
	}
	for i := 0; i == 0 || i < len(items); i += max(per, 1) {
		if !run(append(append([]string{}, cmd...), items[i:min(len(items), i+per)]...)) {
			break
		}
	}
	return status
}

func cmdPaste(c *interp.Call) int {
	o := c.Flags("sd:")
	delim := "\t"
	if d, _ := syntax.Unescape(o.Get("d"), syntax.EscPrintf); d != "" {
		delim = d[:1]
	}
	if o.Has("s") || len(o.Rest) < 2 {
		list, st := c.AllLines(o.Rest)
		if o.Has("s") {
			c.Print(strings.Join(list, delim) + "\n")
			return st
		}
		for _, l := range list {
			c.Print(l + "\n")
		}
		return st
	}
	a, st1 := c.AllLines(o.Rest[:1])
	b, st2 := c.AllLines(o.Rest[1:2])
	at := func(l []string, i int) string {
		if i < len(l) {
			return l[i]
		}
		return ""
	}
	for i := range max(len(a), len(b)) {
		if !c.Print(at(a, i) + delim + at(b, i) + "\n") {
			break
		}
	}
	return max(st1, st2)
}

func cmdDiff(c *interp.Call) int {
	o := c.Flags("ubrqNs")
	if len(o.Rest) < 2 {
		return c.Fail(2, "missing operand after '%s'", c.Name)
	}
	a, err := c.Open(o.Rest[0])
	if err != nil {
		return c.Fail(2, "%s: %s", o.Rest[0], err)
	}
	b, err := c.Open(o.Rest[1])
	if err != nil {
		return c.Fail(2, "%s: %s", o.Rest[1], err)
	}
	if string(c.ReadAll(a)) == string(c.ReadAll(b)) {
		return 0
	}
	if c.Name == "cmp" {
		c.Printf("%s %s differ: byte 1, line 1\n", o.Rest[0], o.Rest[1])
	} else {
		c.Printf("Files %s and %s differ\n", o.Rest[0], o.Rest[1])
	}
	return 1
}

func cmdBc(c *interp.Call) int {
	c.Lines(c.In, func(l string, _ bool) bool {
		if l == "quit" {
			return false
		}
		if strings.TrimSpace(l) == "" || strings.HasPrefix(l, "scale") {
			return true
		}
		v, err := c.E.Arith(l)
		if err != nil {
			return c.Fail(1, "(standard_in) 1: syntax error") != 0
		}
		return c.Printf("%d\n", v)
	})
	return 0
}

func cmdSleep(c *interp.Call) int {
	if len(c.Args) == 0 {
		return c.Fail(1, "missing operand\nTry 'sleep --help' for more information.")
	}
	var d time.Duration
	for _, a := range c.Args {
		unit := time.Second
		if c.Name == "usleep" {
			unit = time.Microsecond
		}
		if a != "" {
			if u, ok := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[a[len(a)-1]]; ok {
				unit, a = u, a[:len(a)-1]
			}
		}
		f, err := strconv.ParseFloat(a, 64)
		if err != nil || f < 0 {
			return c.Fail(1, "invalid time interval ‘%s’\nTry 'sleep --help' for more information.", a)
		}
		d += time.Duration(min(f, 86400) * float64(unit))
		d = min(d, 24*time.Hour)
	}
	c.Sh.Sleep(d)
	return 0
}

func cmdTimeout(c *interp.Call) int {
	o := c.Flags("+s:k:")
	if len(o.Rest) < 2 {
		return c.Fail(125, "missing operand\nTry 'timeout --help' for more information.")
	}
	c.E.Invoke(o.Rest[1:], 5)
	return c.E.Status
}
