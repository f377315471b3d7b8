// Package said is what a message of a server says, wherever in it. It judges nothing.
package said

import (
	"strings"

	"bartizan/internal/guard/decode"
	"bartizan/internal/mcp"

	"github.com/go-json-experiment/json/jsontext"
)

// Said is what a message says.
type Said struct {
	Text   string // its strings in order, one per line, and names of members that look like sentences
	Names  string // of members, each once
	Media  bool   // it has images, audio or bytes of resources
	Unread bool   // some of them are no text
}

// In reads a message, which is well-formed.
func In(v jsontext.Value) Said {
	t := &reader{seen: map[string]bool{}}
	t.value(v)
	t.Text, t.Names = strings.TrimSuffix(t.text.String(), "\n"), t.names.String()
	return t.Said
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

func (t *reader) value(v jsontext.Value) {
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
func (t *reader) object(v jsontext.Value) {
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
func (t *reader) bytes(v jsontext.Value, mime string) {
	t.Media = true
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
		t.Unread = true
	}
}

// based tells whether a text has only characters of base64.
func based(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("+/=-_\r\n", r)
	}) < 0
}
