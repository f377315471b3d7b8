package schema

import (
	"crypto/sha256"
	"encoding/json"
	"strings"
	"sync"

	"bartizan/internal/guard"
	"bartizan/internal/guard/wire/tape"
)

// Scores of findings about schemas that requests name.
const (
	scoreShape   = 0.95
	scoreIgnored = 0.3 // noted, not flagged
)

// Demand implements guard.Demander: what a request asks for is what its answer must be.
func (i inspector) Demand(all []guard.Asked) (guard.Judge, [][]guard.Finding) {
	if !i.requested || len(all) == 0 {
		return nil, nil
	}
	about := make([][]guard.Finding, len(all))
	by := map[string][]*checked{}
	for k, a := range all {
		c, err := i.cache.read(a)
		what := "the schema of the answer"
		if a.Tool != "" {
			what = "the schema of a tool"
		}
		if err != nil {
			about[k] = []guard.Finding{{Category: guard.Shape, Score: scoreShape, Note: what + " cannot be enforced: " + err.Error()}}
			continue
		}
		if len(c.ignored) > 0 {
			about[k] = []guard.Finding{{Category: guard.Shape, Score: scoreIgnored, Note: what + " is enforced without " + strings.Join(c.ignored, ", ")}}
		}
		by[a.Tool] = append(by[a.Tool], c)
	}
	return func(tool, text string) ([]guard.Finding, error) {
		for _, c := range by[tool] {
			if note, err := c.note(tool, text); note != "" || err != nil {
				return found(note), err
			}
		}
		return nil, nil
	}, about
}

// note says what is wrong with a text, without quoting it; "" when nothing is.
func (c *checked) note(tool, text string) (string, error) {
	if text = strings.TrimSpace(text); text == "" && tool != "" {
		text = "{}" // some models say nothing where there is nothing to say
	}
	what := "the answer is "
	if tool != "" {
		what = "arguments of a call are "
	}
	var t tape.Tape
	if err := t.Read([]byte(text)); err != nil {
		return what + "no JSON that everybody reads alike", nil
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return what + "no JSON", nil
	}
	ok, err := c.fits(v)
	if err != nil {
		return "", err
	}
	if !ok {
		return what + "JSON, but not of the schema that the request names", nil
	}
	return "", nil
}

// maxCached is how many bytes of schemas are remembered: applications send the same ones
// with every request.
const maxCached = 4 << 20

type cache struct {
	mu    sync.Mutex
	bytes int
	known map[cacheKey]cached
}

type cacheKey struct {
	sum     [sha256.Size]byte
	openAPI bool
}

type cached struct {
	c   *checked
	err error
}

func (m *cache) read(a guard.Asked) (*checked, error) {
	key := cacheKey{sha256.Sum256([]byte(a.Text)), a.OpenAPI}
	m.mu.Lock()
	got, ok := m.known[key]
	m.mu.Unlock()
	if ok {
		return got.c, got.err
	}
	got.c, got.err = read(a.Text, a.OpenAPI)
	m.mu.Lock()
	defer m.mu.Unlock()
	size := min(len(a.Text), maxAsked) + 1<<10
	if m.bytes += size; m.known == nil || m.bytes > maxCached {
		m.known, m.bytes = map[cacheKey]cached{}, size
	}
	m.known[key] = got
	return got.c, got.err
}
