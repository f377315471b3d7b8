// Package thrift looks over data of Thrift's compact protocol (the footer of a Parquet
// file) before a library decodes it: a library makes room for what a list claims to have,
// and a few bytes can claim gigabytes.
//
// https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
package thrift

import (
	"encoding/binary"
	"errors"
)

// What one element of a list takes at most once it is decoded, roughly.
const (
	roomStruct = 1 << 10
	roomOther  = 32
)

const maxDepth = 32

// Errors of Check.
var (
	ErrCut  = errors.New("thrift: it ends in the middle, or a length in it is too large")
	ErrRoom = errors.New("thrift: its lists would take too much memory")
	ErrDeep = errors.New("thrift: more than 32 levels")
	ErrType = errors.New("thrift: a type that does not exist")
)

// Check reads one struct at the beginning of b and keeps nothing. room is how many bytes
// the elements of its lists may take when they are decoded.
func Check(b []byte, room int64) error {
	c := checker{b: b, room: room}
	return c.fields(0)
}

type checker struct {
	b    []byte
	room int64
}

// Types of the protocol.
const (
	stop = iota
	boolTrue
	boolFalse
	int8Type
	int16Type
	int32Type
	int64Type
	double
	text
	list
	set
	dict
	structure
)

func (c *checker) skip(n uint64) error {
	if n > uint64(len(c.b)) {
		return ErrCut
	}
	c.b = c.b[n:]
	return nil
}

func (c *checker) next() (byte, error) {
	if len(c.b) == 0 {
		return 0, ErrCut
	}
	x := c.b[0]
	c.b = c.b[1:]
	return x, nil
}

func (c *checker) number() (uint64, error) {
	x, n := binary.Uvarint(c.b)
	if n <= 0 {
		return 0, ErrCut
	}
	c.b = c.b[n:]
	return x, nil
}

func (c *checker) fields(depth int) error {
	if depth > maxDepth {
		return ErrDeep
	}
	for {
		head, err := c.next()
		if err != nil {
			return err
		}
		kind := head & 15
		if kind == stop {
			return nil
		}
		if head>>4 == 0 { // the field's number by itself
			if _, err := c.number(); err != nil {
				return err
			}
		}
		if kind == boolTrue || kind == boolFalse { // the value is the type
			continue
		}
		if err := c.value(kind, depth); err != nil {
			return err
		}
	}
}

func (c *checker) value(kind byte, depth int) error {
	switch kind {
	case boolTrue, boolFalse, int8Type:
		return c.skip(1)
	case int16Type, int32Type, int64Type:
		_, err := c.number()
		return err
	case double:
		return c.skip(8)
	case text:
		n, err := c.number()
		if err != nil {
			return err
		}
		return c.skip(n)
	case list, set:
		return c.list(depth + 1)
	case dict:
		return c.dict(depth + 1)
	case structure:
		return c.fields(depth + 1)
	}
	return ErrType
}

// take counts n elements, each of which takes a byte at least.
func (c *checker) take(n uint64, kind byte) error {
	if n > uint64(len(c.b)) {
		return ErrCut
	}
	each := int64(roomOther)
	if kind == structure {
		each = roomStruct
	}
	if c.room -= int64(n) * each; c.room < 0 {
		return ErrRoom
	}
	return nil
}

func (c *checker) list(depth int) error {
	if depth > maxDepth {
		return ErrDeep
	}
	head, err := c.next()
	if err != nil {
		return err
	}
	n, kind := uint64(head>>4), head&15
	if n == 15 {
		if n, err = c.number(); err != nil {
			return err
		}
	}
	if err := c.take(n, kind); err != nil {
		return err
	}
	for range n {
		if err := c.value(kind, depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) dict(depth int) error {
	if depth > maxDepth {
		return ErrDeep
	}
	n, err := c.number()
	if err != nil || n == 0 {
		return err
	}
	kinds, err := c.next()
	if err != nil {
		return err
	}
	if err := c.take(n, structure); err != nil {
		return err
	}
	for range n {
		if err := c.value(kinds>>4, depth); err != nil {
			return err
		}
		if err := c.value(kinds&15, depth); err != nil {
			return err
		}
	}
	return nil
}
