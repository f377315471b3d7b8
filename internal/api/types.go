// Package api is how people and programs talk to a running node: the types of
// its answers, the server behind the local administration socket, and the
// client the command line uses. The node itself is behind Node, a table of
// functions, so this package knows nothing of how it works.
package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"bartizan/internal/model"
)

// Node is what a running node offers its operators. Every field is set.
type Node struct {
	Status    func(context.Context) Status
	Decisions func(context.Context, DecisionQuery) ([]Decision, error)
	Change    func(ctx context.Context, c DecisionChange, who string) (Decision, error)
	Intel     func(context.Context, IntelQuery) ([]model.Indicator, error)
	Why       func(ctx context.Context, id string) (Why, error)
	Evidence  func(ctx context.Context, sha256 string) ([]byte, error)
	Signals   func(context.Context, SignalQuery) ([]model.Signal, error)
	Replay    func(context.Context, ReplayRequest) (Replay, error)
	// Export gives every event of the streams that the query selects to emit.
	Export func(ctx context.Context, q ExportQuery, emit func(ExportedEvent) error) error
	// Verified writes down that somebody saw a decision's effect from outside.
	Verified func(ctx context.Context, v Verification, who string) (Decision, error)
	// Lease puts a drill lease into the ledger; the returned function ends it.
	Lease   func(ctx context.Context, r LeaseRequest, who string) (model.Lease, func(reason string), error)
	Metrics http.Handler
	Health  http.Handler
}

// Status says what runs, what is in force and what is wrong.
type Status struct {
	Version   string      `json:"version"`
	Name      string      `json:"name"`
	Mode      string      `json:"mode"` // observe or enforce
	Started   time.Time   `json:"started"`
	Now       time.Time   `json:"now"`
	PID       int         `json:"pid"`
	Data      string      `json:"data"`
	State     string      `json:"state"` // ok, degraded, failed
	Checks    []Check     `json:"checks"`
	Parts     []Part      `json:"parts"`
	Decoys    Decoys      `json:"decoys"`
	Decisions Counts      `json:"decisions"`
	Intel     int         `json:"indicators"`
	Enforcers []Enforcer  `json:"enforcers"`
	Streams   []Stream    `json:"streams"`
	Leases    []LeaseInfo `json:"leases"`
}

// Check is the last word about one thing.
type Check struct {
	Name   string    `json:"name"`
	State  string    `json:"state"`
	Detail string    `json:"detail,omitempty"`
	Since  time.Time `json:"since"`
}

// Part is one long-lived part of the process.
type Part struct {
	Name  string    `json:"name"`
	State string    `json:"state"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"`
}

// Decoys is the state of the decoys' process.
type Decoys struct {
	PID       int      `json:"pid,omitempty"`
	Restarts  int      `json:"restarts"`
	Jail      string   `json:"jail"`      // one line: what is in force
	Missing   []string `json:"missing"`   // what is not, and what to do
	Tripped   uint64   `json:"tripped"`   // calls only an intruder makes
	Accepted  int64    `json:"accepted"`  // connections since start
	Active    int64    `json:"active"`    // now
	Shed      int64    `json:"shed"`      // refused for load
	Dropped   int64    `json:"dropped"`   // observations over a visitor's share
	Refused   int64    `json:"refused"`   // observations that made no sense
	Panics    int64    `json:"panics"`    //
	Listening []Listen `json:"listening"` //
	Host      string   `json:"persona"`   // host name the decoys claim
}

// Listen is one open socket of a decoy.
type Listen struct {
	Instance string `json:"instance"`
	Service  string `json:"service"`
	Address  string `json:"address"`
	Standard bool   `json:"standard"`
	Note     string `json:"note,omitempty"`
}

// Counts of decisions by state.
type Counts struct {
	Active   int `json:"active"`
	DryRun   int `json:"dry_run"`
	Held     int `json:"held"`
	Ended    int `json:"ended"`
	Enforced int `json:"enforced"` // active ones that every enforcer has applied
}

// Enforcer is the state of one enforcer.
type Enforcer struct {
	Name      string    `json:"name"`
	State     string    `json:"state"`
	Orders    int       `json:"orders"`
	Pending   int       `json:"pending"`
	LastOK    time.Time `json:"last_ok,omitzero"`
	LastError string    `json:"last_error,omitempty"`
}

// Stream is the state of one stream of the bus.
type Stream struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

