package sigma

import (
	"strings"

	"bartizan/internal/model"
)

// Runner matches events against an Engine. It keeps the state of correlations
// and is used by one goroutine; several Runners of one Engine see their own
// events only.
type Runner struct {
	engine *Engine
	views  map[string]*view // by what the deciding fields hold
	bySet  map[string]*view // by log sources
	key    []byte
	// The shape and origin of the last event, which the next one mostly shares.
	base     baseKey
	baseText string
	raw      []Value // scratch for shapes
	from     Logsource
	shapes   []*shape // that events of from can have

	// The event under way. What was asked once is kept until the next: a slot
	// is valid when its stamp is now's.
	now    uint32
	event  Event
	view   *view
	values []fieldValues // per field, and one for all values behind the last
	answer []uint32      // per atom: now*2, +1 when true
	seen   []uint32      // per rule: now when it is a candidate
	tried  []int32       // candidates
	folded []byte
	hits   []*Rule
	state  *correlator
	signal signalMaker
}

type baseKey struct {
	shape *shape
	from  Logsource
}

// fieldValues are the values of one field of the event.
type fieldValues struct {
	stamp  uint32
	raw    []Value
	folded [][]byte
}

// view is what the engine has for the events of one set of log sources.
type view struct {
	sources []Logsource
	buckets []*bucket
	paths   [][]Path // per field
	shape   *shape
}

// maxViews bounds what is remembered about kinds of event; kinds beyond it are
// worked out again each time.
const maxViews = 4096

// NewRunner makes a runner. Memory of correlations is bounded by l.
func (e *Engine) NewRunner(l Limits) *Runner {
	r := &Runner{
		engine: e,
		views:  map[string]*view{},
		bySet:  map[string]*view{},
		values: make([]fieldValues, len(e.fields)+1),
		answer: make([]uint32, len(e.atoms)),
		seen:   make([]uint32, len(e.rules)),
		raw:    make([]Value, 0, 16),
	}
	r.state = newCorrelator(e, l)
	return r
}

// Match returns the rules whose condition an event meets, in the order they
// were loaded; parts of aggregations and rules that only feed correlations are
// among them. The result is valid until the next call.
func (r *Runner) Match(ev Event) []*Rule {
	r.begin(ev)
	for _, b := range r.view.buckets {
		r.candidates(b)
	}
	r.hits = r.hits[:0]
	for _, id := range r.tried {
		if rule := r.engine.rules[id]; r.eval(rule.cond) {
			r.hits = append(r.hits, rule)
		}
	}
	for i := 1; i < len(r.hits); i++ { // few; in the order of the rules
		for j := i; j > 0 && r.hits[j].index < r.hits[j-1].index; j-- {
			r.hits[j], r.hits[j-1] = r.hits[j-1], r.hits[j]
		}
	}
	return r.hits
}

// Process matches an event, feeds correlations, and appends a signal per rule
// and correlation that fired.
func (r *Runner) Process(ev Event, dst []model.Signal) []model.Signal {
	hits := r.Match(ev)
	moment := r.moment()
	dst = r.state.advance(moment, dst)
	for _, rule := range hits {
		if !rule.silent {
			dst = append(dst, r.make(rule, moment, 1))
		}
		for _, f := range rule.feeds {
			dst = r.state.observe(r, f, moment, 0, dst)
		}
	}
	return dst
}

// Flush decides what was waiting for its time to be over (counts below a
// number), at the end of the events.
func (r *Runner) Flush(dst []model.Signal) []model.Signal { return r.state.flush(dst) }

// Stats returns what the correlations hold and gave up.
func (r *Runner) Stats() Stats { return r.state.stats }

// begin finds the view of an event and forgets the one before.
func (r *Runner) begin(ev Event) {
	if r.now++; r.now >= 1<<31-1 { // stamps would repeat
		r.now = 1
		clear(r.answer)
		clear(r.seen)
		for i := range r.values {
			r.values[i].stamp = 0
		}
	}
	r.event, r.folded, r.tried = ev, r.folded[:0], r.tried[:0]
	from := ev.Source()
	if from != r.from || r.shapes == nil {
		r.from, r.shapes = from, r.engine.taxonomy.from(from)
	}
	var s *shape
	for _, s = range r.shapes {
		if s.fits(ev, r.raw) {
			break
		}
	}
	if now := (baseKey{s, from}); r.base != now || r.baseText == "" {
		r.base, r.baseText = now, strings.Join([]string{s.name, from.Product, from.Category, from.Service}, "\x00")
	}
	r.key = append(r.key[:0], r.baseText...)
	for _, paths := range s.deciding {
		r.key = append(r.key, 0)
		for _, v := range r.resolve(paths) {
			r.key = appendFold(r.key, v.Text[:min(len(v.Text), 256)])
			break
		}
	}
	v := r.views[string(r.key)]
	if v == nil {
		v = r.newView(s, from.lower())
		if len(r.views) < maxViews {
			r.views[string(r.key)] = v
		}
	}
	r.view = v
}

