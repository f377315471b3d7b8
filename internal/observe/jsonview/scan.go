package jsonview

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// maxDepth is how deep the walk goes; fastjson goes to 300. Levels are bits of
// a word.
const maxDepth = 60

// pad is what stands behind a text, so that looking ahead needs no checks.
const pad = 8

// blank passes over white space.
func blank(b []byte, i int) int {
	for b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

const (
	ones   = 0x0101010101010101
	highs  = 0x8080808080808080
	quotes = '"' * ones
	slants = '\\' * ones
)

// equal marks the bytes of x that are those of all; the lowest mark is exact.
func equal(x, all uint64) uint64 {
	x ^= all
	return (x - ones) &^ x & highs
}

// control marks bytes below a blank, which JSON does not allow in strings but
// fastjson takes; the lowest mark is exact.
func control(x uint64) uint64 { return (x - ' '*ones) &^ x & highs }

// special says whether a string has escapes or control characters, from which
// the full parse makes something else. b has pad bytes behind the string.
func special(b []byte, i, end int) bool {
	for ; i < end; i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		if m := equal(x, slants) | control(x); m != 0 {
			return i+bits.TrailingZeros64(m)/8 < end
		}
	}
	return false
}

// name finds the quote that ends a name beginning at i; -1 when there is none
// or the name is special. b has its padding behind n.
func name(b []byte, i, n int) int {
	for ; i < n; i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		q, s := equal(x, quotes), equal(x, slants)|control(x)
		if q|s == 0 {
			continue
		}
		if q == 0 || s != 0 && s&-s < q&-q {
			return -1
		}
		if i += bits.TrailingZeros64(q) / 8; i < n {
			return i
		}
	}
	return -1
}

// text finds the quote that ends a string beginning at i; -1 when there is none.
func text(b []byte, i, n int) int {
	j := i
	q := equal(binary.LittleEndian.Uint64(b[i:]), quotes)
	if q == 0 && i+8 < n {
		j += 8
		q = equal(binary.LittleEndian.Uint64(b[j:]), quotes)
	}
	if q != 0 {
		if j += bits.TrailingZeros64(q) / 8; b[j-1] != '\\' && j < n {
			return j
		}
	}
	return longText(b, i, n)
}

func longText(b []byte, from, n int) int {
	for i := from; i < n; i++ {
		j := bytes.IndexByte(b[i:n], '"')
		if j < 0 {
			return -1
		}
		if i += j; b[i-1] != '\\' { // the byte before the first one is the opening quote
			return i
		}
		back := i - 1
		for back > from && b[back-1] == '\\' {
			back--
		}
		if (i-back)%2 == 0 {
			return i
		}
	}
	return -1
}

// plain passes over a number or a word; -1 when it is not one that RFC 8259
// and fastjson agree about.
func plain(b []byte, i, n int) int {
	switch c := b[i]; {
	case c >= '0' && c <= '9' || c == '-' && b[i+1] >= '0' && b[i+1] <= '9':
		for i++; numeric(b[i]); i++ {
		}
		return i
	case c == 't' && i+4 <= n && string(b[i:i+4]) == "true", c == 'n' && i+4 <= n && string(b[i:i+4]) == "null":
		return i + 4
	case c == 'f' && i+5 <= n && string(b[i:i+5]) == "false":
		return i + 5
	}
	return -1
}

func numeric(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == '-' || c == 'e' || c == 'E' || c == '+'
}

// skip passes over a value of any kind that nobody asked for, checking its
// form; -1 when it is not JSON, or too deep.
func skip(b []byte, i, n, depth int) int {
	switch b[i] {
	case '"':
		if i = text(b, i+1, n); i < 0 {
			return -1
		}
		return i + 1
	case '{', '[':
		return skipNested(b, i, n, depth)
	}
	return plain(b, i, n)
}

func skipNested(b []byte, i, n, depth int) int {
	objects, open := uint64(0), 0 // a bit per open level: whether it is an object
	for {
		ended := true // whether a value ends at i
		switch b[i] {
		case '"':
			if i = text(b, i+1, n); i < 0 {
				return -1
			}
			i++
		case '{', '[':
			object := b[i] == '{'
			if open++; open+depth > maxDepth {
				return -1
			}
			objects <<= 1
			if object {
				objects |= 1
			}
			i = blank(b, i+1)
			if ended = b[i] == '}' && object || b[i] == ']' && !object; ended {
				i, objects, open = i+1, objects>>1, open-1
			}
		default:
			if i = plain(b, i, n); i < 0 {
				return -1
			}
		}
		for ended {
			if open == 0 {
				return i
			}
			i = blank(b, i)
			switch {
			case b[i] == ',':
				i, ended = blank(b, i+1), false
			case b[i] == '}' && objects&1 == 1, b[i] == ']' && objects&1 == 0:
				i, objects, open = i+1, objects>>1, open-1
			default:
				return -1
			}
		}
		if objects&1 == 0 {
			continue
		}
		if b[i] != '"' {
			return -1
		}
		if i = text(b, i+1, n); i < 0 {
			return -1
		}
		if i = blank(b, i+1); b[i] != ':' {
			return -1
		}
		i = blank(b, i+1)
	}
}
