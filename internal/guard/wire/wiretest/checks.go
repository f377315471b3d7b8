package wiretest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/tape"
)

// spans: what a part says stands where its span says.
func spans(t testing.TB, body []byte, parts []wire.Part) {
	t.Helper()
	for _, p := range parts {
		if p.Span == (wire.Span{}) {
			continue
		}
		if p.Span.From < 0 || p.Span.To > len(body) || p.Span.From >= p.Span.To {
			t.Fatalf("%s has the bytes %d to %d of %d", p.Where, p.Span.From, p.Span.To, len(body))
		}
		raw := body[p.Span.From:p.Span.To]
		var at tape.Tape
		if err := at.Read(raw); err != nil {
			t.Fatalf("%s stands in %d bytes that are no JSON: %v", p.Where, len(raw), err)
		}
		got := string(raw)
		if at.Nodes[0].Kind == tape.String {
			got = at.String(0)
		}
		if p.Kind != wire.Media && got != p.Text {
			t.Fatalf("%s says %q, its bytes %q", p.Where, p.Text, got)
		}
	}
}

// rewrites: no edit changes nothing; an edit changes its part and no other.
func (s Suite) rewrites(t *testing.T, c *Case, file string, body []byte, m *wire.Message) {
	same, err := wire.Rewrite(body, nil)
	if err != nil || !bytes.Equal(same, body) {
		t.Errorf("rewriting nothing: %v", err)
	}
	for i, p := range m.Parts {
		if p.Span == (wire.Span{}) || p.Kind == wire.Media {
			continue
		}
		text := "new \"text\"\n\\ \x01 ü 😀"
		if body[p.Span.From] != '"' {
			text = `{"new":"value"}`
		}
		out, err := wire.Rewrite(body, []wire.Edit{{Span: p.Span, Text: text}})
		if err != nil {
			t.Errorf("rewrite %s: %v", p.Where, err)
			continue
		}
		again, err := c.read(s.Format, file, out)
		if err != nil {
			t.Errorf("rewrite %s: %v", p.Where, err)
			continue
		}
		if len(again.Parts) != len(m.Parts) || again.Parts[i].Text != text || again.Parts[i].Where != p.Where {
			t.Errorf("rewrite %s: it did not come back", p.Where)
			continue
		}
		for k := range m.Parts {
			if k != i && again.Parts[k].Text != m.Parts[k].Text {
				t.Errorf("rewrite %s: %s changed", p.Where, m.Parts[k].Where)
			}
		}
	}
}

