// Package cursor packs the place where a page of a list ended into an opaque
// text that a caller sends back for the next page. A cursor names the last
// item, not a number of items, so nothing is shown twice or left out when the
// list grows between two pages. It holds nothing secret and is not signed:
// whoever makes one up can only choose where to begin reading what they may
// read anyway.
package cursor

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"strings"
)

// MaxLen bounds the text of a cursor.
const MaxLen = 6144

const version = 1

// ErrBad says that a cursor was not made by this list with these filters.
var ErrBad = errors.New("this cursor was not made by this list with the same filters; start without one")

// Place is where a page ended. Which fields count is the list's choice.
type Place struct {
	Seq   uint64  // sequence number of the last item
	Time  int64   // instant the list was made for, nanoseconds since 1970
	Score float64 // sort key of the last item
	Key   string  // identity of the last item
}

// Encode makes the text for a list and its filters.
func (p Place) Encode(list string, filters ...string) string {
	b := make([]byte, 0, 64+len(p.Key))
	b = append(b, version)
	b = binary.BigEndian.AppendUint32(b, sum(list, filters))
	b = binary.BigEndian.AppendUint64(b, p.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Time))
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(p.Score))
	b = append(b, p.Key...)
	return base64.RawURLEncoding.EncodeToString(b)
}

const fixed = 1 + 4 + 8 + 8 + 8

// Decode reads what Encode made for the same list and filters; the empty text
// is the beginning.
func Decode(text, list string, filters ...string) (p Place, err error) {
	if text == "" {
		return p, nil
	}
	// encoding/base64 passes over line ends: two texts would name one place.
	if len(text) > MaxLen || strings.ContainsAny(text, "\r\n") {
		return p, ErrBad
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < fixed || b[0] != version || binary.BigEndian.Uint32(b[1:]) != sum(list, filters) {
		return p, ErrBad
	}
	p.Seq = binary.BigEndian.Uint64(b[5:])
	p.Time = int64(binary.BigEndian.Uint64(b[13:]))
	p.Score = math.Float64frombits(binary.BigEndian.Uint64(b[21:]))
	p.Key = string(b[fixed:])
	if math.IsNaN(p.Score) || math.IsInf(p.Score, 0) {
		return Place{}, ErrBad
	}
	return p, nil
}

func sum(list string, filters []string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(list + "\x00" + strings.Join(filters, "\x00"))) // a hash does not fail
	return h.Sum32()
}
