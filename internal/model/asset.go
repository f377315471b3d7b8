package model

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// AssetRef names an asset without describing it.
type AssetRef struct {
	Kind string `json:"kind"` // "service", "host", "decoy", "model", "bucket", …
	Name string `json:"name"`
}

// Asset is something protected. Exported as OCSF Inventory Info.
type Asset struct {
	AssetRef
	Layer string     `json:"layer"` // data, model, pipeline, infrastructure, network, user
	Edges []AssetRef `json:"edges,omitempty"`
	Seen  time.Time  `json:"seen"`
}

// FindingState is the outcome of looking. The zero value is Unknown: "could
// not look" is never "clean".
type FindingState uint8

// The states of a finding.
const (
	FindingUnknown FindingState = iota
	FindingPass
	FindingFail
)

var findingNames = [...]string{"unknown", "pass", "fail"}

// String returns the word used in output.
func (f FindingState) String() string {
	if int(f) < len(findingNames) {
		return findingNames[f]
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (f FindingState) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *FindingState) UnmarshalText(b []byte) error {
	i, err := oneOf("finding state", string(b), findingNames[:])
	*f = FindingState(i)
	return err
}

// FindingKey is the identity of a finding.
func FindingKey(rule string, asset AssetRef, subject string) string {
	h := sha256.New()
	for _, s := range []string{rule, asset.Kind, asset.Name, subject} {
		fmt.Fprintf(h, "%d:%s", len(s), s) // with lengths, so that no two lists read the same
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Finding says what is wrong with an asset. Its identity is the hash of rule,
// asset and subject, so that the same thing seen again updates it.
type Finding struct {
	Key      string       `json:"key"`
	Rule     string       `json:"rule"`
	Asset    AssetRef     `json:"asset"`
	Subject  string       `json:"subject"`
	Severity Severity     `json:"severity"`
	State    FindingState `json:"state"`
	Title    string       `json:"title"`
	Where    string       `json:"where,omitempty"`  // file:line, command or address it was seen at
	Detail   string       `json:"detail,omitempty"` // what was seen; never a secret itself
	Fix      string       `json:"fix"`
	Controls []string     `json:"controls,omitempty"`
	Time     time.Time    `json:"time"`
}
