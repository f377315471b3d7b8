package query

import (
	"slices"
	"strings"
	"testing"

	"bartizan/internal/ioc"
	"bartizan/internal/model"
)

// FuzzMatchURL: what is saved when URLs are compared changes no result. Listed is one URL; the other comes from a visitor.
func FuzzMatchURL(f *testing.F) {
	for _, s := range []string{"http://a.example/x", "HTTP://A.example/x#y", "http://u:p@a.example:80/x", "http://ex\u00e4mple.com/", "http://ex%C3%A4mple.com/", "http://[fe80::1%25eth0]/", "//a", "a:/b://c/",
		"http://a.example?://b", "http://a.example/%7e", " http://a.example/x ", "x://a@b@c/", "http://192.0.2.1:8080/x", "http://a\\b/"} {
		f.Add(s, s)
		f.Add(s, strings.ToUpper(s))
		f.Add("http://a.example/x", s)
	}
	f.Fuzz(func(t *testing.T, listed, seen string) {
		e, err := model.ParseEntity(model.TypeURL, listed)
		if err != nil {
			return
		}
		m := newMatcher([]ioc.Indicator{{Type: model.TypeURL, Value: e.Value()}, {Type: model.TypeDomain, Value: "a.example"}})
		want := false
		if got, err := model.ParseEntity(model.TypeURL, strings.TrimSpace(seen)); err == nil && len(strings.TrimSpace(seen)) <= model.MaxEntity {
			want = got.Value() == e.Value()
		}
		for range 2 { // the second time from memory
			if got := slices.Contains(m.find(nil, model.TypeURL, seen), 0); got != want {
				t.Fatalf("listed %q, seen %q: found %t, want %t", listed, seen, got, want)
			}
			first, second := m.find(nil, typeHostPort, authority(strings.TrimSpace(seen))), m.url(nil, seen)
			if len(second) < len(first) || !slices.Equal(second[len(second)-len(first):], first) {
				t.Fatalf("%q: by its host %v, in all %v", seen, first, second)
			}
		}
	})
}
