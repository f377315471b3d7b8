package jsonview

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/valyala/fastjson"
	"pgregory.net/rapid"
)

// answer is what the full parse says of a field, in the words of Find; ok is
// false for what Find leaves to it.
func answer(root *fastjson.Value, p Path) (text string, found Found, ok bool) {
	v := root.Get(p.Name)
	if v == nil {
		v = root
		for _, part := range p.Parts {
			switch v.Type() {
			case fastjson.TypeArray:
				return "", Unsure, false
			case fastjson.TypeObject:
				v = v.Get(part)
			default:
				v = nil
			}
			if v == nil {
				return "", Absent, true
			}
		}
	}
	switch v.Type() {
	case fastjson.TypeNull:
		return "", Null, true
	case fastjson.TypeTrue:
		return "true", True, true
	case fastjson.TypeFalse:
		return "false", False, true
	case fastjson.TypeNumber:
		return v.String(), Number, true
	case fastjson.TypeString:
		return string(v.GetStringBytes()), String, true
	}
	return "", Unsure, false
}

// compare reads text after the fields were asked for and holds what Find says
// against the full parse. It returns how many answers needed none.
func compare(t interface{ Fatalf(string, ...any) }, d *Doc, w *Wanted, text []byte, fields []string) (sure int) {
	w.vain = 0 // looking at the whole below is no sign of the walk's worth
	var parser fastjson.Parser
	root, err := parser.ParseBytes(text)
	valid := err == nil && root.Type() == fastjson.TypeObject
	if err := d.Read(text, w); (err == nil) != valid {
		t.Fatalf("%q is valid: %v, but Read says %v", text, valid, err)
	}
	if !valid {
		return 0
	}
	whole := root.String() // the parser resolves escapes when it is asked
	for _, f := range fields {
		p := NewPath(f)
		got, found := d.Find(&p)
		want, wantFound, ok := answer(root, p)
		if found == Unsure {
			continue
		}
		sure++
		if !ok || found != wantFound || string(got) != want {
			t.Fatalf("%q of %q is %q (%v), the full parse has %q (%v, %v)", f, text, got, found, want, wantFound, ok)
		}
	}
	if got := d.JSON().String(); got != whole {
		t.Fatalf("%q is %q as a whole, want %q", text, got, whole)
	}
	return sure
}

var fields = []string{"a", "b", "a.b", "a.b.c", "b.c", "long-name-of-a-field", "a.long-name-of-a-field", "c.*", "", "a.", "ü", `x\y`, "n"}

func primed(t testing.TB) (*Doc, *Wanted) {
	d, w := &Doc{}, &Wanted{}
	if err := d.Read([]byte(`{}`), w); err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		p := NewPath(f)
		d.Find(&p)
	}
	return d, w
}

