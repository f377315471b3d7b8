package drill

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// kernelEntry is an element of the firewall's set, as the kernel holds it.
type kernelEntry struct {
	first, last netip.Addr // inclusive
	left        time.Duration
}

// inKernel reads the node's firewall set and returns the element that covers
// an address. It goes to the kernel directly and shares no code with the
// enforcer, because it is the proof that the enforcer did what it says.
func inKernel(node *space, table string, addr netip.Addr) (found kernelEntry, ok bool, err error) {
	err = node.do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		t, err := conn.ListTableOfFamily(table, nftables.TableFamilyINet)
		if err != nil {
			return fmt.Errorf("read table %s: %w", table, err)
		}
		set, err := activeSet(conn, t, addr)
		if err != nil {
			return err
		}
		elements, err := conn.GetSetElements(set)
		if err != nil {
			return fmt.Errorf("read elements of %s: %w", set.Name, err)
		}
		found, ok = covering(elements, addr)
		return nil
	})
	return found, ok, err
}

// activeSet finds the set that the rules of the input chain drop by: the
// enforcer may keep another one aside while it exchanges long lists.
func activeSet(conn *nftables.Conn, t *nftables.Table, addr netip.Addr) (*nftables.Set, error) {
	want := "block4"
	if addr.Is6() {
		want = "block6"
	}
	rules, err := conn.GetRules(t, &nftables.Chain{Name: "input", Table: t})
	if err != nil {
		return nil, fmt.Errorf("read rules of %s: %w", t.Name, err)
	}
	for _, r := range rules {
		for _, e := range r.Exprs {
			if l, ok := e.(*expr.Lookup); ok && strings.HasPrefix(l.SetName, want) {
				set, err := conn.GetSetByName(t, l.SetName)
				if err != nil {
					return nil, fmt.Errorf("read set %s: %w", l.SetName, err)
				}
				return set, nil
			}
		}
	}
	return nil, fmt.Errorf("no rule of table %s drops by a set %s", t.Name, want)
}

// covering finds the interval that holds an address. The kernel lists an
// interval as its first address and, flagged as end, the one after its last.
func covering(elements []nftables.SetElement, addr netip.Addr) (kernelEntry, bool) {
	key := addr.AsSlice()
	var start *nftables.SetElement
	for i := range elements {
		e := &elements[i]
		if !e.IntervalEnd && bytes.Compare(e.Key, key) <= 0 && (start == nil || bytes.Compare(e.Key, start.Key) > 0) {
			start = e // intervals are disjoint: only the last one that begins here can cover it
		}
	}
	if start == nil {
		return kernelEntry{}, false
	}
	var end []byte
	for _, e := range elements {
		if e.IntervalEnd && bytes.Compare(e.Key, start.Key) > 0 && (end == nil || bytes.Compare(e.Key, end) < 0) {
			end = e.Key
		}
	}
	if end != nil && bytes.Compare(key, end) >= 0 {
		return kernelEntry{}, false
	}
	first, _ := netip.AddrFromSlice(start.Key)
	last, _ := netip.AddrFromSlice(end)
	return kernelEntry{first: first, last: last.Prev(), left: start.Expires}, true
}
