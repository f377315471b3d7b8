// Package login decides which guessed credentials a decoy lets in.
//
// A decoy that accepts everything is recognised by the first second attempt,
// one that accepts nothing is never visited. The gate therefore plays a weak
// host: a source is refused at first, so that guessing shows before access
// does, then finds a weak password, and from then on that account has this one
// password for that source. It knows nothing of protocols and keeps
// no passwords, only keyed hashes.
package login

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"bartizan/internal/decoy/persona"
	"bartizan/internal/model"
)

// Policy says when a decoy gives in.
type Policy struct {
	// Weak are the pairs "user:password" that open once the source has failed
	// WeakAfter times. An empty password never opens unless it is listed.
	Weak      []string `yaml:"weak"`
	WeakAfter int      `yaml:"weak_after"`
	// AnyAfter failed attempts, plus 0 to AnySpread more depending on persona and
	// source, any password opens, if the source has opened no other account yet.
	AnyAfter  int `yaml:"any_after"`
	AnySpread int `yaml:"any_spread"`
	// Handover is how long a credential that AnyAfter let one source find opens
	// for every other: bots report what they find to a loader that comes from
	// elsewhere and tries it once. 0 is never.
	Handover time.Duration `yaml:"handover"`
	// Never refuses every password.
	Never bool `yaml:"never"`
	// MaxSources bounds what is remembered; the source not seen for longest goes first.
	MaxSources int `yaml:"max_sources"`
}

// Default makes guessing succeed between the sixth and the fifteenth attempt.
// The pairs are the ones every list of bots starts with.
func Default() Policy {
	return Policy{
		Weak: []string{
			"root:root", "root:admin", "root:123456", "root:password", "root:1234", "root:12345", "root:toor", "root:qwerty",
			"root:xc3511", "root:vizxv", "root:888888", "root:default", "root:anko", "root:7ujMko0admin", "root:5up", "root:",
			"admin:admin", "admin:password", "admin:1234", "admin:123456", "admin:smcadmin", "support:support", "user:user",
			"guest:guest", "pi:raspberry", "test:test", "ubuntu:ubuntu", "oracle:oracle", "postgres:postgres",
		},
		WeakAfter: 5, AnyAfter: 10, AnySpread: 4, Handover: 10 * time.Minute, MaxSources: 65536,
	}
}

// maxAccounts bounds the accounts one source may open; maxShared what is
// handed over.
const (
	maxAccounts = 8
	maxShared   = 1024
)

// Gate remembers who has tried what. It is safe for concurrent use.
type Gate struct {
	policy Policy
	seed   maphash.Seed
	weak   map[uint64]bool

	mu      sync.Mutex
	sources map[netip.Prefix]*source
	newest  source // ring of sources by use: newest.next is the newest
	shared  map[uint64]time.Time
}

// source is one actor's history.
type source struct {
	key        netip.Prefix
	prev, next *source
	failures   int
	anyAt      int
	accounts   []account
}

// account is one the source has opened.
type account struct{ user, credential uint64 }

// New makes a gate. Errors name the setting and what it must be.
func New(p Policy) (*Gate, error) {
	g := &Gate{policy: p, seed: maphash.MakeSeed(), weak: map[uint64]bool{}, sources: map[netip.Prefix]*source{}, shared: map[uint64]time.Time{}}
	g.newest.prev, g.newest.next = &g.newest, &g.newest
	switch {
	case p.WeakAfter < 0 || p.AnyAfter < 0 || p.AnySpread < 0 || p.Handover < 0:
		return nil, errors.New("check login policy: weak_after, any_after, any_spread and handover must not be negative")
	case p.MaxSources < 1:
		return nil, errors.New("check login policy: max_sources must be at least 1")
	}
	for _, pair := range p.Weak {
		user, password, ok := strings.Cut(pair, ":")
		if !ok || user == "" {
			return nil, fmt.Errorf("check login policy: weak pair %q must be user:password", pair)
		}
		g.weak[g.hash(user, password)] = true
	}
	return g, nil
}

