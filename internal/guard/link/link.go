// Package link compares the hosts that a text names with lists of the operator.
package link

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
)

// Config of the inspector.
type Config struct {
	// Denied hosts and addresses; a host includes its sub-domains, and an address
	// may be a prefix (192.0.2.0/24).
	Denied []string `yaml:"denied"`
	// Only, when not empty, are the hosts that a text may name.
	Only []string `yaml:"only"`
}

// Default configuration: nothing is looked for.
func Default() Config { return Config{} }

// New makes the inspector.
func New(c Config) (guard.Inspector, error) {
	i := &inspector{denied: map[string]bool{}, only: map[string]bool{}}
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
}

const address = `(?i)(?:\b(?:https?|ftp|wss?)://(?:[^\s/@]{1,200}@)?|\bwww\.)([a-z0-9\-._~%]{1,253})`

var (
	host  = regexp.MustCompile(address)
	begun = decode.MustPartial(address, 512)
)

// Inspect implements guard.Inspector.
func (i *inspector) Inspect(t *guard.Text) (out []guard.Finding, _ error) {
	if len(i.denied)+len(i.only)+len(i.nets) == 0 {
		return nil, &guard.NothingToDo{Why: "no lists are configured"}
	}
	for _, v := range t.Views {
		for _, m := range host.FindAllStringSubmatch(v.Text, 500) {
			h := strings.ToLower(strings.Trim(m[1], "."))
			switch {
			case i.denies(h):
				return []guard.Finding{{Category: guard.Link, Score: 0.9, Note: "an address on the denied list"}}, nil
			case len(i.only) > 0 && !within(i.only, h):
				return []guard.Finding{{Category: guard.Link, Score: 0.6, Note: "an address that is not on the list of allowed ones"}}, nil
			}
		}
	}
	return nil, nil
}

// Hold implements guard.Holder.
func (i *inspector) Hold(text string) int {
	if len(i.denied)+len(i.only)+len(i.nets) == 0 {
		return 0
	}
	return begun.Tail(text)
}

// Most implements guard.Holder.
func (i *inspector) Most() (guard.Category, float64) {
	if len(i.denied)+len(i.nets) == 0 {
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
