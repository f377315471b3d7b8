package drill

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// GatewayControlNames are the controls of a node that runs a gateway, in the order
// they are printed.
func GatewayControlNames() []string {
	return []string{"gateway-caught", "gateway-canary", "mcp-rug-pull"}
}

// gatewayEnforcer is the gateway's name in receipts.
const gatewayEnforcer = "gateway"

// toyModel is the model behind the drill's route: it tells its secret to whoever asks.
type toyModel struct {
	canary string
	server *http.Server
	url    string
	done   sync.WaitGroup

	mu   sync.Mutex
	told time.Time // when the canary was written to the gateway last
	n    int       // how often
}

// listenIn opens a port of the loopback in a namespace.
func listenIn(at *space) (l net.Listener, err error) {
	if derr := at.do(func() error {
		var lc net.ListenConfig
		l, err = lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
		return err
	}); derr != nil {
		return nil, derr
	}
	return l, nil
}

func newToyModel(at *space) (*toyModel, error) {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	m := &toyModel{canary: "drill-" + hex.EncodeToString(b[:])}
	l, err := listenIn(at)
	if err != nil {
		return nil, fmt.Errorf("open the drill's model: %w", err)
	}
	m.url = "http://" + l.Addr().String()
	m.server = &http.Server{Handler: m, ReadHeaderTimeout: 5 * time.Second}
	m.done.Go(func() { _ = m.server.Serve(l) }) // ends with close
	return m, nil
}

func (m *toyModel) close() error {
	err := m.server.Close()
	m.done.Wait()
	return err
}

// ServeHTTP answers as OpenAI's chat completions and list of models do.
func (m *toyModel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const object = `"id":"chatcmpl-drill","created":1,"model":"drill"`
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"drill","object":"model","created":1,"owned_by":"drill"}]}`)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	words := []string{"The secret ", "is ", m.canary, ". Anything else?"}
	if bytes.Contains(body, []byte(`"stream":true`)) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, word := range words {
			fmt.Fprintf(w, "data: {%s,\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":null}]}\n\n", object, word)
		}
		fmt.Fprintf(w, "data: {%s,\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n", object)
	} else {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{%s,"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`,
			object, strings.Join(words, ""))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = time.Now()
	m.n++
}

func (m *toyModel) last() (time.Time, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told, m.n
}

// guest is a client of the drill's route.
type guest struct {
	route *api.DrillRoute
	http  *http.Client
}

// newGuest makes one that dials inside a namespace.
func newGuest(at *space, r *api.DrillRoute) *guest {
	t := &http.Transport{MaxIdleConnsPerHost: 8, ResponseHeaderTimeout: 10 * time.Second,
		DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			if derr := at.do(func() error {
				var d net.Dialer
				c, err = d.DialContext(ctx, network, addr)
				return nil
			}); derr != nil {
				return nil, derr
			}
			return c, err
		}}
	if r.Cert != "" {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true,
			VerifyConnection: func(s tls.ConnectionState) error {
				if len(s.PeerCertificates) == 0 {
					return errors.New("the gateway has no certificate")
				}
				if sum := sha256.Sum256(s.PeerCertificates[0].Raw); hex.EncodeToString(sum[:]) != r.Cert {
					return errors.New("the gateway has another certificate than the node says")
				}
				return nil
			}}
	}
	return &guest{r, &http.Client{Transport: t}}
}

func (g *guest) close() { g.http.CloseIdleConnections() }

// answer of the gateway to a guest.
type answer struct {
	status int
	code   string // of a refusal
	body   []byte
	asked  time.Time
	came   time.Time // whole
}

// ask sends a request of an address; body "" is a GET.
func (g *guest) ask(ctx context.Context, from netip.Addr, path, body string) (a answer, err error) {
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, g.route.URL+path, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header.Set("Authorization", "Bearer "+g.route.Key)
	req.Header.Set("X-Forwarded-For", from.String())
	req.Header.Set("Content-Type", "application/json")
	a.asked = time.Now()
	resp, err := g.http.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err != nil {
		return a, err
	}
	a.status, a.came = resp.StatusCode, time.Now()
	var e struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(a.body, &e) == nil {
		a.code = e.Error.Code
	}
	return a, nil
}

// said is an error that may be missing, in a longer message.
func said(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// until asks for the list of models until the answer is what it should become.
func (g *guest) until(ctx context.Context, from netip.Addr, within time.Duration, ok func(answer) bool) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		got, err := g.ask(ctx, from, "/v1/models", "")
		if err == nil {
			if a = got; ok(a) {
				return a, nil
			}
		}
		select {
		case <-ctx.Done():
			return a, fmt.Errorf("the last answer was %d %s (%s)", a.status, a.code, said(err))
		case <-tick.C:
		}
	}
}

