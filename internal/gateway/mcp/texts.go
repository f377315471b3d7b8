package mcp

import (
	"strings"

	"bartizan/internal/guard/decode"
	"bartizan/internal/mcp"

	"github.com/go-json-experiment/json/jsontext"
)

// said is what a message says.
type said struct {
	text   strings.Builder // its strings in order, one per line, and names of members that look like sentences
	names  strings.Builder // of members, each once
	seen   map[string]bool
	media  bool // it has images, audio or bytes of resources
	unread bool // some of them are no text
}

// listen reads a message, which is well-formed.
func listen(v jsontext.Value) *said {
	t := &said{seen: map[string]bool{}}
	t.value(v)
	return t
}

func (t *said) line(s string) {
	if s != "" {
		t.text.WriteString(s + "\n")
	}
}

func (t *said) name(s string) {
	if strings.Count(s, " ") > 1 {
		t.line(s)
	}
	if !t.seen[s] {
		t.seen[s] = true
		t.names.WriteString(s + "\n")
	}
}

func (t *said) value(v jsontext.Value) {
	switch v.Kind() {
	case '"':
		if s, err := mcp.Text(v); err == nil {
			t.line(s)
		}
	case '[':
		_ = mcp.Elements(v, func(v jsontext.Value) error { t.value(v); return nil }) // it was read as a whole before
	case '{':
		t.object(v)
	}
}

// object reads one. Only the bytes of an image, a sound or a resource are no text, and only where they stand as such: a
// server puts what it wants under any name.
func (t *said) object(v jsontext.Value) {
	own := map[string]string{}
	_ = mcp.Members(v, func(name string, v jsontext.Value, _ int) error {
		if name == "type" || name == "uri" || name == "mimeType" {
			own[name], _ = mcp.Text(v)
		}
		return nil
	})
	shown := own["type"] == "image" || own["type"] == "audio"
	_ = mcp.Members(v, func(name string, v jsontext.Value, _ int) error {
		t.name(name)
		if v.Kind() == '"' && len(v) > 2 && (name == "data" && shown || name == "blob" && own["uri"] != "") {
			t.bytes(v, own["mimeType"])
			return nil
		}
		t.value(v)
		return nil
	})
}

// bytes are of an image, a sound or a resource. A file that is text is read, and so is what is no base64.
func (t *said) bytes(v jsontext.Value, mime string) {
	t.media = true
	s, err := mcp.Text(v)
	if err != nil {
		return
	}
	switch text, err := decode.File([]byte(s), mime, true); {
	case err != nil || !based(s):
		t.line(s)
	case text != "":
		t.line(text)
	default:
		t.unread = true
	}
}

// based tells whether a text has only characters of base64.
func based(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("+/=-_\r\n", r)
	}) < 0
}
