package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"bartizan/internal/conf"
	masking "bartizan/internal/credential"
	"bartizan/internal/gateway/approval"
	"bartizan/internal/guard"
	"bartizan/internal/guard/hold"
	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// Ask is the action that hands a text to a person: it waits until somebody approves
// or refuses it, and is refused when nobody does in time.
const Ask Action = "hold"

// Approval is how things wait for a person.
type Approval struct {
	Timeout conf.Duration `yaml:"timeout"` // until a no
	Held    int           `yaml:"held"`    // that may wait at a time
	Each    int           `yaml:"each"`    // of one client
	Wait    bool          `yaml:"wait"`    // the client of a prompt waits; else it is told to come again
}

func (a *Approval) check(bad map[string]error) {
	if a.Timeout <= 0 || a.Timeout.D() > 24*time.Hour {
		bad["approval.timeout"] = fmt.Errorf("%s: above 0, at most 1d", a.Timeout)
	}
	if a.Held < 1 || a.Held > approval.MaxHeld || a.Each < 1 || a.Each > a.Held {
		bad["approval.held"] = fmt.Errorf("held 1 to %d, each 1 to held", approval.MaxHeld)
	}
}

// Person is what the audit line says about a person's answer.
type Person struct {
	Held     string  `json:"held"` // id
	Approved bool    `json:"approved"`
	By       string  `json:"by,omitempty"` // nobody: the time was over
	Waited   float64 `json:"waited_ms"`
}

// people is who waits for a person at a gateway.
type people struct {
	folder *approval.Folder // nil: there is nobody to ask
	conf   Approval

	mu   sync.Mutex
	by   map[string]int              // client → how many of its things wait
	late map[[sha256.Size]byte]later // what a client was told to come again for
}

type later struct {
	held approval.Held
	who  string
}

func newPeople(f *approval.Folder, c Approval) *people {
	return &people{folder: f, conf: c, by: map[string]int{}, late: map[[sha256.Size]byte]later{}}
}

// enter counts a client's thing; false when it has too many.
func (p *people) enter(client string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by[client] >= p.conf.Each {
		return false
	}
	p.by[client]++
	return true
}

func (p *people) leave(client string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by[client]--; p.by[client] <= 0 {
		delete(p.by, client)
	}
}

// question is what a person has to be asked before an exchange goes on.
type question struct {
	found []Found
	text  string // masked, cut
}

const maxShown = 1200 // bytes of a text that a person is shown

// wonder adds what was found to what a person has to be asked. text is where it was found.
func (q *question) wonder(f Found, text string) {
	if len(q.found) < 20 {
		q.found = append(q.found, f)
	}
	if q.text == "" {
		q.text = text
	}
}

// shown is a text as a person may see it: what was found in it and is private has
// gone, and so have credentials. A secret that stands nowhere in particular (in a
// code, in pieces) takes the whole text with it.
func shown(text string, notes []hold.Noted, where string) string {
	type cut struct {
		from, to int
		label    string
	}
	var cuts []cut
	for i := range notes {
		n := &notes[i]
		private := n.Finding.Category == guard.Secret || n.Finding.Category == guard.PII
		if n.Where != where || !private {
			continue
		}
		if n.Finding.Deep || len(n.Finding.Spans) == 0 {
			return fmt.Sprintf("(%d bytes, not shown: %s)", len(text), safe.Clean(n.Finding.Note, 100))
		}
		label := n.Finding.Label
		if label == "" {
			label = strings.ToUpper(string(n.Finding.Category))
		}
		for _, s := range n.Finding.Spans {
			if s.From >= 0 && s.From < s.To && s.To <= len(text) {
				cuts = append(cuts, cut{s.From, s.To, label})
			}
		}
	}
	slices.SortFunc(cuts, func(a, b cut) int { return a.from - b.from })
	var b strings.Builder
	at := 0
	for _, c := range cuts {
		if c.from >= at {
			b.WriteString(text[at:c.from] + "<" + c.label + ">")
		}
		at = max(at, c.to)
	}
	b.WriteString(text[at:])
	return safe.Clean(masking.Mask(b.String()), maxShown)
}

