package secret

import (
	mathbits "math/bits"
	"strings"
	"unicode"
	"unicode/utf8"

	"bartizan/internal/guard/decode"
)

// What a text says is explained when it is words of some language, names made of
// them, a few numbers. A secret in a code that is not read here is none of these,
// whatever the code: letters in no word's order, letters and numbers one by one,
// signs of another script. explain counts, in bits, what nothing explains, over a
// conversation; new explained words pay it off, those that come again do not, so
// that a sentence around each piece does not help. What stands between the same
// words as something else did in an earlier answer counts in full: an answer of
// which only that changed says that and nothing else.

// What stands before and after a token, beside the hashes of words.
const (
	ctxOther = 2 // something that is no word
	ctxWord  = 4 // a bit of every word
)

// what a token is.
type sort byte

const (
	sortWord sort = iota
	sortOdd
	sortLetter // a single one
	sortNumber // that may be a character
	sortFree   // another number
	sortSign   // signs that stand alone
)

// explain reads one text.
type explain struct {
	// brisk says that nobody asks what nothing explains: only where codes may be, see heat.
	brisk bool

	tok      [64]byte // letters and digits of the token, case as it is
	n        int      // in tok
	long     int      // and beyond
	foreign  bool     // the token has letters of another script
	latin    bool
	short    bool    // an apostrophe stands between it and the token before
	sep      rune    // the separator before it
	doneN    int     // of the token that ended last, which still is in tok
	doneBits float32 // its oddness
	from     int     // where it begins

	left    [4]uint32 // contexts: the tokens before, the last one first
	names   int       // of letters, in a row
	words   int       // in a row
	sign    uint32    // a hash of them
	signs   int       // of ASCII, between what is written without blanks
	dated   int       // numbers that may follow of a date
	was     [16]byte  // the token before
	wasN    int
	joined  int                               // numbers, without a blank in between
	weird   uint64                            // signs there
	signN   int                               // of them
	size    int                               // characters
	worded  bool                              // a word is among them
	glued   int                               // tokens that are no words, without a blank in between
	first   bool                              // what stands there is not what always stood there
	tokens  int                               // so far
	brief   float32                           // what words cost that stand where others stood, if the text is short
	heat    float32                           // what is strange lately, whatever it costs
	calm    int                               // words since
	strange bool                              // something was
	shorts  int                               // words of up to two letters in a row
	inside  bool                              // something was written since the last blank
	chunkAt int                               // where it begins
	chain   int                               // tokens since one that did
	chosen  bool                              // it stands where something else stood in an earlier text
	row     int                               // tokens in a row that are no words
	owed    float32                           // what they would have cost in full
	bare    int                               // signs and digits since a word
	last    [2]rune                           // of them
	slots   [48]struct{ place, token uint32 } // of the beginning of the text
	slotN   int
	own     [256]slot // of the whole
	copy    copier

	dots    uint32 // Morse: the run of dots and dashes
	dotN    int
	dotSep  rune // before it
	dotLast uint32
}

