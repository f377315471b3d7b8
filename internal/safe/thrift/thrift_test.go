package thrift

import (
	"errors"
	"slices"
	"testing"
)

func TestCheck(t *testing.T) {
	many := slices.Concat([]byte{0x19, 0xfc, 0x80, 0x10}, make([]byte, 2048), []byte{0}) // a list of 2,048 empty structs
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"an empty struct":               {[]byte{0}, nil},
		"behind it anything":            {[]byte{0, 0xff, 0xff}, nil},
		"nothing":                       {nil, ErrCut},
		"numbers, a text and a list":    {[]byte{0x15, 0x80, 0x01, 0x18, 2, 'h', 'i', 0x19, 0x25, 2, 4, 0}, nil},
		"a truth, a double":             {[]byte{0x11, 0x12, 0x17, 1, 2, 3, 4, 5, 6, 7, 8, 0}, nil},
		"a field's number by itself":    {[]byte{0x05, 0x20, 0x02, 0}, nil},
		"a map":                         {[]byte{0x1b, 1, 0x85, 1, 'a', 2, 0}, nil},
		"a struct in a struct":          {[]byte{0x1c, 0x15, 2, 0, 0}, nil},
		"a text longer than the rest":   {[]byte{0x18, 200, 'h', 0}, ErrCut},
		"a list longer than the rest":   {[]byte{0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f, 0}, ErrCut},
		"a list that is there":          {many, nil},
		"a type that is none":           {[]byte{0x1d, 0}, ErrType},
		"structs in structs":            {slices.Repeat([]byte{0x1c}, 100), ErrDeep},
		"lists in lists":                {append([]byte{0x19}, slices.Repeat([]byte{0x19}, 100)...), ErrDeep},
		"a number that does not end":    {append([]byte{0x15}, slices.Repeat([]byte{0xff}, 20)...), ErrCut},
		"a map longer than the rest":    {[]byte{0x1b, 200, 1, 0x55, 0}, ErrCut},
		"a list of types that are none": {[]byte{0x19, 0x2e, 1, 1, 0}, ErrType},
	} {
		if err := Check(c.in, 1<<22); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := Check(many, 1<<20); !errors.Is(err, ErrRoom) {
		t.Errorf("2,048 structs in 1 MiB: %v", err)
	}
}

// FuzzCheck: it ends, without a panic, whatever it reads.
func FuzzCheck(f *testing.F) {
	f.Add([]byte{0x15, 0x80, 0x01, 0x18, 2, 'h', 'i', 0x19, 0x25, 2, 4, 0})
	f.Add([]byte{0x1b, 1, 0x85, 1, 'a', 2, 0})
	f.Add([]byte{0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if Check(b, 1<<20) == nil && len(b) == 0 {
			t.Error("nothing is no struct")
		}
	})
}