// consult asks a person about what the policy wants a person to see, if anything. It
// returns when the exchange may go on.
func (x *exchange) consult(ctx context.Context, kind approval.Kind, body []byte) error {
	if len(x.doubt.found) == 0 {
		return nil
	}
	q := x.doubt
	x.doubt = question{}
	p := x.g.people
	if p.folder == nil {
		return &refusal{status: 403, code: "held_for_person", message: "a person would have to approve this, and nobody can be asked here", outcome: Refused}
	}
	h := approval.Held{ID: model.NewULID(time.Now()).String(), Kind: kind, Route: x.rec.Route, Key: x.rec.KeyName, User: x.rec.User, Address: x.rec.Peer, Model: x.rec.Model, Text: q.text, Why: why(q.found)}
	if kind == approval.Prompt && !p.conf.Wait {
		return x.comeAgain(h, body)
	}
	client := x.client()
	if !p.enter(client) {
		return &refusal{status: 429, code: "too_many_held", message: fmt.Sprintf("%d of your requests wait for a person already", p.conf.Each), outcome: Refused, retry: 30}
	}
	defer p.leave(client)
	began := time.Now()
	a, err := p.folder.Wait(ctx, h)
	x.rec.Person = &Person{Held: h.ID, Approved: err == nil, By: a.By, Waited: float64(time.Since(began).Microseconds()) / 1000}
	return notApproved(err, h.ID)
}

// why is the reason in our words.
func why(found []Found) string {
	var notes []string
	for i := range found {
		if s := string(found[i].Category) + ": " + found[i].Note; !slices.Contains(notes, s) {
			notes = append(notes, s)
		}
	}
	return clean(strings.Join(notes, "; "), 600)
}

// notApproved is the refusal that fits why something was not approved; nil when it was.
func notApproved(err error, id string) error {
	var no *approval.NotApproved
	switch {
	case err == nil:
		return nil
	case errors.Is(err, approval.ErrFull):
		return &refusal{status: 429, code: "too_many_held", message: "too many requests wait for a person already", outcome: Refused, retry: 60}
	case errors.Is(err, approval.ErrCancelled):
		return &refusal{status: 499, code: "client_gone", message: "the client went away while a person was asked", outcome: Abandoned}
	case errors.As(err, &no) && no.Answer == nil:
		return &refusal{status: 403, code: "approval_timeout", message: "the policy of this gateway asks a person about this, and " + no.Error() + " (" + id + ")", outcome: Refused}
	case errors.As(err, &no):
		return &refusal{status: 403, code: "refused_by_person", message: no.Error() + " (" + id + ")", outcome: Refused}
	}
	return &refusal{status: 403, code: "held_for_person", message: "a person has to approve this, and could not be asked", reason: err.Error(), outcome: Refused}
}

// comeAgain is the way of a client that does not wait: the same request passes once
// after it was approved.
func (x *exchange) comeAgain(h approval.Held, body []byte) error {
	p, client := x.g.people, x.client()
	sum := sha256.Sum256(append([]byte(client+"\x00"+x.route.name+"\x00"+x.path+"\x00"), body...))
	p.mu.Lock()
	defer p.mu.Unlock()
	old, known := p.late[sum]
	if known {
		a, err := p.folder.Look(old.held)
		if err == nil || !errors.Is(err, approval.ErrWaits) {
			delete(p.late, sum)
			p.folder.Forget(old.held.ID)
			x.rec.Person = &Person{Held: old.held.ID, Approved: err == nil, By: a.By, Waited: float64(time.Since(old.held.Since).Microseconds()) / 1000}
			return notApproved(err, old.held.ID)
		}
		return waits(old.held)
	}
	mine := 0
	for key, l := range p.late {
		switch {
		case time.Now().After(l.held.Until):
			delete(p.late, key)
			p.folder.Forget(l.held.ID)
		case l.who == client:
			mine++
		}
	}
	if mine >= p.conf.Each {
		return &refusal{status: 429, code: "too_many_held", message: fmt.Sprintf("%d of your requests wait for a person already", mine), outcome: Refused, retry: 60}
	}
	h, err := p.folder.Put(h)
	if err != nil {
		return notApproved(err, h.ID)
	}
	p.late[sum] = later{h, client}
	return waits(h)
}

func waits(h approval.Held) error {
	return &refusal{status: 403, code: "held_for_person", outcome: Refused, retry: 30,
		message: fmt.Sprintf("a person has to approve this (%s, until %s); send the same request again after that", h.ID, h.Until.Format(time.RFC3339))}
}
