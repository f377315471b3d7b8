package mcp

import (
	"bytes"
	"errors"
	"io"
	"math/big"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// Ambiguous says what in arguments two readers could take for two things, or "".
func Ambiguous(args jsontext.Value) string {
	d := jsontext.NewDecoder(bytes.NewReader(args))
	var seen []map[string]bool // names of the objects that are open, folded
	for {
		kind, n := d.StackIndex(d.StackDepth())
		isName := kind == '{' && n%2 == 0
		tok, err := d.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return ""
		case err != nil:
			return "the arguments cannot be read"
		case tok.Kind() == '{' || tok.Kind() == '[':
			seen = append(seen, map[string]bool{})
		case tok.Kind() == '}' || tok.Kind() == ']':
			seen = seen[:len(seen)-1]
		case isName:
			name := foldedName(tok.String())
			if seen[len(seen)-1][name] {
				return "two arguments differ by case only"
			}
			seen[len(seen)-1][name] = true
		case tok.Kind() == '0' && rounded(tok.String()):
			return "a number in the arguments has more digits than a condition can see"
		}
	}
}

// foldedName is the same for names that strings.EqualFold takes for the same.
func foldedName(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, name)
}

// rounded says whether a whole number is another one as a float.
func rounded(number string) bool {
	if strings.Trim(number, "-0123456789") != "" || len(number) < 16 {
		return false // a fraction, which everybody rounds, or short enough
	}
	if len(number) > 400 { // longer than any float is
		return true
	}
	exact, ok := new(big.Int).SetString(number, 10)
	f, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil {
		return true
	}
	near, _ := big.NewFloat(f).Int(nil)
	return exact.Cmp(near) != 0
}
