package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"bartizan/internal/api/token"
	"bartizan/internal/gateway/approval"
	"bartizan/internal/model"

	"github.com/danielgtaylor/huma/v2"
)

// Bounds of event streams.
const (
	maxStreams      = 16 // open at once
	maxStreamsOwn   = 4  // of one token
	heartbeat       = 15 * time.Second
	slowAfter       = 10 * time.Second // one write may take
	eventBacklog    = 64               // events between the bus and the connection
	maxLastEventLen = 128
)

// Kinds of events: each is one stream of the bus.
const (
	EventSignal   = "signal"
	EventDecision = "decision"
	EventReceipt  = "receipt"
	// Only for those who ask for them:
	EventHeld     = "held"
	EventExchange = "exchange" // at the gateway in front of language models
	EventTraffic  = "traffic"  // what was said in it, masked
	EventMCP      = "mcp"      // agents and tools of MCP gateways
)

// eventKinds in the order their places have in an event's id.
func eventKinds() []string {
	return []string{EventSignal, EventDecision, EventReceipt, EventHeld, EventExchange, EventTraffic, EventMCP}
}

// always is how many of the kinds have their place in every id.
const always = 3

// Event is one stored message on its way to a live client.
type Event struct {
	Kind string
	Seq  uint64
	Data json.RawMessage // a model.Signal, model.Entry, model.Receipt, approval.Change, model.LLMCall, model.LLMTraffic or MCPChange
}

// Events is how a node's streams are followed.
type Events struct {
	// Last is the sequence number of the newest message of a kind; 0 when there is none.
	Last func(ctx context.Context, kind string) (uint64, error)
	// Follow calls emit for every message of a kind from a sequence number on,
	// old and new, until ctx ends (then it returns nil) or emit fails.
	Follow func(ctx context.Context, kind string, from uint64, emit func(Event) error) error
}

// place is how far a client has read each kind. As text it is the id of an
// event, such as "s120.d7.r0" (or "s120.d7.r0.h2"): a client that comes back with the last one it
// saw (Last-Event-ID) misses nothing.
type place struct{ signal, decision, receipt, held, exchange, traffic, mcp uint64 }

func (p *place) of(kind string) *uint64 {
	switch kind {
	case EventSignal:
		return &p.signal
	case EventDecision:
		return &p.decision
	case EventHeld:
		return &p.held
	case EventExchange:
		return &p.exchange
	case EventTraffic:
		return &p.traffic
	case EventMCP:
		return &p.mcp
	}
	return &p.receipt
}

func (p *place) String() string {
	s := fmt.Sprintf("s%d.d%d.r%d", p.signal, p.decision, p.receipt)
	for _, kind := range eventKinds()[always:] {
		if n := *p.of(kind); n > 0 {
			s += fmt.Sprintf(".%s%d", kind[:1], n)
		}
	}
	return s
}

var errPlace = errors.New("not the id of an event of this API (such as s120.d7.r0)")

