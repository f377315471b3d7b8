package sigma

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"time"

	"bartizan/internal/model"
)

// Limits bound the memory of correlations.
type Limits struct {
	Groups  int // groups of all correlations together; 0: 100,000
	Entries int // events remembered in all groups together; 0: 1,000,000
	Group   int // events remembered in one group; 0: 10,000, and never fewer than the rule counts
}

// DefaultLimits is about 100 MB when full.
func DefaultLimits() Limits { return Limits{Groups: 100_000, Entries: 1_000_000, Group: 10_000} }

// Stats is what correlations hold, and what they had to give up.
type Stats struct {
	Groups  int    `json:"groups"`
	Entries int    `json:"entries"`
	Evicted uint64 `json:"evicted"` // groups forgotten for want of memory, the longest idle first
	Cut     uint64 `json:"cut"`     // events forgotten within a group
	Late    uint64 `json:"late"`    // events older than a window when they came
	Missing uint64 `json:"missing"` // events without a field to group by
}

// correlator is the state of all correlations of a runner.
type correlator struct {
	engine *Engine
	limits Limits
	groups map[groupKey]*group
	idle   *list.List   // of *group, the longest idle first
	closes []*list.List // per correlation, of *group that wait for the end of their time, oldest first
	clock  int64        // the newest time seen
	stats  Stats
	key    []byte
}

type groupKey struct {
	correlation int32
	by          string
}

// group is the window of one correlation and one set of values.
type group struct {
	key     groupKey
	entries []entry        // sorted by time
	inIdle  *list.Element  //
	inClose *list.Element  // nil for a sliding correlation
	start   int64          // of a tumbling window
	last    *model.Signal  // of a tumbling window, to report with
	next    []snapshot     // of a tumbling window, what it feeds
	values  map[uint64]int // of value_count: how often each is in entries
}

// entry is one event in a window.
type entry struct {
	at    int64 // Unix nanoseconds
	value uint64
	input int32
}

func newCorrelator(e *Engine, l Limits) *correlator {
	d := DefaultLimits()
	if l.Groups <= 0 {
		l.Groups = d.Groups
	}
	if l.Entries <= 0 {
		l.Entries = d.Entries
	}
	if l.Group <= 0 {
		l.Group = d.Group
	}
	return &correlator{engine: e, limits: l, groups: map[groupKey]*group{}, idle: list.New(), closes: make([]*list.List, len(e.correlations)), clock: math.MinInt64}
}

// advance moves the clock and decides what its time is over for.
func (s *correlator) advance(moment time.Time, dst []model.Signal) []model.Signal {
	t := moment.UnixNano()
	if moment.IsZero() || t <= s.clock {
		return dst
	}
	s.clock = t
	for i, waiting := range s.closes {
		c := s.engine.correlations[i]
		for waiting != nil && waiting.Len() > 0 {
			g := waiting.Front().Value.(*group)
			if g.start+int64(c.span) >= s.clock {
				break
			}
			dst = s.decide(c, g, dst)
		}
	}
	return dst
}

func (s *correlator) flush(dst []model.Signal) []model.Signal {
	for i, waiting := range s.closes {
		for waiting != nil && waiting.Len() > 0 {
			dst = s.decide(s.engine.correlations[i], waiting.Front().Value.(*group), dst)
		}
	}
	return dst
}

// decide ends a tumbling window.
func (s *correlator) decide(c *correlation, g *group, dst []model.Signal) []model.Signal {
	v, ok := c.measure(g.entries)
	last, next, n := g.last, g.next, len(g.entries)
	s.forget(g)
	if !ok || !c.holds(v) {
		return dst
	}
	sig := *last
	sig.ID, sig.Count = model.NewULID(sig.Time), n
	if !c.rule.silent {
		dst = append(dst, sig)
	}
	for i := range next {
		dst = s.replay(&next[i], sig.Time, dst)
	}
	return dst
}

