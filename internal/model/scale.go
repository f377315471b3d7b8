package model

import (
	"fmt"
	"strings"
)

// Severity is how bad something would be if it is true; the words are those of
// OCSF severity_id 1–5.
type Severity uint8

// The severities, least first. The zero value is "info".
const (
	Info Severity = iota
	Low
	Medium
	High
	Critical
)

var severityNames = [...]string{"info", "low", "medium", "high", "critical"}

// String returns the word used in files and output.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return fmt.Sprintf("severity(%d)", uint8(s))
}

// ParseSeverity reads one of info, low, medium, high, critical.
func ParseSeverity(s string) (Severity, error) {
	i, err := oneOf("severity", s, severityNames[:])
	return Severity(i), err
}

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Severity) UnmarshalText(b []byte) (err error) {
	*s, err = ParseSeverity(string(b))
	return err
}

// Action is what a decision orders, in growing force.
type Action uint8

// The actions. The zero value does nothing.
const (
	Observe Action = iota
	Alert
	Throttle
	Block
	Isolate
)

var actionNames = [...]string{"observe", "alert", "throttle", "block", "isolate"}

// String returns the word used in files and output.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// ParseAction reads one of observe, alert, throttle, block, isolate.
func ParseAction(s string) (Action, error) {
	i, err := oneOf("action", s, actionNames[:])
	return Action(i), err
}

// MarshalText implements encoding.TextMarshaler.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Action) UnmarshalText(b []byte) (err error) {
	*a, err = ParseAction(string(b))
	return err
}

func oneOf(what, s string, names []string) (int, error) {
	for i, n := range names {
		if n == s {
			return i, nil
		}
	}
	return 0, fmt.Errorf("unknown %s %.32q: one of %s", what, s, strings.Join(names, ", "))
}

// Class is a kind of evidence. Two signals of one class support each other
// little; two of different classes are independent, which is what a block needs
// two of. Contact never counts as a kind of its own, because everything else
// implies it.
type Class string

// The classes of evidence, by what the actor had to do to leave it.
const (
	ClassContact     Class = "contact"     // completed a handshake with something nobody has business with
	ClassScan        Class = "scan"        // touched many ports, services or hosts
	ClassProbe       Class = "probe"       // sent a tool's identification probe
	ClassAuth        Class = "auth"        // guessed credentials
	ClassAccess      Class = "access"      // used a credential or an open service as if it were theirs
	ClassCommand     Class = "command"     // ran commands with hostile intent
	ClassPersistence Class = "persistence" // tried to stay
	ClassFile        Class = "file"        // brought or fetched a payload
	ClassExploit     Class = "exploit"     // sent an exploit
	ClassSecrets     Class = "secrets"     // hunted for secrets
	ClassProxy       Class = "proxy"       // tried to use the host as a relay
	ClassModelRecon  Class = "model-recon" // tested whether a model answers
	ClassModelAbuse  Class = "model-abuse" // used or attacked a model that is not theirs
	ClassControl     Class = "control"     // talks to somebody who controls it: beacon, tunnel, mining pool
	ClassExfil       Class = "exfil"       // carries data out
	ClassFlood       Class = "flood"       // takes part in denial of service
	ClassReputation  Class = "reputation"  // is on a list that others publish
)

// Independent reports whether the class counts towards the number of
// independent kinds of evidence a block needs.
func (c Class) Independent() bool { return c != ClassContact && c != "" }
