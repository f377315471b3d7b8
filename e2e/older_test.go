package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// olderCommit is a commit whose data folders today's program must read.
const olderCommit = "0d6247a3e4cd72c9d8383a64ad8d7766bd3ffa82"

// builtFrom builds the program of an older commit of this repository.
func builtFrom(t *testing.T, commit string) string {
	t.Helper()
	need(t, "git", "tar")
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Dir(strings.TrimSpace(string(out)))
	if said, err := exec.CommandContext(t.Context(), "git", "-C", root, "cat-file", "-e", commit+"^{commit}").CombinedOutput(); err != nil {
		t.Skipf("commit %.12s is not in this clone, nothing older to compare with (git fetch --unshallow): %s", commit, said)
	}
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil { // the decoys' user starts it, too
		t.Fatal(err)
	}
	source, bin := filepath.Join(dir, "source"), filepath.Join(dir, "bartizan")
	var said bytes.Buffer
	script := exec.CommandContext(t.Context(), "sh", "-ec", `mkdir "$2"; git -C "$0" archive --format=tar "$1" | tar -x -C "$2"; cd "$2"; go build -trimpath -o "$3" ./cmd/bartizan`,
		root, commit, source, bin)
	script.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN=local")
	script.Stdout, script.Stderr = &said, &said
	if err := script.Run(); err != nil {
		t.Fatalf("build commit %.12s: %v\n%s", commit, err, &said)
	}
	return bin
}

// lasting is what a node knows that lasts, in words that can be compared.
type lasting struct {
	signals, decisions, receipts, ledger, indicators []string
	evidence                                         map[string]string
	persona                                          string
}

