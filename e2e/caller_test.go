package e2e

import (
	"strings"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// TestCallerIsNotBlocked: whoever has shown the node's API a valid token is never blocked, whatever address that comes
// from; a token that is none protects nobody. What the caller asked for is the past of the streams, over TCP.
func TestCallerIsNotBlocked(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	l := newLab(t)
	n := l.up(t, enforcing(), withConfig("api: {listen: \""+node4+":9612\"}"))
	caller, liar := l.attacker(t), l.attacker(t)
	visitor := l.attacker(t)
	_, _ = visitor.attackWeb("", "80") // a block on the way is fine
	n.awaitSignals(t, visitor.ip, "web.path-traversal")
	token := strings.TrimSpace(n.cli(t, "token", "create", "watcher").out)
	call := func(a *attacker, token string) result {
		t.Helper()
		// The certificate is the node's own; its fingerprint is another test's.
		return a.run(t, 20*time.Second, "curl", "-sS", "--insecure", "--interface", a.ip, "-w", "\n%{http_code}", "-H", "Authorization: Bearer "+token, "https://"+node4+":9612/v1/export?class=signal")
	}
	if r := call(caller, token); r.code != 0 || !strings.HasSuffix(r.out, "\n200") || !strings.Contains(r.out, visitor.ip) || !strings.Contains(r.out, `"class_uid":2004`) {
		t.Fatalf("export over TCP: %s", r)
	}
	if r := call(liar, "bzt_"+strings.Repeat("a", 10)+"_"+strings.Repeat("a", 52)); r.code != 0 || !strings.HasSuffix(r.out, "\n401") {
		t.Fatalf("with a token that is none: %s", r)
	}
	// What the guardrail says of a block of that address, by hand.
	session := func(a *attacker) (verdict string) {
		t.Helper()
		d, err := n.api.Change(t.Context(), api.DecisionChange{Op: "add", Target: a.ip, Action: model.Block, Seconds: 600})
		if err != nil {
			t.Fatalf("block %s: %v", a.ip, err)
		}
		for _, g := range d.Guardrails {
			if g.Guardrail == "session" {
				verdict = g.Verdict.String()
			}
		}
		if verdict == "never" && (d.State == model.StateActive || covers(l.kernel(t), mustIP(a.ip))) {
			t.Errorf("%s is blocked in spite of the guardrail: %s", a.ip, d.State)
		}
		return verdict
	}
	if v := session(caller); v != "never" {
		t.Errorf("the caller may be blocked: %q", v)
	}
	if v := session(liar); v != "pass" {
		t.Errorf("who has no valid token is protected: %q", v)
	}
	n.stop(t)
}
