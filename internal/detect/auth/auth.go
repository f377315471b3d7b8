// Package auth concludes things from offered credentials: attempts, brute
// force, spraying, one credential offered by many, logins that a decoy
// accepted, and the use of keys that only our own lures contain.
//
// It knows nothing about real accounts. Passwords are compared by keyed hash
// and leave the package neither in signals nor in memory.
package auth

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
	Window time.Duration `yaml:"window"` // in which attempts are counted together
	// Attempts by one actor within the window that make a brute force.
	Attempts int `yaml:"attempts"`
	// KeyAttempts is the same for offered public keys: a client with a full
	// agent offers several before it asks for a password.
	KeyAttempts int `yaml:"key_attempts"`
	// SprayUsers distinct users with at most half as many passwords make a spray.
	SprayUsers int `yaml:"spray_users"`
	// SharedActors actors offering the same credential make a distributed attack.
	SharedActors int `yaml:"shared_actors"`
	MaxActors    int `yaml:"max_actors"`
	// Lures are identifiers of keys that exist nowhere but in our lures.
	Lures []string `yaml:"lures"`
}

// Default configuration: five is what sshd's MaxAuthTries (6) lets a person who
// forgot a password reach in one connection, less one.
func Default() Config {
	return Config{Window: 10 * time.Minute, Attempts: 5, KeyAttempts: 12, SprayUsers: 4, SharedActors: 4, MaxActors: 65536}
}

// New makes the detector.
func New(c Config) (detect.Detector, error) {
	if c.Window <= 0 || c.Attempts < 2 || c.KeyAttempts < 2 || c.SprayUsers < 2 || c.SharedActors < 2 || c.MaxActors < 1 {
		return nil, errors.New("auth detector: window must be positive and every threshold at least 2")
	}
	d := &detector{conf: c, seed: maphash.MakeSeed(), actors: detect.NewTable[who, actor](c.MaxActors),
		shared: detect.NewTable[uint64, offered](c.MaxActors), lures: map[string]bool{}}
	for _, l := range c.Lures {
		d.lures[l] = true
	}
	return d, nil
}

const (
	maxDistinct = 16
	maxSharers  = 8
)

type who struct {
	addr      netip.Addr
	spoofable bool
}

// actor is what is remembered about one.
type actor struct {
	since     time.Time // start of the window
	attempts  int
	keys      int
	users     [maxDistinct]uint32
	passwords [maxDistinct]uint32
	nUsers    int // distinct, counted up to maxDistinct
	nPass     int
}

// offered is what is remembered about a credential.
type offered struct {
	since time.Time
	by    [maxSharers]uint32
	n     int
}

type detector struct {
	conf   Config
	seed   maphash.Seed
	actors *detect.Table[who, actor]
	shared *detect.Table[uint64, offered]
	lures  map[string]bool
	sig    model.Signal
	rel    [4]model.Entity
}

var (
	techAttempt = []string{"T1110"}
	techBrute   = []string{"T1110.001"}
	techSpray   = []string{"T1110.003"}
	techStuff   = []string{"T1110.004"}
	techLogin   = []string{"T1078"}
	techKey     = []string{"T1552.001", "T1078.004"}
)

