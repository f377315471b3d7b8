package link

import (
	"net/netip"
	"strings"
)

// Bounds of what is looked up in one reading of a text.
const (
	maxNames = 500
	maxURLs  = 200
	maxURL   = 2048
	maxName  = 253
)

// names calls f for every host name and IPv4 address of a text, with or without a scheme, in lower case,
// until f says stop, and returns whether it did. Each is called once for each place.
func names(text string, f func(string) (stop bool)) bool {
	n := 0
	for from := 0; from < len(text) && n < maxNames; {
		dot := strings.IndexByte(text[from:], '.')
		if dot < 0 {
			return false
		}
		dot += from
		a, b := dot, dot+1
		for a > from && nameByte(text[a-1]) {
			a--
		}
		for b < len(text) && nameByte(text[b]) {
			b++
		}
		from = b
		name := strings.Trim(text[a:b], ".-_")
		if len(name) > maxName || !isName(name) {
			continue
		}
		if n++; f(strings.ToLower(name)) {
			return true
		}
	}
	return false
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_'
}

// isName tells names and addresses from numbers, abbreviations and files: the last label
// of a name has letters, and an address is one.
func isName(s string) bool {
	i := strings.LastIndexByte(s, '.')
	if i <= 0 || strings.Contains(s, "..") {
		return false
	}
	last := s[i+1:]
	if len(last) < 2 && (last == "" || last[0] > '9') {
		return false
	}
	if c := last[0] | 0x20; c >= 'a' && c <= 'z' {
		return true
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

// urls calls f for every URL with a scheme, as it is written, and six for the IPv6 address in one.
func urls(text string, f, six func(string) (stop bool)) bool {
	n := 0
	for from := 0; from < len(text) && n < maxURLs; {
		at := strings.Index(text[from:], "://")
		if at < 0 {
			return false
		}
		at += from
		a, b := at, at+3
		for a > from && at-a < 12 && (nameByte(text[a-1]) || text[a-1] == '+') {
			a--
		}
		if b < len(text) && text[b] == '[' {
			if end := strings.IndexByte(text[b:], ']'); end > 0 && end < 64 && six(text[b+1:b+end]) {
				return true
			}
		}
		for b < len(text) && b-a < maxURL && text[b] > ' ' && text[b] < 0x7f && strings.IndexByte("\"'<>`{}|\\^", text[b]) < 0 {
			b++
		}
		from = b
		u := strings.TrimRight(text[a:b], ".,;:!?)]")
		if n++; a < at && f(u) {
			return true
		}
	}
	return false
}

// tail is how many bytes at the end of a text may be the beginning of a name or URL: a word
// that has a dot or a scheme.
func tail(text string) int {
	i := len(text)
	for i > 0 && len(text)-i < maxURL && text[i-1] > ' ' && text[i-1] < 0x7f && strings.IndexByte("\"'<>`(){}|,", text[i-1]) < 0 {
		i--
	}
	word := text[i:]
	if strings.Contains(word, "://") || strings.HasSuffix(word, ":/") || strings.HasSuffix(word, ":") && len(word) < 12 {
		return len(word)
	}
	k := len(word)
	for k > 0 && nameByte(word[k-1]) {
		k--
	}
	if strings.IndexByte(word[k:], '.') >= 0 {
		return len(word) - k
	}
	return 0
}