func TestFind(t *testing.T) {
	d, w := primed(t)
	for _, c := range []struct {
		text, field string
		found       Found
		value       string
	}{
		{`{"a":"x"}`, "a", String, "x"},
		{` { "b" : 1 , "a" : { "b" : { "c" : "y" } } } `, "a.b.c", String, "y"},
		{`{"a":{"b":1},"a.b":"flat"}`, "a.b", String, "flat"},
		{`{"a":1,"a":2}`, "a", Number, "1"},
		{`{"a":{"c":1},"a":{"b":2}}`, "a.b", Absent, ""},
		{`{"a":"x"}`, "a.b", Absent, ""},
		{`{"a":null}`, "a", Null, ""},
		{`{"a":true,"b":false}`, "b", False, "false"},
		{`{"a":true,"b":false}`, "a", True, "true"},
		{`{"a":-7}`, "a", Number, "-7"},
		{`{"a":7.0}`, "a", Unsure, ""},
		{`{"a":"x\n"}`, "a", Unsure, ""},
		{`{"b":"x\"","c":"\\","a":"x"}`, "a", String, "x"},
		{`{"\u0061":1}`, "a", Unsure, ""},
		{"{\"a\":\"a longer text\x1f\"}", "a", Unsure, ""},
		{"{\"a\":\"x\u007f\u00a0 \"}", "a", String, "x\u007f\u00a0 "},
		{"{\"\x01\":1,\"a\":1}", "a", Unsure, ""},
		{`{"a":[{"b":1}]}`, "a.b", Unsure, ""},
		{`{"a":[1]}`, "a", Unsure, ""},
		{`{"a":{}}`, "a", Unsure, ""},
		{`{"z":[1,{"y":["]","}"]},[]],"long-name-of-a-field":"here"}`, "long-name-of-a-field", String, "here"},
		{`{"z":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `,"a":1}`, "a", Unsure, ""},
	} {
		compare(t, d, w, []byte(c.text), fields)
		if err := d.Read([]byte(c.text), w); err != nil {
			t.Fatal(err)
		}
		p := NewPath(c.field)
		if got, found := d.Find(&p); found != c.found || string(got) != c.value {
			t.Errorf("%s of %s: %q (%v), want %q (%v)", c.field, c.text, got, found, c.value, c.found)
		}
	}
}

// TestRefuses: what is no JSON is refused, also in parts that nobody asked for.
func TestRefuses(t *testing.T) {
	d, w := primed(t)
	for _, text := range []string{``, `[]`, `"a"`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{"z":[1,]}`, `{"z":{"y":1]}`, `{"z":[}`, `{"z":tru}`, `{"z":"}`,
		`{"a":1}x`, `{"a":1}{}`, `{"z":{"y" 1}}`, `{"z":{y:1}}`, "{\"z\":\"\x00", `{"a":"\"}`, `{"z":+}`, `{"z":-}`, `{"z":1 2}`} {
		if compare(t, d, w, []byte(text), fields); d.Read([]byte(text), w) == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func drawJSON(t *rapid.T, deep int) string {
	space := rapid.SampledFrom([]string{"", "", "", "", " ", "\n\t"})
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	if deep == 0 {
		kind = 0
	}
	var parts []string
	switch {
	case kind <= 5 && deep == 0 || kind <= 4:
		return rapid.SampledFrom([]string{`"x"`, `""`, `"a longer text of more than 16 bytes"`, `"\""`, `"\\"`, `"é\u00e9"`, "1", "-20", "1.50", "1e3", "true", "false", "null", "0x", "inf", "nul"}).Draw(t, "leaf")
	case kind <= 6:
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			parts = append(parts, space.Draw(t, "s")+drawJSON(t, deep-1))
		}
		return "[" + strings.Join(parts, ",") + space.Draw(t, "s") + "]"
	}
	return drawObject(t, deep-1)
}

func drawObject(t *rapid.T, deep int) string {
	space := rapid.SampledFrom([]string{"", "", "", "", " ", "\n\t"})
	var parts []string
	for range rapid.IntRange(0, 5).Draw(t, "n") {
		k := rapid.SampledFrom([]string{"a", "b", "c", "a.b", "z", "long-name-of-a-field", "", "ü", `\u0061`, `x\\y`, "n"}).Draw(t, "key")
		parts = append(parts, space.Draw(t, "s")+`"`+k+`"`+space.Draw(t, "s")+":"+space.Draw(t, "s")+drawJSON(t, deep))
	}
	return "{" + strings.Join(parts, ",") + space.Draw(t, "s") + "}"
}

// TestProperty: whatever the text is, Find says what the full parse says.
func TestProperty(t *testing.T) {
	d, w := primed(t)
	sure := 0
	rapid.Check(t, func(t *rapid.T) {
		for range 5 {
			text := []byte(drawObject(t, 3))
			if rapid.IntRange(0, 9).Draw(t, "cut") == 0 {
				text = text[:rapid.IntRange(0, len(text)).Draw(t, "at")]
			}
			sure += compare(t, d, w, text, fields)
		}
	})
	if sure < 500 {
		t.Errorf("only %d answers without a full parse", sure)
	}
}

// TestWalksInVain: where the full parse is needed every time, the walk is left
// out, and it comes back when it is enough again.
func TestWalksInVain(t *testing.T) {
	d, w := primed(t)
	read := func(text string) {
		if err := d.Read([]byte(text), w); err != nil {
			t.Fatal(err)
		}
		p := NewPath("a")
		if _, found := d.Find(&p); found == Unsure {
			d.JSON()
		}
	}
	for range 2 * patience {
		read(`{"a":[1]}`)
	}
	if read(`{"a":1}`); d.sure {
		t.Error("a walk although 64 in a row were in vain")
	}
	for range 2 * retry {
		read(`{"a":1}`)
	}
	if !d.sure {
		t.Error("no walk although it is enough again")
	}
}

// TestWantedIsBounded: fields without end are still answered.
func TestWantedIsBounded(t *testing.T) {
	d, w := &Doc{}, &Wanted{}
	object := map[string]string{}
	for i := range 3 * maxNodes {
		object[fmt.Sprintf("k%d", i)] = "v"
	}
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Read(text, w); err != nil {
			t.Fatal(err)
		}
		for k := range object {
			p := NewPath(k)
			if got, found := d.Find(&p); found != Unsure && (found != String || string(got) != "v") {
				t.Fatalf("%s is %q (%v)", k, got, found)
			}
		}
	}
	if len(w.nodes) > maxNodes || len(w.nodes) < maxNodes/2 {
		t.Errorf("%d nodes", len(w.nodes))
	}
}

// FuzzDoc: two texts after each other, so that what is remembered of one meets
// the other.
func FuzzDoc(f *testing.F) {
	f.Add([]byte(`{"a":{"b":"x","c":[1]},"b":1}`), []byte(`{"a":{"b":"x","d":[1]},"b":null}`), "a.b")
	f.Add([]byte(`{"a":1,"a":2}`), []byte(`{"\u0061":1,"a":2}`), "a")
	f.Add([]byte(`{"z":{"y":[{}]}}`), []byte(`{"z":{"y":[{}}}`), "z.y")
	f.Add([]byte(`{"a":"\\"}`), []byte(`{"a":"\\\""}`), `\`)
	f.Add([]byte("{\"a\":\"\x00\"}"), []byte(`{"a":inf}`), "")
	f.Fuzz(func(t *testing.T, one, two []byte, field string) {
		if len(field) > 200 {
			return
		}
		d, w := primed(t)
		all := append([]string{field}, fields...)
		for _, text := range [][]byte{one, two, one} {
			before := bytes.Clone(text)
			compare(t, d, w, text, all)
			if !bytes.Equal(before, text) {
				t.Fatal("the text was changed")
			}
		}
	})
}
