package records

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"bartizan/internal/intel"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// TestFlowsTellOnce: what says nothing new is dropped; another actor, another
// side, another day, and a conversation after a knock are new.
func TestFlowsTellOnce(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(list, []byte("type,value\nip,192.0.2.0/24\nip,198.51.100.7:8443\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	feeds, _, err := LoadFeeds([]string{list}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const t0 = 1_700_000_000
	listed, other, far, own := observe.Addr4(0xc0000201), observe.Addr4(0xc0000202), observe.Addr4(0xc6336407), observe.Addr4(0x0a000001)
	flow := func(src, dst observe.Addr, sp, dp uint16, bytes uint64, at int64) observe.Flow {
		return observe.Flow{Src: src, Dst: dst, SrcPort: sp, DstPort: dp, Proto: observe.ProtoTCP, Packets: 9, Bytes: bytes, Action: observe.FlowAccept, Start: at}
	}
	steps := []struct {
		flow observe.Flow
		want string // severity and actor; "": nothing
	}{
		{flow(listed, own, 50000, 443, 90, t0), "low 192.0.2.1"},
		{flow(listed, own, 50001, 443, 90, t0+60), ""},
		{flow(listed, own, 50002, 443, 9000, t0+120), "medium 192.0.2.1"}, // it talks now
		{flow(own, listed, 443, 50002, 9000, t0+120), ""},                 // the answer
		{flow(other, own, 50000, 443, 9000, t0+130), "medium 192.0.2.2"},
		{flow(own, listed, 50000, 443, 9000, t0+140), "high 10.0.0.1"},
		{flow(own, other, 50000, 443, 9000, t0+150), ""}, // the same prefix
		{flow(listed, own, 50002, 443, 9000, t0+2*86400), "medium 192.0.2.1"},
		{flow(own, far, 50000, 443, 9000, t0), ""}, // listed for another port
		{flow(own, far, 50000, 8443, 9000, t0), "high 10.0.0.1"},
		{flow(observe.Addr4(0xcb007101), own, 50000, 443, 9000, t0), ""},
	}
	var got []string
	m := NewMatcher(feeds, func(_ uint64, s model.Signal, from []intel.Provenance) {
		if len(from) == 0 {
			t.Errorf("nobody says %s", s.Title)
		}
		got = append(got, s.Severity.String()+" "+s.Address)
	})
	for i, s := range steps {
		got = nil
		m.Process(&observe.LogBatch{Input: "test", Flows: []observe.Flow{s.flow}})
		var want []string
		if s.want != "" {
			want = []string{s.want}
		}
		if !slices.Equal(got, want) {
			t.Errorf("step %d: %q, want %q", i, got, want)
		}
	}
	if m.Wrong() > 0 {
		t.Errorf("%d signals fail their own check", m.Wrong())
	}
}

// TestMetIsBounded: actors without number do not fill the memory.
func TestMetIsBounded(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte("100.0.0.0/8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	feeds, _, err := LoadFeeds([]string{list}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := NewMatcher(feeds, func(uint64, model.Signal, []intel.Provenance) {})
	for i := range uint32(maxMet + 10) {
		f := observe.Flow{Src: observe.Addr4(100<<24 | i), Dst: observe.Addr4(0x0a000001), SrcPort: 50000, DstPort: 443, Start: 1_700_000_000}
		m.known(&f, 1, true, 50000)
	}
	if len(m.met) > maxMet {
		t.Errorf("%d remembered", len(m.met))
	}
}
