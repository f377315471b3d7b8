package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"bartizan/internal/api/token"

	"github.com/danielgtaylor/huma/v2"
)

// MCPAgent is an agent at an MCP gateway, with its policy.
type MCPAgent struct {
	Name    string    `json:"name" maxLength:"100"`
	Gateway string    `json:"gateway,omitempty" maxLength:"100" doc:"which gateway says so"`
	Else    string    `json:"else" enum:"refuse,hold,pass,flag" doc:"what happens to a call that no rule is about"`
	Key     bool      `json:"key" doc:"it must show one, over HTTP"`
	Rules   []MCPRule `json:"rules" maxItems:"1000" nullable:"false" doc:"the first that fits decides"`
	Seen    time.Time `json:"seen,omitzero" doc:"when its gateway was heard last"`
}

// MCPRule is one line of an agent's policy.
type MCPRule struct {
	Tool   string `json:"tool" maxLength:"200" doc:"with * and ?"`
	Server string `json:"server,omitempty" maxLength:"200" doc:"with * and ?; empty: any"`
	When   string `json:"when,omitempty" maxLength:"4096" doc:"CEL over args, tool, server, agent; empty: always"`
	Do     string `json:"do" enum:"pass,flag,hold,refuse"`
}

// MCPTool is a tool's definition as it is pinned at an MCP gateway.
type MCPTool struct {
	Server     string    `json:"server" maxLength:"200"`
	Name       string    `json:"name" maxLength:"200"`
	Gateway    string    `json:"gateway,omitempty" maxLength:"100"`
	Hash       string    `json:"hash,omitempty" maxLength:"64" doc:"SHA-256 of the accepted definition (RFC 8785); absent while nothing is accepted"`
	Definition string    `json:"definition,omitempty" maxLength:"8192" doc:"as it was accepted, without credentials; its beginning, when it is long"`
	Since      time.Time `json:"since,omitzero"`
	By         string    `json:"by,omitempty" maxLength:"200" doc:"who accepted it"`
	Changed    bool      `json:"changed" doc:"the server offers something else, which is stopped"`
	OfferedAt  time.Time `json:"offered_at,omitzero"`
	Seen       time.Time `json:"seen,omitzero"`
}

// MCPInventory is what an MCP gateway serves.
type MCPInventory struct {
	Gateway string     `json:"gateway" minLength:"1" maxLength:"100" doc:"the same name each time"`
	Process string     `json:"process,omitempty" maxLength:"60" doc:"one of the processes of that name: they have one folder, and serve the same agents; it tells again within 15 seconds"`
	Same    bool       `json:"same,omitempty" doc:"as this process told last: the lists are empty; a conflict when that is not known"`
	Gone    bool       `json:"gone,omitempty" doc:"this process ends: the lists are empty; without another one its agents and tools are listed no more"`
	Agents  []MCPAgent `json:"agents" maxItems:"100" nullable:"false"`
	Tools   []MCPTool  `json:"tools" maxItems:"2000" nullable:"false"`
}

// MCPChange is an agent or a tool that is new, different or gone.
type MCPChange struct {
	Time  time.Time `json:"time"`
	Gone  bool      `json:"gone,omitempty"`
	Agent *MCPAgent `json:"agent,omitempty"`
	Tool  *MCPTool  `json:"tool,omitempty"`
}

func (s *Server) mcpOperations(api huma.API) {
	register(s, api, "/v1/guard/agents", "listAgents", "Agents of MCP gateways beside the node, with their policies", token.Read, func(ctx context.Context) ([]MCPAgent, error) { return s.node.Guard.Agents(ctx) })
	register(s, api, "/v1/guard/tools", "listTools", "Tools of MCP servers, with their pinned definitions", token.Read, func(ctx context.Context) ([]MCPTool, error) { return s.node.Guard.Tools(ctx) })
	tell := operation("PUT", "/v1/mcp/inventory", "putInventory", "guard", "For MCP gateways: tell which agents and tools there are", token.Report, false)
	tell.Errors = append(tell.Errors, http.StatusBadRequest, http.StatusConflict)
	tell.DefaultStatus = http.StatusNoContent
	huma.Register(api, tell, func(ctx context.Context, q *in[MCPInventory]) (*struct{}, error) {
		if err := s.node.Guard.Inventory(ctx, q.Body); err != nil {
			return nil, s.fail(ctx, err)
		}
		return nil, nil
	})
}

// PutInventory tells the node which agents and tools there are.
func (c *Client) PutInventory(ctx context.Context, q MCPInventory) error {
	b, err := json.Marshal(q)
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodPut, "/v1/mcp/inventory", b)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Agents lists the agents of MCP gateways.
func (c *Client) Agents(ctx context.Context) ([]MCPAgent, error) {
	return onePage[MCPAgent](ctx, c, "/v1/guard/agents")
}

// Tools lists the tools of MCP servers.
func (c *Client) Tools(ctx context.Context) ([]MCPTool, error) {
	return onePage[MCPTool](ctx, c, "/v1/guard/tools")
}
