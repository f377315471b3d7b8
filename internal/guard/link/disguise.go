package link

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Names that are written so that programs do not see them and people, or models, do:
// hxxp, [.], (dot); addresses as one number, in hexadecimal or octal; letters of other scripts in
// a name; a host behind a user's name or in percent escapes.

var (
	marks  = regexp.MustCompile(`(?i)\[\.\]|\(\.\)|\{\.\}|\[\.|\.\]|\[dot\]|\(dot\)|\{dot\}|\\\.`)
	colons = regexp.MustCompile(`(?i)\[:\]|\[://\]|\(:\)|\b(?:h(?:xx|\*\*|__|tt)ps?|fxps?|ftps?)(?:\[:\]|\(:\)|:)?(?:\[//\]|//|\\\\|\[://\])`)
	scheme = regexp.MustCompile(`(?i)^(h|f)(xx|\*\*|__|tt|x|t)(ps?)`)
	// opened is a word in whose end one of the marks may be beginning.
	opened = regexp.MustCompile(`(?i)[\[({](?:\.\]?|:|:/{0,2}|d|do|dot)?$`)
)

// refanged is a text with the marks read as what they stand for; "" when it has none.
func refanged(text string) string {
	if !hinted(text) {
		return ""
	}
	found := false
	out := marks.ReplaceAllStringFunc(text, func(string) string { found = true; return "." })
	out = colons.ReplaceAllStringFunc(out, func(m string) string {
		if s := scheme.FindStringSubmatch(m); s != nil {
			to := map[byte]string{'h': "htt", 'f': "f"}[s[1][0]|0x20] + strings.ToLower(s[3]) + "://"
			if s[1][0]|0x20 == 'f' {
				to = "ftp://"
			}
			found = found || !strings.EqualFold(to, m)
			return to
		}
		found = true
		if strings.Contains(m, "//") {
			return "://"
		}
		return ":"
	})
	if !found {
		return ""
	}
	return out
}

// hinted is a cheap test that every text with a mark passes.
func hinted(text string) bool {
	for i := 0; i+1 < len(text); i++ {
		switch c := text[i]; c {
		case '[', '(', '{', '\\':
			switch text[i+1] {
			case '.', ':', '/', 'd', 'D', '\\':
				return true
			}
		case '.':
			if text[i+1] == ']' {
				return true
			}
		case 'x', 'X', '*', '_': // hxxp
			if next := text[i+1] | 0x20; next == 'p' || next == c|0x20 {
				return true
			}
		}
	}
	return false
}

// disguised calls f with the hosts that a text names in another form than the plain one, as
// they are called plainly, until f says stop, and returns whether it did.
func disguised(text string, f func(host string) (stop bool)) bool {
	n := 0
	try := func(h string) bool {
		if n++; n > maxNames {
			return false
		}
		plain := canonical(h)
		return plain != "" && f(plain)
	}
	for from := 0; from < len(text) && n < maxURLs; {
		at := strings.Index(text[from:], "://")
		if at < 0 {
			break
		}
		from += at + 3
		end := strings.IndexFunc(text[from:], func(r rune) bool { return r <= ' ' || strings.ContainsRune("\"'<>`/?#|", r) })
		if end < 0 {
			end = len(text) - from
		}
		for _, h := range hosts(text[from : from+min(end, maxURL)]) {
			if try(h) {
				return true
			}
		}
	}
	return words(text, try)
}

// hosts of the part of a URL before its path. Programs differ in what they take for it when
// there are several @ or a backslash, so all of it is.
func hosts(authority string) (out []string) {
	for i, part := range strings.FieldsFunc(authority, func(r rune) bool { return r == '\\' || r == '@' }) {
		if i >= 4 {
			break
		}
		if a, ok := strings.CutPrefix(part, "["); ok {
			a, _, _ = strings.Cut(a, "]")
			out = append(out, a)
			continue
		}
		h, _, _ := strings.Cut(part, ":")
		out = append(out, strings.TrimRight(h, ".,;:!)]}"))
	}
	return out
}

