package secret

// blobs reads a text as base64, base32, base85 and hexadecimal at every place
// where a code could begin, whatever stands between its characters.
type blobs struct {
	b64 grouped[[4]run]
	b32 grouped[[8]run]
	a85 grouped[[5]run]
	b85 grouped[[5]run]
	hex grouped[[2]run]
}

// grouped counts the characters of one code.
type grouped[T any] struct {
	n    int
	reg  uint64 // the last values, 5, 6 or 4 bits each
	val  [8]byte
	at   [8]int32
	runs T
}

// minRun is how many readable bytes in a row make a text of what is decoded.
const minRun = 7

// run is what one code says when it begins at one place.
type run struct {
	n     int
	buf   [minRun]byte
	at    [minRun]int32
	child *node
	sure  bool // it is no chance that something is decoded
}

// byte takes one decoded byte.
func (r *run) byte(s *scan, depth int, b byte, at int) {
	if b == 0 { // wide characters
		return
	}
	if b < ' ' && b != '\n' && b != '\t' || b >= 0x7f {
		r.n = 0
		r.drop(s)
		return
	}
	if r.child != nil {
		r.child.feed(s, rune(b), at)
		return
	}
	r.buf[r.n], r.at[r.n] = b, int32(at)
	if r.n++; r.n < minRun {
		return
	}
	if s.nodes >= maxNodes {
		r.n = 0
		return
	}
	r.child = s.node(depth + 1)
	r.child.noise = !r.sure
	for i, b := range r.buf {
		r.child.feed(s, rune(b), int(r.at[i]))
	}
	r.n = 0
}

func (r *run) drop(s *scan) {
	if r.child != nil {
		s.drop(r.child)
		r.child = nil
	}
}

