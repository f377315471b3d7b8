// Package guardtest is the conformance suite of inspectors: what every one of
// them must do with hostile texts.
package guardtest

import (
	"strings"
	"sync"
	"testing"

	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
)

// Case is one text and what an inspector must say.
type Case struct {
	Text string
	Role guard.Role
	Note string // part of a note; "" for nothing found
}

// Text prepares a text as the engine does, without the readings that need a model.
func Text(s string, role guard.Role) *guard.Text {
	t := &guard.Text{Raw: s, Role: role}
	t.Views, t.Hidden = decode.Views(s, nil)
	return t
}

// Run checks the cases and then the behaviour that all share. found is a text
// in which the inspector must find something.
func Run(t *testing.T, in guard.Inspector, cases []Case) {
	t.Helper()
	hits, clean := 0, 0
	for _, c := range cases {
		got, err := in.Inspect(Text(c.Text, c.Role))
		if err != nil {
			t.Errorf("%.60q: %v", c.Text, err)
			continue
		}
		if c.Note == "" {
			clean++
			if len(got) != 0 {
				t.Errorf("%.60q: found %+v, want nothing", c.Text, got)
			}
			continue
		}
		hits++
		said := false
		for _, f := range got {
			said = said || strings.Contains(f.Note, c.Note)
			if f.Score < 0 || f.Score > 1 || f.Category == "" || f.Note == "" {
				t.Errorf("%.60q: incomplete finding %+v", c.Text, f)
			}
		}
		if !said {
			t.Errorf("%.60q: no note with %q in %+v", c.Text, c.Note, got)
		}
	}
	if hits < 1 || clean < 1 {
		t.Fatalf("%d cases that find and %d that do not: give at least one of each", hits, clean)
	}
	hostile(t, in, cases)
}

// hostile: no panic, no error, the same answer each time and from many sides.
func hostile(t *testing.T, in guard.Inspector, cases []Case) {
	t.Helper()
	texts := []string{"", "\x00", "\xff\xfe\xfd", strings.Repeat("a", 1<<18), strings.Repeat("![](", 1<<14), strings.Repeat("<img src=", 1<<13),
		strings.Repeat("1", 1<<16), strings.Repeat("%41", 1<<14), strings.Repeat("\u202e\u200b", 1<<14), strings.Repeat("{[", 1<<15)}
	for _, c := range cases {
		texts = append(texts, c.Text)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for _, s := range texts {
				a, errA := in.Inspect(Text(s, guard.Document))
				b, errB := in.Inspect(Text(s, guard.Document))
				if errA != nil || errB != nil {
					t.Errorf("%.40q: %v, %v", s, errA, errB)
				}
				if len(a) != len(b) {
					t.Errorf("%.40q: %d findings, then %d", s, len(a), len(b))
				}
			}
		})
	}
	wg.Wait()
}
