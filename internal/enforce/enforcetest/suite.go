// Package enforcetest is the conformance suite of enforcers: what package
// enforce promises about Apply, shown on a real device. It also makes the
// network namespaces such tests run in. It is for tests only.
package enforcetest

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"bartizan/internal/enforce"
	"bartizan/internal/model"
)

// Device is one device under test, fresh for each case.
type Device struct {
	// Open makes an enforcer for the device, as a newly started program
	// does. An earlier one may just have been abandoned, as after a crash.
	// It must refuse what touches never.
	Open func(t testing.TB, never []netip.Prefix) enforce.Enforcer
	// Holds reports whether the device stops packets from a, found out
	// without the enforcer.
	Holds func(t testing.TB, a netip.Addr) bool
	// Foreign describes everything on the device that is not ours.
	Foreign func(t testing.TB) string
	// Huge is the number of orders of the large case.
	Huge int
}

// cases of the suite; leastCases makes sure that none is lost by accident.
var cases = []struct {
	name string
	run  func(*testing.T, *rig)
}{
	{"applies and says so", applies}, {"twice is once", twiceIsOnce}, {"removes", removes},
	{"crash and apply again", crash}, {"expires", expires}, {"extends", extends}, {"moves", moves},
	{"refuses what is never to be blocked", refusesNever}, {"refuses nonsense", refusesNonsense},
	{"withdraws what becomes forbidden", withdraws}, {"ended orders are not wanted", ended},
	{"wide ends and narrow holds", wideEnds}, {"huge state", huge}, {"cancelled", cancelled},
	{"nothing foreign touched", foreign}, {"receipts exactly once over restarts", exactlyOnce},
}

const leastCases = 16

// Run checks an enforcer; factory makes a device.
func Run(t *testing.T, factory func(t *testing.T) Device) {
	if len(cases) < leastCases {
		t.Fatalf("the suite has %d cases, fewer than %d", len(cases), leastCases)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := &rig{d: factory(t), book: enforce.NewBook(), got: map[model.ULID][]model.ReceiptStatus{}}
			r.e = r.d.Open(t, never)
			t.Cleanup(func() { r.close() })
			c.run(t, r)
		})
	}
}

// never is what every device under test is told not to block.
var never = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8:ffff::/48")}

// rig is a device with the state it is to hold and the receipts it gave.
type rig struct {
	d    Device
	e    enforce.Enforcer
	book *enforce.Book
	old  []enforce.Enforcer

	mu     sync.Mutex
	got    map[model.ULID][]model.ReceiptStatus
	detail string
}

func (r *rig) close() {
	for _, e := range append(r.old, r.e) {
		if c, ok := e.(enforce.Closer); ok {
			c.Close()
		}
	}
}

// restart abandons the enforcer as a crash does.
func (r *rig) restart(t *testing.T) {
	r.old = append(r.old, r.e)
	r.e = r.d.Open(t, never)
	clear(r.got)
}

func (r *rig) receipt(rc model.Receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got[rc.Decision] = append(r.got[rc.Decision], rc.Status)
	r.detail = rc.Detail
}

func (r *rig) apply(t *testing.T) {
	t.Helper()
	if err := r.e.Apply(t.Context(), r.book.Snapshot(), r.receipt); err != nil {
		t.Fatalf("apply: %v", err)
	}
}

// ID is the n-th decision id of a test.
func ID(n int) (id model.ULID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n)+1)
	return id
}

func (r *rig) set(n int, prefix string, d time.Duration) {
	r.book.Set(Order(n, prefix, model.Block, d))
}

// Order is the order of the n-th decision; it ends after d.
func Order(n int, prefix string, action model.Action, d time.Duration) enforce.Order {
	return enforce.Order{Decision: ID(n), Prefix: netip.MustParsePrefix(prefix), Action: action, Until: time.Now().Add(d)}
}

func (r *rig) holds(t *testing.T, want bool, addrs ...string) {
	t.Helper()
	for _, a := range addrs {
		if got := r.d.Holds(t, netip.MustParseAddr(a)); got != want {
			t.Errorf("the device holds %s: %v, want %v", a, got, want)
		}
	}
}

// said compares all receipts of one decision since the last restart.
func (r *rig) said(t *testing.T, n int, want ...model.ReceiptStatus) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := r.got[ID(n)]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("receipts of decision %d: %v, want %v (last detail %q)", n, got, want, r.detail)
	}
}

