package main

import (
	"encoding/base64"
	"strings"
)

// obfuscations as an attacker writes them; made here without package decode, so
// that a mistake there is not hidden by the same mistake here.
var obfuscations = []struct {
	name string
	do   func(string) string
}{
	{"plain", func(s string) string { return s }},
	{"base64", func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }},
	{"rot13", rot13},
	{"leetspeak", toLeet},
	{"zero-width", func(s string) string {
		var b strings.Builder
		for _, r := range s {
			b.WriteRune(r)
			b.WriteRune(0x200b)
		}
		return b.String()
	}},
	{"homoglyph", func(s string) string {
		return strings.NewReplacer("a", "а", "e", "е", "o", "о", "p", "р", "c", "с", "x", "х", "y", "у", "i", "і", "s", "ѕ", "j", "ј", "A", "А", "E", "Е", "O", "О", "P", "Р", "C", "С", "T", "Т", "H", "Н", "K", "К", "M", "М", "B", "В", "X", "Х", "I", "І", "S", "Ѕ").Replace(s)
	}},
	{"reversed", func(s string) string {
		r := []rune(s)
		for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
			r[i], r[j] = r[j], r[i]
		}
		return string(r)
	}},
}

func rot13(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return 'a' + (r-'a'+13)%26
		case r >= 'A' && r <= 'Z':
			return 'A' + (r-'A'+13)%26
		}
		return r
	}, s)
}
