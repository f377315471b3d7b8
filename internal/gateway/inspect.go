package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"

	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
	"bartizan/internal/guard/wire"
)

// Action is what is done about a text.
type Action string

// Actions, the mildest first.
const (
	Allow    Action = "allow"
	Flag     Action = "flag"     // forwarded, written down, signalled
	Throttle Action = "throttle" // forwarded a few times a minute for each client
	Block    Action = "block"
)

func (a Action) rank() int { return slices.Index([]Action{Allow, Flag, Throttle, Block}, a) }

// side is one direction of a route.
type side struct {
	name    string
	engine  *guard.Engine
	off     []string // inspectors that are not asked
	actions map[guard.Category]Action
}

func newSide(name string, d Direction, all []guard.Named, like decode.Likeness) *side {
	s := &side{name: name, actions: map[guard.Category]Action{}}
	var on []guard.Named
	for _, in := range all {
		if slices.Contains(d.Inspectors, in.Name) {
			on = append(on, in)
		} else {
			s.off = append(s.off, in.Name)
		}
	}
	for c, a := range d.Actions {
		s.actions[guard.Category(c)] = Action(a)
	}
	s.engine = guard.NewEngine(on, like, true)
	return s
}

// Judged is what was done with one text.
type Judged struct {
	Action     Action            `json:"action"`
	Category   guard.Category    `json:"category,omitempty"`
	Score      float64           `json:"score,omitempty"`
	Notes      []string          `json:"notes,omitempty"` // what was found, in our words
	Readings   []string          `json:"readings,omitempty"`
	Inspectors map[string]string `json:"inspectors"` // name → clean, found, skipped, off, or failed with the reason
	Refused    string            `json:"refused,omitempty"`

	worst guard.Finding
}

// judge looks at a text and applies the direction's policy.
func (s *side) judge(text string, role guard.Role) (j *Judged, lasting bool) {
	j = &Judged{Action: Allow, Inspectors: map[string]string{}}
	for _, name := range s.off {
		j.Inspectors[name] = "off"
	}
	v, err := s.engine.Inspect(text, role)
	if err != nil { // too long: nothing was looked at
		j.Action, j.Category, j.Refused = Block, guard.Shape, err.Error()
		return j, true
	}
	lasting = true
	j.Readings, j.Score, j.Category = v.Readings, v.Score, v.Category
	if v.Action == guard.Flag && len(v.Reports) > 0 { // also when an inspector failed
		j.Action = s.action(v.Category, v.Score)
	}
	for _, r := range v.Reports {
		said := string(r.State)
		if r.State == guard.Failed {
			said, lasting = "failed: "+r.Why, false
		}
		j.Inspectors[r.Name] = said
		for _, f := range r.Findings {
			if f.Score < s.least(f.Category) {
				continue
			}
			if a := s.action(f.Category, f.Score); a.rank() > j.Action.rank() || j.worst.Note == "" {
				j.Action, j.worst = maxAction(a, j.Action), f
			}
			if note := r.Name + ": " + f.Note; len(j.Notes) < maxNotes && !slices.Contains(j.Notes, note) {
				j.Notes = append(j.Notes, note)
			}
		}
	}
	if j.worst.Note != "" {
		j.Category = j.worst.Category
	}
	return j, lasting
}

const maxNotes = 8

func (s *side) action(c guard.Category, score float64) Action {
	if a, ok := s.actions[c]; ok {
		return a
	}
	if score >= guard.BlockScore {
		return Block
	}
	return Flag
}

// least is the score from which findings of a category matter. Personal data is
// reported below it; whoever chooses an action for it means all of it.
func (s *side) least(c guard.Category) float64 {
	if _, chosen := s.actions[c]; chosen && c == guard.PII {
		return 0
	}
	return guard.FlagScore
}

func maxAction(a, b Action) Action {
	if a.rank() > b.rank() {
		return a
	}
	return b
}

// direction of a part, and the role its author has. answer: of the model's answer
// and not of the conversation that is sent to it.
func direction(k wire.Kind, answer bool) (string, guard.Role) {
	switch k {
	case wire.System, wire.ToolSpec:
		return "system", guard.User
	case wire.ToolResult, wire.Document:
		return "tool_result", guard.Document
	case wire.ToolCall:
		return "tool_call", guard.Unknown
	case wire.Prompt, wire.Answer, wire.Reasoning, wire.Media:
	}
	if answer {
		return "response", guard.User
	}
	return "request", guard.User
}

