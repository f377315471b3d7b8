package intel

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"bartizan/internal/ioc"
	"bartizan/internal/model"
)

// Feed is a list of indicators that others publish, and how far it is believed.
type Feed struct {
	Name string
	// Confidence is for entries that say none, and the most that any entry
	// gets, 0 to 1: how often what the list names is hostile.
	Confidence float64
	List       *ioc.List
}

// Provenance is one list's word on an indicator.
type Provenance struct {
	Feed       string    `json:"feed"`
	Line       int       `json:"line"`
	Note       string    `json:"note,omitempty"` // what the list calls it; hostile text
	Confidence float64   `json:"confidence"`
	Until      time.Time `json:"valid_until,omitzero"`
}

// Hit is an indicator that covers what was looked up.
type Hit struct {
	Entity     model.Entity // the indicator: an address, a prefix, a parent domain, …
	Confidence float64      // that it is hostile, from all lists together
	From       []Provenance // the surest first
}

// Feeds answers what lists say about addresses, names, URLs, files,
// fingerprints and keys. It is immutable; a new one replaces it as a whole.
type Feeds struct {
	index   *Index
	allow   *Index
	names   []string
	entries []feedEntry
	kinds   map[model.EntityType]bool
	ports   bool // some address is listed for one port
}

// feedEntry is an entry of a list; those about one entity form a chain.
type feedEntry struct {
	note       string
	until      int64 // Unix seconds; 0: for ever
	next       int32 // place of another entry about the same, plus 1
	line       int32
	confidence uint16 // of 10,000
	feed       uint16
	port       uint16 // of an address listed for one port; 0: all
}

// NewFeeds builds the look-up of lists. What an allow-list names is never hit:
// an address in one of its prefixes, a domain below one of its domains, a URL at
// one of its hosts. User agents are skipped, because they name nobody.
func NewFeeds(feeds []Feed, allow []*ioc.List) (*Feeds, error) {
	if len(feeds) > 1<<16-1 {
		return nil, errors.New("build intelligence: too many lists")
	}
	f := &Feeds{kinds: map[model.EntityType]bool{}}
	head := map[model.Entity]int32{}
	for k, feed := range feeds {
		if !(feed.Confidence > 0 && feed.Confidence <= 1) {
			return nil, fmt.Errorf("build intelligence: list %s: confidence %v must be above 0 and at most 1", feed.Name, feed.Confidence)
		}
		f.names = append(f.names, feed.Name)
		for i := range feed.List.Indicators {
			n := &feed.List.Indicators[i]
			e, err := entityOf(n)
			if err != nil {
				continue
			}
			x := feedEntry{note: n.Note, line: int32(n.Line), feed: uint16(k), port: n.Port, confidence: tenThousandths(feed.Confidence), next: head[e]}
			if n.Confidence > 0 {
				x.confidence = tenThousandths(min(n.Confidence, feed.Confidence))
			}
			if !n.Until.IsZero() {
				x.until = max(n.Until.Unix(), 1)
			}
			f.entries = append(f.entries, x)
			head[e] = int32(len(f.entries))
			f.kinds[e.Type()] = true
			f.ports = f.ports || n.Port != 0
		}
	}
	var b Builder
	for e, at := range head {
		b.Add(IndexEntry{Entity: e, ID: uint64(at - 1), Confidence: 1})
	}
	var err error
	if f.index, err = b.Build(); err != nil {
		return nil, err
	}
	for _, l := range allow {
		for i := range l.Indicators {
			if e, err := entityOf(&l.Indicators[i]); err == nil {
				b.Add(IndexEntry{Entity: e, Confidence: 1})
			}
		}
	}
	if f.allow, err = b.Build(); err != nil {
		return nil, err
	}
	return f, nil
}

func entityOf(n *ioc.Indicator) (model.Entity, error) { return model.ParseEntity(n.Type, n.Value) }

// Len is the number of distinct indicators.
func (f *Feeds) Len() int { return f.index.Len() }

// Has reports whether there is any indicator of a type.
func (f *Feeds) Has(t model.EntityType) bool { return f.kinds[t] }

// Ports reports whether any address is listed for one port only.
func (f *Feeds) Ports() bool { return f.ports }

// Find4 tells which of a batch of IPv4 addresses may be named, far faster than
// one by one; Address4 answers for a Ref that is not 0.
func (f *Feeds) Find4(addrs []uint32, out []Ref) { f.index.Find4(addrs, out) }

// Address4 is the answer for an address of Find4 at a moment. What is listed
// for one port only counts where the port is that one; port 0 is none.
func (f *Feeds) Address4(a netip.Addr, port uint16, r Ref, at time.Time) (Hit, bool) {
	if _, allowed := f.allow.LookupAddr(a); allowed {
		return Hit{}, false
	}
	return f.hit(f.index.Match4(r), port, at)
}

// Address tells what covers an address, with the port as for Address4, at a moment.
func (f *Feeds) Address(a netip.Addr, port uint16, at time.Time) (Hit, bool) {
	m, ok := f.index.LookupAddr(a)
	if !ok {
		return Hit{}, false
	}
	if _, allowed := f.allow.LookupAddr(a); allowed {
		return Hit{}, false
	}
	return f.hit(m, port, at)
}

// Domain tells what covers a name at a moment: the name or a parent of it.
func (f *Feeds) Domain(name string, at time.Time) (Hit, bool) {
	m, ok := f.index.LookupDomain(name)
	if !ok {
		return Hit{}, false
	}
	if _, allowed := f.allow.LookupDomain(name); allowed {
		return Hit{}, false
	}
	return f.hit(m, 0, at)
}

// Entity tells whether exactly this URL, file, fingerprint or key is named.
func (f *Feeds) Entity(e model.Entity, at time.Time) (Hit, bool) {
	m, ok := f.index.Lookup(e)
	if !ok {
		return Hit{}, false
	}
	if _, allowed := f.allow.Lookup(e); allowed {
		return Hit{}, false
	}
	return f.hit(m, 0, at)
}

// Allowed reports whether a host, by name or by address, is on an allow-list.
func (f *Feeds) Allowed(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		_, ok := f.allow.LookupAddr(a)
		return ok
	}
	_, ok := f.allow.LookupDomain(host)
	return ok
}

// hit gathers what is said about an indicator and has not ended by then. Lists
// count as independent, up to 0.98: they copy from each other.
func (f *Feeds) hit(m Match, port uint16, at time.Time) (Hit, bool) {
	h := Hit{Entity: m.Entity}
	now := at.Unix()
	doubt := 1.0
	for k := int32(m.ID) + 1; k > 0; k = f.entries[k-1].next {
		x := &f.entries[k-1]
		if x.until != 0 && x.until <= now || x.port != 0 && x.port != port {
			continue
		}
		p := Provenance{Feed: f.names[x.feed], Line: int(x.line), Note: x.note, Confidence: float64(x.confidence) / 10_000}
		if x.until != 0 {
			p.Until = time.Unix(x.until, 0).UTC()
		}
		h.From = append(h.From, p)
		doubt *= 1 - p.Confidence
	}
	if len(h.From) == 0 {
		return Hit{}, false
	}
	slices.SortStableFunc(h.From, func(a, b Provenance) int {
		switch {
		case a.Confidence > b.Confidence:
			return -1
		case a.Confidence < b.Confidence:
			return 1
		}
		return 0
	})
	h.Confidence = max(h.From[0].Confidence, min(float64(tenThousandths(1-doubt))/10_000, 0.98))
	return h, true
}

func tenThousandths(p float64) uint16 { return uint16(math.Round(p * 10_000)) }
