package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// beacons are flow records of a host that calls a controller about every 282
// seconds, the last time just now.
func beacons(host string) string {
	var b strings.Builder
	b.WriteString("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n")
	for i, at := 0, time.Now().Add(-18*282*time.Second).Unix(); i < 18; i++ {
		fmt.Fprintf(&b, "2 123456789010 eni-1 %s 45.33.32.156 %d 443 6 12 %d %d %d ACCEPT OK\n", host, 50000+i, 4400+i%2, at, at+3)
		at += 277 + int64(i%3)*5
	}
	return b.String()
}

// TestIsolate: a gateway sees in its flow log that a host behind it is controlled
// from outside, proposes to isolate it and does nothing; a person approves, and
// the host reaches nothing but what is allowed; afterwards everything.
func TestIsolate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	outside, repair, inside := l.attacker(t), l.attacker(t), l.attacker(t)
	const host = "10.77.0.5"
	inside.iproute(t, "addr add "+host+"/32 dev lo")
	l.node.iproute(t, fmt.Sprintf("route add %s/32 via 10.200.%d.2", host, l.attackers))
	l.node.must(t, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	for _, a := range []*attacker{outside, repair, inside} {
		a.serve(t, "0.0.0.0:7777")
	}
	flows := filepath.Join(shortDir(t), "flows.log")
	write(t, flows, beacons(host))
	n := l.up(t, enforcing(), withConfig("sources:\n  vpc: {format: vpcflow, options: {files: ["+flows+"]}}\nenforce:\n  nft: {isolate: {allow: ["+repair.ip+"/32]}}"))

	check := func(free bool) {
		t.Helper()
		for _, c := range []struct {
			from     *attacker
			src, dst string
			want     bool
		}{
			{inside, host, outside.ip, free}, {inside, host, node4, free}, {outside, outside.ip, host, free},
			{inside, host, repair.ip, true}, {repair, repair.ip, host, true}, {inside, inside.ip, outside.ip, true},
		} {
			port := "7777"
			if c.dst == node4 {
				port = "80"
			}
			if err := c.from.open(c.src, c.dst, port); (err == nil) != c.want {
				t.Errorf("%s to %s: %v, want %t", c.src, c.dst, err, c.want)
			}
		}
	}
	var d api.Decision
	eventually(t, 20*time.Second, "a proposal to isolate "+host, func() error {
		list := n.decisions(t, host)
		if len(list) != 1 {
			return fmt.Errorf("%d decisions; signals %v", len(list), kindsOf(n.signals(t, host)))
		}
		d = list[0]
		return nil
	})
	if d.State != model.StateHeld || d.Action != model.Isolate || d.DryRun {
		t.Fatalf("%s %s, dry run %t", d.State, d.Action, d.DryRun)
	}
	check(true)
	if r := n.cli(t, "decisions", "approve", d.ID.String(), "--reason", "it is infected"); r.code != 0 {
		t.Fatalf("approve: %s", r)
	}
	eventually(t, 20*time.Second, "a receipt", func() error {
		if why := n.cli(t, "why", d.ID.String()); !strings.Contains(why.out, "cut off from what this machine forwards") {
			return fmt.Errorf("no receipt: %s", why)
		}
		return nil
	})
	check(false)
	if r := n.cli(t, "decisions", "remove", d.ID.String(), "--reason", "repaired"); r.code != 0 {
		t.Fatalf("remove: %s", r)
	}
	eventually(t, 20*time.Second, "the host is free", func() error { return inside.open(host, outside.ip, "7777") })
	check(true)
	n.stop(t)
	l.untouched(t)
}
