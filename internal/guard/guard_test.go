package guard_test

import (
	"errors"
	"strings"
	"testing"

	"bartizan/internal/guard"
)

type fake func(*guard.Text) ([]guard.Finding, error)

func (f fake) Inspect(t *guard.Text) ([]guard.Finding, error) { return f(t) }

func finds(score float64) fake {
	return func(*guard.Text) ([]guard.Finding, error) {
		return []guard.Finding{{Category: guard.Secret, Score: score, Note: "x"}}, nil
	}
}

func TestVerdict(t *testing.T) {
	cases := []struct {
		in     fake
		closed bool
		want   guard.Action
		state  guard.State
	}{
		{finds(0.19), true, guard.Allow, guard.Clean},
		{finds(0.2), true, guard.Allow, guard.Found},
		{finds(0.49), true, guard.Allow, guard.Found},
		{finds(0.5), true, guard.Flag, guard.Found},
		{finds(0.9), true, guard.Block, guard.Found},
		{func(*guard.Text) ([]guard.Finding, error) { return nil, nil }, true, guard.Allow, guard.Clean},
		{func(*guard.Text) ([]guard.Finding, error) { return nil, &guard.NothingToDo{Why: "none"} }, true, guard.Allow, guard.Skip},
		{func(*guard.Text) ([]guard.Finding, error) { return nil, errors.New("broken") }, true, guard.Flag, guard.Failed},
		{func(*guard.Text) ([]guard.Finding, error) { return nil, errors.New("broken") }, false, guard.Allow, guard.Failed},
		{func(*guard.Text) ([]guard.Finding, error) { panic("no") }, true, guard.Flag, guard.Failed},
	}
	for i, c := range cases {
		e := guard.NewEngine([]guard.Named{{Name: "one", Inspector: c.in}}, nil, c.closed)
		v, err := e.Inspect("hello", guard.User)
		if err != nil || v.Action != c.want || len(v.Reports) != 1 || v.Reports[0].State != c.state || v.Reports[0].Name != "one" {
			t.Errorf("case %d: %+v, %v", i, v, err)
		}
	}
}

func TestTooLongIsNotInspected(t *testing.T) {
	e := guard.NewEngine([]guard.Named{{Name: "one", Inspector: finds(0)}}, nil, true)
	v, err := e.Inspect(strings.Repeat("a", guard.MaxText+1), guard.User)
	if _, ok := errors.AsType[*guard.TooLong](err); !ok || len(v.Reports) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestRoles(t *testing.T) {
	for s, want := range map[string]guard.Role{"": guard.Unknown, "user": guard.User, "tool": guard.Document, "document": guard.Document} {
		if r, ok := guard.ParseRole(s); !ok || r != want {
			t.Errorf("%q: %v, %v", s, r, ok)
		}
	}
	if _, ok := guard.ParseRole("emperor"); ok {
		t.Error("an unknown role is known")
	}
}
