package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/bus"
	"bartizan/internal/intel"
	"bartizan/internal/model"
	"bartizan/internal/obs"
)

// pages asks the API of a node for a list, page by page; between is called after each page with how many there were.
func pages[T any](t *testing.T, n *Node, path string, filters url.Values, between func(page int)) (all []T) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	node := api.Node{Signals: n.signals, Intel: n.intel, Metrics: http.NotFoundHandler(), Health: http.NotFoundHandler()}
	s := api.NewServer(api.Options{Node: node, Log: n.log, Metrics: obs.NewMetrics()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.ServeAdmin(ctx, l) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	defer func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for page := 1; page < 2000; page++ {
		resp, err := (&http.Client{Transport: transport}).Get("http://node" + path + "?" + filters.Encode())
		if err != nil {
			t.Fatal(err)
		}
		var p api.Page[T]
		err = json.NewDecoder(resp.Body).Decode(&p)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("page %d: %s, %v", page, resp.Status, err)
		}
		if all = append(all, p.Items...); p.Next == "" {
			return all
		}
		filters.Set("cursor", p.Next)
		between(page)
	}
	t.Fatalf("%s?%s has no end", path, filters.Encode())
	return nil
}

// TestSignalPages: of a stream that grows, and loses its oldest for it, while it is read in small pages, nothing comes
// twice and nothing is left out that was there at the first page and still is.
func TestSignalPages(t *testing.T) {
	n := &Node{conf: DefaultConfig(), log: slog.New(slog.DiscardHandler)}
	n.conf.Bus.SignalBytes = 300_000
	var err error
	if n.bus, err = bus.Open(t.Context(), bus.Config{Dir: t.TempDir()}, n.log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.bus.Close(context.Background()) })
	topic := signalTopic(&n.conf)
	publisher, err := bus.NewPublisher(t.Context(), n.bus, topic)
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	grow := func(count int) {
		items := make([]bus.Item[model.Signal], count)
		for i := range items {
			made++
			actor, err := model.ParseIP(fmt.Sprintf("198.51.100.%d", made%3))
			if err != nil {
				t.Fatal(err)
			}
			kind := []string{"a.b", "c.d"}[made%2]
			if made%90 == 0 {
				kind = "rare"
			}
			// Its number is that of its place in the stream.
			items[i] = bus.Item[model.Signal]{Key: actor.Value(), Value: model.Signal{ID: model.NewULID(time.Now()), Time: time.Now(), Kind: kind, Actor: actor, Count: made}}
		}
		if err := publisher.PublishBatch(t.Context(), items); err != nil {
			t.Fatal(err)
		}
	}
	// here are the numbers of the signals that are in the stream, the newest first.
	here := func() (out []int) {
		if _, err := bus.Read(t.Context(), n.bus, topic, bus.From{}, func(m bus.Message[model.Signal]) error {
			out = append(out, m.Value.Count)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(out)
		return out
	}
	grow(1500)
	if first := here(); first[len(first)-1] == 1 {
		t.Fatalf("%d signals fit: the stream loses nothing", len(first))
	}
	for _, c := range []struct {
		filters url.Values
		want    func(number int) bool
	}{
		{url.Values{"limit": {"7"}}, func(int) bool { return true }},
		{url.Values{"limit": {"1"}, "kind": {"c.d"}, "actor": {"198.51.100.2"}}, func(i int) bool { return i%6 == 5 }},
		{url.Values{"limit": {"3"}, "kind": {"rare"}}, func(i int) bool { return i%90 == 0 }}, // a page is found in several reads
		{url.Values{"limit": {"1000"}}, func(int) bool { return true }},
	} {
		before := here()
		var got []int
		for _, s := range pages[model.Signal](t, n, "/v1/signals", c.filters, func(int) { grow(4) }) {
			got = append(got, s.Count)
		}
		after := here()
		if c.filters.Get("cursor") != "" && after[len(after)-1] <= before[len(before)-1] {
			t.Errorf("%v: the stream has lost nothing while it was read: this shows nothing", c.filters)
		}
		var most []int // what was there at the first page; the end of it may have gone before it was read
		for _, i := range before {
			if c.want(i) {
				most = append(most, i)
			}
		}
		if len(got) > len(most) || !slices.Equal(got, most[:len(got)]) {
			t.Fatalf("%v: got %v, want %v", c.filters, got, most)
		}
		for _, i := range most[len(got):] {
			if i >= after[len(after)-1] {
				t.Errorf("%v: %d was there all the time and is left out", c.filters, i)
			}
		}
	}
}

// TestIndicatorPages: of indicators that lose confidence all the time, and to which new ones come, nothing comes twice
// and nothing is left out, however small the pages and however many are equally sure.
func TestIndicatorPages(t *testing.T) {
	n := &Node{conf: DefaultConfig(), log: slog.New(slog.DiscardHandler), hub: &hub{store: intel.New(intel.Default())}}
	fold := func(address string, confidence float64, at time.Time) {
		actor, err := model.ParseIP(address)
		if err != nil {
			t.Fatal(err)
		}
		n.hub.store.Fold(&model.Signal{ID: model.NewULID(at), Time: at, Kind: "auth.brute-force", Class: model.ClassAuth, Actor: actor, Address: address, Sensor: "s", Confidence: confidence, Severity: model.Medium, Count: 1})
	}
	now := time.Now()
	for i := range 250 { // in groups that are equal in confidence, in time, and in both
		fold(fmt.Sprintf("198.51.100.%d", i), 0.5+float64(i%5)/20, now.Add(-time.Duration(i%4)*time.Minute))
	}
	n.hub.store.Expire(now)
	for _, limit := range []string{"1", "7", "249", "250"} {
		var want []string
		for _, ind := range n.hub.store.List(time.Now(), intel.Filter{Limit: 1000}) {
			want = append(want, ind.Entity.Value())
		}
		known := map[string]bool{}
		for _, v := range want {
			known[v] = true
		}
		count := map[string]int{}
		var got []string
		for _, ind := range pages[model.Indicator](t, n, "/v1/intel", url.Values{"limit": {limit}}, func(page int) {
			if page <= 20 { // one that is surest, and one that is least sure
				fold(fmt.Sprintf("203.0.113.%d", len(known)%200+page), 0.95, time.Now())
				fold(fmt.Sprintf("192.0.2.%d", len(known)%200+page), 0.05, time.Now())
			}
			n.hub.store.Expire(time.Now())
		}) {
			v := ind.Entity.Value()
			if count[v]++; count[v] > 1 {
				t.Errorf("pages of %s: %s comes twice", limit, v)
			}
			if known[v] {
				got = append(got, v)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %s: got %d, want %d in the order of the whole list:\n%v\n%v", limit, len(got), len(want), got, want)
		}
	}
}