// Until polls until done, at most for the time given.
func Until(t testing.TB, what string, limit time.Duration, done func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %s", what, limit)
		}
		<-tick.C
	}
	return time.Since(start)
}

func applies(t *testing.T, r *rig) {
	r.apply(t)
	r.holds(t, false, "203.0.113.9", "2001:db8:1::1")
	r.set(1, "203.0.113.0/24", time.Hour)
	r.set(2, "2001:db8:1::/64", time.Hour)
	r.set(3, "255.255.255.255/32", time.Hour)
	r.set(4, "198.51.100.7/32", time.Hour)
	r.apply(t)
	r.holds(t, true, "203.0.113.0", "203.0.113.255", "2001:db8:1::1", "2001:db8:1::ffff:ffff:ffff:ffff", "255.255.255.255", "198.51.100.7")
	r.holds(t, false, "203.0.112.255", "203.0.114.0", "2001:db8:1:1::", "2001:db8:0:ffff:ffff::1", "255.255.255.254", "198.51.100.6", "198.51.100.8")
	for n := 1; n <= 4; n++ {
		r.said(t, n, model.Applied)
	}
}

func twiceIsOnce(t *testing.T, r *rig) {
	r.set(1, "203.0.113.9/32", time.Hour)
	r.apply(t)
	r.apply(t)
	r.book.Set(Order(1, "203.0.113.9/32", model.Block, 2*time.Hour))
	r.apply(t)
	r.holds(t, true, "203.0.113.9")
	r.said(t, 1, model.Applied)
}

func removes(t *testing.T, r *rig) {
	r.set(1, "203.0.113.9/32", time.Hour)
	r.set(2, "203.0.113.9/32", time.Hour) // two decisions, one prefix
	r.set(3, "2001:db8:1::/64", time.Hour)
	r.apply(t)
	r.book.Delete(ID(1))
	r.book.Delete(ID(3))
	r.apply(t)
	r.holds(t, true, "203.0.113.9")
	r.holds(t, false, "2001:db8:1::1")
	r.said(t, 1, model.Applied, model.Expired)
	r.said(t, 2, model.Applied)
	r.book.Delete(ID(2))
	r.apply(t)
	r.holds(t, false, "203.0.113.9")
	r.said(t, 2, model.Applied, model.Expired)
	r.apply(t)
	r.said(t, 3, model.Applied, model.Expired)
}

func crash(t *testing.T, r *rig) {
	r.set(1, "203.0.113.9/32", time.Hour)
	r.set(2, "203.0.113.10/32", time.Hour)
	r.set(3, "203.0.113.64/26", time.Hour)
	r.apply(t)
	r.book.Delete(ID(2))
	r.set(4, "203.0.113.70/32", 2*time.Hour)
	r.restart(t)
	r.holds(t, true, "203.0.113.9", "203.0.113.10") // dying lets nobody in
	r.apply(t)
	r.holds(t, true, "203.0.113.9", "203.0.113.64", "203.0.113.70", "203.0.113.127")
	r.holds(t, false, "203.0.113.10")
	r.said(t, 1, model.Applied)
	r.said(t, 4, model.Applied)
	r.book.Delete(ID(3))
	r.apply(t)
	r.holds(t, true, "203.0.113.70")
	r.holds(t, false, "203.0.113.64", "203.0.113.71")
}

func expires(t *testing.T, r *rig) {
	r.set(1, "203.0.113.9/32", 700*time.Millisecond)
	r.set(2, "203.0.113.10/32", time.Hour)
	r.apply(t)
	r.holds(t, true, "203.0.113.9", "203.0.113.10")
	Until(t, "the device lets go", 3*time.Second, func() bool {
		r.apply(t) // as the reconciler does when an order ends
		return !r.d.Holds(t, netip.MustParseAddr("203.0.113.9"))
	})
	Until(t, "the enforcer says so", time.Second, func() bool {
		r.apply(t)
		return len(r.got[ID(1)]) == 2
	})
	r.holds(t, true, "203.0.113.10")
	r.apply(t)
	r.said(t, 1, model.Applied, model.Expired)
	r.said(t, 2, model.Applied)
}

