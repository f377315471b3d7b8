package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"bartizan/internal/gateway/approval"
	"bartizan/internal/gateway/budget"
	"bartizan/internal/gateway/keys"
	"bartizan/internal/gateway/traffic"
	"bartizan/internal/guard"
	"bartizan/internal/guard/hold"
	"bartizan/internal/guard/wire"
	"bartizan/internal/model"
)

// exchange is one request and its answer. It belongs to one goroutine.
type exchange struct {
	g       *Gateway
	route   *route
	w       http.ResponseWriter
	r       *http.Request
	rc      *http.ResponseController
	head    wire.Head
	path    string // without the route's prefix
	peer    netip.Addr
	key     *keys.Key // nil: none is needed
	msg     *wire.Message
	strange string         // a request of no known shape that goes on all the same
	draft   *traffic.Draft // what is said, on routes that are recorded; nil: nothing
	rec     Record
	vault   *hold.Vault     // what is masked in the request; nil: nothing can be
	memory  *guard.Memory   // what this client was told so far
	turn    *guard.Turn     // of memory
	kept    guard.Kept      // secrets that the model was not told
	left    func() []string // what a stream let out; nil: nothing before it is whole
	judge   guard.Judge     // by the schemas of the request; nil: nobody asks
	doubt   question        // for a person, before this goes on
	hold    *budget.Hold    // nil: nothing is reserved
	watched watching
	named   bool   // the user is the one that the request names
	id      string // of rec
	bait    string // identifier of a key that is bait and not of ours
	begun   bool   // the status went out
	logged  bool
	start   time.Time
}

// refusal is a request or an answer that ends here.
type refusal struct {
	status  int
	code    string // stable
	message string // for the client
	reason  string // for the audit line; empty: message
	outcome Outcome
	retry   int // seconds; 0: do not
}

func (e *refusal) Error() string { return e.message }

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{g: g, w: w, r: r, rc: http.NewResponseController(w), start: time.Now()}
	x.rec = Record{ID: model.NewULID(x.start), Time: x.start.UTC(), Method: clean(r.Method, 20), Path: clean(r.URL.Path, 300), Action: Allow}
	x.id = x.rec.ID.String()
	w.Header().Set("Bartizan-Exchange", x.id)
	g.busy.Add(1)
	defer g.busy.Add(-1)
	err := x.run()
	if err != nil {
		x.refuse(err)
	}
	x.end()
}

// run is an exchange from its first check to the last byte of its answer.
func (x *exchange) run() error {
	if broken := x.g.broken.Load(); broken != nil {
		return &refusal{status: 503, code: "audit_unavailable", message: "the gateway cannot write its audit log and serves nobody until it can", outcome: Refused, retry: 5}
	}
	if err := x.admit(); err != nil {
		return err
	}
	x.watch()
	body, err := x.readBody()
	if err != nil {
		return err
	}
	x.asks(body)
	x.rec.Request = len(body)
	if err := x.understand(body); err != nil {
		return err
	}
	asked := body
	if body, err = x.judgeRequest(body); err != nil {
		return err
	}
	if err := x.consult(x.r.Context(), approval.Prompt, asked); err != nil {
		return err
	}
	if err := x.reserve(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), x.route.Timeouts.Total.D())
	defer cancel()
	return x.ask(ctx, cancel, body)
}

