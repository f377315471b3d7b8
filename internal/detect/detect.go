// Package detect turns observations into signals: the contract every detector
// family keeps, the engine that runs them, and the bounded memory they share.
//
// Detectors work where the observations are made, in memory bounded by their
// own configuration. They do not look anything up, decide nothing and store
// nothing; what they conclude goes out as a model.Signal. Rules as data are in
// package detect/rule, the reading of disguised text in detect/normal.
package detect

import (
	"net/netip"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Emit takes one finished conclusion. The engine fills ID, Actor, Address,
// Sensor, Asset, Time, Spoofable and Evidence from the observation where the
// detector left them empty; Kind, Class, Rule, Title, Confidence and Severity
// are the detector's, Related what it found. A detector that wants to quote a
// particular text leaves one Evidence entry with only its Excerpt set; the
// engine cleans and cuts it.
//
// Emit never blocks on anything remote and keeps nothing the pointer leads to
// except strings, so a detector may reuse one Signal and its slices for every
// call.
type Emit func(*model.Signal)

// Detector concludes things from observations. Detect is called by one
// goroutine at a time, in the order a sensor reported; it must not keep o or
// anything it points to, must not block, and must bound what it remembers per
// actor and in total (an attacker chooses how many actors there are).
type Detector interface {
	Detect(o *observe.Observation, emit Emit)
}

// Ticker is a Detector that also concludes things from time passing. Tick is
// called about once a second between calls of Detect. There is no observation
// then, so the detector fills Actor, Address, Sensor and Time itself.
type Ticker interface {
	Tick(now time.Time, emit Emit)
}

// Named is a detector with the name it is configured and counted under.
type Named struct {
	Name     string
	Detector Detector
}

// Actor is the unit a remote address is judged by, as a map key: the address
// itself for IPv4, the /64 for IPv6.
func Actor(remote netip.AddrPort) netip.Addr {
	return model.ActorPrefix(remote.Addr()).Addr()
}

// Within reports whether the time from then to now lies inside window. Clocks
// step: a moment more than a window in the future is outside as well, so that
// nothing learnt before a step backwards lasts for ever.
func Within(then, now time.Time, window time.Duration) bool {
	d := now.Sub(then)
	return d <= window && d >= -window
}

// FlowEmit takes a conclusion together with the flow that completed it. Both
// belong to the detector again when it returns.
type FlowEmit func(*model.Signal, *observe.Flow)

// FlowDetector concludes things from flow records. Like a Detector it is asked
// by one goroutine at a time, keeps nothing of what it is shown and bounds its
// memory; unlike one it fills Actor, Address, Asset, Time and Evidence itself.
// Flows come in any order, and the clock is theirs.
type FlowDetector interface {
	Detect(flows []observe.Flow, emit FlowEmit)
}

// FlowSettler is a flow detector that waits with some conclusions until it
// knows more. Settle hands them out with what is known; it is called at the end
// of each input, and the detector forgets nothing else.
type FlowSettler interface {
	Settle(emit FlowEmit)
}

// NamedFlow is a flow detector with the name it is configured and counted under.
type NamedFlow struct {
	Name     string
	Detector FlowDetector
}

// QueryEmit takes a conclusion with the index of the record that completed it.
type QueryEmit func(s *model.Signal, record uint64)

// QueryDetector concludes things from questions to name servers. It fills all
// of a signal, bounds its memory and may keep the strings of a query. Settle
// hands out what it holds back until it knows more, for the end of an input.
type QueryDetector interface {
	DetectQueries(queries []observe.Query, emit QueryEmit)
	Settle(emit QueryEmit)
}

// NamedQuery is a query detector with the name it is configured and counted under.
type NamedQuery struct {
	Name     string
	Detector QueryDetector
}

// DocumentDetector concludes things from records that are JSON objects. It
// fills everything but the evidence, and keeps nothing of the document.
type DocumentDetector interface {
	DetectDocument(d *observe.Document, emit Emit)
}

// NamedDocument is a document detector with the name it is counted under.
type NamedDocument struct {
	Name     string
	Detector DocumentDetector
}

// MessageDetector looks at entries of system logs.
type MessageDetector interface {
	DetectMessage(m *observe.Message, emit Emit)
}

// NamedMessage is a message detector with the name it is counted under.
type NamedMessage struct {
	Name     string
	Detector MessageDetector
}

// Flusher is a detector that holds conclusions back until their time is over;
// Flush hands them out at the end of all records.
type Flusher interface {
	Flush(emit Emit)
}
