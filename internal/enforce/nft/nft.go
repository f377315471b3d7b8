// Package nft enforces orders with nf_tables, the packet filter of the Linux
// kernel: a table of its own, in which packets from blocked ranges are dropped
// before any other rule sees them and packets from throttled ranges when they
// come too fast, and packets from and to isolated hosts, but for what such a
// host may talk with. It speaks netlink itself and does not need the nft command.
//
// Each element of a set carries its own end, so the kernel lets go of a block
// in time even if this program is dead. It is not a firewall: it has no
// opinion on what else may pass, and never touches another table.
package nft

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"bartizan/internal/enforce"
	"bartizan/internal/model"
)

// Config of the enforcer.
type Config struct {
	Table         string         `yaml:"table"`          // name of our table (family inet); everything in it is ours
	Hooks         []string       `yaml:"hooks"`          // input, forward, prerouting
	Priority      int            `yaml:"priority"`       // lower runs earlier; 0 is where filters stand
	Netns         string         `yaml:"netns"`          // path of a network namespace; "" is our own
	ThrottleRate  uint32         `yaml:"throttle_rate"`  // packets per second a throttled range may send
	ThrottleBurst uint32         `yaml:"throttle_burst"` // packets it may send at once
	Isolate       Isolation      `yaml:"isolate"`
	Limits        enforce.Limits `yaml:"limits"`
}

// Default is what most hosts want.
func Default() Config {
	return Config{
		Table: "bartizan", Hooks: []string{"input", "forward"}, Priority: -10,
		ThrottleRate: 20, ThrottleBurst: 40, Limits: enforce.DefaultLimits(),
	}
}

