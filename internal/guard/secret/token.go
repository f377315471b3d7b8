package secret

// token judges a token that has ended.
func (e *explain) token(l *ledger, after rune) {
	tok, foreign, latin, long := e.tok[:e.n], e.foreign, e.latin, e.long
	e.n, e.long, e.foreign, e.latin, e.dotLast, e.doneN = 0, 0, false, false, 0, 0
	h := uint32(2166136261)
	if !e.brisk {
		for _, c := range tok {
			h = (h ^ uint32(c|0x20)) * 16777619
		}
		h ^= h >> 15
	}
	digits := 0 // at its beginning
	for digits < len(tok) && tok[digits] >= '0' && tok[digits] <= '9' {
		digits++
	}
	if digits > 0 && digits < len(tok) && len(tok)-digits <= 3 && long == 0 && units[string(tok[digits:])] {
		tok = tok[:digits]
	}
	varied := e.varied(tok)
	raw := letterBits * float32(len(tok)+long)
	t := token{sort: sortOdd, hash: h | ctxWord}
	switch {
	case foreign && !latin: // of another script: letters are not judged
		t.sort = sortWord
	case foreign: // of two scripts
		t.bits, t.raw = raw, raw
	case digits == len(tok):
		if !e.number(&t, tok, long, after) {
			return
		}
	case e.dated > 0 && digits > 0: // 14T22 of a time
		t.sort = sortFree
		e.dated--
	case len(tok) == 1 && (tok[0]|0x20 == 'a' || tok[0] == 'I') && e.row < 3:
		t.sort = sortWord
	case len(tok) == 1 && e.short, len(tok) == 2 && e.short: // it's, they're
		return
	case len(tok) == 1:
		t.sort, t.bits, t.raw = sortLetter, letterBits, letterBits
	default:
		e.spelt(&t, tok, long, raw)
		if varied && t.bits < letterBits {
			t.sort, t.bits, t.raw = sortLetter, 1.5*letterBits, 1.5*letterBits
		}
	}
	e.judge(l, &t, len(tok))
}

// oddness is that of a token, which is mostly the one that has just ended.
func (e *explain) oddness(tok []byte) float32 {
	if e.doneN == len(tok) && string(e.tok[:e.doneN]) == string(tok) {
		return e.doneBits
	}
	return oddness(tok)
}

// varied says whether a token is the one before with another letter at its
// beginning or end: "canderol randerol".
func (e *explain) varied(tok []byte) (is bool) {
	if n := len(tok); n >= 4 && n == e.wasN && n <= len(e.was) {
		was := e.was[:n]
		is = string(tok[1:]) == string(was[1:]) && tok[0] != was[0] || string(tok[:n-1]) == string(was[:n-1]) && tok[n-1] != was[n-1]
	}
	e.wasN = len(tok)
	copy(e.was[:], tok)
	return is
}

// spelt judges a token of letters, and digits among them.
func (e *explain) spelt(t *token, tok []byte, long int, raw float32) {
	e.doneBits, e.doneN = oddness(tok), len(tok)
	t.bits = e.doneBits + letterBits*float32(long)
	if t.bits == 0 {
		if t.sort = sortWord; e.brisk {
			return
		}
		var buf [maxToken]byte
		low := lower(&buf, tok)
		_, t.name = named(low)
		t.name = t.name || string(low) == "dash" || string(low) == "space"
		return
	}
	if len(tok) > 4 && t.bits < raw/2 { // it is nearly one
		raw = max(t.bits, letterBits)
	}
	if tok[0] < 'a' && len(tok) > 4 && tok[1] >= 'a' && t.bits <= 8 && long == 0 { // a name
		t.bits, raw = min(t.bits, 3), min(raw, letterBits)
	}
	t.raw = raw + letterBits*float32(e.signs)
}

// number says of digits what they may be; false: nothing at all.
func (e *explain) number(t *token, tok []byte, long int, after rune) bool {
	n := len(tok) + long
	if (after == '.' || after == ')') && n < 3 && (e.sep == '\n' || e.sep == 0) { // of a list
		return false
	}
	t.raw, t.digits = digitBits*float32(n), n <= 12
	t.small = n < 3 && tok[0] < '3' && e.sep != '-' && after != '-'
	if n == 4 && (tok[0] == '1' && tok[1] == '9' || tok[0] == '2' && tok[1] == '0') && (after == '-' || after == '/') {
		e.dated = 6
	}
	switch {
	case e.dated > 0:
		if e.dated--; after == ' ' || after == '\n' {
			e.dated = 0
		}
		t.sort, t.raw = sortFree, otherBits
	case n > 6:
		t.bits = otherBits + 2*float32(n-6)
	case character(tok) && after != '%' && (e.sep != '.' || e.chosen):
		t.sort, t.bits, t.raw = sortNumber, numberBits, numberBits
		if e.sep == '.' || e.sep == ':' {
			t.raw = groupBits
		}
	default:
		t.sort, t.raw = sortFree, min(t.raw, otherBits+float32(n))
	}
	return true
}

// character says whether a number can be the code of a character: of ASCII, in
// decimal or octal, its place in the alphabet, or a letter of the scripts of signs.
func character(tok []byte) bool {
	v := 0
	for _, c := range tok {
		v = v*10 + int(c-'0')
	}
	switch len(tok) {
	case 1, 2:
		return v <= 26 || v >= 32
	case 3:
		return v < 178
	}
	octal := true
	for _, c := range tok {
		octal = octal && c < '8'
	}
	if octal && v >= 1000 && v < 3000 {
		return true
	}
	return tok[0] == '0' || v >= 1040 && v < 1110 || v >= 9312 && v < 9472 || v >= 10240 && v < 10304 || v >= 65281 && v < 65375
}