// snapshot is what a correlation that is fed needs of an event that is gone by
// the time its feeder is decided.
type snapshot struct {
	arrival
	known bool // the event has the fields to group and to count by
	depth int
}

// arrival is an event at a correlation.
type arrival struct {
	feed  feed
	key   string
	value uint64
	sig   model.Signal // of the correlation, when the event is gone
	next  []snapshot   // likewise, for those that it feeds
}

// snapshots notes the event under way for what a rule feeds.
func (s *correlator) snapshots(r *Runner, feeds []feed, moment time.Time, depth int) []snapshot {
	if depth >= maxChain || len(feeds) == 0 {
		return nil
	}
	out := make([]snapshot, len(feeds))
	for i, f := range feeds {
		c := s.engine.correlations[f.correlation]
		n := &out[i]
		n.feed, n.depth = f, depth
		var keyed, valued bool
		n.key, keyed = s.keyOf(r, c, f)
		n.value, valued = s.valueOf(r, c)
		n.known = keyed && valued
		n.sig = r.make(c.rule, moment, 1)
		n.next = s.snapshots(r, c.rule.feeds, moment, depth+1)
	}
	return out
}

// replay takes in an event that is gone.
func (s *correlator) replay(n *snapshot, moment time.Time, dst []model.Signal) []model.Signal {
	if !n.known {
		s.stats.Missing++
		return dst
	}
	return s.arrive(nil, n.arrival, moment, n.depth, dst)
}

// observe takes in an event for an input of a correlation.
func (s *correlator) observe(r *Runner, f feed, moment time.Time, depth int, dst []model.Signal) []model.Signal {
	c := s.engine.correlations[f.correlation]
	key, ok := s.keyOf(r, c, f)
	value, has := s.valueOf(r, c)
	if !ok || !has {
		s.stats.Missing++
		return dst
	}
	return s.arrive(r, arrival{feed: f, key: key, value: value}, moment, depth, dst)
}

// arrive takes in an event, the one under way or, without r, one that is gone.
func (s *correlator) arrive(r *Runner, a arrival, moment time.Time, depth int, dst []model.Signal) []model.Signal {
	c := s.engine.correlations[a.feed.correlation]
	signal := func(n int) model.Signal {
		if r != nil {
			return r.make(c.rule, moment, n)
		}
		sig := a.sig
		sig.ID, sig.Count = model.NewULID(sig.Time), n
		return sig
	}
	e := entry{at: moment.UnixNano(), value: a.value, input: a.feed.input}
	if moment.IsZero() {
		e.at = max(s.clock, 0)
	}
	g := s.group(c, a.key, e.at)
	if !s.insert(c, g, e) {
		return dst
	}
	if !c.sliding() {
		last := signal(1)
		g.last, g.next = &last, a.next
		if r != nil {
			g.next = s.snapshots(r, c.rule.feeds, moment, depth+1)
		}
		return dst
	}
	n := s.complete(c, g, e)
	if n == 0 {
		return dst
	}
	s.forget(g)
	if !c.rule.silent {
		dst = append(dst, signal(n))
	}
	if depth >= maxChain {
		return dst
	}
	if r == nil {
		for i := range a.next {
			dst = s.replay(&a.next[i], moment, dst)
		}
		return dst
	}
	for _, next := range c.rule.feeds {
		dst = s.observe(r, next, moment, depth+1, dst)
	}
	return dst
}

// keyOf writes the values that events of a group share.
func (s *correlator) keyOf(r *Runner, c *correlation, f feed) (string, bool) {
	s.key = s.key[:0]
	for _, fields := range c.group {
		id := fields[0]
		if int(f.input) < len(fields) {
			id = fields[f.input]
		}
		v := r.field(id)
		if len(v.raw) == 0 || v.raw[0].Kind == Null {
			return "", false
		}
		s.key = binary.AppendUvarint(s.key, uint64(len(v.raw[0].Text)))
		s.key = append(s.key, v.raw[0].Text...)
	}
	if len(s.key) > 256 {
		sum := sha256.Sum256(s.key)
		return string(sum[:]), true
	}
	return string(s.key), true
}

