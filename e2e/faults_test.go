package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// TestDiskFull: with no room the node says so, stays up, makes no decision that
// it cannot write down, and goes on when there is room again, with everything
// that its decoys held back meanwhile.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	need(t, "unshare", "nsenter", "mount")
	l := newLab(t)
	a, late := l.attacker(t), l.attacker(t)
	n := l.prepare(t, enforcing(), withConfig("bus: {signal_bytes: 32MiB, evidence_bytes: 32MiB}"))
	disk := filepath.Join(n.dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	n.data = filepath.Join(disk, "data")
	// The disk exists in the node's mount namespace only, and ends with it.
	n.wrap = []string{"unshare", "-m", "--propagation", "private", "sh", "-c", `mount -t tmpfs -o size=1g tmpfs ` + disk + ` && exec "$@"`, "sh"}
	n.start(t)
	n.api = api.NewClient("/proc/" + strconv.Itoa(n.cmd.Process.Pid) + "/root" + n.data)
	defer n.api.Close()
	n.awaitReady(t)
	if _, err := a.attackWeb("", "80"); err != nil {
		t.Fatalf("before: %v", err)
	}
	n.awaitSignals(t, a.ip, "web.path-traversal")
	resize := func(size string) {
		t.Helper()
		l.node.must(t, "nsenter", "-t", strconv.Itoa(n.cmd.Process.Pid), "-m", "mount", "-o", "remount,size="+size, disk)
	}
	used := l.node.must(t, "nsenter", "-t", strconv.Itoa(n.cmd.Process.Pid), "-m", "sh", "-c", "df -k --output=used "+disk+" | tail -1")
	kib, err := strconv.Atoi(strings.TrimSpace(used))
	if err != nil {
		t.Fatalf("df says %q", used)
	}
	resize(strconv.Itoa(kib+512) + "k")
	if _, err := n.api.Change(t.Context(), api.DecisionChange{Op: "add", Target: "45.66.77.1", Action: model.Block, Seconds: 600}); err == nil || !strings.Contains(err.Error(), "space") {
		t.Errorf("a decision without room to write it down: %v", err)
	}
	_, _ = late.attackWeb("", "80") // may be held back on the way
	eventually(t, 20*time.Second, "the status says that there is no room", func() error {
		st := n.status(t)
		for _, c := range st.Checks {
			if c.State == "failed" && strings.Contains(c.Detail, "space") && st.State == "failed" {
				return nil
			}
		}
		return fmt.Errorf("state %s, checks %+v", st.State, st.Checks)
	})
	if k := l.kernel(t); len(k) > 0 {
		t.Errorf("the kernel enforces what is not written down: %v", k)
	}
	pid := n.status(t).PID
	resize("1g")
	n.awaitSignals(t, late.ip, "web.path-traversal", "secrets.env-file")
	eventually(t, 20*time.Second, "decisions are written down again", func() error {
		_, err := n.api.Change(t.Context(), api.DecisionChange{Op: "add", Target: "45.66.77.2", Action: model.Block, Seconds: 600})
		return err
	})
	eventually(t, 20*time.Second, "all is well again", func() error {
		st := n.status(t)
		if st.State == "failed" || st.PID != pid || st.Decoys.PID == 0 {
			return fmt.Errorf("state %s, pid %d (was %d), checks %+v", st.State, st.PID, pid, st.Checks)
		}
		if !covers(l.kernel(t), mustIP("45.66.77.2")) || covers(l.kernel(t), mustIP("45.66.77.1")) {
			return fmt.Errorf("the kernel holds %v", l.kernel(t))
		}
		return nil
	})
	n.stop(t)
}

func mustIP(s string) model.Entity {
	e, err := model.ParseIP(s)
	if err != nil {
		panic(err)
	}
	return e
}

// block orders a block by hand.
func (n *node) block(t *testing.T, target string) api.Decision {
	t.Helper()
	d, err := n.api.Change(t.Context(), api.DecisionChange{Op: "add", Target: target, Action: model.Block, Seconds: 600})
	if err != nil || d.State != model.StateActive || d.DryRun {
		t.Fatalf("block %s: %v; %s, guardrails %+v", target, err, d.State, d.Guardrails)
	}
	return d
}

// TestTableTamperedWith: what somebody else does to our table is undone, at the
// next change at once, otherwise by the read-back.
func TestTableTamperedWith(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.up(t, enforcing())
	targets := []model.Entity{n.block(t, "45.1.2.3").Target, n.block(t, "45.9.0.0/32").Target, n.block(t, "2a01:4f8:1:2::/64").Target}
	there := func() error {
		set, err := l.kernelNow(t)
		if err != nil {
			return err
		}
		for _, e := range targets {
			if !covers(set, e) {
				return fmt.Errorf("no %s in %v", e, set)
			}
		}
		return nil
	}
	eventually(t, 20*time.Second, "three blocks", there)
	l.node.must(t, "nft", "delete", "table", "inet", "bartizan")
	began := time.Now()
	targets = append(targets, n.block(t, "45.1.2.4").Target)
	eventually(t, 20*time.Second, "repaired with the next change", there)
	t.Logf("a deleted table was back %v after the next decision", time.Since(began).Round(time.Millisecond))
	for _, tamper := range [][]string{
		{"flush", "set", "inet", "bartizan", "block4"},
		{"flush", "chain", "inet", "bartizan", "input"},
		{"delete", "table", "inet", "bartizan"},
		{"add", "element", "inet", "bartizan", "block4", "{ 8.8.8.8 timeout 1h }"},
	} {
		l.node.must(t, "nft", tamper...)
		if testing.Short() && tamper[0] != "flush" {
			break // half a minute each: one of a kind is enough
		}
		began := time.Now()
		eventually(t, 40*time.Second, "repaired by the read-back after nft "+strings.Join(tamper, " "), func() error {
			if covers(l.kernel(t), mustIP("8.8.8.8")) {
				return errors.New("an element of nobody is there")
			}
			if r := l.node.run(t, 5*time.Second, "nft", "list", "chain", "inet", "bartizan", "input"); strings.Count(r.out, "@") < 2 {
				return fmt.Errorf("chain input: %s", r)
			}
			return there()
		})
		t.Logf("nft %s: repaired after %v", strings.Join(tamper, " "), time.Since(began).Round(time.Second))
		if testing.Short() {
			break
		}
	}
	n.stop(t)
}

