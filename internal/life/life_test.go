package life

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// record collects what happened, in order.
type record struct {
	mu    sync.Mutex
	lines []string
}

func (r *record) add(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, s)
}

func (r *record) part(name string, drain time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		r.add(name + " told")
		<-time.After(drain)
		r.add(name + " ended")
		return ctx.Err()
	}
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestLastStartedStopsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r record
		g := New(nil)
		g.Go("store", r.part("store", time.Second))
		g.OnStop("socket", func(context.Context) error { r.add("socket closed"); return nil })
		g.Go("enforce", r.part("enforce", time.Second))
		g.Go("decoy", r.part("decoy", time.Second))
		if err := g.Wait(cancelled(), time.Minute); err != nil {
			t.Fatalf("ordinary stop: %v", err)
		}
		want := []string{"decoy told", "decoy ended", "enforce told", "enforce ended", "socket closed", "store told", "store ended"}
		if !slices.Equal(r.lines, want) {
			t.Errorf("order %q", r.lines)
		}
		for _, p := range g.Parts() {
			if p.State != Stopped || p.Err != nil {
				t.Errorf("%+v", p)
			}
		}
	})
}

func TestFailureEndsAll(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		run  func(context.Context) error
		want string
	}{
		"error":  {func(context.Context) error { return boom }, `part "bad": boom`},
		"nil":    {func(context.Context) error { return nil }, `part "bad" ended unasked`},
		"panic":  {func(context.Context) error { panic("ouch") }, `part "bad": bad panicked: ouch`},
		"goexit": {func(context.Context) error { runtime.Goexit(); return nil }, "Goexit"},
		// An inner context that ended is not an asked-for end.
		"canceled": {func(context.Context) error { return context.Canceled }, `part "bad": context canceled`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r record
				var logged bytes.Buffer
				g := New(slog.New(slog.NewTextHandler(&logged, nil)))
				g.Go("good", r.part("good", 0))
				g.Go("bad", c.run)
				err := g.Wait(t.Context(), time.Second)
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %v, want %s", err, c.want)
				}
				if n := strings.Count(err.Error(), `"bad"`); n != 1 {
					t.Errorf("the cause is said %d times: %v", n, err)
				}
				if !slices.Equal(r.lines, []string{"good told", "good ended"}) {
					t.Errorf("the other part: %q", r.lines)
				}
				if name == "panic" && !strings.Contains(logged.String(), "life_test.go") {
					t.Errorf("no stack in the log: %s", logged.String())
				}
				parts := g.Parts()
				if parts[0].State != Stopped || parts[1].State != Failed || parts[1].Err == nil {
					t.Errorf("states %+v", parts)
				}
			})
		})
	}
}

func TestStopErrorsAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, flush, step := errors.New("first"), errors.New("flush"), errors.New("step")
		g := New(nil)
		g.OnStop("file", func(context.Context) error { return step })
		g.OnStop("mad", func(context.Context) error { panic("mad") })
		g.Go("store", func(ctx context.Context) error { <-ctx.Done(); return flush })
		g.Go("bad", func(context.Context) error { return first })
		err := g.Wait(t.Context(), time.Second)
		for _, want := range []error{first, flush, step} {
			if !errors.Is(err, want) {
				t.Errorf("%v is missing in %v", want, err)
			}
		}
		if !strings.HasPrefix(err.Error(), `part "bad": first`) || !strings.Contains(err.Error(), "mad panicked") {
			t.Errorf("%v", err)
		}
	})
}

func TestStuckPartIsNamedAndLeavesTimeForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r record
		release := make(chan struct{})
		g := New(nil)
		g.Go("store", r.part("store", 3*time.Second))
		g.OnStop("deaf", func(context.Context) error { <-release; return nil })
		g.Go("stuck", func(context.Context) error { <-release; return nil })
		start := time.Now()
		err := g.Wait(cancelled(), 20*time.Second)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("took %s, more than the grace", took)
		}
		for _, want := range []string{`part "stuck" did not end within 10s`, `part "deaf" did not end within 5s`} {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%q missing in %v", want, err)
			}
		}
		if !slices.Equal(r.lines, []string{"store told", "store ended"}) {
			t.Errorf("the store was not allowed to finish: %q", r.lines)
		}
		close(release)
		synctest.Wait()
		if p := g.Parts()[2]; p.State != Failed {
			t.Errorf("a part that ended late did not end well: %+v", p)
		}
	})
}

func TestStopStepHonoursItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(nil)
		g.OnStop("slow", func(ctx context.Context) error { <-ctx.Done(); return errors.New("3 records lost") })
		err := g.Wait(cancelled(), time.Second)
		if !strings.Contains(fmt.Sprint(err), "3 records lost") {
			t.Errorf("what the step said is gone: %v", err)
		}
	})
}

func TestGoAfterStopDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(nil)
		if err := g.Wait(cancelled(), time.Second); err != nil {
			t.Fatal(err)
		}
		g.Go("late", func(context.Context) error { t.Error("ran"); return nil })
		synctest.Wait()
		if p := g.Parts(); len(p) != 1 || p[0].State != Stopped {
			t.Errorf("%+v", p)
		}
		defer func() {
			if v := recover(); !strings.HasPrefix(fmt.Sprint(v), "BUG:") {
				t.Errorf("a step that would never run must not be lost silently: %v", v)
			}
		}()
		g.OnStop("late", func(context.Context) error { return nil })
	})
}

func TestFail(t *testing.T) {
	boom := errors.New("boom")
	g := New(nil)
	g.Fail(boom)
	g.Fail(errors.New("second"))
	if err := g.Wait(t.Context(), time.Second); !errors.Is(err, boom) || strings.Contains(err.Error(), "second") {
		t.Error(err)
	}
}

func TestPartsWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r record
		g := New(nil)
		start := time.Now()
		g.Go("a", r.part("a", 0))
		time.Sleep(time.Hour)
		if p := g.Parts(); p[0].State != Running || p[0].Name != "a" || !p[0].Since.Equal(start) {
			t.Errorf("%+v", p)
		}
		if err := g.Wait(cancelled(), time.Second); err != nil {
			t.Error(err)
		}
		if p := g.Parts(); p[0].State != Stopped || !p[0].Since.After(start) {
			t.Errorf("%+v", p)
		}
	})
}
