package observe_test

import (
	"net/netip"
	"testing"

	"bartizan/internal/observe"
)

func TestAddr4(t *testing.T) {
	for s, v := range map[string]uint32{"0.0.0.0": 0, "1.2.3.4": 0x01020304, "255.0.255.254": 0xff00fffe} {
		a := observe.Addr{0: 7, 15: 7}
		a.Set4(v)
		got, ok := a.V4()
		if want := observe.AddrOf(netip.MustParseAddr(s)); a != want || a != observe.Addr4(v) || !a.Is4() || got != v || !ok {
			t.Errorf("%s: %v, want %v; back %x %v", s, a, want, got, ok)
		}
	}
	for _, s := range []string{"::", "::1.2.3.4", "2001:db8::ffff:102:304", "1::ffff:1.2.3.4"} {
		if a := observe.AddrOf(netip.MustParseAddr(s)); a.Is4() {
			t.Errorf("%s is IPv4", s)
		} else if _, ok := a.V4(); ok {
			t.Errorf("%s has 32 bits", s)
		}
	}
}
