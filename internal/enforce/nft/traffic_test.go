package nft

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"bartizan/internal/enforce/enforcetest"
	"bartizan/internal/model"
)

func TestPacketsStopAndConnectionsAreCut(t *testing.T) {
	s := newScene(t, true)
	for name, pair := range map[string][2]netip.Prefix{"v4": {attacker4, victim4}, "v6": {attacker6, victim6}} {
		t.Run(name, func(t *testing.T) {
			var l net.Listener
			err := s.victim.Do(func() (err error) { l, err = net.Listen("tcp", ":0"); return err })
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			to := netip.AddrPortFrom(pair[1].Addr(), uint16(l.Addr().(*net.TCPAddr).Port)).String()
			connect := func(patience time.Duration) (c net.Conn, err error) {
				d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: pair[0].Addr().AsSlice()}}
				derr := s.attacker.Do(func() error { c, err = d.Dial("tcp", to); return nil })
				return c, errors.Join(err, derr)
			}
			open, err := connect(10 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer open.Close()
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			cut := make(chan netip.Prefix, 4)
			s.e.SetCut(func(_ context.Context, p netip.Prefix) { cut <- p })
			wide := netip.PrefixFrom(pair[0].Addr(), pair[0].Bits()).Masked()
			s.block(1, wide.String(), time.Hour)
			s.apply(t)
			if _, err := connect(300 * time.Millisecond); err == nil {
				t.Error("a blocked source still gets a connection")
			}
			if p := <-cut; p != wide {
				t.Errorf("cut %s, want %s", p, wide)
			}
			if _, err := open.Write([]byte("still here")); err != nil {
				t.Fatal(err)
			}
			server.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			if n, err := server.Read(make([]byte, 64)); err == nil {
				t.Errorf("%d bytes came through an established connection of a blocked source", n)
			}
			counters, err := s.e.Counters(t.Context())
			if c := counters[id(1)]; err != nil || c.Packets == 0 || c.Bytes < 40*c.Packets {
				t.Errorf("counters %+v, %v; want the dropped packets of decision 1", counters, err)
			}
			s.book.Delete(id(1))
			s.apply(t)
			if c, err := connect(10 * time.Second); err != nil {
				t.Errorf("after the block: %v", err)
			} else {
				c.Close()
			}
			after, err := s.e.Counters(t.Context())
			if err != nil || after[id(1)].Packets < counters[id(1)].Packets {
				t.Errorf("counters after the end %+v, %v; before %+v", after, err, counters)
			}
		})
	}
}

// flood sends from the attacker as fast as it can and counts what arrives.
func (s *scene) flood(t *testing.T) (sent, arrived *atomic.Int64) {
	t.Helper()
	sent, arrived = new(atomic.Int64), new(atomic.Int64)
	var in, out *net.UDPConn
	err := s.victim.Do(func() (err error) {
		in, err = net.ListenUDP("udp4", &net.UDPAddr{IP: victim4.Addr().AsSlice()})
		return err
	})
	if err == nil {
		err = s.attacker.Do(func() (err error) {
			out, err = net.DialUDP("udp4", nil, in.LocalAddr().(*net.UDPAddr))
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		for b := make([]byte, 64); ; {
			if _, err := in.Read(b); err != nil {
				return
			}
			arrived.Add(1)
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			if _, err := out.Write([]byte("x")); errors.Is(err, net.ErrClosed) {
				return
			}
			sent.Add(1)
		}
	}()
	t.Cleanup(func() { in.Close(); out.Close(); <-done; <-done })
	return sent, arrived
}

// Thousands of ranges are exchanged around a blocked source that never stops
// sending: nothing of it may come through, in either way of exchanging.
func TestReplacementLetsNothingThrough(t *testing.T) {
	s := newScene(t, true)
	s.block(900001, "198.18.0.0/30", time.Hour)
	fill := func(round, count int) {
		for n := 1; n <= count; n++ {
			s.book.Delete(id((round+9)*count + n))
			s.block((round+10)*count+n, fmt.Sprintf("%d.%d.%d.0/28", 100+round%2, n>>8, n&255), time.Hour)
		}
	}
	fill(0, 3000)
	s.apply(t)
	sent, arrived := s.flood(t)
	enforcetest.Until(t, "the attacker sends", 5*time.Second, func() bool { return sent.Load() > 1000 })
	before := sent.Load()
	for round := 1; round <= 6; round++ { // whole sets are exchanged
		fill(round, 3000)
		// The block itself changes each time, too: split, joined, extended.
		s.block(900002, []string{"198.18.0.2/32", "198.18.0.0/24"}[round%2], time.Duration(round)*time.Hour)
		s.apply(t)
	}
	for round := range 60 { // single elements are
		s.block(900002, []string{"198.18.0.2/32", "198.18.0.0/16", "198.18.0.2/31"}[round%3], time.Duration(round+1)*time.Hour)
		s.apply(t)
	}
	s.e = openIn(t, s.victim, nil) // a restart is
	s.block(900002, "198.18.0.0/15", time.Hour)
	s.apply(t)
	if got := arrived.Load(); got != 0 {
		t.Errorf("%d packets of %d came through while the sets were exchanged", got, sent.Load()-before)
	}
	if sent.Load()-before < 5000 {
		t.Errorf("only %d packets were sent: this shows little", sent.Load()-before)
	}
	s.book.Delete(id(900001))
	s.book.Delete(id(900002))
	s.apply(t)
	enforcetest.Until(t, "packets come through when nothing is blocked", 5*time.Second, func() bool { return arrived.Load() > 0 })
}

func TestThrottleLetsAFewThrough(t *testing.T) {
	s := newScene(t, true)
	s.book.Set(enforcetest.Order(1, "198.18.0.2/32", model.Throttle, time.Hour))
	s.apply(t)
	start := time.Now()
	sent, arrived := s.flood(t)
	enforcetest.Until(t, "much is sent", 10*time.Second, func() bool {
		return sent.Load() > 5000 && arrived.Load() >= 10 && time.Since(start) > 500*time.Millisecond
	})
	got := arrived.Load()
	most := int64(40 + 20*(time.Since(start).Seconds()+1))
	if got < 10 || got > most {
		t.Errorf("%d of %d packets came through, want between 10 and %d", got, sent.Load(), most)
	}
	c, err := s.e.Counters(t.Context())
	if err != nil || c[id(1)].Packets < 1000 {
		t.Errorf("counters %v, %v; want what was dropped", c, err)
	}
}
