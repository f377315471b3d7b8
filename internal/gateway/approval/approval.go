// Package approval lets a person decide about what waits: a call of a tool, a
// prompt, an answer of a model. Whoever asks waits for a limited time and gets a no
// when nobody answers; what is shown has its secrets masked, and the answer says who
// gave it.
//
// What waits is a file in a folder that only its owner reads, because gateways, the
// node and the command line meet there without a server: <id>.json is the question,
// <id>.answer what a person said. The first answer counts.
package approval

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// Kind is what waits.
type Kind string

// Kinds.
const (
	Call   Kind = "call"   // of a tool of an MCP server
	Prompt Kind = "prompt" // a request to a model
	Reply  Kind = "answer" // of a model
)

// Held is something that waits for a person. Its texts are ours, or masked and cut.
type Held struct {
	ID      string    `json:"id" maxLength:"26"`
	Kind    Kind      `json:"kind" enum:"call,prompt,answer"`
	Agent   string    `json:"agent,omitempty" maxLength:"100"`
	Server  string    `json:"server,omitempty" maxLength:"100"` // MCP server
	Tool    string    `json:"tool,omitempty" maxLength:"800"`
	Route   string    `json:"route,omitempty" maxLength:"100"`
	Key     string    `json:"key,omitempty" maxLength:"100"` // name of the client's key
	User    string    `json:"user,omitempty" maxLength:"400"`
	Address string    `json:"address,omitempty" maxLength:"100"`
	Model   string    `json:"model,omitempty" maxLength:"800"`
	Args    string    `json:"args,omitempty" maxLength:"10000"` // of a call; secrets masked, cut
	Text    string    `json:"text,omitempty" maxLength:"10000"` // what was found in; secrets masked, cut
	Why     string    `json:"why" maxLength:"2000"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"` // then it is refused
}

// Who is the client in a word.
func (h *Held) Who() string {
	for _, s := range []string{h.Agent, h.User, h.Key, h.Address} {
		if s != "" {
			return s
		}
	}
	return "somebody"
}

// What is what it wants in a word.
func (h *Held) What() string {
	if h.Kind == Call {
		return h.Server + "/" + h.Tool
	}
	return strings.TrimSuffix(h.Route+" "+h.Model, " ")
}

// Answer is a person's word.
type Answer struct {
	Approved bool      `json:"approved"`
	By       string    `json:"by"`
	Reason   string    `json:"reason,omitempty"`
	Time     time.Time `json:"time"`
}

// Change is one step of what waits, for those who watch.
type Change struct {
	Change string  `json:"change" enum:"held,approved,refused,lapsed,cancelled"`
	Held   Held    `json:"held"`
	Answer *Answer `json:"answer,omitempty"`
}

// Changes.
const (
	ChangeHeld      = "held"
	ChangeApproved  = "approved"
	ChangeRefused   = "refused"
	ChangeLapsed    = "lapsed"    // nobody answered in time
	ChangeCancelled = "cancelled" // whoever asked went away
)

// Limits of a folder.
type Limits struct {
	Held    int           // that may wait at a time
	Timeout time.Duration // until a no
}

// Folder is where things wait. It may be used by several processes.
type Folder struct {
	dir     string
	limits  Limits
	changed func(Change)
}

const (
	poll    = 100 * time.Millisecond
	maxFile = 64 << 10
	keep    = time.Minute // what is over, for those who ask again
	// MaxHeld bounds a folder whatever its limits say.
	MaxHeld = 10_000
)

// Open makes the folder. changed is told every step that this process makes, and
// does not wait; it may be nil.
func Open(dir string, l Limits, changed func(Change)) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of what waits for a person: %w", err)
	}
	if changed == nil {
		changed = func(Change) {}
	}
	return &Folder{dir: dir, limits: l, changed: changed}, nil
}

// Why something was not approved.
var (
	ErrFull      = errors.New("too many things wait for a person already")
	ErrCancelled = errors.New("it was cancelled while it waited for a person")
)

// NotApproved is a no: a person's, or that of the clock.
type NotApproved struct {
	Answer *Answer // nil: nobody answered
	After  time.Duration
}

func (e *NotApproved) Error() string {
	switch {
	case e.Answer == nil:
		return fmt.Sprintf("no person answered within %s", e.After)
	case e.Answer.Reason != "":
		return "a person refused it: " + e.Answer.Reason
	}
	return "a person refused it"
}

// Put makes something wait and fills in its times. The same id again is the same thing.
func (f *Folder) Put(h Held) (Held, error) {
	if _, err := model.ParseULID(h.ID); err != nil {
		return h, fmt.Errorf("hold: %q is no id", safe.Clean(h.ID, 40))
	}
	if old, err := f.read(h.ID); err == nil {
		return old, nil
	}
	now := time.Now().UTC()
	waiting, err := f.List(now)
	if err != nil {
		return h, err
	}
	if len(waiting) >= min(f.limits.Held, MaxHeld) {
		return h, ErrFull
	}
	length := h.Until.Sub(h.Since) // whoever asks may want less, or has a clock of its own
	if length <= 0 {
		length = f.limits.Timeout
	}
	h.Since, h.Until = now, now.Add(length)
	data, err := json.Marshal(h)
	if err != nil {
		return h, fmt.Errorf("hold: %w", err)
	}
	if err := safe.AtomicWrite(f.file(h.ID, ".json"), data, 0o600); err != nil {
		return h, fmt.Errorf("hold: %w", err)
	}
	f.changed(Change{Change: ChangeHeld, Held: h})
	return h, nil
}

