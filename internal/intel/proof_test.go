package intel

import (
	"net/netip"
	"testing"
	"time"

	"bartizan/internal/model"
)

// A contact raises the confidence and proves nothing: after a block has ended,
// a knock alone must not bring the next one.
func TestContactIsNoProof(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	actor := model.AddrEntity(netip.MustParseAddr("203.0.113.9"))
	signal := func(at time.Time, kind string, class model.Class) *model.Signal {
		return &model.Signal{ID: model.NewULID(at), Time: at, Kind: kind, Class: class, Actor: actor, Sensor: "s", Confidence: 0.9, Count: 1}
	}
	st := New(Default())
	st.Fold(signal(now, "exploit.rce", model.ClassExploit))
	later := now.Add(time.Minute)
	st.Fold(signal(later, "contact.decoy", model.ClassContact))
	ind, ok := st.Get(actor, later)
	if !ok || !ind.LastProof.Equal(now) || !ind.LastSeen.Equal(later) {
		t.Fatalf("last proof %v, last seen %v; want %v and %v", ind.LastProof, ind.LastSeen, now, later)
	}
	st.Fold(signal(later.Add(time.Second), "exploit.rce", model.ClassExploit))
	if ind, _ := st.Get(actor, later.Add(time.Second)); !ind.LastProof.Equal(later.Add(time.Second)) {
		t.Fatalf("new exploit, but the last proof is %v", ind.LastProof)
	}
}
