// Package price knows what models cost. What it does not know has an unknown
// cost, never none.
package price

import (
	"fmt"
	"regexp"
	"strings"

	"bartizan/content"
	"bartizan/internal/conf"
	"bartizan/internal/gateway/tokens"
	"bartizan/internal/guard/wire"
)

// Price of a model in US dollars for a million tokens, which is millionths of a
// dollar for one.
type Price struct {
	Model   string  `yaml:"model"` // * at the end stands for anything
	Input   float64 `yaml:"input"`
	Output  float64 `yaml:"output"`  // reasoning too
	Cached  float64 `yaml:"cached"`  // input that was read from the provider's cache; 0: as Input
	Written float64 `yaml:"written"` // input that was written to it; 0: as Input
	Source  string  `yaml:"source"`  // where it is from
}

type file struct {
	Date    string            `yaml:"date"`
	Sources map[string]string `yaml:"sources"`
	Models  []Price           `yaml:"models"`
}

// Table of prices.
type Table struct {
	exact  map[string]Price
	starts []Price // own ones that end in *
	tokens *tokens.Table
	Date   string // of the shipped prices
}

// Load reads the shipped prices; own ones come first.
func Load(own []Price) (*Table, error) {
	f, err := conf.Decode("content/prices/models.yaml", content.Prices(), file{})
	if err != nil {
		return nil, err
	}
	t := &Table{exact: map[string]Price{}, Date: f.Date}
	if t.tokens, err = tokens.Load(); err != nil {
		return nil, err
	}
	for _, p := range f.Models {
		if p.Source = f.Sources[p.Source]; p.Source == "" {
			return nil, fmt.Errorf("prices: %s has no source", p.Model)
		}
		if err := t.add(p); err != nil {
			return nil, err
		}
	}
	for i := len(own) - 1; i >= 0; i-- { // the first of two wins
		if err := t.add(own[i]); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *Table) add(p Price) error {
	if p.Model == "" || p.Input < 0 || p.Output < 0 || p.Cached < 0 || p.Written < 0 {
		return fmt.Errorf("price of %.60q: needs a model, and nothing below zero", p.Model)
	}
	if p.Cached == 0 {
		p.Cached = p.Input
	}
	if p.Written == 0 {
		p.Written = p.Input
	}
	if start, any := strings.CutSuffix(p.Model, "*"); any {
		p.Model = start
		t.starts = append([]Price{p}, t.starts...)
		return nil
	}
	t.exact[p.Model] = p
	return nil
}

var (
	dated  = regexp.MustCompile(`[-@](\d{4}-\d{2}-\d{2}|\d{8}|latest|001|002)$`)
	region = regexp.MustCompile(`^(?:arn:aws[a-z-]*:bedrock:[^/]*/)?(?:(?:us|eu|apac|jp|au|global|us-gov)\.)?(?:anthropic\.)?`)
	build  = regexp.MustCompile(`-v\d+(:\d+)?$`)
)

// Of is the price of a model; ok is false when it is not known.
func (t *Table) Of(model string) (p Price, ok bool) {
	if p, ok = t.exact[model]; ok {
		return p, true
	}
	for _, p := range t.starts {
		if strings.HasPrefix(model, p.Model) {
			return p, true
		}
	}
	plain := strings.TrimPrefix(build.ReplaceAllString(region.ReplaceAllString(model, ""), ""), "models/")
	if p, ok = t.exact[plain]; ok {
		return p, true
	}
	p, ok = t.exact[dated.ReplaceAllString(plain, "")]
	return p, ok
}

// Cost of what a provider counted, in millionths of a dollar. It is not known when
// the provider did not say what a part of it is.
func (p Price) Cost(u *wire.Usage) (micros int64, ok bool) {
	if u == nil || u.Input < 0 || u.Output < 0 {
		return 0, false
	}
	cached, written := max(u.CacheRead, 0), max(u.CacheWrite, 0)
	plain := max(u.Input-cached-written, 0)
	return ceil(float64(plain)*p.Input + float64(cached)*p.Cached + float64(written)*p.Written + float64(u.Output)*p.Output), true
}

// Estimate is the most that an exchange will probably cost, in millionths of a dollar.
func (p Price) Estimate(input, output int64) int64 {
	return ceil(float64(input)*max(p.Input, p.Written) + float64(output)*p.Output)
}

// Encoding is what texts for a model are counted with, before the provider counts.
func (t *Table) Encoding(model string) *tokens.Encoding { return t.tokens.Of(model) }

func ceil(f float64) int64 {
	n := int64(f)
	if float64(n) < f {
		n++
	}
	return n
}
