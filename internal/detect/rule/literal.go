package rule

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds on the strings considered while looking for necessary literals.
const (
	maxExact   = 32 // strings in one set
	minLiteral = 1  // of a rare byte; see score
	maxLiteral = 24 // longer ones are cut: a prefix is necessary as well
)

// necessary returns literals of which at least one occurs in every text that
// re matches; nil when no useful ones are known. When in doubt it returns nil,
// and the regular expression is always run. also are further sets of which the
// same is true: cheap to ask for before the expression is run.
func necessary(re *syntax.Regexp) (best []string, also [][]string) {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	var sets [][]string
	if re.Op == syntax.OpConcat {
		sets, _ = parts(re.Sub)
	} else if need, _ := analyse(re); need != nil {
		sets = [][]string{need}
	}
	for _, s := range sets {
		if score(s) > score(best) {
			best = s
		}
	}
	for _, s := range sets {
		if len(also) < maxAlso && len(s) <= maxAlsoSet && !slices.Contains(s, "") && !slices.Equal(s, best) {
			also = append(also, s)
		}
	}
	return best, also
}

// Bounds on what is asked for besides the best set.
const (
	maxAlso    = 4
	maxAlsoSet = 8
)

// parts returns the necessary sets of each part of a concatenation and of the
// runs of parts that are exactly known; exact when that is all of them. Each
// part is looked at once: repeats are unrolled into deep nests.
func parts(subs []*syntax.Regexp) (sets [][]string, exact []string) {
	keep := func(set []string) {
		if len(set) > 0 && !slices.Contains(set, "") {
			sets = append(sets, set)
		}
	}
	run, whole := []string{""}, true
	for _, sub := range subs {
		need, known := analyse(sub)
		if joined := cross(run, known); joined != nil {
			run = joined
			continue
		}
		keep(run)
		whole = false
		if run = known; known == nil {
			keep(need)
			run = []string{""}
		}
	}
	keep(run)
	if whole {
		exact = run
	}
	return sets, exact
}

// branches splits an expression at its outermost alternatives, so that each
// can be ruled out by itself. It works on the text: a syntax tree would have to
// be printed again, which costs more than compiling it.
func branches(pattern string) (out []string) {
	depth, from := 0, 0
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			if i++; i < len(pattern) && pattern[i] == 'Q' {
				return []string{pattern} // quoting: leave it whole
			}
		case '[':
			i = classEnd(pattern, i)
		case '(':
			if depth == 0 && strings.HasPrefix(pattern[i:], "(?") && !strings.HasPrefix(pattern[i:], "(?:") {
				return []string{pattern} // flags reach over alternatives
			}
			depth++
		case ')':
			depth--
		case '|':
			if depth == 0 {
				out = append(out, pattern[from:i])
				from = i + 1
			}
		}
	}
	return append(out, pattern[from:])
}

// classEnd returns the place of the ] that closes the class opened at i.
func classEnd(pattern string, i int) int {
	i++
	if i < len(pattern) && pattern[i] == '^' {
		i++
	}
	if i < len(pattern) && pattern[i] == ']' {
		i++
	}
	for ; i < len(pattern) && pattern[i] != ']'; i++ {
		if pattern[i] == '\\' {
			i++
		} else if strings.HasPrefix(pattern[i:], "[:") {
			if end := strings.Index(pattern[i:], ":]"); end >= 0 {
				i += end + 1
			}
		}
	}
	return i
}

// analyse returns a set of necessary literals (nil: none known), and all the
// strings re can match when those are few (nil: too many or unbounded).
func analyse(re *syntax.Regexp) (need, exact []string) {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return nil, []string{""}
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return nil, nil
		}
		for _, r := range re.Rune {
			if r == utf8.RuneError { // also matches any broken byte
				return nil, nil
			}
		}
		s := []string{string(re.Rune)}
		return s, s
	case syntax.OpCharClass:
		s := class(re.Rune)
		return s, s
	case syntax.OpCapture:
		return analyse(re.Sub[0])
	case syntax.OpPlus:
		need, _ = analyse(re.Sub[0])
		return need, nil
	case syntax.OpRepeat:
		if re.Min < 1 {
			return nil, nil
		}
		need, _ = analyse(re.Sub[0])
		return need, nil
	case syntax.OpQuest:
		if _, e := analyse(re.Sub[0]); e != nil {
			return nil, append([]string{""}, e...)
		}
		return nil, nil
	case syntax.OpConcat:
		return concat(re.Sub)
	case syntax.OpAlternate:
		return alternate(re.Sub)
	}
	return nil, nil
}

func class(ranges []rune) []string {
	var out []string
	for i := 0; i+1 < len(ranges); i += 2 {
		if ranges[i+1]-ranges[i] >= maxExact {
			return nil
		}
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if r == utf8.RuneError || r >= utf8.RuneSelf || len(out) >= maxExact {
				return nil
			}
			out = append(out, string(r))
		}
	}
	return out
}

// concat takes the best set of the parts and their runs.
func concat(subs []*syntax.Regexp) (need, exact []string) {
	sets, exact := parts(subs)
	for _, set := range sets {
		if score(set) > score(need) {
			need = set
		}
	}
	return need, exact
}

func cross(a, b []string) []string {
	if a == nil || b == nil || len(a)*len(b) > maxExact {
		return nil
	}
	out := make([]string, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, x+y)
		}
	}
	return out
}

func alternate(subs []*syntax.Regexp) (need, exact []string) {
	allExact := true
	for i, sub := range subs {
		n, e := analyse(sub)
		if e == nil || !allExact {
			allExact, exact = false, nil
		} else if exact = append(exact, e...); len(exact) > maxExact {
			allExact, exact = false, nil
		}
		if n == nil || (i > 0 && need == nil) {
			need = nil
			if !allExact {
				return nil, nil
			}
			continue
		}
		need = append(need[:len(need):len(need)], n...)
	}
	return need, exact
}

// rare are bytes that ordinary text mostly lacks; one of them alone is worth
// looking for, other single bytes are everywhere.
const rare = "<>'\"`(){}[]$|\\^~*#?@!\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"

// score is how useful a set is: the length of its shortest member, since that
// one decides how often nothing is ruled out. 0 for a useless or absent set.
func score(set []string) int {
	if len(set) == 0 {
		return 0
	}
	low := maxLiteral
	for _, s := range set {
		if len(s) == 1 && strings.IndexByte(rare, s[0]) < 0 {
			return 0
		}
		low = min(low, len(s))
	}
	return low
}