// Wait asks a person and returns when there is an answer: a nil error means yes.
func (f *Folder) Wait(ctx context.Context, h Held) (Answer, error) {
	h, err := f.Put(h)
	if err != nil {
		return Answer{}, err
	}
	defer f.remove(h.ID)
	a, err := f.Await(ctx, h)
	if ctx.Err() != nil && errors.Is(err, ErrCancelled) {
		f.changed(Change{Change: ChangeCancelled, Held: h})
	}
	return a, err
}

// Await waits for the answer about something that was put. Its error is a
// *NotApproved, or ErrCancelled when ctx ended first.
func (f *Folder) Await(ctx context.Context, h Held) (Answer, error) {
	timeout := time.NewTimer(time.Until(h.Until))
	defer timeout.Stop()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		a, err := f.Look(h)
		if no, ok := errors.AsType[*NotApproved](err); ok && no.Answer == nil {
			f.changed(Change{Change: ChangeLapsed, Held: h})
		}
		if !errors.Is(err, ErrWaits) {
			return a, err
		}
		select {
		case <-ctx.Done():
			return Answer{}, ErrCancelled
		case <-timeout.C:
		case <-tick.C:
		}
	}
}

// ErrWaits says that nobody has answered yet.
var ErrWaits = errors.New("it waits for a person")

// Look is Await without the waiting: ErrWaits while there is no answer and time is left.
func (f *Folder) Look(h Held) (Answer, error) {
	a, err := f.answer(h.ID)
	switch {
	case err == nil && a.Approved:
		return a, nil
	case err == nil:
		return a, &NotApproved{Answer: &a}
	case !errors.Is(err, fs.ErrNotExist):
		return a, err
	case !time.Now().Before(h.Until):
		return a, &NotApproved{After: h.Until.Sub(h.Since).Round(time.Second)}
	}
	return a, ErrWaits
}

// Forget removes what nobody asks about any more.
func (f *Folder) Forget(id string) { f.remove(id) }

// Withdraw takes away something of a kind that nobody waits for any more.
func (f *Folder) Withdraw(id string, k Kind) {
	h, err := f.read(id)
	if err != nil || h.Kind != k {
		return
	}
	if _, err := f.Look(h); errors.Is(err, ErrWaits) {
		f.changed(Change{Change: ChangeCancelled, Held: h})
	}
	f.remove(id)
}

func (f *Folder) file(id, end string) string { return filepath.Join(f.dir, id+end) }

func (f *Folder) remove(id string) {
	for _, end := range []string{".json", ".answer"} {
		_ = os.Remove(f.file(id, end)) // the answer may never have come
	}
}

// List returns what waits for an answer, oldest first, and removes what is long over.
func (f *Folder) List(now time.Time) ([]Held, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("list what waits for a person: %w", err)
	}
	var out []Held
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		h, err := f.read(id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // answered in this moment
		}
		if err != nil {
			return nil, err
		}
		if now.After(h.Until.Add(keep)) {
			f.remove(id)
			continue
		}
		if _, err := os.Stat(f.file(id, ".answer")); err == nil || now.After(h.Until) {
			continue
		}
		out = append(out, h)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Since.Before(out[j].Since) })
	return out, nil
}

func (f *Folder) read(id string) (h Held, err error) {
	return h, readJSON(f.file(id, ".json"), &h)
}

func (f *Folder) answer(id string) (a Answer, err error) {
	return a, readJSON(f.file(id, ".answer"), &a)
}

func readJSON(name string, to any) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	data, err := safe.ReadAll(file, maxFile, "what waits for a person")
	if err == nil {
		err = json.Unmarshal(data, to)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(name), err)
	}
	return nil
}

// ErrNothing says that nothing with an id waits.
var ErrNothing = errors.New("nothing with this id waits: it was answered, or its time is over")

// Decide gives a person's answer. by is who; reason is told to whoever asked.
func (f *Folder) Decide(id string, approve bool, by, reason string, now time.Time) (Held, error) {
	if _, err := model.ParseULID(id); err != nil {
		return Held{}, fmt.Errorf("%q is no id of something that waits: %w", safe.Clean(id, 40), ErrNothing)
	}
	h, err := f.read(id)
	if err != nil || now.After(h.Until) {
		return Held{}, ErrNothing
	}
	a := Answer{Approved: approve, By: safe.Clean(by, 256), Reason: safe.Clean(reason, 300), Time: now.UTC()}
	data, err := json.Marshal(a)
	if err != nil {
		return h, fmt.Errorf("answer: %w", err)
	}
	// Written aside and linked, so that it is whole, and that the second answer fails.
	aside := f.file(id, fmt.Sprintf(".%s.said", model.NewULID(now)))
	if err := safe.AtomicWrite(aside, data, 0o600); err != nil {
		return h, fmt.Errorf("answer: %w", err)
	}
	err = os.Link(aside, f.file(id, ".answer"))
	_ = os.Remove(aside)
	switch {
	case errors.Is(err, fs.ErrExist):
		return h, fmt.Errorf("%w: somebody else was first", ErrNothing)
	case err != nil:
		return h, fmt.Errorf("answer: %w", err)
	}
	c := Change{Change: ChangeRefused, Held: h, Answer: &a}
	if approve {
		c.Change = ChangeApproved
	}
	f.changed(c)
	return h, nil
}
