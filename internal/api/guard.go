package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"bartizan/internal/api/cursor"
	"bartizan/internal/api/token"
	"bartizan/internal/model"

	"github.com/danielgtaylor/huma/v2"
)

// Guard is what a node knows of its gateway in front of language models. Every field is set; a node
// without routes has nothing to list.
type Guard struct {
	Exchanges func(context.Context, ExchangeQuery) ([]Stored[model.LLMCall], error)
	Traffic   func(context.Context, TrafficQuery) ([]Stored[model.LLMTraffic], error)
	Verdicts  func(ctx context.Context, since time.Time) (GuardVerdicts, error)
	Budgets   func(context.Context) ([]GuardBudget, error)
	Routes    func(context.Context) ([]GuardRoute, error)
	Keys      func(context.Context) ([]GuardKey, error)
	Agents    func(context.Context) ([]MCPAgent, error)
	Tools     func(context.Context) ([]MCPTool, error)
	// Inventory takes what an MCP gateway beside the node serves and with which policy.
	Inventory func(ctx context.Context, q MCPInventory) error
	CreateKey func(context.Context, GuardKeyRequest) (NewGuardKey, error)
	RevokeKey func(ctx context.Context, idOrName string) (GuardKey, error)
}

// ExchangeQuery selects exchanges, newest first; zero fields select all.
type ExchangeQuery struct {
	ID                                          string
	Since                                       time.Time
	Route, Key, Model, Action, Category, Result string // Key is an id or a name, Result an outcome
	Before                                      uint64
	Limit                                       int
}

// TrafficQuery selects recorded traffic, newest first; zero fields select all.
type TrafficQuery struct {
	ID     string
	Since  time.Time
	Route  string
	Before uint64
	Limit  int
}

// GuardVerdicts sums up what inspectors did.
type GuardVerdicts struct {
	Since      time.Time            `json:"since"`     // of the oldest exchange that counts
	Exchanges  int                  `json:"exchanges"` // looked at
	Inspectors []model.LLMInspector `json:"inspectors" nullable:"false" doc:"texts, by what each inspector did with them"`
	Actions    []GuardCount         `json:"actions" nullable:"false" doc:"exchanges by what was done"`
	Categories []GuardCount         `json:"categories" nullable:"false" doc:"findings by category"`
	Complete   bool                 `json:"complete" doc:"false: there were more exchanges in this time than are kept or counted"`
}

// GuardCount is a number of something.
type GuardCount struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// GuardBudget is one name's use of one budget, in its present window.
type GuardBudget struct {
	By       string      `json:"by" enum:"key,user,model,tool,route,address"`
	Name     string      `json:"name"`
	Seconds  float64     `json:"seconds"` // length of the window
	From     time.Time   `json:"from"`    // its beginning
	Requests int64       `json:"requests"`
	Tokens   int64       `json:"tokens"`
	Dollars  float64     `json:"dollars"`
	Running  int         `json:"running"` // exchanges at this moment
	Limit    GuardLimits `json:"limit"`
}

// GuardLimits are those of a budget; 0 is none.
type GuardLimits struct {
	Requests    int64   `json:"requests"`
	Tokens      int64   `json:"tokens"`
	Dollars     float64 `json:"dollars"`
	Concurrency int     `json:"concurrency"`
}

// GuardRoute is a route with its policy. It has no credential.
type GuardRoute struct {
	Name       string           `json:"name"`
	URL        string           `json:"url"` // where clients reach it
	Format     string           `json:"format"`
	Upstream   string           `json:"upstream"`
	Anonymous  bool             `json:"anonymous"`
	Stream     string           `json:"stream" enum:"hold,sentences,buffer"`
	Record     string           `json:"record" enum:"off,masked"`
	Unknown    string           `json:"unknown" enum:"refuse,forward"`
	Media      string           `json:"media" enum:"refuse,forward"`
	Unpriced   string           `json:"unpriced" enum:"refuse,forward"`
	Models     []string         `json:"models" nullable:"false" doc:"that may be asked for; empty: all"`
	Directions []GuardDirection `json:"directions" nullable:"false"`
}

// GuardDirection is the policy for one kind of text.
type GuardDirection struct {
	Name       string        `json:"name" enum:"system,request,tool_result,response,tool_call"`
	Inspectors []string      `json:"inspectors" nullable:"false"`
	Actions    []GuardAction `json:"actions" nullable:"false" doc:"where none is given a score from 0.5 flags and from 0.9 blocks"`
}

// GuardAction is what is done about a category.
type GuardAction struct {
	Category string `json:"category"`
	Action   string `json:"action" enum:"allow,flag,throttle,hold,mask,rewrite,block"`
}

