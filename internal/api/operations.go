package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/api/cursor"
	"bartizan/internal/api/token"
	"bartizan/internal/model"

	"github.com/danielgtaylor/huma/v2"
)

// out is an answer whose body is a T.
type out[T any] struct{ Body T }

// in is a request whose body is a T.
type in[T any] struct{ Body T }

// Paging are the parameters of every list. (Exported, because huma looks into
// embedded structs only when it may.)
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"at most this many on a page"`
	Cursor string `query:"cursor" maxLength:"6144" doc:"next of the page before"`
}

// maxPage is the maximum of Paging.Limit.
const maxPage = 1000

func badCursor(err error) error {
	return huma.Error422UnprocessableEntity("validation failed", &huma.ErrorDetail{Message: err.Error(), Location: "query.cursor"})
}

func badField(where string, err error) error {
	return huma.Error422UnprocessableEntity("validation failed", &huma.ErrorDetail{Message: err.Error(), Location: where})
}

func (s *Server) nodeOperations(api huma.API) {
	huma.Register(api, operation("GET", "/v1/status", "getStatus", "node", "What runs, what is in force and what is wrong", token.Read, false),
		func(ctx context.Context, _ *struct{}) (*out[Status], error) {
			return &out[Status]{s.node.Status(ctx)}, nil
		})
	s.eventOperation(api)
}

type decisionsInput struct {
	State  string `query:"state" enum:"held,active,rejected,expired,removed"`
	Target string `query:"target" maxLength:"300" doc:"this address or prefix, or type:value"`
	All    bool   `query:"all" doc:"also those that have ended"`
	Paging
}

func (s *Server) decisionOperations(api huma.API) {
	huma.Register(api, operation("GET", "/v1/decisions", "listDecisions", "decisions", "Decisions in force and held, newest first", token.Read, false), s.listDecisions)
	get := operation("GET", "/v1/decisions/{id}", "getDecision", "decisions", "One decision with its receipts", token.Read, false)
	get.Errors = append(get.Errors, http.StatusNotFound)
	huma.Register(api, get, func(ctx context.Context, q *struct {
		ID string `path:"id" minLength:"26" maxLength:"26" doc:"ULID"`
	}) (*out[Decision], error) {
		list, err := s.node.Decisions(ctx, DecisionQuery{ID: q.ID, All: true, Limit: 1})
		if err == nil && len(list) == 0 {
			err = fmt.Errorf("%w: no decision %s", ErrNotFound, q.ID)
		}
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return &out[Decision]{list[0]}, nil
	})
	huma.Register(api, operation("POST", "/v1/decisions", "changeDecision", "decisions", "Add, approve, reject or remove a decision; the guardrails apply", token.Operate, true),
		func(ctx context.Context, q *in[DecisionChange]) (*out[Decision], error) {
			c := q.Body
			s.intend(ctx, fmt.Sprintf("%s %s%s%s %gs: %s", c.Op, c.ID, c.Target, actionWord(c), c.Seconds, c.Reason))
			d, err := s.node.Change(ctx, c, callerOf(ctx).actor)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return &out[Decision]{d}, nil
		})
	huma.Register(api, operation("POST", "/v1/verified", "verifyDecision", "decisions", "Report that a decision's effect was seen from outside", token.Operate, true),
		func(ctx context.Context, q *in[Verification]) (*out[Decision], error) {
			s.intend(ctx, q.Body.ID+" "+q.Body.Enforcer+": "+q.Body.Detail)
			d, err := s.node.Verified(ctx, q.Body, callerOf(ctx).actor)
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return &out[Decision]{d}, nil
		})
	replay := operation("POST", "/v1/replay", "replayPolicy", "decisions", "What another policy would have decided; changes nothing", token.Operate, false)
	replay.Errors = append(replay.Errors, http.StatusBadRequest)
	huma.Register(api, replay, func(ctx context.Context, q *in[ReplayRequest]) (*out[Replay], error) {
		r, err := s.node.Replay(ctx, q.Body)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return &out[Replay]{r}, nil
	})
}

func actionWord(c DecisionChange) string {
	if c.Op != "add" {
		return ""
	}
	if c.Action == model.Observe {
		return " " + model.Block.String()
	}
	return " " + c.Action.String()
}

func (s *Server) listDecisions(ctx context.Context, q *decisionsInput) (*out[Page[Decision]], error) {
	filters := []string{q.State, q.Target, strconv.FormatBool(q.All)}
	at, err := cursor.Decode(q.Cursor, "decisions", filters...)
	if err != nil {
		return nil, badCursor(err)
	}
	list, err := s.node.Decisions(ctx, DecisionQuery{State: model.State(q.State), Target: q.Target, All: q.All, Before: at.Seq, Limit: q.Limit + 1})
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return &out[Page[Decision]]{page(list, q.Limit, func(d *Decision) string {
		return cursor.Place{Seq: d.Seq}.Encode("decisions", filters...)
	})}, nil
}

// page cuts a list that was asked for with one item too many.
func page[T any](list []T, limit int, place func(last *T) string) (p Page[T]) {
	if len(list) > limit {
		list = list[:limit]
		p.Next = place(&list[limit-1])
	}
	p.Items = list
	if p.Items == nil {
		p.Items = []T{}
	}
	return p
}

// values is page for what is stored in a stream.
func values[T any](list []Stored[T], limit int, place func(cursor.Place) string) (p Page[T]) {
	short := page(list, limit, func(last *Stored[T]) string { return place(cursor.Place{Seq: last.Seq}) })
	p.Next, p.Items = short.Next, make([]T, len(short.Items))
	for i := range short.Items {
		p.Items[i] = short.Items[i].Value
	}
	return p
}

type intelInput struct {
	Type  string  `query:"type" enum:"ip,domain,url,sha256,ja3,ja4,hassh,access-key,prompt,user,host"`
	Value string  `query:"value" maxLength:"4096" doc:"an address, or type:value"`
	Min   float64 `query:"min" minimum:"0" maximum:"1" doc:"least confidence"`
	Paging
}

type signalsInput struct {
	Since time.Time `query:"since" doc:"stored at or after"`
	Actor string    `query:"actor" maxLength:"300" doc:"this address, or type:value"`
	Kind  string    `query:"kind" maxLength:"64" doc:"such as auth.brute-force"`
	Paging
}

func (s *Server) knowledgeOperations(api huma.API) {
	huma.Register(api, operation("GET", "/v1/intel", "listIndicators", "knowledge", "What is known about addresses, URLs, files and fingerprints, the surest first", token.Read, false), s.listIntel)
	huma.Register(api, operation("GET", "/v1/signals", "listSignals", "knowledge", "What detectors concluded, newest first", token.Read, false),
		func(ctx context.Context, q *signalsInput) (*out[Page[model.Signal]], error) {
			filters := []string{q.Since.String(), q.Actor, q.Kind}
			at, err := cursor.Decode(q.Cursor, "signals", filters...)
			if err != nil {
				return nil, badCursor(err)
			}
			list, err := s.node.Signals(ctx, SignalQuery{Since: q.Since, Actor: q.Actor, Kind: q.Kind, Before: at.Seq, Limit: q.Limit + 1})
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return &out[Page[model.Signal]]{values(list, q.Limit, func(p cursor.Place) string { return p.Encode("signals", filters...) })}, nil
		})
	why := operation("GET", "/v1/why", "explain", "knowledge", "The chain behind a signal, an indicator, a decision or an address", token.Read, false)
	why.Errors = append(why.Errors, http.StatusBadRequest, http.StatusNotFound)
	huma.Register(api, why, func(ctx context.Context, q *struct {
		ID string `query:"id" required:"true" maxLength:"4096" doc:"an id, an address, or type:value"`
	}) (*out[Why], error) {
		w, err := s.node.Why(ctx, q.ID)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return &out[Why]{w}, nil
	})
	s.huntOperation(api)
	s.huntListOperation(api)
	s.evidenceOperation(api)
	s.exportOperation(api)
}

func (s *Server) listIntel(ctx context.Context, q *intelInput) (*out[Page[model.Indicator]], error) {
	filters := []string{q.Type, q.Value, fmt.Sprint(q.Min)}
	at, err := cursor.Decode(q.Cursor, "intel", filters...)
	if err != nil {
		return nil, badCursor(err)
	}
	query := IntelQuery{Type: model.EntityType(q.Type), Value: q.Value, MinConfidence: q.Min, AsOf: time.Now(), Limit: q.Limit + 1}
	if q.Cursor != "" {
		// The whole list is that of the instant the first page was made for:
		// confidence decays all the time, and the order with it.
		if query.After.Entity, err = parseKey(at.Key); err != nil {
			return nil, badCursor(cursor.ErrBad)
		}
		query.AsOf, query.After.Confidence, query.After.LastSeen = time.Unix(0, at.Time), at.Score, time.Unix(0, int64(at.Seq))
	}
	list, err := s.node.Intel(ctx, query)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return &out[Page[model.Indicator]]{page(list, q.Limit, func(n *model.Indicator) string {
		return cursor.Place{Time: query.AsOf.UnixNano(), Score: n.Confidence, Seq: uint64(n.LastSeen.UnixNano()), Key: string(n.Entity.Type()) + ":" + n.Entity.Value()}.Encode("intel", filters...)
	})}, nil
}

// evidenceOperation answers with what an attacker sent, byte for byte.
func (s *Server) evidenceOperation(api huma.API) {
	op := operation("GET", "/v1/evidence/{sha256}", "getEvidence", "knowledge", "Stored bytes, exactly as an attacker sent them", token.Read, false)
	op.Errors = append(op.Errors, http.StatusNotFound)
	op.Responses = map[string]*huma.Response{"200": {Description: "the bytes: hostile, never to be opened or displayed as they are",
		Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}}
	huma.Register(api, op, func(ctx context.Context, q *struct {
		SHA256 string `path:"sha256" pattern:"^[0-9a-f]{64}$"`
	}) (*huma.StreamResponse, error) {
		b, err := s.node.Evidence(ctx, q.SHA256)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			ctx.SetHeader("Content-Type", "application/octet-stream")
			ctx.SetHeader("Content-Disposition", "attachment; filename="+q.SHA256)
			_, _ = ctx.BodyWriter().Write(b) // the client has gone when this fails
		}}, nil
	})
}

type auditInput struct {
	Since     time.Time `query:"since" doc:"stored at or after"`
	Actor     string    `query:"actor" maxLength:"128" doc:"contained in the actor"`
	Operation string    `query:"operation" maxLength:"64" doc:"operationId"`
	Result    string    `query:"result" enum:"begun,done,denied,refused,invalid,failed"`
	Paging
}

func (s *Server) administrationOperations(api huma.API) {
	huma.Register(api, operation("GET", "/v1/audit", "listAudit", "administration", "Who changed what, or tried to, newest first", token.Admin, false),
		func(ctx context.Context, q *auditInput) (*out[Page[AuditRecord]], error) {
			filters := []string{q.Since.String(), q.Actor, q.Operation, q.Result}
			at, err := cursor.Decode(q.Cursor, "audit", filters...)
			if err != nil {
				return nil, badCursor(err)
			}
			list, err := s.node.Audit(ctx, AuditQuery{Since: q.Since, Actor: q.Actor, Operation: q.Operation, Result: q.Result, Before: at.Seq, Limit: q.Limit + 1})
			if err != nil {
				return nil, s.fail(ctx, err)
			}
			return &out[Page[AuditRecord]]{values(list, q.Limit, func(p cursor.Place) string { return p.Encode("audit", filters...) })}, nil
		})
	huma.Register(api, operation("GET", "/v1/tokens", "listTokens", "administration", "All tokens, newest first, without their secrets", token.Admin, false),
		func(context.Context, *struct{}) (*out[Page[TokenInfo]], error) {
			p := Page[TokenInfo]{Items: []TokenInfo{}}
			for _, t := range s.tokens.List() {
				p.Items = append(p.Items, tokenInfo(t))
			}
			return &out[Page[TokenInfo]]{p}, nil
		})
	create := operation("POST", "/v1/tokens", "createToken", "administration", "Make a token", token.Admin, true)
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, create, func(ctx context.Context, q *in[TokenRequest]) (*out[NewToken], error) {
		life := time.Duration(q.Body.Seconds * float64(time.Second))
		s.intend(ctx, fmt.Sprintf("%s scope %s for %v", q.Body.Name, q.Body.Scope, life))
		t, text, err := s.tokens.Create(ctx, time.Now(), q.Body.Name, q.Body.Scope, life, callerOf(ctx).actor)
		if err != nil {
			return nil, s.fail(ctx, tokenError(err))
		}
		remark(ctx, fmt.Sprintf("%s (%s) scope %s for %v", q.Body.Name, t.ID, q.Body.Scope, life))
		return &out[NewToken]{NewToken{TokenInfo: tokenInfo(t), Token: text}}, nil
	})
	huma.Register(api, operation("DELETE", "/v1/tokens/{token}", "revokeToken", "administration", "Refuse a token from now on", token.Admin, true),
		func(ctx context.Context, q *struct {
			Token string `path:"token" maxLength:"64" doc:"its id, or the name of a valid one"`
		}) (*out[TokenInfo], error) {
			s.intend(ctx, q.Token)
			t, err := s.tokens.Revoke(ctx, time.Now(), q.Token)
			if err != nil {
				return nil, s.fail(ctx, tokenError(err))
			}
			return &out[TokenInfo]{tokenInfo(t)}, nil
		})
}

func tokenInfo(t token.Token) TokenInfo {
	return TokenInfo{ID: t.ID, Name: t.Name, Scope: t.Scope, State: t.State(time.Now()), Created: t.Created, Expires: t.Expires, LastUsed: t.LastUsed, By: t.By}
}

func tokenError(err error) error {
	switch {
	case errors.Is(err, token.ErrInput):
		return fmt.Errorf("%w: %w", ErrInput, err)
	case errors.Is(err, token.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// parseKey reads the type:value of a cursor.
func parseKey(s string) (model.Entity, error) {
	kind, value, _ := strings.Cut(s, ":")
	return model.ParseEntity(model.EntityType(kind), value)
}
