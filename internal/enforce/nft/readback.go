package nft

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"bartizan/internal/enforce"
	"bartizan/internal/model"
)

// tolerance is how far an end in the kernel may be from the one wanted, in
// milliseconds: its clock ticks coarsely. The kernel starts to count when it
// comes to an element, so ends are also late by up to the time of a transaction.
const tolerance = 1500

// fullEvery is how many audits may trust the ruleset's generation before one
// reads every element all the same.
const fullEvery = 20

// reader is the side of the enforcer that looks: its own socket, so that a
// long read-back and a decision do not wait for each other.
type reader struct {
	mu   sync.Mutex
	sock *socket

	trusted   bool   // the last full comparison found no difference
	gen       uint32 // the ruleset's generation then
	commits   uint64 // and our own transactions until then
	unchecked int    // audits since that only looked at the generation

	countMu sync.Mutex
	past    map[model.ULID]enforce.Counter // of elements that are gone
	seen    map[pieceKey]seenPiece         // as last read
}

type pieceKey struct {
	set int
	lo  addr
}

type seenPiece struct {
	count     enforce.Counter
	decisions []model.ULID
}

func (r *reader) init() {
	r.past, r.seen = make(map[model.ULID]enforce.Counter), make(map[pieceKey]seenPiece)
}

func (r *reader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop()
}

func (r *reader) drop() {
	if r.sock != nil {
		r.sock.close()
		r.sock = nil
	}
}

// using runs f with the reader's socket and drops the socket if f fails half
// way through an answer. r.mu is held.
func (r *reader) using(netns string, f func(*socket) error) error {
	if r.sock == nil {
		s, err := dial(netns)
		if err != nil {
			return err
		}
		r.sock = s
	}
	err := f(r.sock)
	if err != nil {
		r.drop()
	}
	return err
}

// rangeOf is a range as read from the kernel.
type rangeOf struct {
	piece        // until is the earliest moment its end can be
	spread int64 // milliseconds its end may be later than that
	count  enforce.Counter
}

// ranges reads a set. Dumps come in no promised order, and an element that
// expired during the dump may leave its end behind; so starts and ends are
// sorted apart and each start takes the nearest end after it.
//
// The kernel says how long an element has left. It fills one answer ahead, so
// that was said at some moment between the last answer and now, which on a
// machine that was paused is a long time.
func (l layout) ranges(ctx context.Context, s *socket, set int) ([]rangeOf, error) {
	var starts []rangeOf
	var ends []addr
	since, now := time.Now().UnixMilli(), int64(0)
	err := l.dump(ctx, s, set, func() {
		if now != 0 {
			since = now
		}
		now = time.Now().UnixMilli()
	}, func(e element) {
		if e.end {
			ends = append(ends, e.at)
			return
		}
		until := int64(math.MaxInt64 / 2)
		if e.left > 0 {
			until = since + int64(min(e.left, 1<<50))
		}
		starts = append(starts, rangeOf{piece{lo: e.at, until: until}, now - since, enforce.Counter{Packets: e.packets, Bytes: e.bytes}})
	})
	if err != nil {
		return nil, err
	}
	return pair(starts, ends, setSpecs[set].width), nil
}

func pair(starts []rangeOf, ends []addr, width int) []rangeOf {
	slices.SortFunc(starts, func(a, b rangeOf) int { return a.lo.compare(b.lo) })
	slices.SortFunc(ends, addr.compare)
	j := 0
	for i := range starts {
		for j < len(ends) && !starts[i].lo.less(ends[j]) {
			j++
		}
		starts[i].hi = hostMask(width, 0)
		if j < len(ends) {
			starts[i].hi = ends[j].prev()
		}
	}
	return starts
}

// compare returns what must be deleted from and added to a set that holds have
// so that it holds want; late is how far ends may be behind besides tolerance.
func compare(have []rangeOf, want []piece, late int64) (del, add []piece) {
	i, j := 0, 0
	for i < len(have) && j < len(want) {
		switch c := have[i].lo.compare(want[j].lo); {
		case c == 0:
			off := have[i].until - want[j].until
			if have[i].hi != want[j].hi || off+have[i].spread < -tolerance || off > tolerance+late {
				del, add = append(del, have[i].piece), append(add, want[j])
			}
			i, j = i+1, j+1
		case c < 0:
			del, i = append(del, have[i].piece), i+1
		default:
			add, j = append(add, want[j]), j+1
		}
	}
	for ; i < len(have); i++ {
		del = append(del, have[i].piece)
	}
	return del, append(add, want[j:]...)
}

// deviation is what the kernel holds otherwise than wanted.
type deviation struct {
	standing bool // the table has its shape; if not, nothing else is known
	names    [setCount]string
	stale    []string
	del, add [setCount][]piece
}

// deviates compares the kernel with the flats. e.mu is held.
func (e *Enforcer) deviates(ctx context.Context) (d deviation, err error) {
	if d.names, d.stale, d.standing, err = e.layout.standing(ctx, e.sock); err != nil || !d.standing {
		return d, err
	}
	l := e.layout
	l.names = d.names
	now := time.Now()
	for i := range setCount {
		have, err := l.ranges(ctx, e.sock, i)
		if err != nil {
			return d, err
		}
		d.del[i], d.add[i] = compare(have, alive(e.flats[i].pieces, now), e.lag.Milliseconds())
	}
	return d, nil
}

