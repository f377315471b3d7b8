// Package mcp stands between an agent and its Model Context Protocol servers. It
// forwards what passes byte for byte and stops what the policy does not allow: calls,
// changed tool definitions, hostile results, requests of servers. What it could not
// look at does not pass unsaid: every message leaves a line in the trace.
package mcp

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"bartizan/internal/conf"
)

// Do is what happens to something.
type Do string

// What can be done. Not every one fits everywhere; Config.Check says which.
const (
	Pass   Do = "pass"   // forwarded, nothing said but in the trace
	Flag   Do = "flag"   // forwarded, with an alarm
	Mask   Do = "mask"   // forwarded without the secrets
	Hold   Do = "hold"   // a person is asked
	Refuse Do = "refuse" // not forwarded; the other side gets an error
)

// Config of the gateway.
type Config struct {
	// State is the folder for pins, baselines, held calls, trace and signals.
	State   string            `yaml:"state"`
	Servers map[string]Server `yaml:"servers"`
	Agents  map[string]Agent  `yaml:"agents"`
	Decoys  []Decoy           `yaml:"decoys"`
	Pins    string            `yaml:"pins"` // first-use, strict, off
	// Definitions is what happens to a tool definition with hidden text or orders.
	Definitions Do       `yaml:"definitions"`
	Shadowing   Do       `yaml:"shadowing"` // to a tool that another server has, or speaks of
	Results     Results  `yaml:"results"`
	Methods     Methods  `yaml:"methods"`
	Baseline    Baseline `yaml:"baseline"`
	Limits      Limits   `yaml:"limits"`
	Approval    Approval `yaml:"approval"`
	Trace       Trace    `yaml:"trace"`
	HTTP        HTTP     `yaml:"http"`
	Node        Node     `yaml:"node"`
	// Guard are options of the guard's inspectors, by name.
	Guard map[string]conf.Raw `yaml:"guard"`
	// Lists are files of hostile hosts, addresses and URLs, as gateway.lists; read again when they change.
	Lists []string `yaml:"lists"`
}

// Node is the node beside the gateway, which gets its alarms as signals, lets people
// decide about held calls, and says which agents are refused. Empty: there is none.
type Node struct {
	Data   string      `yaml:"data"`   // its data folder: the administration socket there, for its own user and root
	Server string      `yaml:"server"` // or the URL of its API
	Token  conf.Secret `yaml:"token"`  // of scope report, for server
	Pin    string      `yaml:"pin"`    // SHA-256 of its certificate; empty: the system's authorities
}

// IsSet tells whether there is one.
func (n Node) IsSet() bool { return n.Data != "" || n.Server != "" }

// Server is where a name leads: a command to start or an address.
type Server struct {
	Command []string          `yaml:"command"`
	Env     map[string]string `yaml:"env"`
	Dir     string            `yaml:"dir"`
	URL     string            `yaml:"url"`
	// Transport of a URL: http (streamable, the default), or sse (that of 2024-11-05).
	Transport string            `yaml:"transport"`
	Headers   map[string]string `yaml:"headers"` // added to requests: the server's own credentials stay with the gateway
}

// Agent is what one agent may do.
type Agent struct {
	Key   conf.Secret `yaml:"key"` // HTTP only: the header Bartizan-Agent-Key; empty: no key is asked for
	Tools []Tool      `yaml:"tools"`
	Else  Do          `yaml:"else"` // what happens to a call that no line is about: refuse, hold, pass
}

// Tool is one line of a policy; the first that fits decides.
type Tool struct {
	Tool   string `yaml:"tool"`   // name, with * and ?
	Server string `yaml:"server"` // name of the server, with * and ?; empty: any
	When   string `yaml:"when"`   // CEL over args, tool, server, agent; empty: always
	Do     Do     `yaml:"do"`     // pass (default), flag, hold, refuse
}

// Decoy is a tool that does not exist. Nobody with honest orders uses it.
type Decoy struct {
	Name        string `yaml:"name"`
	Server      string `yaml:"server"` // whose list it stands in; empty: every server's
	Description string `yaml:"description"`
	Schema      string `yaml:"schema"` // JSON schema of the arguments
	Answer      string `yaml:"answer"` // what a call gives back
}

