package host

import (
	"math/bits"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// BaselineConfig bounds a Baseline. The zero value of a field means its default.
type BaselineConfig struct {
	Step     time.Duration // one minute
	MinSteps int           // steps with observations before Share is known: 10
	MaxPeers int           // peers remembered: 65,536 (about 4 MiB)
}

// steps is the window: 60 steps, one bit each.
const steps = 60

// Baseline remembers which peers used this machine's real services lately, to tell how much good traffic a block would
// hit. A peer is a v4 address or a v6 /64; what it weighs is in how many steps of the last hour it was connected, so that
// a flood of connections in one minute does not make somebody look important. When it is full, new peers are counted and
// not remembered: those that were there before keep their weight.
//
// It takes time from its caller only and is safe for concurrent use.
type Baseline struct {
	conf BaselineConfig

	mu      sync.Mutex
	now     int64              // current step
	looked  uint64             // in which of the last steps there was an observation
	peers   map[netip.Addr]int // index in list
	list    []peer
	sorted  bool
	sums    []uint64 // sums[i]: weight of list[:i], valid while sorted
	refused uint64
}

type peer struct {
	addr netip.Addr
	seen uint64 // bit 0 = the current step
}

// NewBaseline returns an empty record.
func NewBaseline(conf BaselineConfig) *Baseline {
	if conf.Step <= 0 {
		conf.Step = time.Minute
	}
	if conf.MinSteps <= 0 {
		conf.MinSteps = 10
	}
	if conf.MaxPeers <= 0 {
		conf.MaxPeers = 1 << 16
	}
	return &Baseline{conf: conf, peers: map[netip.Addr]int{}}
}

// Observe records who is connected at the time. The caller leaves out connections to decoys and from known attackers. An
// empty list counts as an observation too: nobody was there.
func (b *Baseline) Observe(now time.Time, conns []Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
	b.looked |= 1
	for _, c := range conns {
		key := peerKey(c.Remote.Addr())
		if !key.IsValid() || key.IsLoopback() || key.IsUnspecified() {
			continue
		}
		i, ok := b.peers[key]
		if !ok {
			if len(b.list) >= b.conf.MaxPeers {
				b.refused++
				continue
			}
			i = len(b.list)
			b.list, b.sorted = append(b.list, peer{addr: key}), false
			b.peers[key] = i
		}
		if b.list[i].seen&1 == 0 {
			b.list[i].seen |= 1
			b.sorted = false
		}
	}
}

// Share is the part of the recent good traffic, 0 to 1, that comes from the prefix. known is false while too little was
// observed to tell; with enough observations and no traffic at all the share is 0 and known.
func (b *Baseline) Share(now time.Time, prefix netip.Prefix) (share float64, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
	if bits.OnesCount64(b.looked) < b.conf.MinSteps {
		return 0, false
	}
	from, to := b.within(prefix)
	all := b.sums[len(b.list)]
	if all == 0 {
		return 0, true
	}
	return float64(b.sums[to]-b.sums[from]) / float64(all), true
}

// Clients is how many peers of the prefix were seen in the window.
func (b *Baseline) Clients(now time.Time, prefix netip.Prefix) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
	from, to := b.within(prefix)
	return to - from
}

// Total is how many peers were seen in the window.
func (b *Baseline) Total(now time.Time) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
	return len(b.list)
}

// Refused is how often a peer was not remembered because the record was full. While it grows, Share speaks for those that
// were there before.
func (b *Baseline) Refused() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused
}

// advance moves the window. A clock that jumps back does not: what was seen stays seen, and after a jump of more than the
// window time goes on from there.
func (b *Baseline) advance(now time.Time) {
	step := now.UnixNano() / int64(b.conf.Step)
	if b.now == 0 || b.now-step > steps {
		b.now = step
	}
	by := step - b.now
	if by <= 0 {
		return
	}
	b.now = step
	const window = 1<<steps - 1
	b.looked = b.looked << uint64(by) & window
	kept := b.list[:0]
	for _, p := range b.list {
		if p.seen = p.seen << uint64(by) & window; p.seen != 0 {
			kept = append(kept, p)
		}
	}
	if len(kept) < len(b.list) {
		clear(b.list[len(kept):])
		b.reindex(kept)
	}
	b.list, b.sorted = kept, false
}

func (b *Baseline) reindex(list []peer) {
	clear(b.peers)
	for i, p := range list {
		b.peers[p.addr] = i
	}
}

// within gives the range of the sorted list that the prefix covers. A v6 prefix longer than /64 stands for its /64.
func (b *Baseline) within(prefix netip.Prefix) (from, to int) {
	if !b.sorted {
		slices.SortFunc(b.list, func(x, y peer) int { return x.addr.Compare(y.addr) })
		b.reindex(b.list)
		b.sums = append(b.sums[:0], 0)
		for i, p := range b.list {
			b.sums = append(b.sums, b.sums[i]+uint64(bits.OnesCount64(p.seen)))
		}
		b.sorted = true
	}
	addr, length := prefix.Addr().WithZone(""), prefix.Bits()
	if addr.Is4In6() {
		addr, length = addr.Unmap(), max(length-96, 0)
	}
	if addr.Is6() {
		length = min(length, 64)
	}
	p, err := addr.Prefix(length)
	if err != nil {
		return 0, 0
	}
	from, _ = slices.BinarySearchFunc(b.list, p.Addr(), func(x peer, a netip.Addr) int { return x.addr.Compare(a) })
	many, _ := slices.BinarySearchFunc(b.list[from:], p, func(x peer, p netip.Prefix) int {
		if p.Contains(x.addr) {
			return -1
		}
		return 1
	})
	return from, from + many
}

// peerKey is who counts as one peer.
func peerKey(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
