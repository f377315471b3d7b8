package gateway

import (
	"net/netip"
	"sync"
	"time"

	"bartizan/internal/model"
)

// Denied is what has been decided about: addresses, keys, prompts and users that
// are refused. It may be used concurrently.
type Denied struct {
	mu       sync.RWMutex
	by       map[model.ULID]denial
	prefixes map[netip.Prefix]model.ULID
	bits     map[int]int // length → how many prefixes have it
	entities map[model.Entity]model.ULID
}

type denial struct {
	entity model.Entity
	until  time.Time
}

// NewDenied makes an empty set.
func NewDenied() *Denied {
	return &Denied{by: map[model.ULID]denial{}, prefixes: map[netip.Prefix]model.ULID{}, bits: map[int]int{}, entities: map[model.Entity]model.ULID{}}
}

// Set puts a decision in force until its end.
func (d *Denied) Set(id model.ULID, e model.Entity, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(id)
	d.by[id] = denial{e, until}
	if p, ok := e.Prefix(); ok {
		if _, had := d.prefixes[p]; !had {
			d.bits[length(p)]++
		}
		d.prefixes[p] = id
		return
	}
	d.entities[e] = id
}

// maxCaught bounds what strangers can make grow.
const maxCaught = 20_000

// Catch refuses something from now on because it was seen where nobody has business,
// without a decision. It tells whether that is new; when there is no room left, it is not.
func (d *Denied) Catch(id model.ULID, e model.Entity, now, until time.Time) bool {
	if !now.Before(until) {
		return false
	}
	if _, known := d.Entity(e, now); known {
		return false
	}
	d.mu.Lock()
	full := len(d.by) >= maxCaught
	if full {
		for k, x := range d.by {
			if !now.Before(x.until) {
				d.drop(k)
			}
		}
		full = len(d.by) >= maxCaught
	}
	d.mu.Unlock()
	if full {
		return false
	}
	d.Set(id, e, until)
	return true
}

// Delete ends one.
func (d *Denied) Delete(id model.ULID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(id)
}

func (d *Denied) drop(id model.ULID) {
	old, ok := d.by[id]
	if !ok {
		return
	}
	delete(d.by, id)
	other, left := model.ULID{}, false
	for k, x := range d.by { // another decision about the same stays in force
		if x.entity == old.entity {
			other, left = k, true
		}
	}
	p, isPrefix := old.entity.Prefix()
	switch {
	case isPrefix && left:
		d.prefixes[p] = other
	case isPrefix:
		delete(d.prefixes, p)
		if d.bits[length(p)]--; d.bits[length(p)] == 0 {
			delete(d.bits, length(p))
		}
	case left:
		d.entities[old.entity] = other
	default:
		delete(d.entities, old.entity)
	}
}

// length tells IPv4 and IPv6 prefixes of the same number of bits apart.
func length(p netip.Prefix) int {
	if p.Addr().Is4() {
		return p.Bits()
	}
	return 100 + p.Bits()
}

// Address is the decision an address is refused for.
func (d *Denied) Address(a netip.Addr, now time.Time) (model.ULID, bool) {
	if d == nil {
		return model.ULID{}, false
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	a = a.Unmap().WithZone("")
	for l := range d.bits {
		bits := l
		if a.Is6() {
			bits -= 100
		}
		if bits < 0 || bits > a.BitLen() {
			continue
		}
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if id, ok := d.prefixes[p]; ok && now.Before(d.by[id].until) {
			return id, true
		}
	}
	return model.ULID{}, false
}

// Entity is the decision a key, a prompt or a user is refused for.
func (d *Denied) Entity(e model.Entity, now time.Time) (model.ULID, bool) {
	if d == nil || e.IsZero() {
		return model.ULID{}, false
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	id, ok := d.entities[e]
	return id, ok && now.Before(d.by[id].until)
}

// Len is the number of decisions in force.
func (d *Denied) Len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.by)
}
