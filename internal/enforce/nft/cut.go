package nft

import (
	"context"
	"net/netip"
	"sync"

	"bartizan/internal/safe"
)

// maxCut is the most new orders whose connections are cut one by one: more
// than that is a list being loaded, not an attack being answered.
const maxCut = 256

// cutter ends connections of prefixes that were just blocked, beside Apply:
// their packets are dropped already, this only frees what holds them.
type cutter struct {
	mu     sync.Mutex
	fn     func(context.Context, netip.Prefix)
	cancel []context.CancelFunc
	wg     sync.WaitGroup
	ended  bool
}

// SetCut gives the function that ends the connections of a blocked prefix (for
// example in the connection tracking table). It is called after the prefix is
// blocked, beside Apply, and must return when its context ends.
func (e *Enforcer) SetCut(cut func(context.Context, netip.Prefix)) {
	e.cut.mu.Lock()
	defer e.cut.mu.Unlock()
	e.cut.fn = cut
}

func (c *cutter) start(ctx context.Context, list []netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fn == nil || c.ended || len(list) == 0 {
		return
	}
	// Not Apply's context: that one ends when Apply returns.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = append(c.cancel, cancel)
	fn := c.fn
	c.wg.Go(func() {
		for _, p := range list {
			if ctx.Err() != nil {
				return
			}
			// A panic of what cuts must not take the blocks down with it.
			_ = safe.Recover("cut connections", nil, func() error { fn(ctx, p); return nil })
		}
	})
}

func (c *cutter) stop() {
	c.mu.Lock()
	c.ended = true
	for _, cancel := range c.cancel {
		cancel()
	}
	c.mu.Unlock()
	c.wg.Wait()
}