// GuardKey is a client's key, without its secret.
type GuardKey struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	User    string    `json:"user,omitempty"`
	Routes  []string  `json:"routes,omitempty"`
	Models  []string  `json:"models,omitempty"`
	Canary  bool      `json:"canary,omitempty" doc:"bait: using it is an alarm"`
	State   string    `json:"state" enum:"valid,expired,revoked,canary"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Revoked time.Time `json:"revoked,omitzero"`
}

// GuardKeyRequest asks for a key of the gateway.
type GuardKeyRequest struct {
	Name    string   `json:"name" minLength:"1" maxLength:"64"`
	User    string   `json:"user,omitempty" maxLength:"64" doc:"whom budgets of users count it under"`
	Routes  []string `json:"routes,omitempty" maxItems:"100" doc:"it may use; empty: all"`
	Models  []string `json:"models,omitempty" maxItems:"100" doc:"it may ask for, * at the end stands for anything; empty: all"`
	Canary  bool     `json:"canary,omitempty"`
	Seconds float64  `json:"seconds" minimum:"1" maximum:"63244800" doc:"lifetime"`
}

// NewGuardKey is the only answer that has a key's text.
type NewGuardKey struct {
	GuardKey
	Key string `json:"key" doc:"the secret; it is not kept and cannot be shown again"`
}

type exchangesInput struct {
	Since    time.Time `query:"since" doc:"stored at or after"`
	Route    string    `query:"route" maxLength:"40"`
	Key      string    `query:"key" maxLength:"64" doc:"id or name of the client's key"`
	Model    string    `query:"model" maxLength:"200"`
	Action   string    `query:"action" enum:"allow,flag,throttle,hold,mask,rewrite,block"`
	Category string    `query:"category" maxLength:"40" doc:"injection, secret, pii, …"`
	Outcome  string    `query:"outcome" enum:"forwarded,refused,failed,abandoned"`
	Paging
}

type trafficInput struct {
	Since time.Time `query:"since" doc:"stored at or after"`
	Route string    `query:"route" maxLength:"40"`
	ID    string    `query:"id" maxLength:"26" doc:"of one exchange"`
	Paging
}

func (s *Server) guardOperations(api huma.API) {
	huma.Register(api, operation("GET", "/v1/guard/exchanges", "listExchanges", "guard", "Exchanges with language models through the gateway, without what was said, newest first", token.Read, false), s.listExchanges)
	get := operation("GET", "/v1/guard/exchanges/{id}", "getExchange", "guard", "One exchange", token.Read, false)
	get.Errors = append(get.Errors, http.StatusNotFound)
	huma.Register(api, get, func(ctx context.Context, q *struct {
		ID string `path:"id" minLength:"26" maxLength:"26" doc:"ULID, as in the header Bartizan-Exchange"`
	}) (*out[model.LLMCall], error) {
		list, err := s.node.Guard.Exchanges(ctx, ExchangeQuery{ID: q.ID, Limit: 1})
		if err == nil && len(list) == 0 {
			err = fmt.Errorf("%w: no exchange %s is in the stream, which keeps 7 days; the lake has older ones (bartizan hunt)", ErrNotFound, q.ID)
		}
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return &out[model.LLMCall]{list[0].Value}, nil
	})
	huma.Register(api, operation("GET", "/v1/guard/traffic", "listTraffic", "guard", "What was said on routes that are recorded, masked, of the last day; older traffic is in the lake", token.Read, false), s.listTraffic)
	huma.Register(api, operation("GET", "/v1/guard/verdicts", "getVerdicts", "guard", "What each inspector did", token.Read, false),
		func(ctx context.Context, q *struct {
			Since time.Time `query:"since" doc:"default: a day ago"`
		}) (*out[GuardVerdicts], error) {
			v, err := s.node.Guard.Verdicts(ctx, q.Since)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return &out[GuardVerdicts]{v}, nil
		})
	register(s, api, "/v1/guard/budgets", "listBudgets", "What is used of each budget in its present window", token.Read, func(ctx context.Context) ([]GuardBudget, error) { return s.node.Guard.Budgets(ctx) })
	register(s, api, "/v1/guard/routes", "listRoutes", "The gateway's routes with their policies", token.Read, func(ctx context.Context) ([]GuardRoute, error) { return s.node.Guard.Routes(ctx) })
	s.guardKeyOperations(api)
	s.mcpOperations(api)
}

// register makes a list that has one page.
func register[T any](s *Server, api huma.API, path, id, summary string, scope token.Scope, list func(context.Context) ([]T, error)) {
	huma.Register(api, operation("GET", path, id, "guard", summary, scope, false), func(ctx context.Context, _ *struct{}) (*out[Page[T]], error) {
		all, err := list(ctx)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return &out[Page[T]]{Page[T]{Items: append([]T{}, all...)}}, nil
	})
}

func (s *Server) guardKeyOperations(api huma.API) {
	register(s, api, "/v1/guard/keys", "listGuardKeys", "Keys of the gateway's clients, newest first, without their secrets", token.Admin, func(ctx context.Context) ([]GuardKey, error) { return s.node.Guard.Keys(ctx) })
	create := operation("POST", "/v1/guard/keys", "createGuardKey", "guard", "Make a key for a client of the gateway", token.Admin, true)
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, create, func(ctx context.Context, q *in[GuardKeyRequest]) (*out[NewGuardKey], error) {
		about := fmt.Sprintf("%s for %v", q.Body.Name, time.Duration(q.Body.Seconds*float64(time.Second)))
		s.intend(ctx, about)
		k, err := s.node.Guard.CreateKey(ctx, q.Body)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		remark(ctx, fmt.Sprintf("%s (%s)", about, k.ID))
		return &out[NewGuardKey]{k}, nil
	})
	huma.Register(api, operation("DELETE", "/v1/guard/keys/{key}", "revokeGuardKey", "guard", "Refuse a key from now on", token.Admin, true),
		func(ctx context.Context, q *struct {
			Key string `path:"key" maxLength:"64" doc:"its id, or the name of a valid one"`
		}) (*out[GuardKey], error) {
			s.intend(ctx, q.Key)
			k, err := s.node.Guard.RevokeKey(ctx, q.Key)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return &out[GuardKey]{k}, nil
		})
}

func (s *Server) listExchanges(ctx context.Context, q *exchangesInput) (*out[Page[model.LLMCall]], error) {
	filters := []string{q.Since.String(), q.Route, q.Key, q.Model, q.Action, q.Category, q.Outcome}
	at, err := cursor.Decode(q.Cursor, "exchanges", filters...)
	if err != nil {
		return nil, badCursor(err)
	}
	list, err := s.node.Guard.Exchanges(ctx, ExchangeQuery{Since: q.Since, Route: q.Route, Key: q.Key, Model: q.Model, Action: q.Action, Category: q.Category, Result: q.Outcome, Before: at.Seq, Limit: q.Limit + 1})
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return &out[Page[model.LLMCall]]{values(list, q.Limit, func(p cursor.Place) string { return p.Encode("exchanges", filters...) })}, nil
}

func (s *Server) listTraffic(ctx context.Context, q *trafficInput) (*out[Page[model.LLMTraffic]], error) {
	filters := []string{q.Since.String(), q.Route, q.ID}
	at, err := cursor.Decode(q.Cursor, "traffic", filters...)
	if err != nil {
		return nil, badCursor(err)
	}
	list, err := s.node.Guard.Traffic(ctx, TrafficQuery{ID: q.ID, Since: q.Since, Route: q.Route, Before: at.Seq, Limit: q.Limit + 1})
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return &out[Page[model.LLMTraffic]]{values(list, q.Limit, func(p cursor.Place) string { return p.Encode("traffic", filters...) })}, nil
}

// Exchanges lists exchanges, newest first; at most 10,000 without a limit.
func (c *Client) Exchanges(ctx context.Context, q ExchangeQuery) ([]model.LLMCall, error) {
	v := url.Values{}
	setTime(v, "since", q.Since)
	for name, s := range map[string]string{"route": q.Route, "key": q.Key, "model": q.Model, "action": q.Action, "category": q.Category, "outcome": q.Result} {
		set(v, name, s)
	}
	return list[model.LLMCall](ctx, c, "/v1/guard/exchanges", v, q.Limit)
}

// Exchange asks for one exchange.
func (c *Client) Exchange(ctx context.Context, id string) (out model.LLMCall, err error) {
	return out, c.get(ctx, "/v1/guard/exchanges/"+url.PathEscape(id), nil, &out)
}

// Traffic lists recorded traffic, newest first.
func (c *Client) Traffic(ctx context.Context, q TrafficQuery) ([]model.LLMTraffic, error) {
	v := url.Values{}
	setTime(v, "since", q.Since)
	set(v, "route", q.Route)
	set(v, "id", q.ID)
	return list[model.LLMTraffic](ctx, c, "/v1/guard/traffic", v, q.Limit)
}

// Verdicts sums up what inspectors did.
func (c *Client) Verdicts(ctx context.Context, since time.Time) (out GuardVerdicts, err error) {
	v := url.Values{}
	setTime(v, "since", since)
	return out, c.get(ctx, "/v1/guard/verdicts", v, &out)
}

// Budgets lists what is used of each budget.
func (c *Client) Budgets(ctx context.Context) ([]GuardBudget, error) {
	return onePage[GuardBudget](ctx, c, "/v1/guard/budgets")
}

// Routes lists the gateway's routes.
func (c *Client) Routes(ctx context.Context) ([]GuardRoute, error) {
	return onePage[GuardRoute](ctx, c, "/v1/guard/routes")
}

// GuardKeys lists the keys of the gateway's clients.
func (c *Client) GuardKeys(ctx context.Context) ([]GuardKey, error) {
	return onePage[GuardKey](ctx, c, "/v1/guard/keys")
}

// CreateGuardKey makes a key of the gateway.
func (c *Client) CreateGuardKey(ctx context.Context, q GuardKeyRequest) (out NewGuardKey, err error) {
	return out, c.post(ctx, "/v1/guard/keys", q, &out)
}

// RevokeGuardKey ends a key of the gateway.
func (c *Client) RevokeGuardKey(ctx context.Context, idOrName string) (out GuardKey, err error) {
	return out, c.call(ctx, http.MethodDelete, "/v1/guard/keys/"+url.PathEscape(idOrName), nil, &out)
}

func onePage[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	var p Page[T]
	err := c.get(ctx, path, nil, &p)
	return p.Items, err
}
