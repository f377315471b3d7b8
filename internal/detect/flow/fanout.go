package flow

import (
	"fmt"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// fans counts how many distinct pairs of host and port a source reaches,
// whatever comes of it: a few hashes of them in the slot of a source, and for
// those with more a set of hashes up to the threshold. A hash has 16 bits, so
// that of a hundred pairs about one in thirteen sources is counted one too low.
type fans struct {
	limit   int
	window  int64
	buckets []fanBucket
	mask    uint64
	sets    [][]fanSet // chunks
	max     int        // sets at most
	next    int        // the set that makes room, in turn
	used    int
	free    []uint32
	sig     model.Signal
}

// fan is what is remembered about a source.
type fan struct {
	tag   uint32 // of the source; 0: free
	since uint32 // start of the window, Unix seconds
	seen  uint32
	n     uint8 // pairs in early; fanHeavy, fanTold
	_     uint8
	early [earlyFan]uint16 // with fanHeavy the number of its set, low half first
}

const (
	earlyFan = 9
	fanHeavy = 0xfe // has a set
	fanTold  = 0xff // told in this window
	setLen   = 256  // slots, a power of two
	maxFan   = 160  // largest threshold: a set must stay sparse
	fanChunk = 128
)

type fanBucket [ways]fan

type fanSet struct {
	owner uint64 // hash of the source
	n     uint32
	at    [setLen]uint16 // 0: free
}

func newFans(limit, buckets, sets int, window int64) *fans {
	return &fans{limit: limit, window: window, buckets: make([]fanBucket, buckets), mask: uint64(buckets - 1), max: sets}
}

// count notes that the source with hash h reached target.
func (d *fans) count(f *observe.Flow, h, target uint64, emit detect.FlowEmit) {
	b := &d.buckets[h&d.mask]
	tag := uint32(h>>32) | 1
	s := &b[0]
	if s.tag != tag {
		if s = &b[1]; s.tag != tag {
			s = b.oldest()
		}
	}
	at := uint32(min(max(f.Time(), 0), 1<<32-1))
	if s.tag != tag || distance(at, s.since) > d.window {
		*s = fan{tag: tag, since: at}
	}
	s.since = min(s.since, at)
	s.seen = max(s.seen, at)
	v := uint16(target >> 40)
	if v == 0 {
		v = 1
	}
	if s.n < fanHeavy {
		for _, x := range s.early[:s.n] {
			if x == v {
				return
			}
		}
		if s.n < earlyFan {
			s.early[s.n] = v
			s.n++
			return
		}
		d.promote(s, h)
	}
	if s.n == fanHeavy {
		d.add(f, s, h, v, emit)
	}
}

func distance(a, b uint32) int64 {
	if a > b {
		return int64(a - b)
	}
	return int64(b - a)
}

// oldest makes room; sources with a set stay as long as there is another.
func (b *fanBucket) oldest() *fan {
	x, y := &b[0], &b[1]
	if (x.n >= fanHeavy) != (y.n >= fanHeavy) {
		if x.n >= fanHeavy {
			return y
		}
		return x
	}
	if x.tag == 0 || y.tag != 0 && x.seen <= y.seen {
		return x
	}
	return y
}

// promote gives a source a set.
func (d *fans) promote(s *fan, h uint64) {
	var k uint32
	switch n := len(d.free); {
	case n > 0:
		k = d.free[n-1]
		d.free = d.free[:n-1]
	case d.used < d.max:
		if d.used%fanChunk == 0 {
			d.sets = append(d.sets, make([]fanSet, fanChunk))
		}
		k = uint32(d.used)
		d.used++
	default:
		k = uint32(d.next)
		d.next = (d.next + 1) % d.max
	}
	set := d.set(k)
	*set = fanSet{owner: h}
	for _, v := range s.early {
		set.add(v)
	}
	s.n = fanHeavy
	s.early[0], s.early[1] = uint16(k), uint16(k>>16)
}

func (d *fans) set(k uint32) *fanSet { return &d.sets[k/fanChunk][k%fanChunk] }

// add puts a pair into the set of s, and tells when there are enough.
func (d *fans) add(f *observe.Flow, s *fan, h uint64, v uint16, emit detect.FlowEmit) {
	k := uint32(s.early[0]) | uint32(s.early[1])<<16
	set := d.set(k)
	if set.owner != h { // it made room for another source
		*s = fan{tag: s.tag, since: s.since, seen: s.seen, n: 1, early: [earlyFan]uint16{v}}
		return
	}
	if set.add(v); int(set.n) <= d.limit {
		return
	}
	set.owner = 0
	d.free = append(d.free, k)
	s.n = fanTold
	d.tell(f, s, emit)
}

func (t *fanSet) add(v uint16) {
	for i := v % setLen; ; i = (i + 1) % setLen {
		switch t.at[i] {
		case v:
			return
		case 0:
			t.at[i] = v
			t.n++
			return
		}
	}
}

// tell records a fact. Busy servers and resolvers are among these sources, so
// it is no alert: what failed makes a scan, not how much was tried.
func (d *fans) tell(f *observe.Flow, s *fan, emit detect.FlowEmit) {
	src := f.Src.Netip()
	took := time.Duration(s.seen-s.since) * time.Second
	d.sig = model.Signal{
		Kind: "flow.fanout", Class: model.ClassContact, Rule: "flow.fanout", Title: fmt.Sprintf("reached more than %d pairs of host and port", d.limit),
		Time: time.Unix(max(f.Time(), int64(s.seen)), 0).UTC(), Actor: model.AddrEntity(src), Address: src.String(),
		Asset:      model.AssetRef{Kind: "host", Name: f.Dst.Netip().String()},
		Confidence: 0.3, Severity: model.Info, Count: d.limit + 1, Spoofable: true,
		Evidence: []model.Evidence{{Time: time.Unix(f.Time(), 0).UTC(), What: "flow", Excerpt: fmt.Sprintf("%d pairs in %s", d.limit+1, took)}},
	}
	emit(&d.sig, f)
}