func extends(t *testing.T, r *rig) {
	r.set(1, "203.0.113.9/32", 600*time.Millisecond)
	r.apply(t)
	r.set(1, "203.0.113.9/32", time.Hour)
	r.apply(t)
	past := time.Now().Add(900 * time.Millisecond)
	Until(t, "the old end passes", 2*time.Second, func() bool { r.apply(t); return time.Now().After(past) })
	r.holds(t, true, "203.0.113.9")
	r.said(t, 1, model.Applied)
}

func moves(t *testing.T, r *rig) {
	r.set(1, "203.0.113.0/24", time.Hour)
	r.apply(t)
	r.set(1, "203.0.113.128/25", time.Hour)
	r.apply(t)
	r.holds(t, true, "203.0.113.128", "203.0.113.255")
	r.holds(t, false, "203.0.113.0", "203.0.113.127")
	r.said(t, 1, model.Applied)
}

func refusesNever(t *testing.T, r *rig) {
	r.set(1, "192.0.2.1/32", time.Hour)
	r.set(2, "192.0.2.0/24", time.Hour)
	r.set(3, "2001:db8:ffff:1::/64", time.Hour)
	r.set(4, "203.0.113.9/32", time.Hour)
	r.apply(t)
	r.holds(t, false, "192.0.2.1", "192.0.2.2", "2001:db8:ffff:1::1")
	r.holds(t, true, "203.0.113.9") // a refused order does not hold up the others
	r.apply(t)
	for n := 1; n <= 3; n++ {
		r.said(t, n, model.Refused)
	}
	r.book.Delete(ID(1))
	r.apply(t)
	r.said(t, 1, model.Refused) // what never began does not end
}

func refusesNonsense(t *testing.T, r *rig) {
	r.set(1, "0.0.0.0/0", time.Hour)
	r.set(2, "::/0", time.Hour)
	r.set(3, "128.0.0.0/2", time.Hour)
	r.set(4, "2001:db8::/40", time.Hour)
	r.set(5, "::ffff:203.0.113.9/128", time.Hour)
	r.set(6, "203.0.113.77/24", time.Hour) // not masked
	r.book.Set(Order(7, "203.0.113.9/32", model.Alert, time.Hour))
	r.book.Set(enforce.Order{Decision: ID(8), Action: model.Block, Until: time.Now().Add(time.Hour)})
	r.set(9, "198.51.100.7/32", time.Hour)
	r.apply(t)
	for n := 1; n <= 8; n++ {
		r.said(t, n, model.Refused)
	}
	r.holds(t, false, "203.0.113.9", "8.8.8.8", "2001:db8:5::1")
	r.holds(t, true, "198.51.100.7")
}

func withdraws(t *testing.T, r *rig) {
	p, ok := r.e.(enforce.Protected)
	if !ok {
		t.Fatal("the enforcer is not an enforce.Protected: it cannot learn new addresses of the host")
	}
	r.set(1, "203.0.113.0/24", time.Hour)
	r.set(2, "198.51.100.7/32", time.Hour)
	r.apply(t)
	p.Protect([]netip.Prefix{netip.MustParsePrefix("203.0.113.5/32")})
	r.apply(t)
	r.holds(t, false, "203.0.113.5", "203.0.113.9")
	r.holds(t, true, "198.51.100.7")
	r.said(t, 1, model.Applied, model.Refused, model.Expired)
	r.said(t, 2, model.Applied)
	p.Protect(nil)
	r.apply(t)
	r.holds(t, true, "203.0.113.5", "203.0.113.9")
}

func ended(t *testing.T, r *rig) {
	r.set(1, "203.0.113.9/32", -time.Second)
	r.set(2, "203.0.113.10/32", time.Hour)
	r.apply(t)
	r.holds(t, false, "203.0.113.9")
	r.holds(t, true, "203.0.113.10")
	r.said(t, 1)
}

func wideEnds(t *testing.T, r *rig) {
	r.set(1, "203.0.113.0/24", 700*time.Millisecond)
	r.set(2, "203.0.113.64/26", time.Hour)
	r.set(3, "203.0.113.70/32", 300*time.Millisecond)
	r.apply(t)
	r.holds(t, true, "203.0.113.1", "203.0.113.64", "203.0.113.70", "203.0.113.200")
	Until(t, "the wide one ends", 3*time.Second, func() bool {
		r.apply(t)
		return !r.d.Holds(t, netip.MustParseAddr("203.0.113.1"))
	})
	r.apply(t)
	r.holds(t, false, "203.0.113.63", "203.0.113.128", "203.0.113.200")
	r.holds(t, true, "203.0.113.64", "203.0.113.70", "203.0.113.127")
}

