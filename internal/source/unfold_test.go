package source_test

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"bartizan/internal/source"
)

func unfold(t testing.TB, s string) string {
	t.Helper()
	out, err := io.ReadAll(source.Unfold(strings.NewReader(s)))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestUnfold(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"records in one line": {`{"Records":[{"a":1},{"b":{"c":[1,2]}}]}`, "{\"a\":1}\n{\"b\":{\"c\":[1,2]}}\n"},
		"records, pretty":     {"{\n \"Records\": [\n  {\n   \"a\": \"x}\\\"]\"\n  }\n ]\n}\n", "{    \"a\": \"x}\\\"]\"   }\n"},
		"no records":          {`{"Records":[]}`, ""},
		"an array":            {`[{"a":1}, {"b":[{"c":2}]}]`, "{\"a\":1}\n{\"b\":[{\"c\":2}]}\n"},
		"objects over lines":  {"{\n\"a\":1\n}\n{\n\"b\":2\n}\n", "{ \"a\":1 }\n{ \"b\":2 }\n"},
		"JSON lines":          {"{\"a\":1}\n{broken\n{\"b\":2}\n", "{\"a\":1}\n{broken\n{\"b\":2}\n"},
		"text":                {"Feb 12 [x] {y\n", "Feb 12 [x] {y\n"},
		"Apache's error log":  {"[Fri Oct 11 14:32:52 2024] [x] y\n", "[Fri Oct 11 14:32:52 2024] [x] y\n"},
		"cut":                 {`{"Records":[{"a":1},{"b":`, "{\"a\":1}\n{\"b\":\n"},
	} {
		if got := unfold(t, c.in); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}

// FuzzUnfold: for valid JSON of either wrapped form the lines are exactly the
// elements; nothing else panics or grows.
func FuzzUnfold(f *testing.F) {
	f.Add([]byte(`{"Records":[{"a":"\\\""},{"b":[{}]}]}`))
	f.Add([]byte(`[{"a":1},{"b":2}]`))
	f.Add([]byte("{\n}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out := unfold(t, string(in))
		if len(out) > 2*len(in)+2 {
			t.Fatalf("%d bytes became %d", len(in), len(out))
		}
		var list []json.RawMessage
		if bytes.HasPrefix(in, []byte(`[{"`)) && json.Unmarshal(in, &list) == nil {
			for _, e := range list {
				if e[0] != '{' {
					return // lists in lists are no logs
				}
			}
			if n := strings.Count(out, "\n"); n != len(list) {
				t.Fatalf("%d lines of %d elements of %q", n, len(list), in)
			}
			for i, line := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
				var a, b bytes.Buffer
				if json.Compact(&a, list[i]) != nil || json.Compact(&b, []byte(line)) != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
					t.Fatalf("element %d of %q became %q", i, in, line)
				}
			}
		}
	})
}
