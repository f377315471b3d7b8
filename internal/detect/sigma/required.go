package sigma

import (
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// maxRequired bounds the texts taken from one regular expression.
const maxRequired = 64

// required returns folded texts of which at least one occurs in every text
// that re matches; nil when it cannot tell. When in doubt it cannot tell: the
// regular expression is then evaluated on every event.
func required(re *syntax.Regexp, depth int) []string {
	if depth > 100 {
		return nil
	}
	switch re.Op {
	case syntax.OpLiteral:
		if slices.Contains(re.Rune, utf8.RuneError) { // also stands for any byte that is not UTF-8
			return nil
		}
		return []string{fold(string(re.Rune))}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0], depth+1)
	case syntax.OpRepeat:
		if re.Min >= 1 {
			return required(re.Sub[0], depth+1)
		}
	case syntax.OpConcat:
		return best(re, depth)
	case syntax.OpAlternate:
		var out []string
		for _, s := range re.Sub {
			r := required(s, depth+1)
			if r == nil {
				return nil
			}
			if out = append(out, r...); len(out) > maxRequired {
				return nil
			}
		}
		return out
	}
	return nil
}

// best is the part of a sequence whose shortest text is the longest.
func best(re *syntax.Regexp, depth int) (out []string) {
	least := 0
	for _, s := range re.Sub {
		r := required(s, depth+1)
		shortest := 1 << 30
		for _, t := range r {
			shortest = min(shortest, len(t))
		}
		if r != nil && shortest > least {
			out, least = r, shortest
		}
	}
	return out
}
