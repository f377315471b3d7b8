package model

import (
	"fmt"
	"time"
)

// Decision is an order with a reason and an end. Exported as OCSF Remediation
// Activity.
type Decision struct {
	ID         ULID      `json:"id"`
	Action     Action    `json:"action"`
	Target     Entity    `json:"target"`
	Policy     string    `json:"policy"` // name of the policy rule, or "manual"
	Reason     string    `json:"reason"` // one line for people
	Because    Because   `json:"because"`
	Guardrails []Guarded `json:"guardrails"`
	From       time.Time `json:"from"`
	Until      time.Time `json:"until"`
	Recurrence int       `json:"recurrence"`      // how many earlier decisions of this kind the target had
	DryRun     bool      `json:"dry_run"`         // true: recorded, not enforced (observe mode)
	Lease      ULID      `json:"lease,omitzero"`  // drill lease under which it was made
	Actor      string    `json:"actor,omitempty"` // person behind a manual one ("uid=0 via admin socket")
	State      State     `json:"state"`           // as folded from the ledger
	Ended      time.Time `json:"ended,omitzero"`  // when it stopped being in force
	EndReason  string    `json:"ended_by,omitempty"`
	Seq        uint64    `json:"seq,omitempty"` // ledger sequence of its first entry
}

// Because names what a decision rests on.
type Because struct {
	Signals    []ULID   `json:"signals,omitempty"`
	Indicator  Entity   `json:"indicator,omitzero"`
	Confidence float64  `json:"confidence,omitempty"`
	Classes    []Class  `json:"classes,omitempty"`
	Sensors    []string `json:"sensors,omitempty"` // whose word counted, sorted; a single one is rationed
	// When the newest evidence was seen, its signal stored, and the indicator
	// folded from it: what the reaction took, step by step.
	Seen   time.Time `json:"seen,omitzero"`
	Stored time.Time `json:"stored,omitzero"`
	Folded time.Time `json:"folded,omitzero"`
}

// State is where a decision is in its life.
type State string

// The states. A held decision waits for a person; nothing is enforced.
const (
	StateHeld     State = "held"
	StateActive   State = "active"
	StateRejected State = "rejected"
	StateExpired  State = "expired"
	StateRemoved  State = "removed"
)

// Verdict is a guardrail's answer. The zero value is Unknown, which holds like
// a stop: what could not be looked at is not clean.
type Verdict uint8

// The verdicts.
const (
	GuardUnknown Verdict = iota // could not look: held
	GuardPass                   // no objection
	GuardLower                  // allowed with a lower action
	GuardHold                   // a person may release it
	GuardNever                  // nobody may release it: the configuration must change
)

var verdictNames = [...]string{"unknown", "pass", "lower", "hold", "never"}

// String returns the word used in output.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// MarshalText implements encoding.TextMarshaler.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Verdict) UnmarshalText(b []byte) error {
	i, err := oneOf("verdict", string(b), verdictNames[:])
	*v = Verdict(i)
	return err
}

// Guarded is one guardrail's result, stored with the decision.
type Guarded struct {
	Guardrail string  `json:"guardrail"` // "never-list", "blast-radius", "budget", …
	Verdict   Verdict `json:"verdict"`
	Detail    string  `json:"detail,omitempty"`
}

// Change is what a ledger entry does.
type Change string

// The ledger is append-only; these are all the things that can happen.
const (
	ChangeDecide  Change = "decide"  // a decision comes into force (or is recorded as dry run)
	ChangeHold    Change = "hold"    // a decision is made and held
	ChangeApprove Change = "approve" // a held decision is released
	ChangeReject  Change = "reject"  // a held decision is refused
	ChangeRemove  Change = "remove"  // an active decision ends early
	ChangeExpire  Change = "expire"  // an active decision reached its end
	ChangeLease   Change = "lease"   // a drill lease begins
	ChangeUnlease Change = "unlease" // a drill lease ends
)

// Entry is one line of the decision ledger.
type Entry struct {
	Change   Change    `json:"change"`
	Time     time.Time `json:"time"`
	Decision *Decision `json:"decision,omitempty"` // decide, hold; also lease-free manual ones
	ID       ULID      `json:"id"`                 // the decision or lease it is about
	Until    time.Time `json:"until,omitzero"`     // new end given with approve
	By       string    `json:"by,omitempty"`       // who: "policy", "clock", "uid=0", "rollback"
	Reason   string    `json:"reason,omitempty"`
	Lease    *Lease    `json:"lease,omitempty"`
}

// Lease lets a drill be blocked although its addresses are reserved and the
// node only observes. It names exact addresses, lasts at most MaxLease, and is
// signed with the node's key so that nothing but the node's own administration
// socket can put one into the ledger.
type Lease struct {
	ID        ULID      `json:"id"`
	Addresses []string  `json:"addresses"` // exact addresses, canonical text
	From      time.Time `json:"from"`
	Until     time.Time `json:"until"`
	BlockFor  Seconds   `json:"block_for"` // time of blocks made under it
	By        string    `json:"by"`
	Signature []byte    `json:"signature"` // Ed25519 over SigningBytes
}

// Seconds is a duration written as a JSON number of seconds.
type Seconds float64

// Duration converts to time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// Limits of a lease, enforced by whoever folds the ledger, not only by who writes it.
const (
	MaxLease          = 10 * time.Minute
	MaxLeaseAddresses = 256
	MinLeaseBlock     = 2 * time.Second
	MaxLeaseBlock     = 5 * time.Second
)

// SigningBytes is the exact text the signature covers.
func (l *Lease) SigningBytes() []byte {
	b := fmt.Appendf(nil, "bartizan-lease-v1\n%s\n%d\n%d\n%g\n%q\n", l.ID, l.From.UnixNano(), l.Until.UnixNano(), float64(l.BlockFor), l.By)
	for _, a := range l.Addresses {
		b = fmt.Appendf(b, "%s\n", a)
	}
	return b
}

// Receipt is one enforcer's word on one decision.
type Receipt struct {
	ID       ULID          `json:"id"`
	Decision ULID          `json:"decision"`
	Enforcer string        `json:"enforcer"`
	Status   ReceiptStatus `json:"status"`
	Time     time.Time     `json:"time"`
	Detail   string        `json:"detail,omitempty"` // why refused, how verified
}

// ReceiptStatus is what happened on the device.
type ReceiptStatus string

// The statuses.
const (
	Delivered ReceiptStatus = "delivered" // handed to a client that cannot confirm
	Applied   ReceiptStatus = "applied"   // the device enforces it
	Refused   ReceiptStatus = "refused"   // the device cannot or will not; Detail says why
	Expired   ReceiptStatus = "expired"   // the device no longer enforces it
	Verified  ReceiptStatus = "verified"  // a probe saw the effect
)
