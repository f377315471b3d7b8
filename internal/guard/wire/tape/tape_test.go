package tape

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// check holds a text that was read against two other parsers.
func check(t interface{ Fatalf(string, ...any) }, p *Tape, text []byte) bool {
	err := p.Read(text)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.At < 0 || e.At > len(text) {
			t.Fatalf("%q: error %v", text, err)
		}
		return false
	}
	if !json.Valid(text) || !jsontext.Value(text).IsValid() {
		t.Fatalf("%q was taken", text)
	}
	d := jsontext.NewDecoder(bytes.NewReader(text))
	for n := range p.Nodes {
		node := p.Nodes[n]
		tok, err := d.ReadToken()
		for err == nil && (tok.Kind() == ']' || tok.Kind() == '}') {
			tok, err = d.ReadToken()
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		switch node.Kind {
		case String:
			if tok.Kind() != '"' || tok.String() != p.String(n) {
				t.Fatalf("%q: string %q, want %q", text, p.String(n), tok)
			}
		case Number:
			if tok.Kind() != '0' || tok.String() != string(p.Raw(n)) {
				t.Fatalf("%q: number %q, want %q", text, p.Raw(n), tok)
			}
		case Numbers:
			for depth := d.StackDepth(); d.StackDepth() == depth; {
				if tok, err = d.ReadToken(); err != nil || tok.Kind() != '0' && tok.Kind() != ']' {
					t.Fatalf("%q: %v in an array of numbers: %v", text, tok, err)
				}
			}
		default:
			if want := map[Kind]jsontext.Kind{Object: '{', Array: '[', True: 't', False: 'f', Null: 'n'}[node.Kind]; tok.Kind() != want {
				t.Fatalf("%q: %v, want %v", text, tok.Kind(), want)
			}
		}
		if int(node.Next) <= n || int(node.Next) > len(p.Nodes) || node.To <= node.From {
			t.Fatalf("%q: node %d is %+v", text, n, node)
		}
	}
	return true
}

func TestTakes(t *testing.T) {
	p := &Tape{}
	for _, text := range []string{`null`, ` [ ] `, `{}`, `[1,2.5e-3,-0]`, `[1,"a"]`, `[[1],[2,[]]]`, `"\u00fc\ud83d\ude00\n\/"`, `{"a":{"a":1},"b":[{"a":2},{"a":3}]}`,
		`{"ü":1,"u":2,"\u0041":3}`, `9007199254740993`, `"` + strings.Repeat("long text ü ", 100) + `"`, `[true,false,null]`, `"\u0000"`} {
		if !check(t, p, []byte(text)) {
			t.Errorf("%s was refused: %v", text, p.Read([]byte(text)))
		}
	}
}

func TestRefuses(t *testing.T) {
	p := &Tape{}
	many := strings.Repeat(`[],`, MaxValues)
	var keys []string
	for i := range 40 {
		keys = append(keys, fmt.Sprintf(`"k%d":1`, i))
	}
	for _, text := range []string{``, ` `, `{`, `[`, `"`, `"\`, `"\u12`, `"\u12g4"`, `"\x"`, `tru`, `nul`, `truex`, `[1,]`, `[,1]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{1:1}`, `[1 2]`,
		`01`, `-`, `1.`, `.5`, `1e`, `+1`, `0x1`, `1e400`, `-1e400`, `9223372036854775808`, `1` + strings.Repeat("0", 100), `NaN`, `Infinity`, "\xef\xbb\xbf{}", "\"\x1f\"", "\"\xff\"", "\"\xed\xa0\x80\"",
		`"\ud800"`, `"\udc00"`, `"\ud800\u0041"`, `{"a":1,"a":2}`, `{"a":1,"A":2}`, `{"a":1,"\u0061":2}`, `{"k":1,"K":2}`, `{"s":1,"ſ":2}`, `{"Ü":1,"ü":2}`, `{"a\u0000":1}`,
		`{}{}`, `[]x`, "[]\x00", strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1), "[" + many + "1]", `{` + strings.Join(keys, ",") + `,"K7":1}`} {
		if check(t, p, []byte(text)) {
			t.Errorf("%.60q was taken", text)
		}
	}
}

func TestProperty(t *testing.T) {
	p := &Tape{}
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		text := draw(t, 4)
		if rapid.IntRange(0, 3).Draw(t, "damage") == 0 && len(text) > 0 {
			i := rapid.IntRange(0, len(text)-1).Draw(t, "at")
			text = text[:i] + rapid.SampledFrom([]string{"", "\"", "\\", "{", "]", ",", "\xff", "\x00", "1"}).Draw(t, "with") + text[i+1:]
		}
		if check(t, p, []byte(text)) {
			taken++
		}
	})
	if taken < 20 {
		t.Errorf("only %d texts were taken", taken)
	}
}

func draw(t *rapid.T, deep int) string {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r"})
	kind := rapid.IntRange(0, 4).Draw(t, "kind")
	if deep == 0 {
		kind = 0
	}
	var parts []string
	switch kind {
	case 0, 1:
		return rapid.SampledFrom([]string{`"x"`, `""`, `"a longer text of more than 16 bytes"`, `"\""`, `"\\"`, `"é\u00e9"`, `"\ud83d\ude00"`, "1", "-20", "1.50", "1e3", "true", "false", "null", "[1, 2 ,3]"}).Draw(t, "leaf")
	case 2, 3:
		for i := range rapid.IntRange(0, 20).Draw(t, "n") {
			key := rapid.SampledFrom([]string{"a", "b", "A", "ü", `\u0061`, "k%d", "k%d", "k%d", "k%d", "key %d", "K%d"}).Draw(t, "key")
			if strings.Contains(key, "%d") {
				key = fmt.Sprintf(key, i)
			}
			parts = append(parts, space.Draw(t, "s")+`"`+key+`"`+space.Draw(t, "s")+":"+space.Draw(t, "s")+draw(t, deep-1))
		}
		return "{" + strings.Join(parts, ",") + space.Draw(t, "s") + "}"
	}
	for range rapid.IntRange(0, 3).Draw(t, "n") {
		parts = append(parts, space.Draw(t, "s")+draw(t, deep-1))
	}
	return "[" + strings.Join(parts, ",") + space.Draw(t, "s") + "]"
}

func FuzzTape(f *testing.F) {
	for _, s := range []string{`{"a":[1,2,{"b":"\u00fc\ud83d\ude00"}],"c":null}`, `[1,2.5e-3,-0,"x"]`, `{"a":1,"A":2}`, "\xef\xbb\xbf[]", `"\ud800"`, `[[[[[]]]]]`} {
		f.Add([]byte(s))
	}
	p := &Tape{}
	f.Fuzz(func(t *testing.T, text []byte) { check(t, p, text) })
}

func BenchmarkRead(b *testing.B) {
	text := []byte(`{"model":"m","messages":[` + strings.Repeat(`{"role":"user","content":"`+strings.Repeat("some words ", 20)+`"},`, 8) + `{"role":"user","content":"x"}]}`)
	p := &Tape{}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Read(text); err != nil {
			b.Fatal(err)
		}
	}
}
