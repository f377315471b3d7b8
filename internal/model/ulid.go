package model

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ULID is a 128-bit identity that sorts by time: 48 bits of Unix milliseconds
// followed by 80 random bits (github.com/ulid/spec). The zero value means
// "none" and is written as an empty string.
type ULID [16]byte

// crockford is the alphabet of the ULID text form. The 26 digits carry 130
// bits, so the two leading bits are always zero.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

var ulidEncoding = base32.NewEncoding(crockford).WithPadding(base32.NoPadding)

// NewULID makes an identity for the moment now. Randomness comes from the
// operating system; two calls in one millisecond have no defined order.
func NewULID(now time.Time) ULID {
	var id ULID
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint64(id[:8], ms<<16)
	rand.Read(id[6:]) // never fails since Go 1.24: the program ends instead
	return id
}

// ParseULID reads the 26-character text form; the empty string is the zero ULID.
func ParseULID(s string) (ULID, error) {
	var id ULID
	if s == "" {
		return id, nil
	}
	if len(s) != 26 {
		return id, fmt.Errorf("parse id: %d characters, an id has 26", len(s))
	}
	// 26 digits are 130 bits: prefix six zero bits (one and a fifth digits are
	// not expressible, so decode by hand through a 17-byte window).
	var buf [17]byte
	src := "000000" + s // 32 digits = 160 bits = 20 bytes
	var out [20]byte
	if _, err := ulidEncoding.Decode(out[:], []byte(src)); err != nil {
		return id, errors.New("parse id: not an id (letters and digits of Crockford base 32, upper case)")
	}
	copy(buf[:], out[3:])
	if buf[0] != 0 {
		return id, errors.New("parse id: number too large for an id")
	}
	copy(id[:], buf[1:])
	return id, nil
}

// String returns the 26-character text form, or "" for the zero value.
func (id ULID) String() string {
	if id.IsZero() {
		return ""
	}
	var in [20]byte
	copy(in[4:], id[:])
	var out [32]byte
	ulidEncoding.Encode(out[:], in[:])
	return string(out[6:])
}

// IsZero reports whether the identity is the absent one.
func (id ULID) IsZero() bool { return id == ULID{} }

// Time is the moment the identity was made, to the millisecond.
func (id ULID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16)).UTC()
}

// MarshalText implements encoding.TextMarshaler.
func (id ULID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ULID) UnmarshalText(b []byte) error {
	v, err := ParseULID(string(b))
	if err == nil {
		*id = v
	}
	return err
}

// Compare orders identities by time, then by their random part.
func (id ULID) Compare(o ULID) int {
	for i := range id {
		if id[i] != o[i] {
			if id[i] < o[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}
