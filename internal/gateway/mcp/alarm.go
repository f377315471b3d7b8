package mcp

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"bartizan/internal/credential"
	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// Alarms takes what the gateway concluded. It must not block.
type Alarms interface {
	Alarm(a Alarm)
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

func alarmOf(k int) alarmKind { return alarmKinds()[k] }

// alarmKinds with techniques of MITRE ATLAS 2026.09.
func alarmKinds() []alarmKind {
	return []alarmKind{
		decoyUsed:     {"mcp.decoy-tool", "a decoy tool was used", model.Critical, 0.99, []string{"AML.T0053"}},
		rugPull:       {"mcp.rug-pull", "a tool's definition changed after it was accepted", model.High, 0.8, []string{"AML.T0110.000", "AML.T0010"}},
		poisonedTool:  {"mcp.poisoned-definition", "a tool's definition has hidden text or orders", model.Critical, 0.9, []string{"AML.T0110.000", "AML.T0051.001"}},
		shadowTool:    {"mcp.shadowing", "a server offers or speaks of a tool that is another's", model.High, 0.6, []string{"AML.T0110.000", "AML.T0074"}},
		hostileResult: {"mcp.hostile-result", "a server's answer holds what the guard blocks", model.High, 0.7, []string{"AML.T0110.002", "AML.T0051.001"}},
		refusedCall:   {"mcp.refused-call", "an agent asked for what its policy does not allow", model.Low, 0.2, []string{"AML.T0053"}},
		rogueAgent:    {"mcp.rogue-agent", "an agent's calls are not those it usually makes", model.Medium, 0.4, []string{"AML.T0053"}},
		leakedSecret:  {"mcp.secret", "a credential crossed the gateway", model.Medium, 0.3, []string{"AML.T0057"}},
		smuggled:      {"mcp.malformed", "a message that two readers could take for two things", model.Low, 0.2, nil},
	}
}

// ofServer are the kinds that say something about a server; the others are about an agent.
func ofServer(kind string) bool {
	switch kind {
	case "mcp.rug-pull", "mcp.poisoned-definition", "mcp.shadowing", "mcp.hostile-result":
		return true
	}
	return false
}

// Alarm is what happened, without what it means: the form in which a gateway tells a
// node, which trusts it with facts about its own agents and servers and nothing else.
type Alarm struct {
	ID      string    `json:"id" minLength:"26" maxLength:"26" doc:"ULID; the same one again is the same alarm"`
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind" maxLength:"64" doc:"such as mcp.rug-pull"`
	Agent   string    `json:"agent" maxLength:"60"`
	Server  string    `json:"server" maxLength:"60"`
	Address string    `json:"address,omitempty" maxLength:"64" doc:"of the client, over HTTP"`
	Subject string    `json:"subject,omitempty" maxLength:"400" doc:"what it is about, such as a tool"`
	Excerpt string    `json:"excerpt,omitempty" maxLength:"2000" doc:"secrets masked"`
}

// AgentPrefix and ServerPrefix begin the names of agents and servers where they are
// accounts among others: user:agent/NAME.
const (
	AgentPrefix  = "agent/"
	ServerPrefix = "mcp-server/"
)

// oldest is how long an alarm may have waited for its node.
const oldest = 7 * 24 * time.Hour

// Signal says what an alarm means. The actor is the agent for what it did, else the
// server. The error is about a word that no gateway of ours says.
func (a Alarm) Signal(now time.Time) (model.Signal, error) {
	var k *alarmKind
	for i, x := range alarmKinds() {
		if x.kind == a.Kind {
			k = &alarmKinds()[i]
		}
	}
	switch {
	case k == nil:
		return model.Signal{}, fmt.Errorf("no kind of alarm is called %.64q", a.Kind)
	case !plainName(a.Agent) || !plainName(a.Server):
		return model.Signal{}, errors.New("agent and server are names of letters, digits, - and _")
	case a.Time.Before(now.Add(-oldest)) || a.Time.After(now.Add(5*time.Minute)):
		return model.Signal{}, fmt.Errorf("time: more than %s ago, or in the future", oldest)
	}
	id, err := model.ParseULID(a.ID)
	if err != nil {
		return model.Signal{}, fmt.Errorf("id: %w", err)
	}
	who := AgentPrefix + a.Agent
	if ofServer(a.Kind) {
		who = ServerPrefix + a.Server
	}
	actor, err := model.ParseEntity(model.TypeUser, who)
	if err != nil {
		return model.Signal{}, err
	}
	s := model.Signal{ID: id, Time: a.Time.UTC(), Kind: k.kind, Class: model.ClassModelAbuse, Rule: k.kind, Title: k.title, Actor: actor,
		Asset: model.AssetRef{Kind: "mcp-server", Name: a.Server}, Sensor: "mcp-gateway", Confidence: k.confidence, Severity: k.severity, Techniques: k.techniques, Count: 1,
		Evidence: []model.Evidence{{Time: a.Time.UTC(), What: safe.Clean(strings.TrimSpace(a.Subject), 60), Excerpt: safe.Clean(credential.Mask(a.Excerpt), model.MaxExcerpt)}}}
	if addr, err := netip.ParseAddr(a.Address); err == nil {
		s.Address = addr.Unmap().String()
		if !addr.Unmap().IsLoopback() {
			s.Related = append(s.Related, model.AddrEntity(addr))
		}
	}
	return s, nil
}

// raise tells of something that happened.
func (s *Session) raise(k int, subject, excerpt string) {
	now := time.Now()
	s.gate.alarms.Alarm(Alarm{ID: model.NewULID(now).String(), Time: now.UTC(), Kind: alarmOf(k).kind, Agent: s.agent.name, Server: s.server, Address: s.address,
		Subject: safe.Clean(subject, 100), Excerpt: safe.Clean(credential.Mask(excerpt), model.MaxExcerpt)})
}
