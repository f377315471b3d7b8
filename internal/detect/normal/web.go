package normal

import "strings"

// simple reports whether s holds nothing that any decoder would change.
func simple(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c >= 0x7f, c == '%', c == '+', c == '\\', c == '&', c == '*':
			return false
		case c == ' ' && i > 0 && s[i-1] == ' ':
			return false
		}
	}
	return true
}

// Web appends to dst the readings of a piece of an HTTP request: lower case as
// sent, and, where something is encoded, fully decoded. At most four readings
// of no more than the input's length (entities may lengthen it slightly).
func Web(dst []string, s string, plus bool) []string {
	raw := Lower(s)
	dst = append(dst, raw)
	if simple(raw) {
		return dst
	}
	// Decoding starts from the original spelling: base64 and \u escapes need case.
	d := s
	for range Rounds {
		next := Percent(d, plus)
		if next == d {
			break
		}
		d, plus = next, false
	}
	d = Overlong(d)
	d = Entities(d)
	if strings.IndexByte(d, '%') >= 0 {
		d = Percent(d, false)
	}
	full := Lower(Squeeze(d))
	if full != raw {
		dst = append(dst, full)
	}
	if esc := Escapes(d); esc != d {
		if e := Lower(Squeeze(Entities(esc))); e != full {
			dst = append(dst, e)
		}
	}
	return dst
}

// Params calls value for each value of a query or form body, undecoded, at
// most max of them.
func Params(s string, max int, value func(string)) {
	for ; max > 0 && s != ""; max-- {
		var kv string
		kv, s, _ = strings.Cut(s, "&")
		if _, v, ok := strings.Cut(kv, "="); ok {
			value(v)
		}
	}
}

// Command reads a shell command line as the shell would spell it: lower case,
// without quotes inside words, empty variables (${IFS} as blank), backslashes
// before letters, doubled blanks, and with \xHH resolved. The line as it was
// (in lower case) comes first.
func Command(dst []string, s string) []string {
	raw := Lower(s)
	dst = append(dst, raw)
	b := make([]byte, 0, len(raw))
	changed := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '\'' || c == '"':
			changed = true
		case c == '\\' && i+1 < len(raw) && (raw[i+1] >= 'a' && raw[i+1] <= 'z') && raw[i+1] != 'x' && raw[i+1] != 'n' && raw[i+1] != 't':
			changed = true
		case c == '$' && strings.HasPrefix(raw[i:], "${ifs}"):
			b = appendBlank(b)
			i += len("${ifs}") - 1
			changed = true
		case c == '$' && strings.HasPrefix(raw[i:], "$ifs"):
			b = appendBlank(b)
			i += len("$ifs") - 1
			if strings.HasPrefix(raw[i+1:], "$9") {
				i += 2
			}
			changed = true
		case c == '$' && i+1 < len(raw) && raw[i+1] == '@':
			i++
			changed = true
		case c == ' ' || c == '\t' || c == '\r':
			if c != ' ' || len(b) > 0 && b[len(b)-1] == ' ' {
				changed = true
			}
			b = appendBlank(b)
		case c < ' ' && c != '\n' || c == 0x7f:
			changed = true
		default:
			b = append(b, c)
		}
	}
	if changed {
		dst = append(dst, string(b))
	}
	if esc := Escapes(raw); esc != raw && strings.Contains(raw, `\x`) {
		dst = append(dst, Lower(esc))
	}
	return dst
}

// Prompt reads natural language: lower case, full-width and zero-width
// disguises undone, white space as single blanks.
func Prompt(s string) string {
	s = Overlong(s)
	b := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case r == 0x200b || r == 0x200c || r == 0x200d || r == 0x2060 || r == 0xfeff || r == 0xad || r >= 0xe0000 && r <= 0xe007f:
		case r == ' ' || r >= '\t' && r <= '\r' || r == 0xa0 || r == 0x3000 || r >= 0x2000 && r <= 0x200a:
			b = appendBlank(b)
		case r == 0x2018 || r == 0x2019:
			b = append(b, '\'')
		case r == 0x201c || r == 0x201d:
			b = append(b, '"')
		case r < 0x80:
			b = append(b, byte(r))
		default:
			b = appendFolded(b, r)
		}
	}
	return strings.TrimSpace(strings.ToLower(string(b)))
}

// Bytes writes raw bytes as text: printable ASCII as it is (in lower case),
// \r \n \t by name, every other byte as \xHH, a backslash as \\.
func Bytes(p []byte) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, len(p)+16)
	for _, c := range p {
		switch {
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\\':
			b = append(b, `\\`...)
		case c < ' ' || c > '~':
			b = append(b, '\\', 'x', digits[c>>4], digits[c&15])
		case c >= 'A' && c <= 'Z':
			b = append(b, c|0x20)
		default:
			b = append(b, c)
		}
	}
	return string(b)
}