// parsePlace reads exactly what String writes.
func parsePlace(text string) (p place, err error) {
	if len(text) > maxLastEventLen {
		return place{}, fmt.Errorf("longer than %d bytes", maxLastEventLen)
	}
	parts := strings.Split(text, ".")
	i := 0
	for k, kind := range eventKinds() {
		if i == len(parts) && k >= always {
			break
		}
		if i == len(parts) {
			return place{}, errPlace
		}
		digits, ok := strings.CutPrefix(parts[i], kind[:1])
		if !ok && k >= always {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		if !ok || err != nil || strconv.FormatUint(n, 10) != digits || k >= always && n == 0 {
			return place{}, errPlace
		}
		*p.of(kind) = n
		i++
	}
	if i < len(parts) {
		return place{}, errPlace
	}
	return p, nil
}

// streams counts the open ones.
type streams struct {
	mu  sync.Mutex
	all int
	by  map[string]int
}

func (s *streams) enter(who string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.by[who] >= maxStreamsOwn {
		return false
	}
	if s.by == nil {
		s.by = map[string]int{}
	}
	s.all++
	s.by[who]++
	return true
}

func (s *streams) leave(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.by[who]--; s.by[who] <= 0 {
		delete(s.by, who)
	}
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

type eventsInput struct {
	Types string `query:"types" maxLength:"64" default:"signal,decision,receipt" doc:"kinds wanted, with commas between: signal, decision, receipt, held, exchange, traffic, mcp"`
	Last  string `header:"Last-Event-ID" maxLength:"128" doc:"id of the last event seen; what came after it is sent first"`
}

// Gap tells a live client what it will not get.
type Gap struct {
	Type string `json:"type"`
	From uint64 `json:"from"` // first sequence number that is missing
	To   uint64 `json:"to"`   // last one
	Why  string `json:"why"`
}

func (s *Server) eventOperation(api huma.API) {
	op := operation("GET", "/v1/events", "streamEvents", "node", "Live signals, decisions and receipts as server-sent events", token.Read, false)
	op.Errors = append(op.Errors, http.StatusServiceUnavailable)
	op.Description = "The event names are `signal` (a Signal), `decision` (an Entry of the ledger), `receipt` (a Receipt), `held` (a Change of what waits for a person), `exchange` (a LLMCall), `traffic` (a LLMTraffic), `mcp` (a MCPChange); `ready` comes first and has the id to resume from; " +
		"`gap` names what is no longer kept; `end` says why the node ends the stream. A comment line comes every 15 seconds."
	schemas := api.OpenAPI().Components.Schemas
	for name, t := range map[string]reflect.Type{"Entry": reflect.TypeFor[model.Entry](), "Receipt": reflect.TypeFor[model.Receipt](), "Change": reflect.TypeFor[approval.Change](),
		"LLMCall": reflect.TypeFor[model.LLMCall](), "LLMTraffic": reflect.TypeFor[model.LLMTraffic](), "MCPChange": reflect.TypeFor[MCPChange](),
		"Signal": reflect.TypeFor[model.Signal](), "Gap": reflect.TypeFor[Gap]()} {
		schemas.Schema(t, true, name) // so that generated clients have the types of the data
	}
	op.Responses = map[string]*huma.Response{"200": {Description: "a stream that does not end by itself",
		Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	huma.Register(api, op, func(ctx context.Context, q *eventsInput) (*huma.StreamResponse, error) {
		kinds := strings.Split(q.Types, ",")
		for _, k := range kinds {
			if !slices.Contains(eventKinds(), k) {
				return nil, badField("query.types", fmt.Errorf("%.32q is none of %s", k, strings.Join(eventKinds(), ", ")))
			}
		}
		slices.Sort(kinds)
		st := &stream{s: s, kinds: slices.Compact(kinds), who: callerOf(ctx)}
		if err := st.begin(ctx, q.Last); err != nil {
			return nil, err
		}
		id := st.who.grant.ID
		if !s.streams.enter(id) {
			s.metrics.limited.WithLabelValues("streams").Inc()
			return nil, huma.ErrorWithHeaders(huma.Error503ServiceUnavailable(fmt.Sprintf("too many event streams are open (%d, %d with one token)", maxStreams, maxStreamsOwn)),
				http.Header{"Retry-After": {"30"}})
		}
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			defer s.streams.leave(id)
			st.run(ctx)
		}}, nil
	})
}

// stream is one open event stream.
type stream struct {
	s     *Server
	who   caller
	kinds []string
	at    place
	gaps  []Gap
	write func(event, id string, data []byte) error
}

// begin finds where to start: after the last event seen, or now.
func (st *stream) begin(ctx context.Context, last string) (err error) {
	if last != "" {
		if st.at, err = parsePlace(last); err != nil {
			return badField("header.Last-Event-ID", err)
		}
	}
	for _, k := range st.kinds {
		end, err := st.s.node.Events.Last(ctx, k)
		if err != nil {
			return st.s.fail(ctx, err)
		}
		at := st.at.of(k)
		if last == "" {
			*at = end
		} else if *at > end {
			st.gaps = append(st.gaps, Gap{Type: k, From: end + 1, To: *at, Why: "the stream ends before the place given: it was replaced or lost; following from its end"})
			*at = end
		}
	}
	return nil
}

func (st *stream) run(hc huma.Context) {
	g := st.s.metrics.streams.WithLabelValues()
	g.Inc()
	defer g.Dec()
	ctx, cancel := context.WithCancel(hc.Context())
	events := make(chan Event, eventBacklog)
	var followers sync.WaitGroup
	defer followers.Wait()
	defer cancel()
	failed := make(chan error, len(st.kinds))
	for _, k := range st.kinds {
		from := *st.at.of(k) + 1
		followers.Go(func() {
			err := st.s.node.Events.Follow(ctx, k, from, func(e Event) error {
				select {
				case events <- e:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			if err != nil && ctx.Err() == nil {
				failed <- err
			}
		})
	}
	if !st.open(hc) {
		return
	}
	st.pump(ctx, events, failed)
}

// open sends the headers and the first event.
func (st *stream) open(hc huma.Context) bool {
	hc.SetHeader("Content-Type", "text/event-stream")
	hc.SetStatus(http.StatusOK)
	w, ok := hc.BodyWriter().(http.ResponseWriter)
	if !ok {
		panic("BUG: the answer's writer is no http.ResponseWriter")
	}
	rc := http.NewResponseController(w)
	st.write = func(event, id string, data []byte) error {
		// A socket of a test or a proxy may not know deadlines; then the server's own ends the stream.
		_ = rc.SetWriteDeadline(time.Now().Add(slowAfter))
		var b []byte
		switch {
		case event == "":
			b = []byte(": alive\n\n")
		case id != "":
			b = fmt.Appendf(nil, "event: %s\nid: %s\ndata: %s\n\n", event, id, data)
		default:
			b = fmt.Appendf(nil, "event: %s\ndata: %s\n\n", event, data)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		return rc.Flush()
	}
	ready, err := json.Marshal(struct {
		Types []string `json:"types"`
	}{st.kinds})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	if err := st.write("ready", st.at.String(), ready); err != nil {
		st.drop("slow", err)
		return false
	}
	for _, gap := range st.gaps {
		if !st.gap(gap) {
			return false
		}
	}
	return true
}

func (st *stream) gap(g Gap) bool {
	b, err := json.Marshal(g)
	if err == nil {
		err = st.write("gap", "", b)
	}
	if err != nil {
		st.drop("slow", err)
	}
	return err == nil
}

// pump sends events until the client goes, its token dies, or it is too slow.
func (st *stream) pump(ctx context.Context, events <-chan Event, failed <-chan error) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	var expired <-chan time.Time
	if !st.who.local {
		t := time.NewTimer(time.Until(st.who.grant.Expires))
		defer t.Stop()
		expired = t.C
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-st.who.grant.Gone:
			st.end("revoked", "the token was revoked")
			return
		case <-expired:
			st.end("expired", "the token has expired")
			return
		case err := <-failed:
			st.s.log.Error("an event stream cannot go on", "error", err)
			st.end("failed", "the node cannot read its streams")
			return
		case <-beat.C:
			st.s.sessions.seen(st.who.address, time.Now())
			err = st.write("", "", nil)
		case e := <-events:
			at := st.at.of(e.Kind)
			if e.Seq > *at+1 && !st.gap(Gap{Type: e.Kind, From: *at + 1, To: e.Seq - 1, Why: "no longer kept"}) {
				return
			}
			*at = e.Seq
			err = st.write(e.Kind, st.at.String(), e.Data)
		}
		if err != nil {
			if ctx.Err() == nil {
				st.drop("slow", err)
			}
			return
		}
	}
}

// end tells the client why, if it still listens.
func (st *stream) end(reason, text string) {
	st.s.metrics.dropped.WithLabelValues(reason).Inc()
	_ = st.write("end", "", fmt.Appendf(nil, "{\"reason\":%q,\"detail\":%q}", reason, text)) // it may have gone
}

// drop is the end of a client that does not read; it cannot be told.
func (st *stream) drop(reason string, err error) {
	st.s.metrics.dropped.WithLabelValues(reason).Inc()
	st.s.log.Info("event stream dropped", "caller", st.who.actor, "reason", reason, "error", err)
}
