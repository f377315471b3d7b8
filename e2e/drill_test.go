package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/drill"
	"bartizan/internal/model"
)

// contract is what whoever judges by "drill --format json" reads. Fields may
// be added; these stay.
type contract struct {
	Controls []struct {
		Name     *string `json:"name"`
		OK       *bool   `json:"ok"`
		Verified *bool   `json:"verified"`
		Detail   *string `json:"detail"`
		MS       *struct {
			Signal, Indicator, Decision, Enforced, Released, Refused *float64
		} `json:"ms"`
	} `json:"controls"`
	Summary *struct {
		Controls     *int `json:"controls"`
		OK           *int `json:"ok"`
		Verified     *int `json:"verified"`
		SensorToDrop *struct {
			P50 *float64 `json:"p50"`
			P99 *float64 `json:"p99"`
		} `json:"sensor_to_drop_ms"`
		Release *struct {
			P99 *float64 `json:"p99"`
		} `json:"release_ms"`
	} `json:"summary"`
}

// controls are the names the contract lists.
func controls() []string {
	return []string{"ssh-brute", "ssh-session", "telnet", "http-exploit", "http-secret-probe", "redis", "docker-api", "llm-abuse",
		"port-scan", "nft-v4", "nft-v6", "release", "guardrail-refuses", "never-list"}
}

// TestDrillLogs: the attacks in logs are drilled beside the others when they are asked for.
func TestDrillLogs(t *testing.T) {
	l := newLab(t)
	r := l.node.run(t, 2*time.Minute, program(), "drill", "--self", "--logs", "--format", "json")
	if r.code != 0 {
		t.Errorf("drill --self --logs: exit %d\n%s\nstderr: %s", r.code, r.out, tail(r.err))
	}
	var got contract
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		t.Fatalf("read the report: %v\n%s", err, r)
	}
	var names []string
	for _, c := range got.Controls {
		if c.Name == nil || c.OK == nil || !*c.OK {
			t.Errorf("a control failed: %s", r.out)
			continue
		}
		names = append(names, *c.Name)
	}
	if !slices.Equal(names, slices.Concat(controls(), drill.GatewayControlNames(), drill.LogControlNames())) {
		t.Errorf("controls %v", names)
	}
}

// TestDrillSelf runs the whole story against a throw-away node, as a judge would.
func TestDrillSelf(t *testing.T) {
	runs := 2
	if soak() {
		runs = 200
	}
	l := newLab(t)
	before := l.surface(t)
	r := l.node.run(t, time.Minute+time.Duration(runs)*12*time.Second, program(), "drill", "--self", "--runs", strconv.Itoa(runs), "--format", "json")
	if r.code != 0 {
		t.Errorf("drill --self: exit %d\n%s\nstderr: %s", r.code, r.out, tail(r.err))
	}
	var got contract
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		t.Fatalf("read the report: %v\n%s", err, r)
	}
	var names []string
	for _, c := range got.Controls {
		if c.Name == nil || c.OK == nil || c.Verified == nil || c.Detail == nil || c.MS == nil {
			t.Fatalf("a control lacks a field: %s", r.out)
		}
		names = append(names, *c.Name)
		if !*c.OK || !*c.Verified {
			t.Errorf("%s: ok %v, verified %v: %s", *c.Name, *c.OK, *c.Verified, *c.Detail)
		}
		if slices.Contains(drill.GatewayControlNames(), *c.Name) && (c.MS.Refused == nil || *c.MS.Refused > 1000 || c.MS.Signal == nil) {
			t.Errorf("%s: %+v", *c.Name, c.MS)
		}
		attack := !slices.Contains([]string{"release", "guardrail-refuses", "never-list", "gateway-canary", "mcp-rug-pull"}, *c.Name)
		if attack && (c.MS.Signal == nil || c.MS.Indicator == nil || c.MS.Decision == nil || c.MS.Enforced == nil || c.MS.Released == nil) {
			t.Errorf("%s: a step has no time: %+v", *c.Name, c.MS)
		}
	}
	if !slices.Equal(names, slices.Concat(controls(), drill.GatewayControlNames())) || !slices.Equal(controls(), drill.ControlNames()) {
		t.Errorf("controls %v", names)
	}
	s := got.Summary
	if s == nil || s.Controls == nil || s.OK == nil || s.Verified == nil || s.SensorToDrop == nil || s.SensorToDrop.P50 == nil || s.SensorToDrop.P99 == nil || s.Release == nil || s.Release.P99 == nil {
		t.Fatalf("the summary lacks a field: %s", r.out)
	}
	t.Logf("sensor to drop: p50 %.1f ms, p99 %.1f ms; release p99 %.1f ms", *s.SensorToDrop.P50, *s.SensorToDrop.P99, *s.Release.P99)
	if *s.SensorToDrop.P50 > 300 || *s.SensorToDrop.P99 > 1000 || *s.Release.P99 > 2000 {
		t.Errorf("slower than promised (300, 1000 and 2000 ms)")
	}
	if after := l.surface(t); after != before {
		t.Errorf("the drill left something behind:\n%s\nbefore:\n%s", after, before)
	}
	l.untouched(t)
}

