// Package guard looks at what is said to and by language models and says what
// it found: the inspection half of the gateway. It holds the contract of an
// inspector, the engine that runs them over every reading of a text, and the
// verdict. It forwards nothing and changes nothing.
//
// Nothing here says "looked" when it did not look: every inspector leaves a
// Report, also the one that was not asked, failed or panicked.
package guard

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"bartizan/internal/guard/classify"
	"bartizan/internal/guard/decode"
	"bartizan/internal/safe"
)

// MaxText is the longest text that is inspected, in bytes. A longer one is
// refused, not cut: what follows the cut would pass unseen.
const MaxText = 4 << 20

// Role says who wrote a text: who may give orders decides what is an attack.
type Role = classify.Role

// Roles.
const (
	Unknown  = classify.Unknown
	User     = classify.User
	Document = classify.Document
)

// ParseRole takes the names of the API formats; ok is false for an unknown one.
func ParseRole(s string) (r Role, ok bool) {
	switch s {
	case "":
		return Unknown, true
	case "user", "system", "developer", "assistant":
		return User, true
	case "document", "tool", "function":
		return Document, true
	}
	return Unknown, false
}

// Text is one piece of an exchange with its readings; the first is the plain
// one, with invisible characters removed and look-alike letters folded.
type Text struct {
	Raw    string
	Role   Role
	Views  []decode.View
	Hidden decode.Hidden
	// Followed says that whoever is a Follower reads Raw as well, as a part of its
	// conversation: its Inspect is left with the other readings.
	Followed bool
	// Asked says that the text is on its way to a model: it tells nobody a secret.
	Asked bool
}

// Category of what was found.
type Category string

// Categories.
const (
	Injection Category = "injection" // override, extraction, jailbreak, orders in documents
	Secret    Category = "secret"
	PII       Category = "pii"
	Exfil     Category = "exfiltration"
	Hidden    Category = "hidden-text"
	Link      Category = "link"
	Policy    Category = "policy" // a rule of the operator
	Shape     Category = "shape"  // size, language, structure
)

// Finding is one thing an inspector found. Note never holds a secret itself.
type Finding struct {
	Category Category
	Score    float64 // 0 to 1: from 0.5 on flagged, from BlockScore on blocked
	Note     string  // in our words
	Label    string  // what a placeholder calls it, "EMAIL"; ""
	Spans    []Span  // where it stands, as far as that can be said
	Deep     bool    // some of it stands in a decoded reading only, where nothing can be masked
}

// Inspector looks at one text. It is safe for concurrent use, keeps nothing of
// the text, and returns an error when it could not look.
type Inspector interface {
	Inspect(t *Text) ([]Finding, error)
}

// Runner is an inspector with something that has to run beside it, such as a process. Run returns when ctx ends; a
// gateway calls it once for as long as it serves. Without it such an inspector starts what it needs when a text comes.
type Runner interface {
	Run(ctx context.Context, log *slog.Logger)
}

// State of an inspector after a text.
type State string

// States. Anything but Clean and Found means: not looked at.
const (
	Clean  State = "clean"
	Found  State = "found"
	Failed State = "failed"  // it returned an error or panicked
	Skip   State = "skipped" // not configured: it has nothing to look for
)

// Report is what one inspector did with one text.
type Report struct {
	Name     string
	State    State
	Why      string    // of Failed and Skip
	Findings []Finding // of Clean: what has less than FoundScore
	Took     time.Duration
	passing  bool // see NothingToDo
}

// Action is the verdict.
type Action string

// Actions.
const (
	Allow Action = "allow"
	Flag  Action = "flag"
	Block Action = "block"
)

// Scores from which an inspector is said to have found something, and a text is flagged or blocked. A classifier has a
// score for every text: that alone is no find.
const (
	FoundScore = 0.2
	FlagScore  = 0.5
	BlockScore = 0.9
)

// Verdict on a text.
type Verdict struct {
	Action   Action
	Score    float64  // the highest of the findings
	Category Category // of that finding; "" when there is none
	Reports  []Report // one for each inspector, in order; others may have them too: they must not be changed
	Readings []string // decodings that gave another reading
	Size     int      // of the text, bytes
	Sum      [sha256.Size]byte
	Again    bool // the same text was looked at before: what was found then is what is found
}

// NothingToDo is returned by an inspector that has nothing to look for.
type NothingToDo struct {
	Why     string
	Passing bool // of this moment only: the next time it may look
}

