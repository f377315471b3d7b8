// Package said reads what a message of a server says, wherever it stands: its texts, the
// names of its members, and files in it that are text. It judges nothing.
package said

import (
	"bytes"
	"strings"

	"bartizan/internal/guard/decode"

	"github.com/go-json-experiment/json/jsontext"
)

// Said is what a message says.
type Said struct {
	Text   string // its strings in order, one per line, and names of members that look like sentences
	Names  string // of members, each once
	Media  bool   // it has images, audio or bytes of resources
	Unread bool   // some of them are no text
}

// In reads a message, which is well-formed, once from its beginning to its end: what a server
// nests costs no more than what it does not.
func In(v jsontext.Value) Said {
	t := &reader{seen: map[string]bool{}}
	d := jsontext.NewDecoder(bytes.NewReader(v))
	var open []object
	for {
		kind, n := d.StackIndex(d.StackDepth())
		isName := kind == '{' && n%2 == 0
		tok, err := d.ReadToken()
		if err != nil {
			t.Text, t.Names = strings.TrimSuffix(t.text.String(), "\n"), t.names.String()
			return t.Said // its end: it was read as a whole before
		}
		switch tok.Kind() {
		case '{', '[':
			open = append(open, object{})
		case '}', ']':
			open[len(open)-1].close(t)
			open = open[:len(open)-1]
		case '"':
			switch s := tok.String(); {
			case isName:
				open[len(open)-1].name = s
				t.name(s)
			case kind != '{' || !open[len(open)-1].own(s):
				t.line(s)
			}
		}
	}
}

type reader struct {
	Said
	text, names strings.Builder
	seen        map[string]bool
}

func (t *reader) line(s string) {
	if s != "" {
		t.text.WriteString(s + "\n")
	}
}

func (t *reader) name(s string) {
	if strings.Count(s, " ") > 1 {
		t.line(s)
	}
	if !t.seen[s] {
		t.seen[s] = true
		t.names.WriteString(s + "\n")
	}
}

// object is one that is being read; its members may stand in any order.
type object struct {
	name            string // of the member whose value follows
	kind, uri, mime string
	data, blob      string // which are bytes or texts: the others tell
}

// own keeps a member's text until the object's end.
func (o *object) own(s string) (kept bool) {
	switch o.name {
	case "data":
		o.data = s
	case "blob":
		o.blob = s
	case "type":
		o.kind = s
	case "uri":
		o.uri = s
	case "mimeType":
		o.mime = s
	}
	return o.name == "data" || o.name == "blob"
}

// close reads what was kept. Only the bytes of an image, a sound or a resource are no text, and only where they stand as
// such: a server puts what it wants under any name.
func (o *object) close(t *reader) {
	for _, m := range []struct {
		value string
		bytes bool
	}{{o.data, o.kind == "image" || o.kind == "audio"}, {o.blob, o.uri != ""}} {
		if m.bytes && m.value != "" {
			t.bytes(m.value, o.mime)
		} else {
			t.line(m.value)
		}
	}
}

// bytes are of an image, a sound or a resource. A file that is text is read, and so is what is no base64.
func (t *reader) bytes(s, mime string) {
	t.Media = true
	switch text, err := decode.File([]byte(s), mime, true); {
	case err != nil || !based(s):
		t.line(s)
	case text != "":
		t.line(text)
	default:
		t.Unread = true
	}
}

// based tells whether a text has only characters of base64.
func based(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("+/=-_\r\n", r)
	}) < 0
}
