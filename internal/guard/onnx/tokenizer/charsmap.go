package tokenizer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// charsmap is a table of replacements as sentencepiece compiles it: a trie in a double array, whose
// leaves are places in a text of strings that end with a zero.
type charsmap struct {
	units []uint32
	texts []byte
}

func readCharsmap(raw []byte) (*charsmap, error) {
	if len(raw) < 4 {
		return nil, errors.New("precompiled_charsmap is shorter than its header")
	}
	n := uint64(binary.LittleEndian.Uint32(raw))
	raw = raw[4:]
	if n == 0 || n%4 != 0 || n > uint64(len(raw)) {
		return nil, errors.New("precompiled_charsmap has a trie that does not fit into it")
	}
	m := &charsmap{units: make([]uint32, n/4), texts: raw[n:]}
	for i := range m.units {
		m.units[i] = binary.LittleEndian.Uint32(raw[4*i:])
	}
	return m, nil
}

// first is the replacement of the shortest part of the table that s begins with: the reference takes that one.
func (m *charsmap) first(s string) (string, bool) {
	at := jump(m.units[0])
	for i := 0; i < len(s) && s[i] != 0; i++ {
		at ^= uint32(s[i])
		if int64(at) >= int64(len(m.units)) {
			return "", false
		}
		unit := m.units[at]
		if unit&(1<<31|0xff) != uint32(s[i]) {
			return "", false
		}
		at ^= jump(unit)
		if unit>>8&1 == 0 {
			continue
		}
		if int64(at) >= int64(len(m.units)) {
			return "", false
		}
		from := m.units[at] & (1<<31 - 1)
		if int64(from) >= int64(len(m.texts)) {
			return "", false
		}
		text, _, _ := bytes.Cut(m.texts[from:min(int(from)+maxReplacement, len(m.texts))], []byte{0})
		return strings.ToValidUTF8(string(text), ""), true
	}
	return "", false
}

// maxReplacement is the length of the longest replacement of one character, in bytes (Unicode's has 33).
const maxReplacement = 64

// jump is the distance to the children of a unit.
func jump(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }

// normalize replaces what a reader takes for one character if it is short, else its parts.
func (m *charsmap) normalize(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for len(s) > 0 {
		n := cluster(s)
		if n < 6 {
			if to, ok := m.first(s[:n]); ok {
				b.WriteString(to)
				s = s[n:]
				continue
			}
		}
		for _, r := range s[:n] {
			part := string(r)
			if to, ok := m.first(part); ok {
				part = to
			}
			b.WriteString(part)
		}
		s = s[n:]
	}
	return b.String()
}

// cluster is the length of what s begins with that a reader takes for one character, right as far as it is
// shorter than six bytes: a letter and its marks. (Emoji and Hangul in parts are longer.)
func cluster(s string) int {
	r, n := utf8.DecodeRuneInString(s)
	if r == '\r' && len(s) > 1 && s[1] == '\n' {
		return 2
	}
	if r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) || unicode.Is(unicode.Cf, r) && r != zwj && r != zwj-1 {
		return n
	}
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		if !unicode.Is(unicode.M, r) && r != zwj && r != zwj-1 {
			break
		}
		n += size
	}
	return n
}

const zwj = '\u200d'
