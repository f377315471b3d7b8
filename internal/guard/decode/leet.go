package decode

import (
	"strings"
	"unicode"
)

// leet lists what a digit or sign stands for, likeliest first.
func leet(c rune) string {
	switch c {
	case '4', '@':
		return "a"
	case '3', '€':
		return "e"
	case '1', '!', '|':
		return "il"
	case '0':
		return "o"
	case '5', '$':
		return "s"
	case '7', '+':
		return "t"
	case '8':
		return "b"
	case '9':
		return "g"
	case '6':
		return "g"
	case '2':
		return "z"
	}
	return ""
}

// Unleet reads digits and signs inside words as letters; ok only when the text
// has enough such words to be leetspeak rather than part numbers.
func Unleet(s string, like Likeness) (string, bool) {
	words, mixed := 0, 0
	eachToken(s, func(tok []rune) {
		l, d := count(tok)
		if l+d < 2 || l == 0 {
			return
		}
		words++
		if d > 0 {
			mixed++
		}
	})
	if mixed < 2 || mixed*5 < words {
		return s, false
	}
	var b strings.Builder
	b.Grow(len(s))
	last := 0
	r := []rune(s)
	for i := 0; i < len(r); {
		if !leetRune(r[i]) {
			i++
			continue
		}
		j := i
		for j < len(r) && leetRune(r[j]) {
			j++
		}
		b.WriteString(string(r[last:i]))
		b.WriteString(readWord(r[i:j], like))
		last, i = j, j
	}
	b.WriteString(string(r[last:]))
	return b.String(), true
}

func leetRune(r rune) bool { return unicode.IsLetter(r) || leet(r) != "" }

func eachToken(s string, f func([]rune)) {
	var tok []rune
	for _, r := range s {
		if leetRune(r) {
			tok = append(tok, r)
			continue
		}
		if len(tok) > 0 {
			f(tok)
			tok = tok[:0]
		}
	}
	if len(tok) > 0 {
		f(tok)
	}
}

func count(tok []rune) (letters, digits int) {
	for _, r := range tok {
		switch {
		case unicode.IsLetter(r):
			letters++
		case unicode.IsDigit(r) || r == '@' || r == '$':
			digits++
		}
	}
	return letters, digits
}

// readWord reads one word; of the two readings of 1 it takes the likelier.
// Signs that end a word stay punctuation, and numbers of more than four digits
// stay numbers.
func readWord(tok []rune, like Likeness) string {
	end := len(tok)
	for end > 0 && (tok[end-1] == '!' || tok[end-1] == '|' || tok[end-1] == '+') {
		end--
	}
	letters, digits := count(tok[:end])
	if letters == 0 && (digits > 4 || digits == 0) {
		return string(tok)
	}
	first, second := make([]rune, 0, end), make([]rune, 0, end)
	two := false
	for _, r := range tok[:end] {
		to := leet(r)
		switch len(to) {
		case 0:
			first, second = append(first, r), append(second, r)
		case 1:
			first, second = append(first, rune(to[0])), append(second, rune(to[0]))
		default:
			two = true
			first, second = append(first, rune(to[0])), append(second, rune(to[1]))
		}
	}
	out := string(first)
	if two && like != nil && like(string(second)) > like(out) {
		out = string(second)
	}
	return out + string(tok[end:])
}
