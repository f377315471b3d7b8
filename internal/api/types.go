// Package api is how people and programs talk to a running node: the types of
// its answers, the server behind the local administration socket and the TCP
// address of the HTTP API, and the client the command line uses. The node
// itself is behind Node, a table of functions, so this package knows nothing of
// how it works.
package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"bartizan/internal/api/token"
	"bartizan/internal/gateway/approval"
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
	Signals   func(context.Context, SignalQuery) ([]Stored[model.Signal], error)
	Replay    func(context.Context, ReplayRequest) (Replay, error)
	// Hunt asks the evidence lake, HuntList where indicators were seen.
	Hunt     func(context.Context, HuntRequest) (HuntAnswer, error)
	HuntList func(context.Context, HuntListRequest) (HuntListAnswer, error)
	// Export gives every event of the streams that the query selects to emit.
	Export func(ctx context.Context, q ExportQuery, emit func(ExportedEvent) error) error
	// Verified writes down that somebody saw a decision's effect from outside.
	Verified func(ctx context.Context, v Verification, who string) (Decision, error)
	// Lease puts a drill lease into the ledger; the returned function ends it.
	Lease func(ctx context.Context, r LeaseRequest, who string) (Lease, func(reason string), error)
	// Record stores an audit record durably: of a change one before it is made (begun) and one after. Audit reads them,
	// newest first: one of each request, the last.
	Record func(context.Context, AuditRecord) error
	Audit  func(context.Context, AuditQuery) ([]Stored[AuditRecord], error)
	Events Events
	// Held lists what waits for a person, DecideHeld gives a person's answer; AskHeld and SyncMCP are for MCP gateways beside the node.
	Held       func(context.Context) ([]approval.Held, error)
	DecideHeld func(ctx context.Context, id string, d HeldDecision, who string) (approval.Held, error)
	AskHeld    func(ctx context.Context, q HeldQuestion, who string) (HeldState, error)
	SyncMCP    func(ctx context.Context, q MCPSync) (MCPOrders, error)
	Metrics    http.Handler
	Health     http.Handler
	Guard      Guard
}

// Stored is a value of a stream with its place there.
type Stored[T any] struct {
	Seq   uint64
	Value T
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
	API       APIInfo     `json:"api"`
}