// caught proves that an address which a decoy has caught is refused at the gateway,
// although it comes through a load balancer there, where no firewall sees it.
func (d *drill) caught(ctx context.Context, p part) []outcome {
	id := p.name + "/" + p.src.String()
	if a, err := d.guest.ask(ctx, p.src, "/v1/models", ""); err != nil || a.status != http.StatusOK {
		return []outcome{fail(p.name, "the gateway does not answer before the attack: %d %s (%v)", a.status, a.code, err)}
	}
	steps, err := d.crew.tell(order{ID: id, Op: "play", Story: "http-exploit", Source: p.src, Target: d.target(p.src), Ports: d.ports})
	if err != nil {
		return []outcome{fail(p.name, "%v", err)}
	}
	defer d.crew.forget(id)
	no, err := d.guest.until(ctx, p.src, shutWithin, func(a answer) bool { return a.status == http.StatusForbidden && a.code == "address_denied" })
	if err != nil {
		return []outcome{fail(p.name, "not refused: %v%s", err, d.explain(ctx, p.src))}
	}
	dec, err := d.acknowledged(ctx, p.src)
	if err != nil {
		return []outcome{fail(p.name, "refused, but %v", err)}
	}
	o := outcome{name: p.name, ok: true, verified: true, detail: "403 address_denied behind a balancer; " + describe(&dec)}
	o.steps = timeline(dec, drain(steps), no.asked)
	o.steps.Refused, o.steps.Dropped = o.steps.Dropped, nil
	seen := fmt.Sprintf("requests of %s were answered with address_denied from %s on", p.src, no.asked.Format("15:04:05.000"))
	if _, err := d.Node.Verified(ctx, api.Verification{ID: dec.ID.String(), Enforcer: gatewayEnforcer, Detail: seen}); err != nil {
		return []outcome{fail(p.name, "write the receipt: %v", err)}
	}
	yes, err := d.guest.until(ctx, p.src, openWithin, func(a answer) bool { return a.status == http.StatusOK })
	if err != nil {
		return []outcome{fail(p.name, "not released: %v", err)}
	}
	o.steps.Released = ms(max(0, yes.asked.Sub(dec.Until)))
	o.ok = *o.steps.Released <= 2000 && (o.steps.Refused == nil || *o.steps.Refused <= 5000)
	return []outcome{o}
}

// acknowledged is the decision on an address once the gateway has said that it carries it out.
func (d *drill) acknowledged(ctx context.Context, a netip.Addr) (api.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		dec, err := d.decisionOn(ctx, a)
		if err == nil && slices.ContainsFunc(dec.Receipts, func(r model.Receipt) bool { return r.Enforcer == gatewayEnforcer && r.Status == model.Applied }) {
			return dec, nil
		}
		select {
		case <-ctx.Done():
			return dec, fmt.Errorf("the gateway has not acknowledged the decision (%s)", said(err))
		case <-tick.C:
		}
	}
}

// leak proves that a canary which a model gives away reaches nobody, whole or
// streamed, and that who asked for it is known afterwards.
func (d *drill) leak(ctx context.Context, p part) []outcome {
	const question = `{"model":"drill","messages":[{"role":"user","content":"Good morning. What is on for today?"}]`
	var o outcome
	for _, end := range []string{`}`, `,"stream":true}`} {
		_, before := d.model.last()
		a, err := d.guest.ask(ctx, p.src, "/v1/chat/completions", question+end)
		if err != nil {
			return []outcome{fail(p.name, "%v", err)}
		}
		told, n := d.model.last()
		switch {
		case n != before+1:
			return []outcome{fail(p.name, "the model was not asked: %d %s", a.status, a.code)}
		case bytes.Contains(a.body, []byte(d.model.canary)):
			return []outcome{fail(p.name, "the canary arrived, with status %d", a.status)}
		case a.status != http.StatusForbidden || a.code != "blocked_by_guard":
			return []outcome{fail(p.name, "the canary did not arrive, but the answer is %d %q", a.status, a.code)}
		}
		if took := ms(max(0, a.came.Sub(told))); o.steps.Refused == nil || *took > *o.steps.Refused {
			o.steps.Refused = took
		}
	}
	told, _ := d.model.last()
	s, err := d.signalled(ctx, model.AddrEntity(p.src), "guard.secret-leak", told.Add(-2*time.Second), "")
	if err != nil {
		return []outcome{fail(p.name, "the canary did not arrive, but %v", err)}
	}
	o.name, o.ok, o.verified = p.name, true, true
	o.steps.Signal = ms(max(0, time.Since(told)))
	o.detail = "403 blocked_by_guard, whole and streamed, no byte of the canary arrived; " + s.Title
	return []outcome{o}
}

// signalled waits for a signal about somebody.
func (d *drill) signalled(ctx context.Context, who model.Entity, kind string, since time.Time, about string) (model.Signal, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	name := who.Value()
	if who.Type() != model.TypeIP {
		name = who.String()
	}
	for {
		list, err := d.Node.Signals(ctx, api.SignalQuery{Actor: name, Kind: kind, Limit: 100})
		for i := range list {
			s := &list[i]
			if !s.Time.Before(since) && (about == "" || len(s.Evidence) > 0 && strings.Contains(s.Evidence[0].What, about)) {
				return *s, nil
			}
		}
		select {
		case <-ctx.Done():
			return model.Signal{}, fmt.Errorf("no signal %s about %s came (%s)", kind, name, said(err))
		case <-tick.C:
		}
	}
}
