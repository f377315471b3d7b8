package api

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"bartizan/internal/api/token"
	"bartizan/internal/model"
)

// caller is who a request comes from.
type caller struct {
	actor   string // as it is written into ledger and audit log
	scope   token.Scope
	local   bool       // on the administration socket
	address netip.Addr // zero on the administration socket
	grant   token.Grant
}

type (
	callerKey  struct{}
	requestKey struct{}
	noteKey    struct{}
)

func withCaller(ctx context.Context, c caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf is the zero caller, who may do nothing, when nobody was recognised.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// requestOf is the id of the request, as in X-Request-ID and the audit log.
func requestOf(ctx context.Context) model.ULID {
	id, _ := ctx.Value(requestKey{}).(model.ULID)
	return id
}

// note takes what a change is about to the audit log.
type note struct {
	operation string
	what      string
	begun     time.Time // when it was written down that it is about to be done; zero: it was not
}

// remark says in one line what a change was about, when that is better known afterwards.
func remark(ctx context.Context, what string) {
	if n, ok := ctx.Value(noteKey{}).(*note); ok {
		n.what = what
	}
}

const (
	sessionFor  = 10 * time.Minute // after its last request
	maxSessions = 1024
)

// sessions remembers where valid tokens were shown.
type sessions struct {
	mu sync.Mutex
	by map[netip.Addr]time.Time
}

func (s *sessions) seen(a netip.Addr, now time.Time) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsLoopback() {
		return // guardrails protect the loopback anyway
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[netip.Addr]time.Time{}
	}
	if _, known := s.by[a]; !known && len(s.by) >= maxSessions {
		oldest := a
		for x, t := range s.by {
			if oldest == a || t.Before(s.by[oldest]) {
				oldest = x
			}
		}
		delete(s.by, oldest)
	}
	s.by[a] = now
}

func (s *sessions) live(now time.Time) (out []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a, t := range s.by {
		if now.Sub(t) > sessionFor {
			delete(s.by, a)
			continue
		}
		out = append(out, a)
	}
	return out
}
