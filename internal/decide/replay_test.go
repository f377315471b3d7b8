package decide

import (
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"bartizan/internal/intel"
	"bartizan/internal/model"
)

func stream(t *testing.T, fail error) iter.Seq2[*model.Signal, error] {
	return func(yield func(*model.Signal, error) bool) {
		n := 0
		for round := range 3 {
			for actor, conf := range map[string]float64{"185.1.1.1": 0.99, "185.1.1.2": 0.95, "185.1.1.3": 0.7} {
				for _, class := range []model.Class{model.ClassAuth, model.ClassCommand, model.ClassFile} {
					n++
					s := &model.Signal{ID: ulid(n), Time: at(time.Duration(round) * time.Hour), Kind: fmt.Sprint("k.", class), Class: class,
						Actor: ip(t, actor), Sensor: "s", Confidence: conf, Count: 1}
					if !yield(s, nil) {
						return
					}
				}
			}
		}
		if fail != nil {
			yield(nil, fail)
		}
	}
}

func TestReplay(t *testing.T) {
	rule := func(min, length string) *Policy {
		return policy(t, "mode: enforce\nrules: [{name: r, when: 'indicator.confidence >= "+min+"', action: block, for: "+length+"}]")
	}
	names := func(list []Difference) (out []string) {
		for _, d := range list {
			out = append(out, d.Target.Value())
		}
		return out
	}
	r, err := Replay(stream(t, nil), intel.New(intel.Default()), rule("0.8", "10m"), rule("0.8", "10m"), Facts{})
	if err != nil || r.Signals != 27 || r.Same != 2 || len(r.OnlyNew)+len(r.OnlyOld)+len(r.Changed)+len(r.Errors) != 0 {
		t.Fatalf("the same policy: %+v %v", r, err)
	}
	if !r.From.Equal(t0) || !r.Until.Equal(at(2*time.Hour)) {
		t.Fatalf("%v to %v", r.From, r.Until)
	}
	// The one word that turns observing into enforcing is a difference.
	watch := rule("0.8", "10m")
	watch.Mode = ModeObserve
	r, err = Replay(stream(t, nil), intel.New(intel.Default()), watch, rule("0.8", "10m"), Facts{})
	if err != nil || fmt.Sprint(names(r.Changed)) != "[185.1.1.1 185.1.1.2]" || r.Changed[0].Old.DryRun != 3 || r.Changed[0].New.DryRun != 0 {
		t.Fatalf("from observing to enforcing: %+v %v", r, err)
	}
	r, err = Replay(stream(t, nil), intel.New(intel.Default()), rule("0.8", "10m"), rule("0.3", "20m"), Facts{})
	if err != nil || fmt.Sprint(names(r.OnlyNew)) != "[185.1.1.3]" || len(r.OnlyOld) != 0 || fmt.Sprint(names(r.Changed)) != "[185.1.1.1 185.1.1.2]" {
		t.Fatalf("%+v %v", r, err)
	}
	if c := r.Changed[0]; c.Old.Decisions != 3 || c.Old.For != 30*time.Minute || c.New.For != time.Hour || c.New.Rules[0] != "r" {
		t.Fatalf("%+v %+v", c.Old, c.New)
	}
	r, err = Replay(stream(t, nil), intel.New(intel.Default()), rule("0.8", "10m"), policy(t, "mode: enforce"), Facts{Addresses: addrs("185.1.1.1")})
	if err != nil || fmt.Sprint(names(r.OnlyOld)) != "[185.1.1.1 185.1.1.2]" || r.OnlyOld[0].Old.Held == 0 || r.OnlyOld[0].Old.Stopped == "" {
		t.Fatalf("%+v %v", r, err)
	}
	bad := errors.New("disk")
	if r, err = Replay(stream(t, bad), intel.New(intel.Default()), nil, rule("0.8", "10m"), Facts{}); !errors.Is(err, bad) || len(r.OnlyNew) != 2 {
		t.Fatalf("%+v %v", r, err)
	}
}
