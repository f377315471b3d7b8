package decoy_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers each line with itself.
type echo struct{}

func (echo) Serve(_ context.Context, s *decoy.Session) error {
	for {
		line, err := s.ReadLine()
		if err != nil {
			return err
		}
		if _, err := s.WriteString(line + "\n"); err != nil {
			return err
		}
		if err := s.Flush(); err != nil {
			return err
		}
	}
}

// play is a service made of a function.
type play func(ctx context.Context, s *decoy.Session) error

func (p play) Serve(ctx context.Context, s *decoy.Session) error { return p(ctx, s) }

// run runs functions until the test ends, and waits for them.
func run(t *testing.T, list ...func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, len(list))
	for _, f := range list {
		go func() { done <- f(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range list {
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("ended with %v", err)
				}
			case <-time.After(decoytest.Patience):
				t.Fatal("does not end")
			}
		}
	})
}

// wait polls until ok.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.After(decoytest.Patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
