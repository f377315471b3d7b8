package pii

import (
	"strings"

	"bartizan/internal/guard"
)

// The lines of a machine-readable zone (ICAO Doc 9303, parts 3 to 7).
const (
	lineTD1 = 30 // three lines: cards
	lineTD2 = 36 // two lines
	lineTD3 = 44 // two lines: passports
)

// findMRZ returns machine-readable zones whose check digits are right, with the line before that
// has the name, and for cards the one behind.
func findMRZ(text string) (out []guard.Span) {
	if !strings.Contains(text, "<<") {
		return nil
	}
	var lines []guard.Span
	for i := 0; i < len(text); {
		if !isMRZ(text[i]) {
			i++
			continue
		}
		from := i
		for i < len(text) && isMRZ(text[i]) {
			i++
		}
		if n := i - from; n == lineTD1 || n == lineTD2 || n == lineTD3 {
			lines = append(lines, guard.Span{From: from, To: i})
		}
	}
	at := func(k int) string {
		if k < 0 || k >= len(lines) {
			return ""
		}
		return text[lines[k].From:lines[k].To]
	}
	for k := range lines {
		s := at(k)
		first, last := k, k
		switch len(s) {
		case lineTD3:
			if !checkMRZ(s, 0, 9) || !checkMRZ(s, 13, 6) || !checkMRZ(s, 21, 6) {
				continue
			}
			if len(at(k-1)) == lineTD3 && near(text, lines[k-1], lines[k]) {
				first--
			}
		case lineTD2:
			if !checkMRZ(s, 0, 9) || !checkMRZ(s, 13, 6) || !checkMRZ(s, 21, 6) {
				continue
			}
			if len(at(k-1)) == lineTD2 && near(text, lines[k-1], lines[k]) {
				first--
			}
		case lineTD1: // the second line has the dates, the first one the number
			if !checkMRZ(s, 0, 6) || !checkMRZ(s, 8, 6) || len(at(k-1)) != lineTD1 || !checkMRZ(at(k-1), 5, 9) {
				continue
			}
			first--
			if len(at(k+1)) == lineTD1 && near(text, lines[k], lines[k+1]) {
				last++
			}
		}
		if out = append(out, guard.Span{From: lines[first].From, To: lines[last].To}); len(out) == maxFound {
			break
		}
	}
	return out
}

// near says that two lines stand below each other.
func near(text string, a, b guard.Span) bool {
	gap := text[a.To:b.From]
	return len(gap) <= 8 && strings.Trim(gap, " \t\r\n\\nr|") == ""
}

// checkMRZ compares the check digit behind n characters: weights 7, 3, 1, modulo 10.
func checkMRZ(s string, from, n int) bool {
	sum := 0
	for i := range n {
		c, v := s[from+i], 0
		switch {
		case isDigit(c):
			v = int(c - '0')
		case isCapital(c):
			v = int(c-'A') + 10
		}
		sum += v * [...]int{7, 3, 1}[i%3]
	}
	c := s[from+n]
	return c == byte('0'+sum%10) || c == '<' && sum == 0
}

func isMRZ(c byte) bool { return isDigit(c) || isCapital(c) || c == '<' }

// tailMRZ is how many bytes at the end of a text may be the beginning of one: a line of
// capitals and "<", and the one before it.
func tailMRZ(text string) int {
	i := len(text)
	for i > 0 && len(text)-i < 3*lineTD3 && (isMRZ(text[i-1]) || text[i-1] == '\n' || text[i-1] == '\r') {
		i--
	}
	for i < len(text) && (text[i] == '\n' || text[i] == '\r') {
		i++
	}
	if tail := text[i:]; strings.Contains(tail, "<") || len(tail) > 5 {
		return len(tail)
	}
	return 0
}
