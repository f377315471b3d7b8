package sigma

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"
)

// FuzzLoad: no rule file brings the loader down, and what it loads can be run.
func FuzzLoad(f *testing.F) {
	f.Add("title: t\nid: x\nlogsource: {product: p}\ndetection:\n  a: {f|contains|all: [x, 'y*']}\n  b: [word, other]\n  condition: a or not 1 of b*\n", `{"f":"xy"}`)
	f.Add("title: t\nlogsource: {product: p}\ndetection:\n  a: {f|re: '(a|b)+c'}\n  timeframe: 5m\n  condition: a | count(g) by h > 2\n", `{"f":"abc","g":1,"h":2}`)
	f.Add("action: global\ntitle: t\n---\nlogsource: {product: p}\ndetection: {a: {f: null}, condition: a}\n---\naction: reset\n", `{}`)
	f.Add("title: c\ncorrelation: {type: temporal, rules: [x, y], timespan: 1h, group-by: [f], aliases: {f: {x: g}}}\n", `[]`)
	f.Add("a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ntitle: t\nlogsource: {product: p}\ndetection: {s: *c, condition: s}\n", `{"x":{"y":[1,2.50,true,null]}}`)
	f.Add("title: t\nlogsource: {product: p}\ndetection: {a: {f|base64offset|contains: http, g|windash: ' -enc', h|cidr: 10.0.0.0/8, i|gte: 5, j|fieldref: f}, condition: all of them}\n", `{"f":"aHR0cA=="}`)
	f.Add("title: t\nlogsource: {product: p}\ndetection: {a: {f: 1}, condition: "+strings.Repeat("not (", 100)+"a}", `{}`)
	f.Fuzz(func(t *testing.T, rule, event string) {
		e, report, err := Load(fstest.MapFS{"r.yml": {Data: []byte(rule)}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range report.Problems {
			if p.Why == "" || p.File == "" {
				t.Fatalf("a problem without place or reason: %+v", p)
			}
		}
		run := e.NewRunner(Limits{Groups: 4, Entries: 16, Group: 8})
		var doc Document
		if doc.Parse([]byte(event), Logsource{Product: "p"}) != nil {
			return
		}
		signals := run.Flush(run.Process(&doc, nil))
		for i := range signals {
			if err := signals[i].Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzDocument: the accessor agrees with encoding/json about what is there.
func FuzzDocument(f *testing.F) {
	f.Add(`{"a":{"b":["x",{"c":1.0}]},"a.b":"flat"}`, "a.b.c")
	f.Add(`{"e":[{"x":1},{"x":[2,null]},3]}`, "e.x")
	f.Add(`{"u":{"Any":{"k":"v"}}}`, "u.*.k")
	f.Fuzz(func(t *testing.T, event, field string) {
		if len(field) > 200 {
			return
		}
		var doc Document
		if doc.Parse([]byte(event), Logsource{}) != nil {
			return
		}
		values := doc.Field(NewPath(field), nil)
		all := doc.Values(nil)
		if len(values) > maxValues+1 || len(all) > maxValues+1 {
			t.Fatalf("%d and %d values", len(values), len(all))
		}
		var m map[string]any
		if json.Unmarshal([]byte(event), &m) != nil {
			return // fastjson is more lenient about control characters and escapes
		}
		for name, v := range m {
			if s, ok := v.(string); ok && !strings.ContainsAny(name, `*.\`) && strings.Count(event, `"`+name+`"`) == 1 && !strings.Contains(event, `\`) && strings.ToValidUTF8(s, "") == s {
				got := doc.Field(NewPath(name), nil)
				if len(got) != 1 || string(got[0].Text) != s && strings.ToValidUTF8(event, "") == event {
					t.Fatalf("%q is %q, the accessor says %v", name, s, got)
				}
			}
		}
	})
}

// FuzzFieldsInText: rules say the same of two events whether their fields are
// found in the text or in the full parse.
func FuzzFieldsInText(f *testing.F) {
	rules := fstest.MapFS{}
	for name, detection := range map[string]string{
		"a": "{s: {f: x, 'u.type': Root}, condition: s}", "b": "{s: {f|contains: b}, t: {g: null}, condition: s and not t}", "c": "{s: [word], condition: s}",
		"d": "{s: {u: '*', g|gt: 5}, condition: s}", "e": "{s: {'u.names': [n, m]}, t: {f|fieldref: g}, condition: 1 of them}", "g": "{s: {f|exists: false}, condition: s}",
	} {
		rules[name+".yml"] = &fstest.MapFile{Data: []byte("title: t\nid: " + name + "\nlogsource: {product: p}\ndetection: " + detection + "\n")}
	}
	engine, report, err := Load(rules, Options{})
	if err != nil || len(report.Problems) > 0 {
		f.Fatal(err, report.Problems)
	}
	f.Add([]byte(`{"f":"x","u":{"type":"Root","names":["n"]},"g":7}`), []byte(`{"f":"abc","g":"a word","u.type":"Root"}`))
	f.Add([]byte(`{"f":"\u0078","u":[{"type":"Root"}]}`), []byte(`{"\u0066":"x","f":"y","u":{"type":"Root"},"u":{}}`))
	f.Add([]byte("{\"f\":\"x\x01\",\"u\":{\"\x02\":1}}"), []byte(`{"f":7.0,"g":7,"u":null}`))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		p := newPair(engine)
		for _, text := range [][]byte{[]byte(`{}`), one, two, one} {
			p.compare(t, text, Logsource{Product: "p"})
		}
	})
}