// surface is what a drill could leave in a namespace: devices, addresses,
// routes, firewall tables, sockets.
func (l *lab) surface(t *testing.T) string {
	t.Helper()
	return l.node.must(t, "sh", "-c", "ip -o link | cut -d: -f2; ip -o addr | cut -c1-80; ip route show table all; ip -6 route show table all; nft list ruleset; ss -Hltn")
}

// TestDrillKilled kills a drill in the middle: nothing of it is left.
func TestDrillKilled(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	n := l.up(t)
	before := l.node.must(t, "sh", "-c", "ip -o link | cut -d: -f2; ip route show table all; ip -6 route show table all")
	p := l.node.start(t, command(program(), "--data", n.data, "drill", "--runs", "20"))
	eventually(t, 20*time.Second, "the drill is in full swing", func() error {
		st := n.status(t)
		if len(st.Leases) == 0 || st.Decisions.Active == 0 {
			return fmt.Errorf("%d leases, %d decisions; the drill says %s %s", len(st.Leases), st.Decisions.Active, p.out, p.err)
		}
		return nil
	})
	family := append(descendants(p.cmd.Process.Pid), p.cmd.Process.Pid)
	if len(family) < 2 {
		t.Errorf("the drill has no attackers' process: %v", family)
	}
	if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "nothing of the drill is left", func() error {
		var errs []error
		for _, pid := range family {
			if running(pid) {
				errs = append(errs, fmt.Errorf("process %d still runs", pid))
			}
		}
		errs = append(errs, leaseGone(t.Context(), n))
		if now := l.node.must(t, "sh", "-c", "ip -o link | cut -d: -f2; ip route show table all; ip -6 route show table all"); now != before {
			errs = append(errs, fmt.Errorf("devices and routes: %s", now))
		}
		if k := l.kernel(t); len(k) > 0 {
			errs = append(errs, fmt.Errorf("the kernel holds %v", k))
		}
		list, err := all(t.Context(), n)
		errs = append(errs, err)
		for _, d := range list {
			if d.State == model.StateActive && !d.DryRun {
				errs = append(errs, fmt.Errorf("decision %s on %s is in force", d.ID, d.Target))
			}
		}
		return errors.Join(errs...)
	})
	// Another one can follow at once.
	if r := l.node.run(t, 90*time.Second, program(), "--data", n.data, "drill", "--format", "json"); r.code != 0 {
		t.Errorf("a drill after a killed one: %s", r)
	}
	n.stop(t)
}

