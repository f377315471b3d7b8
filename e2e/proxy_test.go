package e2e

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// proxyV1 and proxyV2 are the two forms of the header a load balancer puts in
// front (haproxy's proxy-protocol.txt, versions 1 and 2).
func proxyV1(src, dst netip.AddrPort) string {
	kind := "TCP4"
	if src.Addr().Is6() {
		kind = "TCP6"
	}
	return fmt.Sprintf("PROXY %s %s %s %d %d\r\n", kind, src.Addr(), dst.Addr(), src.Port(), dst.Port())
}

func proxyV2(src, dst netip.AddrPort) string {
	kind := byte(0x11)
	if src.Addr().Is6() {
		kind = 0x21
	}
	body := slices.Concat(src.Addr().AsSlice(), dst.Addr().AsSlice())
	body = binary.BigEndian.AppendUint16(body, src.Port())
	body = binary.BigEndian.AppendUint16(body, dst.Port())
	body = append(body, 0x04, 0, 3, 'x', 'y', 'z') // an extension (NOOP) that must be skipped
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x21, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return string(append(b, body...))
}

// TestProxyProtocol: behind a named balancer the visitor is whom it names, and
// the balancer can never be blocked; nobody else is believed.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	balancer, liar := l.attacker(t), l.attacker(t)
	n := l.up(t, enforcing(), withConfig(fmt.Sprintf("decoys:\n  instances:\n    http: {service: http, port: 80, proxy_from: [%s/32]}\n    ssh: {service: ssh, port: 22}\n", balancer.ip)))
	at := netip.MustParseAddrPort(node4 + ":80")
	at6 := netip.MustParseAddrPort("[" + node6 + "]:80")
	for i, c := range []struct{ name, visitor, header string }{
		{"v1", "198.18.201.1", proxyV1(netip.MustParseAddrPort("198.18.201.1:40001"), at)},
		{"v2", "198.18.201.2", proxyV2(netip.MustParseAddrPort("198.18.201.2:40002"), at)},
		{"v1 IPv6", "2001:db8:201:1::5", proxyV1(netip.MustParseAddrPort("[2001:db8:201:1::5]:40003"), at6)},
		{"v2 IPv6", "2001:db8:201:2::5", proxyV2(netip.MustParseAddrPort("[2001:db8:201:2::5]:40004"), at6)},
	} {
		answer, err := balancer.send("", "80", c.header+exploits()[4])
		if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200") {
			t.Errorf("%s: %v, %.100q", c.name, err, answer)
		}
		for _, s := range n.awaitSignals(t, c.visitor, "secrets.env-file") {
			if s.Address != c.visitor {
				t.Errorf("%s: seen as %s", c.name, s.Address)
			}
		}
		if i > 3 {
			t.Fatal("unreachable")
		}
	}
	// A named peer that sends no header is not the visitor either.
	if answer, _ := balancer.send("", "80", exploits()[4]); strings.HasPrefix(answer, "HTTP/1.1 200") {
		t.Errorf("without a header the balancer is served: %.100q", answer)
	}
	// An unnamed peer is itself, whatever it says.
	if _, err := liar.attackWeb("", "80"); err != nil {
		t.Errorf("the liar's plain requests: %v", err)
	}
	_, _ = liar.send("", "80", proxyV1(netip.MustParseAddrPort("198.18.201.9:1"), at)+exploits()[4]) // any answer will do
	_, _ = liar.send("", "80", proxyV2(netip.MustParseAddrPort("198.18.201.9:1"), at)+exploits()[4])
	n.awaitSignals(t, liar.ip, "secrets.env-file")
	for _, who := range []string{"198.18.201.9", balancer.ip} {
		if list := n.signals(t, who); len(list) != 0 {
			t.Errorf("%s is blamed for %v", who, kindsOf(list))
		}
	}
	neverBlocked(t, n, balancer.ip)
	whole(t, n, balancer, at)
	n.stop(t)
}

// neverBlocked: not even a person's order under a lease blocks the balancer.
func neverBlocked(t *testing.T, n *node, balancer string) {
	t.Helper()
	n.lease(t, 2, balancer)
	d, err := n.api.Change(t.Context(), api.DecisionChange{Op: "add", Target: balancer, Action: model.Block, Seconds: 60})
	if err != nil {
		t.Fatalf("order a block of the balancer: %v", err)
	}
	stopped := slices.ContainsFunc(d.Guardrails, func(g model.Guarded) bool {
		return g.Verdict == model.GuardNever && strings.Contains(strings.ToLower(g.Guardrail+g.Detail), "balancer")
	})
	if d.State != model.StateHeld || !stopped {
		t.Errorf("a block of the balancer is %s: %+v", d.State, d.Guardrails)
	}
	if covers(n.lab.kernel(t), d.Target) {
		t.Error("the kernel holds the balancer")
	}
}

// whole: an attack through the balancer blocks the attacker it names, not it.
func whole(t *testing.T, n *node, balancer *attacker, at netip.AddrPort) {
	t.Helper()
	visitor := "198.18.201.40"
	n.lease(t, 4, visitor)
	for i, e := range exploits() {
		if _, err := balancer.send("", "80", proxyV2(netip.MustParseAddrPort(visitor+":50000"), at)+e); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
	d := n.awaitBlock(t, visitor)
	eventually(t, 20*time.Second, "the visitor in the kernel", func() error {
		if !covers(n.lab.kernel(t), d.Target) {
			return fmt.Errorf("the kernel holds %v", n.lab.kernel(t))
		}
		return nil
	})
	if err := balancer.knock("", "22"); err != nil {
		t.Errorf("the balancer is shut out: %v", err)
	}
}