// LeaseInfo is a drill lease in force.
type LeaseInfo struct {
	ID        model.ULID `json:"id"`
	Addresses int        `json:"addresses"`
	Until     time.Time  `json:"until"`
	By        string     `json:"by"`
}

// Decision is a decision with what the enforcers say about it.
type Decision struct {
	model.Decision
	Receipts []model.Receipt `json:"receipts"`
	Dropped  *Dropped        `json:"dropped,omitempty"` // so far, where the device counts
}

// Dropped is what a device has dropped for a decision in force.
type Dropped struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// ExportQuery selects events; zero fields select all.
type ExportQuery struct {
	From, To time.Time // From inclusive, To exclusive, of when it happened
	Classes  []string  // of signal, decision, receipt
}

// ExportedEvent is an OCSF event with its class.
type ExportedEvent struct {
	Class string          `json:"class"`
	Event json.RawMessage `json:"event"`
}

// DecisionQuery selects decisions; zero fields select all.
type DecisionQuery struct {
	State  model.State
	Target string
	All    bool // also those that have ended
	Limit  int
}

// DecisionChange is a person's word on decisions.
type DecisionChange struct {
	Op       string       `json:"op"`               // add, approve, reject, remove
	ID       string       `json:"id,omitempty"`     // decision, for approve, reject, remove
	Target   string       `json:"target,omitempty"` // address or prefix, for add and remove
	Action   model.Action `json:"action,omitempty"` // for add; default block
	Seconds  float64      `json:"seconds,omitempty"`
	Reason   string       `json:"reason,omitempty"`
	Enforced bool         `json:"enforced,omitempty"` // add: in force although the node observes
}

// Verification is the word of whoever probed an enforcement from outside and
// read the device; it becomes a receipt.
type Verification struct {
	ID       string `json:"id"`       // of the decision
	Enforcer string `json:"enforcer"` // whose effect was seen
	Detail   string `json:"detail"`   // how
}

// IntelQuery selects indicators.
type IntelQuery struct {
	Type          model.EntityType
	Value         string
	MinConfidence float64
	Limit         int
}

// SignalQuery selects signals, newest last.
type SignalQuery struct {
	Since time.Time
	Actor string
	Kind  string
	Limit int
}

// Why is the chain behind a signal, an indicator or a decision.
type Why struct {
	Asked     string           `json:"asked"`
	Kind      string           `json:"kind"` // signal, indicator, decision, lease
	Decision  *Decision        `json:"decision,omitempty"`
	Ledger    []LedgerLine     `json:"ledger,omitempty"`
	Lease     *model.Lease     `json:"lease,omitempty"`
	Indicator *model.Indicator `json:"indicator,omitempty"`
	Signals   []model.Signal   `json:"signals,omitempty"`
	Decisions []Decision       `json:"decisions,omitempty"` // those that rest on it
	Gone      []string         `json:"gone,omitempty"`      // what it rested on and is no longer kept
}

// LedgerLine is one entry of the ledger about the thing asked for.
type LedgerLine struct {
	Seq    uint64       `json:"seq"`
	Time   time.Time    `json:"time"`
	Change model.Change `json:"change"`
	By     string       `json:"by,omitempty"`
	Reason string       `json:"reason,omitempty"`
}

// ReplayRequest asks what another policy would have done.
type ReplayRequest struct {
	Policy string    `json:"policy"` // text of the file
	Name   string    `json:"name"`   // its name, for error messages
	Since  time.Time `json:"since,omitzero"`
}

// Replay is what would have changed.
type Replay struct {
	Signals   int              `json:"signals"`
	Added     []ReplayDecision `json:"added"`
	Removed   []ReplayDecision `json:"removed"`
	Changed   []ReplayDecision `json:"changed"`
	Unchanged int              `json:"unchanged"`
	Errors    []string         `json:"errors"` // what could not be told
}

// ReplayDecision is one difference.
type ReplayDecision struct {
	Target string    `json:"target"`
	Time   time.Time `json:"time"`
	Before string    `json:"before,omitempty"`
	After  string    `json:"after,omitempty"`
}

// LeaseRequest asks for a drill lease over exact addresses.
type LeaseRequest struct {
	Addresses []string      `json:"addresses"`
	For       model.Seconds `json:"for"`       // at most model.MaxLease
	BlockFor  model.Seconds `json:"block_for"` // 2–5 s
}
