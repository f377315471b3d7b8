package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"bartizan/internal/api"
)

// TestOneHuntAtATime: a second one is turned away after a while and costs nothing; who goes is not waited for.
func TestOneHuntAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{hunting: make(chan struct{}, 1)}
		n.hunting <- struct{}{}
		if _, err := n.hunt(t.Context(), api.HuntRequest{SQL: "SELECT 1"}); !errors.Is(err, api.ErrBusy) {
			t.Errorf("got %v, want busy", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := n.hunt(ctx, api.HuntRequest{SQL: "SELECT 1"}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
		<-n.hunting
		if len(n.hunting) != 0 {
			t.Error("a hunt that was turned away holds the place")
		}
	})
}
