package hold

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"bartizan/internal/guard"
	"bartizan/internal/guard/wire"
)

// tally follows a conversation and finds its fourth "#".
type tally struct{}

func (tally) Inspect(*guard.Text) ([]guard.Finding, error) { return nil, nil }

func (tally) Remember() guard.Recall { return &count{} }

func (tally) Follow(r guard.Recall) guard.Follow {
	c, ok := r.(*count)
	if !ok {
		c = &count{}
	}
	return &following{c}
}

type count struct {
	mu sync.Mutex
	n  int
}

func (c *count) Size() int { return 8 }

func (c *count) Snapshot() func(bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	return func(back bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if back {
			c.n = n
		}
	}
}

type following struct{ c *count }

func (f *following) Write(piece string) ([]guard.Finding, int) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if f.c.n += strings.Count(piece, "#"); f.c.n >= 4 {
		return []guard.Finding{{Category: guard.Secret, Score: 1, Note: "the fourth"}}, 0
	}
	return nil, 0
}

func (f *following) End() []guard.Finding { return nil }

// TestRepeatsKeepNothingBack: an event that repeats another text than came in pieces
// is no part of the channels together, and moves nothing in them.
func TestRepeatsKeepNothingBack(t *testing.T) {
	var b strings.Builder
	put(&b, line{C: "name", K: wire.Label, T: "get_weather", W: true})
	put(&b, line{C: "a", T: "it will "})
	put(&b, line{C: "b", T: "be fine "})
	put(&b, line{C: "c", T: "a text of its own", W: true})
	put(&b, line{C: "b", T: "in the afternoon"})
	put(&b, line{E: "end"})
	in := b.String()
	e := engine(t, guard.Named{Name: "tally", Inspector: tally{}})
	for n := 1; n < len(in); n += 7 {
		if out, _, err := run(t, Config{Engine: e, Memory: e.NewMemory()}, in, n); err != nil || string(out) != in {
			t.Fatalf("in steps of %d: %v\n%s", n, err, out)
		}
	}
}

// TestStoppedIsNotRemembered: what was stopped was not told, and what left before was.
func TestStoppedIsNotRemembered(t *testing.T) {
	e := engine(t, guard.Named{Name: "tally", Inspector: tally{}})
	m := e.NewMemory()
	turn := func(pieces ...string) bool {
		now := m.Begin()
		_, s, err := run(t, Config{Engine: e, Memory: m}, encode(pieces...), 1<<10)
		var blocked *Blocked
		if errors.As(err, &blocked) {
			now.Undo(s.Left())
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		now.Keep()
		return true
	}
	for i, step := range []struct {
		pieces []string
		passes bool
	}{
		{[]string{"#"}, true},
		{[]string{"##", "##"}, false}, // the first two have left: three were told
		{[]string{"harmless"}, true},
		{[]string{"#"}, false},
		{[]string{"harmless"}, true},
	} {
		if got := turn(step.pieces...); got != step.passes {
			t.Errorf("answer %d passes: %v", i, got)
		}
	}
	// Two at once: nothing is taken back.
	m = e.NewMemory()
	one, two := m.Begin(), m.Begin()
	if _, _, err := run(t, Config{Engine: e, Memory: m}, encode("####"), 1<<10); err == nil {
		t.Fatal("nothing found")
	}
	one.Undo(nil)
	two.Undo(nil)
	if turn("#") {
		t.Error("what two exchanges at once were told is forgotten")
	}
}
