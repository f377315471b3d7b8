package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/model"
)

// TestGeneratedClient: the node's own OpenAPI document passes a validator, and a client
// that a third party's generator makes from it drives the API: types, pages, streams,
// changes, refusals.
func TestGeneratedClient(t *testing.T) {
	t.Parallel()
	need(t, "node", "curl")
	npm, err := filepath.Abs("npm")
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(npm, "node_modules")
	if _, err := os.Stat(filepath.Join(modules, "openapi-typescript")); err != nil {
		lack(t, "the generator of clients is not there: npm ci --prefix e2e/npm")
	}
	// Below node_modules, where imports find what is installed.
	dir, err := os.MkdirTemp(modules, ".client")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })

	l := newLab(t)
	n := l.up(t)
	a := l.attacker(t)
	if _, err := a.attackWeb("", "80"); err != nil {
		t.Fatal(err)
	}
	n.awaitSignals(t, a.ip, "web.path-traversal", "contact.decoy")

	url := n.status(t).API.URL
	ca := filepath.Join(n.data, "api.crt")
	document := filepath.Join(dir, "openapi.json")
	l.node.must(t, "curl", "-sSf", "--cacert", ca, "-o", document, url+"/openapi.json")
	tool := func(words ...string) {
		t.Helper()
		words[0] = filepath.Join(modules, ".bin", words[0])
		if r := l.node.run(t, 2*time.Minute, words[0], words[1:]...); r.code != 0 {
			t.Fatal(r)
		}
	}
	tool("validate-api", document)
	tool("openapi-typescript", document, "-o", filepath.Join(dir, "schema.ts"))
	source, err := os.ReadFile(filepath.Join(npm, "api.ts"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "api.ts"), string(source))
	write(t, filepath.Join(dir, "package.json"), `{"type":"module"}`)
	tool("tsc", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom,dom.asynciterable", "--types", "node",
		"--typeRoots", filepath.Join(modules, "@types"), "--skipLibCheck", "--outDir", filepath.Join(dir, "out"), filepath.Join(dir, "api.ts"))
	write(t, filepath.Join(dir, "out", "package.json"), `{"type":"module"}`)

	env := []string{"NODE_EXTRA_CA_CERTS=" + ca, "NODE_URL=" + url, "ATTACKER=" + a.ip, "TARGET=45.66.77.88"}
	for _, scope := range []string{"read", "operate", "admin"} {
		r := n.cli(t, "token", "create", "my-"+scope, "--scope", scope, "--for", "1h")
		if r.code != 0 {
			t.Fatal(r)
		}
		env = append(env, "TOKEN_"+strings.ToUpper(scope)+"="+strings.TrimSpace(r.out))
	}
	r := l.node.runWith(t, time.Minute, nil, env, "node", filepath.Join(dir, "out", "api.js"))
	if r.code != 0 {
		t.Fatalf("the generated client: %s", r)
	}
	var got generated
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		t.Fatalf("read the client's report: %v\n%s", err, r)
	}
	got.compare(t, n.signals(t, a.ip))
	n.stop(t)
}

// generated is what e2e/npm/api.ts reports.
type generated struct {
	Name, Mode      string
	Signals, Whole  []string
	Pages, Evidence int
	Indicator       float64
	Exported        []string
	Decision        struct {
		ID, State, Shown, Why, Removed string
		Listed                         []string
	}
	Seen    []struct{ Event, ID string }
	Guarded struct {
		State string
		By    []string
	}
	Replayed      int
	Revoked       string
	Tokens, Audit []string
	Refused       map[string]struct {
		Status, Said int
		Places       []string
		Instance     string
	}
}

// compare looks for what the node said over its administration socket, and for what the
// client's own calls must have led to.
func (g *generated) compare(t *testing.T, signals []model.Signal) {
	t.Helper()
	var ids []string
	for _, s := range signals {
		ids = append(ids, s.ID.String())
	}
	for what, list := range map[string][]string{"pages": g.Signals, "one page": g.Whole, "export": g.Exported} {
		for _, id := range ids {
			if n := len(slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s != id })); n != 1 {
				t.Errorf("signal %s is %d times in %s, want once", id, n, what)
			}
		}
	}
	if g.Pages < (len(ids)-1)/2 || g.Name != "bastion" || g.Mode != "observe" || g.Indicator <= 0 || g.Evidence == 0 || g.Replayed < len(ids) {
		t.Errorf("%+v", g)
	}
	d := g.Decision
	if d.ID == "" || d.State != "active" || d.Shown != d.ID || d.Why != d.ID || !slices.Contains(d.Listed, d.ID) || d.Removed != "removed" {
		t.Errorf("decision by hand: %+v", d)
	}
	if g.Guarded.State != "held" || !slices.Contains(g.Guarded.By, "own") {
		t.Errorf("a decision on an own address: %+v", g.Guarded)
	}
	if len(g.Seen) < 2 || g.Seen[0].Event != "ready" || g.Seen[len(g.Seen)-1].Event != "decision" || g.Seen[len(g.Seen)-1].ID == "" {
		t.Errorf("live events: %+v", g.Seen)
	}
	if g.Revoked != "revoked" || !slices.Contains(g.Tokens, "generated") {
		t.Errorf("tokens: %s, %v", g.Revoked, g.Tokens)
	}
	for _, want := range []string{"changeDecision done", "changeDecision denied", "changeDecision refused", "createToken done", "revokeToken done"} {
		if !slices.Contains(g.Audit, want) {
			t.Errorf("no %q in the audit log: %q", want, g.Audit)
		}
	}
	for what, want := range map[string]struct {
		status int
		place  string
	}{"nobody": {401, ""}, "revoked": {401, ""}, "scope": {403, ""}, "ended": {409, ""}, "field": {422, "body.raeson"}, "limit": {422, "query.limit"}, "nothing": {404, ""}} {
		r := g.Refused[what]
		if r.Status != want.status || r.Said != want.status || r.Instance == "" || want.place != "" && !slices.Contains(r.Places, want.place) {
			t.Errorf("refusal %s: %+v, want %+v", what, r, want)
		}
	}
}
