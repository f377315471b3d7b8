package mcpgate

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/app/people"
	"bartizan/internal/bus"
	"bartizan/internal/conf"
	"bartizan/internal/decide"
	"bartizan/internal/gateway/approval"
	"bartizan/internal/gateway/mcp"
	"bartizan/internal/life"
	"bartizan/internal/model"
	"bartizan/internal/obs"
)

// node is as much of a node as a gateway beside it sees: the real desk behind the real
// administration socket.
type node struct {
	*testing.T
	data   string
	desk   *people.Desk
	ledger *decide.Ledger
	seq    uint64

	mu      sync.Mutex
	signals []model.Signal
	said    map[model.ReceiptStatus]int
}

func begin(t *testing.T) *node {
	t.Helper()
	n := &node{T: t, data: t.TempDir(), ledger: decide.NewLedger(decide.LedgerConfig{}), said: map[model.ReceiptStatus]int{}}
	b, err := bus.Open(t.Context(), bus.Config{Dir: filepath.Join(n.data, "bus")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	n.desk, err = people.Open(t.Context(), b, n.data, approval.Limits{Held: 10, Timeout: time.Minute}, people.Node{Health: obs.NewHealth(), Ledger: n.ledger,
		Signals: func(_ context.Context, s []model.Signal) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.signals = append(n.signals, s...)
			return nil
		},
		Receipt: func(_ context.Context, r model.Receipt) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.said[r.Status]++
			return nil
		},
		Said: func(_ model.ULID, s model.ReceiptStatus) bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.said[s] > 0
		}})
	if err != nil {
		t.Fatal(err)
	}
	g := life.New(slog.New(slog.DiscardHandler))
	g.OnStop("bus", b.Close)
	n.desk.Start(g)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Wait(ctx, 20*time.Second) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return n
}

// serve opens the node's door, which closes with the test.
func (n *node) serve() {
	n.Helper()
	l, err := api.ListenAdmin(n.data)
	if err != nil {
		n.Fatal(err)
	}
	s := api.NewServer(api.Options{Log: slog.New(slog.DiscardHandler), Metrics: obs.NewMetrics(), Node: api.Node{
		Held: n.desk.Held, DecideHeld: n.desk.Decide, AskHeld: n.desk.Ask, SyncMCP: n.desk.Sync,
		Record:  func(context.Context, api.AuditRecord) error { return nil },
		Metrics: http.NotFoundHandler(), Health: http.NotFoundHandler()}})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.ServeAdmin(ctx, l) }()
	n.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			n.Error(err)
		}
	})
}

func (n *node) config() mcp.Config {
	c := mcp.Default()
	c.State, c.Node = n.TempDir(), mcp.Node{Data: n.data}
	c.Agents = map[string]mcp.Agent{"coder": {Tools: []mcp.Tool{{Tool: "*"}}}}
	c.Approval.Timeout = conf.Duration(30 * time.Second)
	return c
}

func (n *node) join(c mcp.Config, log *strings.Builder) *link {
	n.Helper()
	to := slog.New(slog.DiscardHandler)
	if log != nil {
		to = slog.New(slog.NewTextHandler(log, nil))
	}
	l, err := join(c, []string{"files"}, to)
	if err != nil {
		n.Fatal(err)
	}
	return l
}

func (n *node) kinds() (out []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.signals {
		out = append(out, s.Kind)
	}
	return out
}

// until asks again and again, for as long as anything may take.
func (n *node) until(what string, ok func() bool) {
	n.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			n.Fatalf("never: %s", what)
		}
	}
}

func alarm(kind string) mcp.Alarm {
	return mcp.Alarm{ID: model.NewULID(time.Now()).String(), Time: time.Now().UTC(), Kind: kind, Agent: "coder", Server: "files", Subject: "tool x", Excerpt: "key AKIAIOSFODNN7EXAMPLE"}
}

func TestAlarmsBecomeSignals(t *testing.T) {
	n := begin(t)
	n.serve()
	l := n.join(n.config(), nil)
	l.Alarm(alarm("mcp.decoy-tool"))
	l.Alarm(alarm("mcp.rug-pull"))
	n.until("two signals", func() bool { return len(n.kinds()) == 2 })
	if err := l.close(); err != nil {
		t.Error(err)
	}
	for i, who := range []string{"agent/coder", "mcp-server/files"} {
		s := n.signals[i]
		if s.Actor.Value() != who || s.Check() != nil || len(s.Techniques) == 0 || strings.Contains(s.Evidence[0].Excerpt, "AKIAIOSFODNN7EXAMPLE") {
			t.Errorf("%+v", s)
		}
	}
}

// What happens while the node is away is told when it is back, over restarts too.
func TestNodeIsAway(t *testing.T) {
	n := begin(t)
	c := n.config()
	var log strings.Builder
	l := n.join(c, &log)
	l.Alarm(alarm("mcp.rug-pull"))
	if err := l.close(); err != nil {
		t.Error(err)
	}
	if l.down != strings.Contains(log.String(), "the node cannot be told") {
		t.Errorf("down %v, said: %s", l.down, log.String())
	}
	if _, err := os.Stat(filepath.Join(c.State, "unsent.jsonl")); err != nil {
		t.Fatal(err)
	}
	n.serve()
	l = n.join(c, nil)
	n.until("the alarm of the run before", func() bool { return slices.Contains(n.kinds(), "mcp.rug-pull") })
	if err := l.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(c.State, "unsent.jsonl")); err == nil {
		t.Error("what was told is kept")
	}
}

