// Package limit keeps callers within their share: token buckets by key, in
// bounded memory whatever keys come, and a listener with a bounded number of
// connections. It knows no HTTP.
package limit

import (
	"net/netip"
	"sync"
	"time"
)

// maxKeys bounds the buckets of one limiter (about 100 bytes each).
const maxKeys = 4096

// sample is how many buckets are looked at to find one to forget.
const sample = 16

// Limiter is a set of token buckets. It may be used concurrently.
type Limiter struct {
	rate  float64 // per second
	burst float64

	mu sync.Mutex
	by map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// New makes a limiter that allows rate requests a second and burst at once.
func New(rate float64, burst int) *Limiter {
	return &Limiter{rate: rate, burst: float64(burst), by: map[string]bucket{}}
}

// Allow takes one request from the key's share. When there is none left it
// tells how long until there is.
func (l *Limiter) Allow(key string, now time.Time) (ok bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.now(key, now)
	if b.left < 1 {
		return false, l.until(b.left)
	}
	b.left--
	l.put(key, b)
	return true, 0
}

// until there is one whole, never nothing: a rest of a rounding error is a wait too.
func (l *Limiter) until(left float64) time.Duration {
	return max(1, time.Duration((1-left)/l.rate*float64(time.Second)))
}

// Spent tells whether the key has nothing left, without taking anything.
func (l *Limiter) Spent(key string, now time.Time) (spent bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.now(key, now)
	if b.left >= 1 {
		return false, 0
	}
	return true, l.until(b.left)
}

func (l *Limiter) now(key string, now time.Time) bucket {
	b, ok := l.by[key]
	if !ok {
		return bucket{l.burst, now}
	}
	if d := now.Sub(b.at); d > 0 { // a clock set back refills nothing
		b.left = min(l.burst, b.left+d.Seconds()*l.rate)
	}
	b.at = now
	return b
}

// put stores a bucket. When there are too many, the fullest of a few is
// forgotten: whoever makes up addresses wins nothing by it, because each new
// address starts with a full bucket anyway, and those who are being limited
// stay limited.
func (l *Limiter) put(key string, b bucket) {
	if _, known := l.by[key]; !known && len(l.by) >= maxKeys {
		fullest, n := "", 0
		for k := range l.by { // in random order
			if n == 0 || l.now(k, b.at).left > l.now(fullest, b.at).left {
				fullest = k
			}
			if n++; n == sample {
				break
			}
		}
		delete(l.by, fullest)
	}
	l.by[key] = b
}

// Len is the number of keys remembered.
func (l *Limiter) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.by)
}

// AddressKey is what an address is counted under: itself for IPv4, its /64 for
// IPv6, of which every customer has at least one whole.
func AddressKey(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
