package nft

import (
	"context"
	"slices"

	"golang.org/x/sys/unix"

	"bartizan/internal/enforce"
	"bartizan/internal/model"
)

// Counters returns what was dropped per decision since this program started
// to enforce it. A packet counts for every decision that covers its source.
// The kernel forgets the counts of a range with the range, so what was dropped
// between the last call and the end of a block may be missing.
func (e *Enforcer) Counters(ctx context.Context) (map[model.ULID]enforce.Counter, error) {
	now := make(map[pieceKey]seenPiece)
	err := e.each(ctx, func(set int, list []rangeOf) {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, p := range list {
			if p.count.Packets == 0 {
				continue
			}
			s := seenPiece{count: p.count}
			e.flats[set].decisions(p.lo, func(id model.ULID) { s.decisions = append(s.decisions, id) })
			now[pieceKey{set, p.lo}] = s
		}
	})
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	known := make(map[model.ULID]struct{}, e.tracker.Len())
	for o := range e.tracker.Orders() {
		known[o.Decision] = struct{}{}
	}
	e.mu.Unlock()
	return e.reader.account(now, known), nil
}

// account adds what vanished since the last reading to the past and returns
// past and present per decision. The past of decisions that are over is told
// once more and then forgotten.
func (r *reader) account(now map[pieceKey]seenPiece, known map[model.ULID]struct{}) map[model.ULID]enforce.Counter {
	r.countMu.Lock()
	defer r.countMu.Unlock()
	for key, old := range r.seen {
		if cur, ok := now[key]; !ok || cur.count.Packets < old.count.Packets {
			r.addPast(old)
		}
	}
	r.seen = now
	out := make(map[model.ULID]enforce.Counter, len(r.past))
	for id, c := range r.past {
		out[id] = c
		if _, ok := known[id]; !ok {
			delete(r.past, id)
		}
	}
	for _, s := range now {
		for _, id := range s.decisions {
			c := out[id]
			out[id] = plus(c, s.count)
		}
	}
	return out
}

func plus(a, b enforce.Counter) enforce.Counter {
	return enforce.Counter{Packets: a.Packets + b.Packets, Bytes: a.Bytes + b.Bytes}
}

func (r *reader) addPast(s seenPiece) {
	for _, id := range s.decisions {
		c := r.past[id]
		r.past[id] = plus(c, s.count)
	}
}

// maxNote is how many elements are asked for their counts before they are
// deleted; with more, the last reading has to do.
const maxNote = 32

// note reads the counts of a few pieces that are about to be deleted. It is
// called with e.mu held, after the flats have changed: a piece counts for the
// decisions that cover it still and for those that just went.
func (r *reader) note(ctx context.Context, e *Enforcer, changes [setCount][]change, del [setCount][]piece) {
	total := 0
	for i := range del {
		total += len(del[i])
	}
	if total == 0 || total > maxNote {
		return
	}
	r.countMu.Lock()
	defer r.countMu.Unlock()
	for set := range del {
		for _, p := range del[set] {
			el, err := e.layout.get(ctx, e.sock, set, p.lo)
			if err != nil || el.packets == 0 {
				continue // gone already, or nothing to count
			}
			delete(r.seen, pieceKey{set, p.lo})
			r.addPast(seenPiece{enforce.Counter{Packets: el.packets, Bytes: el.bytes}, before(&e.flats[set], changes[set], p.lo)})
		}
	}
}

// before returns the decisions that covered a until the changes were made.
func before(f *flat, changes []change, a addr) (ids []model.ULID) {
	f.decisions(a, func(id model.ULID) {
		if !slices.ContainsFunc(changes, func(c change) bool { return !c.remove && c.claim.decision == id }) {
			ids = append(ids, id)
		}
	})
	for _, c := range changes {
		m := hostMask(f.width, c.bits)
		if c.remove && c.lo == (addr{a.hi &^ m.hi, a.lo &^ m.lo}) {
			ids = append(ids, c.claim.decision)
		}
	}
	return ids
}

// get reads one element.
func (l layout) get(ctx context.Context, s *socket, set int, lo addr) (out element, err error) {
	spec := setSpecs[set]
	err = s.query(ctx, unix.NFT_MSG_GETSETELEM, 0, "read element", func(t *batch) {
		t.str(unix.NFTA_SET_ELEM_LIST_TABLE, l.table)
		t.str(unix.NFTA_SET_ELEM_LIST_SET, l.names[set])
		list := t.open(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		t.bound(lo, spec.width, false, 0, nil)
		t.shut(list)
	}, func(b []byte) error {
		return parseElements(b, spec.width, func(e element) { out = e })
	})
	return out, err
}
