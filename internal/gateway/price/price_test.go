package price

import (
	"testing"

	"bartizan/internal/guard/wire"
)

func TestPrices(t *testing.T) {
	table, err := Load([]Price{{Model: "llama*", Input: 1, Output: 2}, {Model: "gpt-4o", Input: 100, Output: 200}, {Model: "local", Input: 0, Output: 0}})
	if err != nil {
		t.Fatal(err)
	}
	if len(table.exact) < 30 || table.Date == "" {
		t.Fatalf("%d prices of %q", len(table.exact), table.Date)
	}
	for model, input := range map[string]float64{"gpt-4o": 100, "gpt-4o-2024-08-06": 100, "gpt-4o-mini": 0.15, "llama3.3:70b": 1, "claude-sonnet-4-5-20250929": 3, "local": 0,
		"us.anthropic.claude-3-5-haiku-20241022-v1:0": 0.8, "amazon.nova-lite-v1:0": 0.06, "models/gemini-2.5-flash": 0.3, "gemini-2.0-flash-001": 0.1} {
		if p, ok := table.Of(model); !ok || p.Input != input {
			t.Errorf("%s: %+v %v, want %v", model, p, ok, input)
		}
	}
	for _, model := range []string{"", "gpt-9", "gpt-4o-audio-preview", "claude", "gpt-4oo", "my-gpt-4o"} {
		if p, ok := table.Of(model); ok {
			t.Errorf("%s: %+v", model, p)
		}
	}
}

func TestCost(t *testing.T) {
	p := Price{Input: 3, Output: 15, Cached: 0.3, Written: 3.75}
	for _, c := range []struct {
		u    *wire.Usage
		want int64
		ok   bool
	}{
		{nil, 0, false}, {&wire.Usage{Input: -1, Output: 5}, 0, false},
		{&wire.Usage{Input: 1000, Output: 100, CacheRead: -1, CacheWrite: -1}, 4500, true},
		{&wire.Usage{Input: 1000, Output: 0, CacheRead: 900, CacheWrite: 50}, 608, true}, // 150 + 270 + 187.5
	} {
		if got, ok := p.Cost(c.u); got != c.want || ok != c.ok {
			t.Errorf("%+v: %d %v, want %d %v", c.u, got, ok, c.want, c.ok)
		}
	}
}

func TestBadPrices(t *testing.T) {
	for _, p := range []Price{{}, {Model: "a", Input: -1}} {
		if _, err := Load([]Price{p}); err == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
}
