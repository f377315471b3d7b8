package model

import "time"

// Indicator is what we hold about one entity. It is a fold of signals and can
// be thrown away and rebuilt. Exported as STIX 2.1 Indicator and OCSF OSINT
// Inventory Info.
type Indicator struct {
	Entity     Entity    `json:"entity"`
	Confidence float64   `json:"confidence"` // posterior 0–1 at AsOf, after decay
	AsOf       time.Time `json:"as_of"`
	Behaviours []string  `json:"behaviours"`           // signal kinds, sorted
	Classes    []Class   `json:"classes"`              // independent, unspoofable kinds of evidence still alive, sorted
	Techniques []string  `json:"techniques,omitempty"` // sorted
	Sensors    []string  `json:"sensors"`              // sorted
	Severity   Severity  `json:"severity"`             // highest of its signals
	FirstSeen  time.Time `json:"first_seen"`
	LastSeen   time.Time `json:"last_seen"`
	// LastProof is the time of the newest evidence of an independent kind that
	// cannot be spoofed; a new block needs proof newer than the end of the one
	// before, and a mere contact is none.
	LastProof time.Time `json:"last_proof"`
	Expires   time.Time `json:"expires"` // when its evidence will have decayed to nothing
	Count     int       `json:"count"`   // observations behind it
	Signals   []ULID    `json:"signals"` // newest first, capped
	Terms     []Term    `json:"terms"`   // how the confidence came about; they sum to its log-odds
}

// Term is one summand of an indicator's log-odds.
type Term struct {
	What   string  `json:"what"`             // "prior", or the signal kind
	Class  Class   `json:"class,omitempty"`  // kind of evidence
	Sensor string  `json:"sensor,omitempty"` // whose word
	Signal ULID    `json:"signal,omitzero"`  // newest signal of this term
	Count  int     `json:"count,omitempty"`  // signals folded into it
	LogLR  float64 `json:"log_lr"`           // natural-log likelihood ratio after decay and diminishing returns; 0 when not counted
	Note   string  `json:"note,omitempty"`   // why it is smaller than it could be: "spoofable", "age 3h", "repeat ×5"
}
