package nft

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

var errBadAttribute = errors.New("read from netfilter socket: attribute with an impossible length")

// attributes calls each for every netlink attribute of b.
func attributes(b []byte, each func(kind uint16, value []byte) error) error {
	for len(b) >= attrHeaderLen {
		size := int(binary.NativeEndian.Uint16(b))
		if size < attrHeaderLen || size > len(b) {
			return errBadAttribute
		}
		kind := binary.NativeEndian.Uint16(b[2:]) & nlaTypeMask
		if err := each(kind, b[attrHeaderLen:size]); err != nil {
			return err
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil
}

// element is one element of a set as the kernel holds it: the start of a
// range, or the address after its end.
type element struct {
	at             addr
	end            bool
	left           uint64 // milliseconds until it goes, 0 when it never does
	packets, bytes uint64
}

// parseElements reads the attributes of one NEWSETELEM message.
func parseElements(attrs []byte, width int, each func(element)) error {
	return attributes(attrs, func(kind uint16, v []byte) error {
		if kind != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return nil
		}
		return attributes(v, func(kind uint16, v []byte) error {
			if kind != unix.NFTA_LIST_ELEM {
				return nil
			}
			e, err := parseElement(v, width)
			if err == nil {
				each(e)
			}
			return err
		})
	})
}

func parseElement(b []byte, width int) (e element, err error) {
	key := false
	err = attributes(b, func(kind uint16, v []byte) error {
		switch kind {
		case unix.NFTA_SET_ELEM_KEY:
			return attributes(v, func(kind uint16, v []byte) error {
				if kind == unix.NFTA_DATA_VALUE {
					e.at, key = keyAddr(v, width)
				}
				return nil
			})
		case unix.NFTA_SET_ELEM_FLAGS:
			e.end = number(v)&unix.NFT_SET_ELEM_INTERVAL_END != 0
		case unix.NFTA_SET_ELEM_EXPIRATION:
			e.left = number(v)
		case unix.NFTA_SET_ELEM_EXPR:
			return e.counter(v)
		case nftaSetElemExprs:
			return attributes(v, func(kind uint16, v []byte) error {
				if kind != unix.NFTA_LIST_ELEM {
					return nil
				}
				return e.counter(v)
			})
		}
		return nil
	})
	if err == nil && !key {
		err = errors.New("read from netfilter socket: set element without a key of the set's type")
	}
	return e, err
}

// counter reads one expression of an element, if it is a counter.
func (e *element) counter(b []byte) error {
	name, data, err := expression(b)
	if err != nil || name != "counter" {
		return err
	}
	return attributes(data, func(kind uint16, v []byte) error {
		switch kind {
		case unix.NFTA_COUNTER_BYTES:
			e.bytes = number(v)
		case unix.NFTA_COUNTER_PACKETS:
			e.packets = number(v)
		}
		return nil
	})
}

func keyAddr(v []byte, width int) (addr, bool) {
	switch {
	case width == 32 && len(v) == 4:
		return addr{0, uint64(binary.BigEndian.Uint32(v))}, true
	case width == 128 && len(v) == 16:
		return addr{binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])}, true
	}
	return addr{}, false
}

// number reads a value of 4 or 8 bytes in network order; 0 for any other size.
func number(v []byte) uint64 {
	switch len(v) {
	case 4:
		return uint64(binary.BigEndian.Uint32(v))
	case 8:
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// text reads a string attribute without its terminator.
func text(v []byte) string {
	for i, c := range v {
		if c == 0 {
			return string(v[:i])
		}
	}
	return string(v)
}

// hookSpec is where a base chain is hooked in.
type hookSpec struct{ number, priority uint32 }

func parseChain(b []byte) (table, name string, hook hookSpec, policy uint32, err error) {
	hook.number = ^uint32(0)
	err = attributes(b, func(kind uint16, v []byte) error {
		switch kind {
		case unix.NFTA_CHAIN_TABLE:
			table = text(v)
		case unix.NFTA_CHAIN_NAME:
			name = text(v)
		case unix.NFTA_CHAIN_POLICY:
			policy = uint32(number(v))
		case unix.NFTA_CHAIN_HOOK:
			return attributes(v, func(kind uint16, v []byte) error {
				switch kind {
				case unix.NFTA_HOOK_HOOKNUM:
					hook.number = uint32(number(v))
				case unix.NFTA_HOOK_PRIORITY:
					hook.priority = uint32(number(v))
				}
				return nil
			})
		}
		return nil
	})
	return table, name, hook, policy, err
}

// parsedRule is a rule's place, its comment and the set it looks into.
type parsedRule struct{ table, chain, comment, set string }

func parseRule(b []byte) (r parsedRule, err error) {
	err = attributes(b, func(kind uint16, v []byte) error {
		switch kind {
		case unix.NFTA_RULE_TABLE:
			r.table = text(v)
		case unix.NFTA_RULE_CHAIN:
			r.chain = text(v)
		case unix.NFTA_RULE_EXPRESSIONS:
			return attributes(v, func(_ uint16, v []byte) error { return r.lookup(v) })
		case unix.NFTA_RULE_USERDATA: // a list of type, length, value with one byte each for the first two
			for len(v) >= 2 && len(v) >= 2+int(v[1]) {
				if v[0] == 0 {
					r.comment = text(v[2 : 2+int(v[1])])
				}
				v = v[2+int(v[1]):]
			}
		}
		return nil
	})
	return r, err
}

// lookup notes the set of a lookup expression.
func (r *parsedRule) lookup(b []byte) error {
	name, data, err := expression(b)
	if err != nil || name != "lookup" {
		return err
	}
	return attributes(data, func(kind uint16, v []byte) error {
		if kind == unix.NFTA_LOOKUP_SET {
			r.set = text(v)
		}
		return nil
	})
}

// expression splits an expression into its name and its attributes.
func expression(b []byte) (name string, data []byte, err error) {
	err = attributes(b, func(kind uint16, v []byte) error {
		switch kind {
		case unix.NFTA_EXPR_NAME:
			name = text(v)
		case unix.NFTA_EXPR_DATA:
			data = v
		}
		return nil
	})
	return name, data, err
}

func parseSet(b []byte) (table, name string, flags uint32, err error) {
	err = attributes(b, func(kind uint16, v []byte) error {
		switch kind {
		case unix.NFTA_SET_TABLE:
			table = text(v)
		case unix.NFTA_SET_NAME:
			name = text(v)
		case unix.NFTA_SET_FLAGS:
			flags = uint32(number(v))
		}
		return nil
	})
	return table, name, flags, err
}
