package limit

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever comes when, a key gets no more than its burst and what has flowed in
// since, and at least that when it asks in time; and what was refused may come
// again after the wait it was told.
func TestShareIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, burst := rapid.Float64Range(0.1, 100).Draw(t, "rate"), rapid.IntRange(1, 50).Draw(t, "burst")
		l := New(rate, burst)
		start := time.Unix(1_700_000_000, 0)
		now, allowed := start, 0
		for range rapid.IntRange(1, 200).Draw(t, "n") {
			now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "ms")) * time.Millisecond)
			ok, wait := l.Allow("k", now)
			if ok {
				allowed++
			} else if again, _ := New(rate, burst).Allow("k", now); !again || wait <= 0 {
				t.Fatalf("refused with a wait of %v", wait)
			} else if spent, _ := l.Spent("k", now.Add(wait+time.Millisecond)); spent {
				t.Fatalf("still nothing after the wait of %v", wait)
			}
			if most := float64(burst) + now.Sub(start).Seconds()*rate + 1e-6; float64(allowed) > most {
				t.Fatalf("%d allowed in %v, at most %.2f", allowed, now.Sub(start), most)
			}
		}
	})
}

// TestRoundingIsAWait: 9 and 1 milliseconds at 100 a second are one, but for a rest.
func TestRoundingIsAWait(t *testing.T) {
	l := New(100, 2)
	now := time.Unix(1_700_000_000, 0)
	for _, ms := range []int{0, 9, 1} {
		now = now.Add(time.Duration(ms) * time.Millisecond)
		if ok, wait := l.Allow("k", now); !ok && wait <= 0 {
			t.Errorf("refused with a wait of %v", wait)
		}
	}
}

// A flood of made-up addresses takes no memory, and does not free those who
// are being limited.
func TestFloodOfAddresses(t *testing.T) {
	l := New(0.001, 5)
	now := time.Unix(1_700_000_000, 0)
	for range 5 {
		l.Allow("guilty", now)
	}
	for i := range 20_000 {
		l.Allow(AddressKey(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})), now)
	}
	if l.Len() > maxKeys {
		t.Errorf("%d keys remembered", l.Len())
	}
	if ok, _ := l.Allow("guilty", now); ok {
		t.Error("the flood freed who was limited")
	}
}

func TestClockSetBack(t *testing.T) {
	l := New(1, 1)
	now := time.Unix(1_700_000_000, 0)
	l.Allow("k", now)
	if ok, _ := l.Allow("k", now.Add(-time.Hour)); ok {
		t.Error("a clock set back gave a share")
	}
}

func TestAddressKeys(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64"} {
		if got := AddressKey(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestListenerBounds(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan struct{}, 10)
	l := Listen(inner, 2, 1, func() { refused <- struct{}{} })
	defer l.Close()
	conns := make(chan net.Conn, 10)
	go func() {
		defer close(conns)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := dial(), dial() // loopback: only the bound in all
	first := <-conns
	defer (<-conns).Close()
	c := dial()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the third connection was kept")
	}
	<-refused
	for range 2 { // a second Close gives back nothing more
		first.Close()
	}
	d := dial()
	defer (<-conns).Close()
	e := dial()
	if _, err := e.Read(make([]byte, 1)); err == nil {
		t.Error("one place was given twice")
	}
	for _, x := range []io.Closer{a, b, c, d, e} {
		x.Close()
	}
}

func TestListenerBoundsAddresses(t *testing.T) {
	l := &listener{total: 100, per: 2, by: map[string]int{}}
	got := fmt.Sprint(l.enter("x"), l.enter("x"), l.enter("x"), l.enter("y"))
	l.leave("x")
	got += fmt.Sprint(" ", l.enter("x"), l.enter("x"))
	if got != "true true false true true false" {
		t.Error(got)
	}
	l.leave("y")
	if len(l.by) != 1 {
		t.Errorf("%d addresses remembered", len(l.by))
	}
}