func (e *NothingToDo) Error() string { return e.Why }

// Named is an inspector with its name in the table.
type Named struct {
	Name string
	Inspector
}

// Engine runs inspectors. It is safe for concurrent use.
type Engine struct {
	inspectors []Named
	like       decode.Likeness
	failClosed bool
	recent     *recent
	known      Known // nil: nobody asks
}

// NewEngine makes an engine; like may be nil, then readings that need it are
// not tried. With failClosed a text that an inspector could not look at is
// flagged.
func NewEngine(inspectors []Named, like decode.Likeness, failClosed bool) *Engine {
	return &Engine{inspectors: slices.Clone(inspectors), like: like, failClosed: failClosed, recent: newRecent()}
}

// TooLong says that a text exceeds MaxText and was not inspected.
type TooLong struct{ Size int }

func (e *TooLong) Error() string {
	return fmt.Sprintf("text of %d bytes is longer than the limit of %d: split it", e.Size, MaxText)
}

// Inspect runs every inspector over a text, or says again what was found in it a
// short while ago. The error is a *TooLong; then
// nothing was looked at.
func (e *Engine) Inspect(text string, role Role) (Verdict, error) {
	return e.inspect(text, role, way{})
}

// InspectAsked inspects a text that is on its way to a model: a part of a request, a
// result of a tool.
func (e *Engine) InspectAsked(text string, role Role) (Verdict, error) {
	return e.inspect(text, role, way{asked: true})
}

// way is where a text goes and who else reads it, as in Text.
type way struct{ followed, asked bool }

func (e *Engine) inspect(text string, role Role, w way) (Verdict, error) {
	if len(text) > MaxText {
		return Verdict{}, &TooLong{len(text)}
	}
	key := recentKey{role, w, e.version(), sumOf(text)}
	if v, ok := e.recent.get(key); ok {
		return v, nil
	}
	t := &Text{Raw: text, Role: role, Followed: w.followed, Asked: w.asked}
	t.Views, t.Hidden = decode.Views(text, e.like)
	v := Verdict{Action: Allow, Size: len(text), Sum: key.sum, Reports: make([]Report, 0, len(e.inspectors))}
	for _, view := range t.Views[1:] {
		v.Readings = append(v.Readings, view.How[len(view.How)-1])
	}
	for _, in := range e.inspectors {
		v.Reports = append(v.Reports, run(in, t))
	}
	e.decide(&v)
	e.recent.put(key, &v)
	return v, nil
}

// sumOf is the SHA-256 of a text. A short one is not copied to the heap for it.
func sumOf(text string) [sha256.Size]byte {
	h := sha256.New()
	var buf [1 << 10]byte
	for len(text) > 0 {
		n := copy(buf[:], text)
		h.Write(buf[:n])
		text = text[n:]
	}
	return [sha256.Size]byte(h.Sum(buf[:0]))
}

// decide draws the verdict from the reports.
func (e *Engine) decide(v *Verdict) {
	v.Action, v.Score, v.Category = Allow, 0, ""
	for _, r := range v.Reports {
		for _, f := range r.Findings {
			if f.Score > v.Score || v.Category == "" {
				v.Score, v.Category = f.Score, f.Category
			}
		}
		if r.State == Failed && e.failClosed && v.Score < FlagScore {
			v.Score, v.Category = FlagScore, Shape
		}
	}
	switch {
	case v.Score >= BlockScore:
		v.Action = Block
	case v.Score >= FlagScore:
		v.Action = Flag
	}
}

func run(in Named, t *Text) Report {
	r := Report{Name: in.Name, State: Clean}
	start := time.Now()
	err := safe.Recover("inspector "+in.Name, nil, func() (err error) {
		r.Findings, err = in.Inspect(t)
		return err
	})
	r.Took = time.Since(start)
	if err != nil {
		r.Findings = nil
		if nothing := (*NothingToDo)(nil); errors.As(err, &nothing) {
			r.State, r.Why, r.passing = Skip, safe.Clean(nothing.Why, 300), nothing.Passing
		} else {
			r.State, r.Why = Failed, safe.Clean(err.Error(), 300)
		}
		return r
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(b.Score, a.Score) })
	if len(r.Findings) > 0 && r.Findings[0].Score >= FoundScore {
		r.State = Found
	}
	return r
}