// resync makes the kernel hold exactly the flats, whatever it holds now.
// e.mu is held.
func (e *Enforcer) resync(ctx context.Context) error {
	var d deviation
	var err error
	for range 5 { // others may be changing their rules while we read
		if err = e.connect(); err != nil {
			return err
		}
		if d, err = e.deviates(ctx); err == nil {
			break
		}
		e.sock.close() // answers may still be on their way
		e.sock = nil
		if !errors.Is(err, errDumpInterrupted) && !errors.Is(err, errNoTable) {
			return err
		}
	}
	now := time.Now()
	if err == nil && d.standing {
		e.layout.names = d.names
		err = e.send(d.del, d.add, d.stale)
	} else {
		err = e.rebuild(now)
	}
	if err == nil {
		e.synced, e.skew = true, e.skewAt(now)
	}
	return err
}

// rebuild replaces the whole table.
func (e *Enforcer) rebuild(now time.Time) error {
	if err := e.connect(); err != nil {
		return err
	}
	t := newBatch(e.sock.seq + 1)
	next := e.layout.recreate(t)
	for i := range e.flats {
		next.elements(t, unix.NFT_MSG_NEWSETELEM, i, alive(e.flats[i].pieces, now), now)
	}
	err := e.commit(t, now)
	if err == nil {
		e.layout = next
	}
	return err
}

// alive returns the pieces that have not ended.
func alive(pieces []piece, now time.Time) []piece {
	at := now.UnixMilli()
	if !slices.ContainsFunc(pieces, func(p piece) bool { return p.until <= at }) {
		return pieces
	}
	out := make([]piece, 0, len(pieces))
	for _, p := range pieces {
		if p.until > at {
			out = append(out, p)
		}
	}
	return out
}

// Audit implements enforce.Auditor. As long as nobody but us changed any rule
// in the namespace since the last comparison, the elements are not read again.
func (e *Enforcer) Audit(ctx context.Context) (drift bool, err error) {
	r := &e.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	e.mu.Lock()
	synced := e.synced && !e.clockMoved(time.Now())
	e.mu.Unlock()
	if !synced {
		return true, nil // the next Apply repairs it; there may be none without a push
	}
	err = r.using(e.conf.Netns, func(s *socket) error {
		drift, err = e.audit(ctx, s)
		return err
	})
	if errors.Is(err, errDumpInterrupted) {
		return false, nil // a decision came in between: look again next time
	}
	if err != nil {
		return false, fmt.Errorf("read back nf_tables: %w", err)
	}
	return drift, nil
}

func (e *Enforcer) audit(ctx context.Context, s *socket) (bool, error) {
	r := &e.reader
	var want [setCount][]piece
	var commits uint64
	var late int64
	var l layout
	gen, err := uint32(0), error(nil)
	func() {
		e.mu.Lock() // no transaction of ours between these two
		defer e.mu.Unlock()
		commits, late, l = e.commits, e.lag.Milliseconds(), e.layout
		for i := range want {
			want[i] = e.flats[i].pieces // replaced by Apply, never written
		}
		gen, err = generation(ctx, s)
	}()
	if err != nil {
		return false, err
	}
	if r.trusted && uint64(gen-r.gen) == commits-r.commits && r.unchecked < fullEvery {
		r.unchecked++
		return false, nil
	}
	drift, err := l.differs(ctx, s, want, late)
	if err != nil {
		return false, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.commits != commits {
		return false, nil // compared with what is wanted no more
	}
	r.trusted, r.gen, r.commits, r.unchecked = !drift, gen, commits, 0
	if drift {
		e.synced = false
	}
	return drift, nil
}

func (l layout) differs(ctx context.Context, s *socket, want [setCount][]piece, late int64) (bool, error) {
	names, stale, ok, err := l.standing(ctx, s)
	if err != nil {
		return false, err
	}
	if !ok || names != l.names || len(stale) > 0 {
		return true, nil
	}
	for i := range want {
		have, err := l.ranges(ctx, s, i)
		if errors.Is(err, errNoTable) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		// What ends about now may be gone on one side only.
		now := time.Now()
		del, add := compare(have, alive(want[i], now), late)
		lasting := func(p piece) bool { return p.until-now.UnixMilli() > tolerance }
		if slices.ContainsFunc(del, lasting) || slices.ContainsFunc(add, lasting) {
			return true, nil
		}
	}
	return false, nil
}

// Read implements enforce.Reader: the prefixes of all sets, a range that is
// not one prefix as several.
func (e *Enforcer) Read(ctx context.Context) ([]netip.Prefix, error) {
	var out []netip.Prefix
	err := e.each(ctx, func(set int, list []rangeOf) {
		for _, r := range list {
			out = prefixes(out, setSpecs[set].width, r.lo, r.hi)
		}
	})
	return out, err
}

// each reads all sets; a table that is not there holds nothing.
func (e *Enforcer) each(ctx context.Context, f func(set int, list []rangeOf)) error {
	r := &e.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range setSpecs {
		var list []rangeOf
		var err error
		for range 5 { // a read that a transaction interrupted is not whole
			e.mu.Lock()
			l, known := e.layout, e.synced
			e.mu.Unlock()
			err = r.using(e.conf.Netns, func(s *socket) error {
				if !known { // nothing applied yet: another program of ours may have exchanged sets
					if names, _, ok, err := l.standing(ctx, s); err != nil {
						return err
					} else if ok {
						l.names = names
					}
				}
				list, err = l.ranges(ctx, s, i)
				return err
			})
			e.mu.Lock()
			exchanged := known && l.names != e.layout.names
			e.mu.Unlock()
			if !errors.Is(err, errDumpInterrupted) && !exchanged {
				break
			}
		}
		if errors.Is(err, errNoTable) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read nf_tables: %w", err)
		}
		f(i, list)
	}
	return nil
}