func huge(t *testing.T, r *rig) {
	address := func(n int) string {
		return netip.AddrFrom4([4]byte{100, byte(n >> 14), byte(n >> 6), byte(n<<2) | 1}).String()
	}
	for n := range r.d.Huge {
		r.set(n, address(n)+"/32", time.Hour)
	}
	r.apply(t)
	if len(r.got) != r.d.Huge {
		t.Errorf("%d receipts for %d orders", len(r.got), r.d.Huge)
	}
	for n := 0; n < r.d.Huge; n += r.d.Huge/7 + 1 {
		r.holds(t, true, address(n))
	}
	r.holds(t, false, "100.0.0.0", "100.0.0.2")
	for n := 1; n < r.d.Huge; n++ {
		r.book.Delete(ID(n))
	}
	r.apply(t)
	r.holds(t, true, address(0))
	r.holds(t, false, address(1), address(r.d.Huge-1))
	r.said(t, r.d.Huge-1, model.Applied, model.Expired)
}

func cancelled(t *testing.T, r *rig) {
	r.set(1, "203.0.113.9/32", time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.e.Apply(ctx, r.book.Snapshot(), r.receipt); err == nil {
		t.Error("Apply with an ended context reports success")
	}
	r.holds(t, false, "203.0.113.9")
	r.said(t, 1)
	r.apply(t)
	r.holds(t, true, "203.0.113.9")
	r.said(t, 1, model.Applied)
}

func foreign(t *testing.T, r *rig) {
	before := r.d.Foreign(t)
	if before == "" {
		t.Fatal("the device has nothing foreign on it: this case would show nothing")
	}
	for n := range 50 {
		r.set(n, fmt.Sprintf("203.0.%d.0/24", n), time.Hour)
		r.apply(t)
	}
	r.restart(t)
	r.apply(t)
	for n := range 50 {
		r.book.Delete(ID(n))
	}
	r.apply(t)
	if after := r.d.Foreign(t); after != before {
		t.Errorf("changed what is not ours.\nbefore:\n%s\nafter:\n%s", before, after)
	}
}

// exactlyOnce runs the enforcer under its reconciler, twice, with the receipts
// of the first run kept.
func exactlyOnce(t *testing.T, r *rig) {
	var mu sync.Mutex
	var kept []model.Receipt
	session := func(want int) {
		t.Helper()
		var latest enforce.Latest
		latest.Set(r.book.Snapshot())
		ctx, cancel := context.WithCancel(t.Context())
		mu.Lock()
		rec := enforce.New("suite", r.e, enforce.Options{Persisted: append([]model.Receipt(nil), kept...)})
		mu.Unlock()
		done := make(chan error, 1)
		go func() {
			done <- rec.Run(ctx, &latest, func(_ context.Context, rc model.Receipt) error {
				mu.Lock()
				defer mu.Unlock()
				kept = append(kept, rc)
				return nil
			})
		}()
		Until(t, fmt.Sprintf("%d receipts", want), 10*time.Second, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(kept) >= want && !rec.Health().Pending && !rec.Health().LastOK.IsZero()
		})
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	r.set(1, "203.0.113.9/32", time.Hour)
	r.set(2, "192.0.2.1/32", time.Hour)
	r.set(3, "203.0.113.10/32", 300*time.Millisecond)
	session(4) // applied, refused, applied, expired
	r.restart(t)
	session(4) // nothing new
	r.book.Delete(ID(1))
	r.set(4, "203.0.113.11/32", time.Hour)
	r.restart(t)
	session(6) // 1 ended while nobody looked, 4 is new
	count := map[string]int{}
	for _, rc := range kept {
		count[fmt.Sprint(rc.Decision == ID(1), rc.Decision == ID(2), rc.Decision == ID(3), rc.Decision == ID(4), rc.Status)]++
		if rc.Enforcer != "suite" || rc.ID.IsZero() || rc.Time.IsZero() {
			t.Errorf("receipt %+v lacks its enforcer, id or time", rc)
		}
	}
	if len(kept) != 6 || len(count) != 6 {
		t.Errorf("receipts %v, want 6 different ones", count)
	}
	r.holds(t, false, "203.0.113.9", "203.0.113.10")
	r.holds(t, true, "203.0.113.11")
}
