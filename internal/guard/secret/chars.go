package secret

// chars reads a text character by character, in every code that is not made of words.
type chars struct {
	signs   track // with signs for letters, as leetspeak has them
	rot47   track
	keys    [4]track // one key to the left, to the right; small letters only
	strides [9]track // every second, third, fourth of them
	line    track    // first of a line if nothing stands before it
	quoted  [2]rare  // inside of quotes, names of fields left out
	morse   rare
	bits    [15]rare
	triples [3]rare
	blobs   blobs
	esc     escape
	tight   *node // the text without what may stand between its characters

	count  int
	begun  bool     // the line has something
	quote  [2]quote // as they are, and after a backslash: a text inside of a text
	slash  bool
	dash   [8]byte
	dashN  int
	dashAt int
	reg    uint32 // bits
	bitN   int
	dec    [3]byte
	decN   int
}

type quote struct {
	open  bool
	ended bool // a closing quote has come: what follows tells a field from its value
	text  [64]rune
	at    [64]int32
	n     int
}

// char reads a character as one of a code.
func (n *node) char(s *scan, r rune, sym byte, at int) {
	c := n.chars
	if sym != noSymbol {
		c.signs.push(s, sym, at)
		if sym < 26 {
			c.keys[0].push(s, keyLeft[sym], at)
			c.keys[1].push(s, keyRight[sym], at)
			left, right := sym, sym
			if r >= 'a' { // capitals as they are
				left, right = keyLeft[sym], keyRight[sym]
			}
			c.keys[2].push(s, left, at)
			c.keys[3].push(s, right, at)
		} else if sym < 36 {
			for k := range c.keys {
				c.keys[k].push(s, sym, at)
			}
		}
		n.digits(s, sym, at)
	} else {
		c.signs.push(s, sign(r), at)
		if r == '\n' {
			c.begun = false
		}
	}
	if r > ' ' && (r < 0x80 || sym != noSymbol) {
		k := c.count
		c.strides[k%2].push(s, sym, at)
		c.strides[2+k%3].push(s, sym, at)
		c.strides[5+k%4].push(s, sym, at)
		c.count++
		if !c.begun {
			c.begun = true
			c.line.push(s, sym, at)
		}
	}
	if r > ' ' && r < 0x7f {
		c.rot47.push(s, symbol(33+(r-33+47)%94), at)
	}
	n.quotes(s, r, sym, at)
	n.dashes(s, r, at)
	if r < 0x80 && n.depth < maxDepth {
		c.blobs.feed(s, n.depth, byte(r), at)
	}
	c.esc.feed(s, n.depth, r, at)
	if n.depth == 0 && r > ' ' && !between(r) {
		if c.tight == nil {
			c.tight = s.node(1)
			c.tight.noise = true
		}
		c.tight.feed(s, r, at)
	}
}

// between is what may stand between the characters of a code.
func between(r rune) bool {
	switch r {
	case '_', '.', ',', '-', '*', '\'', '"', '|', ';', ':', '`':
		return true
	}
	return r >= 0x2000 && symbol(r) == noSymbol
}

// quotes reads what stands in quotes as one text: the values of a JSON object.
func (n *node) quotes(s *scan, r rune, sym byte, at int) {
	escaped := n.chars.slash
	n.chars.slash = r == '\\' && !escaped
	for k := range n.chars.quote {
		q := &n.chars.quote[k]
		switch {
		case r == '"' && escaped == (k == 1):
			if !q.open && q.ended { // two texts in a row: the first was a value
				n.value(s, k)
			}
			q.open = !q.open
			q.ended = !q.open
		case r == '"' || r == '\\':
		case q.open && (sym != noSymbol || r > ' ' && r < 0x7f):
			if q.n == len(q.text) {
				n.value(s, k)
			}
			q.text[q.n], q.at[q.n] = r, int32(at)
			q.n++
		case q.ended && r == ':':
			q.n, q.ended = 0, false
		case q.ended && r > ' ':
			n.value(s, k)
		}
	}
}

func (n *node) value(s *scan, k int) {
	q := &n.chars.quote[k]
	for i := range q.n {
		if r := q.text[i]; r < 0x7f {
			n.chars.quoted[k].char(s, n, byte(r), int(q.at[i]))
		} else {
			n.chars.quoted[k].push(s, symbol(r), int(q.at[i]))
		}
	}
	q.n, q.ended = 0, false
}

func (c *chars) held(s *scan, first *int) {
	c.signs.low(s, 4, first)
	c.line.low(s, 4, first)
	c.rot47.low(s, 5, first)
	for i := range c.strides {
		c.strides[i].low(s, 5, first)
	}
	for i := range c.keys {
		c.keys[i].low(s, 4, first)
	}
	c.blobs.held(s, first)
	if c.tight != nil {
		c.tight.held(s, first)
	}
	if c.esc.child != nil {
		c.esc.child.held(s, first)
	}
}
