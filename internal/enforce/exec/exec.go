// Package exec enforces orders by running a program of the operator's for each
// change: the way to a device nobody has written an enforcer for. No shell is
// involved; values reach the program as separate arguments, in its environment
// and as JSON on its standard input.
//
// The program is told to add or to remove a prefix. Adding one that is there
// means that its end or action has changed; removing one that is not there is
// no error. It says with its exit code what became of it: 0 done, one of
// refuse_codes cannot ever, anything else try again later. What was done is
// kept in a journal, so that a restart repeats nothing and undoes what has
// ended meanwhile.
package exec

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bartizan/internal/enforce"
	"bartizan/internal/model"
)

// Config of the enforcer.
type Config struct {
	Program     []string       `yaml:"program"`      // absolute path and arguments; {change}, {prefix}, … are replaced
	Dir         string         `yaml:"dir"`          // folder of the journal, one per enforcer
	Timeout     time.Duration  `yaml:"timeout"`      // for one run; then it and its children are killed
	Parallel    int            `yaml:"parallel"`     // runs at a time
	Output      int            `yaml:"output"`       // bytes of output kept for error messages
	RefuseCodes []int          `yaml:"refuse_codes"` // exit codes that mean: this order, never
	Limits      enforce.Limits `yaml:"limits"`
}

// Default runs a program at a fixed place. 64, 65 and 77 are what sysexits.h
// calls wrong usage, wrong data and no permission.
func Default() Config {
	return Config{
		Program: []string{"/usr/local/lib/bartizan/enforce", "{change}", "{prefix}"}, Dir: "/var/lib/bartizan/exec",
		Timeout: 10 * time.Second, Parallel: 4, Output: 2048, RefuseCodes: []int{64, 65, 77}, Limits: enforce.DefaultLimits(),
	}
}

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	switch {
	case len(c.Program) == 0:
		return errors.New("program must name a program and its arguments, such as [/usr/local/bin/block, \"{change}\", \"{prefix}\"]")
	case !filepath.IsAbs(c.Program[0]):
		return fmt.Errorf("program %.60q must be an absolute path: nothing is searched in PATH", c.Program[0])
	case c.Dir == "":
		return errors.New("dir must name a folder for the journal")
	case c.Timeout <= 0 || c.Timeout > 10*time.Minute:
		return errors.New("timeout must be between 1ms and 10m")
	case c.Parallel < 1 || c.Parallel > 64:
		return errors.New("parallel must be between 1 and 64")
	case c.Output < 0 || c.Output > 1<<20:
		return errors.New("output must be between 0 and 1048576 bytes")
	}
	known := call{}.values()
	for _, arg := range c.Program {
		for _, p := range placeholder.FindAllString(arg, -1) {
			if _, ok := known[p[1:len(p)-1]]; !ok {
				return fmt.Errorf("unknown placeholder %.30q: one of {%s}", p, joinNames(known))
			}
		}
	}
	for _, code := range c.RefuseCodes {
		if code < 1 || code > 255 {
			return fmt.Errorf("refuse code %d is not an exit code between 1 and 255", code)
		}
	}
	return c.Limits.Validate()
}

// Enforcer is the enforcer. Apply is called by one goroutine at a time.
type Enforcer struct {
	conf    Config
	never   atomic.Pointer[[]netip.Prefix]
	tracker *enforce.Tracker

	mu        sync.Mutex
	journal   *journal // nil until the first Apply
	neverUsed *[]netip.Prefix
	claims    map[netip.Prefix]map[model.ULID]enforce.Order
	refused   map[model.ULID]struct{}
	dirty     map[netip.Prefix]struct{} // what the device holds may differ from what is wanted
	fresh     map[model.ULID]struct{}   // not yet receipted as applied
	gone      []ending                  // not yet receipted as expired
}

// ending is a decision that is over for the enforcer; its receipt waits until
// the device has followed.
type ending struct {
	prefix  netip.Prefix
	receipt model.Receipt
}

