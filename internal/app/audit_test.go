package app

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/bus"
	"bartizan/internal/model"
	"bartizan/internal/obs"
)

// auditing is as much of a node as its audit log needs.
func auditing(t *testing.T, dir string) *Node {
	t.Helper()
	n := &Node{conf: DefaultConfig(), log: slog.New(slog.DiscardHandler), health: obs.NewHealth(), remote: &remote{}}
	var err error
	if n.bus, err = bus.Open(t.Context(), bus.Config{Dir: dir}, n.log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.bus.Close(context.Background()) })
	if n.remote.audits, err = bus.NewPublisher(t.Context(), n.bus, auditTopic(&n.conf)); err != nil {
		t.Fatal(err)
	}
	return n
}

// lines are the requests of a page in short.
func lines(list []api.Stored[api.AuditRecord]) (out []string) {
	for _, s := range list {
		out = append(out, s.Value.What+" "+s.Value.Result)
	}
	return out
}

// TestAuditPages: requests that overlap, end after the first page was made, or never, are on one line each, in the order
// in which they began, each with its last state.
func TestAuditPages(t *testing.T) {
	n := auditing(t, t.TempDir())
	r := rand.New(rand.NewPCG(1, 2))
	keep := func(a api.AuditRecord) {
		if err := n.record(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	var open []api.AuditRecord
	end := func(i int, result string) {
		a := open[i]
		open = slices.Delete(open, i, i+1)
		a.Begun, a.Time, a.Result = a.Time, a.Time.Add(time.Second), result
		keep(a)
	}
	state := map[string]string{} // of each request, by its name
	var order []string           // names, the newest first
	var last api.AuditRecord     // ends when the first page of a list has been read
	for i := range 160 {
		name := fmt.Sprint("r", i)
		order = slices.Insert(order, 0, name)
		a := api.AuditRecord{Request: model.NewULID(time.Now()), Time: time.Now(), Actor: "tester", Operation: fmt.Sprint("op", i%3), What: name, Result: api.ResultBegun}
		switch i % 20 {
		case 7: // never begun
			a.Result = "denied"
			keep(a)
			state[name] = a.Result
		case 11: // killed in the middle
			keep(a)
			state[name] = a.Result
		case 13: // it was stored that it began, and not known
			keep(a)
			a.Result = "done"
			keep(a)
			state[name] = a.Result
		default:
			keep(a)
			if i == 130 {
				last = a
			} else {
				open = append(open, a)
			}
			state[name] = "done"
			if i%2 == 0 {
				state[name] = "refused"
			}
		}
		for len(open) > 5 || (len(open) > 0 && r.IntN(2) == 0) {
			at := r.IntN(len(open))
			end(at, state[open[at].What])
		}
	}
	for len(open) > 0 {
		end(0, state[open[0].What])
	}
	open = append(open, last)
	for _, c := range []struct {
		q    api.AuditQuery
		want func(i int, name string) bool
	}{
		{api.AuditQuery{Limit: 1000}, func(int, string) bool { return true }},
		{api.AuditQuery{Limit: 3}, func(int, string) bool { return true }},
		{api.AuditQuery{Limit: 7, Result: api.ResultBegun}, func(_ int, name string) bool { return state[name] == api.ResultBegun || name == last.What }},
		{api.AuditQuery{Limit: 2, Result: "denied"}, func(_ int, name string) bool { return state[name] == "denied" }},
		{api.AuditQuery{Limit: 5, Operation: "op1", Result: "done"}, func(i int, name string) bool { return i%3 == 1 && state[name] == "done" && name != last.What }},
		{api.AuditQuery{Limit: 5, Actor: "somebody"}, func(int, string) bool { return false }},
	} {
		var want []string
		for k, name := range order {
			if c.want(len(order)-1-k, name) {
				s := state[name]
				if name == last.What {
					s = api.ResultBegun
				}
				want = append(want, name+" "+s)
			}
		}
		if got := pagesOf(t, n, c.q, nil); !slices.Equal(got, want) {
			t.Errorf("%+v: %d lines, want %d\n got %q\nwant %q", c.q, len(got), len(want), got, want)
		}
	}
	var want []string
	for _, name := range order {
		want = append(want, name+" "+state[name])
	}
	grown := func(page int) {
		if page == 0 && len(open) > 0 {
			end(0, state[last.What])
		}
	}
	if got := pagesOf(t, n, api.AuditQuery{Limit: 3}, grown); !slices.Equal(got[3:], want[3:]) {
		t.Errorf("while a request ends:\n got %q\nwant %q", got[3:], want[3:])
	}
}

// pagesOf reads all pages of a query; between is called after each.
func pagesOf(t *testing.T, n *Node, q api.AuditQuery, between func(page int)) (got []string) {
	t.Helper()
	for page := 0; ; page++ {
		some, err := n.audit(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, lines(some)...)
		if len(some) < q.Limit {
			return got
		}
		q.Before = some[len(some)-1].Seq
		if between != nil {
			between(page)
		}
	}
}

// killedIn names the data folder for the child of TestKilledInTheMiddle.
const killedIn = "APP_TEST_KILLED_IN"

// TestKilledInTheMiddle: of a node that is killed while it makes a change, the audit log says who wanted what.
func TestKilledInTheMiddle(t *testing.T) {
	if dir := os.Getenv(killedIn); dir != "" {
		killedChild(t, dir)
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledInTheMiddle$")
	cmd.Env = append(os.Environ(), killedIn+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, _ := bufio.NewReader(out).ReadString('\n')
	err = cmd.Wait()
	if state, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !state.Signaled() || state.Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v and said %q", err, said)
	}
	list, err := auditing(t, filepath.Join(dir, "bus")).audit(t.Context(), api.AuditQuery{Limit: 10})
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	a := list[0].Value
	if a.Result != api.ResultBegun || a.Status != 0 || a.Operation != "changeDecision" || a.What != "add 192.0.2.9 block 60s: worm" ||
		!strings.HasPrefix(a.Actor, fmt.Sprintf("uid=%d pid=", os.Getuid())) || a.Request.IsZero() || a.Time.IsZero() {
		t.Errorf("%+v", a)
	}
}

// killedChild serves the API and asks it for a change, in whose middle it kills itself.
func killedChild(t *testing.T, dir string) {
	n := auditing(t, filepath.Join(dir, "bus"))
	node := api.Node{Record: n.record, Change: func(context.Context, api.DecisionChange, string) (api.Decision, error) {
		return api.Decision{}, syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}, Metrics: obs.NewMetrics().Handler(), Health: obs.NewMetrics().Handler()}
	l, err := net.Listen("unix", filepath.Join(dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	s := api.NewServer(api.Options{Node: node, Log: n.log, Metrics: obs.NewMetrics()})
	go func() { _ = s.ServeAdmin(t.Context(), l) }()
	c := api.NewClient(dir)
	_, err = c.Change(t.Context(), api.DecisionChange{Op: "add", Target: "192.0.2.9", Seconds: 60, Reason: "worm"})
	t.Fatal("still there: ", err)
}
