package model

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Signal says that a detector concluded something about an actor from
// evidence. Exported as OCSF Detection Finding (2004).
type Signal struct {
	ID         ULID      `json:"id"`
	Time       time.Time `json:"time"`       // of the newest evidence
	Kind       string    `json:"kind"`       // dotted, e.g. "auth.brute-force"; from our own rules only
	Class      Class     `json:"class"`      // kind of evidence, see Class
	Rule       string    `json:"rule"`       // identity of the rule or detector that fired
	Title      string    `json:"title"`      // one line for people, made by us
	Actor      Entity    `json:"actor"`      // who: always an ip for network sensors
	Address    string    `json:"address"`    // the exact source address seen, before widening to the actor
	Asset      AssetRef  `json:"asset"`      // what was touched
	Sensor     string    `json:"sensor"`     // which sensor's word this is
	Confidence float64   `json:"confidence"` // 0–1: chance that the actor is hostile given this evidence alone
	Severity   Severity  `json:"severity"`
	Techniques []string  `json:"techniques,omitempty"` // ATT&CK (T1110.001) and ATLAS (AML.T0040) ids
	Count      int       `json:"count"`                // how many observations it sums up, at least 1
	// Spoofable is true when the evidence does not prove that the actor holds
	// the address: a SYN without handshake, any UDP datagram. Such evidence is
	// kept and shown, and never counts towards a block.
	Spoofable bool       `json:"spoofable,omitempty"`
	Evidence  []Evidence `json:"evidence,omitempty"`
	Related   []Entity   `json:"related,omitempty"` // URLs, hashes, fingerprints, keys that came with it
}

// Evidence points at what a signal was concluded from.
type Evidence struct {
	Session ULID      `json:"session"`           // the interaction it came from
	Time    time.Time `json:"time"`              // when the bytes arrived
	What    string    `json:"what"`              // "transcript", "request", "file", "credential", …
	Blob    string    `json:"blob,omitempty"`    // SHA-256 of stored bytes, when kept
	Excerpt string    `json:"excerpt,omitempty"` // printable, cut to MaxExcerpt bytes
}

// Caps on what one signal may carry; Check refuses more.
const (
	MaxExcerpt    = 256
	MaxEvidence   = 16
	MaxRelated    = 32
	MaxTechniques = 16
)

// Proves tells whether the evidence proves something about a related entity as it
// does about the actor: a gateway has checked the key it names, a decoy has only
// heard one.
func (s *Signal) Proves(e Entity) bool {
	return e.Type() == TypeAccessKey && strings.HasPrefix(s.Kind, "guard.")
}

// Check says what is wrong with a signal before it is stored. A sensor's word
// crosses a trust boundary, so everything with a size is bounded here.
func (s *Signal) Check() error {
	switch {
	case s.ID.IsZero():
		return errors.New("check signal: no id")
	case s.Kind == "" || len(s.Kind) > 64 || len(s.Rule) > 128 || len(s.Title) > 256 || len(s.Sensor) > 128:
		return fmt.Errorf("check signal %s: kind, rule, title or sensor empty or too long", s.ID)
	case s.Actor.IsZero():
		return fmt.Errorf("check signal %s: no actor", s.ID)
	case !(s.Confidence >= 0 && s.Confidence <= 1):
		return fmt.Errorf("check signal %s: confidence %v is not between 0 and 1", s.ID, s.Confidence)
	case s.Count < 1:
		return fmt.Errorf("check signal %s: count %d", s.ID, s.Count)
	case len(s.Evidence) > MaxEvidence || len(s.Related) > MaxRelated || len(s.Techniques) > MaxTechniques:
		return fmt.Errorf("check signal %s: too many evidence, related or technique entries", s.ID)
	}
	for _, e := range s.Evidence {
		if len(e.Excerpt) > MaxExcerpt || len(e.What) > 64 || len(e.Blob) > 64 {
			return fmt.Errorf("check signal %s: evidence entry too long", s.ID)
		}
	}
	return nil
}
