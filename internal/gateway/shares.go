package gateway

import (
	"sync"
	"time"

	"bartizan/internal/guard"
)

// shares lets each client do something a few times a minute. It knows at most two
// generations of clients; one that is forgotten has a full share.
type shares struct {
	mu       sync.Mutex
	now, old map[string]share
}

type share struct {
	left float64
	at   time.Time
}

const (
	shareSize  = 3.0
	sharePer   = time.Minute // until a share is full again
	maxClients = 4096
)

func newShares() *shares { return &shares{now: map[string]share{}} }

// allow takes one; when there is none left it tells how long until there is.
func (s *shares) allow(client string, now time.Time) (wait time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, known := s.now[client]
	if !known {
		if x, known = s.old[client]; !known {
			x = share{shareSize, now}
		}
		if len(s.now) >= maxClients {
			s.old, s.now = s.now, map[string]share{}
		}
	}
	if d := now.Sub(x.at); d > 0 {
		x.left, x.at = min(shareSize, x.left+shareSize*float64(d)/float64(sharePer)), now
	}
	if ok = x.left >= 1; ok {
		x.left--
	} else {
		wait = time.Duration((1 - x.left) / shareSize * float64(sharePer))
	}
	s.now[client] = x
	return wait, ok
}

// memories keeps what each client was told so far, for inspectors that find what is
// spread over several answers. At most two generations of clients are known.
type memories struct {
	mu       sync.Mutex
	now, old map[memoryKey]*guard.Memory
}

type memoryKey struct {
	engine              *guard.Engine
	route, client, user string
}

const maxMemories = 1024 // in a generation

func newMemories() *memories { return &memories{now: map[memoryKey]*guard.Memory{}} }

func (m *memories) of(k memoryKey) *guard.Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	x := m.now[k]
	if x != nil {
		return x
	}
	if x = m.old[k]; x == nil {
		x = k.engine.NewMemory()
	}
	if len(m.now) >= maxMemories {
		m.old, m.now = m.now, map[memoryKey]*guard.Memory{}
	}
	m.now[k] = x
	return x
}
