package query

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gaissmai/bart"

	"bartizan/internal/ioc"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// matchOrder asks for a retro-match instead of a statement.
type matchOrder struct {
	Indicators []ioc.Indicator `json:"indicators"`
}

// Match is what one view has about one indicator in one of its columns.
type Match struct {
	Indicator int       `json:"indicator"` // index in what was asked
	View      string    `json:"view"`
	Column    string    `json:"column"`
	Value     string    `json:"value"` // as it is in the lake, one of them when there are several; hostile text
	Count     int64     `json:"count"` // rows
	First     time.Time `json:"first_seen"`
	Last      time.Time `json:"last_seen"`
	Sessions  []string  `json:"sessions,omitempty"` // at most maxNamed of them, the newest first
	Evidence  []string  `json:"evidence,omitempty"` // SHA-256 of raw bytes, likewise
}

const (
	maxNamed   = 5
	maxMatches = 1_000_000
	matchFrame = 500 // matches in a frame
)

// MatchResult is the answer of a retro-match.
type MatchResult struct {
	Matches   []Match   `json:"matches"`
	NotLooked []Skipped `json:"not_looked_at,omitempty"`
	Files     int       `json:"files"`
}

// Match looks for indicators in everything the lake keeps: addresses also by the prefixes that hold them, domains by
// their sub-domains and in URLs. The matches come by view, then by indicator.
func (e *Engine) Match(ctx context.Context, list []ioc.Indicator, rng Range, limits Limits) (*MatchResult, error) {
	req := Request{Limits: limits}
	if err := checkRequest(&req); err != nil {
		return nil, err
	}
	req.Limits.Rows, req.Limits.Bytes = MaxRows, MaxBytes
	res, err := e.settle(ctx, matchable(), rng, order{Lake: e.Lake, Limits: req.Limits, Match: &matchOrder{list}})
	if err != nil {
		return nil, err
	}
	out := &MatchResult{Matches: []Match{}, NotLooked: res.NotLooked, Files: res.Files}
	for _, m := range res.matches {
		if m.Indicator < 0 || m.Indicator >= len(list) || len(m.Sessions) > maxNamed || len(m.Evidence) > maxNamed {
			return nil, errors.New("hunt: the engine's answer makes no sense")
		}
		out.Matches = append(out.Matches, m)
	}
	return out, nil
}

// matchable are the views that have a column indicators are compared with.
func matchable() (out []*view) {
	for _, v := range views() {
		for _, c := range v.columns {
			if c.entity != "" {
				out = append(out, v)
				break
			}
		}
	}
	return out
}

// matcher finds the indicators that a value of the lake is, or belongs to.
type matcher struct {
	exact    map[ioc.Indicator]int // type and value only
	prefixes bart.Table[[]int]
	domains  map[string]int
	any      map[model.EntityType]bool
	urlHosts map[string]bool  // of the URLs that are looked for, with their ports, in lower case
	places   map[string][]int // what host has found for hosts with ports in URLs: few hosts have many URLs
}

// maxPlaces bounds what is remembered.
const maxPlaces = 100_000

func newMatcher(list []ioc.Indicator) *matcher {
	m := &matcher{exact: map[ioc.Indicator]int{}, domains: map[string]int{}, any: map[model.EntityType]bool{}, urlHosts: map[string]bool{}, places: map[string][]int{}}
	for i, n := range list {
		m.any[n.Type] = true
		switch n.Type {
		case model.TypeIP:
			e, err := model.ParseIP(n.Value)
			if err != nil {
				continue // Read has refused it
			}
			if p, ok := e.Prefix(); ok {
				old, _ := m.prefixes.Get(p)
				m.prefixes.Insert(p, append(old, i))
			}
		case model.TypeDomain:
			m.domains[n.Value] = i
		case model.TypeAccessKey:
			m.exact[ioc.Indicator{Type: n.Type, Value: n.Value}] = i
			// Of secrets the lake has only what KeyID leaves.
			m.exact[ioc.Indicator{Type: n.Type, Value: observe.KeyID(n.Value)}] = i
		case model.TypeURL:
			m.exact[ioc.Indicator{Type: n.Type, Value: n.Value}] = i
			m.urlHosts[strings.ToLower(authority(n.Value))] = true
		default:
			m.exact[ioc.Indicator{Type: n.Type, Value: n.Value}] = i
		}
	}
	return m
}

