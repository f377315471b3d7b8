// Package observe holds what sensors see, as typed values: one struct per kind
// of event, each carrying who, when, where and through which sensor.
//
// Observations never leave the node one by one; detectors turn them into
// signals where they are made. Everything in here may have been written by an
// attacker, or by a decoy that an attacker has taken over: Check bounds every
// field and is called at each trust boundary.
package observe

import (
	"fmt"
	"net/netip"
	"time"
	"unicode/utf8"

	"bartizan/internal/model"
)

// Kind says which of an Observation's bodies is set.
type Kind string

// The kinds of observation a decoy makes.
const (
	KindInteraction Kind = "interaction" // a connection: opened, or ended
	KindAuth        Kind = "auth"        // a credential was offered
	KindCommand     Kind = "command"     // a command line was executed in an emulated shell
	KindHTTP        Kind = "http"        // an HTTP request arrived
	KindFile        Kind = "file"        // a file was uploaded or written
	KindFetch       Kind = "fetch"       // the visitor told the decoy to download something
	KindForward     Kind = "forward"     // the visitor asked for a relay to somewhere
	KindCall        Kind = "call"        // an operation of a service protocol (Redis command, Docker call)
	KindExchange    Kind = "exchange"    // a request to a language model
)

// Observation is one event with exactly one body, the one its Kind names.
type Observation struct {
	Kind    Kind           `json:"kind"`
	Time    time.Time      `json:"time"`
	Session model.ULID     `json:"session"`
	Sensor  string         `json:"sensor"`  // set by the node that reads it, never by the decoy
	Decoy   string         `json:"decoy"`   // name of the instance in the configuration
	Service string         `json:"service"` // kind of service it plays: "ssh", "http", …
	Local   netip.AddrPort `json:"local"`
	Remote  netip.AddrPort `json:"remote"`
	// Spoofable is true when nothing proves that Remote exists (no handshake).
	Spoofable bool `json:"spoofable,omitempty"`

	Interaction *Interaction `json:"interaction,omitempty"`
	Auth        *AuthAttempt `json:"auth,omitempty"`
	Command     *Command     `json:"command,omitempty"`
	HTTP        *HTTPRequest `json:"http,omitempty"`
	File        *FileEvent   `json:"file,omitempty"`
	Fetch       *Fetch       `json:"fetch,omitempty"`
	Forward     *Forward     `json:"forward,omitempty"`
	Call        *APICall     `json:"call,omitempty"`
	Exchange    *Exchange    `json:"exchange,omitempty"`

	// Evidence carries raw bytes from the sensor to the store; afterwards only
	// their hashes remain (Blob.Data is nil).
	Evidence []Blob `json:"evidence,omitempty"`
}

// Blob is a piece of raw evidence.
type Blob struct {
	What   string `json:"what"` // "transcript", "first-bytes", "request", "file", "payload"
	SHA256 string `json:"sha256,omitempty"`
	Size   int    `json:"size"`
	Data   []byte `json:"data,omitempty"`
}

// Interaction sums up a connection. A short one is reported once, at its end; a
// long one also when it is a moment old (Ended false).
type Interaction struct {
	Ended      bool         `json:"ended,omitempty"`
	Duration   float64      `json:"duration,omitempty"` // seconds
	BytesIn    int64        `json:"bytes_in,omitempty"`
	BytesOut   int64        `json:"bytes_out,omitempty"`
	First      []byte       `json:"first,omitempty"`    // first bytes the visitor sent, capped
	Protocol   string       `json:"protocol,omitempty"` // guess from the first bytes
	Client     string       `json:"client,omitempty"`   // what the client calls itself (SSH version, …)
	Prints     Fingerprints `json:"prints,omitzero"`
	Persona    string       `json:"persona,omitempty"`
	Shed       int          `json:"shed,omitempty"` // connections refused for load since the last report
	CloseError string       `json:"close_error,omitempty"`
}

// Fingerprints of the client's stack; each is empty when not known.
type Fingerprints struct {
	JA3   string `json:"ja3,omitempty"`
	JA4   string `json:"ja4,omitempty"`
	HASSH string `json:"hassh,omitempty"`
	SNI   string `json:"sni,omitempty"`
	ALPN  string `json:"alpn,omitempty"`
}