// Twisted are bodies that parsers read in different ways, or not at all.
func Twisted(body []byte) map[string][]byte {
	text := string(body)
	first := text[strings.IndexByte(text, '"')+1:]
	key := first[:strings.IndexByte(first, '"')]
	inside := text[strings.IndexByte(text, '{')+1:]
	upper := strings.ToUpper(key)
	out := map[string]string{
		"BOM":                "\xef\xbb\xbf" + text,
		"a key twice":        `{"` + key + `":null,` + inside,
		"a key in two cases": `{"` + upper + `":null,` + inside,
		"a key escaped":      fmt.Sprintf(`{"\u%04x%s":null,%s`, key[0], key[1:], inside),
		"more behind":        text + "{}",
		"a zero behind":      text + "\x00",
		"empty":              "",
		"null":               "null[",
		"bad UTF-8":          `{"zz":"` + "\xc3\x28" + `",` + inside,
		"overlong UTF-8":     `{"zz":"` + "\xc0\xaf" + `",` + inside,
		"half a pair":        `{"zz":"\ud83d",` + inside,
		"other half":         `{"zz":"\ude00",` + inside,
		"pair turned":        `{"zz":"\ude00\ud83d",` + inside,
		"control":            `{"zz":"` + "\n" + `",` + inside,
		"deep":               `{"zz":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "," + inside,
		"huge number":        `{"zz":1e999,` + inside,
		"long number":        `{"zz":` + strings.Repeat("9", 400) + "," + inside,
		"not a number":       `{"zz":NaN,` + inside,
		"zeros":              `{"zz":007,` + inside,
		"hex":                `{"zz":0x10,` + inside,
		"comment":            `{/* */` + inside,
		"single quotes":      `{'zz':1,` + inside,
		"zero in key":        `{"zz\u0000":1,` + inside,
		"trailing comma":     strings.TrimSuffix(strings.TrimSpace(text), "}") + ",}",
		"UTF-16":             "\xff\xfe{\x00}\x00",
		"folded letters":     `{"zs":1,"zſ":2,` + inside,
	}
	if upper == key {
		delete(out, "a key in two cases")
	}
	all := map[string][]byte{}
	for k, v := range out {
		all[k] = []byte(v)
	}
	for i := 1; i < len(body)-1; i += 1 + len(body)/40 {
		if cut := bytes.TrimSpace(body[:len(body)-i]); len(cut) < len(bytes.TrimSpace(body)) {
			all[fmt.Sprintf("cut %d from the end", i)] = cut
		}
	}
	return all
}

// atOnce: one format is used from many sides, and keeps nothing of what it read.
func (s Suite) atOnce(t *testing.T, cases []*Case) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 3 {
				for _, c := range cases {
					for _, file := range []string{"request", "answer"} {
						body, ok := c.Files[file]
						if !ok {
							continue
						}
						body = bytes.Clone(body)
						m, err := c.read(s.Format, file, body)
						if err != nil {
							t.Errorf("%s: %v", c.Name, err)
							continue
						}
						clear(body)
						if got := Describe(m); !strings.HasPrefix(string(c.Files[file+".want"]), got) {
							t.Errorf("%s of %s is another thing when many are read:\n%s", file, c.Name, got)
						}
					}
				}
			}
		})
	}
	wg.Wait()
}

// heads: nothing is read under a method, path or content type that is not the API's.
func (s Suite) heads(t *testing.T, cases []*Case) {
	for _, c := range cases {
		body := c.Files["request"]
		for _, change := range []func(*wire.Head){
			func(h *wire.Head) { h.Method = "PUT" },
			func(h *wire.Head) { h.Path += "/x" },
			func(h *wire.Head) { h.Path += "/" },
			func(h *wire.Head) { h.Path = "/.." + h.Path },
			func(h *wire.Head) { h.Path = "/" + h.Path },
			func(h *wire.Head) { h.Path = "/%2e" + h.Path },
			func(h *wire.Head) { h.Path = "" },
		} {
			h := c.Head
			change(&h)
			if _, err := s.Format.Request(h, body); !isUnknown(err) {
				t.Errorf("request to %s %s: error %v, want a *wire.Unknown", h.Method, h.Path, err)
			}
			if _, err := s.Format.Answer(h, c.Files["answer"]); !isUnknown(err) {
				t.Errorf("answer to %s %s: error %v, want a *wire.Unknown", h.Method, h.Path, err)
			}
			h.ContentType = c.StreamType
			if _, err := s.Format.Stream(h); !isUnknown(err) {
				t.Errorf("stream to %s %s: error %v, want a *wire.Unknown", h.Method, h.Path, err)
			}
		}
		h := c.Head
		for _, bad := range []string{"text/html", "application/json; charset=utf-16", "multipart/form-data; boundary=x"} {
			h.ContentType = bad
			if answer, ok := c.Files["answer"]; ok {
				if _, err := s.Format.Answer(h, answer); !isUnknown(err) {
					t.Errorf("answer of type %q: error %v, want a *wire.Unknown", bad, err)
				}
			}
			if _, err := s.Format.Stream(h); !isUnknown(err) {
				t.Errorf("stream of type %q: error %v, want a *wire.Unknown", bad, err)
			}
		}
	}
}

// refusals say why, in JSON.
func (s Suite) refusals(t *testing.T, cases []*Case) {
	r := wire.Refusal{Message: `blocked: "it" says no`, Code: "blocked_by_guard", ID: "rec-1"}
	f, ok := s.Format.(wire.Refuser)
	if !ok {
		t.Fatal("no wire.Refuser: clients of every format need to understand a no")
	}
	for _, c := range cases {
		for _, status := range []int{400, 403, 429, 502} {
			media, body := f.Refuse(c.Head, status, r)
			var p tape.Tape
			if err := p.Read(body); err != nil || media == "" {
				t.Fatalf("%s, %d: %q: %v", c.Name, status, media, err)
			}
			said := false
			for n, node := range p.Nodes {
				said = said || node.Kind == tape.String && strings.Contains(p.String(n), r.Message) && strings.Contains(p.String(n), r.ID)
			}
			if !said {
				t.Errorf("%s, %d: %s does not say why", c.Name, status, body)
			}
		}
	}
}