// wants says whether a column of this type can match anything.
func (m *matcher) wants(t model.EntityType) bool {
	switch t {
	case model.TypeURL, model.TypeDomain, typeHostPort:
		return m.any[t] || m.any[model.TypeDomain] || m.any[model.TypeIP]
	}
	return m.any[t]
}

// find appends the indicators that a value of a column belongs to.
func (m *matcher) find(out []int, t model.EntityType, value string) []int {
	switch t {
	case model.TypeIP:
		return m.address(out, value)
	case model.TypeDomain:
		return m.host(out, value)
	case typeHostPort:
		host := value
		if i := strings.LastIndexByte(value, ':'); i >= 0 {
			if _, err := strconv.ParseUint(value[i+1:], 10, 16); err == nil {
				host = value[:i]
			}
		}
		return m.host(out, strings.Trim(host, "[]"))
	case model.TypeURL:
		return m.url(out, value)
	}
	if i, ok := m.exact[ioc.Indicator{Type: t, Value: value}]; ok {
		return append(out, i)
	}
	if lower := strings.ToLower(value); lower != value && t != ioc.TypeUserAgent && t != model.TypeAccessKey {
		if i, ok := m.exact[ioc.Indicator{Type: t, Value: lower}]; ok {
			return append(out, i)
		}
	}
	return out
}

func (m *matcher) address(out []int, value string) []int {
	p, err := netip.ParsePrefix(value)
	if err != nil {
		a, err := netip.ParseAddr(value)
		if err != nil {
			return out
		}
		a = a.Unmap().WithZone("")
		p = netip.PrefixFrom(a, a.BitLen())
	}
	for _, list := range m.prefixes.Supernets(p) {
		out = append(out, list...)
	}
	return out
}

// host finds a host name by itself and by the domains above it, or an address.
func (m *matcher) host(out []int, host string) []int {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if n := len(host); n > 0 && host[n-1] >= '0' && host[n-1] <= '9' || strings.Contains(host, ":") {
		return m.address(out, host)
	}
	for host != "" && len(host) <= 253 {
		if i, ok := m.domains[host]; ok {
			out = append(out, i)
		}
		_, rest, ok := strings.Cut(host, ".")
		if !ok {
			break
		}
		host = rest
	}
	return out
}

// authority is the host of a URL with its port, as it is written, without a user's name.
func authority(url string) string {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		rest = url
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest[strings.LastIndexByte(rest, '@')+1:]
}

func (m *matcher) url(out []int, value string) []int {
	value = strings.TrimSpace(value)
	place := authority(value)
	// Parsing is dear: a URL is only one of the list when its host is, unless parsing changes how the host is written.
	changed := strings.ContainsFunc(place, func(r rune) bool { return r == '%' || r >= 0x80 })
	if m.any[model.TypeURL] && len(value) <= model.MaxEntity && (changed || m.urlHosts[strings.ToLower(place)]) {
		if e, err := model.ParseEntity(model.TypeURL, value); err == nil {
			if i, ok := m.exact[ioc.Indicator{Type: model.TypeURL, Value: e.Value()}]; ok {
				out = append(out, i)
			}
		}
	}
	found, ok := m.places[place]
	if !ok {
		found = m.find(nil, typeHostPort, place)
		if len(m.places) < maxPlaces {
			m.places[strings.Clone(place)] = found
		}
	}
	return append(out, found...)
}

// readMatches checks what the child says it found.
func readMatches(have []Match, more []Match) ([]Match, error) {
	if len(have)+len(more) > maxMatches {
		return have, fmt.Errorf("hunt: more than %d matches: look for fewer indicators or a shorter time: %w", maxMatches, ErrLimit)
	}
	return append(have, more...), nil
}
