package syntax

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Match reports whether s matches a shell pattern: * ? [...] and backslash
// escapes. It backtracks only to the last star, so it is O(len(s)*len(pat)).
func Match(pat, s string) bool {
	px, sx, starP, starS := 0, 0, -1, 0
	for sx < len(s) || px < len(pat) {
		if px < len(pat) {
			if pat[px] == '*' {
				starP, starS = px, sx
				px++
				continue
			}
			if sx < len(s) {
				if ok, np, ns := matchOne(pat, px, s, sx); ok {
					px, sx = np, ns
					continue
				}
			}
		}
		if starP >= 0 && starS < len(s) {
			starS++
			px, sx = starP+1, starS
			continue
		}
		return false
	}
	return true
}

// matchOne matches one element of the pattern against one character.
func matchOne(pat string, px int, s string, sx int) (bool, int, int) {
	_, width := utf8.DecodeRuneInString(s[sx:])
	switch pat[px] {
	case '?':
		return true, px + 1, sx + width
	case '[':
		if end, ok, valid := bracket(pat, px, s[sx]); valid {
			return ok, end, sx + 1
		}
	case '\\':
		if px+1 < len(pat) {
			px++
		}
	}
	return pat[px] == s[sx], px + 1, sx + 1
}

var Classes = map[string]func(byte) bool{
	"alpha": isAlpha, "digit": IsDigit,
	"alnum":  func(c byte) bool { return isAlpha(c) || IsDigit(c) },
	"upper":  func(c byte) bool { return c >= 'A' && c <= 'Z' },
	"lower":  func(c byte) bool { return c >= 'a' && c <= 'z' },
	"space":  func(c byte) bool { return strings.IndexByte(" \t\n\r\v\f", c) >= 0 },
	"blank":  func(c byte) bool { return c == ' ' || c == '\t' },
	"punct":  func(c byte) bool { return c > 32 && c < 127 && !isAlpha(c) && !IsDigit(c) },
	"print":  func(c byte) bool { return c >= 32 && c < 127 },
	"cntrl":  func(c byte) bool { return c < 32 || c == 127 },
	"xdigit": func(c byte) bool { return IsDigit(c) || c|32 >= 'a' && c|32 <= 'f' },
}

func isAlpha(c byte) bool { return c|32 >= 'a' && c|32 <= 'z' }
func IsDigit(c byte) bool { return c >= '0' && c <= '9' }

// bracket matches [set] at px; valid is false when it is not a bracket
// expression and [ is an ordinary character.
func bracket(pat string, px int, c byte) (end int, ok, valid bool) {
	i := px + 1
	negate := false
	if i < len(pat) && (pat[i] == '!' || pat[i] == '^') {
		negate = true
		i++
	}
	for first := true; i < len(pat); first = false {
		if pat[i] == ']' && !first {
			return i + 1, ok != negate, true
		}
		if strings.HasPrefix(pat[i:], "[:") {
			if e := strings.Index(pat[i:], ":]"); e > 0 {
				if f := Classes[pat[i+2:i+e]]; f != nil && f(c) {
					ok = true
				}
				i += e + 2
				continue
			}
		}
		if pat[i] == '\\' && i+1 < len(pat) {
			i++
		}
		lo, hi := pat[i], pat[i]
		i++
		if i+1 < len(pat) && pat[i] == '-' && pat[i+1] != ']' {
			hi = pat[i+1]
			i += 2
		}
		if lo <= c && c <= hi {
			ok = true
		}
	}
	return 0, false, false
}

// escMode selects the dialect of backslash escapes.
type escMode uint8

const (
	EscEcho   escMode = iota // echo -e: \0nnn, \c stops
	EscPrintf                // printf format: \nnn
	EscAnsi                  // $'...': also \' \" \?
)

// Unescape expands backslash escapes; stop says that \c ended the output.
func Unescape(s string, mode escMode) (out string, stop bool) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, false
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case 'a', 'b', 'f', 'n', 'r', 't', 'v':
			b = append(b, "\a\b\f\n\r\t\v"[strings.IndexByte("abfnrtv", c)])
		case 'e', 'E':
			b = append(b, 27)
		case '\\':
			b = append(b, '\\')
		case 'c':
			if mode == EscEcho {
				return string(b), true
			}
			b = append(b, '\\', 'c')
		case 'x':
			n := digitsOf(s[i+1:], 2, 16)
			if n == 0 {
				b = append(b, '\\', 'x')
				break
			}
			v, _ := strconv.ParseUint(s[i+1:i+1+n], 16, 8) // digits were checked
			b = append(b, byte(v))
			i += n
		case 'u', 'U':
			n := digitsOf(s[i+1:], 4+4*int(B2i(c == 'U')), 16)
			if n == 0 {
				b = append(b, '\\', c)
				break
			}
			v, _ := strconv.ParseUint(s[i+1:i+1+n], 16, 32) // digits were checked
			b = utf8.AppendRune(b, rune(v))
			i += n
		case '0', '1', '2', '3', '4', '5', '6', '7':
			if mode == EscEcho && c != '0' {
				b = append(b, '\\', c)
				break
			}
			from := i
			if mode == EscEcho {
				from++
			}
			n := digitsOf(s[from:], 3, 8)
			v, _ := strconv.ParseUint("0"+s[from:from+n], 8, 16) // digits were checked
			b = append(b, byte(v))
			i = from + n - 1
		case '\'', '"', '?':
			if mode == EscEcho {
				b = append(b, '\\')
			}
			b = append(b, c)
		default:
			b = append(b, '\\', c)
		}
	}
	return string(b), false
}

func digitsOf(s string, most int, base byte) int {
	n := 0
	for n < len(s) && n < most {
		c := s[n]
		if !(IsDigit(c) && c < '0'+min(base, 10) || base == 16 && c|32 >= 'a' && c|32 <= 'f') {
			break
		}
		n++
	}
	return n
}

func B2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