// New makes the enforcer; it runs and reads nothing before the first Apply.
func New(c Config) (enforce.Enforcer, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("configure exec: %w", err)
	}
	return &Enforcer{
		conf: c, tracker: enforce.NewTracker(), claims: make(map[netip.Prefix]map[model.ULID]enforce.Order),
		refused: make(map[model.ULID]struct{}), dirty: make(map[netip.Prefix]struct{}), fresh: make(map[model.ULID]struct{}),
	}, nil
}

// Protect implements enforce.Protected.
func (e *Enforcer) Protect(never []netip.Prefix) {
	list := slices.Clone(never)
	e.never.Store(&list)
}

// Close closes the journal. What is in force stays in force.
func (e *Enforcer) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closeJournal()
}

func (e *Enforcer) closeJournal() error {
	if e.journal == nil {
		return nil
	}
	j := e.journal
	e.journal = nil
	return j.close()
}

// Apply implements enforce.Enforcer. A run that fails does not hold up the
// others; the prefixes left over are tried with the next Apply.
func (e *Enforcer) Apply(ctx context.Context, want enforce.State, receipt func(model.Receipt)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.journal == nil {
		j, err := openJournal(e.conf.Dir)
		if err != nil {
			return err
		}
		e.journal = j
		for p := range j.held { // what an earlier run left
			e.dirty[p] = struct{}{}
		}
	}
	now := time.Now()
	e.plan(e.tracker.Next(want, now), now, receipt)
	todo := e.todo(now)
	if err := e.journal.begin(todo); err != nil {
		return errors.Join(err, e.closeJournal())
	}
	results := e.runAll(ctx, todo)
	err := e.record(todo, results, receipt)
	e.acknowledge(receipt)
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return err
}

// plan follows the changes of the state without touching the device.
func (e *Enforcer) plan(c enforce.Changes, now time.Time, receipt func(model.Receipt)) {
	again := make(map[model.ULID]bool) // replaced, and receipted before
	for _, list := range [2][]enforce.Order{c.Removed, c.Expired} {
		for _, o := range list {
			if _, was := e.refused[o.Decision]; was {
				delete(e.refused, o.Decision)
				continue
			}
			_, waiting := e.fresh[o.Decision]
			e.release(o)
			if e.tracker.Holds(o.Decision) {
				again[o.Decision] = !waiting
			} else {
				e.gone = append(e.gone, ending{o.Prefix, model.Receipt{Decision: o.Decision, Status: model.Expired}})
			}
		}
	}
	added := c.Added
	if never := e.never.Load(); never != e.neverUsed {
		e.neverUsed = never
		added = e.judgeAgain(added, now, receipt)
	}
	for _, o := range added {
		if why := e.refusal(o); why != "" {
			e.refuse(o, why, again[o.Decision], now, receipt)
			continue
		}
		if e.claims[o.Prefix] == nil {
			e.claims[o.Prefix] = make(map[model.ULID]enforce.Order, 1)
		}
		e.claims[o.Prefix][o.Decision] = o
		e.dirty[o.Prefix] = struct{}{}
		if !again[o.Decision] {
			e.fresh[o.Decision] = struct{}{}
		}
	}
}

func (e *Enforcer) refusal(o enforce.Order) string {
	var never []netip.Prefix
	if e.neverUsed != nil {
		never = *e.neverUsed
	}
	return e.conf.Limits.Refuse(o, never)
}

func (e *Enforcer) release(o enforce.Order) {
	delete(e.fresh, o.Decision)
	delete(e.claims[o.Prefix], o.Decision)
	if len(e.claims[o.Prefix]) == 0 {
		delete(e.claims, o.Prefix)
	}
	e.dirty[o.Prefix] = struct{}{}
}

func (e *Enforcer) refuse(o enforce.Order, why string, inForce bool, now time.Time, receipt func(model.Receipt)) {
	e.refused[o.Decision] = struct{}{}
	receipt(model.Receipt{Decision: o.Decision, Status: model.Refused, Time: now.UTC(), Detail: why})
	if inForce {
		e.gone = append(e.gone, ending{o.Prefix, model.Receipt{Decision: o.Decision, Status: model.Expired, Detail: "withdrawn: " + why}})
	}
}

