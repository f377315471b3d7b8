package export_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bartizan/internal/export"
)

// flaky fails a number of times.
type flaky struct {
	fail  int
	err   error
	calls []time.Time
}

func (f *flaky) Send(context.Context, []export.Event) (int, error) {
	f.calls = append(f.calls, time.Now())
	if len(f.calls) <= f.fail {
		return 0, f.err
	}
	return 2, nil
}

func (*flaky) Close() error { return nil }

func TestDeliver(t *testing.T) {
	down := errors.New("down")
	for name, c := range map[string]struct {
		sink  flaky
		retry export.Retry
		want  []time.Duration // pauses
		fails string
	}{
		"at once":     {flaky{}, export.Retry{First: 1, Most: 1}, nil, ""},
		"doubles":     {flaky{fail: 4, err: down}, export.Retry{First: time.Second, Most: 3 * time.Second}, []time.Duration{1e9, 2e9, 3e9, 3e9}, ""},
		"gives up":    {flaky{fail: 9, err: down}, export.Retry{First: time.Second, Most: time.Second, Times: 3}, []time.Duration{1e9, 1e9}, "3 tries: down"},
		"later":       {flaky{fail: 1, err: &export.LaterError{After: 7 * time.Second, Err: down}}, export.Retry{First: time.Second, Most: time.Minute}, []time.Duration{7e9}, ""},
		"later, max":  {flaky{fail: 1, err: &export.LaterError{After: time.Hour, Err: down}}, export.Retry{First: time.Second, Most: time.Minute}, []time.Duration{60e9}, ""},
		"not earlier": {flaky{fail: 1, err: &export.LaterError{After: 1, Err: down}}, export.Retry{First: time.Second, Most: time.Minute}, []time.Duration{1e9}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				left, err := export.Deliver(t.Context(), &c.sink, nil, c.retry)
				if c.fails == "" && (left != 2 || err != nil) || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
					t.Errorf("%d, %v", left, err)
				}
				if len(c.sink.calls) != len(c.want)+1 {
					t.Fatalf("%d calls, want %d", len(c.sink.calls), len(c.want)+1)
				}
				for i, want := range c.want {
					if got := c.sink.calls[i+1].Sub(c.sink.calls[i]); got != want {
						t.Errorf("pause %d was %v, want %v", i, got, want)
					}
				}
			})
		})
	}
}

func TestDeliverEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		s := &flaky{fail: 1 << 30, err: errors.New("down")}
		_, err := export.Deliver(ctx, s, nil, export.Retry{First: time.Minute, Most: time.Minute})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "down") || len(s.calls) != 2 {
			t.Errorf("%v after %d calls", err, len(s.calls))
		}
	})
}

func TestParse(t *testing.T) {
	e, err := export.Parse("signal", []byte(`{"time":1790000000123,"severity_id":4,"x":[]}`))
	if err != nil || e.Time.UnixMilli() != 1790000000123 || e.Severity != 4 || e.Class != "signal" {
		t.Errorf("%+v, %v", e, err)
	}
	for _, bad := range []string{"", "[]", `{"time":"now"}`, `{`} {
		if _, err := export.Parse("signal", []byte(bad)); err == nil {
			t.Errorf("%q is an event", bad)
		}
	}
}
