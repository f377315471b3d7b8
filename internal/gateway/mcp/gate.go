package mcp

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

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
	holds  *Holds
	trace  *Log
	alarms Alarms
	log    *slog.Logger
	sensor string
	agents map[string]*agent
	decoys []decoy
}

type agent struct {
	name   string
	policy *policy
	chain  *chain
}

type decoy struct {
	Decoy
	definition jsontext.Value
}

// Options are what a gate is given besides its configuration.
type Options struct {
	Engine *guard.Engine
	Alarms Alarms // nil: a file in the state folder
	Log    *slog.Logger
	Sensor string // name in signals
}

// New makes a gate; Close ends it.
func New(c Config, o Options) (*Gate, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	g := &Gate{conf: c, engine: o.Engine, log: o.Log, alarms: o.Alarms, sensor: o.Sensor, agents: map[string]*agent{}}
	if g.sensor == "" {
		g.sensor = "mcp-gateway"
	}
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
		ch, err := openChain(c.Baseline, c.State, name)
		if err != nil {
			return nil, err
		}
		g.agents[name] = &agent{name, p, ch}
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
	if g.holds, err = OpenHolds(c.State, c.Approval); err != nil {
		return nil, err
	}
	if g.trace, err = OpenLog(filepath.Join(c.State, "trace.jsonl"), int64(c.Trace.Rotate)); err != nil {
		return nil, err
	}
	if g.alarms == nil {
		f, err := OpenLog(filepath.Join(c.State, "signals.jsonl"), int64(c.Trace.Rotate))
		if err != nil {
			return nil, errors.Join(err, g.trace.Close())
		}
		g.alarms = &alarmFile{f, g.log}
	}
	return g, nil
}

// Close ends the files.
func (g *Gate) Close() error {
	err := g.trace.Close()
	if f, ok := g.alarms.(*alarmFile); ok {
		err = errors.Join(err, f.log.Close())
	}
	return err
}

// alarmFile keeps signals as JSON lines.
type alarmFile struct {
	log *Log
	to  *slog.Logger
}

func (a *alarmFile) Alarm(s model.Signal) {
	if err := a.log.write(s); err != nil {
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
	walk       walk
	verify     sync.Mutex // one question for the tools at a time
}

// call is a request under way.
type call struct {
	method, tool string
	at           time.Time
}

// offer is one tool of the server.
type offer struct{ refused string } // why it may not be called; "" when it may

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
	return &Session{gate: g, agent: a, server: server, id: model.NewULID(time.Now()).String(), address: address, pending: map[string]call{}, asked: map[string]string{},
		tools: map[string]offer{}, waiting: map[string]func(){}}, nil
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