// APIInfo says where the HTTP API listens and how to recognise it.
type APIInfo struct {
	URL         string `json:"url,omitempty"`         // empty: no TCP address
	Fingerprint string `json:"fingerprint,omitempty"` // SHA-256 of the certificate, hex; what --pin takes
	Streams     int    `json:"streams"`               // open event streams
	Tokens      int    `json:"tokens"`                // valid ones
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

// DecisionQuery selects decisions, newest first; zero fields select all.
type DecisionQuery struct {
	State  model.State
	Target string
	All    bool // also those that have ended
	ID     string
	Before uint64 // only those whose first ledger entry is older than this one
	Limit  int
}

// DecisionChange is a person's word on decisions.
type DecisionChange struct {
	Op       string       `json:"op" enum:"add,approve,reject,remove"`
	ID       string       `json:"id,omitempty" maxLength:"26" doc:"decision, for approve, reject and remove"`
	Target   string       `json:"target,omitempty" maxLength:"300" doc:"address or prefix, or key:…, user:… or prompt:…, for add and remove"`
	Action   model.Action `json:"action,omitempty" doc:"for add: block (default), throttle or alert"`
	Seconds  float64      `json:"seconds,omitempty" minimum:"0" maximum:"31622400" doc:"how long, for add and approve"`
	Reason   string       `json:"reason,omitempty" maxLength:"500" doc:"why, for whoever asks later"`
	Enforced bool         `json:"enforced,omitempty" doc:"add: in force although the node observes"`
}

// Verification is the word of whoever probed an enforcement from outside and
// read the device; it becomes a receipt.
type Verification struct {
	ID       string `json:"id" maxLength:"26" doc:"of the decision"`
	Enforcer string `json:"enforcer" maxLength:"64" doc:"whose effect was seen"`
	Detail   string `json:"detail" maxLength:"256" doc:"how"`
}

// IntelQuery selects indicators, the surest first.
type IntelQuery struct {
	Type          model.EntityType
	Value         string
	MinConfidence float64
	AsOf          time.Time  // instant confidence is computed for; zero: now
	After         IntelPlace // only those that sort after this one
	Limit         int
}

// IntelPlace is the sort key of an indicator: confidence, then when it was last
// seen, then what it is. The zero value is the beginning.
type IntelPlace struct {
	Confidence float64
	LastSeen   time.Time
	Entity     model.Entity
}

// SignalQuery selects signals, newest first.
type SignalQuery struct {
	Since  time.Time
	Actor  string
	Kind   string
	Before uint64 // only those stored before this sequence number
	Limit  int
}

// AuditRecord is one attempt to change something, whoever made it and however
// it ended.
type AuditRecord struct {
	Request   model.ULID `json:"request"` // as in the X-Request-ID of the answer
	Time      time.Time  `json:"time"`
	Actor     string     `json:"actor"`             // "uid=0 pid=77", "token ci (k3v…)"
	Address   string     `json:"address,omitempty"` // of the caller; empty on the administration socket
	Operation string     `json:"operation"`         // operationId of the API description
	What      string     `json:"what,omitempty"`    // its arguments in one line
	Result    string     `json:"result" enum:"begun,done,denied,refused,invalid,failed" doc:"begun: under way, or the node ended before it was done or could not write down how it ended"`
	Status    int        `json:"status" doc:"HTTP status of the answer; 0: begun"`
	Begun     time.Time  `json:"begun,omitzero" doc:"when it was written down that the change is about to be made"`
}

// ResultBegun is the result of a change that is about to be made.
const ResultBegun = "begun"

// AuditQuery selects audit records, newest first.
type AuditQuery struct {
	Since     time.Time
	Actor     string // contained in the actor
	Operation string
	Result    string
	Before    uint64
	Limit     int
}

// TokenInfo is what is shown of a token.
type TokenInfo struct {
	ID       string      `json:"id"`
	Name     string      `json:"name"`
	Scope    token.Scope `json:"scope" enum:"report,read,operate,admin"`
	State    string      `json:"state" enum:"valid,expired,revoked"`
	Created  time.Time   `json:"created"`
	Expires  time.Time   `json:"expires"`
	LastUsed time.Time   `json:"last_used,omitzero"`
	By       string      `json:"by"`
}

// TokenRequest asks for a new token.
type TokenRequest struct {
	Name    string      `json:"name" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
	Scope   token.Scope `json:"scope" enum:"report,read,operate,admin"`
	Seconds float64     `json:"seconds" minimum:"1" maximum:"31622400" doc:"lifetime"`
}

// NewToken is the only answer that has a token's text.
type NewToken struct {
	TokenInfo
	Token string `json:"token" doc:"the secret; it is not kept and cannot be shown again"`
}

// Page is a part of a list.
type Page[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"cursor of the next page; absent on the last one"`
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
	Policy string    `json:"policy" maxLength:"262144" doc:"text of the policy file"`
	Name   string    `json:"name" maxLength:"256" doc:"its name, for error messages"`
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
	// Gateway asks for a route of the drill's own at the node's gateway; nil: none.
	Gateway *DrillGateway `json:"gateway,omitempty"`
}

// DrillGateway is what a drill's route leads to.
type DrillGateway struct {
	Upstream string `json:"upstream"` // the drill's own model on the loopback
	Canary   string `json:"canary"`   // text that the route must not let out
}

// Lease is a drill lease with what belongs to it.
type Lease struct {
	model.Lease
	Gateway *DrillRoute `json:"gateway,omitempty"` // nil: the node has no gateway, or none was asked for
}

// DrillRoute is a drill's way to the gateway. Clients come from the loopback and name
// one of the leased addresses in X-Forwarded-For.
type DrillRoute struct {
	URL  string `json:"url"`
	Key  string `json:"key"`
	Cert string `json:"cert_sha256,omitempty"` // of the certificate, with TLS
}
