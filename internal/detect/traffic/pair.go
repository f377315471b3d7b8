package traffic

import (
	"crypto/rand"
	"slices"

	"bartizan/internal/observe"
)

// pair is what is remembered about an internal host and a service outside.
type pair struct {
	first    int64
	conns    [maxConns]conn
	beats    beats
	up, down uint64 // of the day that began at since
	since    int64
	largest  uint64 // most pushed out in a day that is over
	days     int    // days that are over
	heard    bool   // its answers are in the log
	told     told
}

// told is what was said, or waits to be said, about a pair.
type told uint8

const (
	toldBeacon told = 1 << iota
	toldUpload
	toldMiner
	toldLong
	toldFat
)

// conn is one connection, which exporters cut into records of minutes.
type conn struct {
	port        uint16
	start, last int64
	bytes       uint64
	records     int
	// fewest and most bytes per second of its records of 20 seconds or more.
	slowest, fastest float64
}

const (
	maxConns = 6
	// A connection whose next record begins later than this is another one
	// when nothing else tells: exporters write at least every 10 minutes.
	maxPause = 11 * minute
)

// conn finds the connection a record continues, or begins one.
func (p *pair) conn(f *observe.Flow) (c *conn, begun bool) {
	end := max(f.End, f.Start)
	c = &p.conns[0]
	for i := range p.conns {
		x := &p.conns[i]
		if x.records > 0 && x.port == f.SrcPort {
			opens := f.HasFlags && f.Flags&observe.FlagSYN != 0 && f.Start > x.last
			fixed := f.Proto == observe.ProtoUDP && f.Start > x.last+20 // the same ports every time
			if !opens && !fixed && f.Start <= x.last+maxPause && f.Start >= x.start-maxPause {
				x.continues(f, end)
				return x, false
			}
			c = x
			break
		}
		if x.last < c.last {
			c = x
		}
	}
	*c = conn{port: f.SrcPort, start: f.Start, last: end}
	c.continues(f, end)
	if f.HasFlags && f.Proto == observe.ProtoTCP && f.Flags&observe.FlagSYN == 0 {
		return c, false // began before we looked, or too many at once
	}
	return c, true
}

func (c *conn) continues(f *observe.Flow, end int64) {
	c.start, c.last = min(c.start, f.Start), max(c.last, end)
	c.bytes += f.Bytes
	c.records++
	if s := end - f.Start; s >= 20 {
		rate := float64(f.Bytes) / float64(s)
		if c.fastest == 0 || rate < c.slowest {
			c.slowest = rate
		}
		c.fastest = max(c.fastest, rate)
	}
}

// lasted is how long a connection has been seen, in seconds.
func (c *conn) lasted() int64 { return c.last - c.start }

// users are the internal hosts that use a service.
type users struct {
	seen  [maxClients]uint32
	n     int
	first int64
}

const maxClients = 64

func (u *users) add(h uint64) {
	if v := uint32(h>>32) | 1; u.n < maxClients && !slices.Contains(u.seen[:u.n], v) {
		u.seen[u.n] = v
		u.n++
	}
}

// popular reports whether a service is an ordinary one, because many use it:
// an attacker's has few users, a vendor's has most of them.
func (d *traffic) popular(s service) bool {
	u := d.outside.Peek(s)
	if u == nil {
		return false
	}
	share := d.conf.Popular
	if u.first-d.began > day {
		share = d.conf.Late // what is new and already spreads may spread for a reason
	}
	return u.n >= maxClients && share < d.conf.Late || u.n >= d.conf.PopularHosts && float64(u.n) >= share*float64(d.hosts.Len())
}

// randomBytes fills b; crypto/rand does not fail (Go 1.24).
func randomBytes(b []byte) { _, _ = rand.Read(b) }
