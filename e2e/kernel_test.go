package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bartizan/internal/model"
)

// blocked is one element of the node's sets, as the nft command shows it.
type blocked struct {
	first, last netip.Addr
	left        time.Duration
}

// kernel reads the node's own table; it is empty without one.
func (l *lab) kernel(t *testing.T) []blocked {
	t.Helper()
	out, err := l.kernelNow(t)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (l *lab) kernelNow(t *testing.T) (out []blocked, err error) {
	t.Helper()
	r := l.node.run(t, 10*time.Second, "nft", "-j", "list", "table", "inet", "bartizan")
	if r.code != 0 {
		if strings.Contains(r.err, "No such file") {
			return nil, nil
		}
		return nil, fmt.Errorf("nft list: %s", r)
	}
	var dump struct {
		Nftables []struct {
			Set *struct {
				Name string            `json:"name"`
				Elem []json.RawMessage `json:"elem"`
			} `json:"set"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(r.out), &dump); err != nil {
		return nil, fmt.Errorf("read nft -j: %w", err)
	}
	for _, x := range dump.Nftables {
		if x.Set == nil {
			continue
		}
		for _, raw := range x.Set.Elem {
			b, err := element(raw)
			if err != nil {
				return nil, fmt.Errorf("read element of %s: %w: %s", x.Set.Name, err, raw)
			}
			out = append(out, b)
		}
	}
	return out, nil
}

// element reads one element: an address, a prefix or a range, with its time-out.
func element(raw json.RawMessage) (b blocked, err error) {
	var timed struct {
		Elem *struct {
			Val     json.RawMessage `json:"val"`
			Expires float64         `json:"expires"`
		} `json:"elem"`
	}
	val := raw
	if json.Unmarshal(raw, &timed) == nil && timed.Elem != nil {
		val, b.left = timed.Elem.Val, time.Duration(timed.Elem.Expires*float64(time.Second))
	}
	var one netip.Addr
	if json.Unmarshal(val, &one) == nil {
		b.first, b.last = one, one
		return b, nil
	}
	var wide struct {
		Prefix *struct {
			Addr netip.Addr `json:"addr"`
			Len  int        `json:"len"`
		} `json:"prefix"`
		Range []netip.Addr `json:"range"`
	}
	if err := json.Unmarshal(val, &wide); err != nil {
		return b, err
	}
	switch {
	case wide.Prefix != nil:
		p := netip.PrefixFrom(wide.Prefix.Addr, wide.Prefix.Len)
		b.first, b.last = p.Addr(), lastOf(p)
	case len(wide.Range) == 2:
		b.first, b.last = wide.Range[0], wide.Range[1]
	default:
		return b, fmt.Errorf("neither address nor range")
	}
	return b, nil
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// covers reports whether the kernel holds all of a target.
func covers(set []blocked, e model.Entity) bool {
	p, ok := e.Prefix()
	if !ok {
		return false
	}
	first, last := p.Masked().Addr(), lastOf(p)
	for _, b := range set {
		if b.first.Is4() == first.Is4() && !first.Less(b.first) && !b.last.Less(last) {
			return true
		}
	}
	return false
}