// TestDrillSelfKilled: the throw-away node dies with the drill.
func TestDrillSelfKilled(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	before := l.surface(t)
	tmp := shortDir(t)
	cmd := command(program(), "drill", "--self", "--runs", "20")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	p := l.node.start(t, cmd)
	var family []int
	eventually(t, 20*time.Second, "node and attackers of the drill run", func() error {
		if family = descendants(p.cmd.Process.Pid); len(family) < 2 {
			return fmt.Errorf("%d processes; %s %s", len(family), p.out, p.err)
		}
		return nil
	})
	if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "its processes are gone", func() error {
		for _, pid := range family {
			if running(pid) {
				return fmt.Errorf("process %d still runs", pid)
			}
		}
		return nil
	})
	if after := l.surface(t); after != before {
		t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
	}
	// Its folder goes with the next drill.
	if left, _ := os.ReadDir(tmp); len(left) != 1 {
		t.Errorf("a killed drill left %v", left)
	}
	if r := l.node.runWith(t, time.Minute, nil, []string{"TMPDIR=" + tmp}, program(), "drill", "--self"); r.code != 0 {
		t.Errorf("a drill after a killed one: %s", r)
	}
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("after another drill there is %v", left)
	}
}

// descendants lists the processes under one.
func descendants(root int) (out []int) {
	parents := map[int]int{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
		rest := strings.Fields(string(b)[strings.LastIndexByte(string(b), ')')+1:])
		if len(rest) > 1 {
			parents[pid], _ = strconv.Atoi(rest[1])
		}
	}
	for pid := range parents {
		for up := parents[pid]; up > 1; up = parents[up] {
			if up == root {
				out = append(out, pid)
				break
			}
		}
	}
	return out
}

// running is false for what has ended, also when nobody has asked how.
func running(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

// TestDrillUnprivileged: without root it says what it could not prove, and
// that is not success.
func TestDrillUnprivileged(t *testing.T) {
	t.Parallel()
	need(t, "setpriv")
	l := newLab(t)
	r := l.node.run(t, 20*time.Second, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs",
		program(), "drill", "--self", "--format", "json")
	if r.code != 3 {
		t.Errorf("a drill without root could not look, which is 3: %s", r)
	}
	var got drill.Report
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		t.Fatalf("read the report: %v\n%s", err, r)
	}
	if len(got.Controls) != len(controls())+len(drill.GatewayControlNames()) || got.Summary.OK != 0 {
		t.Errorf("%d controls, %d ok", len(got.Controls), got.Summary.OK)
	}
	for _, c := range got.Controls {
		if c.OK || c.Verified || !strings.Contains(c.Detail, "root") {
			t.Errorf("%s: ok %v, detail %q", c.Name, c.OK, c.Detail)
		}
	}
}

// TestDrillRefuses: what a drill cannot attack is said before anything happens.
func TestDrillRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if r := l.node.run(t, 20*time.Second, program(), "--data", filepath.Join(t.TempDir(), "none"), "drill"); r.code != 3 || !strings.Contains(r.err, "bartizan up") {
		t.Errorf("a drill without a node: %s", r)
	}
	n := l.up(t, withArgs("--listen", "127.0.0.1"))
	if r := n.cli(t, "drill"); r.code != 3 || !strings.Contains(r.err, "every address") {
		t.Errorf("a drill at a node that listens on the loopback only: %s", r)
	}
	if _, _, err := n.api.Lease(t.Context(), api.LeaseRequest{Addresses: []string{"8.8.8.8"}, For: 60, BlockFor: 2}); err == nil {
		t.Error("a lease over an address that somebody has")
	}
	if _, _, err := n.api.Lease(t.Context(), api.LeaseRequest{Addresses: []string{"198.18.0.9"}, For: 601, BlockFor: 2}); err == nil {
		t.Error("a lease of more than ten minutes")
	}
	if _, _, err := n.api.Lease(t.Context(), api.LeaseRequest{Addresses: []string{"198.18.0.9"}, For: 60, BlockFor: 6}); err == nil {
		t.Error("a lease with blocks of more than five seconds")
	}
	n.stop(t)
}
