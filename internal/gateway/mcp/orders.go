package mcp

import (
	"sync"
	"time"
)

// Order says that an agent or a server is refused, by a decision of the node.
type Order struct {
	Target   string    `json:"target" doc:"agent/NAME or mcp-server/NAME"`
	Decision string    `json:"decision"`
	Until    time.Time `json:"until"`
}

// Orders are those in force. They may be used concurrently.
type Orders struct {
	// Seen is told when something was refused for a decision; it does not wait. Nil: nobody wants to know.
	Seen func(decision, what string)

	mu sync.RWMutex
	by map[string]Order
}

// Set replaces all of them.
func (o *Orders) Set(all []Order) {
	by := make(map[string]Order, len(all))
	for _, x := range all {
		by[x.Target] = x
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.by = by
}

// refused is the order against an agent or a server, if there is one.
func (o *Orders) refused(agent, server string, now time.Time) (Order, bool) {
	if o == nil {
		return Order{}, false
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	for _, name := range []string{AgentPrefix + agent, ServerPrefix + server} {
		if x, ok := o.by[name]; ok && now.Before(x.Until) {
			return x, true
		}
	}
	return Order{}, false
}