// admit finds out who asks and whether they may at all.
func (x *exchange) admit() error {
	now := x.start
	x.peer = x.g.peerOf(x.r)
	x.rec.Peer = x.peer.String()
	if err := x.admitDrill(); err != nil {
		return err
	}
	if id, denied := x.g.opt.Denied.Address(x.peer, now); denied {
		x.rec.Decision = id
		return &refusal{status: 403, code: "address_denied", message: "requests from this address are refused", outcome: Refused}
	}
	if !plainPath(x.r) {
		return &refusal{status: 404, code: "no_route", message: "the path is not served", reason: "the path is not in its plain form", outcome: Refused}
	}
	if x.route, x.path = x.g.find(x.r.URL.Path); x.route == nil {
		return &refusal{status: 404, code: "no_route", message: "no route of the gateway has this path", outcome: Refused}
	}
	if escapedSlash(x.r) && x.route.Format != "bedrock" {
		x.route = nil
		return &refusal{status: 404, code: "no_route", message: "the path is not served", reason: "the path is not in its plain form", outcome: Refused}
	}
	x.rec.Route = x.route.name
	x.head = wire.Head{Method: x.r.Method, Path: x.path, ContentType: x.r.Header.Get("Content-Type")}
	if err := x.identify(now); err != nil {
		return err
	}
	if x.r.Header.Get("Upgrade") != "" || x.r.Method == http.MethodConnect {
		return &refusal{status: 400, code: "no_upgrade", message: "the gateway does not switch protocols", outcome: Refused}
	}
	return nil
}

// identify checks the client's key.
func (x *exchange) identify(now time.Time) error {
	if x.route.drill != nil {
		return nil // admitDrill has seen its key
	}
	text := clientKey(x.r)
	k, err := x.g.opt.Keys.Check(text, now)
	if k != nil {
		x.rec.Key, x.rec.KeyName, x.rec.User = k.ID, k.Name, k.User
	}
	if err != nil {
		if x.route.Anonymous && (errors.Is(err, keys.ErrMissing) || errors.Is(err, keys.ErrMalformed)) {
			return nil // SDKs send something in place of a key
		}
		x.g.badKey(x, k, err)
		return &refusal{status: 401, code: "invalid_api_key", message: "a valid key of this gateway is needed: \"bartizan guard key create\" makes one", reason: err.Error(), outcome: Refused}
	}
	if len(k.Routes) > 0 && !matches(k.Routes, x.route.name) {
		return &refusal{status: 403, code: "route_not_allowed", message: "this key may not use this route", outcome: Refused}
	}
	if d := x.g.opt.Denied; d != nil && d.Len() > 0 {
		if e, err := model.ParseEntity(model.TypeAccessKey, keys.Prefix+k.ID); err == nil {
			if id, denied := d.Entity(e, now); denied {
				x.rec.Decision = id
				return &refusal{status: 403, code: "key_denied", message: "requests with this key are refused", outcome: Refused}
			}
		}
	}
	x.key = k
	return nil
}

// understand reads the request as one of the route's format.
func (x *exchange) understand(body []byte) error {
	m, err := x.route.format.Request(x.head, body)
	if err != nil {
		x.rec.Unknown = append(x.rec.Unknown, clean(err.Error(), 200))
		if x.route.Unknown == Forward {
			x.msg = &wire.Message{}
			if err := x.allowedModel(body); err != nil {
				return err
			}
			x.strange = string(body)
			return x.raw(x.strange, false)
		}
		return &refusal{status: 400, code: "unknown_shape", message: "the gateway does not understand this request, so it cannot look into it: " + clean(err.Error(), 200), outcome: Refused}
	}
	x.msg = m
	x.rec.Model, x.rec.Stream = clean(m.Model, 200), m.Stream
	if x.rec.User == "" {
		x.rec.User, x.named = x.g.userName(m.User), true
	}
	if err := x.deniedUser(); err != nil {
		return err
	}
	for _, u := range m.Unknown[:min(len(m.Unknown), 20)] {
		x.rec.Unknown = append(x.rec.Unknown, clean(u, 200))
	}
	if len(m.Unknown) > 0 && x.route.Unknown != Forward {
		return &refusal{status: 400, code: "unknown_shape", message: "the gateway does not understand a part of this request, so it cannot look into it: " + strings.Join(x.rec.Unknown, ", "), outcome: Refused}
	}
	return x.allowedModel(body)
}