// hash makes one number of a pair; the user's length keeps "a","bc" and
// "ab","c" apart.
func (g *Gate) hash(user, password string) uint64 {
	var h maphash.Hash
	h.SetSeed(g.seed)
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(user)))
	h.Write(n[:])
	h.WriteString(user)
	h.WriteString(password)
	return h.Sum64()
}

// Try says whether the credential opens for a visitor from addr, and remembers
// the attempt. What once opened for a visitor opens again, and no other
// password of that account does, unless somebody else has just found it or
// this visitor starts guessing all over.
func (g *Gate) Try(p *persona.Persona, addr netip.Addr, user, password string, now time.Time) bool {
	if g.policy.Never {
		return false
	}
	key := model.ActorPrefix(addr)
	credential, name := g.hash(user, password), g.hash(user, "\x00account")
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.source(p, key)
	at := slices.IndexFunc(s.accounts, func(a account) bool { return a.user == name })
	switch {
	case at >= 0 && s.accounts[at].credential == credential:
	case at >= 0 && g.changed(s, credential, password, now):
		s.accounts[at].credential = credential
	case at < 0 && g.opens(s, credential, password, now):
		s.accounts = append(s.accounts, account{name, credential})
	default:
		s.failures++
		return false
	}
	s.failures = 0
	return true
}

// opens decides about an account the source has not opened yet.
func (g *Gate) opens(s *source, credential uint64, password string, now time.Time) bool {
	switch {
	case len(s.accounts) >= maxAccounts:
		return false
	case g.weak[credential]:
		return s.failures >= g.policy.WeakAfter
	case g.handed(credential, now):
		return true
	case len(s.accounts) > 0 || password == "" || s.failures < s.anyAt:
		return false
	}
	g.share(credential, now)
	return true
}

// changed decides whether an account the source has opened has got another
// password since.
func (g *Gate) changed(s *source, credential uint64, password string, now time.Time) bool {
	if g.handed(credential, now) {
		return true
	}
	if password == "" || g.weak[credential] || s.failures < s.anyAt {
		return false
	}
	g.share(credential, now)
	return true
}

// handed says whether another source has found the credential a moment ago.
func (g *Gate) handed(credential uint64, now time.Time) bool {
	until, ok := g.shared[credential]
	if ok && !now.Before(until) {
		delete(g.shared, credential)
		return false
	}
	return ok
}

// share lets others use what was found, for a while.
func (g *Gate) share(credential uint64, now time.Time) {
	if g.policy.Handover == 0 {
		return
	}
	if len(g.shared) >= maxShared {
		for k, until := range g.shared {
			if !now.Before(until) {
				delete(g.shared, k)
			}
		}
	}
	if len(g.shared) < maxShared {
		g.shared[credential] = now.Add(g.policy.Handover)
	}
}

// source finds or makes the entry of a source and moves it to the front.
func (g *Gate) source(p *persona.Persona, key netip.Prefix) *source {
	s := g.sources[key]
	if s == nil {
		if len(g.sources) >= g.policy.MaxSources {
			g.forget(g.newest.prev)
		}
		s = &source{key: key, anyAt: g.policy.AnyAfter}
		if n := g.policy.AnySpread; n > 0 {
			s.anyAt += int(binary.BigEndian.Uint32(p.Derive("login "+key.String(), 4)) % uint32(n+1))
		}
		g.sources[key] = s
	} else {
		s.prev.next, s.next.prev = s.next, s.prev
	}
	s.prev, s.next = &g.newest, g.newest.next
	s.prev.next, s.next.prev = s, s
	return s
}

func (g *Gate) forget(s *source) {
	s.prev.next, s.next.prev = s.next, s.prev
	delete(g.sources, s.key)
}
