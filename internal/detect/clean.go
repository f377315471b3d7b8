package detect

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendClean appends r, which was read from raw, as printable text.
func appendClean(b []byte, r rune, raw string) []byte {
	switch {
	case r == utf8.RuneError && len(raw) <= 1 || r < ' ' || r == 0x7f:
		for i := range len(raw) {
			b = append(b, '\\', 'x', hexDigits[raw[i]>>4], hexDigits[raw[i]&15])
		}
		return b
	case unicode.IsPrint(r):
		return append(b, raw...)
	}
	b = append(b, '\\', 'u', '{')
	b = strconv.AppendInt(b, int64(r), 16)
	return append(b, '}')
}
