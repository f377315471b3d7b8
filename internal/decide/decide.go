// Package decide says what is safe to do about an indicator: a policy proposes,
// guardrails dispose, and the ledger is the memory of both.
//
// It is pure: no input or output, no clock, no goroutines. Times and facts are
// passed in, entries for the ledger come out, and whoever calls it appends
// them and folds them back. It enforces nothing; that is package enforce.
package decide

import (
	"net/netip"
	"time"

	"bartizan/internal/model"
)

// Baseline knows the recent good traffic of the node. A nil Baseline knows
// nothing.
type Baseline interface {
	// Share is the part, 0 to 1, of the recent good traffic that comes from
	// the prefix; known is false while too little was seen to tell.
	Share(prefix netip.Prefix) (share float64, known bool)
	// Clients is the number of distinct good clients seen behind the prefix,
	// as far as they can be told apart.
	Clients(prefix netip.Prefix) int
}

// Prefixes is a set of networks.
type Prefixes interface {
	// OverlapsPrefix reports whether any network of the set contains, equals or
	// lies inside the prefix.
	OverlapsPrefix(prefix netip.Prefix) bool
}

// BenignList is a list of networks that serve many people, and what its hits
// mean: GuardHold for "a person decides", GuardNever for "nobody may".
type BenignList struct {
	Name    string
	Verdict model.Verdict
	List    Prefixes
}

// The facts a guardrail can miss; Facts.Unknown names them, optionally with
// ": why" behind.
const (
	FactOwn       = "own"       // own prefixes and interface addresses
	FactResolvers = "resolvers" // DNS resolvers in use
	FactGateways  = "gateways"  // next hops
	FactBalancers = "balancers" // load balancers and other PROXY protocol peers
	FactSessions  = "sessions"  // live administration sessions
	FactBenign    = "benign"    // lists of benign services
)

// Facts is what the guardrails know about the world at one moment. It is
// passed by value and never changed.
type Facts struct {
	Never     []netip.Prefix // named in the node's configuration, besides the policy's never-list
	Own       []netip.Prefix // networks that are ours
	Addresses []netip.Addr   // addresses of our interfaces
	Resolvers []netip.Addr
	Gateways  []netip.Addr
	Balancers []netip.Prefix
	Sessions  []netip.Addr // where people administer this node from right now
	Baseline  Baseline
	Benign    []BenignList
	Clients   Clients // who reads requests and refuses keys, users and prompts
	// Unknown lists what could not be read. The guardrail that needs it then
	// answers "unknown", which holds; a name that is none of the Fact…
	// constants holds everything.
	Unknown []string
}

// forcible reports whether an action changes anything on a device. Only such
// decisions can be stopped by guardrails; an alert about our own gateway is
// worth more, not less.
func forcible(a model.Action) bool { return a >= model.Throttle }

// actor reports whether the prefix is the unit one source is judged by: an
// IPv4 address or an IPv6 /64.
func actor(p netip.Prefix) bool {
	return p.IsValid() && p == model.ActorPrefix(p.Addr())
}

// MaxReason is the longest reason kept, in bytes.
const MaxReason = 512

// clip shortens a text made by us or by a local person.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 { // not inside a character
		n--
	}
	return s[:n]
}

// scale multiplies a duration without overflow.
func scale(d time.Duration, by float64) time.Duration {
	v := float64(d) * by
	if !(v < float64(1<<62)) {
		return 1 << 62
	}
	return time.Duration(v)
}
