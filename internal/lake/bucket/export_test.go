package bucket

import (
	"context"
	"time"
)

// SetCallTime makes a store impatient.
func SetCallTime(s Store, d time.Duration) {
	if x, ok := s.(*s3Store); ok {
		x.call = d
	}
}

// ParseRecord is for the fuzzer.
func ParseRecord(b []byte) (fresh, old []string, err error) {
	r, err := parseRecord(b)
	return r.New, r.Old, err
}

// Lease is for tests that hold it.
func Lease(s Store) (end func() error, err error) { return LeaseAt(s, time.Now()) }

// LeaseAt takes a lease at a time.
func LeaseAt(s Store, now time.Time) (end func() error, err error) {
	l, err := takeLease(context.Background(), s, now)
	if err != nil {
		return nil, err
	}
	return func() error { return l.end(context.Background()) }, nil
}

// SetPage makes listings of a store come in small pages, and tells how small.
func SetPage(s Store, n int32) int {
	if x, ok := s.(*s3Store); ok {
		x.page = &n
		return int(n)
	}
	return pageKeys
}
