package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"bartizan/internal/api/token"
	"bartizan/internal/gateway/approval"
	"bartizan/internal/gateway/mcp"

	"github.com/danielgtaylor/huma/v2"
)

// HeldDecision is a person's word on something that waits.
type HeldDecision struct {
	Approve bool   `json:"approve"`
	Reason  string `json:"reason,omitempty" maxLength:"300" doc:"why; whoever asked is told"`
}

// HeldState is what became of something that was put on the desk.
type HeldState struct {
	State  string           `json:"state" enum:"waiting,approved,refused,lapsed"`
	Answer *approval.Answer `json:"answer,omitempty"`
}

// States of a HeldState.
const (
	HeldWaiting  = "waiting"
	HeldApproved = "approved"
	HeldRefused  = "refused"
	HeldLapsed   = "lapsed"
)

// HeldQuestion puts a call on the node's desk, or takes it away again.
type HeldQuestion struct {
	Held     approval.Held `json:"held"`
	Withdraw bool          `json:"withdraw,omitempty" doc:"nobody waits for it any more"`
}

// MCPSync is what an MCP gateway tells its node again and again: who it serves, what
// it has found, and which decisions it carries out.
type MCPSync struct {
	Agents   []string      `json:"agents" maxItems:"100" nullable:"false" doc:"names of the agents it serves"`
	Servers  []string      `json:"servers" maxItems:"100" nullable:"false" doc:"names of the servers it stands before"`
	Alarms   []mcp.Alarm   `json:"alarms,omitempty" maxItems:"100" doc:"what it has found; stored as signals"`
	Applied  []string      `json:"applied,omitempty" maxItems:"100" doc:"decisions that it carries out now"`
	Verified []MCPVerified `json:"verified,omitempty" maxItems:"100" doc:"decisions for which it has refused something"`
}

// MCPVerified is a decision whose effect was seen.
type MCPVerified struct {
	Decision string `json:"decision" maxLength:"26"`
	Detail   string `json:"detail" maxLength:"200"`
}

// MCPOrders is what the node answers: which of its agents and servers are refused.
type MCPOrders struct {
	Stored  int         `json:"stored"` // alarms
	Refused []mcp.Order `json:"refused" nullable:"false"`
}

func (s *Server) peopleOperations(api huma.API) {
	huma.Register(api, operation("GET", "/v1/held", "listHeld", "people", "What waits for a person, the oldest first", token.Read, false),
		func(ctx context.Context, _ *struct{}) (*out[Page[approval.Held]], error) {
			list, err := s.node.Held(ctx)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return &out[Page[approval.Held]]{Page[approval.Held]{Items: append([]approval.Held{}, list...)}}, nil
		})
	decide := operation("POST", "/v1/held/{id}", "decideHeld", "people", "Approve or refuse what waits; the first answer counts", token.Operate, true)
	huma.Register(api, decide, func(ctx context.Context, q *struct {
		ID   string `path:"id" minLength:"26" maxLength:"26" doc:"ULID"`
		Body HeldDecision
	}) (*out[approval.Held], error) {
		verb := "refuse"
		if q.Body.Approve {
			verb = "approve"
		}
		s.intend(ctx, fmt.Sprintf("%s %s: %s", verb, q.ID, q.Body.Reason))
		h, err := s.node.DecideHeld(ctx, q.ID, q.Body, callerOf(ctx).actor)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		remark(ctx, fmt.Sprintf("%s %s (%s of %s: %s): %s", verb, h.ID, h.Kind, h.Who(), h.What(), q.Body.Reason))
		return &out[approval.Held]{h}, nil
	})
	ask := operation("POST", "/v1/held", "askHeld", "people", "For MCP gateways: let a call wait for a person; asked again with the same id until there is an answer", token.Report, false)
	ask.Errors = append(ask.Errors, http.StatusBadRequest, http.StatusConflict)
	huma.Register(api, ask, func(ctx context.Context, q *in[HeldQuestion]) (*out[HeldState], error) {
		st, err := s.node.AskHeld(ctx, q.Body, callerOf(ctx).actor)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return &out[HeldState]{st}, nil
	})
	sync := operation("POST", "/v1/mcp/sync", "syncMCP", "people", "For MCP gateways: tell what was found, learn which agents and servers are refused", token.Report, false)
	sync.Errors = append(sync.Errors, http.StatusBadRequest)
	huma.Register(api, sync, func(ctx context.Context, q *in[MCPSync]) (*out[MCPOrders], error) {
		o, err := s.node.SyncMCP(ctx, q.Body)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return &out[MCPOrders]{o}, nil
	})
}

// Held lists what waits for a person, the oldest first.
func (c *Client) Held(ctx context.Context) ([]approval.Held, error) {
	var p Page[approval.Held]
	err := c.get(ctx, "/v1/held", nil, &p)
	return p.Items, err
}

// DecideHeld approves or refuses what waits.
func (c *Client) DecideHeld(ctx context.Context, id string, d HeldDecision) (out approval.Held, err error) {
	return out, c.post(ctx, "/v1/held/"+url.PathEscape(id), d, &out)
}

// AskHeld puts a call on the node's desk, asks again about it, or takes it away.
func (c *Client) AskHeld(ctx context.Context, q HeldQuestion) (out HeldState, err error) {
	return out, c.post(ctx, "/v1/held", q, &out)
}

// SyncMCP tells the node about an MCP gateway.
func (c *Client) SyncMCP(ctx context.Context, q MCPSync) (out MCPOrders, err error) {
	return out, c.post(ctx, "/v1/mcp/sync", q, &out)
}