func TestHeldAtTheNode(t *testing.T) {
	n := begin(t)
	n.serve()
	l := n.join(n.config(), nil)
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	call := func() approval.Held {
		return approval.Held{ID: model.NewULID(time.Now()).String(), Kind: approval.Call, Agent: "coder", Server: "files", Tool: "write", Args: "{}", Why: "policy"}
	}
	type result struct {
		a   approval.Answer
		err error
	}
	for _, approve := range []bool{true, false} {
		done := make(chan result, 1)
		go func() {
			a, err := l.Wait(t.Context(), call())
			done <- result{a, err}
		}()
		var list []approval.Held
		n.until("a held call", func() bool { list, _ = n.desk.Held(t.Context()); return len(list) == 1 })
		if h := list[0]; h.Tool != "write" || h.Agent != "coder" || !strings.Contains(h.Why, "uid=") {
			t.Errorf("%+v", h)
		}
		if _, err := n.desk.Decide(t.Context(), list[0].ID, api.HeldDecision{Approve: approve, Reason: "so"}, "token ann"); err != nil {
			t.Fatal(err)
		}
		if r := <-done; (r.err == nil) != approve || r.a.By != "node: token ann" {
			t.Errorf("%+v", r)
		}
	}
	// An answer in the folder counts as well, and the node's list forgets the call.
	done := make(chan result, 1)
	h := call()
	go func() {
		a, err := l.Wait(t.Context(), h)
		done <- result{a, err}
	}()
	n.until("a held call", func() bool { list, _ := n.desk.Held(t.Context()); return len(list) == 1 })
	if _, err := l.folder.Decide(h.ID, true, "uid=7", "", time.Now()); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.err != nil || r.a.By != "uid=7" {
		t.Errorf("%+v", r)
	}
	if list, err := n.desk.Held(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
}

// An agent that was decided about is refused, and everybody hears that it is.
func TestAgentIsRefused(t *testing.T) {
	n := begin(t)
	n.serve()
	c := n.config()
	l := n.join(c, nil)
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	g, err := mcp.New(c, mcp.Options{Alarms: l, People: l, Orders: l.orders, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	s, err := g.NewSession("coder", "files", "")
	if err != nil {
		t.Fatal(err)
	}
	id := 0
	refused := func() bool {
		id++
		raw, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "method": "resources/list"})
		if err != nil {
			t.Fatal(err)
		}
		out, _ := s.FromClient(raw)
		return strings.Contains(string(out.Answer), "refused by decision")
	}
	if refused() {
		t.Fatal("refused before anything was decided")
	}
	agent, err := model.ParseNamed("user:agent/coder")
	if err != nil {
		t.Fatal(err)
	}
	n.until("the node knows the gateway", func() bool { return n.desk.Refuses(agent) })
	now := time.Now()
	d := model.Decision{ID: model.NewULID(now), Action: model.Block, Target: agent, Policy: "manual", Reason: "test", From: now, Until: now.Add(time.Hour)}
	n.apply(model.Entry{Change: model.ChangeDecide, Time: now, Decision: &d, ID: d.ID, By: "uid=0"})
	n.until("the agent is refused", refused)
	t.Logf("refused %v after the decision", time.Since(now).Round(time.Millisecond))
	heard := func(s model.ReceiptStatus) func() bool {
		return func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.said[s] == 1 }
	}
	n.until("applied", heard(model.Applied))
	n.until("verified", heard(model.Verified))
	n.apply(model.Entry{Change: model.ChangeRemove, Time: time.Now(), ID: d.ID, By: "uid=0"})
	n.until("the agent is heard again", func() bool { return !refused() })
	n.until("expired", heard(model.Expired))
}

func (n *node) apply(e model.Entry) {
	n.Helper()
	n.seq++
	if _, err := n.ledger.Apply(n.seq, e); err != nil {
		n.Fatal(err)
	}
}

// A gateway's word is bounded by what a gateway can know.
func TestNodeTrustsLittle(t *testing.T) {
	n := begin(t)
	for name, change := range map[string]func(*mcp.Alarm){
		"kind":   func(a *mcp.Alarm) { a.Kind = "auth.brute-force" },
		"agent":  func(a *mcp.Alarm) { a.Agent = "../root" },
		"time":   func(a *mcp.Alarm) { a.Time = time.Now().Add(time.Hour) },
		"old":    func(a *mcp.Alarm) { a.Time = time.Now().Add(-30 * 24 * time.Hour) },
		"id":     func(a *mcp.Alarm) { a.ID = "x" },
		"server": func(a *mcp.Alarm) { a.Server = "" },
	} {
		a := alarm("mcp.rug-pull")
		change(&a)
		if _, err := n.desk.Sync(t.Context(), api.MCPSync{Alarms: []mcp.Alarm{a}}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	now := time.Now()
	for name, h := range map[string]approval.Held{
		"a prompt": {ID: model.NewULID(now).String(), Kind: approval.Prompt, Tool: "x", Since: now, Until: now.Add(time.Minute)},
		"for ever": {ID: model.NewULID(now).String(), Kind: approval.Call, Tool: "x", Since: now, Until: now.Add(1000 * time.Hour)},
		"an id":    {ID: "../x", Kind: approval.Call, Tool: "x", Since: now, Until: now.Add(time.Minute)},
	} {
		if _, err := n.desk.Ask(t.Context(), api.HeldQuestion{Held: h}, "uid=1"); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if got := n.kinds(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
