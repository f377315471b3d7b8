package sigma

import (
	"cmp"
	"slices"
	"strings"
)

// Unmet is a log source that rules ask for and no format says or finds out by
// itself: they only ever see records that a mapping says it of.
type Unmet struct {
	Logsource string `json:"logsource"` // product/category/service, what is not named left out
	Rules     int    `json:"rules"`
}

// readers are the log sources that formats say of their records, beside those of
// the taxonomy.
func readers() []Logsource {
	return []Logsource{{Category: "webserver"}, {Product: "aws", Service: "route53"}}
}

// unmet lists the log sources of rules that no event has by itself, most rules first.
func unmet(rules []*Rule, tax *taxonomy) (out []Unmet) {
	have := readers()
	for _, s := range tax.shapes {
		have = append(have, s.source)
	}
	for _, s := range tax.sources {
		have = append(have, s.logsource)
	}
	n := map[string]int{}
	for _, r := range rules {
		want := r.Logsource.lower()
		if want.Product == "zeek" || want == (Logsource{}) { // the service is the name of the log
			continue
		}
		if !slices.ContainsFunc(have, func(l Logsource) bool { return l.covers(want) }) {
			n[want.text()]++
		}
	}
	for l, rules := range n {
		out = append(out, Unmet{l, rules})
	}
	slices.SortFunc(out, func(a, b Unmet) int {
		return cmp.Or(cmp.Compare(b.Rules, a.Rules), cmp.Compare(a.Logsource, b.Logsource))
	})
	return out
}

func (l Logsource) text() string {
	parts := []string{l.Product, l.Category, l.Service}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "/")
}