// TestAddressesChange: an address that appears on an interface is protected at
// once, and a block that hits it ends.
func TestAddressesChange(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.up(t, enforcing())
	n.block(t, "45.50.60.70")
	l.node.iproute(t, "addr add 45.50.60.71/32 dev lo", "addr add 2a01:4f8:77::1/128 dev lo nodad")
	for _, own := range []string{"45.50.60.71", "2a01:4f8:77::/64"} {
		eventually(t, 20*time.Second, own+" is protected", func() error {
			d, err := n.api.Change(t.Context(), api.DecisionChange{Op: "add", Target: own, Action: model.Block, Seconds: 1})
			if err != nil {
				return err
			}
			for _, g := range d.Guardrails {
				if g.Guardrail == "own" && g.Verdict == model.GuardNever && d.State == model.StateHeld {
					_, err := n.api.Change(t.Context(), api.DecisionChange{Op: "reject", ID: d.ID.String()})
					return err
				}
			}
			_, _ = n.api.Change(t.Context(), api.DecisionChange{Op: "remove", ID: d.ID.String()}) // too early: once more
			return fmt.Errorf("%s: %+v", d.State, d.Guardrails)
		})
	}
	l.node.iproute(t, "addr del 45.50.60.71/32 dev lo")
	eventually(t, 20*time.Second, "an address that is gone can be blocked", func() error {
		d, err := n.api.Change(t.Context(), api.DecisionChange{Op: "add", Target: "45.50.60.71", Action: model.Block, Seconds: 600})
		if err == nil && d.State != model.StateActive {
			_, err = n.api.Change(t.Context(), api.DecisionChange{Op: "reject", ID: d.ID.String()}) // too early: once more
			err = errors.Join(fmt.Errorf("%s: %+v", d.State, d.Guardrails), err)
		}
		return err
	})
	// The worst case: a block is in force, and then the address becomes ours.
	l.node.iproute(t, "addr add 45.50.60.70/32 dev lo")
	eventually(t, 20*time.Second, "the kernel no longer holds what is now an own address", func() error {
		if covers(l.kernel(t), mustIP("45.50.60.70")) {
			return errors.New("it does")
		}
		return nil
	})
	n.stop(t)
}

// TestSlowEnforcer: a device that takes long delays no other.
func TestSlowEnforcer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	dir := shortDir(t)
	slow, mark := filepath.Join(dir, "slow"), filepath.Join(dir, "calls")
	write(t, slow, "#!/bin/sh\necho \"$@\" >> "+mark+"\nexec sleep 4\n")
	if err := os.Chmod(slow, 0o755); err != nil {
		t.Fatal(err)
	}
	n := l.up(t, enforcing(), withConfig("enforce:\n  nft: {}\n  exec: {program: ["+slow+", \"{change}\", \"{prefix}\"], dir: "+filepath.Join(dir, "journal")+"}\n"))
	var worst time.Duration
	for i := range 8 {
		target := fmt.Sprintf("45.3.0.%d", 2*i+1)
		began := time.Now()
		n.block(t, target)
		eventually(t, 20*time.Second, "the block in the kernel", func() error {
			if !covers(l.kernel(t), mustIP(target)) {
				return errors.New("not there")
			}
			return nil
		})
		worst = max(worst, time.Since(began))
	}
	t.Logf("beside a program that takes 4 s, the slowest of 8 blocks was in the kernel after %v", worst.Round(time.Millisecond))
	if worst > time.Second {
		t.Errorf("a slow enforcer delays the firewall: %v", worst)
	}
	eventually(t, 20*time.Second, "the slow program was called", func() error {
		b, err := os.ReadFile(mark)
		if err == nil && len(b) == 0 {
			err = errors.New("no call yet")
		}
		return err
	})
	n.stop(t)
}

// TestDecoysDie: the decoys' process is replaced, without a word lost about who
// came before and with the same sockets.
func TestDecoysDie(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.attacker(t)
	n := l.up(t)
	for range 3 {
		before := n.status(t)
		if err := syscall.Kill(before.Decoys.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, 20*time.Second, "other decoys", func() error {
			if now := n.status(t).Decoys; now.PID == before.Decoys.PID || now.PID == 0 || now.Restarts <= before.Decoys.Restarts {
				return fmt.Errorf("pid %d, restarts %d", now.PID, now.Restarts)
			}
			return a.knock("", "80")
		})
	}
	if _, err := a.attackWeb("", "80"); err != nil {
		t.Errorf("after three deaths: %v", err)
	}
	n.awaitSignals(t, a.ip, "web.path-traversal")
	n.stop(t)
}

// TestBadPolicyNeverStarts: a policy with a mistake stops the start and names
// the place.
func TestBadPolicyNeverStarts(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	said := l.prepare(t, withPolicy("confidence >= 0.95\n", "confidense >= 0.95\n")).refusesToStart(t, 2)
	contains(t, "the error", said, "policy.yaml:", "confidense")
}