// Detect implements detect.Detector.
func (d *detector) Detect(o *observe.Observation, emit detect.Emit) {
	if len(d.lures) > 0 {
		d.lure(o, emit)
	}
	if o.Auth == nil || o.Auth.Method == "none" {
		return
	}
	t := o.Auth
	guessed := t.Method != "publickey"
	a, _ := d.actors.Get(who{detect.Actor(o.Remote), o.Spoofable})
	if !detect.Within(a.since, o.Time, d.conf.Window) {
		*a = actor{since: o.Time}
	}
	a.nUsers = note(a.users[:], a.nUsers, d.hash("u", t.User))
	if guessed {
		a.attempts++
		a.nPass = note(a.passwords[:], a.nPass, d.hash("p", t.Password))
	} else {
		a.keys++
	}
	d.rel[0] = model.Entity{}
	if e, err := model.ParseEntity(model.TypeAccessKey, t.Key); err == nil && t.Method != "publickey" {
		d.rel[0] = e
	}
	d.say(emit, "auth.attempt", "offered a credential to a decoy", model.ClassAuth, 0.78, model.Low, techAttempt)
	if a.attempts >= d.conf.Attempts || a.keys >= d.conf.KeyAttempts {
		d.say(emit, "auth.brute-force", "guessed credentials", model.ClassAuth, 0.97, model.High, techBrute)
	}
	if a.nUsers >= d.conf.SprayUsers && a.nPass > 0 && a.nPass*2 <= a.nUsers {
		d.say(emit, "auth.spray", "tried few passwords on many users", model.ClassAuth, 0.96, model.High, techSpray)
	}
	if guessed {
		d.distributed(o, emit)
	}
	if t.Accepted {
		d.say(emit, "access.login", "logged in to a decoy", model.ClassAccess, 0.97, model.High, techLogin)
	}
}

// distributed looks for one uncommon credential offered by many actors.
func (d *detector) distributed(o *observe.Observation, emit detect.Emit) {
	if len(o.Auth.Password) < 6 || o.Spoofable {
		return // everybody tries short ones
	}
	var h maphash.Hash
	h.SetSeed(d.seed)
	h.WriteString(o.Auth.User)
	h.WriteByte(0xff)
	h.WriteString(o.Auth.Password)
	s, _ := d.shared.Get(h.Sum64())
	if !detect.Within(s.since, o.Time, d.conf.Window) {
		*s = offered{since: o.Time}
	}
	a := detect.Actor(o.Remote).As16()
	s.n = note(s.by[:], s.n, d.hash("a", string(a[:])))
	if s.n >= d.conf.SharedActors {
		d.say(emit, "auth.distributed", "one credential offered by many addresses", model.ClassAuth, 0.80, model.Medium, techStuff)
	}
}

// lure looks for keys that can only have been read in our lures.
func (d *detector) lure(o *observe.Observation, emit detect.Emit) {
	check := func(s string) {
		if s == "" || !d.lures[s] {
			return
		}
		e, err := model.ParseEntity(model.TypeAccessKey, s)
		if err != nil {
			return
		}
		d.rel[0] = e
		d.say(emit, "access.lure-key", "used a key that only our lure contains", model.ClassAccess, 0.97, model.Critical, techKey)
	}
	switch {
	case o.Auth != nil:
		check(o.Auth.Key)
		check(o.Auth.Password)
	case o.Exchange != nil:
		check(o.Exchange.Key)
	case o.HTTP != nil:
		for i := range o.HTTP.Headers {
			d.words(o.HTTP.Headers[i].Value, check)
		}
		d.words(o.HTTP.Target, check)
	case o.Command != nil:
		d.words(o.Command.Line, check)
	}
}

// words calls check with the tokens of s that could be keys.
func (d *detector) words(s string, check func(string)) {
	for w := range strings.FieldsFuncSeq(s, notKey) {
		if len(w) >= 12 && len(w) <= 256 {
			check(w)
		}
	}
}

func notKey(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
}

func (d *detector) say(emit detect.Emit, kind, title string, c model.Class, confidence float64, sev model.Severity, tech []string) {
	d.sig = model.Signal{Kind: kind, Class: c, Rule: kind, Title: title, Confidence: confidence, Severity: sev, Techniques: tech, Count: 1}
	if !d.rel[0].IsZero() {
		d.sig.Related = d.rel[:1]
	}
	emit(&d.sig)
}

func (d *detector) hash(kind, s string) uint32 {
	var h maphash.Hash
	h.SetSeed(d.seed)
	h.WriteString(kind)
	h.WriteString(s)
	return uint32(h.Sum64()) | 1 // 0 means empty
}

// note adds v to the n values of list and returns the new number; a full list
// takes no more, which is enough for thresholds below its length.
func note(list []uint32, n int, v uint32) int {
	for _, x := range list[:n] {
		if x == v {
			return n
		}
	}
	if n < len(list) {
		list[n] = v
		n++
	}
	return n
}
