package gate

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"bartizan/internal/credential"
	"bartizan/internal/gateway"
	"bartizan/internal/gateway/keys"
	"bartizan/internal/gateway/mcp"
	"bartizan/internal/model"
)

// Enforcer is the gateway's name in receipts.
const Enforcer = "gateway"

// Target reads what a decision is about. A key may be named as "guard key list"
// has it; its secret is not kept.
func Target(s string) (model.Entity, error) {
	e, err := model.ParseNamed(s)
	if err == nil && e.Type() == model.TypeAccessKey {
		e, err = model.ParseEntity(model.TypeAccessKey, keys.Public(e.Value()))
	}
	return e, err
}

// Refuses tells whether the gateway can refuse a target: its own keys, users and
// prompts. Implements decide.Clients with Share.
func (r *Role) Refuses(e model.Entity) bool { return why(e) == "" }

// why a decision about something cannot be carried out here; "" when it can.
func why(e model.Entity) string {
	switch e.Type() {
	case model.TypeIP, model.TypePrompt:
		return ""
	case model.TypeUser:
		if others(e) {
			return "agents and MCP servers are refused by \"bartizan guard mcp\""
		}
		return ""
	case model.TypeAccessKey:
		if !strings.HasPrefix(e.Value(), keys.Prefix) || len(e.Value()) != len(keys.Prefix)+credential.OwnID {
			return "not a key of this gateway, which are named " + keys.Prefix + "… (bartizan guard key list)"
		}
		return ""
	}
	return fmt.Sprintf("a gateway does not see what is a %s", e.Type())
}

// Refusing is how many decisions the gateway carries out now.
func (r *Role) Refusing() int { return r.opt.Denied.Len() }

// others are users that MCP gateways refuse, and say so themselves.
func others(e model.Entity) bool {
	return e.Type() == model.TypeUser && (strings.HasPrefix(e.Value(), mcp.AgentPrefix) || strings.HasPrefix(e.Value(), mcp.ServerPrefix))
}

// Share implements decide.Clients.
func (r *Role) Share(e model.Entity) (float64, bool) { return r.shares.of(e, time.Now()) }

// The shares of clients are counted over the last hour or so.
const (
	slots     = 12
	slotLong  = 5 * time.Minute
	slotNames = 4096 // clients counted by themselves in one slot
	enough    = 50   // exchanges from which on shares are known
)

// shares counts the good exchanges of each client, in slots of time.
type shares struct {
	mu  sync.Mutex
	all [slots]slot
}

type slot struct {
	number int64 // of its time since the epoch
	total  int
	by     map[model.Entity]int
}

func (s *shares) count(r *gateway.Record) {
	if r.Outcome != gateway.Forwarded || strings.HasPrefix(r.Route, gateway.DrillPrefix) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := r.Time.UnixNano() / int64(slotLong)
	x := &s.all[((n%slots)+slots)%slots]
	if x.number != n || x.by == nil {
		*x = slot{number: n, by: map[model.Entity]int{}}
	}
	x.total++
	add := func(t model.EntityType, v string) {
		if v == "" {
			return
		}
		e, err := model.ParseEntity(t, v)
		if err != nil {
			return
		}
		if _, known := x.by[e]; known || len(x.by) < slotNames {
			x.by[e]++
		}
	}
	if r.Key != "" {
		add(model.TypeAccessKey, keys.Prefix+r.Key)
	}
	add(model.TypeUser, r.User)
}

func (s *shares) of(e model.Entity, now time.Time) (float64, bool) {
	if e.Type() == model.TypePrompt {
		return 0, false // lines have no prompts
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n, total, its := now.UnixNano()/int64(slotLong), 0, 0
	for i := range s.all {
		if x := &s.all[i]; x.by != nil && n-x.number < slots {
			total += x.total
			its += x.by[e]
		}
	}
	if total < enough {
		return 0, false
	}
	return float64(its) / float64(total), true
}

// acknowledge says what became of a decision at this gateway: applied when it is
// refused here, refused when it cannot be, expired when it is over.
func (r *Role) acknowledge(ctx context.Context, id model.ULID, status model.ReceiptStatus, detail string) {
	if r.node.Receipt == nil || r.node.Said(id, status) {
		return
	}
	now := time.Now().UTC()
	x := model.Receipt{ID: model.NewULID(now), Decision: id, Enforcer: Enforcer, Status: status, Time: now, Detail: detail}
	select {
	case r.receipts <- x:
	case <-ctx.Done():
	}
}

// seen tells that a request was refused for a decision: its effect was seen.
func (r *Role) seen(x *gateway.Record) {
	if x.Decision.IsZero() || r.node.Receipt == nil || r.node.Said(x.Decision, model.Verified) {
		return
	}
	if _, ok := r.node.Ledger.Get(x.Decision); !ok {
		return // caught by a decoy, without a decision
	}
	now := time.Now().UTC()
	v := model.Receipt{ID: model.NewULID(now), Decision: x.Decision, Enforcer: Enforcer, Status: model.Verified, Time: now,
		Detail: fmt.Sprintf("a request was refused with %s (exchange %s)", x.Code, x.ID)}
	select {
	case r.receipts <- v:
	default: // the next one will do
	}
}
