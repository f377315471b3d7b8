package decode

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"html"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// embedded replaces encoded runs of a text by what they mean. Each code makes
// one reading, with all its runs decoded.
func embedded(v View, add func(View, string, string)) {
	s := v.Text
	if t, ok := replaceRuns(s, base64Byte, decode64); ok {
		add(v, "base64", t)
	}
	if t, ok := replaceRuns(s, hexByte, decodeHex); ok {
		add(v, "hex", t)
	}
	if t, ok := replaceRuns(s, base32Byte, decode32); ok {
		add(v, "base32", t)
	}
	if strings.Count(s, "%") >= 3 {
		if t, err := url.PathUnescape(s); err == nil && t != s && printable(t) {
			add(v, "percent", t)
		} else if t := lenientPercent(s); t != s && printable(t) {
			add(v, "percent", t)
		}
	}
	if strings.Contains(s, "&#") || strings.Contains(s, "&lt;") {
		if t := html.UnescapeString(s); t != s {
			add(v, "html", t)
		}
	}
	if strings.Contains(s, `\u`) || strings.Contains(s, `\x`) {
		if t := escapes(s); t != s && printable(t) {
			add(v, "escapes", t)
		}
	}
	if t, ok := numbers(s); ok {
		add(v, "numbers", t)
	}
	if t, ok := morse(s); ok {
		add(v, "morse", t)
	}
}

// printable says whether a decoded text can be one: letters, few odd characters.
func printable(s string) bool {
	if s == "" || !utf8.ValidString(s) {
		return false
	}
	odd, letters, text, n := 0, 0, 0, 0
	for _, r := range s {
		n++
		switch {
		case unicode.IsLetter(r):
			letters++
			text++
		case r == ' ' || unicode.IsDigit(r) || r == '|':
			text++
		case r == '\n' || r == '\t' || r == '\r':
		case !unicode.IsPrint(r):
			odd++
		}
	}
	return odd*20 <= n && letters*8 >= n && text*3 >= 2*n
}

// oneLine takes the line breaks out.
func oneLine(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	return strings.NewReplacer("\n", "", "\r", "").Replace(s)
}

// replaceRuns finds runs of bytes of a class, at least minBlob long; a run may
// go on over single line breaks, as encoders wrap their lines.
func replaceRuns(s string, class func(byte) bool, dec func(string) (string, bool)) (string, bool) {
	var b strings.Builder
	last, found := 0, false
	for i := 0; i < len(s); {
		if !class(s[i]) {
			i++
			continue
		}
		j, ends := i, []int(nil)
		for j < len(s) {
			if class(s[j]) {
				j++
				continue
			}
			k := j
			if s[k] == '\r' {
				k++
			}
			if k < len(s) && s[k] == '\n' && k+1 < len(s) && class(s[k+1]) && j-i >= 40 {
				ends = append(ends, j)
				j = k + 1
				continue
			}
			break
		}
		end := j
		text, ok := "", false
		if end-i >= minBlob {
			text, ok = dec(oneLine(s[i:end]))
			if !ok && len(ends) > 0 { // the next line was no part of it
				end = ends[0]
				text, ok = dec(s[i:end])
			}
		}
		if ok {
			b.WriteString(s[last:i])
			b.WriteString(text)
			last, found = end, true
		}
		i = max(end, i+1)
	}
	if !found {
		return s, false
	}
	b.WriteString(s[last:])
	return b.String(), true
}

func base64Byte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '=' || c == '-' || c == '_'
}

func decode64(s string) (string, bool) {
	s = strings.TrimRight(s, "=")
	mixed := strings.ContainsAny(s, "0123456789+/") || strings.ToLower(s) != s && strings.ToUpper(s) != s
	if !mixed || strings.Contains(s, "=") {
		return "", false
	}
	enc := base64.RawStdEncoding
	if strings.ContainsAny(s, "-_") {
		enc = base64.RawURLEncoding
	}
	if len(s)%4 == 1 {
		s = s[:len(s)-1] // cut in transport
	}
	b, err := enc.DecodeString(s)
	if err != nil || !printable(string(b)) {
		return "", false
	}
	return string(b), true
}

func hexByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' || c == ' ' || c == ':'
}

func decodeHex(s string) (string, bool) {
	n := len(s) - strings.Count(s, " ") - strings.Count(s, ":")
	if n < minBlob || n%2 != 0 {
		return "", false
	}
	b := make([]byte, 0, n)
	for i := range len(s) {
		if c := s[i]; c != ' ' && c != ':' {
			b = append(b, c)
		}
	}
	k, err := hex.Decode(b, b)
	if err != nil || !printable(string(b[:k])) {
		return "", false
	}
	return string(b[:k]), true
}

func base32Byte(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '2' && c <= '7' || c == '=' }

func decode32(s string) (string, bool) {
	s = strings.TrimRight(s, "=")
	if len(s) < 16 || !strings.ContainsAny(s, "234567") {
		return "", false
	}
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(s)
	if err != nil || !printable(string(b)) {
		return "", false
	}
	return string(b), true
}

// lenientPercent decodes what it can of a text with stray percent signs.
func lenientPercent(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// escapes decodes \xNN and \uNNNN.
func escapes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			digits := map[byte]int{'x': 2, 'u': 4}[s[i+1]]
			if digits > 0 && i+2+digits <= len(s) {
				if n, err := strconv.ParseUint(s[i+2:i+2+digits], 16, 32); err == nil {
					b.WriteRune(rune(n))
					i += 1 + digits
					continue
				}
			}
		}
		b.WriteByte(s[i])
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// numbers decodes character codes: "73 103 110" and "01001001 01100111".
func numbers(s string) (string, bool) {
	digits := 0
	for i := 0; i < len(s); i++ {
		if s[i] >= '0' && s[i] <= '9' {
			digits++
		}
	}
	if digits < 16 { // eight codes of two digits
		return "", false
	}
	fields := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' })
	var b strings.Builder
	n, best := 0, ""
	flush := func() {
		if n >= 8 && printable(b.String()) && b.Len() > len(best) {
			best = b.String()
		}
		b.Reset()
		n = 0
	}
	for _, f := range fields {
		base, size := 10, 32
		if len(f) == 8 && strings.Trim(f, "01") == "" {
			base = 2
		}
		c, err := strconv.ParseUint(f, base, size)
		if err != nil || c > 126 || c < 32 && c != 10 {
			flush()
			continue
		}
		b.WriteByte(byte(c))
		n++
	}
	flush()
	return best, best != ""
}

var morseCode = func() map[string]byte {
	m := map[string]byte{}
	for i, code := range strings.Fields(".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --..") {
		m[code] = 'a' + byte(i)
	}
	return m
}()

func morse(s string) (string, bool) {
	if strings.Count(s, ".")+strings.Count(s, "-") < 16 {
		return "", false
	}
	var b strings.Builder
	n, other := 0, 0
	for _, f := range strings.Fields(strings.NewReplacer("/", " / ", "|", " / ").Replace(s)) {
		if c, ok := morseCode[f]; ok {
			b.WriteByte(c)
			n++
		} else if f == "/" {
			b.WriteByte(' ')
		} else {
			other++
		}
	}
	return b.String(), n >= 8 && n > 2*other
}