// words finds names with letters of other scripts, and addresses with four parts that are no decimals.
func words(text string, try func(string) bool) bool {
	if !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) && !strings.Contains(text, ".0") && !strings.Contains(text, "0x") {
		return false
	}
	for i := 0; i < len(text); {
		from := i
		other, dots, dot := false, 0, false
		for i < len(text) {
			r, size := utf8.DecodeRuneInString(text[i:])
			if r == '.' || r == '。' || r == '．' || r == '｡' {
				dots++
			} else if !(r < utf8.RuneSelf && nameByte(byte(r)) || r >= 0xa1 && r != utf8.RuneError) {
				break
			}
			other = other || r >= utf8.RuneSelf
			dot = dot || dots > 0
			i += size
		}
		word := text[from:i]
		if dot && len(word) <= 4*maxName && (other || dots >= 3 && (word[0] == '0' || strings.Contains(word, ".0"))) && try(strings.Trim(word, ".。-_")) {
			return true
		}
		if i == from {
			_, size := utf8.DecodeRuneInString(text[i:])
			i += size
		}
	}
	return false
}

// canonical is a host as it is called plainly: an address in four decimals or as IPv6, a name in
// ASCII. "" when it is none, or is written plainly already.
func canonical(h string) string {
	was := h
	if plainly(h) {
		return ""
	}
	for range 2 {
		if !strings.Contains(h, "%") {
			break
		}
		plain, err := url.PathUnescape(h)
		if err != nil {
			break
		}
		h = plain
	}
	if a, err := netip.ParseAddr(h); err == nil {
		if a = a.Unmap().WithZone(""); a.String() == was {
			return ""
		}
		return a.String()
	}
	ascii, err := idna.Lookup.ToASCII(strings.Trim(h, ".。"))
	ascii = strings.Trim(ascii, ".") // beside them there may have been characters that are none
	if err != nil || len(ascii) > maxName || ascii == "" {
		return ""
	}
	if a, ok := number(ascii); ok {
		return a.String()
	}
	if ascii == was || !strings.Contains(ascii, ".") {
		return ""
	}
	return ascii
}

// plainly says whether a name is what it is called: most are.
func plainly(h string) bool {
	for i := 0; i < len(h); i++ {
		if c := h[i]; c >= 'A' && c <= 'Z' || c == '_' || !nameByte(c) {
			return false
		}
	}
	last := h[strings.LastIndexByte(h, '.')+1:]
	return last != "" && last[0] >= 'a' && last[0] <= 'z' && last != h
}

// number reads an IPv4 address as inet_aton does: one to four numbers, decimal, octal or hexadecimal,
// the last of which fills what is left.
func number(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var v uint64
	for i, p := range parts {
		base, digits := 10, p
		if rest, ok := strings.CutPrefix(p, "0x"); ok {
			base, digits = 16, rest
		} else if len(p) > 1 && p[0] == '0' {
			base, digits = 8, p[1:]
		}
		n, err := strconv.ParseUint(digits, base, 32)
		most := uint64(255)
		if i == len(parts)-1 {
			most = 1<<(8*(5-len(parts))) - 1
		}
		if err != nil || n > most {
			return netip.Addr{}, false
		}
		if i == len(parts)-1 {
			v = v<<(8*(5-len(parts))) | n
		} else {
			v = v<<8 | n
		}
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true
}

// masked is how many bytes at the end of a text are a word that may become such a name.
func masked(text string) int {
	i := len(text)
	for i > 0 && len(text)-i < maxURL && text[i-1] > ' ' {
		i--
	}
	word := text[i:]
	if strings.ContainsAny(word, "[({\\") && (marks.MatchString(word) || opened.MatchString(word) || strings.HasSuffix(word, "\\")) ||
		strings.Contains(word, "://") || other(word) {
		return len(word)
	}
	low := strings.ToLower(word)
	for _, s := range []string{"hxxp", "h**p", "h__p", "fxp"} {
		if strings.Contains(low, s) {
			return len(word)
		}
	}
	return 0
}

// other says whether a word has a dot inside and letters of other scripts.
func other(word string) bool {
	dot := strings.IndexByte(word, '.')
	return dot > 0 && dot < len(word)-1 && strings.ContainsFunc(word, func(r rune) bool { return r >= utf8.RuneSelf })
}
