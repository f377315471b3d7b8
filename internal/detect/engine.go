package detect

import (
	"net/netip"
	"sync"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Options bound the engine. The zero value of a field means its default.
type Options struct {
	// MaxKeys is how many (actor, kind, rule) keys are remembered (65,536).
	MaxKeys int
	// MaxBytes is how much text signals waiting to be summed up may hold (16 MiB).
	MaxBytes int
	// Repeat is the shortest time between two signals of one key (5 s); it
	// doubles with each up to MaxRepeat (60 s).
	Repeat, MaxRepeat time.Duration
	// Window without evidence after which a key counts as new (10 min).
	Window time.Duration
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	if o.MaxKeys <= 0 {
		o.MaxKeys = 65536
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 16 << 20
	}
	def(&o.Repeat, 5*time.Second)
	def(&o.MaxRepeat, time.Minute)
	o.MaxRepeat = max(o.MaxRepeat, o.Repeat)
	def(&o.Window, 10*time.Minute)
	return o
}

// Counters is what the engine has done since it was made.
type Counters struct {
	Observations uint64            `json:"observations"`
	Ignored      uint64            `json:"ignored"`   // without a usable remote address
	Signals      uint64            `json:"signals"`   // handed out
	Coalesced    uint64            `json:"coalesced"` // conclusions that went into the count of another signal
	Evicted      uint64            `json:"evicted"`   // keys forgotten for lack of room; what they summed up was handed out
	Invalid      uint64            `json:"invalid"`   // conclusions that failed Signal.Check: a bug in a detector
	Panics       map[string]uint64 `json:"panics,omitempty"`
}

// Engine runs detectors over observations, completes what they conclude, and
// sums up repeats. Its methods may be called from any goroutine; they exclude
// each other.
type Engine struct {
	mu        sync.Mutex
	opts      Options
	detectors []running
	keys      *Table[key, entry]
	bytes     int // held by entries that wait
	waiting   []key
	counts    Counters

	// Of the call in progress; the emit functions are made once, so that a
	// detector that concludes nothing costs no allocation.
	out   func(model.Signal)
	obs   *observe.Observation
	actor netip.Addr
	emit  Emit
}

type running struct {
	name   string
	d      Detector
	ticker Ticker
	panics uint64
}

// key is what repeats are recognised by. A spoofable conclusion never hides in
// the count of a proven one.
type key struct {
	actor     netip.Addr
	kind      string
	rule      string
	sensor    string
	spoofable bool
}

// entry is what is remembered about a key.
type entry struct {
	sent       time.Time // when its last signal went out
	seen       time.Time // newest evidence
	interval   time.Duration
	confidence float64 // highest handed out
	severity   model.Severity
	wait       *model.Signal // the sum of what was not handed out yet
	bytes      int
	listed     bool // its key is in Engine.waiting
}

// NewEngine makes an engine that asks each detector in the order given.
func NewEngine(detectors []Named, opts Options) *Engine {
	e := &Engine{opts: opts.withDefaults()}
	for _, n := range detectors {
		t, _ := n.Detector.(Ticker)
		e.detectors = append(e.detectors, running{name: n.Name, d: n.Detector, ticker: t})
	}
	e.keys = NewTable[key, entry](e.opts.MaxKeys)
	e.keys.OnEvict(func(_ key, n *entry) {
		e.counts.Evicted++
		e.flush(n)
	})
	e.emit = e.take
	return e
}

// Process runs a batch through every detector. out is called for each finished
// signal, before Process returns.
func (e *Engine) Process(batch []observe.Observation, out func(model.Signal)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out = out
	for i := range batch {
		o := &batch[i]
		e.counts.Observations++
		e.actor = Actor(o.Remote)
		if !e.actor.IsValid() {
			e.counts.Ignored++
			continue
		}
		e.obs = o
		for j := range e.detectors {
			e.run(&e.detectors[j], o, e.emit)
		}
	}
	e.obs, e.out = nil, nil
}

// Tick lets time pass: detectors that wait for it are asked, and sums that are
// due go out. Call it about once a second.
func (e *Engine) Tick(now time.Time, out func(model.Signal)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out = out
	for j := range e.detectors {
		if r := &e.detectors[j]; r.ticker != nil {
			e.tick(r, now)
		}
	}
	keep := e.waiting[:0]
	for _, k := range e.waiting {
		n := e.keys.Peek(k)
		switch {
		case n == nil: // evicted
		case n.wait == nil: // already handed out
			n.listed = false
		case e.due(n, now):
			n.sent, n.listed = now, false
			e.flush(n)
		default:
			keep = append(keep, k)
		}
	}
	clear(e.waiting[len(keep):])
	e.waiting, e.out = keep, nil
}

// Flush hands out everything that waits to be summed up; for the end.
func (e *Engine) Flush(out func(model.Signal)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out = out
	for _, k := range e.waiting {
		if n := e.keys.Peek(k); n != nil {
			e.flush(n)
			n.listed = false
		}
	}
	e.waiting, e.out = nil, nil
}

// Counters returns a copy of the counters.
func (e *Engine) Counters() Counters {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.counts
	c.Panics = map[string]uint64{}
	for i := range e.detectors {
		if n := e.detectors[i].panics; n > 0 {
			c.Panics[e.detectors[i].name] += n
		}
	}
	return c
}

func (e *Engine) run(r *running, o *observe.Observation, emit Emit) {
	defer r.recover()
	r.d.Detect(o, emit)
}

func (e *Engine) tick(r *running, now time.Time) {
	defer r.recover()
	r.ticker.Tick(now, e.emit)
}

// recover keeps a broken detector from taking the others with it. What a panic
// says may quote an attacker's bytes, so only the fact is kept.
func (r *running) recover() {
	if recover() != nil {
		r.panics++
	}
}

// due reports whether the next signal of n may go out at now.
func (e *Engine) due(n *entry, now time.Time) bool {
	d := now.Sub(n.sent)
	return d >= n.interval || d < -observe.MaxSkew
}

// take is the Emit given to detectors.
func (e *Engine) take(s *model.Signal) {
	now := s.Time
	k := key{kind: s.Kind, rule: s.Rule, sensor: s.Sensor, spoofable: s.Spoofable}
	if o := e.obs; o != nil {
		k.actor = e.actor
		k.spoofable = k.spoofable || o.Spoofable
		if now.IsZero() {
			now = o.Time
		}
		if k.sensor == "" {
			k.sensor = o.Sensor
		}
	}
	if !s.Actor.IsZero() {
		p, ok := s.Actor.Prefix()
		if !ok {
			e.counts.Invalid++
			return
		}
		k.actor = p.Addr()
	}
	n, fresh := e.keys.Get(k)
	old := !fresh && !Within(n.seen, now, e.opts.Window)
	if old {
		e.flush(n)
		n.interval = 0
	}
	if fresh || old || s.Confidence > n.confidence || s.Severity > n.severity || e.due(n, now) {
		e.send(s, n, k, now, fresh || old)
		return
	}
	e.counts.Coalesced++
	n.seen = now
	e.hold(s, n, k, now)
}

// send hands a conclusion out together with what waited before it.
func (e *Engine) send(s *model.Signal, n *entry, k key, now time.Time, first bool) {
	n.seen, n.sent = now, now
	if first {
		n.interval, n.confidence, n.severity = e.opts.Repeat, 0, 0
	} else {
		n.interval = min(n.interval*2, e.opts.MaxRepeat)
	}
	n.confidence, n.severity = max(n.confidence, s.Confidence), max(n.severity, s.Severity)
	full := e.complete(s, k, now)
	if n.wait != nil {
		merge(&full, n.wait)
		e.bytes -= n.bytes
		n.wait, n.bytes = nil, 0
	}
	e.hand(full)
}

// flush hands out what waits in n.
func (e *Engine) flush(n *entry) {
	if n.wait == nil {
		return
	}
	s := *n.wait
	e.bytes -= n.bytes
	n.wait, n.bytes = nil, 0
	n.interval = min(n.interval*2, e.opts.MaxRepeat)
	e.hand(s)
}

func (e *Engine) hand(s model.Signal) {
	s.ID = model.NewULID(s.Time)
	if s.Check() != nil {
		e.counts.Invalid++
		return
	}
	e.counts.Signals++
	if e.out != nil {
		e.out(s)
	}
}
