package docker

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func build(edit func(*Config)) func(testing.TB) decoy.Service {
	return func(t testing.TB) decoy.Service {
		t.Helper()
		c := Default()
		if edit != nil {
			edit(&c)
		}
		v, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// rig is a decoy on loopback behind the real runner.
type rig struct {
	*decoytest.Rig
	host *persona.Persona
}

func start(t testing.TB) *rig {
	t.Helper()
	p := decoytest.Persona()
	return &rig{decoytest.Start(t, build(nil)(t), p, decoy.DefaultLimits()), p}
}

// saw waits for an observation.
func (r *rig) saw(what string, want func(*observe.Observation) bool) (found observe.Observation) {
	r.Sink.Wait(what, func(all []observe.Observation) bool {
		for i := range all {
			if want(&all[i]) {
				found = all[i]
				return true
			}
		}
		return false
	})
	return found
}

// called waits for an operation whose arguments contain something.
func (r *rig) called(op, arg string) observe.Observation {
	return r.saw(op+" with "+arg, func(o *observe.Observation) bool {
		return o.Call != nil && o.Call.Operation == op && strings.Contains(strings.Join(o.Call.Args, " "), arg)
	})
}

// commanded waits for a command line that contains something.
func (r *rig) commanded(part string) observe.Observation {
	return r.saw("command "+part, func(o *observe.Observation) bool { return o.Command != nil && strings.Contains(o.Command.Line, part) })
}