// Results is what happens to what servers send.
type Results struct {
	Block    Do   `yaml:"block"`     // the guard would block it: refuse, flag
	Flag     Do   `yaml:"flag"`      // the guard would flag it: flag, pass, refuse
	Secrets  Do   `yaml:"secrets"`   // it has credentials: mask, refuse, flag, pass
	Media    Do   `yaml:"media"`     // images, audio and other bytes, which are not looked at: pass, refuse
	MaxBytes Size `yaml:"max_bytes"` // text of one message that is inspected; more is refused
}

// Methods is what happens to requests by their method.
type Methods struct {
	Unknown     Do `yaml:"unknown"`     // neither side's in the specification: refuse, pass
	Sampling    Do `yaml:"sampling"`    // a server makes the client's model work: refuse, pass
	Elicitation Do `yaml:"elicitation"` // a server asks the user: refuse, pass
	Roots       Do `yaml:"roots"`       // a server asks for the client's folders: refuse, pass
	Batches     Do `yaml:"batches"`     // arrays of messages: refuse, pass
}

// Baseline is what an agent usually does.
type Baseline struct {
	Learn     int     `yaml:"learn"`     // calls that are only watched; 0 turns it off
	Window    int     `yaml:"window"`    // calls that are judged together
	Threshold float64 `yaml:"threshold"` // bits per call above what is usual
	Arguments bool    `yaml:"arguments"` // the shape of arguments too
	Do        Do      `yaml:"do"`        // flag, hold, refuse
}

// Limits of what either side may make the gateway hold.
type Limits struct {
	Message  Size          `yaml:"message"`  // bytes of one message
	Pending  int           `yaml:"pending"`  // requests without an answer
	Sessions int           `yaml:"sessions"` // HTTP
	Idle     conf.Duration `yaml:"idle"`     // after which an HTTP session is forgotten
	// Processes are the servers that the gateway starts, or stays connected with, for one agent's clients over
	// HTTP; ProcessIdle is after which one that nobody uses is ended.
	Processes   int           `yaml:"processes"`
	ProcessIdle conf.Duration `yaml:"process_idle"`
	Answer      conf.Duration `yaml:"answer"`  // for the gateway's own questions to a server
	Recheck     conf.Duration `yaml:"recheck"` // after which a call makes the gateway read the server's tools again
}

// Approval is how long a person has.
type Approval struct {
	Timeout conf.Duration `yaml:"timeout"`
	Held    int           `yaml:"held"` // calls that may wait at a time
}

// Trace is the record of everything, with secrets masked.
type Trace struct {
	Arguments bool `yaml:"arguments"` // with the arguments of calls
	Rotate    Size `yaml:"rotate"`    // size from which a new file is begun; one old one is kept
}

// HTTP is how the gateway is reached.
type HTTP struct {
	Listen  string   `yaml:"listen"`  // IP address and port; --listen wins
	Origins []string `yaml:"origins"` // web pages that may use it; none: only loopback
	TLS     string   `yaml:"tls"`     // auto (on beyond the loopback), on, off (behind a proxy that has it)
	Cert    string   `yaml:"cert"`    // PEM file with the certificate and its chain; empty: made in the folder of the state
	Key     string   `yaml:"key"`     // PEM file with its key
	Names   []string `yaml:"names"`   // host names clients use, for the certificate that is made
}

// Size is in bytes.
type Size = conf.Bytes

// Default configuration: nothing is allowed, and a server may ask for nothing.
func Default() Config {
	return Config{
		Pins: "first-use", Definitions: Refuse, Shadowing: Refuse,
		Results:  Results{Block: Refuse, Flag: Flag, Secrets: Mask, Media: Pass, MaxBytes: 1 << 20},
		Methods:  Methods{Unknown: Refuse, Sampling: Refuse, Elicitation: Refuse, Roots: Refuse, Batches: Pass},
		Baseline: Baseline{Learn: 200, Window: 8, Threshold: 3, Arguments: true, Do: Flag},
		Limits:   Limits{Message: 16 << 20, Pending: 1000, Sessions: 1000, Idle: conf.Duration(time.Hour), Processes: 20, ProcessIdle: conf.Duration(10 * time.Minute), Answer: conf.Duration(30 * time.Second), Recheck: conf.Duration(time.Minute)},
		Approval: Approval{Timeout: conf.Duration(2 * time.Minute), Held: 100},
		Trace:    Trace{Arguments: true, Rotate: 64 << 20},
	}
}

