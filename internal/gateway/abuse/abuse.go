// Package abuse concludes from the exchanges of a gateway that somebody uses models
// in a way they are not meant to be used: keys that turn up in new places, models that are
// tried out one after the other (LLMjacking), answers and inputs that are made to cost,
// models that are copied by asking, and prompts that come from many sources at once.
//
// It judges behaviour over many exchanges, never one text, keeps no text, and decides
// nothing: what it concludes are signals. All of its memory is bounded, whoever asks.
package abuse

import (
	"fmt"
	"hash/maphash"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"bartizan/internal/conf"
)

// Config of the watch. docs/guard.md says why the thresholds are what they are.
type Config struct {
	Learn       conf.Duration `yaml:"learn"`       // how long a key is only learned
	Requests    int           `yaml:"requests"`    // and for how many requests
	Surprise    float64       `yaml:"surprise"`    // powers of ten by which a key's new place is unlikely
	Refused     int           `yaml:"refused"`     // models that are refused to one client within an hour
	LongAnswers int           `yaml:"long"`        // answers that reach their limit, within ten minutes
	Concurrency int           `yaml:"concurrency"` // exchanges of one key at once
	Sponges     int           `yaml:"sponges"`     // inputs with few bytes for each token, within ten minutes
	Copies      int           `yaml:"copies"`      // different prompts of one key within a day
	Attackers   int           `yaml:"attackers"`   // sources of one prompt that the guard has stopped or flagged
	Sources     int           `yaml:"sources"`     // sources of one prompt that is new, within an hour
}

// Default configuration.
func Default() Config {
	return Config{Learn: conf.Duration(3 * 24 * time.Hour), Requests: 200, Surprise: 3, Refused: 5, LongAnswers: 20, Concurrency: 32, Sponges: 10, Copies: 1000, Attackers: 3, Sources: 20}
}

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	for _, n := range []struct {
		name string
		v    int
	}{{"requests", c.Requests}, {"refused", c.Refused}, {"long", c.LongAnswers}, {"concurrency", c.Concurrency}, {"sponges", c.Sponges},
		{"copies", c.Copies}, {"attackers", c.Attackers}, {"sources", c.Sources}} {
		if n.v < 2 {
			return fmt.Errorf("%s: %d is no threshold: 2 or more", n.name, n.v)
		}
	}
	if !(c.Surprise >= 1) || math.IsInf(c.Surprise, 0) {
		return fmt.Errorf("surprise: %v: 1 or more; 3 is one in a thousand", c.Surprise)
	}
	return nil
}

// Event is what is known of an exchange when it has ended. It has texts only to
// look at: none is kept.
type Event struct {
	Time      time.Time
	Key       string     // id; "" without one
	Peer      netip.Addr // of the client
	Agent     string     // User-Agent
	Model     string
	Listing   bool   // asks which models there are
	Refused   bool   // the model is not allowed here, or the upstream refused the request
	Answered  bool   // the upstream answered
	Found     bool   // the guard stopped or flagged what was asked
	Limit     int64  // of the answer in tokens; 0: none; below 0: as asked
	Input     int64  // tokens as the provider counted; below 0: unknown
	Output    int64  // likewise
	Bytes     int    // of the texts of the request
	Prompt    string // the last thing a person said
	Turns     int    // things a person or the model said
	Logprobs  bool   // asks for probabilities of tokens
	Exchanges int    // of the key that were under way when it began, itself included
}

// Alarm is one conclusion.
type Alarm struct {
	Kind Kind
	Note string // in our words, with the numbers
}

// Kind of an alarm.
type Kind string

// Kinds.
const (
	NewPlace   Kind = "key-new-place"
	Oracle     Kind = "oracle"
	Probing    Kind = "model-probing"
	Jacking    Kind = "llmjacking"
	Exhaustion Kind = "exhaustion"
	Extraction Kind = "model-extraction"
	Attackers  Kind = "shared-attack"
	Shared     Kind = "shared-prompt"
)

// Bounds of the memory.
const (
	maxKeys   = 10_000 // with habits; about 2 KiB each
	maxActors = 20_000 // of one window
)

// Watch looks at exchanges. It may be used concurrently.
type Watch struct {
	conf Config
	path string
	seed maphash.Seed

	mu      sync.Mutex
	changed bool
	habits  map[string]*habit
	actors  map[string]*actor
	old     map[string]*actor // of the generation before
	shared  shared
	open    map[string]int // exchanges under way by key
}

// Begin counts an exchange of a key that begins, and says how many are under way.
func (w *Watch) Begin(key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open[key] == 0 && len(w.open) >= maxActors {
		return 1
	}
	w.open[key]++
	return w.open[key]
}

// Observe ends an exchange and returns what is concluded from it and those before.
func (w *Watch) Observe(e *Event) (out []Alarm) {
	tell := func(k Kind, format string, args ...any) { out = append(out, Alarm{k, fmt.Sprintf(format, args...)}) }
	words := w.words(e.Prompt)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.open[e.Key]; n > 1 {
		w.open[e.Key] = n - 1
	} else {
		delete(w.open, e.Key)
	}
	a := w.actor(e)
	a.probe(e, maphash.String(w.seed, e.Model), &w.conf, tell)
	a.exhaust(e, &w.conf, tell)
	if e.Key != "" {
		if h := w.habit(e); h != nil {
			h.place(e, &w.conf, tell)
			a.extract(e, h, words, &w.conf, tell)
			w.changed = true
		}
	}
	w.shared.see(e, words, &w.conf, tell)
	return out
}

// who is whom an event is counted for.
func who(e *Event) string {
	if e.Key != "" {
		return "k" + e.Key
	}
	return "a" + prefix(e.Peer)
}

// prefix is the network of an address as far as it can be told offline: /24 or /48.
func prefix(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// actor is what one client did in the windows that are counted.
type actor struct {
	probing
	exhausting
	extracting
}

// actor finds or makes one. Two generations are kept; who is in neither was quiet.
func (w *Watch) actor(e *Event) *actor {
	id := who(e)
	a := w.actors[id]
	if a == nil {
		if len(w.actors) >= maxActors/2 {
			w.old, w.actors = w.actors, map[string]*actor{}
		}
		if a = w.old[id]; a == nil {
			a = &actor{}
		}
		w.actors[id] = a
	}
	return a
}

// text is a prompt as it is compared: never kept.
type text struct {
	words []uint64 // hashes
	near  []uint64 // without numbers
	sum   uint64   // of all of them
	slots []string // the words
}

const (
	maxWords  = 256
	maxPrompt = 4 << 10
)

// set is a small set of hashes.
type set []uint64

func (s *set) add(v uint64, most int) {
	if len(*s) < most && !slices.Contains(*s, v) {
		*s = append(*s, v)
	}
}

// window tells whether a time is in the window that began at since, and moves it.
func window(since *time.Time, now time.Time, length time.Duration) (same bool) {
	if d := now.Sub(*since); d >= 0 && d < length {
		return true
	}
	*since = now
	return false
}