func value64(c byte) int {
	switch {
	case c >= 'A' && c <= 'Z':
		return int(c - 'A')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 26
	case c >= '0' && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}

func value32(c byte) int {
	switch {
	case c >= 'A' && c <= 'Z':
		return int(c - 'A')
	case c >= 'a' && c <= 'z':
		return int(c - 'a')
	case c >= '2' && c <= '7':
		return int(c-'2') + 26
	}
	return -1
}

func value16(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// table85 is the alphabet of base 85 in RFC 1924, which Python and git use.
var table85 = func() (t [128]int8) {
	for i := range t {
		t[i] = -1
	}
	for i, c := range "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~" {
		t[c] = int8(i)
	}
	return t
}()

// feed takes one ASCII character.
func (b *blobs) feed(s *scan, depth int, c byte, at int) {
	if c == '=' { // padding: the next code begins anew, which another phase reads
		return
	}
	if v := value64(c); v >= 0 {
		g := &b.b64
		g.reg = g.reg<<6 | uint64(v)
		g.at[g.n&7] = int32(at)
		g.n++
		if g.n >= 4 {
			r := &g.runs[g.n&3]
			w, from := g.reg&0xffffff, int(g.at[(g.n-4)&7])
			r.byte(s, depth, byte(w>>16), from)
			r.byte(s, depth, byte(w>>8), from)
			r.byte(s, depth, byte(w), from)
		}
	}
	if v := value32(c); v >= 0 {
		g := &b.b32
		g.reg = g.reg<<5 | uint64(v)
		g.at[g.n&7] = int32(at)
		g.n++
		if g.n >= 8 {
			r := &g.runs[g.n&7]
			for k := 32; k >= 0; k -= 8 {
				r.byte(s, depth, byte(g.reg>>k), int(g.at[g.n&7]))
			}
		}
	}
	if v := value16(c); v >= 0 {
		g := &b.hex
		g.reg = g.reg<<4 | uint64(v)
		g.at[g.n&7] = int32(at)
		g.n++
		if g.n >= 2 {
			g.runs[g.n&1].byte(s, depth, byte(g.reg), int(g.at[(g.n-2)&7]))
		}
	}
	if c >= '!' && c <= 'u' {
		five(&b.a85, s, depth, c-'!', at)
	}
	if c < 128 && table85[c] >= 0 {
		five(&b.b85, s, depth, byte(table85[c]), at)
	}
}

func five(g *grouped[[5]run], s *scan, depth int, v byte, at int) {
	g.val[g.n&7], g.at[g.n&7] = v, int32(at)
	g.n++
	if g.n < 5 {
		return
	}
	w := uint64(0)
	for k := 5; k >= 1; k-- {
		w = w*85 + uint64(g.val[(g.n-k)&7])
	}
	r := &g.runs[g.n%5]
	if w > 0xffffffff {
		r.byte(s, depth, 1, at)
		return
	}
	for k := 24; k >= 0; k -= 8 {
		r.byte(s, depth, byte(w>>k), int(g.at[(g.n-5)&7]))
	}
}

func (b *blobs) each(f func(*run)) {
	for i := range b.b64.runs {
		f(&b.b64.runs[i])
	}
	for i := range b.b32.runs {
		f(&b.b32.runs[i])
	}
	for i := range b.a85.runs {
		f(&b.a85.runs[i])
		f(&b.b85.runs[i])
	}
	for i := range b.hex.runs {
		f(&b.hex.runs[i])
	}
}

func (b *blobs) drop(s *scan) {
	b.each(func(r *run) { r.drop(s) })
}

func (b *blobs) finish(s *scan) {
	b.each(func(r *run) {
		if r.child != nil {
			r.child.finish(s)
		}
	})
}

func (b *blobs) held(s *scan, first *int) {
	b.each(func(r *run) {
		if r.child != nil {
			r.child.held(s, first)
		}
	})
}

// escape undoes escapes: %41, \x41, \u0041, &#65;, =41. What is read with them
// undone is a text of its own, from the first one on.
type escape struct {
	buf   [12]rune
	at    [12]int32
	n     int
	child *node
}

func (e *escape) feed(s *scan, depth int, r rune, at int) {
	if depth >= maxDepth {
		return
	}
	if e.n == 0 {
		if r == '%' || r == '\\' || r == '&' || r == '=' || r == '0' {
			e.buf[0], e.at[0], e.n = r, int32(at), 1
			return
		}
		if e.child != nil {
			e.child.feed(s, r, at)
		}
		return
	}
	e.buf[e.n], e.at[e.n] = r, int32(at)
	e.n++
	c, more := unescape(e.buf[:e.n])
	switch {
	case c != 0:
		if e.child == nil && s.nodes < maxNodes {
			e.child = s.node(depth + 1)
		}
		if e.child != nil {
			e.child.feed(s, c, int(e.at[0]))
		}
		e.n = 0
	case !more || e.n == len(e.buf):
		e.flush(s, depth)
	}
}

// flush gives up on an escape. Its first character is plain; the others may
// begin one.
func (e *escape) flush(s *scan, depth int) {
	buf, at, n := e.buf, e.at, e.n
	e.n = 0
	if e.child != nil {
		e.child.feed(s, buf[0], int(at[0]))
	}
	for i := 1; i < n; i++ {
		e.feed(s, depth, buf[i], int(at[i]))
	}
}

func (e *escape) finish(s *scan) {
	if e.child == nil {
		return
	}
	for i := range e.n {
		e.child.feed(s, e.buf[i], int(e.at[i]))
	}
	e.n = 0
	e.child.finish(s)
}

// unescape reads an escape; more says that it can still become one.
func unescape(b []rune) (r rune, more bool) {
	digits := func(from, n, base int) (rune, bool) {
		v := rune(0)
		for i := from; i < from+n; i++ {
			if i >= len(b) {
				return 0, true
			}
			d := rune(-1)
			if b[i] < 128 {
				d = rune(value16(byte(b[i])))
			}
			if d < 0 || int(d) >= base {
				return 0, false
			}
			v = v*rune(base) + d
		}
		return v, true
	}
	switch b[0] {
	case '%', '=':
		return digits(1, 2, 16)
	case '0':
		if b[1] != 'x' {
			return 0, false
		}
		return digits(2, 2, 16)
	case '\\':
		switch b[1] {
		case 'x':
			return digits(2, 2, 16)
		case 'u':
			return digits(2, 4, 16)
		case 'U':
			return digits(2, 8, 16)
		}
		return digits(1, 3, 8)
	}
	return entity(b)
}

// entity reads &#65; and &#x41;.
func entity(b []rune) (r rune, more bool) {
	if b[1] != '#' {
		return 0, false
	}
	base, i := rune(10), 2
	if len(b) > 2 && (b[2] == 'x' || b[2] == 'X') {
		base, i = 16, 3
	}
	v := rune(0)
	for ; i < len(b); i++ {
		if b[i] == ';' {
			return v, false
		}
		d := -1
		if b[i] < 128 {
			d = value16(byte(b[i]))
		}
		if d < 0 || rune(d) >= base {
			return 0, false
		}
		v = v*base + rune(d)
	}
	return 0, true
}