// judgeAgain withdraws what a changed never-list forbids and adds what it
// forbids no more to added.
func (e *Enforcer) judgeAgain(added []enforce.Order, now time.Time, receipt func(model.Receipt)) []enforce.Order {
	judged := make(map[model.ULID]struct{}, len(added))
	for _, o := range added {
		judged[o.Decision] = struct{}{}
	}
	for o := range e.tracker.Orders() {
		if _, ok := judged[o.Decision]; ok {
			continue
		}
		why := e.refusal(o)
		_, was := e.refused[o.Decision]
		_, waiting := e.fresh[o.Decision]
		switch {
		case why != "" && !was:
			e.release(o)
			e.refuse(o, why, !waiting, now, receipt)
		case why == "" && was:
			delete(e.refused, o.Decision)
			added = append(added, o)
		}
	}
	return added
}

// wanted is what the device should hold for a prefix: the strongest action
// until the last end; ok is false when nothing.
func (e *Enforcer) wanted(p netip.Prefix) (h holding, ok bool) {
	for _, o := range e.claims[p] {
		h.Action = max(h.Action, o.Action)
		if o.Until.After(h.Until) {
			h.Until, h.Decision = o.Until, o.Decision
		}
		ok = true
	}
	return h, ok
}

// todo lists the runs that are needed, removals first, each group in order of
// the prefixes so that two runs of a test are alike.
func (e *Enforcer) todo(now time.Time) []call {
	var removals, additions []call
	for _, p := range slices.SortedFunc(maps.Keys(e.dirty), netip.Prefix.Compare) {
		want, ok := e.wanted(p)
		have, held := e.journal.held[p]
		switch {
		case !ok && held:
			removals = append(removals, call{Change: "remove", Prefix: p, Action: have.Action, Until: have.Until, Decision: have.Decision})
		case ok && (!held || have.unsure || !have.same(want)):
			additions = append(additions, call{Change: "add", Prefix: p, Action: want.Action, Until: want.Until, Decision: want.Decision, update: held,
				Seconds: max(int64(want.Until.Sub(now).Seconds()+0.999), 1)})
		default:
			delete(e.dirty, p)
		}
	}
	return append(removals, additions...)
}

// record notes what became of each run and returns what has to be tried again.
func (e *Enforcer) record(todo []call, results []result, receipt func(model.Receipt)) error {
	var errs []error
	failed := 0
	for i, c := range todo {
		r := results[i]
		if r.outcome == done || r.outcome == refused && !c.update {
			if err := e.journal.end(c, r.outcome == done); err != nil {
				return errors.Join(err, e.closeJournal())
			}
			delete(e.dirty, c.Prefix)
		}
		if r.outcome == refused {
			for _, o := range e.claims[c.Prefix] {
				_, waiting := e.fresh[o.Decision]
				delete(e.fresh, o.Decision)
				e.refuse(o, r.detail, !waiting, time.Now(), receipt)
			}
			delete(e.claims, c.Prefix)
			if c.update { // what it held before may still be there
				errs = append(errs, fmt.Errorf("add %s: refused, to be removed", c.Prefix))
			}
		}
		if r.outcome == failure {
			if failed++; failed <= 3 { // the first few say enough
				errs = append(errs, fmt.Errorf("%s %s: %s", c.Change, c.Prefix, r.detail))
			}
		}
	}
	if failed > 3 {
		errs = append(errs, fmt.Errorf("and %d more", failed-3))
	}
	return errors.Join(errs...)
}

// acknowledge gives the receipts of every decision whose prefix is settled.
func (e *Enforcer) acknowledge(receipt func(model.Receipt)) {
	now := time.Now().UTC()
	for id := range e.fresh {
		o, _ := e.tracker.Get(id)
		if _, open := e.dirty[o.Prefix]; open {
			continue
		}
		delete(e.fresh, id)
		receipt(model.Receipt{Decision: id, Status: model.Applied, Time: now})
	}
	e.gone = slices.DeleteFunc(e.gone, func(g ending) bool {
		if _, open := e.dirty[g.prefix]; open {
			return false
		}
		g.receipt.Time = now
		receipt(g.receipt)
		return true
	})
}
