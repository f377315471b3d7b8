package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// memory is what the node has ever told anybody: none of it may be forgotten.
type memory struct {
	mu      sync.Mutex
	known   map[model.ULID]model.Decision
	applied map[model.ULID]bool // an enforcer said that it applied it
}

func (m *memory) note(list []api.Decision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range list {
		m.known[d.ID] = d.Decision
		if hasReceipt(d, model.Applied) {
			m.applied[d.ID] = true
		}
	}
}

func (m *memory) sizes() (known, applied int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.known), len(m.applied)
}

// all asks for every decision.
func all(ctx context.Context, n *node) ([]api.Decision, error) {
	return n.api.Decisions(ctx, api.DecisionQuery{All: true, Limit: 10_000})
}

// crowd is several attackers that never rest, from ever new addresses.
type crowd struct {
	members []*attacker
	work    sync.WaitGroup
	stop    context.CancelFunc
}

// newCrowd prepares attackers with addresses enough for leases of model.MaxLeaseAddresses.
func newCrowd(t *testing.T, l *lab, size int) *crowd {
	t.Helper()
	c := &crowd{}
	for range size {
		a := l.attacker(t)
		a.iproute(t, fmt.Sprintf("route add local %s.0/24 dev lo", netOf(a.ip)))
		c.members = append(c.members, a)
	}
	return c
}

// netOf is the first three bytes of an address.
func netOf(ip string) string { return ip[:len(ip)-len(".66")] }

func (c *crowd) addresses() (out []string) {
	per := model.MaxLeaseAddresses / len(c.members)
	for _, a := range c.members {
		for i := range min(per, 60) {
			out = append(out, netOf(a.ip)+"."+strconv.Itoa(100+i))
		}
	}
	return out
}

// start lets them loose until end; what they meet does not matter.
func (c *crowd) start(ctx context.Context) {
	ctx, c.stop = context.WithCancel(ctx)
	for _, a := range c.members {
		c.work.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				// Being refused is part of the day. The pause keeps the history small
				// that every start folds again.
				_, _ = a.attackWeb(netOf(a.ip)+"."+strconv.Itoa(100+i%60), "80")
				select {
				case <-ctx.Done():
				case <-time.After(80 * time.Millisecond):
				}
			}
		})
	}
}

func (c *crowd) end() {
	c.stop()
	c.work.Wait()
}

// TestKill kills the node at random moments while it is attacked, and after
// each start compares what it says with what it ever said and with the kernel.
func TestKill(t *testing.T) {
	kills := times(t, "BARTIZAN_KILLS", 20, 200)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	l := newLab(t)
	n := l.up(t, enforcing())
	c := newCrowd(t, l, 4)
	m := &memory{known: map[model.ULID]model.Decision{}, applied: map[model.ULID]bool{}}
	c.start(t.Context())
	defer c.end()
	var ready []time.Duration
	for i := range kills {
		leaseAndWatch(t, n, c, m, i, time.Duration(100+rng.IntN(1100))*time.Millisecond)
		if i%5 == 4 {
			killDecoys(t, n)
		}
		st := n.status(t)
		n.kill()
		if rng.IntN(4) == 0 { // also while it starts
			n.start(t)
			<-time.After(time.Duration(rng.IntN(700)) * time.Millisecond)
			n.kill()
		}
		n.gone(t, st.PID, st.Decoys.PID)
		n.start(t)
		n.awaitReady(t)
		ready = append(ready, n.ready)
		if err := leaseGone(t.Context(), n); err != nil {
			t.Errorf("kill %d: %v", i, err)
		}
		if err := until(2*time.Second, func() error { return consistent(t, n, m) }); err != nil {
			t.Fatalf("after kill %d: %v", i, err)
		}
	}
	known, applied := m.sizes()
	slices.Sort(ready)
	t.Logf("%d kills: %d decisions, %d of them applied, none lost; ready again: median %v, longest %v", kills, known, applied, ready[len(ready)/2], ready[len(ready)-1])
	if known < kills || applied < kills {
		t.Errorf("%d decisions, %d applied: too little happened for %d kills", known, applied, kills)
	}
	if ready[len(ready)/2] > 5*time.Second { // on an idle machine it is well under a second
		t.Errorf("ready again after %v (median)", ready[len(ready)/2])
	}
	c.end()
	settled(t, n)
	n.stop(t)
}

