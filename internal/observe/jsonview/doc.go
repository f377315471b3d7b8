package jsonview

import (
	"bytes"
	"errors"

	"github.com/valyala/fastjson"
)

// Doc is one JSON object. It is used by one goroutine, and reused.
type Doc struct {
	wanted *Wanted
	text   []byte // with pad bytes behind
	n      int
	slots  []slot // by node; of those that were wanted when the text was walked
	paths  int32  // how many were wanted then
	sure   bool   // the walk understood the text

	parser fastjson.Parser
	root   *fastjson.Value // nil: not parsed
}

// slot is what the walk found under a name.
type slot struct {
	state    state
	from, to uint32
}

type state uint8

const (
	absent state = iota
	opaque       // ask the full parse
	isText
	isNumber
	isTrue
	isFalse
	isNull
)

// Found says what is known of a field without the full parse.
type Found uint8

// What Find can answer.
const (
	Unsure Found = iota // the full parse has to say
	Absent
	Null
	True
	False
	Number // a whole number; the text is its digits
	String // without escapes
)

// errJSON says no more: what a parser says may quote the text.
var errJSON = errors.New("not one valid JSON object")

// Read makes the document an object, which has to be the whole of text. text is
// copied. w is what is noted for the documents to come; nil: every question is
// answered by the full parse.
func (d *Doc) Read(text []byte, w *Wanted) error {
	if d.sure && d.root == nil {
		d.wanted.vain = 0 // the walk was enough for the document before
	}
	d.wanted, d.root, d.sure = w, nil, false
	d.text = append(append(d.text[:0], text...), make([]byte, pad)...)
	d.n = len(text)
	if w != nil && w.worthwhile() && len(text) < 1<<31 && d.walk() {
		d.sure = true
		return nil
	}
	return d.parse()
}

// parse makes the full object.
func (d *Doc) parse() error {
	v, err := d.parser.ParseBytes(d.text[:d.n])
	if err != nil || v.Type() != fastjson.TypeObject {
		return errJSON
	}
	d.root = v
	return nil
}

// JSON is the full object; valid until the next Read, and nil before the first.
func (d *Doc) JSON() *fastjson.Value {
	if d.root == nil && d.sure {
		d.wanted.vain++
		if d.parse() != nil {
			panic("BUG: jsonview took for JSON what the full parse does not")
		}
	}
	return d.root
}

// Text is the whole that was read, also when the document was narrowed; valid
// until the next Read.
func (d *Doc) Text() []byte { return d.text[:d.n:d.n] }

// Narrow makes the document the object at path inside it; false when there is
// none.
func (d *Doc) Narrow(path ...string) bool {
	v := d.JSON().Get(path...)
	if v == nil || v.Type() != fastjson.TypeObject {
		return false
	}
	d.root = v
	return true
}

// Find looks a field up: as one name with its dots, else through the objects
// it names. The text is valid until the next Read.
func (d *Doc) Find(p *Path) ([]byte, Found) {
	if d.root != nil || d.wanted == nil {
		if d.wanted != nil && d.wanted.find(p) < 0 {
			d.wanted.want(*p)
		}
		return nil, Unsure
	}
	k := d.wanted.find(p)
	if k < 0 || k >= d.paths {
		if k < 0 {
			d.wanted.want(*p)
		}
		return nil, Unsure
	}
	at := &d.wanted.paths[k]
	s := d.slots[at.flat]
	if s.state == absent {
		s = d.slots[at.nested]
	}
	switch s.state {
	case absent:
		return nil, Absent
	case isNull:
		return nil, Null
	case isTrue:
		return d.text[s.from:s.to:s.to], True
	case isFalse:
		return d.text[s.from:s.to:s.to], False
	case isNumber:
		return d.text[s.from:s.to:s.to], Number
	case isText:
		return d.text[s.from:s.to:s.to], String
	}
	return nil, Unsure
}

// Has says whether there is a field, and whether it is a string.
func (d *Doc) Has(p *Path) (there, text bool) {
	_, found := d.Find(p)
	switch found {
	case Absent:
		return false, false
	case Unsure:
		v := d.JSON().Get(p.Name)
		if v == nil {
			v = d.JSON().Get(p.Parts...)
		}
		return v != nil, v != nil && v.Type() == fastjson.TypeString
	}
	return true, found == String
}

// walk goes over the text once; false when it is not sure that fastjson would
// understand it in the same way.
func (d *Doc) walk() bool {
	d.paths = int32(len(d.wanted.paths))
	if n := len(d.wanted.nodes); cap(d.slots) < n {
		d.slots = make([]slot, n, 2*n)
	} else {
		d.slots = d.slots[:n]
		clear(d.slots)
	}
	i := blank(d.text, 0)
	if d.text[i] != '{' {
		return false
	}
	if i = d.object(i+1, 0, 1); i < 0 {
		return false
	}
	return blank(d.text, i) == d.n
}

// object walks over an object of which names are wanted, from behind its
// brace, and returns where it ends; -1 when the walk is not sure.
func (d *Doc) object(i int, of int32, depth int) int {
	b, n, own := d.text, d.n, &d.wanted.nodes[of]
	if i = blank(b, i); b[i] == '}' {
		return i + 1
	}
	for at := 0; depth <= maxDepth && b[i] == '"'; at++ {
		var c int32
		if at < len(own.order) && own.order[at].begins(b[i+1:n]) {
			c = own.order[at].child
			i = blank(b, i+1+len(own.order[at].text))
		} else {
			end := name(b, i+1, n)
			if end < 0 {
				return -1
			}
			c = d.wanted.child(own.kids, b[i+1:end])
			if b[end+1] == ':' {
				own.remember(at, b[i+1:end+2], c)
			}
			if i = blank(b, end+1); b[i] != ':' {
				return -1
			}
			i = blank(b, i+1)
		}
		if c != 0 && d.slots[c].state == absent { // of names that repeat, the first counts
			i = d.value(i, c, depth)
		} else {
			i = skip(b, i, n, depth)
		}
		if i < 0 {
			return -1
		}
		switch i = blank(b, i); b[i] {
		case ',':
			i = blank(b, i+1)
		case '}':
			return i + 1
		default:
			return -1
		}
	}
	return -1
}

// value notes a value that is wanted, or something in it.
func (d *Doc) value(i int, c int32, depth int) int {
	b, s := d.text, &d.slots[c]
	switch b[i] {
	case '"':
		end := text(b, i+1, d.n)
		if end < 0 {
			return -1
		}
		*s = slot{isText, uint32(i + 1), uint32(end)}
		if special(b, i+1, end) {
			s.state = opaque
		}
		return end + 1
	case '{':
		s.state = opaque
		if d.wanted.nodes[c].kids == nil {
			return skip(b, i, d.n, depth)
		}
		return d.object(i+1, c, depth+1)
	case '[':
		d.blur(c)
		return skip(b, i, d.n, depth)
	}
	end := plain(b, i, d.n)
	if end < 0 {
		return -1
	}
	*s = slot{isNumber, uint32(i), uint32(end)}
	switch {
	case b[i] == 't':
		s.state = isTrue
	case b[i] == 'f':
		s.state = isFalse
	case b[i] == 'n':
		s.state = isNull
	case bytes.ContainsAny(b[i:end], ".eE"):
		s.state = opaque
	}
	return end
}

// blur leaves a name and all below it to the full parse.
func (d *Doc) blur(c int32) {
	d.slots[c].state = opaque
	if kids := d.wanted.nodes[c].kids; kids != nil {
		for _, k := range kids {
			for ; k != 0; k = d.wanted.nodes[k].next {
				d.blur(k)
			}
		}
	}
}
