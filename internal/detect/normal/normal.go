// Package normal undoes what attackers do to text so that a filter does not
// recognise it: percent encoding once and more often, overlong UTF-8, %uXXXX,
// HTML entities, backslash escapes, case, comments, null bytes, white space,
// base64.
//
// The result is meant for matching only. It is not what any real server would
// see, and it must never be executed, shown as what was sent, or stored as
// evidence. Work and output are bounded by the length of the input.
package normal

import (
	"encoding/base64"
	"html"
	"strings"
	"unicode/utf8"
)

// Rounds is how many times percent encoding is undone.
const Rounds = 3

// Lower returns s with ASCII letters in lower case; every other byte stays.
func Lower(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			return lowerFrom(s, i)
		}
	}
	return s
}

func lowerFrom(s string, i int) string {
	b := []byte(s)
	for ; i < len(b); i++ {
		if c := b[i]; c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

// Percent undoes percent encoding once: %HH, %uHHHH (IIS), and in queries +.
// Malformed sequences stay as they are.
func Percent(s string, plus bool) string {
	if strings.IndexByte(s, '%') < 0 && (!plus || strings.IndexByte(s, '+') < 0) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+' && plus:
			b = append(b, ' ')
		case c == '%' && i+2 < len(s) && hex(s[i+1]) >= 0 && hex(s[i+2]) >= 0:
			b = append(b, byte(hex(s[i+1])<<4|hex(s[i+2])))
			i += 2
		case c == '%' && i+5 < len(s) && s[i+1]|0x20 == 'u' && hex4(s[i+2:i+6]) >= 0:
			b = appendFolded(b, rune(hex4(s[i+2:i+6])))
			i += 5
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func hex4(s string) int {
	n := 0
	for i := range 4 {
		d := hex(s[i])
		if d < 0 {
			return -1
		}
		n = n<<4 | d
	}
	return n
}

// appendFolded appends r, full-width forms (U+FF01–U+FF5E) as the ASCII
// characters that best-fit conversions make of them.
func appendFolded(b []byte, r rune) []byte {
	switch {
	case r >= 0xff01 && r <= 0xff5e:
		return append(b, byte(r-0xff01+'!'))
	case r == 0x2215 || r == 0x2044:
		return append(b, '/')
	case r == 0x2216:
		return append(b, '\\')
	case r == 0x02b9 || r == 0x2018 || r == 0x2019 || r == 0x02bc || r == 0x2032:
		return append(b, '\'')
	case r >= 0xd800 && r < 0xe000:
		return append(b, '?')
	}
	return utf8.AppendRune(b, r)
}

// Overlong replaces overlong UTF-8 of ASCII (C0 AE for '.', E0 80 AF for '/',
// RFC 3629 §3 forbids it), full-width forms and look-alike slashes by ASCII.
func Overlong(s string) string {
	i := 0
	for i < len(s) && s[i] < 0x80 {
		i++
	}
	if i == len(s) {
		return s
	}
	b := append(make([]byte, 0, len(s)), s[:i]...)
	for i < len(s) {
		c := s[i]
		switch {
		case c < 0x80:
			b = append(b, c)
			i++
		case (c == 0xc0 || c == 0xc1) && i+1 < len(s):
			// Lenient decoders take any second byte; only its low six bits count.
			b = append(b, (c&1)<<6|s[i+1]&0x3f)
			i += 2
		case c == 0xe0 && i+2 < len(s) && (s[i+1] == 0x80 || s[i+1] == 0x81) && s[i+2]&0xc0 == 0x80:
			b = append(b, (s[i+1]&1)<<6|s[i+2]&0x3f)
			i += 3
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n <= 1 {
				b = append(b, c)
				i++
				continue
			}
			b = appendFolded(b, r)
			i += n
		}
	}
	return string(b)
}

// Escapes undoes \xHH, \uHHHH, \u{H…}, octal \NNN and \/ as JavaScript, JSON,
// PHP and shells write them. Other backslashes stay: they separate paths.
func Escapes(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		r, n := escape(s[i+1:])
		switch {
		case n == 0:
			b = append(b, '\\')
		case r < 0x80:
			b = append(b, byte(r))
			i += n
		default:
			b = appendFolded(b, r)
			i += n
		}
	}
	return string(b)
}

// escape reads what follows a backslash; n is 0 when it is no escape.
func escape(s string) (r rune, n int) {
	switch {
	case s[0] == '/' || s[0] == '"':
		return rune(s[0]), 1
	case s[0]|0x20 == 'x' && len(s) >= 3 && hex(s[1]) >= 0 && hex(s[2]) >= 0:
		return rune(hex(s[1])<<4 | hex(s[2])), 3
	case s[0]|0x20 == 'u' && len(s) >= 5 && hex4(s[1:5]) >= 0:
		return rune(hex4(s[1:5])), 5
	case s[0] == 'u' && len(s) >= 4 && s[1] == '{':
		v := 0
		for i := 2; i < len(s) && i < 9; i++ {
			if s[i] == '}' && i > 2 {
				return rune(v), i + 1
			}
			if hex(s[i]) < 0 {
				return 0, 0
			}
			v = v<<4 | hex(s[i])
		}
	case len(s) >= 3 && s[0] >= '0' && s[0] <= '3' && octal(s[1]) && octal(s[2]):
		return rune(s[0]-'0')<<6 | rune(s[1]-'0')<<3 | rune(s[2]-'0'), 3
	}
	return 0, 0
}

func octal(c byte) bool { return c >= '0' && c <= '7' }

// Entities undoes HTML character references, also without semicolon.
func Entities(s string) string {
	if strings.IndexByte(s, '&') < 0 {
		return s
	}
	return html.UnescapeString(s)
}

// Squeeze removes what separates without meaning: null and other control bytes
// vanish, C comments become nothing, MySQL's executable comments (/*!50000x*/)
// their content, runs of white space one blank.
func Squeeze(s string) string {
	if !squeezable(s) {
		return s
	}
	b := make([]byte, 0, len(s))
	open := true // whether a */ may still follow: asked once, or "/*/*/*…" costs its square
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '/' && i+2 < len(s) && s[i+1] == '*' && s[i+2] == '!':
			i += 2
			for i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9' {
				i++
			}
			b = appendBlank(b)
		case c == '/' && i+1 < len(s) && s[i+1] == '*':
			end := -1
			if open {
				end = strings.Index(s[i+2:], "*/")
			}
			if end < 0 {
				open = false
				b = append(b, "/*"...)
				i++
				continue
			}
			b = appendBlank(b)
			i += 3 + end
		case c == '*' && i+1 < len(s) && s[i+1] == '/':
			i++
			b = appendBlank(b)
		case c == ' ' || c >= '\t' && c <= '\r':
			b = appendBlank(b)
		case c < ' ' || c == 0x7f:
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func appendBlank(b []byte) []byte {
	if len(b) > 0 && b[len(b)-1] == ' ' {
		return b
	}
	return append(b, ' ')
}

func squeezable(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c == 0x7f || c == '*' || c == ' ' && i > 0 && s[i-1] == ' ' {
			return true
		}
	}
	return false
}

// Base64 decodes s as a whole, standard or URL alphabet, padded or not; ok only
// when the result is text, so that ordinary words do not turn into noise.
func Base64(s string) (text string, ok bool) {
	s = strings.TrimRight(s, "=")
	if len(s) < 12 || len(s) > 64<<10 || len(s)%4 == 1 {
		return "", false
	}
	enc := base64.RawStdEncoding
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '-' || c == '_':
			enc = base64.RawURLEncoding
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/':
		default:
			return "", false
		}
	}
	out, err := enc.DecodeString(s)
	if err != nil || !readable(out) {
		return "", false
	}
	return string(out), true
}

func readable(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' || c >= 0x7f {
			return false
		}
	}
	return true
}
