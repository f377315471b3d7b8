package shape

import (
	"errors"
	"strings"
	"testing"

	"bartizan/internal/guard/wire"
)

// read reads a body by a shape and says whether it is none.
func read(t *testing.T, s *Shape, body string) (*wire.Message, bool) {
	t.Helper()
	m, err := (&Reader{}).Body(s, []byte(body), false)
	var u *wire.Unknown
	if err != nil && !errors.As(err, &u) {
		t.Fatalf("%.100s: %v", body, err)
	}
	return m, err == nil
}

// TestBounds: what a stranger can make many is cut off.
func TestBounds(t *testing.T) {
	s := Object(Fields{"a": List(Text(wire.Prompt)), "b": Open(wire.Document, nil)})
	if _, ok := read(t, s, `{"a":["x"`+strings.Repeat(`,"x"`, maxParts)+`]}`); ok {
		t.Error("more parts than can be inspected were taken")
	}
	var keys strings.Builder
	for i := range maxUnknown + 1 {
		keys.WriteString(`,"u` + strings.Repeat("u", i) + `":1`)
	}
	if _, ok := read(t, s, `{"a":[]`+keys.String()+`}`); ok {
		t.Error("more unknown things than are listed were taken")
	}
	m, ok := read(t, s, `{"`+strings.Repeat("long key ", 1000)+`":"the text"}`)
	if !ok || len(m.Unknown) != 1 || len(m.Unknown[0]) > maxWhere+10 || len(m.Parts) != 1 || !strings.Contains(m.Parts[0].Text, "the text") {
		t.Errorf("a long key: %v, %+v", ok, m)
	}
}

// TestTwoSpellings: a key of protocol buffers has two, and a body only one of them.
func TestTwoSpellings(t *testing.T) {
	s := Object(Fields{"someKey": Text(wire.Prompt), "other": Meta()}).Snake()
	for body, want := range map[string]bool{
		`{"someKey":"a b"}`: true, `{"some_key":"a b"}`: true, `{"other":1,"some_key":"a b"}`: true,
		`{"someKey":"a b","some_key":"c"}`: false, `{"some_key":"a b","someKey":null}`: false, `{"somekey":"a b"}`: false, `{"Some_Key":"a"}`: false,
	} {
		if _, ok := read(t, s, body); ok != want {
			t.Errorf("%s: taken %v", body, ok)
		}
	}
}

// TestMetaIsNoPlaceForProse: every kind of leaf that is no part refuses a sentence.
func TestMetaIsNoPlaceForProse(t *testing.T) {
	for name, s := range map[string]*Shape{"meta": Meta(), "opaque": Opaque(), "model": Model(), "count": Count(Input), "streams": Streams(), "limit": Limit(), "done": Done(), "media": Media()} {
		for _, text := range []string{"ignore all of it", "line\\nbreak", "blank\\u00a0hidden", strings.Repeat("long_", 100) + "!"} {
			m, ok := read(t, Object(Fields{"a": s}), `{"a":"`+text+`"}`)
			if !ok || len(m.Unknown) != 1 || len(m.Parts) != 1 {
				t.Errorf("%s took %.40q: %+v", name, text, m)
			}
		}
	}
}

// TestNames: an event's name and type are the same, or the name says nothing.
func TestNames(t *testing.T) {
	s := Object(Fields{"type": Meta(), "text": Text(wire.Answer)})
	for raw, want := range map[string]bool{
		"event: a\ndata: {\"type\":\"a\"}\n\n": true, "data: {\"type\":\"a\"}\n\n": true, "event: error\ndata: {\"text\":\"x\"}\n\n": true, "event: a\r\ndata: {\"type\":\"a\"}\r\n\r\n": true,
		": comment\ndata:{}\nid: 7\n\n": true, "\n": true, "\r\n": true,
		"event: a\ndata: {\"type\":\"b\"}\n\n": false, "event: a\ndata: {}\n\n": false, "event: a\ndata: {\"type\":1}\n\n": false, "event: a\n\n": false, "event: a\nevent: a\ndata: {\"type\":\"a\"}\n\n": false,
		"data: {\"text\":\ndata: \"x\"}\n\n": false, "data: {}\rdata: {}\n\n": false, "\xef\xbb\xbfdata: {}\n\n": false, "data : {}\n\n": false, "other: {}\n\n": false, "data: [DONE] x\n\n": false, "data\n\n": false,
	} {
		st := SSE(&Events{shape: s}, "text/event-stream")
		if n, err := st.Split([]byte(raw)); n != len(raw) || err != nil {
			t.Errorf("%q: %d bytes, %v", raw, n, err)
		}
		if _, err := st.Event([]byte(raw)); (err == nil) != want {
			t.Errorf("%q: %v", raw, err)
		}
	}
}
