package source_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"bartizan/internal/observe"
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

// exactly is a format with one record.
type exactly string

func (e exactly) Decode(record []byte, _ uint64, _ *observe.LogBatch) error {
	if string(record) != string(e) {
		return source.ErrFormat
	}
	return nil
}

// TestCarried: what collectors put around a record is taken off.
func TestCarried(t *testing.T) {
	const vpc = "2 123456789010 eni-1 10.0.0.5 45.33.32.156 50000 443 6 12 4400 1700000000 1700000003 ACCEPT OK"
	for name, c := range map[string]struct {
		in   string
		want uint64 // records that are read
	}{
		"as it stands":                    {vpc + "\n", 1},
		"behind a mark of Windows":        {"\xef\xbb\xbf" + vpc + "\r\n", 1},
		"Docker":                          {`{"log":"` + vpc + `\n","stream":"stdout","time":"2025-10-10T13:55:00Z"}` + "\n", 1},
		"Filebeat":                        {`{"@timestamp":"2025-10-10T13:55:00Z","message":"` + vpc + `"}` + "\n", 1},
		"CRI":                             {"2025-10-10T13:55:00.123456789Z stdout F " + vpc + "\n", 1},
		"aws logs tail":                   {"2025-10-10T13:55:00.123000+00:00 eni-1-all " + vpc + "\n", 1},
		"a subscription":                  {`{"messageType":"DATA_MESSAGE","subscriptionFilters":["x"],"logEvents":[{"id":"1","message":"` + vpc + `"},{"id":"2","message":"` + vpc + `"}]}`, 2},
		"subscriptions without lines":     {strings.Repeat(`{"logEvents":[{"message":"`+vpc+`"}]}`, 3), 3},
		"filter-log-events":               {"{\n  \"events\": [\n    {\n      \"message\": \"" + vpc + "\"\n    }\n  ]\n}\n", 1},
		"objects without lines":           {strings.Repeat(`{"message":"`+vpc+`"}`, 3), 3},
		"something else in a collector's": {`{"message":"hello"}` + "\n", 0},
	} {
		r := source.NewReader(source.Options{Input: name, Format: "lines", Decoder: exactly(vpc)})
		if err := r.Read(t.Context(), source.Unfold(strings.NewReader(c.in)), func(context.Context, *observe.LogBatch) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if n := r.Counts(); n.Records-n.Malformed != c.want {
			t.Errorf("%s: %+v, want %d", name, n, c.want)
		}
	}
}
