package tokenizer

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// form normalizes to a form of Unicode. The library puts a joiner into more than 30 marks in a row, as
// Unicode's stream-safe format says and the reference does not.
func form(f norm.Form) normalizer {
	return func(s string) string {
		out := f.String(s)
		if strings.Contains(out, joiner) && !strings.Contains(s, joiner) {
			out = strings.ReplaceAll(out, joiner, "")
		}
		return out
	}
}

const joiner = "\u034f"

func lower(s string) string {
	if strings.Contains(s, "İ") { // the one letter whose small form is two
		s = strings.ReplaceAll(s, "İ", "i\u0307")
	}
	return strings.Map(unicode.ToLower, s)
}

// drop removes the characters of a class. BertNormalizer means marks without a width by accents, StripAccents all marks.
func drop(class *unicode.RangeTable) normalizer {
	return func(s string) string {
		return strings.Map(func(r rune) rune {
			if unicode.Is(class, r) {
				return -1
			}
			return r
		}, s)
	}
}

// bertClean drops control characters and makes every white space a space.
func bertClean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r == 0 || r == '\ufffd' || isOther(r):
			return -1
		case unicode.IsSpace(r):
			return ' '
		}
		return r
	}, s)
}

// isOther says whether a character is a control, a format character or for private use. The reference means those that are
// none too, but its table does not have them.
func isOther(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co) }

// bertChinese puts spaces around every ideograph.
func bertChinese(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		if ideograph(r) {
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func ideograph(r rune) bool {
	return r >= 0x4e00 && r <= 0x9fff || r >= 0x3400 && r <= 0x4dbf || r >= 0x20000 && r <= 0x2a6df || r >= 0x2a700 && r <= 0x2b73f ||
		r >= 0x2b740 && r <= 0x2b81f || r >= 0x2b920 && r <= 0x2ceaf || r >= 0xf900 && r <= 0xfaff || r >= 0x2f800 && r <= 0x2fa1f
}

// nmt is the normalizer of sentencepiece's nmt rules.
func nmt(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 1 && r <= 8 || r == 0xb || r >= 0xe && r <= 0x1f || r == 0x7f || r == 0x8f || r == 0x9f:
			return -1
		case r == 9 || r == 0xa || r == 0xc || r == 0xd || r == 0x1680 || r >= 0x200b && r <= 0x200f || r == 0x2028 || r == 0x2029 ||
			r == 0x2581 || r == 0xfeff || r == 0xfffd:
			return ' '
		}
		return r
	}, s)
}

func trim(left, right bool) normalizer {
	return func(s string) string {
		if left {
			s = strings.TrimLeftFunc(s, unicode.IsSpace)
		}
		if right {
			s = strings.TrimRightFunc(s, unicode.IsSpace)
		}
		return s
	}
}
