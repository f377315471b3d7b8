package llm

import (
	"testing"
	"time"

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
		c.Pace = 100 * time.Microsecond
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
	host  *persona.Persona
	model string // one that talks
}

func start(t testing.TB, edit func(*Config)) *rig {
	t.Helper()
	p := decoytest.Persona()
	r := &rig{Rig: decoytest.Start(t, build(edit)(t), p, decoy.DefaultLimits()), host: p}
	for _, m := range p.Ollama.Models {
		if !embeds(m) {
			r.model = m.Name
		}
	}
	return r
}

// exchanged waits for an exchange.
func (r *rig) exchanged(what string, want func(*observe.Exchange) bool) (found observe.Observation) {
	r.Sink.Wait(what, func(all []observe.Observation) bool {
		for i := range all {
			if all[i].Exchange != nil && want(all[i].Exchange) {
				found = all[i]
				return true
			}
		}
		return false
	})
	return found
}
