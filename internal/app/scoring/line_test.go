package scoring

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, line    string
		id, text, why string
	}{
		{"plain", `{"id":"a","text":"x"}`, `"a"`, "x", ""},
		{"any order", `{"n":{"id":1,"text":"no"},"text":"x","source":"s","id":7}`, `7`, "x", ""},
		{"a number as it was", `{"id":1.50,"text":"x"}`, `1.50`, "x", ""},
		{"null", `{"id":null,"text":"x"}`, `null`, "x", ""},
		{"an object", `{"id":{"a":[1]},"text":"x"}`, `{"a":[1]}`, "x", ""},
		{"long", `{"id":"` + strings.Repeat("i", 5000) + `","text":"x"}`, `"` + strings.Repeat("i", 5000) + `"`, "x", ""},
		{"byte order mark, CR", "\xef\xbb\xbf{\"id\":1,\"text\":\"x\"}\r\n", `1`, "x", ""},
		{"empty", `{"id":1,"text":""}`, `1`, "", ""},
		{"half a pair", `{"id":1,"text":"a\ud800b"}`, `1`, "a\uFFFDb", ""},
		{"invalid UTF-8", "{\"id\":\"i\xff\",\"text\":\"a\xffb\"}", "\"i\uFFFD\"", "a\uFFFDb", ""},
		{"role of another type", `{"id":1,"text":"x","role":5}`, `1`, "x", ""},

		{"no text", `{"id":1}`, `1`, "", "no text"},
		{"null text", `{"id":1,"text":null}`, `1`, "", "no text"},
		{"text of another type", `{"id":1,"text":["attack"]}`, `1`, "", "a text that is not a string"},
		{"text twice", `{"id":1,"text":"attack","text":"x"}`, `1`, "attack", "text twice"},
		{"id twice", `{"id":1,"id":2,"text":"x"}`, `1`, "", "id twice"},
		{"text in another case", `{"id":1,"Text":"x"}`, `1`, "", "no text"},
		{"cut off", `{"id":1,"text":"abc`, `1`, "", "no JSON object with id, text and role"},
		{"cut off at the end", `{"id":1,"text":"abc"`, `1`, "abc", "no JSON object with id, text and role"},
		{"two on a line", `{"id":1,"text":"x"}{"id":2,"text":"y"}`, `1`, "x", "no JSON object alone: something follows it"},
		{"too deep", `{"id":1,"y":` + strings.Repeat("[", 20000) + `}`, `1`, "", "no JSON object with id, text and role"},

		{"no id", `{"text":"x"}`, "", "x", "no id"},
		{"id in another case", `{"ID":1,"text":"x"}`, "", "x", "no id"},
		{"no JSON", `nonsense`, "", "", "no JSON object with id, text and role"},
		{"an array", `[1]`, "", "", "no JSON object with id, text and role"},
	} {
		l, why := Parse([]byte(c.line), false)
		if string(l.ID) != c.id || l.Text != c.text || why != c.why {
			t.Errorf("%s: id %.80q, text %q, why %q", c.name, l.ID, l.Text, why)
		}
	}
}

// A line that is too long has an answer, and so has the next one.
func TestLong(t *testing.T) {
	long := `{"id":"long","text":"` + strings.Repeat("a", MaxLine) + `"}`
	r := bufio.NewReaderSize(strings.NewReader(long+"\n"+`{"id":2,"text":"x"}`), 64<<10)
	line, tooLong, err := Read(r)
	if l, why := Parse(line, tooLong); err != nil || string(l.ID) != `"long"` || !strings.HasPrefix(why, "longer than") || len(line) > keptOfLong {
		t.Errorf("id %q, why %q, error %v, %d bytes kept", l.ID, why, err, len(line))
	}
	line, tooLong, err = Read(r)
	if l, why := Parse(line, tooLong); err != io.EOF || string(l.ID) != `2` || why != "" {
		t.Errorf("id %q, why %q, error %v", l.ID, why, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"id":1,"text":"x","role":"tool"}`, `{"id":{"a":1},"text":"a\ud800"}`, `{"id":1,"text":"x"`, "{\"id\":\"\xff\",\"text\":\"\xff\"}", `{"text":"a","text":"b","id":""}`} {
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, line []byte, tooLong bool) {
		l, why := Parse(line, tooLong)
		if why == "" {
			// What is looked at is what every other reader of JSON sees.
			var m map[string]any
			if err := json.Unmarshal([]byte(strings.TrimPrefix(string(line), "\xef\xbb\xbf")), &m); err != nil || m["text"] != l.Text {
				t.Fatalf("looked at %q, and it says %q (%v)", l.Text, m["text"], err)
			}
		}
		if why == "" && l.ID == nil || l.ID != nil && (!json.Valid(l.ID) || !utf8.Valid(l.ID)) {
			t.Fatalf("id %q", l.ID)
		}
	})
}
