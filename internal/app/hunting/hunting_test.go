package hunting

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"bartizan/internal/api"
	"bartizan/internal/lake/bucket"
)

// TestOneHuntAtATime: a second one is turned away after a while and costs nothing; who goes is not waited for.
func TestOneHuntAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New("", bucket.Config{}, io.Discard)
		d.place <- struct{}{}
		if _, err := d.Hunt(t.Context(), api.HuntRequest{SQL: "SELECT 1"}); !errors.Is(err, api.ErrBusy) {
			t.Errorf("got %v, want busy", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Hunt(ctx, api.HuntRequest{SQL: "SELECT 1"}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
		<-d.place
		if len(d.place) != 0 {
			t.Error("a hunt that was turned away holds the place")
		}
	})
}