// valueOf is what an event counts for: a hash of its value, or the number.
func (s *correlator) valueOf(r *Runner, c *correlation) (uint64, bool) {
	if len(c.field) == 0 {
		return 0, true
	}
	h := fnv.New64a()
	for _, id := range c.field {
		f := r.field(id)
		if len(f.raw) == 0 || f.raw[0].Kind == Null {
			return 0, false
		}
		if c.kind != valueCount {
			n, err := strconv.ParseFloat(string(f.raw[0].Text), 64)
			return math.Float64bits(n), err == nil && !math.IsNaN(n)
		}
		h.Write(f.folded[0]) // a hash's Write never fails
		h.Write([]byte{0})
	}
	return h.Sum64(), true
}

func (s *correlator) group(c *correlation, by string, at int64) *group {
	key := groupKey{c.index, by}
	if g := s.groups[key]; g != nil {
		s.idle.MoveToBack(g.inIdle)
		return g
	}
	for len(s.groups) >= s.limits.Groups {
		s.evict()
	}
	g := &group{key: key, start: at}
	g.inIdle = s.idle.PushBack(g)
	if !c.sliding() {
		if s.closes[c.index] == nil {
			s.closes[c.index] = list.New()
		}
		g.inClose = s.closes[c.index].PushBack(g)
	}
	s.groups[key] = g
	s.stats.Groups++
	return g
}

func (s *correlator) evict() {
	if el := s.idle.Front(); el != nil {
		s.forget(el.Value.(*group))
		s.stats.Evicted++
	}
}

func (s *correlator) forget(g *group) {
	s.idle.Remove(g.inIdle)
	if g.inClose != nil {
		s.closes[g.key.correlation].Remove(g.inClose)
	}
	delete(s.groups, g.key)
	s.stats.Groups--
	s.stats.Entries -= len(g.entries)
	g.entries = nil
}

// insert puts an event in its place in time and drops what is too old to
// matter: events may come late by as much as the timespan.
func (s *correlator) insert(c *correlation, g *group, e entry) bool {
	if n := len(g.entries); n > 0 && c.sliding() {
		newest := max(g.entries[n-1].at, e.at)
		oldest := newest - 2*int64(c.span)
		if e.at < oldest {
			s.stats.Late++
			return false
		}
		drop := 0
		for drop < n && g.entries[drop].at < oldest {
			drop++
		}
		s.drop(g, drop)
	}
	limit := s.limits.Group
	if c.kind == eventCount || c.kind == valueCount {
		limit = max(limit, c.need())
	}
	if len(g.entries) >= limit {
		s.drop(g, 1)
		s.stats.Cut++
	}
	i := len(g.entries)
	for i > 0 && (g.entries[i-1].at > e.at || g.entries[i-1].at == e.at && g.entries[i-1].input > e.input) {
		i--
	}
	g.entries = slices.Insert(g.entries, i, e)
	s.stats.Entries++
	if c.kind == valueCount {
		if g.values == nil {
			g.values = map[uint64]int{}
		}
		g.values[e.value]++
	}
	for s.stats.Entries > s.limits.Entries && s.idle.Front().Value.(*group) != g {
		s.evict()
	}
	return true
}

// drop forgets the n oldest events of a group.
func (s *correlator) drop(g *group, n int) {
	if n == 0 {
		return
	}
	for _, e := range g.entries[:n] {
		if g.values == nil {
			break
		}
		if g.values[e.value]--; g.values[e.value] <= 0 {
			delete(g.values, e.value)
		}
	}
	g.entries = g.entries[:copy(g.entries, g.entries[n:])]
	s.stats.Entries -= n
}
