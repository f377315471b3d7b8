package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"bartizan/internal/credential"
	"bartizan/internal/mcp"
	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// Line is one message in the trace.
type Line struct {
	Time    time.Time `json:"time"`
	Session string    `json:"session"`
	Agent   string    `json:"agent"`
	Server  string    `json:"server"`
	From    string    `json:"from"` // client, server, gateway
	Kind    string    `json:"kind"` // request, notification, answer, batch, malformed
	Method  string    `json:"method,omitempty"`
	ID      string    `json:"id,omitempty"`
	Tool    string    `json:"tool,omitempty"`
	Bytes   int       `json:"bytes"`
	Done    string    `json:"done"` // passed, flagged, masked, held, released, refused, dropped, decoyed
	Why     []string  `json:"why,omitempty"`
	Args    string    `json:"args,omitempty"` // secrets masked, cut
	Hash    string    `json:"hash,omitempty"` // of the message as it came, SHA-256: to compare with other records
	TookMS  float64   `json:"took_ms,omitempty"`
}

const maxArgs = 2048

// maskedArgs is what of arguments goes into trace and held calls.
func maskedArgs(args []byte) string {
	return safe.Clean(credential.Mask(string(args)), maxArgs)
}

// Log appends JSON lines to a file and begins a new one when it is large. Only its
// owner reads it. A line that cannot be written is an error of who wrote it.
type Log struct {
	name   string
	rotate int64
	mu     sync.Mutex
	file   *os.File
	size   int64
}

// OpenLog opens or makes the file.
func OpenLog(name string, rotate int64) (*Log, error) {
	l := &Log{name: name, rotate: rotate}
	return l, l.open()
}

func (l *Log) open() error {
	f, err := os.OpenFile(l.name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open log: %w", err), f.Close())
	}
	l.file, l.size = f, st.Size()
	return nil
}

func (l *Log) write(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(l.name), err)
	}
	data = append(data, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(data)) > l.rotate {
		if err := errors.Join(l.file.Close(), os.Rename(l.name, l.name+".1")); err != nil && !errors.Is(err, fs.ErrNotExist) { // another gateway may have been first
			return fmt.Errorf("begin a new %s: %w", filepath.Base(l.name), err)
		}
		if err := l.open(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(data)
	l.size += int64(n)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(l.name), err)
	}
	return nil
}

// Close ends the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// Alarms takes what the gateway concluded. It must not block.
type Alarms interface {
	Alarm(model.Signal)
}

// alarm kinds; each is one of our rules.
type alarmKind struct {
	kind, title string
	severity    model.Severity
	confidence  float64 // that whoever steers the agent, or the server, is hostile
	techniques  []string
}

// The alarms of the gateway.
const (
	decoyUsed = iota
	rugPull
	poisonedTool
	shadowTool
	hostileResult
	refusedCall
	rogueAgent
	leakedSecret
	smuggled
)

func alarmOf(k int) alarmKind {
	return []alarmKind{
		decoyUsed:     {"mcp.decoy-tool", "a decoy tool was used", model.Critical, 0.99, []string{"AML.T0053"}},
		rugPull:       {"mcp.rug-pull", "a tool's definition changed after it was accepted", model.High, 0.8, []string{"AML.T0010", "AML.T0051.001"}},
		poisonedTool:  {"mcp.poisoned-definition", "a tool's definition has hidden text or orders", model.Critical, 0.9, []string{"AML.T0051.001"}},
		shadowTool:    {"mcp.shadowing", "a server offers or speaks of a tool that is another's", model.High, 0.6, []string{"AML.T0051.001"}},
		hostileResult: {"mcp.hostile-result", "a server's answer holds what the guard blocks", model.High, 0.7, []string{"AML.T0051.001"}},
		refusedCall:   {"mcp.refused-call", "an agent asked for what its policy does not allow", model.Low, 0.2, []string{"AML.T0053"}},
		rogueAgent:    {"mcp.rogue-agent", "an agent's calls are not those it usually makes", model.Medium, 0.4, []string{"AML.T0053"}},
		leakedSecret:  {"mcp.secret", "a credential crossed the gateway", model.Medium, 0.3, []string{"AML.T0057"}},
		smuggled:      {"mcp.malformed", "a message that two readers could take for two things", model.Low, 0.2, nil},
	}[k]
}

// raise makes a signal. The actor is the agent for what it did, else the server: both
// are names of the configuration, kept as accounts.
func (s *Session) raise(k int, subject, excerpt string) {
	a := alarmOf(k)
	who := "agent/" + s.agent.name
	switch k {
	case rugPull, poisonedTool, shadowTool, hostileResult:
		who = "mcp-server/" + s.server
	}
	actor, err := model.ParseEntity(model.TypeUser, who)
	if err != nil {
		return // names of agents and servers are checked when the configuration is read
	}
	now := time.Now().UTC()
	s.gate.alarms.Alarm(model.Signal{
		ID: model.NewULID(now), Time: now, Kind: a.kind, Class: model.ClassModelAbuse, Rule: a.kind, Title: a.title, Actor: actor, Address: s.address,
		Asset: model.AssetRef{Kind: "mcp-server", Name: s.server}, Sensor: s.gate.sensor, Confidence: a.confidence, Severity: a.severity, Techniques: a.techniques, Count: 1,
		Evidence: []model.Evidence{{Time: now, What: safe.Clean(subject, 60), Excerpt: safe.Clean(credential.Mask(excerpt), model.MaxExcerpt)}},
	})
}

func hashOf(raw []byte) string { return mcp.Hash(raw) }
