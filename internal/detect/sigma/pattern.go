package sigma

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// elem is one piece of a segment: text, or one character.
type elem struct {
	text string // folded unless the pattern is cased; "" for the others
	dash bool   // one of the five characters of |windash; else any character
}

// segment is what stands between two asterisks.
type segment []elem

// pattern is a Sigma string with wildcards, taken apart at its asterisks.
type pattern struct {
	segments   []segment
	head, tail bool // a value may begin or end with anything
}

// parsePattern reads the escaping of the Sigma specification: * and ? are
// wildcards; \*, \? and \\ are the characters; every other \ is itself.
func parsePattern(s string, windash bool) pattern {
	var p pattern
	var seg segment
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			seg = append(seg, elem{text: text.String()})
			text.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`*?\`, s[i+1]) >= 0:
			i++
			text.WriteByte(s[i])
		case c == '*':
			flush()
			if len(seg) == 0 && len(p.segments) == 0 {
				p.head = true
			} else if len(seg) > 0 {
				p.segments = append(p.segments, seg)
				seg = nil
			}
			p.tail = true
			continue
		case c == '?':
			flush()
			seg = append(seg, elem{})
		case windash && isOption(s, i):
			flush()
			seg = append(seg, elem{dash: true})
		default:
			text.WriteByte(c)
		}
		p.tail = false
	}
	flush()
	if len(seg) > 0 {
		p.segments = append(p.segments, seg)
	}
	return p
}

// isOption says whether the dash or slash at i begins an option of a command
// line: no word character before it, one behind it (\B[-/]\b).
func isOption(s string, i int) bool {
	if s[i] != '-' && s[i] != '/' {
		return false
	}
	return (i == 0 || !isWord(s[i-1])) && i+1 < len(s) && isWord(s[i+1])
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// fold removes letter case from the texts.
func (p *pattern) fold() {
	for _, seg := range p.segments {
		for i := range seg {
			seg[i].text = fold(seg[i].text)
		}
	}
}

// literal returns the text of a pattern without wildcards inside.
func (p *pattern) literal() (string, bool) {
	switch {
	case len(p.segments) == 0 && !p.head && !p.tail:
		return "", true
	case len(p.segments) == 1 && len(p.segments[0]) == 1 && p.segments[0][0].text != "":
		return p.segments[0][0].text, true
	}
	return "", false
}

// longest is the longest text every matching value contains.
func (p *pattern) longest() (best string) {
	for _, seg := range p.segments {
		for _, e := range seg {
			if len(e.text) > len(best) {
				best = e.text
			}
		}
	}
	return best
}

// match says whether the whole value matches.
func (p *pattern) match(v []byte) bool {
	n := len(p.segments)
	if n == 0 {
		return p.head || p.tail || len(v) == 0
	}
	at := 0
	for i, seg := range p.segments {
		anchored, last := i == 0 && !p.head, i == n-1 && !p.tail
		if anchored {
			end := seg.at(v, 0)
			if end < 0 || last && end != len(v) {
				return false
			}
			at = end
			continue
		}
		if at = seg.find(v, at, last); at < 0 {
			return false
		}
	}
	return true
}

// find returns the end of the first occurrence at or after from; with last,
// the occurrence has to end the value.
func (s segment) find(v []byte, from int, last bool) int {
	first := s[0].text
	for i := from; i <= len(v); i++ {
		if first != "" {
			k := bytes.Index(v[i:], []byte(first))
			if k < 0 {
				return -1
			}
			i += k
		} else if i > from && i < len(v) && !utf8.RuneStart(v[i]) {
			continue
		}
		if end := s.at(v, i); end >= 0 && (!last || end == len(v)) {
			return end
		}
	}
	return -1
}

// at returns the end of an occurrence that begins at i, or -1.
func (s segment) at(v []byte, i int) int {
	for _, e := range s {
		rest := v[i:]
		if e.text != "" {
			if len(rest) < len(e.text) || string(rest[:len(e.text)]) != e.text {
				return -1
			}
			i += len(e.text)
			continue
		}
		if len(rest) == 0 {
			return -1
		}
		r, n := utf8.DecodeRune(rest)
		if e.dash && !isDash(r) {
			return -1
		}
		i += n
	}
	return i
}

// isDash: what Windows programs take for the dash of an option.
func isDash(r rune) bool {
	switch r {
	case '-', '/', '–', '—', '―':
		return true
	}
	return false
}