var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,60}$`)

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	if !namePattern.MatchString(c.Table) {
		return errors.New("table must be a name of letters, digits, _ and -, at most 61 long, such as bartizan")
	}
	if len(c.Hooks) == 0 {
		return errors.New("hooks must name at least one of input, forward, prerouting")
	}
	for i, h := range c.Hooks {
		if _, ok := hookNumbers[h]; !ok {
			return fmt.Errorf("unknown hook %.30q: one of input, forward, prerouting", h)
		}
		if slices.Contains(c.Hooks[:i], h) {
			return fmt.Errorf("hook %s is named twice", h)
		}
	}
	if c.Priority < -400 || c.Priority > 400 {
		return errors.New("priority must be between -400 and 400; filters stand at 0")
	}
	if c.ThrottleRate == 0 || c.ThrottleBurst == 0 {
		return errors.New("throttle_rate and throttle_burst must be at least 1 packet")
	}
	if err := c.Isolate.validate(); err != nil {
		return err
	}
	return c.Limits.Validate()
}

// Enforcer is the enforcer. Apply is called by one goroutine at a time; the
// other methods may be called at any time and never delay it.
type Enforcer struct {
	conf   Config
	layout layout
	never  atomic.Pointer[[]netip.Prefix]
	cut    cutter

	mu        sync.Mutex // one Apply, or a short look by the others
	sock      *socket
	tracker   *enforce.Tracker        // every order that has not ended, also the refused ones
	refused   map[model.ULID]struct{} // of these
	fresh     []model.ULID            // taken, not yet receipted as applied
	gone      []model.Receipt         // of what ended, not yet given
	flats     [setCount]flat
	neverUsed *[]netip.Prefix // the list the orders were judged by
	synced    bool            // the kernel holds exactly flats
	commits   uint64          // transactions that succeeded
	lag       time.Duration   // what the longest of them took
	start     time.Time       // of the enforcer, with a monotonic reading
	skew      time.Duration   // between wall clock and monotonic clock at the last sync

	reader reader
}

// New makes the enforcer; it touches nothing before the first Apply.
func New(c Config) (enforce.Enforcer, error) { return Open(c) }

// Open is New for callers that need more than Apply.
func Open(c Config) (*Enforcer, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("configure nft: %w", err)
	}
	e := &Enforcer{
		conf: c,
		layout: layout{table: c.Table, names: firstNames(), hooks: slices.Clone(c.Hooks), priority: c.Priority,
			rate: c.ThrottleRate, burst: c.ThrottleBurst, allow: c.Isolate.canonical()},
		start: time.Now(), tracker: enforce.NewTracker(), refused: make(map[model.ULID]struct{}),
	}
	for i := range e.flats {
		e.flats[i].width = setSpecs[i].width
	}
	e.reader.init()
	return e, nil
}

// Protect implements enforce.Protected.
func (e *Enforcer) Protect(never []netip.Prefix) {
	list := slices.Clone(never)
	e.never.Store(&list)
}

// Apply implements enforce.Enforcer.
func (e *Enforcer) Apply(ctx context.Context, want enforce.State, receipt func(model.Receipt)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	changes := e.plan(want, now, receipt)
	var del, add [setCount][]piece
	inParallel(func(i int) { del[i], add[i] = e.flats[i].apply(changes[i]) })
	if e.clockMoved(now) {
		e.synced = false // every end in the kernel is off by what the clock moved
	}
	var err error
	if e.synced {
		if err = e.update(ctx, changes, del, add); err != nil && ctx.Err() == nil {
			e.synced = false // the kernel did not hold what we thought
		}
	}
	if !e.synced {
		err = e.resync(ctx)
	}
	if err != nil {
		return fmt.Errorf("apply to nf_tables: %w", err)
	}
	e.acknowledge(ctx, receipt)
	return nil
}

// skewAt is how far the wall clock is ahead of the monotonic one.
func (e *Enforcer) skewAt(now time.Time) time.Duration {
	return time.Duration(now.UnixNano()) - now.Sub(e.start)
}

// clockMoved reports whether the wall clock was set since the last sync. Ends
// are moments of the wall clock, the kernel counts down.
func (e *Enforcer) clockMoved(now time.Time) bool {
	return e.synced && (e.skewAt(now)-e.skew).Abs() > time.Second
}

// inParallel runs f for every set and waits; the two families keep two cores
// busy when a long list is loaded.
func inParallel(f func(set int)) {
	var wg sync.WaitGroup
	for i := range setCount {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// plan turns a new state into claims on the four sets, judging each new order.
func (e *Enforcer) plan(want enforce.State, now time.Time, receipt func(model.Receipt)) (out [setCount][]change) {
	c := e.tracker.Next(want, now)
	var counts [setCount]int
	for _, list := range [3][]enforce.Order{c.Removed, c.Expired, c.Added} {
		for _, o := range list {
			counts[setOf(o)]++
		}
	}
	for i := range out {
		out[i] = make([]change, 0, counts[i])
	}
	e.fresh = slices.Grow(e.fresh, len(c.Added))
	e.gone = slices.Grow(e.gone, len(c.Removed)+len(c.Expired))
	replaced := make(map[model.ULID]struct{})
	for _, list := range [2][]enforce.Order{c.Removed, c.Expired} {
		for _, o := range list {
			if _, was := e.refused[o.Decision]; was {
				delete(e.refused, o.Decision)
				continue
			}
			release(o, &out)
			if e.tracker.Holds(o.Decision) {
				replaced[o.Decision] = struct{}{}
			} else {
				e.gone = append(e.gone, model.Receipt{Decision: o.Decision, Status: model.Expired})
			}
		}
	}
	if never := e.never.Load(); never != e.neverUsed {
		e.neverUsed = never
		e.judgeAgain(c.Added, &out, now, receipt)
	}
	for _, o := range c.Added {
		_, again := replaced[o.Decision]
		e.take(o, again, &out, now, receipt)
	}
	return out
}

func (e *Enforcer) neverList() []netip.Prefix {
	if e.neverUsed == nil {
		return nil
	}
	return *e.neverUsed
}

// refusal says why an order must not be enforced, or "". Who repairs isolated hosts is not cut off from them.
func (e *Enforcer) refusal(o enforce.Order) string {
	if why := e.conf.Limits.Refuse(o, e.neverList()); why != "" || o.Action != model.Isolate {
		return why
	}
	for _, p := range e.layout.allow {
		if p.Overlaps(o.Prefix) {
			return fmt.Sprintf("touches %s, which isolated hosts may talk with (isolate.allow)", p)
		}
	}
	return ""
}

// take holds an order or refuses it; again says that the device held the
// decision's order before, so that it is not receipted a second time.
func (e *Enforcer) take(o enforce.Order, again bool, out *[setCount][]change, now time.Time, receipt func(model.Receipt)) {
	if why := e.refusal(o); why != "" {
		e.refuse(o, why, again, now, receipt)
		return
	}
	if !again {
		e.fresh = append(e.fresh, o.Decision)
	}
	set := setOf(o)
	out[set] = append(out[set], newChange(o.Prefix, o.Decision, o.Until.UnixMilli(), false))
}

func (e *Enforcer) refuse(o enforce.Order, why string, inForce bool, now time.Time, receipt func(model.Receipt)) {
	e.refused[o.Decision] = struct{}{}
	receipt(model.Receipt{Decision: o.Decision, Status: model.Refused, Time: now.UTC(), Detail: why})
	if inForce {
		e.gone = append(e.gone, model.Receipt{Decision: o.Decision, Status: model.Expired, Detail: "withdrawn: " + why})
	}
}

func release(o enforce.Order, out *[setCount][]change) {
	set := setOf(o)
	out[set] = append(out[set], newChange(o.Prefix, o.Decision, 0, true))
}

func setOf(o enforce.Order) int {
	set := setBlock4
	if o.Prefix.Addr().Is6() {
		set = setBlock6
	}
	switch o.Action {
	case model.Throttle:
		set += setLimit4
	case model.Isolate:
		set += setIsolate4
	}
	return set
}

// judgeAgain withdraws what a changed never-list forbids and takes what it
// forbids no more. What is judged in this Apply anyway is left out.
func (e *Enforcer) judgeAgain(added []enforce.Order, out *[setCount][]change, now time.Time, receipt func(model.Receipt)) {
	fresh := make(map[model.ULID]struct{}, len(added))
	for _, o := range added {
		fresh[o.Decision] = struct{}{}
	}
	for o := range e.tracker.Orders() {
		if _, judged := fresh[o.Decision]; judged {
			continue
		}
		why := e.refusal(o)
		_, was := e.refused[o.Decision]
		switch {
		case why != "" && !was:
			release(o, out)
			e.refuse(o, why, true, now, receipt)
		case why == "" && was:
			delete(e.refused, o.Decision)
			e.take(o, false, out, now, receipt)
		}
	}
}

// acknowledge gives the receipts that a successful transaction allows.
func (e *Enforcer) acknowledge(ctx context.Context, receipt func(model.Receipt)) {
	now := time.Now().UTC()
	var cut []netip.Prefix
	for _, id := range e.fresh {
		o, held := e.tracker.Get(id)
		if _, refused := e.refused[id]; refused || !held {
			continue // ended before an Apply succeeded
		}
		receipt(model.Receipt{Decision: id, Status: model.Applied, Time: now, Detail: e.reachOf(o)})
		if o.Action >= model.Block && len(e.fresh) <= maxCut {
			cut = append(cut, o.Prefix)
		}
	}
	for _, r := range e.gone {
		r.Time = now
		receipt(r)
	}
	e.fresh, e.gone = e.fresh[:0], e.gone[:0]
	if cap(e.fresh) > maxCut {
		e.fresh = nil
	}
	if cap(e.gone) > maxCut {
		e.gone = nil
	}
	e.cut.start(ctx, cut)
}

// uncertain is the time around the end of a piece in which the kernel may or
// may not hold it still: its clock ticks coarsely, and a large transaction
// takes a while.
const (
	uncertainBefore = 300  // milliseconds
	uncertainAfter  = 5000 // milliseconds
)

// rebuildFrom is the number of deletions from which exchanging the whole set
// is cheaper than deleting one by one, given it is most of the set.
const rebuildFrom = 2000

// update sends what changed as one transaction.
func (e *Enforcer) update(ctx context.Context, changes [setCount][]change, del, add [setCount][]piece) error {
	if err := e.connect(); err != nil {
		return err
	}
	e.reader.note(ctx, e, changes, del)
	return e.send(del, add, nil)
}

// send makes the kernel follow: sets that change in large part are exchanged,
// the others edited. What packets see changes with one transaction; stale sets
// are deleted besides.
func (e *Enforcer) send(del, add [setCount][]piece, stale []string) error {
	now := time.Now() // planning a long list takes a while
	var whole []int
	for i := range del {
		if len(del[i]) >= rebuildFrom && len(del[i]) > len(e.flats[i].pieces)/4 {
			whole = append(whole, i)
		}
	}
	first := newBatch(e.sock.seq + 1)
	for _, name := range stale {
		e.layout.deleteSet(first, name)
	}
	e.layout.stage(first, whole, func(i int) []piece { return alive(e.flats[i].pieces, now) }, now)
	if !first.empty() {
		if err := e.commit(first, now); err != nil {
			return err
		}
	}
	t := newBatch(e.sock.seq + 1)
	next := e.layout
	for i := range del {
		if !slices.Contains(whole, i) {
			e.delete(t, i, del[i], now)
			e.layout.elements(t, unix.NFT_MSG_NEWSETELEM, i, alive(add[i], now), now)
		}
	}
	if len(whole) > 0 {
		next = e.layout.swap(t, whole)
	}
	if t.empty() {
		return nil
	}
	err := e.commit(t, now)
	if err == nil {
		e.layout = next
	}
	return err
}

// delete appends the deletion of pieces. Deleting what has expired would fail
// the whole transaction, so what is certainly gone is left out and what may be
// gone is added first.
func (e *Enforcer) delete(t *batch, set int, pieces []piece, now time.Time) {
	at := now.UnixMilli()
	live, doubtful := make([]piece, 0, len(pieces)), []piece(nil)
	for _, p := range pieces {
		switch {
		case p.until < at-uncertainAfter:
			continue
		case p.until < at+uncertainBefore:
			p.until = at + 60_000
			doubtful = append(doubtful, p)
		}
		live = append(live, p)
	}
	e.layout.elements(t, unix.NFT_MSG_NEWSETELEM, set, doubtful, now)
	e.layout.elements(t, unix.NFT_MSG_DELSETELEM, set, live, now)
}

func (e *Enforcer) connect() error {
	if e.sock != nil {
		return nil
	}
	s, err := dial(e.conf.Netns)
	if err == nil {
		e.sock = s
	}
	return err
}

// commit sends the transaction that was written at the moment start; a socket that failed is not used again,
// because answers may still be on their way.
func (e *Enforcer) commit(t *batch, start time.Time) error {
	if err := e.sock.commit(t); err != nil {
		e.sock.close()
		e.sock = nil
		return err
	}
	e.commits++
	e.lag = max(e.lag, time.Since(start))
	return nil
}

// Close releases the sockets and waits for what cuts connections. What is in
// force stays in force.
func (e *Enforcer) Close() error {
	e.cut.stop()
	e.mu.Lock()
	if e.sock != nil {
		e.sock.close()
		e.sock = nil
	}
	e.mu.Unlock()
	e.reader.close()
	return nil
}
