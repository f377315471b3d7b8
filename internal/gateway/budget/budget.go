// Package budget keeps clients of models within what they may spend: requests,
// tokens, money and exchanges at once, for each key, user, model, tool, route or
// address, in windows of time. What an exchange may cost is reserved before it goes
// out and settled by what the provider counted; both are written down first, so that
// the end of the process loses nothing that was spent. An exchange that was under way
// then counts as it was reserved.
//
// It knows no HTTP and no prices.
package budget

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"bartizan/internal/conf"
)

// Limit is one budget. Each name of its kind has its own account.
type Limit struct {
	By          string        `yaml:"by"`          // key, user, model, tool, route, address
	Only        []string      `yaml:"only"`        // names it is for, * at the end stands for anything; of keys: id or name; empty: all
	Per         conf.Duration `yaml:"per"`         // windows follow each other from the Unix epoch on
	Requests    int64         `yaml:"requests"`    // 0: not limited; of a tool: calls
	Tokens      int64         `yaml:"tokens"`      // in and out together
	Dollars     float64       `yaml:"dollars"`     // US dollars
	Concurrency int           `yaml:"concurrency"` // exchanges at once, whatever the window
}

// Bounds of a window.
const (
	minPer = time.Minute
	maxPer = 31 * 24 * time.Hour
)

// Check says what is wrong with a limit.
func (l *Limit) Check() error {
	switch l.By {
	case "key", "user", "model", "route", "address":
	case "tool":
		if l.Tokens != 0 || l.Dollars != 0 || l.Concurrency != 0 {
			return errors.New("a tool has calls (requests) only")
		}
	default:
		return fmt.Errorf("by: %.40q is none of key, user, model, tool, route, address", l.By)
	}
	switch {
	case l.Per.D() < minPer || l.Per.D() > maxPer:
		return fmt.Errorf("per: %s: between 1m and 31d", l.Per)
	case l.Requests < 0 || l.Tokens < 0 || l.Dollars < 0 || l.Concurrency < 0:
		return errors.New("a limit below zero")
	case l.Requests == 0 && l.Tokens == 0 && l.Dollars == 0 && l.Concurrency == 0:
		return errors.New("limits nothing: give requests, tokens, dollars or concurrency")
	}
	return nil
}

// Who an exchange is charged to. An empty name has no account.
type Who struct {
	Key     string `json:"key,omitempty"`
	KeyName string `json:"key_name,omitempty"` // what people call it; several may have the same
	User    string `json:"user,omitempty"`
	Model   string `json:"model,omitempty"`
	Route   string `json:"route,omitempty"`
	Address string `json:"address,omitempty"`
	Tool    string `json:"tool,omitempty"`
}

func (w *Who) name(by string) string {
	switch by {
	case "key":
		return w.Key
	case "user":
		return w.User
	case "model":
		return w.Model
	case "route":
		return w.Route
	case "address":
		return w.Address
	case "tool":
		return w.Tool
	}
	return ""
}

// Spend is what an exchange takes, or is expected to.
type Spend struct {
	Tokens int64 `json:"tokens"`
	Micros int64 `json:"micros"` // millionths of a US dollar; meaningless unless Priced
	Priced bool  `json:"priced"` // the model's price is known
}

// Exceeded says which budget has no room.
type Exceeded struct {
	By, Name, What string
	Wait           time.Duration // until the window ends; 0: it depends on others
	Unpriced       bool          // the budget is of money and the price is not known
}

func (e *Exceeded) Error() string {
	if e.Unpriced {
		return fmt.Sprintf("the budget of this %s is in dollars, and what this model costs is not known", e.By)
	}
	return fmt.Sprintf("the budget of this %s is used up (%s)", e.By, e.What)
}

// covers tells whether a limit is about an exchange.
func (l *Limit) covers(w *Who) bool {
	name := w.name(l.By)
	return name != "" && l.names(name, w.label(l.By))
}

// names tells whether a limit is about a name, or what people call it.
func (l *Limit) names(name, label string) bool {
	return len(l.Only) == 0 || matches(l.Only, name) || label != "" && matches(l.Only, label)
}

func (w *Who) label(by string) string {
	if by == "key" {
		return w.KeyName
	}
	return ""
}

// account is one name's use of one limit.
type account struct {
	label    string    // what people call the name
	from     time.Time // of the window
	requests int64
	tokens   int64
	micros   int64
	running  int
}

type accountKey struct {
	by, name string
	per      time.Duration
}

// Hold is an exchange that is under way.
type Hold struct {
	id       uint64
	who      Who
	reserved Spend
	at       time.Time
	book     *Book
}

// Book keeps all accounts. It may be used concurrently.
type Book struct {
	limits []Limit
	path   string

	mu       sync.Mutex
	accounts map[accountKey]*account
	open     map[uint64]*Hold
	nextID   uint64
	log      journal
	alarms   map[string]*baseline // by key
}

// maxAccounts bounds what strangers can make grow; then those of past windows go.
const maxAccounts = 100_000

// Reserve takes what an exchange is expected to cost from every budget it belongs
// to, or from none. The error is an *Exceeded, or that it cannot be written down.
func (b *Book) Reserve(now time.Time, w Who, s Spend) (*Hold, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.limits {
		if err := b.room(&b.limits[i], &w, s, now); err != nil {
			return nil, err
		}
	}
	b.nextID++
	h := &Hold{id: b.nextID, who: w, reserved: s, at: now, book: b}
	if err := b.log.write(entry{Op: opReserve, ID: h.id, At: now.UnixMilli(), Who: w, Spend: s}); err != nil {
		return nil, err
	}
	b.open[h.id] = h
	b.charge(&w, s, now, 1, 1)
	return h, b.tidy(now)
}