func words(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// listed is every decision, asked for by the program that runs the node: what
// client and node say to each other may change from commit to commit, what the
// command line prints may not.
func listed(t *testing.T, n *node) []api.Decision {
	t.Helper()
	return cliJSON[[]api.Decision](t, n, "decisions", "list", "--all", "--limit", "1000")
}

// lasts asks a node for all that lasts.
func lasts(t *testing.T, n *node) lasting {
	t.Helper()
	s := lasting{evidence: map[string]string{}}
	for _, sig := range cliJSON[[]model.Signal](t, n, "signals", "--limit", "1000") {
		s.signals = append(s.signals, words(t, sig))
		for _, e := range sig.Evidence {
			if e.Blob != "" {
				s.evidence[e.Blob] = n.cli(t, "evidence", e.Blob).out
			}
		}
	}
	for _, d := range listed(t, n) {
		s.decisions = append(s.decisions, words(t, d.Decision))
		s.receipts = append(s.receipts, words(t, d.Receipts))
		s.ledger = append(s.ledger, words(t, cliJSON[api.Why](t, n, "why", d.ID.String()).Ledger))
	}
	for _, i := range timeless(cliJSON[[]model.Indicator](t, n, "intel", "list", "--limit", "1000")) {
		s.indicators = append(s.indicators, words(t, i))
	}
	for _, list := range [][]string{s.signals, s.decisions, s.receipts, s.ledger} {
		slices.Sort(list)
	}
	raw, err := os.ReadFile(filepath.Join(n.data, "persona.json"))
	if err != nil {
		t.Fatal(err)
	}
	s.persona = string(raw)
	return s
}

// TestOlderData: what a node of an older commit has learned and decided, this
// one knows, too, and goes on from there.
func TestOlderData(t *testing.T) {
	old := builtFrom(t, olderCommit)
	l := newLab(t)
	n := l.prepare(t, enforcing())
	n.binary = old
	n.start(t)
	n.awaitReady(t)
	a, held := l.attacker(t), l.attacker(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, _, err := n.api.Lease(ctx, api.LeaseRequest{Addresses: []string{a.ip}, For: 60, BlockFor: 3}); err != nil {
		t.Fatalf("lease: %v", err)
	}
	_, _ = a.attackWeb("", "80") // being cut off is the point
	if _, err := held.attackWeb("", "80"); err != nil {
		t.Fatal(err)
	}
	n.cli(t, "decisions", "add", "45.9.0.1", "--for", "1h")
	eventually(t, 20*time.Second, "a block that has ended, one by hand, and one that is held", func() error {
		seen := map[model.State]bool{}
		for _, d := range listed(t, n) {
			seen[d.State] = seen[d.State] || d.State == model.StateHeld || hasReceipt(d, model.Applied) && (d.State == model.StateActive || hasReceipt(d, model.Expired))
		}
		if !seen[model.StateExpired] || !seen[model.StateActive] || !seen[model.StateHeld] {
			return fmt.Errorf("seen: %v", seen)
		}
		return nil
	})
	n.end(t)
	n.start(t) // what the end of visits brought is in then
	eventually(t, 20*time.Second, "the older node is up again", func() error {
		if r := n.cli(t, "status"); r.code > 1 {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	before := lasts(t, n)
	n.end(t)

	n.binary = ""
	n.start(t)
	n.awaitReady(t)
	after := lasts(t, n)
	if len(before.signals) < 10 || len(before.decisions) < 3 || len(before.evidence) < 3 || len(before.indicators) < 3 {
		t.Errorf("the older node had little to tell: %d signals, %d decisions, %d pieces of evidence, %d indicators",
			len(before.signals), len(before.decisions), len(before.evidence), len(before.indicators))
	}
	was, is := reflect.ValueOf(before), reflect.ValueOf(after)
	for i := range was.NumField() {
		if w, g := fmt.Sprint(was.Field(i)), fmt.Sprint(is.Field(i)); w != g {
			t.Errorf("%s differ:\n%.2000s\nwere\n%.2000s", was.Type().Field(i).Name, g, w)
		}
	}
	inKernel(t, n, *decision(t, n, "45.9.0.1"), true)
	fightsBack(t, n, l.attacker(t), "today's node on an older one's data")
	n.stop(t)
}

// end stops a node that may not understand what today's client asks.
func (n *node) end(t *testing.T) {
	t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := n.wait(t, 25*time.Second); code != 0 {
		t.Errorf("the node ended with %d\nstderr: %s", code, tail(n.err.String()))
	}
}

// decision is the only one about an address.
func decision(t *testing.T, n *node, addr string) *model.Decision {
	t.Helper()
	list := n.decisions(t, addr)
	if len(list) != 1 {
		t.Fatalf("%d decisions about %s", len(list), addr)
	}
	return &list[0].Decision
}

// olderLake is a commit whose lakes today's program must read; the one of TestOlderData had none yet.
const olderLake = "63097c9"

// TestOlderLake: a lake that an older commit's program has written is whole to today's, is compacted without losing a
// row, is added to, and is answered from.
func TestOlderLake(t *testing.T) {
	t.Parallel()
	old := builtFrom(t, olderLake)
	dir := shortDir(t)
	lakeDir, lines := filepath.Join(dir, "lake"), filepath.Join(dir, "in.jsonl")
	var in bytes.Buffer
	const each = 40
	for i := range each {
		fmt.Fprintf(&in, `{"kind":"auth","time":"2026-11-2%dT09:12:00Z","session":"01KB2JQ4Q0Z8V4A1B2C3D4E5%02d","sensor":"edge-1","decoy":"ssh","service":"ssh","local":"203.0.113.7:22","remote":"192.0.2.%d:40000","auth":{"method":"password","user":"root","password":"123456","accepted":false}}`+"\n", i%3, i, i)
		fmt.Fprintf(&in, `{"id":"01KB2JQ4Q0Z8V4A1B2C3D4E6%02d","time":"2026-11-2%dT09:12:01Z","kind":"auth.brute-force","class":"credential","rule":"ssh-guess","title":"guesses passwords","actor":{"type":"ip","value":"192.0.2.7"},"address":"192.0.2.7","asset":{"kind":"service","name":"ssh"},"sensor":"edge-1","confidence":0.9,"severity":"medium","count":5}`+"\n", i, i%3)
	}
	write(t, lines, in.String())
	run := func(bin string, want int, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), bin, args...)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Fatalf("%v: exit %d, %v: %s%s", args, code, err, out, &said)
		}
		return string(out)
	}
	rows := func() (rows, damaged int) {
		t.Helper()
		var r struct {
			Rows    int
			Damaged []json.RawMessage
		}
		if err := json.Unmarshal([]byte(run(program(), 0, "lake", "check", "--lake", lakeDir, "--format", "json")), &r); err != nil {
			t.Fatal(err)
		}
		return r.Rows, len(r.Damaged)
	}
	run(old, 0, "lake", "import", "--lake", lakeDir, lines)
	run(old, 0, "lake", "import", "--lake", lakeDir, lines)
	if n, bad := rows(); n != 4*each || bad != 0 {
		t.Fatalf("%d rows of %d, %d damaged", n, 4*each, bad)
	}
	run(program(), 0, "lake", "import", "--lake", lakeDir, lines)
	run(program(), 0, "lake", "compact", "--lake", lakeDir)
	if n, bad := rows(); n != 6*each || bad != 0 {
		t.Fatalf("compacted: %d rows of %d, %d damaged", n, 6*each, bad)
	}
	out := exec.CommandContext(t.Context(), program(), "hunt", "--lake", lakeDir, "--format", "json", "SELECT count(*) AS n, count(DISTINCT src_ip) AS ips FROM logins")
	said, err := out.CombinedOutput()
	if strings.Contains(string(said), "without the query engine") {
		return // the rows are counted above
	}
	if err != nil || strings.TrimSpace(string(said)) != fmt.Sprintf(`[{"n":%d,"ips":%d}]`, 3*each, each) {
		t.Errorf("%v: %s", err, said)
	}
}
