package intel

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"bartizan/internal/ioc"
	"bartizan/internal/model"
)

// FeedsBuilder fills Feeds with one entry of a list after the other, in little
// more memory than Feeds takes. The zero value is ready; one goroutine uses it.
type FeedsBuilder struct {
	feeds  Feeds
	named  Builder
	allow  Builder
	intern map[feedDetail]uint32
	agents map[string]bool // of the list under way; they name nobody
}

// Begin begins a list. The confidence is for entries that say none, and the most
// that any entry gets, above 0 to 1: how often what the list names is hostile.
func (b *FeedsBuilder) Begin(name string, confidence float64) error {
	if !(confidence > 0 && confidence <= 1) {
		return fmt.Errorf("build intelligence: list %s: confidence %v must be above 0 and at most 1", name, confidence)
	}
	b.start()
	b.feeds.lists = append(b.feeds.lists, feedList{name: name, confidence: tenThousandths(confidence), begin: uint32(len(b.feeds.lines))})
	b.agents = nil
	return nil
}

func (b *FeedsBuilder) start() {
	if b.intern != nil {
		return
	}
	b.named.Merge = b.merge
	b.intern = map[feedDetail]uint32{{}: 0}
	b.feeds.kinds, b.feeds.details = map[model.EntityType]bool{}, []feedDetail{{}}
}

// Add takes an entry of the list that Begin began. An entry that is repeated
// keeps its first line and gets the surest and longest terms. More than
// ioc.MaxIndicators of one list, repeated ones included, are an error.
func (b *FeedsBuilder) Add(e *ioc.Entry) error {
	f := &b.feeds
	if len(f.lists) == 0 {
		return errors.New("build intelligence: an entry of no list")
	}
	l := &f.lists[len(f.lists)-1]
	if e.Type == ioc.TypeUserAgent { // names nobody: counted, not looked for
		if !b.agents[e.Agent] {
			if b.agents == nil {
				b.agents = map[string]bool{}
			}
			b.agents[e.Agent] = true
			l.count++
		}
		return nil
	}
	if n := uint32(len(f.lines)); n-l.begin >= ioc.MaxIndicators || n == math.MaxUint32-1 {
		return fmt.Errorf("line %d: more than %d indicators, repeated ones included", e.Line, ioc.MaxIndicators)
	}
	d := feedDetail{note: e.Note, port: e.Port}
	if e.Confidence > 0 {
		d.confidence = min(tenThousandths(e.Confidence), l.confidence) + 1
	}
	if !e.Until.IsZero() {
		d.until = max(e.Until.Unix(), 1)
	}
	id := uint64(len(f.lines))
	f.lines = append(f.lines, int32(e.Line))
	f.detail.set(uint32(id), b.detail(d))
	f.kinds[e.Type] = true
	f.ports = f.ports || e.Port != 0
	l.count++
	addEntry(&b.named, e, id)
	return nil
}

// Allow takes an entry of an allow-list. What it names is never hit: an address
// in its prefix, a domain below its domain, a URL at its host.
func (b *FeedsBuilder) Allow(e *ioc.Entry) error {
	if e.Type != ioc.TypeUserAgent {
		addEntry(&b.allow, e, 0)
	}
	return nil
}

func addEntry(b *Builder, e *ioc.Entry, id uint64) {
	if e.Type == model.TypeIP {
		b.AddPrefix(e.Prefix, id, 1)
		return
	}
	b.Add(IndexEntry{Entity: e.Entity, ID: id, Confidence: 1})
}

// detail keeps what entries say in common once.
func (b *FeedsBuilder) detail(d feedDetail) uint32 {
	if d == (feedDetail{}) {
		return 0
	}
	at, ok := b.intern[d]
	if !ok {
		at = uint32(len(b.feeds.details))
		b.feeds.details = append(b.feeds.details, d)
		b.intern[d] = at
	}
	return at
}

// Build makes the look-up and empties the builder.
func (b *FeedsBuilder) Build() (*Feeds, error) {
	b.start()
	b.feeds.lines = slices.Clip(b.feeds.lines)
	var err error
	if b.feeds.index, err = b.named.Build(); err != nil {
		return nil, err
	}
	if b.feeds.allow, err = b.allow.Build(); err != nil {
		return nil, err
	}
	f := b.feeds
	*b = FeedsBuilder{}
	return &f, nil
}

// merge makes a chain of the rows about one entity, the newest first, and
// returns its head. Of those of one list about one port the first stays.
func (b *FeedsBuilder) merge(ids []uint64) uint64 {
	f := &b.feeds
	port := func(id uint64) uint16 { return f.details[f.detail.at(uint32(id))].port }
	slices.SortStableFunc(ids, func(p, q uint64) int {
		if c := cmp.Compare(f.list(uint32(p)), f.list(uint32(q))); c != 0 {
			return c
		}
		return cmp.Compare(port(p), port(q))
	})
	kept := ids[:1]
	for _, id := range ids[1:] {
		last := kept[len(kept)-1]
		if k := f.list(uint32(id)); k == f.list(uint32(last)) && port(id) == port(last) {
			b.widen(last, id)
			f.lists[k].count--
			continue
		}
		kept = append(kept, id)
	}
	slices.Sort(kept)
	for i, id := range kept[1:] {
		f.next.set(uint32(id), uint32(kept[i])+1)
	}
	return kept[len(kept)-1]
}

// widen takes the further terms of a row that occurs again.
func (b *FeedsBuilder) widen(row, again uint64) {
	f := &b.feeds
	d, o := f.details[f.detail.at(uint32(row))], f.details[f.detail.at(uint32(again))]
	d.confidence = max(d.confidence, o.confidence)
	if o.until == 0 || d.until != 0 && o.until > d.until {
		d.until = o.until
	}
	f.detail.set(uint32(row), b.detail(d))
}