// allowedModel refuses a model that is not of the route's or the key's, and a request that leaves it to the upstream
// which one it is.
func (x *exchange) allowedModel(body []byte) error {
	lists := [][]string{x.route.Models}
	if x.key != nil {
		lists = append(lists, x.key.Models)
	}
	for _, list := range lists {
		if len(list) == 0 {
			continue
		}
		if x.msg.Model == "" && len(body) > 0 { // without a body: lists of models and the like
			return &refusal{status: 403, code: "model_not_allowed", message: "not every model may be used here, and the request names none: name one", outcome: Refused}
		}
		for _, m := range append([]string{x.msg.Model}, x.msg.Others...) {
			if m != "" && !matches(list, m) {
				return &refusal{status: 403, code: "model_not_allowed", message: fmt.Sprintf("the model %.80q may not be used here", clean(m, 80)), outcome: Refused}
			}
		}
	}
	return nil
}

// judgeRequest looks at everything the request says, and returns what goes on.
func (x *exchange) judgeRequest(body []byte) ([]byte, error) {
	x.heard(x.msg.Parts, false)
	if err := x.deniedPrompt(); err != nil {
		return nil, err
	}
	if x.media(x.msg.Parts); x.rec.Media > 0 && x.route.Media == Refuse {
		return nil, &refusal{status: 403, code: "media_not_allowed", message: "images, audio and files may not be sent here", outcome: Refused}
	}
	if x.route.masks {
		x.vault = hold.NewVault()
	}
	r, err := hold.Request(x.config(false), body, x.msg)
	x.took(r, x.msg.TextAt, false, err)
	if err != nil {
		return nil, x.blocked()
	}
	x.kept = r.Kept
	if err := x.together(); err != nil {
		return nil, err
	}
	if err := x.demand(); err != nil {
		return nil, err
	}
	if x.rec.Action == Throttle {
		if wait, ok := x.g.throttle.allow(x.client(), x.start); !ok {
			return nil, &refusal{status: 429, code: "throttled", message: "too many requests of this kind; wait a little", reason: x.rec.Reason, outcome: Refused, retry: int(wait/time.Second) + 1}
		}
	}
	return r.Body, nil
}

// client is who shares are counted for.
func (x *exchange) client() string {
	if x.key != nil {
		return "key " + x.key.ID
	}
	return "address " + model.AddrEntity(x.peer).Value()
}

// deniedPrompt refuses prompts that have been decided about.
func (x *exchange) deniedPrompt() error {
	if x.g.opt.Fingerprint == nil || x.g.opt.Denied == nil || x.g.opt.Denied.Len() == 0 {
		return nil
	}
	for _, p := range x.msg.Parts {
		if p.Kind != wire.Prompt {
			continue
		}
		e, err := model.ParseEntity(model.TypePrompt, x.g.opt.Fingerprint(p.Text))
		if err != nil {
			continue
		}
		if id, denied := x.g.opt.Denied.Entity(e, x.start); denied {
			x.rec.Decision = id
			return &refusal{status: 403, code: "prompt_denied", message: "this prompt is refused", outcome: Refused}
		}
	}
	return nil
}

// blocked is the refusal of what the policy blocks. The client learns the kind and
// where to ask, not what exactly was recognised.
func (x *exchange) blocked() *refusal {
	message := fmt.Sprintf("stopped by the policy of this gateway (%s)", x.rec.Category)
	if x.rec.Category == guard.Link { // which address it was helps whoever copied it, and is no secret
		message += ": " + x.rec.Reason
	}
	return &refusal{status: 403, code: "blocked_by_guard", outcome: Refused, reason: x.rec.Reason, message: message}
}

