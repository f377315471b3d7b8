package secret

// Costs in bits, and what a new word pays off. They are estimates of what somebody
// gains who chooses the text; bench/adaptive measures what they stop, and what of
// harmless texts.
const (
	letterBits = 4.7  // a letter among strange ones, or one that stands alone
	signBits   = 5    // a letter of a script of signs
	numberBits = 5    // a number that may be a character
	groupBits  = 3    // … behind a point or a colon
	otherBits  = 2    // another one
	digitBits  = 3.3  // a digit among letters, or of a number that is longer than numbers are
	slotBits   = 4    // another word in a sentence that was there before
	nameBits   = 4    // the name of a letter there, or among others
	againBits  = 3    // … a word, a number or a letter that was somewhere before
	sameBits   = 1.5  // the same in the same place
	paysOdd    = 2    // a new word, of what is odd
	paysListed = 8    // … of what is listed: numbers, letters
	paysChosen = 0.15 // … of what was chosen
	freely     = 0.3  // of what stands by itself in a sentence that was not there before
	freeLetter = 0.5  // … of a letter
	freeMost   = 12   // bits of one token that this is for
	fades      = 0.98 // of what was chosen, with every answer
	bareFree   = 30   // signs and digits that may follow each other
	bareBits   = 1.5  // one of them beyond
	gluedFree  = 3    // … without a blank in between
	weirdBits  = 1.5  // a further sign in what is written without blanks
	chainMost  = 8    // tokens that one that was chosen makes chosen
	slack      = 1.25 // what new words pay off may be that much more
	numberHeat = 2    // of a number, see explain.heat
	heatMost   = 30   // which is as much as ten words cool
	rowFree    = 5    // tokens in a row that may be no words
)

// ledger is what nothing explained in a conversation so far.
type ledger struct {
	odd, listed float32
	moved       bool         // something was added
	chosen      float32      // of what stands where something else stood: little pays it off
	words       [2048]uint16 // tokens that were there, by their hash; a later one takes the place of another
	slots       [1024]slot   // what stood behind which tokens
	tree        tree         // how texts began
}

// slot is a place in a text: what stands before it, and what was there last.
// The lowest bit of the token says that it was not always the same one.
type slot struct{ place, token uint16 }

// seen says whether a token was there, and puts it in.
func (l *ledger) seen(h uint32) (was bool) {
	h *= 0x2c1b3c6d
	w := &l.words[h>>21]
	mark := uint16(h) | 1
	was = *w == mark
	*w = mark
	return was
}

// token is what stands between two separators.
type token struct {
	sort      sort
	hash      uint32
	bits, raw float32 // what it says by itself, and where it was chosen
	small     bool    // a number up to 29
	name      bool    // of a letter
	digits    bool    // a number that is too short to be a text
}

// judge counts what a token says. One that is no word counts in full where another
// one stood in an earlier text, and what follows it too; and when many of them follow
// each other. Else a part of it counts.
func (e *explain) judge(l *ledger, t *token, n int) {
	if e.brisk {
		e.warm(t, n)
		return
	}
	e.tokens++
	framed, here, same := e.place(l, t)
	was := l.seen(t.hash)
	e.signs, e.sign = 0, 0
	if t.sort == sortSign && !framed && !e.chosen {
		return
	}
	if t.sort == sortWord {
		e.cool()
		if n > 1 {
			e.bare = 0
		}
		if n > 3 {
			e.glued = 0
		}
		e.word(l, t, n, framed, here, same, was)
		return
	}
	e.names, e.words = 0, 0
	e.warmed(t)
	bits := e.price(l, t, framed, here, same, was)
	l.moved = l.moved || bits > 0
	if t.sort == sortOdd {
		l.odd += bits
	} else {
		l.listed += bits
	}
}

// warm is judge where nobody asks what a token costs, only whether there may be codes.
func (e *explain) warm(t *token, n int) {
	e.signs, e.sign = 0, 0
	switch {
	case t.sort == sortSign: // most are the end of a sentence
	case t.sort != sortWord:
		e.warmed(t)
	default:
		e.cool()
		if n > 1 {
			e.bare = 0
		}
		if n > 2 {
			e.shorts = 0
		} else if e.shorts++; e.shorts > rowFree {
			e.hot(againBits)
		}
	}
}

// cool takes a word.
func (e *explain) cool() {
	e.heat = max(0, e.heat-3)
	e.calm++
	e.worded = true
}

// warmed takes what is none.
func (e *explain) warmed(t *token) {
	if heat := heats(t); heat > numberHeat {
		e.hot(heat)
	} else { // no code by itself
		e.heat = min(heatMost, e.heat+heat)
		e.calm = 0
	}
}

// hot notes what nothing explains.
func (e *explain) hot(bits float32) {
	e.heat = min(heatMost, e.heat+bits)
	e.calm, e.strange = 0, true
}

func heats(t *token) float32 {
	if t.digits {
		return numberHeat
	}
	switch t.sort {
	case sortNumber, sortFree:
		return numberHeat
	case sortSign:
		return signBits
	case sortWord, sortOdd, sortLetter:
	}
	return max(t.bits, 1)
}

