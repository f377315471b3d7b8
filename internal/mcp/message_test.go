package mcp

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestParseMessage(t *testing.T) {
	for text, want := range map[string]Message{
		`{"jsonrpc":"2.0","id":1,"method":"ping"}`:                                    {Kind: Request, ID: "1", Method: "ping"},
		`{"jsonrpc":"2.0","id":"\u0061","method":"tools/call","params":{"name":"x"}}`: {Kind: Request, ID: `"a"`, Method: "tools/call"},
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`:                      {Kind: Notification, Method: "notifications/initialized"},
		` { "id" : -7 , "jsonrpc":"2.0", "result":{} } `:                              {Kind: Response, ID: "-7"},
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}`:           {Kind: Response},
		`{"jsonrpc":"2.0","id":3,"result":null,"extra":{"deep":[1,2,{"a":"b"}]}}`:     {Kind: Response, ID: "3"},
	} {
		m, err := ParseMessage([]byte(text))
		if err != nil || m.Kind != want.Kind || m.ID != want.ID || m.Method != want.Method || string(m.Raw) != text {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
	}
	for _, text := range []string{"", "null", "7", `"x"`, "[]", "{}", `{"jsonrpc":"2.0"}`, `{"jsonrpc":"1.0","id":1,"method":"x"}`, `{"id":1,"method":"x"}`,
		`{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}`, `{"jsonrpc":"2.0","id":1,"method":"x","Method":"y"}`, `{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1,"a":2}}`,
		`{"jsonrpc":"2.0","id":1.5,"method":"x"}`, `{"jsonrpc":"2.0","id":1e3,"method":"x"}`, `{"jsonrpc":"2.0","id":{},"method":"x"}`, `{"jsonrpc":"2.0","id":null,"method":"x"}`,
		`{"jsonrpc":"2.0","id":1,"method":"x","result":{}}`, `{"jsonrpc":"2.0","id":1,"result":{},"error":{}}`, `{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}`,
		`{"jsonrpc":"2.0","id":1,"method":7}`, `{"jsonrpc":"2.0","id":1,"method":"x"} {}`, `{"jsonrpc":"2.0","id":1,"method":"x"`, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}",
		`{"jsonrpc":"2.0","result":{}}`, `{"jsonrpc":"2.0","id":1,"method":"x","params":` + strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200) + "}",
		`{"jsonrpc":"2.0","id":"` + strings.Repeat("a", 300) + `","method":"x"}`} {
		if m, err := ParseMessage([]byte(text)); err == nil {
			t.Errorf("%.100s: taken as %+v", text, m)
		}
	}
}

func TestParseCall(t *testing.T) {
	c, err := ParseCall([]byte(`{"name":"x","arguments":{"a":1},"_meta":{"progressToken":1}}`))
	if err != nil || c.Name != "x" || string(c.Args) != `{"a":1}` {
		t.Errorf("%+v %v", c, err)
	}
	for _, text := range []string{`{}`, `{"name":"x","Name":"y"}`, `{"name":"x","Arguments":{}}`, `{"name":"x","arguments":[]}`, `{"name":7}`, `{"name":""}`} {
		if c, err := ParseCall([]byte(text)); err == nil {
			t.Errorf("%s: taken as %+v", text, c)
		}
	}
	if _, err := ParseCall(nil); err == nil {
		t.Error("no params, and taken")
	}
}

func TestBatch(t *testing.T) {
	one := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	if got, err := ParseBatch([]byte("[" + one + "," + one + "]")); err != nil || len(got) != 2 {
		t.Errorf("%v %v", got, err)
	}
	for _, text := range []string{"[]", "[[]]", "[" + one, "[1]", "[" + strings.Repeat(one+",", MaxBatch) + one + "]"} {
		if _, err := ParseBatch([]byte(text)); err == nil {
			t.Errorf("%.40s: taken", text)
		}
	}
	if !IsBatch([]byte(" \t[")) || IsBatch([]byte("{")) || IsBatch(nil) {
		t.Error("batches are not told apart")
	}
}