// refuse tells the client, in the shape it understands where that is known.
func (x *exchange) refuse(err error) {
	var e *refusal
	if !errors.As(err, &e) {
		e = &refusal{status: 502, code: "gateway_error", message: "the gateway could not do its part", reason: err.Error(), outcome: Failed}
	}
	x.note(e)
	if x.begun {
		return // the stream was ended in its own way
	}
	x.rec.Status = e.status
	x.begun = true
	if x.r.Context().Err() != nil && e.outcome == Failed {
		x.rec.Outcome, x.rec.Code = Abandoned, "client_gone"
	}
	h := x.w.Header()
	contentType, body := "application/json", []byte(nil)
	if x.route != nil {
		if f, ok := x.route.format.(wire.Refuser); ok {
			contentType, body = f.Refuse(x.head, e.status, wire.Refusal{Message: e.message, Code: e.code, ID: x.rec.ID.String()})
		}
	}
	if body == nil {
		body = plainRefusal(e, x.rec.ID.String())
	}
	if e.retry > 0 {
		h.Set("Retry-After", fmt.Sprint(e.retry))
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", fmt.Sprint(len(body)))
	x.finish()
	_ = x.rc.SetWriteDeadline(time.Now().Add(writeTime))
	x.w.WriteHeader(e.status)
	n, _ := x.w.Write(body)
	x.rec.Answer += int64(n)
}

// note writes down why an exchange ended.
func (x *exchange) note(e *refusal) {
	x.rec.Outcome, x.rec.Code = e.outcome, e.code
	if e.code != "blocked_by_guard" || x.rec.Reason == "" {
		x.rec.Reason = clean(e.reason, 300)
		if e.reason == "" {
			x.rec.Reason = clean(e.message, 300)
		}
	}
}

// writeTime bounds the writing of a refusal to a client that takes nothing.
const writeTime = 10 * time.Second

func plainRefusal(e *refusal, record string) []byte {
	var b struct {
		Error struct {
			Message string `json:"message"`
			Type    string `json:"type"`
			Code    string `json:"code"`
		} `json:"error"`
	}
	b.Error.Message, b.Error.Type, b.Error.Code = e.message+" (record "+record+")", "gateway", e.code
	text, err := json.Marshal(b)
	if err != nil {
		return []byte(`{"error":{"message":"refused","type":"gateway"}}`)
	}
	return text
}

// finish writes the audit line, once. It comes before the client is told the end,
// so that nothing is answered that nothing is written about.
func (x *exchange) finish() {
	if x.logged {
		return
	}
	x.logged = true
	if x.rec.Outcome == "" {
		x.rec.Outcome = Forwarded
	}
	x.told()
	x.price()
	x.rec.Took = float64(time.Since(x.start).Microseconds()) / 1000
	err := x.g.opt.Audit(&x.rec)
	switch {
	case err != nil:
		x.g.opt.Log.Error("cannot write the audit log; nobody is served until it can be written", "error", err)
		x.g.broken.Store(&err)
	case x.g.broken.Load() != nil:
		x.g.broken.Store(nil)
	}
	x.keep()
}

// recall begins to remember what the client is told.
func (x *exchange) recall() {
	x.memory = x.g.memories.of(memoryKey{x.route.sides["response"].engine, x.route.name, x.client(), x.rec.User})
	x.turn = x.memory.Begin()
}

// told settles what the client was told. What was stopped was not said: a client
// whose answer was stopped would get no other one after it.
func (x *exchange) told() {
	switch {
	case x.turn == nil:
	case x.rec.Outcome != Refused:
		x.turn.Keep()
	case x.left == nil:
		x.turn.Undo(nil)
	default:
		x.turn.Undo(x.left())
	}
}

func (x *exchange) end() {
	x.finish()
	x.g.signal(x)
	x.tried()
	x.abused()
}

// matches tells whether a name is in a list of names; one that ends with * stands
// for all that begin like it.
func matches(list []string, name string) bool {
	for _, s := range list {
		if start, any := strings.CutSuffix(s, "*"); s == name || any && strings.HasPrefix(name, start) {
			return true
		}
	}
	return false
}