// price is what a token that is no word costs, where it stands.
func (e *explain) price(l *ledger, t *token, framed, here, same, was bool) float32 {
	if e.chosen = framed || e.chosen && e.chain < chainMost; framed {
		e.chain = 0
	}
	e.chain++
	bits := t.bits
	if e.chosen {
		bits = t.raw
	}
	if e.first && framed { // what stood there before was chosen too
		l.chosen += bits
	}
	switch {
	case same:
		bits = min(bits, sameBits)
	case was && t.sort == sortOdd && !e.chosen:
		bits = min(bits, 2)
	case was && t.sort != sortOdd:
		bits = min(bits, againBits)
	}
	free := float32(freely)
	if t.sort == sortLetter {
		free = freeLetter
	}
	if t.sort == sortNumber || t.sort == sortFree {
		e.joined++
	} else {
		e.glued++
	}
	dense := e.glued > gluedFree || e.joined > 2*gluedFree
	if dense && !same && !was {
		bits = max(bits, t.raw)
	}
	part := free*min(bits, freeMost) + max(0, bits-freeMost)
	e.row++
	switch {
	case e.chosen:
		l.moved = true
		l.chosen += bits
	case t.sort == sortFree && e.row <= 2*rowFree && !dense:
		bits = 0
	case t.sort == sortFree:
		bits = otherBits
	case t.sort == sortNumber && t.small:
		if bits = 0.5; e.row > 2*rowFree {
			bits = 3
		}
	case e.row > rowFree || dense:
		bits, e.owed = bits+e.owed, 0
	case same:
		bits = 0.2
	default:
		if here && t.sort != sortNumber {
			part = bits
		}
		bits, e.owed = part, e.owed+bits-part
	}
	return bits
}

// word judges one that is explained: a new one pays off, but not where another one
// stood in an earlier text, or behind something else that did.
func (e *explain) word(l *ledger, t *token, n int, framed, here, same, was bool) {
	if !here {
		e.row, e.owed = 0, 0
	}
	if n > 2 {
		e.shorts = 0
	} else if e.shorts++; e.shorts > rowFree && !same { // no sentence has so many
		l.moved = true
		l.listed += againBits
		e.hot(againBits)
	}
	if e.words++; e.words > 2 || framed && same {
		e.chosen = false
	}
	if !t.name {
		e.names = 0
	} else if e.names++; e.names >= 4 && !same { // words of a spelling alphabet
		l.moved = true
		l.listed += nameBits
		if e.names == 4 {
			l.moved = true
			l.listed += 3 * nameBits
		}
	}
	switch {
	case same:
	case t.name && (framed || e.chosen):
		l.moved = true
		l.chosen += nameBits
		e.chosen, e.words = true, 0
	case framed && e.left[3] != 0 && !was:
		l.moved = true
		l.chosen += slotBits
		if n < 4 {
			l.chosen += slotBits / 2
		}
	case framed && e.left[3] != 0:
		l.moved = true
		l.chosen += slotBits / 2
	case framed && !was:
		e.brief += slotBits
	case framed:
		e.brief++
	case e.chosen, was, here, framed, t.name:
	default:
		l.odd = max(0, l.odd-paysOdd)
		l.listed = max(0, l.listed-paysListed)
		l.chosen = max(0, l.chosen-paysChosen)
	}
}

// place says whether a token stands behind the same four tokens as another one: in
// an earlier text, or in this one, and whether it is the same one.
func (e *explain) place(l *ledger, t *token) (framed, here, same bool) {
	at := uint32(0)
	others := 0
	for _, c := range e.left {
		if c == ctxOther {
			others++
		}
		at = (at ^ c) * 0x85ebca6b
		at ^= at >> 13
	}
	at *= 0x9e3779b1
	own := t.hash
	if t.sort == sortOdd || t.sort >= sortNumber {
		own = ctxOther
	}
	e.left = [4]uint32{own, e.left[0], e.left[1], e.left[2]} // 0: the border of the text
	mark := uint16(t.hash*0x9e3779b1>>16) &^ 1
	if others > 1 { // like any list
		return false, false, false
	}
	if e.slotN < len(e.slots) {
		e.slots[e.slotN].place, e.slots[e.slotN].token = at, uint32(mark)
		e.slotN++
	}
	s := l.slots[at>>22]
	framed = s.place == uint16(at)|1
	same = framed && s.token&^1 == mark
	e.first = framed && !same && s.token&1 == 0
	o := &e.own[at>>24]
	here = o.place == uint16(at)|1
	same = same || here && o.token == mark
	*o = slot{uint16(at) | 1, mark}
	return framed, here, same
}

// near says that a token or two may be too much.
func (l *ledger) near(most float32) bool {
	return max(l.odd, l.listed) >= slack*most-freeMost || l.chosen >= most-freeMost
}

// over says whether more came out than a secret is worth.
func (l *ledger) over(most float32) bool {
	if !l.moved {
		return false
	}
	l.moved = false
	return l.odd >= slack*most || l.listed >= slack*most || l.chosen >= most
}