// AuthAttempt is one offered credential.
type AuthAttempt struct {
	Method   string `json:"method"` // password, publickey, keyboard-interactive, basic, form, token, requirepass
	User     string `json:"user"`
	Password string `json:"password,omitempty"`
	Key      string `json:"key,omitempty"` // fingerprint of a public key (SHA256:…) or identifier of an access key
	Accepted bool   `json:"accepted"`
}

// Command is one command line of an emulated shell.
type Command struct {
	Line string `json:"line"`
	User string `json:"user,omitempty"`
}

// HTTPRequest is one request as it arrived. Headers keep their order and
// spelling, because both tell clients apart.
type HTTPRequest struct {
	Method  string  `json:"method"`
	Target  string  `json:"target"` // request target as sent, undecoded
	Proto   string  `json:"proto"`
	Host    string  `json:"host,omitempty"`
	Headers []Field `json:"headers,omitempty"`
	Body    []byte  `json:"body,omitempty"` // capped; the whole is in Evidence
	BodyLen int64   `json:"body_len,omitempty"`
	Status  int     `json:"status"`         // what we answered
	Lure    string  `json:"lure,omitempty"` // which lure answered, ours
	TLS     bool    `json:"tls,omitempty"`
}

// Header returns the first value of a header, matched without case.
func (h *HTTPRequest) Header(name string) string {
	for i := range h.Headers {
		if equalFold(h.Headers[i].Name, name) {
			return h.Headers[i].Value
		}
	}
	return ""
}

// Field is a name with a value, for what no type knows.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// FileEvent is a file a visitor brought.
type FileEvent struct {
	Path   string `json:"path"`
	How    string `json:"how"` // scp, sftp, shell, http-upload, redis, docker
	SHA256 string `json:"sha256,omitempty"`
	SHA1   string `json:"sha1,omitempty"` // only beside SHA256 and with MD5, to be found in lists that know files by it
	MD5    string `json:"md5,omitempty"`  // the same
	Size   int64  `json:"size"`
	Type   string `json:"type,omitempty"` // by content: "elf", "script", "zip", "pe", "text", …
	Capped bool   `json:"capped,omitempty"`
}

// Fetch is a download the visitor wanted; nothing is ever fetched.
type Fetch struct {
	URL  string `json:"url"`
	Tool string `json:"tool"` // wget, curl, tftp, …
}

// Forward is a wish to use the host as a relay.
type Forward struct {
	Kind   string `json:"kind"`   // direct-tcpip, tcpip-forward, http-connect, http-absolute, socks4, socks5
	Target string `json:"target"` // host:port asked for
}

// APICall is one operation of a service protocol.
type APICall struct {
	Operation string   `json:"operation"` // canonical name: "CONFIG SET", "POST /containers/create"
	Args      []string `json:"args,omitempty"`
	Detail    string   `json:"detail,omitempty"` // body or remainder, capped
	Failed    bool     `json:"failed,omitempty"`
}

// Exchange is one request to a language model and the start of our answer.
type Exchange struct {
	API     string `json:"api"`   // ollama, openai, anthropic, …
	Route   string `json:"route"` // path
	Model   string `json:"model,omitempty"`
	System  string `json:"system,omitempty"`
	Prompt  string `json:"prompt,omitempty"` // newest user text, capped
	Turns   int    `json:"turns,omitempty"`
	Stream  bool   `json:"stream,omitempty"`
	Key     string `json:"key,omitempty"` // identifier of the API key offered, never more than its first 12 and last 4 characters
	Answer  string `json:"answer,omitempty"`
	Options string `json:"options,omitempty"` // max tokens and the like, as text
}

// KeyID identifies a credential in reports without giving it away: at most its
// first 12 and last 4 characters around "...", and of a short one its beginning,
// so that never more than a third is shown.
func KeyID(s string) string {
	const head, tail = 12, 4
	n := utf8.RuneCountInString(s)
	show := min(n/3, head+tail)
	if show == head+tail {
		r := []rune(s)
		return string(r[:head]) + "..." + string(r[n-tail:])
	}
	if n == 0 {
		return ""
	}
	return string([]rune(s)[:show]) + "..."
}

// Batch is what travels from a sensor to the node that reads it.
type Batch struct {
	Observations []Observation `json:"observations"`
}

// Caps on an observation; Check refuses more.
const (
	MaxBatch   = 1024
	MaxText    = 16 << 10 // longest text field
	MaxBody    = 64 << 10 // HTTPRequest.Body
	MaxFields  = 128
	MaxBlobs   = 4
	MaxBlobLen = 16 << 20
	MaxSkew    = 10 * time.Minute // a sensor's clock may be off by this much
)

