package mcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"bartizan/internal/gateway/approval"
	"bartizan/internal/gateway/mcp/habit"
	"bartizan/internal/guard"
	"bartizan/internal/mcp"
	"bartizan/internal/model"

	"github.com/go-json-experiment/json/jsontext"
)

// Gate is what all sessions of one process share.
type Gate struct {
	conf   Config
	engine *guard.Engine
	pins   *Pins
	people People
	orders *Orders
	trace  *Log
	alarms Alarms
	client string
	log    *slog.Logger
	agents map[string]*agent
	decoys []decoy
}

type agent struct {
	name   string
	policy *policy
	habit  *habit.Habit
}

type decoy struct {
	Decoy
	definition jsontext.Value
}

// Options are what a gate is given besides its configuration.
type Options struct {
	Engine *guard.Engine
	Alarms Alarms  // nil: a file in the state folder
	Orders *Orders // who is refused by decisions; nil: nobody
	People People  // who decides about calls that wait; nil: whoever answers in the state folder
	Client string  // whose conversation pipes are: all gateways that one client starts have the same
	Log    *slog.Logger
}

// New makes a gate; Close ends it.
func New(c Config, o Options) (*Gate, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	g := &Gate{conf: c, engine: o.Engine, log: o.Log, alarms: o.Alarms, orders: o.Orders, client: o.Client, agents: map[string]*agent{}}
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	if len(c.Agents) == 0 {
		c.Agents = map[string]Agent{"default": {}}
	}
	for name, a := range c.Agents {
		p, err := compile(name, a)
		if err != nil {
			return nil, err
		}
		b := c.Baseline
		usual, err := habit.Open(habit.Config{Learn: b.Learn, Window: b.Window, Threshold: b.Threshold, Arguments: b.Arguments, Idle: c.Limits.Idle.D(), Once: b.Do == Flag}, c.State, name)
		if err != nil {
			return nil, err
		}
		g.agents[name] = &agent{name, p, usual}
	}
	for i, d := range c.Decoys {
		made, err := makeDecoy(d)
		if err != nil {
			return nil, fmt.Errorf("decoys[%d]: %w", i, err)
		}
		g.decoys = append(g.decoys, made)
	}
	var err error
	if g.pins, err = OpenPins(c.State); err != nil {
		return nil, err
	}
	if g.people = o.People; g.people == nil {
		if g.people, err = OpenHeld(c); err != nil {
			return nil, err
		}
	}
	if g.trace, err = OpenLog(filepath.Join(c.State, "trace.jsonl"), int64(c.Trace.Rotate)); err != nil {
		return nil, err
	}
	if g.alarms == nil {
		f, err := OpenAlarms(c, g.log)
		if err != nil {
			return nil, errors.Join(err, g.trace.Close())
		}
		g.alarms = f
	}
	return g, nil
}

// People decide about calls that wait. A nil error is a yes; the error of a no is
// told to the agent.
type People interface {
	Wait(ctx context.Context, h approval.Held) (approval.Answer, error)
}

// OpenHeld is where calls wait in a configuration's state folder.
func OpenHeld(c Config) (*approval.Folder, error) {
	return approval.Open(filepath.Join(c.State, "held"), approval.Limits{Held: c.Approval.Held, Timeout: c.Approval.Timeout.D()}, nil)
}

// Close ends the files.
func (g *Gate) Close() error {
	err := g.trace.Close()
	for _, a := range g.agents {
		err = errors.Join(err, a.habit.Close())
	}
	if f, ok := g.alarms.(*AlarmFile); ok {
		err = errors.Join(err, f.Close())
	}
	return err
}

// AlarmFile keeps alarms as signals, in JSON lines.
type AlarmFile struct {
	log *Log
	to  *slog.Logger
}

// OpenAlarms opens the file in a configuration's state folder.
func OpenAlarms(c Config, log *slog.Logger) (*AlarmFile, error) {
	f, err := OpenLog(filepath.Join(c.State, "signals.jsonl"), int64(c.Trace.Rotate))
	return &AlarmFile{f, log}, err
}

// Close ends the file.
func (a *AlarmFile) Close() error { return a.log.Close() }

// Alarm implements Alarms.
func (a *AlarmFile) Alarm(x Alarm) {
	s, err := x.Signal(x.Time)
	if err == nil {
		err = a.log.write(s)
	}
	if err != nil {
		a.to.Error("write signal", "error", err)
	}
}

func makeDecoy(d Decoy) (decoy, error) {
	schema := []byte(d.Schema)
	if d.Schema == "" {
		schema = []byte(`{"type":"object"}`)
	}
	if k := jsontext.Value(schema).Kind(); k != '{' || !jsontext.Value(schema).IsValid() {
		return decoy{}, errors.New("schema: no JSON object")
	}
	raw := fmt.Appendf(nil, `{"name":%s,"description":%s,"inputSchema":%s}`, mcp.Quote(d.Name), mcp.Quote(d.Description), schema)
	if _, err := mcp.ParseTool(raw); err != nil {
		return decoy{}, err
	}
	return decoy{d, raw}, nil
}

// Session is one client's conversation with one server. Its methods may be called
// from any goroutine.
type Session struct {
	gate    *Gate
	agent   *agent
	server  string
	id      string
	address string // of the client; "" for a pipe

	mu         sync.Mutex
	pending    map[string]call   // requests of the client that the server has not answered, by id
	asked      map[string]string // requests of the server, id → method
	tools      map[string]offer  // what the server offers, as read last
	verified   bool              // tools is complete and not known to be old
	verifiedAt time.Time
	waiting    map[string]func() // calls that wait, by id → cancel
	verify     chan struct{}     // has room for one: one question for the tools at a time
}

// call is a request under way.
type call struct {
	method, tool string
	at           time.Time
}

// offer is one tool of the server.
type offer struct {
	refused string    // why it may not be called; "" when it may
	power   mcp.Power // what it seems to do
	args    []string  // that its schema has
}

// Agent says whether an agent of that name is configured. With a single one, "" is it.
func (g *Gate) agentOf(name string) (*agent, error) {
	if name == "" && len(g.agents) == 1 {
		for _, a := range g.agents {
			return a, nil
		}
	}
	a, ok := g.agents[name]
	if !ok {
		return nil, fmt.Errorf("agent %q is not configured: name one with --agent", name)
	}
	return a, nil
}

// NewSession begins a conversation of an agent with a server.
func (g *Gate) NewSession(agent, server, address string) (*Session, error) {
	a, err := g.agentOf(agent)
	if err != nil {
		return nil, err
	}
	if !plainName(server) {
		return nil, fmt.Errorf("the server's name %.60q: letters, digits, - and _ only", server)
	}
	return &Session{gate: g, agent: a, server: server, id: model.NewULID(time.Now()).String(), address: address, pending: map[string]call{}, asked: map[string]string{},
		tools: map[string]offer{}, waiting: map[string]func(){}, verify: make(chan struct{}, 1)}, nil
}

// note writes a line of the trace.
func (s *Session) note(l Line) {
	l.Time, l.Session, l.Agent, l.Server = time.Now().UTC(), s.id, s.agent.name, s.server
	if !s.gate.conf.Trace.Arguments {
		l.Args = ""
	}
	if err := s.gate.trace.write(l); err != nil {
		s.gate.log.Error("write trace", "error", err)
	}
}

// busy says whether the server owes an answer.
func (s *Session) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending) > 0
}

// Outcome is what becomes of one message.
type Outcome struct {
	Forward []byte   // to the other side; nil: nothing
	Extra   [][]byte // more messages to the other side
	Answer  []byte   // back to where it came from; nil: nothing
}
