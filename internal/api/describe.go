package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"bartizan/internal/api/token"
	"bartizan/internal/model"
	"bartizan/internal/obs"
	"bartizan/internal/safe"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// apiVersion is that of the description: it grows when an operation or a field
// is added, and its first number when one is taken away.
const apiVersion = "1.2.0"

// describe registers every operation. What it makes is both the routes and the
// OpenAPI document, so that they cannot differ.
func (s *Server) describe(mux *http.ServeMux) huma.API {
	schemas := huma.NewMapRegistry("#/components/schemas/", schemaName)
	schemas.RegisterTypeAlias(reflect.TypeFor[model.Entity](), reflect.TypeFor[Entity]())
	schemas.RegisterTypeAlias(reflect.TypeFor[model.Action](), reflect.TypeFor[string]())
	conf := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Bartizan", Version: apiVersion,
				Description: "What a running node knows and does. Errors are RFC 9457 problems. Lists are pages: send `next` back as `cursor`, with the same filters. " +
					"Every request needs a token of the named scope (read < operate < admin; report is for gateways beside the node, and included in operate).",
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Servers: []*huma.Server{{URL: "https://127.0.0.1:9612", Description: "a node with the default configuration"}},
			Components: &huma.Components{
				Schemas:         schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer", BearerFormat: "bzt_…", Description: "bartizan token create"}},
			},
			Tags: []*huma.Tag{{Name: "node", Description: "The node itself"}, {Name: "decisions", Description: "What is done about attackers"},
				{Name: "knowledge", Description: "What is known, and how"}, {Name: "guard", Description: "Gateways in front of language models and tools"},
				{Name: "people", Description: "What waits for a person"}, {Name: "administration", Description: "Tokens and the audit log"}},
		},
		Formats: map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}, DefaultFormat: "application/json",
		RejectUnknownQueryParameters: true, Transformers: []huma.Transformer{tidyProblem},
	}
	api := humago.New(mux, conf)
	api.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) { s.enter(api, ctx, next) })
	s.nodeOperations(api)
	s.decisionOperations(api)
	s.knowledgeOperations(api)
	s.peopleOperations(api)
	s.guardOperations(api)
	s.administrationOperations(api)
	served(mux, "/openapi.json", "application/openapi+json", func() ([]byte, error) { return json.Marshal(api.OpenAPI()) })
	served(mux, "/openapi.yaml", "application/openapi+yaml", api.OpenAPI().YAML)
	return api
}

// served answers with the description. (Huma's own handler makes it without a
// lock, so two first requests race.)
func served(mux *http.ServeMux, path, kind string, make func() ([]byte, error)) {
	text := sync.OnceValues(make)
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		b, err := text()
		if err != nil {
			problem(w, r, http.StatusInternalServerError, "describe the API: "+err.Error())
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(b) // the client has gone when this fails
	})
}

// Document is the OpenAPI description, as YAML.
func Document() ([]byte, error) {
	b, err := (&Server{}).describe(http.NewServeMux()).OpenAPI().YAML()
	if err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	return b, nil
}

// Entity is the JSON form of a model.Entity.
type Entity struct {
	Type  model.EntityType `json:"type" doc:"ip, domain, url, sha256, ja3, ja4, hassh, access-key, prompt"`
	Value string           `json:"value"`
}

// schemaName names a page after what it lists, and leaves package names out.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for _, cut := range []string{"Api", "Model"} {
		name = strings.ReplaceAll(name, cut, "")
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[model.Decision]():
		return "LedgerDecision" // without receipts, unlike api.Decision
	case reflect.TypeFor[huma.ErrorModel]():
		return "Problem"
	case reflect.TypeFor[huma.ErrorDetail]():
		return "ProblemField"
	}
	return name
}

// What an operation's Metadata says beyond the OpenAPI document.
const (
	metaScope  = "scope"
	metaChange = "change"
)

// operation is the common part of every operation; a change is audited.
func operation(method, path, id, tag, summary string, scope token.Scope, change bool) huma.Operation {
	op := huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary, Tags: []string{tag}, MaxBodyBytes: maxRequest, BodyReadTimeout: -1, // whole has read it
		Security: []map[string][]string{{"bearer": {string(scope)}}},
		Metadata: map[string]any{metaScope: scope, metaChange: change},
		Errors:   []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests},
	}
	if change {
		op.Errors = append(op.Errors, http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge)
	}
	return op
}