func TestRewrite(t *testing.T) {
	in := ` {"a": "x\"y" , "x":[ "x", 1.50, {"k":"\\"} ]}`
	out, changed, err := Rewrite([]byte(in), func(s string) string { return strings.ReplaceAll(s, "x", "z") })
	if err != nil || !changed || string(out) != ` {"a": "z\"y" , "x":[ "z", 1.50, {"k":"\\"} ]}` {
		t.Errorf("%s %v %v", out, changed, err)
	}
	out, changed, err = Rewrite([]byte(in), func(s string) string { return s })
	if err != nil || changed || string(out) != in {
		t.Errorf("%s %v %v", out, changed, err)
	}
}

func TestWith(t *testing.T) {
	got, err := With([]byte(`{"a": 1.0 ,"b":"x"}`), "b", []byte(`[]`))
	if err != nil || string(got) != `{"a":1.0,"b":[]}` {
		t.Errorf("%s %v", got, err)
	}
	if got, err = With([]byte(`{}`), "b", []byte(`1`)); err != nil || string(got) != `{"b":1}` {
		t.Errorf("%s %v", got, err)
	}
}

func TestGuessID(t *testing.T) {
	for text, want := range map[string]string{
		`{"jsonrpc":"2.0","id":5,"result":{"a":`: "5", `{"id":"x","id":"y"`: `"x"`, `{"result":{"id":7}`: "", "": "", "[": "",
	} {
		if got := GuessID([]byte(text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	in := "one\r\n\n  \n" + strings.Repeat("x", 300000) + "\n" + strings.Repeat("y", 100) + "\nlast"
	for _, r := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in)), iotest.DataErrReader(strings.NewReader(in))} {
		l := NewLines(r, 200000)
		var got []string
		long := 0
		for {
			line, err := l.Next()
			if tooLong, ok := errors.AsType[*TooLong](err); ok {
				if long++; len(tooLong.Head) != keptHead {
					t.Errorf("a head of %d bytes", len(tooLong.Head))
				}
				continue
			}
			if err != nil {
				if err != io.EOF {
					t.Error(err)
				}
				break
			}
			got = append(got, string(line))
		}
		if !slices.Equal(got, []string{"one", strings.Repeat("y", 100), "last"}) || long != 1 {
			t.Errorf("%d lines, %d too long: %.60q", len(got), long, got)
		}
	}
	exact := NewLines(strings.NewReader("12345\n123456\n"), 5)
	if line, err := exact.Next(); err != nil || string(line) != "12345" {
		t.Errorf("%q %v", line, err)
	}
	if _, err := exact.Next(); err == nil {
		t.Error("a line above the limit is taken")
	}
}

func FuzzMessage(f *testing.F) {
	for _, s := range []string{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":"b"}}}`, `[{"jsonrpc":"2.0","method":"a"}]`,
		`{"jsonrpc":"2.0","id":"a","result":{"content":[{"type":"text","text":"\ud83d\ude00"}]}}`, `{"id":1,"id":2}`, "[[", `{"jsonrpc":"2.0","id":null,"error":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		GuessID(raw)
		all, err := ParseBatch(raw)
		if err != nil {
			m, err := ParseMessage(raw)
			if err != nil {
				return
			}
			all = []Message{m}
		}
		for _, m := range all {
			if m.Kind == 0 || m.Kind == Request && (m.ID == "" || m.Method == "") || m.Kind == Response && m.Method != "" {
				t.Fatalf("%+v", m)
			}
			out, changed, err := Rewrite(m.Raw, func(s string) string { return s + "!" })
			if err != nil {
				t.Fatalf("%q: %v", m.Raw, err)
			}
			if err := checkDepth(out); err != nil {
				t.Fatal(err)
			}
			if same, other, err := Rewrite(m.Raw, func(s string) string { return s }); err != nil || other || !bytes.Equal(same, m.Raw) {
				t.Fatalf("%q became %q", m.Raw, same)
			}
			if _, _, err := Rewrite(out, func(s string) string { return s }); err != nil {
				t.Fatalf("%q, changed %v, became %q: %v", m.Raw, changed, out, err)
			}
			if m.Params != nil {
				if c, err := ParseCall(m.Params); err == nil && c.Name == "" {
					t.Fatal("a call of nothing")
				}
			}
		}
	})
}
