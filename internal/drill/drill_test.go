package drill

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"

	"github.com/google/nftables"
)

func TestQuantiles(t *testing.T) {
	var v []float64
	for i := 1; i <= 200; i++ {
		v = append(v, float64(i))
	}
	rand.Shuffle(len(v), func(i, j int) { v[i], v[j] = v[j], v[i] })
	q := quantiles(v)
	if q.N != 200 || *q.P50 != 100 || *q.P99 != 198 || *q.Max != 200 {
		t.Errorf("n %d p50 %v p99 %v max %v", q.N, *q.P50, *q.P99, *q.Max)
	}
	if q := quantiles(nil); q.P50 != nil {
		t.Error("no sample has a median")
	}
}

// A node is put to what it has: one without decoys is not blamed for them.
func TestControls(t *testing.T) {
	ports, gateway := map[string]uint16{"ssh": 22}, &toyModel{}
	for _, c := range []struct {
		d    drill
		want int
		last string
	}{
		{drill{ports: ports}, len(ControlNames()), "never-list"},
		{drill{ports: ports, model: gateway}, len(ControlNames()) + 3, "mcp-rug-pull"},
		{drill{model: gateway}, 2, "mcp-rug-pull"},
	} {
		if names := c.d.controls(); len(names) != c.want || names[len(names)-1] != c.last {
			t.Errorf("%v", names)
		}
	}
}

// The last evidence byte is the newest step the decision can rest on, never a
// later one: that would flatter the node.
func TestTimeline(t *testing.T) {
	t0 := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	steps := []news{{What: "step", Time: at(0)}, {What: "step", Time: at(100)}, {What: "step", Time: at(140)}}
	d := api.Decision{Decision: model.Decision{From: at(120), Because: model.Because{Seen: at(101), Stored: at(105), Folded: at(110)}},
		Receipts: []model.Receipt{{Status: model.Applied, Time: at(130)}}}
	s := timeline(d, steps, at(150))
	for name, got := range map[string][2]float64{"signal": {*s.Signal, 5}, "indicator": {*s.Indicator, 10}, "decision": {*s.Decision, 20}, "enforced": {*s.Enforced, 30}, "dropped": {*s.Dropped, 50}} {
		if got[0] != got[1] {
			t.Errorf("%s after %v ms, want %v", name, got[0], got[1])
		}
	}
	if s := timeline(d, nil, at(150)); s.Dropped != nil {
		t.Error("without a step there is no time")
	}
}

func TestCovering(t *testing.T) {
	el := func(s string, end bool) nftables.SetElement {
		return nftables.SetElement{Key: netip.MustParseAddr(s).AsSlice(), IntervalEnd: end}
	}
	set := []nftables.SetElement{el("198.18.0.9", false), el("198.18.0.10", true), el("198.18.4.0", false), el("198.18.5.0", true), el("0.0.0.0", true)}
	for addr, want := range map[string]string{"198.18.0.9": "198.18.0.9-198.18.0.9", "198.18.4.200": "198.18.4.0-198.18.4.255", "198.18.0.8": "", "198.18.0.10": "", "198.18.5.0": ""} {
		e, ok := covering(set, netip.MustParseAddr(addr))
		got := ""
		if ok {
			got = e.first.String() + "-" + e.last.String()
		}
		if got != want {
			t.Errorf("%s is covered by %q, want %q", addr, got, want)
		}
	}
}

// watcher: a door is shut from the first of three unanswered knocks in a row,
// whatever order their outcomes come in, and one lost knock is no shut door.
func TestWatcher(t *testing.T) {
	var heard []news
	w := &watcher{say: func(n news) { heard = append(heard, n) }}
	t0 := time.Now()
	at := func(n uint64) time.Time { return t0.Add(time.Duration(n) * time.Millisecond) }
	lost := syscall.ETIMEDOUT
	timeout := error(&timeoutError{lost})
	w.result(1, at(1), nil)
	w.result(3, at(3), nil)
	w.result(2, at(2), timeout) // lost between answered ones
	w.result(4, at(4), nil)
	w.result(6, at(6), timeout)
	w.result(5, at(5), timeout)
	w.result(7, at(7), timeout)
	w.result(8, at(8), timeout)
	w.result(9, at(9), nil)
	var got []string
	for _, n := range heard {
		got = append(got, n.What+"@"+n.Time.Sub(t0).String())
	}
	if want := "open@1ms shut@5ms open@9ms"; strings.Join(got, " ") != want {
		t.Errorf("heard %v, want %s", got, want)
	}
	w.result(10, at(10), errors.New("no route to host"))
	if last := heard[len(heard)-1]; last.What != "fault" {
		t.Errorf("a knock that could not be made is told as %q, not as a shut door", last.What)
	}
}

type timeoutError struct{ error }

func (*timeoutError) Timeout() bool   { return true }
func (*timeoutError) Temporary() bool { return true }

func TestReportShape(t *testing.T) {
	b, err := json.Marshal(summarise([][]outcome{{{name: "ssh-brute", ok: true, verified: true, steps: Steps{Dropped: ms(7 * time.Millisecond), Released: ms(0)}}, fail("telnet", "why")}}, time.Second, ControlNames()))
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Controls []struct {
			Name, Detail string
			OK, Verified bool
			MS           map[string]*float64
		}
		Summary struct {
			Controls, OK, Verified int
			SensorToDrop           map[string]*float64 `json:"sensor_to_drop_ms"`
			Release                map[string]*float64 `json:"release_ms"`
		}
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Controls) != len(ControlNames()) || r.Summary.Controls != len(ControlNames()) || r.Summary.OK != 1 || r.Summary.Verified != 1 {
		t.Errorf("%s", b)
	}
	if *r.Summary.SensorToDrop["p50"] != 7 || *r.Summary.Release["p99"] != 0 {
		t.Errorf("summary %s", b)
	}
	for _, c := range r.Controls {
		for _, step := range []string{"signal", "indicator", "decision", "enforced", "released"} {
			if _, ok := c.MS[step]; !ok {
				t.Errorf("control %s has no %s", c.Name, step)
			}
		}
		if c.Name == "redis" && (c.OK || c.Detail == "") {
			t.Error("a control that did not run is ok, or does not say so")
		}
	}
	if u := Unproven("no root", false); u.Summary.OK != 0 || len(u.Controls) != len(ControlNames()) {
		t.Error("an unproven drill proves something")
	}
}

func TestAttackersHaveAddressesOfTheirOwn(t *testing.T) {
	l := &link{net4: netip.MustParsePrefix("198.18.16.0/20"), net6: netip.MustParsePrefix("2001:db8:1::/48")}
	seen := map[netip.Addr]bool{}
	for n := range 4000 {
		a, b := l.attacker(n, false), l.attacker(n, true)
		if !l.net4.Contains(a) || !l.net6.Contains(b) {
			t.Fatalf("attacker %d: %s, %s outside its ranges", n, a, b)
		}
		if seen[a] || seen[model.ActorPrefix(b).Addr()] {
			t.Fatalf("attacker %d shares an address with another: %s, %s", n, a, b)
		}
		seen[a], seen[model.ActorPrefix(b).Addr()] = true, true
	}
}
