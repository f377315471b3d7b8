package intel

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"bartizan/internal/model"
)

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
	lists   []feedList
	lines   []int32 // of each entry of the lists, called a row; most say nothing but what they name
	detail  sparse  // place in details of each row
	next    sparse  // of rows about one entity, which form a chain: another, plus 1
	details []feedDetail
	kinds   map[model.EntityType]bool
	ports   bool // some address is listed for one port
}

// feedList is what is known of all entries of a list.
type feedList struct {
	name       string
	confidence uint16 // of 10,000
	begin      uint32 // its first row
	count      int    // distinct indicators
}

// sparse is a list of numbers that are 0 up to a row, which takes no memory
// when all are.
type sparse []uint32

func (s sparse) at(row uint32) uint32 {
	if int(row) >= len(s) {
		return 0
	}
	return s[row]
}

func (s *sparse) set(row, v uint32) {
	if int(row) >= len(*s) {
		if v == 0 {
			return
		}
		*s = append(*s, make([]uint32, int(row)+1-len(*s))...)
	}
	(*s)[row] = v
}

// feedDetail is what an entry says of its own.
type feedDetail struct {
	note       string
	until      int64  // Unix seconds; 0: for ever
	confidence uint16 // of 10,000, plus 1; 0: not said
	port       uint16 // of an address listed for one port; 0: all
}

// Len is the number of distinct indicators.
func (f *Feeds) Len() int { return f.index.Len() }

// Indicators is the number of distinct ones of a list, by the order of Begin.
func (f *Feeds) Indicators(list int) int { return f.lists[list].count }

// list tells which one a row is of.
func (f *Feeds) list(row uint32) int {
	n, _ := slices.BinarySearchFunc(f.lists, row, func(l feedList, row uint32) int {
		if l.begin <= row {
			return -1
		}
		return 1
	})
	return n - 1
}

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
	for k := uint32(m.ID) + 1; k > 0; k = f.next.at(k - 1) {
		x := &f.details[f.detail.at(k-1)]
		if x.until != 0 && x.until <= now || x.port != 0 && x.port != port {
			continue
		}
		from := &f.lists[f.list(k-1)]
		p := Provenance{Feed: from.name, Line: int(f.lines[k-1]), Note: x.note, Confidence: float64(from.confidence) / 10_000}
		if x.confidence > 0 {
			p.Confidence = float64(x.confidence-1) / 10_000
		}
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
