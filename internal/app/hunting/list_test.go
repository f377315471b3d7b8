package hunting

import (
	"errors"
	"io"
	"strings"
	"testing"

	"bartizan/internal/api"
	"bartizan/internal/ioc"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/lake/query"
)

// TestListsThatAreRefused: what cannot be looked for is a mistake of the caller, and takes nobody's place.
func TestListsThatAreRefused(t *testing.T) {
	d := New(t.TempDir(), bucket.Config{}, io.Discard)
	for _, list := range []string{"", "what is this?\n", `{"type":"bundle"`} {
		_, err := d.HuntList(t.Context(), api.HuntListRequest{List: list})
		if !errors.Is(err, api.ErrInput) {
			t.Errorf("%q: %v", list, err)
		}
	}
	var many strings.Builder
	for i := range api.HuntListMost + 1 {
		many.WriteString("h")
		many.WriteString(strings.Repeat("x", 1+i%7))
		many.WriteString(string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676%26)) + string(rune('a'+i/17576%26)) + ".example\n")
	}
	if _, err := d.HuntList(t.Context(), api.HuntListRequest{List: many.String()}); !errors.Is(err, api.ErrInput) || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too many: %v", err)
	}
	if len(d.place) != 0 {
		t.Error("the place is held")
	}
}

// TestSightings: matches come together by indicator, in the order they were found.
func TestSightings(t *testing.T) {
	list := []ioc.Indicator{{Type: "ip", Value: "192.0.2.1", Line: 1}, {Type: "domain", Value: "evil.example", Line: 2, Note: "n"}}
	got := sightings(list, []query.Match{{Indicator: 1, View: "http", Column: "host", Count: 3}, {Indicator: 0, View: "http", Column: "src_ip"}, {Indicator: 1, View: "queries", Column: "name", Count: 4}})
	if len(got) != 2 || got[0].Value != "evil.example" || got[0].Note != "n" || len(got[0].Where) != 2 || got[0].Where[1].Count != 4 || got[1].Line != 1 {
		t.Errorf("%+v", got)
	}
}