// Check says what is wrong with an observation that came over a trust boundary
// at time now.
func (o *Observation) Check(now time.Time) error {
	if o.Session.IsZero() || !o.Remote.IsValid() || o.Decoy == "" {
		return fmt.Errorf("check observation: session, remote or decoy missing")
	}
	if d := o.Time.Sub(now); d > MaxSkew || d < -24*time.Hour {
		return fmt.Errorf("check observation: time is %v from the reader's clock", d)
	}
	if o.bodies() != 1 || !o.has(o.Kind) {
		return fmt.Errorf("check observation: kind %.32q does not match its body", string(o.Kind))
	}
	if len(o.Evidence) > MaxBlobs {
		return fmt.Errorf("check observation: %d blobs, at most %d", len(o.Evidence), MaxBlobs)
	}
	for i := range o.Evidence {
		if len(o.Evidence[i].Data) > MaxBlobLen || len(o.Evidence[i].What) > 32 || len(o.Evidence[i].SHA256) > 64 {
			return fmt.Errorf("check observation: blob %d too large", i)
		}
	}
	return o.checkText()
}

func (o *Observation) has(k Kind) bool {
	switch k {
	case KindInteraction:
		return o.Interaction != nil
	case KindAuth:
		return o.Auth != nil
	case KindCommand:
		return o.Command != nil
	case KindHTTP:
		return o.HTTP != nil
	case KindFile:
		return o.File != nil
	case KindFetch:
		return o.Fetch != nil
	case KindForward:
		return o.Forward != nil
	case KindCall:
		return o.Call != nil
	case KindExchange:
		return o.Exchange != nil
	}
	return false
}

func (o *Observation) bodies() (n int) {
	for _, set := range [...]bool{o.Interaction != nil, o.Auth != nil, o.Command != nil, o.HTTP != nil,
		o.File != nil, o.Fetch != nil, o.Forward != nil, o.Call != nil, o.Exchange != nil} {
		if set {
			n++
		}
	}
	return n
}

func (o *Observation) checkText() error {
	texts := [...]string{o.Decoy, o.Service, o.Sensor}
	for _, s := range texts {
		if len(s) > 128 {
			return fmt.Errorf("check observation: name of %d bytes", len(s))
		}
	}
	var long []string
	add := func(s ...string) { long = append(long, s...) }
	switch {
	case o.Interaction != nil:
		i := o.Interaction
		if len(i.First) > MaxText {
			return fmt.Errorf("check observation: first bytes too long")
		}
		add(i.Protocol, i.Client, i.Persona, i.CloseError, i.Prints.JA3, i.Prints.JA4, i.Prints.HASSH, i.Prints.SNI, i.Prints.ALPN)
	case o.Auth != nil:
		add(o.Auth.Method, o.Auth.User, o.Auth.Password, o.Auth.Key)
	case o.Command != nil:
		add(o.Command.Line, o.Command.User)
	case o.HTTP != nil:
		h := o.HTTP
		if len(h.Headers) > MaxFields || len(h.Body) > MaxBody {
			return fmt.Errorf("check observation: request too large")
		}
		add(h.Method, h.Target, h.Proto, h.Host, h.Lure)
		for _, f := range h.Headers {
			add(f.Name, f.Value)
		}
	case o.File != nil:
		add(o.File.Path, o.File.How, o.File.SHA256, o.File.SHA1, o.File.MD5, o.File.Type)
	case o.Fetch != nil:
		add(o.Fetch.URL, o.Fetch.Tool)
	case o.Forward != nil:
		add(o.Forward.Kind, o.Forward.Target)
	case o.Call != nil:
		if len(o.Call.Args) > MaxFields {
			return fmt.Errorf("check observation: %d arguments", len(o.Call.Args))
		}
		add(o.Call.Operation, o.Call.Detail)
		add(o.Call.Args...)
	case o.Exchange != nil:
		e := o.Exchange
		add(e.API, e.Route, e.Model, e.System, e.Prompt, e.Key, e.Answer, e.Options)
	}
	for _, s := range long {
		if len(s) > MaxText {
			return fmt.Errorf("check observation: text of %d bytes, at most %d", len(s), MaxText)
		}
	}
	return nil
}

func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x >= 'A' && x <= 'Z' {
			x |= 0x20
		}
		if y >= 'A' && y <= 'Z' {
			y |= 0x20
		}
		if x != y {
			return false
		}
	}
	return true
}