// char takes one character of the text; sym is its symbol.
func (e *explain) char(l *ledger, r rune, sym byte, at int) {
	if e.n == 0 {
		e.from = at
	}
	if r > ' ' && !e.inside {
		e.inside, e.chunkAt = true, at
	}
	if r < 0x80 {
		if r > ' ' {
			e.size++
		}
		if sym >= 26 && r > ' ' {
			e.bareChar(l, r)
		}
		if sym == noSymbol {
			e.separator(l, r)
			return
		}
		if e.n == 0 && e.sep == '\\' && (r == 'n' || r == 't' || r == 'r') { // of a text in quotes
			e.separator(l, '\n')
			return
		}
		e.latin = e.latin || r >= 'A'
		e.put(byte(r))
		return
	}
	if r > 0xff00 && r <= 0xff5e { // wide ones
		e.hot(signBits / 2)
		l.moved = true
		l.odd += signBits / 2
		e.char(l, r-0xfee0, symbol(r-0xfee0), at)
		return
	}
	switch {
	case sym < 36:
		if f := decode.Letter(r); f < 0x80 {
			e.put(byte(f))
		}
		switch {
		case r >= 0x1d00 && r < 0x1dc0 || r >= 0x250 && r < 0x2b0 || r >= 0x2c60 && r < 0x2c80 || r >= 0x1d400 || unicode.IsSymbol(r):
			l.moved = true
			e.hot(signBits / 2)
			l.odd += signBits / 2 // written to look like letters
			e.latin = true
		case unicode.Is(unicode.Latin, r) || unicode.IsDigit(r):
			e.latin = true
		default:
			e.foreign = true
		}
	case unicode.IsLetter(r):
		if i := strings.IndexRune(ligatures, r); i >= 0 {
			e.latin = true
			e.put(ligaturesAs[utf8.RuneCountInString(ligatures[:i])])
			return
		}
		e.foreign = true
		e.latin = e.latin || unicode.Is(unicode.Latin, r) // of no language's words
		e.put('?')
	case r == '’':
		e.separator(l, '\'')
	case r >= 0x200b && r <= 0x200f, unicode.IsMark(r): // nobody sees it
		e.hot(1)
	case unicode.IsPunct(r), unicode.IsSpace(r), unicode.Is(unicode.Sm, r), unicode.Is(unicode.Sc, r), r <= 0xff, r >= 0x2000 && r <= 0x206f,
		r >= 0x2190 && r <= 0x21ff, r >= 0x2500 && r <= 0x25ff:
		e.separator(l, ' ')
	default: // a sign
		e.separator(l, ' ')
		e.judge(l, &token{sort: sortOdd, hash: uint32(r)*0x9e3779b1 | ctxWord, bits: signBits, raw: signBits}, 1)
	}
}

// letters takes letters of ASCII, all at once. It says whether it did.
func (e *explain) letters(text string, at int) bool {
	if e.n == 0 {
		if e.sep == '\\' {
			return false
		}
		e.from, e.doneN = at, 0
	}
	if !e.inside {
		e.inside, e.chunkAt = true, at
	}
	e.size += len(text)
	e.latin = true
	n := copy(e.tok[e.n:], text)
	e.n += n
	e.long += len(text) - n
	return true
}

// bareChar counts signs and digits that no word stands between.
func (e *explain) bareChar(l *ledger, r rune) {
	if e.bare++; e.bare > bareFree {
		e.hot(1)
	}
	switch same := [2]bool{r == e.last[0], r == e.last[1]}; {
	case e.bare <= bareFree || same[0] && same[1]:
	case same[0] || same[1]:
		l.moved = true
		l.odd += bareBits / 2
	default:
		l.moved = true
		l.odd += bareBits
	}
	e.last[1], e.last[0] = e.last[0], r
}

// Letters of words that have no plain form of one letter, and what is read for them.
const ligatures, ligaturesAs = "ßæøđłœıþðÆØĐŁŒÞÐ", "seodleitdEODLETD"

func (e *explain) put(c byte) {
	if e.n == 0 {
		e.doneN = 0
	}
	if e.n < len(e.tok) {
		e.tok[e.n] = c
		e.n++
		return
	}
	e.long++
}

// separator ends a token.
func (e *explain) separator(l *ledger, r rune) {
	ended := e.n > 0
	if ended {
		e.token(l, r)
	}
	if r == '.' || r == '-' || r == '_' || r == '*' {
		if e.dotN == 0 {
			e.dotSep = e.sep
			if ended {
				e.dotSep = 'a'
			}
		}
		e.dots = e.dots*3 + 1
		if r == '.' || r == '*' {
			e.dots++
		}
		e.dotN++
	} else if e.dotN > 0 {
		e.morse(l, r)
	}
	switch {
	case r <= ' ':
		e.chunk(l)
		if r != e.sep {
			e.dated = 0
		}
	case r != '`' && r != '|' && r != ':' && r != '.' && r != ',' && r != '-' && r != '"' && r != '\'' && r != '/' && r != '(' && r != ')' && r != '_':
		if r < 0x7f && weird[r] {
			e.weird |= 1 << (r & 63)
			e.signN++
		}
		e.signs++
		e.sign = e.sign*31 + uint32(r)
	}
	e.short = ended && r == '\''
	e.sep = r
}