// Settle puts what was really spent in place of what was reserved. An exchange that
// nothing is known about stays as reserved: s nil.
func (h *Hold) Settle(now time.Time, s *Spend) error {
	b := h.book
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[h.id] == nil {
		return nil
	}
	delete(b.open, h.id)
	spent := h.reserved
	if s != nil {
		spent = *s
	}
	b.charge(&h.who, Spend{Tokens: spent.Tokens - h.reserved.Tokens, Micros: spent.Micros - h.reserved.Micros, Priced: spent.Priced}, h.at, 0, -1)
	return b.log.write(entry{Op: opSettle, ID: h.id, At: now.UnixMilli(), Spend: spent})
}

// Tool takes one call of a tool from its budget.
func (b *Book) Tool(now time.Time, w Who) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	tools := false
	for i := range b.limits {
		if b.limits[i].By != "tool" {
			continue
		}
		tools = true
		if err := b.room(&b.limits[i], &w, Spend{}, now); err != nil {
			return err
		}
	}
	if !tools {
		return nil
	}
	only := Who{Tool: w.Tool}
	if err := b.log.write(entry{Op: opTool, At: now.UnixMilli(), Who: only}); err != nil {
		return err
	}
	b.charge(&only, Spend{}, now, 1, 0)
	return nil
}

// Empty says that there is nothing to keep.
func (b *Book) Empty() bool { return b == nil || len(b.limits) == 0 }

// room says whether a limit has some for an exchange.
func (b *Book) room(l *Limit, w *Who, s Spend, now time.Time) error {
	name := w.name(l.By)
	if !l.covers(w) || (l.By == "tool") != (w.Tool != "") {
		return nil
	}
	a := b.accounts[accountKey{l.By, name, l.Per.D()}]
	if a == nil {
		a = &account{}
	}
	used := *a
	if from := now.Truncate(l.Per.D()); !used.from.Equal(from) {
		used.from, used.requests, used.tokens, used.micros = from, 0, 0, 0
	}
	wait := used.from.Add(l.Per.D()).Sub(now)
	over := func(what string, wait time.Duration) error {
		return &Exceeded{By: l.By, Name: name, What: what, Wait: wait}
	}
	switch {
	case l.Concurrency > 0 && used.running >= l.Concurrency:
		return over(fmt.Sprintf("%d at once", l.Concurrency), 0)
	case l.Requests > 0 && used.requests+1 > l.Requests:
		return over(fmt.Sprintf("%d requests in %s", l.Requests, l.Per), wait)
	case l.Tokens > 0 && used.tokens+s.Tokens > l.Tokens:
		return over(fmt.Sprintf("%d tokens in %s", l.Tokens, l.Per), wait)
	case l.Dollars > 0 && !s.Priced:
		return &Exceeded{By: l.By, Name: name, Unpriced: true}
	case l.Dollars > 0 && float64(used.micros+s.Micros) > l.Dollars*1e6:
		return over(fmt.Sprintf("$%g in %s", l.Dollars, l.Per), wait)
	}
	return nil
}

// charge adds to every account of an exchange. A settlement of a window that is over
// changes nothing but what is running.
func (b *Book) charge(w *Who, s Spend, at time.Time, requests int64, running int) {
	for i := range b.limits {
		l := &b.limits[i]
		name := w.name(l.By)
		if !l.covers(w) {
			continue
		}
		k := accountKey{l.By, name, l.Per.D()}
		a := b.accounts[k]
		if a == nil {
			a = &account{}
			b.accounts[k] = a
		} else if sameBefore(b.limits[:i], l, w) {
			continue // another limit has the same account
		}
		a.label = w.label(l.By)
		a.running = max(0, a.running+running)
		from := at.Truncate(l.Per.D())
		if from.Before(a.from) {
			continue
		}
		if from.After(a.from) {
			a.from, a.requests, a.tokens, a.micros = from, 0, 0, 0
		}
		a.requests += requests
		a.tokens += s.Tokens
		if s.Priced {
			a.micros += s.Micros
		}
	}
}

// sameBefore tells whether an earlier limit charges the same account.
func sameBefore(earlier []Limit, l *Limit, w *Who) bool {
	for i := range earlier {
		e := &earlier[i]
		if e.By == l.By && e.Per == l.Per && e.covers(w) {
			return true
		}
	}
	return false
}

// Used is one account, for people.
type Used struct {
	By       string    `json:"by"`
	Name     string    `json:"name"`
	Label    string    `json:"label,omitempty"` // what people call it
	Per      string    `json:"per"`
	From     time.Time `json:"from"`
	Requests int64     `json:"requests"`
	Tokens   int64     `json:"tokens"`
	Dollars  float64   `json:"dollars"`
	Running  int       `json:"running"`

	Window time.Duration `json:"-"` // length
	Limit  *Limit        `json:"-"` // nil: it is no longer in the configuration
}

// matches tells whether a name is in a list of names; one that ends with * stands
// for all that begin like it.
func matches(list []string, name string) bool {
	for _, s := range list {
		if start, any := strings.CutSuffix(s, "*"); s == name || any && strings.HasPrefix(name, start) {
			return true
		}
	}
	return false
}