// enter checks the caller's scope and writes the audit log.
func (s *Server) enter(api huma.API, ctx huma.Context, next func(huma.Context)) {
	who, op := callerOf(ctx.Context()), ctx.Operation()
	need, _ := op.Metadata[metaScope].(token.Scope)
	change, _ := op.Metadata[metaChange].(bool)
	if !who.scope.Allows(need) {
		s.audit(ctx.Context(), &note{operation: op.OperationID}, http.StatusForbidden)
		_ = huma.WriteErr(api, ctx, http.StatusForbidden, fmt.Sprintf("this needs a token of scope %s; yours is %s", need, who.scope))
		return
	}
	if !change {
		next(ctx)
		return
	}
	n, status := &note{operation: op.OperationID}, http.StatusInternalServerError // when the operation panics
	defer func() { s.audit(ctx.Context(), n, status) }()
	next(huma.WithValue(ctx, noteKey{}, n))
	status = ctx.Status()
}

// intend writes down what is about to be changed: should the node die before the change is done, who tried what is
// known. A record that cannot be stored stops no change, because then nobody could take back a wrong block either; it is
// counted, logged and shown in the status.
func (s *Server) intend(ctx context.Context, what string) {
	n, ok := ctx.Value(noteKey{}).(*note)
	if !ok {
		return
	}
	n.what = what
	r := n.record(ctx)
	r.Result = ResultBegun
	if s.keep(ctx, r) {
		n.begun = r.Time
	}
}

// audit writes down how an attempt ended.
func (s *Server) audit(ctx context.Context, n *note, status int) {
	r := n.record(ctx)
	r.Result, r.Status, r.Begun = result(status), status, n.begun
	s.keep(ctx, r)
}

func (n *note) record(ctx context.Context) AuditRecord {
	who := callerOf(ctx)
	r := AuditRecord{Request: requestOf(ctx), Time: time.Now().UTC(), Actor: who.actor, Operation: n.operation, What: obs.Quote([]byte(n.what), 400)}
	if !who.local {
		r.Address = who.address.String()
	}
	return r
}

// keep stores a record although the caller has gone, and says whether it is stored.
func (s *Server) keep(ctx context.Context, r AuditRecord) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := s.node.Record(ctx, r)
	if err != nil {
		s.metrics.unaudited.WithLabelValues().Inc()
		s.log.Error("a change could not be written to the audit log", "request", r.Request, "actor", r.Actor, "operation", r.Operation, "result", r.Result, "error", err)
	}
	return err == nil
}

func result(status int) string {
	switch status {
	case http.StatusForbidden:
		return "denied"
	case http.StatusConflict:
		return "refused"
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return "invalid"
	}
	if status >= 200 && status < 300 {
		return "done"
	}
	return "failed"
}

// fail turns a Node function's error into an answer. What went wrong inside is
// the log's business unless the caller sits on this machine.
func (s *Server) fail(ctx context.Context, err error) error {
	status := statusOf(err)
	if status != http.StatusInternalServerError {
		return huma.NewError(status, err.Error())
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return huma.NewError(status, "the request was given up")
	}
	s.log.Error("API request failed", "request", requestOf(ctx), "error", err)
	if callerOf(ctx).local {
		return huma.NewError(status, err.Error())
	}
	return huma.NewError(status, "internal error; the log of the node has it under this request's id")
}

// tidyProblem gives errors the request's id, and takes out what the caller
// sent: it knows that already, and it may be large.
func tidyProblem(ctx huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*huma.ErrorModel)
	if s, own := v.(*StatementProblem); own {
		p, ok = &s.ErrorModel, true
	}
	if !ok {
		return v, nil
	}
	p.Type = "about:blank"
	p.Instance = requestURN + requestOf(ctx.Context()).String()
	const most = 20
	if len(p.Errors) > most {
		p.Errors = p.Errors[:most]
	}
	for _, d := range p.Errors {
		d.Value = nil
		d.Message, d.Location = safe.Clean(d.Message, 300), safe.Clean(d.Location, 200)
	}
	return v, nil
}