// weird signs are those that text and code have few of together.
var weird = func() (w [0x7f]bool) {
	for _, c := range "!#$%&+;<=>?@\\^~" {
		w[c] = true
	}
	return w
}()

// chunk judges what was written without a blank: text and code have few different
// signs in it, and the same ones again.
func (e *explain) chunk(l *ledger) {
	if k := mathbits.OnesCount64(e.weird); k > 1 || k == 1 && e.size > 2 && !e.worded {
		bits := float32(weirdBits)
		switch {
		case e.worded:
			k -= 2 // a call, a mark
		case k > 3:
			k = max(k, e.size) // none of it is text
		}
		if !e.brisk && l.seen(uint32(e.weird>>32)*31^uint32(e.weird)) {
			bits /= 8
		}
		if k > 0 {
			l.moved = true
			l.odd += bits * float32(k)
			e.hot(bits * float32(k))
		}
	}
	e.signed(l)
	e.glued, e.joined, e.weird, e.signN, e.size, e.worded, e.inside = 0, 0, 0, 0, 0, false, false
}

// signed judges the signs at the end of what is written without blanks.
func (e *explain) signed(l *ledger) {
	n := e.signs
	if n == 0 {
		return
	}
	e.signs = 0
	t := token{sort: sortSign, hash: e.sign*0x9e3779b1 | ctxWord, raw: letterBits * float32(n)}
	if e.sign == '#' || e.sign == '$' || e.sign == '*' || e.sign == '>' || e.sign == '=' { // of a list, a prompt
		t.raw = sameBits
	}
	e.sign = 0
	e.judge(l, &t, n)
}

// morse judges a run of dots and dashes that has ended.
func (e *explain) morse(l *ledger, after rune) {
	v, n := e.dots, e.dotN
	e.dots, e.dotN = 0, 0
	if n > 6 || e.dotSep == 'a' || after != ' ' && after != '/' && after != '\n' && after != 0 && after != '|' && after != '"' && after != '<' {
		return
	}
	mixed := false
	for x := v; x > 0; x /= 3 {
		mixed = mixed || x%3 != v%3
	}
	t := token{sort: sortSign, hash: v*0x9e3779b1 | ctxWord, raw: letterBits}
	switch {
	case mixed:
		t.sort, t.bits = sortOdd, signBits
	case v == e.dotLast || n == 1 && (e.dotSep == '\n' || e.dotSep == ' '): // lines of them, a dash, a list
	default:
		t.sort, t.bits = sortOdd, signBits/2
	}
	if e.dotSep != '|' && after != '|' {
		e.judge(l, &t, 1)
	}
	e.dotLast = v
}

// held lowers first to where something begins that is not judged yet. at is the end
// of the text, near says that one letter more may be too much.
func (e *explain) held(first *int, at int, near bool) {
	if e.n >= 3 && !begins(e.tok[:e.n]) {
		*first = min(*first, e.from)
	}
	if near && e.inside && at-e.chunkAt < maxWaits {
		*first = min(*first, e.chunkAt)
	}
}

// maxWaits is how many bytes without a blank wait when little is left.
const maxWaits = 256

// finish says that nothing follows.
func (e *explain) finish(l *ledger) {
	e.separator(l, ' ')
	if e.tokens <= 4 && e.brief > 0 {
		l.moved = true
		l.chosen += e.brief
	}
	if e.brisk {
		return
	}
	for _, x := range e.slots[:e.slotN] {
		s := &l.slots[x.place>>22]
		is := slot{uint16(x.place) | 1, uint16(x.token)}
		if s.place == is.place && s.token|1 != is.token|1 || s.place == is.place && s.token&1 != 0 {
			is.token |= 1
		}
		*s = is
	}
	e.slotN = 0
	e.copy.end(l)
	l.chosen *= fades
}
