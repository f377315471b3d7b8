package enforce

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bartizan/internal/model"
)

// puppet is an enforcer that does what a test tells it.
type puppet struct {
	mu      sync.Mutex
	applies []time.Time
	states  []State
	do      func(ctx context.Context, n int) error
	tracker *Tracker
	audit   func() (bool, error)
}

func (p *puppet) Apply(ctx context.Context, want State, receipt func(model.Receipt)) error {
	p.mu.Lock()
	n := len(p.applies)
	p.applies = append(p.applies, time.Now())
	p.states = append(p.states, want)
	p.mu.Unlock()
	if p.do != nil {
		if err := p.do(ctx, n); err != nil {
			return err
		}
	}
	c := p.tracker.Next(want, time.Now())
	for _, o := range append(c.Removed, c.Expired...) {
		receipt(model.Receipt{Decision: o.Decision, Status: model.Expired})
	}
	for _, o := range c.Added {
		receipt(model.Receipt{Decision: o.Decision, Status: model.Applied})
		receipt(model.Receipt{Decision: o.Decision, Status: model.Applied}) // once too often
	}
	return nil
}

func (p *puppet) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.applies)
}

// audited is a puppet that can be audited.
type audited struct{ *puppet }

func (a audited) Audit(context.Context) (bool, error) { return a.audit() }

// play is a running reconciler inside a bubble of synctest.
type play struct {
	*puppet
	rec    *Reconciler
	book   *Book
	latest Latest
	mu     sync.Mutex
	kept   []model.Receipt
	fail   error
	stop   func()
}

func start(t *testing.T, p *puppet, e Enforcer, o Options) *play {
	t.Helper()
	p.tracker = NewTracker()
	s := &play{puppet: p, rec: New("puppet", e, o), book: NewBook()}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.rec.Run(ctx, &s.latest, func(_ context.Context, r model.Receipt) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.fail != nil {
				return s.fail
			}
			s.kept = append(s.kept, r)
			return nil
		})
	}()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	return s
}

func (s *play) set(n int, d time.Duration) {
	o := order(n, 0)
	o.Until = time.Now().Add(d)
	s.book.Set(o)
	s.latest.Set(s.book.Snapshot())
}

func (s *play) receipts() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.kept {
		for n := range 1000 {
			if r.Decision == id(n) {
				out = append(out, fmt.Sprint(n, " ", r.Status))
			}
		}
	}
	return out
}

func (s *play) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := s.receipts(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("receipts %q, want %q", got, want)
	}
}

func TestFirstChangeAtOnceThenOnePerWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &puppet{}
		s := start(t, p, p, Options{})
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.count() != 0 {
			t.Fatal("applied something before there was a state: this would empty the firewall at every start")
		}
		begin := time.Now()
		s.set(0, time.Hour)
		synctest.Wait()
		if s.count() != 1 || s.applies[0] != begin {
			t.Fatalf("the first change was not applied at once: %v", s.applies)
		}
		for n := range 100 { // one every 2 ms
			s.set(n, time.Hour)
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := s.count(); n < 4 || n > 6 {
			t.Errorf("%d applies for changes during 200 ms, want one per 50 ms", n)
		}
		for i := 1; i < len(s.applies); i++ {
			if gap := s.applies[i].Sub(s.applies[i-1]); gap < 50*time.Millisecond {
				t.Errorf("two applies %s apart", gap)
			}
		}
		if len(s.receipts()) != 100 {
			t.Errorf("%d receipts for 100 decisions", len(s.receipts()))
		}
		s.stop()
	})
}

func TestFailureIsRetriedWithTheNewestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &puppet{do: func(_ context.Context, n int) error {
			if n < 12 {
				return errors.New("device is away")
			}
			return nil
		}}
		s := start(t, p, p, Options{MaxDelay: 2 * time.Second})
		s.set(1, time.Hour)
		time.Sleep(400 * time.Millisecond)
		s.set(2, time.Hour)
		s.book.Delete(id(1))
		s.latest.Set(s.book.Snapshot())
		synctest.Wait()
		if h := s.rec.Health(); !h.Pending || h.Failures == 0 || h.LastError != "device is away" || h.Since.IsZero() || !h.LastOK.IsZero() {
			t.Errorf("health while failing: %+v", h)
		}
		time.Sleep(time.Minute)
		s.want(t, "2 applied")
		for i := 2; i < 12; i++ {
			if gap := s.applies[i].Sub(s.applies[i-1]); gap > 2*time.Second || i > 7 && gap < 900*time.Millisecond {
				t.Errorf("try %d came after %s", i, gap)
			}
		}
		if h := s.rec.Health(); h.Pending || h.Orders != 1 || h.LastOK.IsZero() || h.Applies != 13 || h.Generation != 3 {
			t.Errorf("health after success: %+v", h)
		}
		s.stop()
	})
}

func TestPanicsAndTimeoutsAreFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &puppet{do: func(ctx context.Context, n int) error {
			switch n {
			case 0:
				panic("broken plugin")
			case 1:
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		s := start(t, p, p, Options{Timeout: 3 * time.Second})
		s.set(1, time.Hour)
		time.Sleep(time.Minute)
		s.want(t, "1 applied")
		if h := s.rec.Health(); h.Panics != 1 || h.Failures != 2 {
			t.Errorf("health %+v", h)
		}
		s.stop()
	})
}

func TestEndsAreAppliedOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &puppet{}
		s := start(t, p, p, Options{})
		s.set(1, 90*time.Second)
		s.set(2, time.Hour)
		time.Sleep(90*time.Second - time.Millisecond)
		s.want(t, "1 applied", "2 applied")
		time.Sleep(100 * time.Millisecond)
		s.want(t, "1 applied", "2 applied", "1 expired")
		before := s.count()
		time.Sleep(10 * time.Minute)
		if n := s.count() - before; n != 0 {
			t.Errorf("%d applies although nothing changed", n)
		}
		s.book.Delete(id(1)) // the ledger follows
		s.latest.Set(s.book.Snapshot())
		time.Sleep(time.Second)
		s.want(t, "1 applied", "2 applied", "1 expired")
		s.stop()
	})
}

func TestReceiptsOfEarlierRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &puppet{}
		s := start(t, p, p, Options{Persisted: []model.Receipt{
			{Decision: id(1), Enforcer: "puppet", Status: model.Applied},  // still in force
			{Decision: id(2), Enforcer: "puppet", Status: model.Applied},  // ended while we were away
			{Decision: id(3), Enforcer: "puppet", Status: model.Applied},  // ended, and said so
			{Decision: id(3), Enforcer: "puppet", Status: model.Expired},  //
			{Decision: id(4), Enforcer: "puppet", Status: model.Applied},  // ran out, the ledger does not know yet
			{Decision: id(5), Enforcer: "another", Status: model.Applied}, // not ours
			{Decision: id(7), Enforcer: "puppet", Status: model.Refused},  // did not reach the device
		}})
		s.book.Set(Order{Decision: id(4), Prefix: order(4, 0).Prefix, Action: model.Block, Until: time.Now().Add(-time.Minute)})
		s.book.Set(Order{Decision: id(6), Prefix: order(6, 0).Prefix, Action: model.Block, Until: time.Now().Add(-time.Minute)})
		s.set(1, time.Hour)
		time.Sleep(time.Second)
		synctest.Wait()
		got := map[string]int{}
		for _, r := range s.receipts() {
			got[r]++
		}
		if fmt.Sprint(got) != "map[2 expired:1 4 expired:1 6 expired:1]" {
			t.Errorf("receipts %v", got)
		}
		s.stop()
	})
}

// A receipt is delivered again until it is stored, with the same id, in order;
// meanwhile decisions are applied.
func TestDeliveryIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &puppet{}
		s := start(t, p, p, Options{})
		s.fail = errors.New("bus is full")
		s.set(1, time.Hour)
		time.Sleep(time.Second)
		s.set(2, time.Hour)
		time.Sleep(time.Second)
		synctest.Wait()
		if h := s.rec.Health(); h.Receipts != 2 || h.Pending || h.Orders != 2 {
			t.Errorf("health while receipts wait: %+v", h)
		}
		s.mu.Lock()
		s.fail = nil
		s.mu.Unlock()
		time.Sleep(10 * time.Second)
		s.want(t, "1 applied", "2 applied")
		if s.kept[0].ID.IsZero() || s.kept[0].ID == s.kept[1].ID || s.kept[0].ID != receiptID(s.kept[0]) {
			t.Errorf("ids %s and %s", s.kept[0].ID, s.kept[1].ID)
		}
		s.mu.Lock()
		s.fail = errors.New("gone for good")
		s.mu.Unlock()
		s.set(3, time.Hour)
		synctest.Wait()
		begin := time.Now()
		s.stop()
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("stopping took %s because of a receipt", took)
		}
	})
}

func TestDriftIsRepairedAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &puppet{}
		n := 0
		p.audit = func() (bool, error) {
			n++
			switch n {
			case 1:
				return false, nil
			case 2:
				return true, nil
			case 3:
				panic("audit is broken")
			}
			return false, errors.New("cannot look")
		}
		s := start(t, p, audited{p}, Options{ReadBack: 30 * time.Second})
		s.set(1, time.Hour)
		time.Sleep(45 * time.Second)
		synctest.Wait()
		before := s.count()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if s.count() != before+1 {
			t.Errorf("%d applies after drift, want 1", s.count()-before)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if h := s.rec.Health(); h.Drifts != 1 || h.Audits != 4 || h.LastError != "read back: cannot look" || h.Pending {
			t.Errorf("health %+v", h)
		}
		s.stop()
	})
}

// One enforcer that hangs does not delay another.
func TestSlowEnforcerDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &puppet{do: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}
		a := start(t, slow, slow, Options{Timeout: time.Hour})
		p := &puppet{}
		b := start(t, p, p, Options{})
		b.book = a.book
		begin := time.Now()
		a.set(1, time.Hour)
		b.latest.Set(b.book.Snapshot())
		b.want(t, "1 applied")
		if time.Since(begin) != 0 {
			t.Errorf("applied after %s", time.Since(begin))
		}
		b.stop()
		a.stop()
	})
}