// leaseAndWatch gives the crowd a lease, adds a block by hand, and listens to
// what the node says for some time.
func leaseAndWatch(t *testing.T, n *node, c *crowd, m *memory, round int, during time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	if _, _, err := n.api.Lease(ctx, api.LeaseRequest{Addresses: c.addresses(), For: 300, BlockFor: 3}); err != nil {
		t.Fatalf("lease: %v", err)
	}
	by, err := n.api.Change(t.Context(), api.DecisionChange{Op: "add", Target: fmt.Sprintf("45.%d.%d.7", round/250+1, round%250), Action: model.Block, Seconds: 3600})
	if err != nil || by.State != model.StateActive {
		t.Fatalf("block by hand: %v, %s %v", err, by.State, by.Guardrails)
	}
	m.note([]api.Decision{by}) // acknowledged: from here on it must survive
	end := time.NewTimer(during)
	defer end.Stop()
	for {
		list, err := all(t.Context(), n)
		if err != nil {
			t.Fatalf("list decisions: %v", err)
		}
		m.note(list)
		select {
		case <-end.C:
			return
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// killDecoys kills the decoys' process: the node starts another one.
func killDecoys(t *testing.T, n *node) {
	t.Helper()
	before := n.status(t)
	if err := syscall.Kill(before.Decoys.PID, syscall.SIGKILL); err != nil {
		t.Fatalf("kill the decoys: %v", err)
	}
	eventually(t, 20*time.Second, "new decoys after a kill", func() error {
		now := n.status(t)
		if now.PID != before.PID || now.Decoys.PID == before.Decoys.PID || now.Decoys.PID == 0 || now.Decoys.Restarts != before.Decoys.Restarts+1 {
			return fmt.Errorf("decoys: pid %d, %d restarts", now.Decoys.PID, now.Decoys.Restarts)
		}
		return nil
	})
}

// consistent compares the node with what it ever said and with the kernel.
func consistent(t *testing.T, n *node, m *memory) error {
	list, err := all(t.Context(), n)
	if err != nil {
		return err
	}
	by := map[model.ULID]*api.Decision{}
	var errs []error
	now := time.Now()
	var active []api.Decision
	for i := range list {
		d := &list[i]
		by[d.ID] = d
		errs = append(errs, sane(d, now))
		if d.State == model.StateActive && !d.DryRun && d.Action >= model.Throttle {
			active = append(active, *d)
		}
	}
	m.mu.Lock()
	for id, old := range m.known {
		d := by[id]
		switch {
		case d == nil:
			errs = append(errs, fmt.Errorf("decision %s on %s is forgotten", id, old.Target))
		case d.Target != old.Target || d.Action != old.Action || !d.From.Equal(old.From):
			errs = append(errs, fmt.Errorf("decision %s was %s %s, is %s %s", id, old.Action, old.Target, d.Action, d.Target))
		case m.applied[id] && !hasReceipt(*d, model.Applied):
			errs = append(errs, fmt.Errorf("the receipt of %s is forgotten", id))
		case old.Policy == "manual" && d.State != model.StateActive:
			errs = append(errs, fmt.Errorf("the block by hand %s is %s: %s", id, d.State, d.EndReason))
		}
	}
	m.mu.Unlock()
	return few(append(errs, sameAsKernel(t, n.lab, active)))
}

// few joins errors and keeps the message readable.
func few(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if n := len(errs); n > 5 {
		errs = append(errs[:5], fmt.Errorf("and %d more", n-5))
	}
	return errors.Join(errs...)
}

// sane: no decision is in force past its end, and no receipt was given twice.
func sane(d *api.Decision, now time.Time) error {
	// A held one waits for a person past the end it would have had.
	if d.State == model.StateActive && d.Until.Before(now.Add(-500*time.Millisecond)) {
		return fmt.Errorf("decision %s is %s although it ended %v ago", d.ID, d.State, now.Sub(d.Until))
	}
	seen := map[string]bool{}
	for _, r := range d.Receipts {
		key := r.Enforcer + " " + string(r.Status)
		if seen[key] {
			return fmt.Errorf("decision %s has two receipts %q", d.ID, key)
		}
		seen[key] = true
	}
	return nil
}

// sameAsKernel: everything in force is in the kernel, and nothing else is.
func sameAsKernel(t *testing.T, l *lab, active []api.Decision) error {
	set, err := l.kernelNow(t)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range active {
		if d.Until.After(time.Now().Add(200*time.Millisecond)) && !covers(set, d.Target) {
			errs = append(errs, fmt.Errorf("the kernel lacks %s (decision %s until %v)", d.Target, d.ID, d.Until))
		}
	}
	for _, b := range set {
		for _, a := range []model.Entity{model.AddrEntity(b.first), model.AddrEntity(b.last)} {
			if !slices.ContainsFunc(active, func(d api.Decision) bool { return inside(d.Target, a) }) {
				errs = append(errs, fmt.Errorf("the kernel holds %s–%s for %v, and no decision says so", b.first, b.last, b.left))
			}
		}
	}
	return few(errs)
}

func inside(wide, narrow model.Entity) bool {
	w, ok1 := wide.Prefix()
	n, ok2 := narrow.Prefix()
	return ok1 && ok2 && w.Contains(n.Addr())
}

// settled: when everything is quiet, every decision in force is applied, and
// every one that was applied and ended has been receipted as ended.
func settled(t *testing.T, n *node) {
	t.Helper()
	eventually(t, 20*time.Second, "every decision has its receipts", func() error {
		list, err := all(t.Context(), n)
		if err != nil {
			return err
		}
		var errs []error
		for _, d := range list {
			switch {
			case d.DryRun || d.Action < model.Throttle:
			case d.State == model.StateActive && !hasReceipt(d, model.Applied):
				errs = append(errs, fmt.Errorf("%s is in force and not applied", d.ID))
			case (d.State == model.StateExpired || d.State == model.StateRemoved) && hasReceipt(d, model.Applied) && !hasReceipt(d, model.Expired):
				errs = append(errs, fmt.Errorf("%s is %s and not receipted as ended", d.ID, d.State))
			}
		}
		return few(errs)
	})
	if b, err := os.ReadFile("/proc/" + strconv.Itoa(n.cmd.Process.Pid) + "/status"); err != nil || len(b) == 0 {
		t.Errorf("the node is gone at the end: %v", err)
	}
}
