package decode

import (
	"fmt"
	"regexp/syntax"
	"unicode/utf8"
)

// Partial tells whether a text ends in the beginning of a match of a regular
// expression: what a stream must hold back. It is safe for concurrent use.
type Partial struct {
	prog  *syntax.Prog
	limit int
}

// NewPartial compiles an expression as package regexp does. limit is how many
// bytes at the end of a text are looked at: a match that is longer than its
// longest one, or than limit, is not waited for.
func NewPartial(expr string, limit int) (*Partial, error) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("parse %q: %w", expr, err)
	}
	if n := longest(re); n >= 0 {
		limit = min(limit, n)
	}
	p, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, fmt.Errorf("compile %q: %w", expr, err)
	}
	return &Partial{prog: p, limit: max(limit, 1)}, nil
}

// MustPartial is NewPartial for expressions of the program.
func MustPartial(expr string, limit int) *Partial {
	p, err := NewPartial(expr, limit)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return p
}

// longest returns how many bytes a match has at most; -1 for no limit.
func longest(re *syntax.Regexp) int {
	sum := func() (n int) {
		for _, s := range re.Sub {
			k := longest(s)
			if k < 0 {
				return -1
			}
			n += k
		}
		return n
	}
	switch re.Op {
	case syntax.OpNoMatch, syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return 0
	case syntax.OpLiteral:
		return utf8.UTFMax * len(re.Rune)
	case syntax.OpCharClass:
		n := 0
		for i := 1; i < len(re.Rune); i += 2 {
			n = max(n, utf8.RuneLen(re.Rune[i]))
		}
		return max(n, 1)
	case syntax.OpAnyCharNotNL, syntax.OpAnyChar:
		return utf8.UTFMax
	case syntax.OpCapture, syntax.OpConcat, syntax.OpQuest:
		return sum()
	case syntax.OpRepeat:
		if k := longest(re.Sub[0]); k == 0 || k > 0 && re.Max >= 0 {
			return k * max(re.Max, 0)
		}
	case syntax.OpAlternate:
		n := 0
		for _, s := range re.Sub {
			k := longest(s)
			if k < 0 {
				return -1
			}
			n = max(n, k)
		}
		return n
	}
	return -1
}

// Longest is how many bytes are held at most.
func (p *Partial) Longest() int { return p.limit }

// threads are the places in the program that are reached, each with where its
// match began. The first to come began first.
type threads struct {
	list  []thread
	known []int32 // by instruction: 1 + place in list
}

type thread struct {
	pc    uint32
	start int
}

func (t *threads) clear() {
	for _, x := range t.list {
		t.known[x.pc] = 0
	}
	t.list = t.list[:0]
}

// Tail returns how many bytes at the end of s may begin a match, or continue one.
func (p *Partial) Tail(s string) int {
	from := max(0, len(s)-p.limit)
	for from > 0 && !utf8.RuneStart(s[from]) {
		from++
		if from == len(s) {
			return 0
		}
	}
	before := rune(-1)
	if from > 0 {
		before, _ = utf8.DecodeLastRuneInString(s[:from])
	}
	now := threads{known: make([]int32, len(p.prog.Inst))}
	next := threads{known: make([]int32, len(p.prog.Inst))}
	for i := from; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		flag := syntax.EmptyOpContext(before, r)
		p.settle(&now, flag)
		p.add(&now, uint32(p.prog.Start), i, flag, true)
		for _, t := range now.list {
			in := &p.prog.Inst[t.pc]
			if takes(in, r) {
				p.add(&next, in.Out, t.start, 0, false)
			}
		}
		now.clear()
		now, next = next, now
		before = r
		i += n
	}
	first := len(s)
	for _, t := range now.list {
		if op := p.prog.Inst[t.pc].Op; op != syntax.InstMatch && op != syntax.InstFail {
			first = min(first, t.start)
		}
	}
	return len(s) - first
}

func waits(in *syntax.Inst) bool { return in.Op == syntax.InstEmptyWidth }

// settle follows the conditions about what stands around a place.
func (p *Partial) settle(t *threads, flag syntax.EmptyOp) {
	for i := 0; i < len(t.list); i++ {
		if in := &p.prog.Inst[t.list[i].pc]; waits(in) && syntax.EmptyOp(in.Arg)&^flag == 0 {
			p.add(t, in.Out, t.list[i].start, flag, true)
		}
	}
}

// add puts a place and what is reached from it without a character. Conditions
// wait for the next character, unless it is known.
func (p *Partial) add(t *threads, pc uint32, start int, flag syntax.EmptyOp, known bool) {
	if t.known[pc] != 0 {
		if x := &t.list[t.known[pc]-1]; x.start <= start {
			return
		}
		t.list[t.known[pc]-1].start = start
	} else {
		t.list = append(t.list, thread{pc, start})
		t.known[pc] = int32(len(t.list))
	}
	in := &p.prog.Inst[pc]
	switch in.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		p.add(t, in.Out, start, flag, known)
		p.add(t, in.Arg, start, flag, known)
	case syntax.InstCapture, syntax.InstNop:
		p.add(t, in.Out, start, flag, known)
	case syntax.InstEmptyWidth:
		if known && syntax.EmptyOp(in.Arg)&^flag == 0 {
			p.add(t, in.Out, start, flag, known)
		}
	}
}

func takes(in *syntax.Inst, r rune) bool {
	switch in.Op {
	case syntax.InstRune, syntax.InstRune1:
		return in.MatchRune(r)
	case syntax.InstRuneAny:
		return true
	case syntax.InstRuneAnyNotNL:
		return r != '\n'
	}
	return false
}
