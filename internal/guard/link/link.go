// Package link compares the hosts and URLs that a text names with lists of the operator, and with
// what is known to be hostile (guard.Known).
package link

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
	"bartizan/internal/safe"
)

// Config of the inspector.
type Config struct {
	// Denied hosts and addresses; a host includes its sub-domains, and an address
	// may be a prefix (192.0.2.0/24).
	Denied []string `yaml:"denied"`
	// Only, when not empty, are the hosts that a text may name.
	Only []string `yaml:"only"`
	// Intelligence is how sure what is known must be, 0 to 1, for a text that names it to be blocked;
	// from a half on it is flagged. 0: nothing is asked.
	Intelligence float64 `yaml:"intelligence"`
}

// Default configuration: no lists. One kind of evidence of a node's own makes a confidence of 0.74.
func Default() Config { return Config{Intelligence: 0.7} }

const doubt = 0.5

// New makes the inspector.
func New(c Config) (guard.Inspector, error) {
	if c.Intelligence < 0 || c.Intelligence > 1 {
		return nil, fmt.Errorf("intelligence %v: use a number from 0 (nothing is asked) to 1", c.Intelligence)
	}
	i := &inspector{denied: map[string]bool{}, only: map[string]bool{}, sure: c.Intelligence}
	for _, d := range c.Denied {
		if p, err := netip.ParsePrefix(d); err == nil {
			i.nets = append(i.nets, p.Masked())
			continue
		}
		if !host.MatchString("http://" + d) {
			return nil, fmt.Errorf("denied: %q is no host name, address or prefix", d)
		}
		i.denied[strings.ToLower(d)] = true
	}
	for _, d := range c.Only {
		i.only[strings.ToLower(d)] = true
	}
	return i, nil
}

type inspector struct {
	denied, only map[string]bool
	nets         []netip.Prefix
	sure         float64
	known        guard.Known // nil: nobody knows anything
}

// Inform implements guard.Informed.
func (i *inspector) Inform(k guard.Known) {
	if i.sure > 0 {
		i.known = k
	}
}

func (i *inspector) informed() bool { return i.known != nil && i.known.Version() > 0 }

func (i *inspector) lists() bool { return len(i.denied)+len(i.only)+len(i.nets) > 0 }

const address = `(?i)(?:\b(?:https?|ftp|wss?)://(?:[^\s/@]{1,200}@)?|\bwww\.)([a-z0-9\-._~%]{1,253})`

var (
	host  = regexp.MustCompile(address)
	begun = decode.MustPartial(address, 512)
)

// Inspect implements guard.Inspector.
func (i *inspector) Inspect(t *guard.Text) (out []guard.Finding, _ error) {
	informed := i.informed()
	if !i.lists() && !informed {
		return nil, &guard.NothingToDo{Why: "no lists are configured, and nothing is known"}
	}
	for _, text := range readings(t) {
		if w, ok := i.look(text, informed); ok {
			score := 0.6
			if w.Confidence >= i.sure {
				score = 0.9
			}
			return []guard.Finding{{Category: guard.Link, Score: score, Note: fmt.Sprintf("%s is known to be hostile (%.2f: %s)", safe.Clean(w.What, 200), w.Confidence, safe.Clean(w.From, 200))}}, nil
		}
		if !i.lists() {
			continue
		}
		if f := i.listed(text); f != nil {
			return []guard.Finding{*f}, nil
		}
	}
	return nil, nil
}

// readings of a text: as it is written, for the letters of other scripts in it, as it is decoded,
// and each with the marks that take a name apart read as what they stand for.
func readings(t *guard.Text) (out []string) {
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
		if s = refanged(s); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, v := range t.Views {
		add(v.Text)
	}
	if len(t.Views) == 0 || t.Views[0].Text != t.Raw {
		add(t.Raw)
	}
	return out
}

// listed looks for what the operator's lists say.
func (i *inspector) listed(text string) (f *guard.Finding) {
	is := func(h string) bool {
		switch {
		case i.denies(h):
			f = &guard.Finding{Category: guard.Link, Score: 0.9, Note: "an address on the denied list"}
		case len(i.only) > 0 && !within(i.only, h) && f == nil:
			f = &guard.Finding{Category: guard.Link, Score: 0.6, Note: "an address that is not on the list of allowed ones"}
		}
		return f != nil && f.Score >= guard.BlockScore
	}
	for _, m := range host.FindAllStringSubmatch(text, 500) {
		if is(strings.ToLower(strings.Trim(m[1], "."))) {
			return f
		}
	}
	disguised(text, func(h string) bool { return (len(i.only) == 0 || i.denies(h)) && is(h) })
	return f
}

// Hold implements guard.Holder.
func (i *inspector) Hold(text string) int {
	n := 0
	if i.lists() {
		n = begun.Tail(text)
	}
	if i.informed() {
		n = max(n, tail(text))
	}
	if n < len(text) && (i.lists() || i.informed()) {
		n = max(n, masked(text))
	}
	return n
}

// look asks what is known of the names and URLs of a text.
func (i *inspector) look(text string, informed bool) (w guard.Word, found bool) {
	if !informed {
		return w, false
	}
	sure := func(x guard.Word, ok bool) bool {
		if ok && x.Confidence >= min(doubt, i.sure) && x.Confidence > w.Confidence {
			w, found = x, true
		}
		return w.Confidence >= i.sure
	}
	host := func(name string) bool { return sure(i.known.Host(name)) }
	if !names(text, host) && !disguised(text, host) {
		urls(text, func(u string) bool { return sure(i.known.URL(u)) }, host)
	}
	return w, found
}

// Most implements guard.Holder.
func (i *inspector) Most() (guard.Category, float64) {
	if len(i.denied)+len(i.nets) == 0 && i.known == nil {
		return guard.Link, 0.6
	}
	return guard.Link, 0.9
}

func (i *inspector) denies(h string) bool {
	if a, err := netip.ParseAddr(h); err == nil {
		for _, p := range i.nets {
			if p.Contains(a) {
				return true
			}
		}
	}
	return within(i.denied, h)
}

// within reports whether a list has the host or a domain above it.
func within(list map[string]bool, h string) bool {
	for {
		if list[h] {
			return true
		}
		_, up, ok := strings.Cut(h, ".")
		if !ok {
			return false
		}
		h = up
	}
}
