package decode

// MaxCode is how many bytes of an unfinished code Tail holds back: what is
// longer is read in parts, which is how a model's long base64 comes out.
const MaxCode = 4 << 10

// Tail returns how many bytes at the end of a text may be the beginning of a
// code that is not finished: a run of base64, base32 or hex, an escape, a list
// of character codes. A reading of the text without them is final.
func Tail(s string) int {
	return min(len(s), MaxCode, max(blobTail(s), escapeTail(s), listTail(s)))
}

// blobTail is the run of base64 letters that ends the text, when it is one that
// could be a code: long enough for replaceRuns, and mixed as a code is.
func blobTail(s string) int {
	i := len(s)
	upper, lower, digit := 0, 0, 0
	for i > 0 && len(s)-i < MaxCode && base64Byte(s[i-1]) {
		i--
		switch c := s[i]; {
		case c >= 'a' && c <= 'z':
			lower++
		case c >= 'A' && c <= 'Z':
			upper++
		default:
			digit++
		}
	}
	n := len(s) - i
	if n >= minBlob/2 && (digit > 0 && upper+lower > 0 || digit >= minBlob || upper > 1 && lower > 1 || upper >= minBlob) {
		return n
	}
	return 0
}

// escapeTail: "&#10", "%4", `\u00`, and what stands before them without a gap.
func escapeTail(s string) int {
	for n := 1; n <= 12 && n <= len(s); n++ {
		switch s[len(s)-n] {
		case '&', '\\':
			return n
		case '%':
			if n <= 3 {
				return n
			}
		case ' ', '\n', ';':
			return 0
		}
	}
	return 0
}

// listTail is the list of numbers or of dots and dashes that ends the text,
// when it has at least four of them.
func listTail(s string) int {
	i, items := len(s), 0
	in := false
	for i > 0 && len(s)-i < MaxCode {
		switch c := s[i-1]; {
		case c >= '0' && c <= '9' || c == '.' || c == '-' || c == '/' || hexDigit(c) && lone(s, i-1):
			if !in {
				items++
			}
			in = true
		case c == ' ' || c == ',' || c == '\n' || c == ':' || c == '|':
			in = false
		default:
			if items >= 4 {
				return len(s) - i
			}
			return 0
		}
		i--
	}
	if items >= 4 {
		return len(s) - i
	}
	return 0
}

func hexDigit(c byte) bool { return c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// lone says whether a letter stands in a group of at most two hex digits.
func lone(s string, i int) bool {
	class := func(k int) bool { return k >= 0 && k < len(s) && hexByte(s[k]) && s[k] != ' ' && s[k] != ':' }
	word := func(k int) bool {
		return k >= 0 && k < len(s) && (s[k]|0x20 >= 'a' && s[k]|0x20 <= 'z' || s[k] >= '0' && s[k] <= '9')
	}
	a, b := i, i
	for a > 0 && class(a-1) && i-a < 3 {
		a--
	}
	for class(b+1) && b-i < 3 {
		b++
	}
	return b-a < 2 && !word(a-1) && !word(b+1)
}
