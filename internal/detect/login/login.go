// Package login concludes things from what real services log about offered
// credentials: brute force, spraying, guessing that succeeded.
//
// People mistype passwords, so a failed attempt is nothing by itself. What is
// counted are leaky buckets per source: a person empties them faster than he
// fills them.
package login

import (
	"errors"
	"hash/maphash"
	"net/netip"
	"strings"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Config of the family.
type Config struct {
	// Burst failed attempts beyond what drains away, one per Drain, are a brute force.
	Burst int           `yaml:"burst"`
	Drain time.Duration `yaml:"drain"`
	// SlowBurst and SlowDrain do the same for guessing that takes its time.
	SlowBurst int           `yaml:"slow_burst"`
	SlowDrain time.Duration `yaml:"slow_drain"`
	// Users distinct names that failed within Window are a spray.
	Users  int           `yaml:"users"`
	Window time.Duration `yaml:"window"`
	// MaxActors is how many sources are remembered.
	MaxActors int `yaml:"max_actors"`
}

// Default configuration. sshd ends a connection after six attempts
// (MaxAuthTries) and its client asks three times; somebody who forgot a
// password makes up to six attempts in two connections and then looks for it.
// Five waiting, one per ten seconds draining, means that the sixth within a
// minute counts. Ten at one per minute finds guessing at the speed that evades
// it. Five names are more than a person or a device has.
func Default() Config {
	return Config{Burst: 5, Drain: 10 * time.Second, SlowBurst: 10, SlowDrain: time.Minute, Users: 5, Window: 10 * time.Minute, MaxActors: 65536}
}

// New makes the detector.
func New(c Config) (detect.Detector, error) {
	if c.Burst < 2 || c.SlowBurst < 2 || c.Users < 2 || c.Users > maxUsers || c.Drain <= 0 || c.SlowDrain <= 0 || c.Window <= 0 || c.MaxActors < 1 {
		return nil, errors.New("login detector: burst, slow_burst and users must be at least 2 (users at most 16), every duration positive")
	}
	return &detector{conf: c, seed: maphash.MakeSeed(), actors: detect.NewTable[key, actor](c.MaxActors)}, nil
}

const maxUsers = 16

// key keeps apart what one source does to different services.
type key struct {
	addr    netip.Addr
	service string
}

// actor is what is remembered about one source.
type actor struct {
	last       time.Time // newest failure
	fast, slow float64   // levels of the buckets
	fails      int       // in this run of failures
	told       bool      // a brute force was told and the slow bucket has not drained since
	usersSince time.Time
	users      [maxUsers]uint32
	nUsers     int
	toldSpray  bool
}

type detector struct {
	conf   Config
	seed   maphash.Seed
	actors *detect.Table[key, actor]
	sig    model.Signal
}

var (
	techBrute = []string{"T1110.001"}
	techSpray = []string{"T1110.003"}
	techLogin = []string{"T1078", "T1110"}
)

// Detect implements detect.Detector. Observations of decoys are left to the
// family auth: nobody has an account there.
func (d *detector) Detect(o *observe.Observation, emit detect.Emit) {
	if o.Decoy != "" {
		return
	}
	var a observe.AuthAttempt
	switch {
	case o.Auth != nil:
		a = *o.Auth
	case o.HTTP != nil:
		var ok bool
		if a, ok = attempt(o.HTTP); !ok {
			return
		}
	default:
		return
	}
	k := key{detect.Actor(o.Remote), o.Service}
	if a.Accepted {
		if s := d.actors.Peek(k); s != nil {
			d.accepted(o, s, &a, emit)
		}
		return
	}
	s, _ := d.actors.Get(k)
	d.failed(o, s, &a, emit)
}

// attempt reads a failed login from a request: 401 and 403 to something sent to
// a place where one logs in, 401 to credentials of HTTP itself, and the form of
// WordPress, which answers a wrong password with 200 and a right one with 302.
func attempt(h *observe.HTTPRequest) (a observe.AuthAttempt, ok bool) {
	path, _, _ := strings.Cut(h.Target, "?")
	switch {
	case h.Status == 401:
		return observe.AuthAttempt{Method: "basic"}, true
	case h.Method != "POST":
		return a, false
	case h.Status == 403 && loginPath(path), h.Status == 200 && (strings.HasSuffix(path, "/wp-login.php") || strings.HasSuffix(path, "/xmlrpc.php")):
		return observe.AuthAttempt{Method: "form"}, true
	}
	return a, false
}

func loginPath(p string) bool {
	p = strings.ToLower(p[:min(len(p), 512)])
	for _, w := range [...]string{"login", "signin", "sign-in", "sign_in", "/auth", "/session", "logon", "/token"} {
		if strings.Contains(p, w) {
			return true
		}
	}
	return false
}

func (d *detector) failed(o *observe.Observation, s *actor, a *observe.AuthAttempt, emit detect.Emit) {
	now := o.Time
	if dt := now.Sub(s.last).Seconds(); dt > 0 { // a record that comes late drains nothing
		s.fast = max(0, s.fast-dt/d.conf.Drain.Seconds())
		s.slow = max(0, s.slow-dt/d.conf.SlowDrain.Seconds())
		if s.slow == 0 {
			s.told, s.fails = false, 0
		}
		s.last = now
	}
	s.fast, s.slow = s.fast+1, s.slow+1
	s.fails++
	if !s.told && (s.fast > float64(d.conf.Burst) || s.slow > float64(d.conf.SlowBurst)) {
		s.told = true
		rule := "auth.brute-force"
		if s.fast <= float64(d.conf.Burst) {
			rule = "auth.brute-force.slow"
		}
		d.say(o, "auth.brute-force", rule, "guessed credentials of a service", 0.93, model.High, techBrute, s.fails, emit)
	}
	if a.User == "" {
		return
	}
	if !detect.Within(s.usersSince, now, d.conf.Window) {
		s.usersSince, s.nUsers, s.toldSpray = now, 0, false
	}
	v := uint32(maphash.String(d.seed, strings.ToLower(a.User))) | 1
	for _, x := range s.users[:s.nUsers] {
		if x == v {
			return
		}
	}
	if s.nUsers < maxUsers {
		s.users[s.nUsers] = v
		s.nUsers++
	}
	if s.nUsers >= d.conf.Users && !s.toldSpray {
		s.toldSpray = true
		d.say(o, "auth.spray", "auth.spray", "tried credentials of many users", 0.95, model.High, techSpray, s.nUsers, emit)
	}
}

// accepted tells of a login by a source that was guessing.
func (d *detector) accepted(o *observe.Observation, s *actor, a *observe.AuthAttempt, emit detect.Emit) {
	if (s.told || s.toldSpray) && detect.Within(s.last, o.Time, d.conf.Window) {
		d.say(o, "access.guessed", "access.guessed", "logged in after guessing credentials", 0.97, model.Critical, techLogin, s.fails, emit)
	}
	if !s.told { // a person who remembered the password
		s.fast, s.fails = 0, 0
	}
}

func (d *detector) say(o *observe.Observation, kind, rule, title string, conf float64, sev model.Severity, tech []string, n int, emit detect.Emit) {
	class := model.ClassAuth
	if kind == "access.guessed" {
		class = model.ClassAccess
	}
	d.sig = model.Signal{Kind: kind, Class: class, Rule: rule, Title: title, Confidence: conf, Severity: sev, Techniques: tech, Count: max(n, 1)}
	emit(&d.sig)
}