// Check says everything that is wrong with the values; what is compiled is checked
// where it is compiled.
func (c *Config) Check() error {
	var all []error
	bad := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	one := func(key string, v Do, allowed ...Do) {
		if !slices.Contains(allowed, v) {
			bad("%s: %q is none of %v", key, string(v), allowed)
		}
	}
	if c.State == "" {
		bad("state: name a folder; pins and held calls live there")
	}
	if !slices.Contains([]string{"first-use", "strict", "off"}, c.Pins) {
		bad("pins: %q is none of first-use, strict, off", c.Pins)
	}
	one("definitions", c.Definitions, Refuse, Flag)
	one("shadowing", c.Shadowing, Refuse, Flag)
	one("results.block", c.Results.Block, Refuse, Flag)
	one("results.flag", c.Results.Flag, Flag, Pass, Refuse)
	one("results.secrets", c.Results.Secrets, Mask, Refuse, Flag, Pass)
	one("results.media", c.Results.Media, Pass, Refuse)
	for key, v := range map[string]Do{"unknown": c.Methods.Unknown, "sampling": c.Methods.Sampling, "elicitation": c.Methods.Elicitation, "roots": c.Methods.Roots, "batches": c.Methods.Batches} {
		one("methods."+key, v, Refuse, Pass)
	}
	one("baseline.do", c.Baseline.Do, Flag, Hold, Refuse)
	if b := c.Baseline; b.Learn < 0 || b.Learn > 0 && b.Learn < 20 || b.Window < 1 || b.Window > 1000 || b.Threshold <= 0 {
		bad("baseline: learn 0 or at least 20, window 1 to 1000, threshold above 0")
	}
	if l := c.Limits; l.Message < 1024 || l.Message > 256<<20 || l.Pending < 1 || l.Sessions < 1 || l.Idle <= 0 || l.Answer <= 0 || l.Processes < 1 || l.ProcessIdle <= 0 {
		bad("limits: message 1KiB to 256MiB, the others above 0")
	}
	if c.Results.MaxBytes < 1024 || c.Results.MaxBytes > 4<<20 {
		bad("results.max_bytes: 1KiB to 4MiB")
	}
	if c.Approval.Timeout <= 0 || c.Approval.Held < 1 || c.Trace.Rotate < 1<<16 {
		bad("approval.timeout, approval.held above 0; trace.rotate at least 64KiB")
	}
	if n := c.Node; n.Data != "" && n.Server != "" || n.Server != "" != n.Token.IsSet() {
		bad("node: either data, or server with a token of it (bartizan token create NAME --scope report)")
	}
	for name, s := range c.Servers {
		if !plainName(name) {
			bad("servers: the name %q: letters, digits, - and _ only", name)
		}
		if (len(s.Command) > 0) == (s.URL != "") {
			bad("servers.%s: either command or url", name)
		}
		if !slices.Contains([]string{"", "http", SSE}, s.Transport) || s.Transport != "" && s.URL == "" {
			bad("servers.%s.transport: %.40q is none of http, sse, for a url", name, s.Transport)
		}
	}
	return errors.Join(append(all, c.checkPolicies()...)...)
}

func (c *Config) checkPolicies() (all []error) {
	bad := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	for name, a := range c.Agents {
		if !plainName(name) {
			bad("agents: the name %q: letters, digits, - and _ only", name)
		}
		if a.Else != "" && !slices.Contains([]Do{Refuse, Hold, Pass}, a.Else) {
			bad("agents.%s.else: %q is none of refuse, hold, pass", name, string(a.Else))
		}
		for i, t := range a.Tools {
			if _, err := path.Match(t.Tool, ""); err != nil || t.Tool == "" {
				bad("agents.%s.tools[%d]: the pattern %q", name, i, t.Tool)
			}
			if _, err := path.Match(t.Server, ""); err != nil {
				bad("agents.%s.tools[%d]: the pattern %q", name, i, t.Server)
			}
			if t.Do != "" && !slices.Contains([]Do{Pass, Flag, Hold, Refuse}, t.Do) {
				bad("agents.%s.tools[%d].do: %q is none of pass, flag, hold, refuse", name, i, string(t.Do))
			}
		}
	}
	for i, d := range c.Decoys {
		if d.Name == "" || d.Description == "" {
			bad("decoys[%d]: a name and a description, or no agent would fall for it", i)
		}
	}
	return all
}

func plainName(s string) bool {
	return s != "" && len(s) <= 60 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}