// verdicts remembers what was found in texts that come again: system prompts,
// descriptions of tools, the conversation so far. A verdict is a function of the
// text, its author and the direction, all of which are in the key. It holds at
// most two generations; what was asked for in neither is forgotten.
type verdicts struct {
	mu       sync.Mutex
	now, old map[verdictKey]*Judged
}

type verdictKey struct {
	side *side
	role guard.Role
	sum  [sha256.Size]byte
}

const maxVerdicts = 4096 // in a generation, about 1 KiB each

func newVerdicts() *verdicts { return &verdicts{now: map[verdictKey]*Judged{}} }

func (v *verdicts) get(k verdictKey) *Judged {
	v.mu.Lock()
	defer v.mu.Unlock()
	if j, ok := v.now[k]; ok {
		return j
	}
	if j, ok := v.old[k]; ok {
		v.put(k, j)
		return j
	}
	return nil
}

func (v *verdicts) put(k verdictKey, j *Judged) {
	if len(v.now) >= maxVerdicts {
		v.old, v.now = v.now, map[verdictKey]*Judged{}
	}
	v.now[k] = j
}

// Inspection is the audit's word about one text: never the text itself.
type Inspection struct {
	Direction string    `json:"direction"`
	Kind      wire.Kind `json:"kind"`
	Where     string    `json:"where"`
	Name      string    `json:"name,omitempty"` // of the tool
	Size      int       `json:"size"`
	SHA256    string    `json:"sha256"`
	Cached    bool      `json:"cached,omitempty"` // the same text was looked at before
	*Judged
}

// look inspects one text of an exchange and notes it in the record.
func (x *exchange) look(p wire.Part, answer bool) *Judged {
	name, role := direction(p.Kind, answer)
	s := x.route.sides[name]
	k := verdictKey{side: s, role: role, sum: sha256.Sum256([]byte(p.Text))}
	j := x.route.verdicts.get(k)
	cached := j != nil
	if !cached {
		var lasting bool
		if j, lasting = s.judge(p.Text, role); lasting {
			x.route.verdicts.mu.Lock()
			x.route.verdicts.put(k, j)
			x.route.verdicts.mu.Unlock()
		}
	}
	if len(x.rec.Inspections) < maxInspections || j.Action != Allow {
		x.rec.Inspections = append(x.rec.Inspections, Inspection{Direction: name, Kind: p.Kind, Where: clean(p.Where, 200), Name: clean(p.Name, 100), Size: len(p.Text),
			SHA256: hex.EncodeToString(k.sum[:]), Cached: cached, Judged: j})
	} else {
		x.rec.More++
	}
	if j.Action.rank() > x.rec.Action.rank() {
		x.rec.Action, x.rec.Category, x.rec.Reason = j.Action, j.Category, strings.Join(append(slices.Clone(j.Notes), j.Refused), "; ")
		x.rec.Reason = strings.TrimSuffix(x.rec.Reason, "; ")
	}
	if j.Action != Allow {
		x.found = append(x.found, found{j, name, p.Text})
	}
	return j
}

const maxInspections = 200 // in one audit line; all are made

// lookAll inspects every part of a message, then parts of one kind together: an
// order or a secret may be spread over several.
func (x *exchange) lookAll(parts []wire.Part, answer bool) Action {
	worst := Allow
	joined := map[string][]string{}
	first := map[string]wire.Part{}
	for _, p := range parts {
		if p.Kind == wire.Media || p.Text == "" {
			if p.Kind == wire.Media {
				x.rec.Media++
			}
			continue
		}
		worst = maxAction(worst, x.look(p, answer).Action)
		if !answer {
			continue
		}
		name, _ := direction(p.Kind, answer)
		if len(joined[name]) == 0 {
			first[name] = p
		}
		joined[name] = append(joined[name], p.Text)
	}
	for name, texts := range joined {
		if len(texts) > 1 {
			p := first[name]
			p.Where, p.Text = p.Where+"…", strings.Join(texts, "")
			worst = maxAction(worst, x.look(p, answer).Action)
		}
	}
	return worst
}
