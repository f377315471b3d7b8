package abuse

import (
	"math/bits"
	"slices"
	"time"
)

// shared finds prompts that come from many sources: tools of one maker, or one person
// behind many keys. Prompts are compared by SimHash (Charikar 2002, with the bands of Manku
// et al. 2007) over pairs of words, so that a few changed words make no other prompt.
type shared struct {
	entries []entry
	next    int                 // to be replaced
	bands   map[uint16][]uint16 // 8 bits of a hash and their place → entries
}

type entry struct {
	hash         uint64
	first, last  time.Time
	sources      set
	found        bool
	told, spread bool
}

const (
	maxEntries = 8192
	minWords   = 8 // shorter ones are everybody's
	bands      = 8 // of 8 bits: two hashes that differ in 7 bits have one in common
	maxApart   = 7
	maxSources = 64
	maxBand    = 256 // entries of one band that are compared
	forget     = 24 * time.Hour
	burst      = time.Hour
)

// simhash is a hash that is near that of a near text.
func simhash(words []uint64) (h uint64) {
	// The 64 counters stand across: bit b of count[k] is bit k of counter b.
	var count [24]uint64
	for i := range words[1:] {
		carry := (bits.RotateLeft64(words[i], 21) ^ words[i+1]) * 0x9e3779b97f4a7c15
		for k := 0; carry != 0 && k < len(count); k++ {
			count[k], carry = count[k]^carry, count[k]&carry
		}
	}
	half, equal := (len(words)-1)/2, ^uint64(0)
	for k := len(count) - 1; k >= 0; k-- { // which counters are above half
		if half>>k&1 == 0 {
			h |= equal & count[k]
			equal &^= count[k]
		} else {
			equal &= count[k]
		}
	}
	return h
}

func (s *shared) see(e *Event, t text, c *Config, tell func(Kind, string, ...any)) {
	if len(t.near) < minWords {
		return
	}
	h := simhash(t.near)
	i, ok := s.find(h)
	if !ok {
		i = s.room()
	}
	x := &s.entries[i]
	if !ok || e.Time.Sub(x.last) > forget || e.Time.Before(x.first) {
		s.put(i, h, e.Time)
	}
	x.last = e.Time
	x.found = x.found || e.Found
	source := uint64(14695981039346656037) // FNV-1a: kept over restarts of nothing, and short
	for _, b := range []byte(who(e)) {
		source = (source ^ uint64(b)) * 1099511628211
	}
	x.sources.add(source, maxSources)
	n := len(x.sources)
	if x.found && n >= c.Attackers && !x.told {
		x.told = true
		tell(Attackers, "a prompt that the guard stopped or flagged comes from %d sources", n)
	}
	if n >= c.Sources && e.Time.Sub(x.first) <= burst && !x.spread && !x.told {
		x.spread = true
		tell(Shared, "a prompt nobody sent before comes from %d sources within an hour", n)
	}
}

func (s *shared) find(h uint64) (at int, ok bool) {
	for b := range bands {
		for _, i := range s.bands[band(h, b)] {
			if bits.OnesCount64(s.entries[i].hash^h) <= maxApart {
				return int(i), true
			}
		}
	}
	return 0, false
}

// room is the place for a new entry: a fresh one, or the one that was made the longest ago.
func (s *shared) room() int {
	if len(s.entries) < maxEntries {
		s.entries = append(s.entries, entry{})
		return len(s.entries) - 1
	}
	i := s.next
	s.next = (s.next + 1) % maxEntries
	return i
}

// put begins an entry, in place of what was there.
func (s *shared) put(i int, h uint64, now time.Time) {
	for b := range bands {
		k := band(s.entries[i].hash, b)
		if s.bands[k] = slices.DeleteFunc(s.bands[k], func(j uint16) bool { return int(j) == i }); len(s.bands[k]) == 0 {
			delete(s.bands, k)
		}
	}
	s.entries[i] = entry{hash: h, first: now, last: now}
	s.index(h, uint16(i))
}

func (s *shared) index(h uint64, i uint16) {
	for b := range bands {
		if k := band(h, b); len(s.bands[k]) < maxBand {
			s.bands[k] = append(s.bands[k], i)
		}
	}
}

func band(h uint64, b int) uint16 { return uint16(b)<<8 | uint16(h>>(8*b)&0xff) }