// resolve returns the values at the first path that has any; they are scratch.
func (r *Runner) resolve(paths []Path) []Value {
	for i := range paths {
		if r.raw = r.event.Field(paths[i], r.raw[:0]); len(r.raw) > 0 {
			return r.raw
		}
	}
	return nil
}

// newView works out the log sources of an event and what applies to them.
func (r *Runner) newView(s *shape, from Logsource) *view {
	base := from
	if base.Product == "" {
		base.Product = s.source.Product
	}
	if base.Category == "" {
		base.Category = s.source.Category
	}
	if base.Service == "" {
		base.Service = s.source.Service
	}
	v := &view{sources: []Logsource{base}, shape: s}
	key := s.name + "\x00" + base.Product + "\x00" + base.Category + "\x00" + base.Service
	var applied []source
	for i, src := range r.engine.taxonomy.sources {
		if src.logsource.Product != base.Product || !r.holds(s, src) {
			continue
		}
		applied = append(applied, src)
		v.sources = append(v.sources, src.logsource)
		key += "\x00" + string(rune('0'+i))
	}
	if known := r.bySet[key]; known != nil {
		return known
	}
	for _, b := range r.engine.buckets {
		for _, have := range v.sources {
			if have.covers(b.source) {
				v.buckets = append(v.buckets, b)
				break
			}
		}
	}
	v.paths = make([][]Path, len(r.engine.fields))
	for i, f := range r.engine.fields {
		v.paths[i] = s.paths(f, applied)
	}
	if len(r.bySet) < maxViews {
		r.bySet[key] = v
	}
	return v
}

func (r *Runner) holds(s *shape, src source) bool {
	for field, want := range src.when {
		ok := false
		for _, v := range r.resolve(s.paths(field, nil)) {
			have := string(appendFold(nil, v.Text))
			for _, w := range want {
				ok = ok || have == w
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

// candidates adds the rules of a bucket that the event may match.
func (r *Runner) candidates(b *bucket) {
	for _, id := range b.always {
		r.candidate(id)
	}
	for i := range b.fields {
		x := &b.fields[i]
		for _, text := range r.field(x.field).folded {
			for _, id := range x.whole[string(text)] {
				r.candidate(id)
			}
			if x.part != nil {
				r.scan(x, text)
			}
		}
	}
}

// scan makes candidates of the rules of every text that ends somewhere in text.
func (r *Runner) scan(x *indexed, text []byte) {
	a := x.part
	s := int32(0)
	for i := 0; i < len(text); i++ {
		if s == 0 {
			i = a.from(text, i)
		}
		s = a.next[int(s)*a.width+int(a.class[text[i]])]
		if s < 0 {
			s = -s
			for _, id := range a.out[s] {
				for _, rule := range x.rules[id] {
					r.candidate(rule)
				}
			}
		}
	}
}

func (r *Runner) candidate(id int32) {
	if r.seen[id] != r.now {
		r.seen[id] = r.now
		r.tried = append(r.tried, id)
	}
}

// field returns the values of a field of the event.
func (r *Runner) field(id int32) *fieldValues {
	all := id == keywords
	if all {
		id = int32(len(r.values) - 1)
	}
	f := &r.values[id]
	if f.stamp == r.now {
		return f
	}
	f.stamp, f.raw, f.folded = r.now, f.raw[:0], f.folded[:0]
	if all {
		f.raw = r.event.Values(f.raw)
	} else {
		for i := range r.view.paths[id] {
			if f.raw = r.event.Field(r.view.paths[id][i], f.raw); len(f.raw) > 0 {
				break
			}
		}
	}
	for i := range f.raw {
		if f.raw[i].Kind == Null {
			f.folded = append(f.folded, nil)
			continue
		}
		at := len(r.folded)
		r.folded = appendFold(r.folded, f.raw[i].Text)
		f.folded = append(f.folded, r.folded[at:len(r.folded):len(r.folded)])
	}
	return f
}

func (r *Runner) eval(n *node) bool {
	switch n.op {
	case nodeAtom:
		if a := r.answer[n.atom]; a>>1 == r.now {
			return a&1 == 1
		}
		yes := r.ask(&r.engine.atoms[n.atom])
		r.answer[n.atom] = r.now << 1
		if yes {
			r.answer[n.atom] |= 1
		}
		return yes
	case nodeAnd:
		for _, k := range n.kids {
			if !r.eval(k) {
				return false
			}
		}
		return true
	case nodeOr:
		for _, k := range n.kids {
			if r.eval(k) {
				return true
			}
		}
		return false
	}
	return !r.eval(n.kids[0])
}
