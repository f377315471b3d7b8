package conf

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strings"

	"bartizan/internal/safe"

	"github.com/goccy/go-yaml/ast"
)

// mismatch reports a value of the wrong kind: what is there, what belongs there.
func (d *decoder) mismatch(n ast.Node, at place, want string) {
	subject := "the file"
	if at.path != "" {
		subject = fmt.Sprintf("%q", at.path)
	}
	d.fail(at, nil, "%s must be %s, found %s", subject, want, describe(n))
}

// describe names what a node is. The value is shown (cut and cleaned) because
// it is the operator's own text and helps to find the place.
func describe(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return fmt.Sprintf("the text %q", safe.Clean(n.Value, 40))
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + safe.Clean(n.GetToken().Value, 40)
	case *ast.BoolNode:
		return safe.Clean(n.GetToken().Value, 10)
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	}
	return "something else"
}

func textOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

func (d *decoder) str(n ast.Node, v reflect.Value, at place) {
	s, ok := textOf(n)
	if !ok {
		switch n.(type) {
		case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			// 7.10 would silently become 7.1, and `no` false: only quotes say it is text.
			d.mismatch(n, at, fmt.Sprintf("text (write it in quotes: \"%s\")", safe.Clean(n.GetToken().Value, 40)))
		default:
			d.mismatch(n, at, "text")
		}
		return
	}
	v.SetString(s)
}

// text feeds a type that parses itself. Numbers are given as they are
// written, so that `timeout: 0` or `size: 1024` need no quotes.
func (d *decoder) text(n ast.Node, to encoding.TextUnmarshaler, at place) {
	s, ok := textOf(n)
	if !ok {
		switch n.(type) {
		case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			s = n.GetToken().Value
		default:
			d.mismatch(n, at, "text")
			return
		}
	}
	if err := to.UnmarshalText([]byte(s)); err != nil {
		d.fail(at, err, "%q: %s", at.path, safe.Clean(err.Error(), 300))
	}
}

func (d *decoder) secret(n ast.Node, v reflect.Value, at place) {
	s, ok := textOf(n)
	if !ok {
		// Not mismatch: it would print the value.
		d.fail(at, nil, "%q must be text in quotes, or file:/absolute/path of a file with mode 0600", at.path)
		return
	}
	sec, err := ParseSecret(s)
	if err != nil {
		d.fail(at, err, "%q: %s", at.path, err)
		return
	}
	v.Set(reflect.ValueOf(sec))
}

func (d *decoder) integer(n ast.Node, v reflect.Value, at place) {
	num, ok := n.(*ast.IntegerNode)
	if !ok {
		d.mismatch(n, at, "a whole number")
		return
	}
	var fits bool
	switch x := num.Value.(type) {
	case int64:
		fits = setInt(v, x)
	case uint64:
		fits = setUint(v, x)
	}
	if !fits {
		d.mismatch(n, at, "a whole number "+rangeOf(v.Type()))
	}
}

func setInt(v reflect.Value, x int64) bool {
	if v.CanInt() {
		if v.OverflowInt(x) {
			return false
		}
		v.SetInt(x)
		return true
	}
	return x >= 0 && setUint(v, uint64(x))
}

func setUint(v reflect.Value, x uint64) bool {
	if v.CanUint() {
		if v.OverflowUint(x) {
			return false
		}
		v.SetUint(x)
		return true
	}
	return x <= math.MaxInt64 && setInt(v, int64(x))
}

func rangeOf(t reflect.Type) string {
	bits := t.Bits()
	if strings.HasPrefix(t.Kind().String(), "u") {
		return fmt.Sprintf("from 0 to %d", uint64(math.MaxUint64)>>(64-bits))
	}
	limit := int64(math.MaxInt64) >> (64 - bits)
	return fmt.Sprintf("from %d to %d", -limit-1, limit)
}

func (d *decoder) float(n ast.Node, v reflect.Value, at place) {
	var f float64
	switch n := n.(type) {
	case *ast.FloatNode:
		f = n.Value
	case *ast.IntegerNode:
		switch x := n.Value.(type) {
		case int64:
			f = float64(x)
		case uint64:
			f = float64(x)
		}
	default: // .inf and .nan too: no setting means them
		d.mismatch(n, at, "a number")
		return
	}
	if v.OverflowFloat(f) {
		d.mismatch(n, at, "a smaller number")
		return
	}
	v.SetFloat(f)
}
