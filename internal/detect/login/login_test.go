package login

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

type step struct {
	after    time.Duration
	user     string
	accepted bool
}

func run(t *testing.T, steps []step, change func(*observe.Observation)) []string {
	t.Helper()
	d, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out []string
	for _, s := range steps {
		now = now.Add(s.after)
		o := observe.Observation{Kind: observe.KindAuth, Time: now, Service: "ssh", Remote: netip.MustParseAddrPort("192.0.2.1:4711"),
			Auth: &observe.AuthAttempt{Method: "password", User: s.user, Accepted: s.accepted}}
		if change != nil {
			change(&o)
		}
		d.Detect(&o, func(s *model.Signal) { out = append(out, s.Rule) })
	}
	return out
}

func times(n int, s step) []step { return slices.Repeat([]step{s}, n) }

func TestLogin(t *testing.T) {
	second, minute := time.Second, time.Minute
	for name, c := range map[string]struct {
		steps []step
		want  []string
	}{
		"a person":            {append(times(5, step{after: 5 * second, user: "ann"}), step{second, "ann", true}), nil},
		"a person, two tries": {append(append(times(3, step{after: 5 * second, user: "ann"}), step{after: minute, user: "ann"}), times(2, step{after: 5 * second, user: "ann"})...), nil},
		"a device all day":    {times(500, step{after: 2 * minute, user: "scanner"}), nil},
		"fast":                {times(40, step{after: second, user: "root"}), []string{"auth.brute-force"}},
		"slow":                {times(40, step{after: 30 * second, user: "root"}), []string{"auth.brute-force.slow"}},
		"guessed":             {append(times(10, step{after: second, user: "root"}), step{second, "root", true}), []string{"auth.brute-force", "access.guessed"}},
		"again after a pause": {append(times(8, step{after: second, user: "root"}), append([]step{{after: time.Hour, user: "root"}}, times(8, step{after: second, user: "root"})...)...), []string{"auth.brute-force", "auth.brute-force"}},
		"spray": {[]step{{second, "a", false}, {minute, "b", false}, {minute, "c", false}, {minute, "d", false}, {minute, "e", false}, {minute, "f", false}},
			[]string{"auth.spray"}},
		"late records": {times(8, step{after: -second, user: "root"}), []string{"auth.brute-force"}},
	} {
		if got := run(t, c.steps, nil); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if got := run(t, times(40, step{after: second, user: "root"}), func(o *observe.Observation) { o.Decoy = "ssh" }); len(got) != 0 {
		t.Errorf("an observation of a decoy: %v", got)
	}
}

func TestRequests(t *testing.T) {
	for name, c := range map[string]struct {
		req  observe.HTTPRequest
		want bool
	}{
		"basic":               {observe.HTTPRequest{Method: "GET", Target: "/", Status: 401}, true},
		"wordpress":           {observe.HTTPRequest{Method: "POST", Target: "/blog/wp-login.php?x=1", Status: 200}, true},
		"wordpress, let in":   {observe.HTTPRequest{Method: "POST", Target: "/wp-login.php", Status: 302}, false},
		"wordpress, the form": {observe.HTTPRequest{Method: "GET", Target: "/wp-login.php", Status: 200}, false},
		"refused login":       {observe.HTTPRequest{Method: "POST", Target: "/api/Login", Status: 403}, true},
		"refused page":        {observe.HTTPRequest{Method: "GET", Target: "/admin", Status: 403}, false},
		"a search":            {observe.HTTPRequest{Method: "POST", Target: "/search", Status: 200}, false},
	} {
		got := run(t, times(20, step{after: time.Second}), func(o *observe.Observation) { o.Auth, o.HTTP, o.Kind = nil, &c.req, observe.KindHTTP })
		if (len(got) == 1) != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestConfig(t *testing.T) {
	for i, bad := range []func(*Config){func(c *Config) { c.Burst = 1 }, func(c *Config) { c.Users = 17 }, func(c *Config) { c.Drain = 0 }, func(c *Config) { c.MaxActors = 0 }} {
		c := Default()
		bad(&c)
		if _, err := New(c); err == nil {
			t.Errorf("case %d was taken", i)
		}
	}
}

var _ detect.Detector = (*detector)(nil)
