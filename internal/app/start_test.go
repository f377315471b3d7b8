package app

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"bartizan/content/policies"
	"bartizan/internal/decide"
	"bartizan/internal/enforce"
	"bartizan/internal/model"
	"bartizan/internal/obs"
	"bartizan/internal/safe/porttest"
)

func freePort(t *testing.T) uint16 {
	t.Helper()
	n, err := strconv.ParseUint(porttest.Free(t, "tcp", 1)[0], 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

func TestListeningFallsBackOrRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port, second := uint16(taken.Addr().(*net.TCPAddr).Port), freePort(t)
	c := DecoysConfig{Listen: "fallback", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Instances: map[string]InstanceConfig{"ssh": {Service: "ssh", Port: port, Fallback: second}, "off": {Service: "tcp", Port: port, Disabled: true}}}
	files, lines, err := openListeners(&c)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		defer f.file.Close()
	}
	if len(lines) != 1 || lines[0].Standard || !strings.Contains(lines[0].Note, "taken") || netip.MustParseAddrPort(lines[0].Address).Port() != second {
		t.Errorf("lines %+v, want one on the second port %d that says why", lines, second)
	}
	if conn, err := net.Dial("tcp", lines[0].Address); err != nil {
		t.Errorf("nothing listens there: %v", err)
	} else {
		conn.Close()
	}
	away := c
	away.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.77")}
	if _, _, err := openListeners(&away); err == nil || !strings.Contains(err.Error(), "no interface of this machine") {
		t.Errorf("an address of somebody else: %v", err)
	}
	c.Listen = "strict"
	if _, _, err := openListeners(&c); err == nil || !strings.Contains(err.Error(), "strict") {
		t.Errorf("strict: %v, want an error that names the setting", err)
	}
}

func TestConfigMistakes(t *testing.T) {
	cases := []struct{ text, want string }{
		{"decoys:\n  lissten: strict\n", `:2: unknown key "lissten"`},
		{"decoys: {listen: maybe}\n", "none of fallback, strict"},
		{"decoys: {instances: {shh: {port: 22}}}\n", `unknown decoy "shh"`},
		{"decoys: {instances: {ssh: {port: 22}, other: {service: tcp, port: 22}}}\n", "port 22 is already"},
		{"decoys: {instances: {ssh: {options: {maxtries: 3}}}}\n", `unknown key "maxtries"`},
		{"decoys: {instances: {x: {service: tcp}}}\n", "port: is missing"},
		{"enforce: {nftables: {}}\n", `unknown enforcer "nftables"`},
		{"export: {hek: {}}\n", `unknown sink "hek" (nearest known: "hec"`},
		{"export: {hec: {options: {url: splunk}}}\n", "must be http://"},
		{"export: {siem: {kind: syslog, classes: [signals], options: {url: \"tcp://h\"}}}\n", `nearest: "signal"`},
		{"export: {siem: {kind: syslog, classes: [http], options: {url: \"tcp://h\"}}}\n", "in no stream"},
		{"protect: {never: [10.0.0.0/33]}\n", "never[0]"},
		{"name: \"a\\nb\"\n", "name: must have"},
		{"decoys: {uid: -1}\n", "decoys.uid: -1 is no user id"},
		{"decoys: {memory: 1MiB}\n", "decoys.memory: 1MiB is too little"},
		{"bus: {evidence_bytes: 0}\n", "bus.evidence_bytes"},
		{"bus: {ledger_age: 0}\n", "bus.ledger_age"},
		{"decoys: {instances: {ssh: {limits: {per_source: -3}}}}\n", "limits.per_source: -3 is no limit"},
		{"decoys: {instances: {ssh: {limits: {file: 1GiB}}}}\n", "limits.file: 1GiB is too much: at most 12MiB"},
	}
	for _, c := range cases {
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadConfig(file); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file+":") {
			t.Errorf("%q: %v, want %q, file and line", c.text, err, c.want)
		}
	}
	if _, err := LoadConfig(""); err != nil {
		t.Errorf("the defaults are wrong: %v", err)
	}
}

func TestIdentityIsStable(t *testing.T) {
	dir := t.TempDir()
	one, err := loadIdentity(dir, time.Now())
	if err != nil || !one.first {
		t.Fatalf("first start: %v", err)
	}
	two, err := loadIdentity(dir, time.Now())
	if err != nil || two.first || !two.key.Equal(one.key) || two.persona.Keys.RSA != one.persona.Keys.RSA {
		t.Fatalf("second start is another node: %v", err)
	}
	for _, name := range []string{"persona.json", "node.key"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, st.Mode(), err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "persona.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadIdentity(dir, time.Now()); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("a damaged persona: %v, want an error that says what to do", err)
	}
}

func TestUnknownFactsHold(t *testing.T) {
	got := unknownFacts([]string{"host name: x", "addresses: y", "routes: z", "resolvers: r", "weather: w"})
	want := []string{decide.FactOwn, decide.FactGateways, decide.FactOwn, decide.FactResolvers, "weather"}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%q, want it about %s", got[i], want[i])
		}
	}
}

func TestBenignFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "benign.txt")
	if err := os.WriteFile(file, []byte("# crawlers\n192.0.2.0/24 # one\n\n2001:db8::1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := loadPrefixes(file)
	if err != nil || l.Verdict != model.GuardHold {
		t.Fatalf("%+v, %v", l, err)
	}
	for text, want := range map[string]bool{"192.0.2.7/32": true, "192.0.0.0/16": true, "198.51.100.1/32": false, "2001:db8::/64": true} {
		if got := l.List.OverlapsPrefix(netip.MustParsePrefix(text)); got != want {
			t.Errorf("overlap with %s is %v", text, got)
		}
	}
	if err := os.WriteFile(file, []byte("ok\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadPrefixes(file); err == nil || !strings.Contains(err.Error(), ":1:") {
		t.Errorf("a wrong line: %v, want file and line", err)
	}
}

// What config dump prints is a configuration that means the same.
func TestDumpReadsBack(t *testing.T) {
	first, err := LoadConfig("")
	if err != nil {
		t.Fatal(err)
	}
	text, err := DumpConfig(first)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dump.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := LoadConfig(file)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	again, err := DumpConfig(second)
	if err != nil || string(again) != string(text) {
		t.Errorf("dumped again it differs: %v\n%s", err, again)
	}
	if !strings.Contains(string(text), "fail_delay") {
		t.Error("the options of decoys are missing")
	}
	for i := range reflect.TypeFor[Config]().NumField() {
		if !reflect.TypeFor[Config]().Field(i).IsExported() {
			continue
		}
		if key := reflect.TypeFor[Config]().Field(i).Tag.Get("yaml"); !strings.Contains("\n"+string(text), "\n"+key+":") {
			t.Errorf("key %q is missing", key)
		}
	}
}

// A series that an alarm watches is there before anything has happened.
func TestMetricsExistFromTheStart(t *testing.T) {
	m := obs.NewMetrics()
	newSensorMetrics(m)
	newHubMetrics(m)
	got, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bartizan_decisions_held", "bartizan_evidence_lost_total", "bartizan_decoy_trips_total", "bartizan_decoy_shed_total"} {
		if v, ok := got[name]; !ok || v != 0 {
			t.Errorf("%s is %v, there: %v", name, v, ok)
		}
	}
}

// What somebody named as never to be blocked is refused by the enforcers as
// well, wherever it was named.
func TestNeverReachesEnforcers(t *testing.T) {
	c := DefaultConfig()
	c.Name, c.Data = "here", t.TempDir()
	prefix := netip.MustParsePrefix
	c.Protect = ProtectConfig{Never: []netip.Prefix{prefix("203.0.113.0/28")}, Own: []netip.Prefix{prefix("203.0.113.16/28")}, Balancers: []netip.Prefix{prefix("203.0.113.32/28")}}
	around, err := newSurroundings(t.Context(), &c, nil, slog.New(slog.DiscardHandler), obs.NewHealth())
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(policies.Default, "never: []", "never: [203.0.113.48/28]", 1)
	policy, err := decide.LoadPolicy("policy.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(policy.Never) != 1 {
		t.Fatalf("the policy names %d never-entries, want 1", len(policy.Never))
	}
	never := neverHit(around.snapshot(), policy)
	for _, a := range []string{"203.0.113.1", "203.0.113.17", "203.0.113.33", "203.0.113.49", "127.0.0.1"} {
		order := enforce.Order{Prefix: netip.PrefixFrom(netip.MustParseAddr(a), 32), Action: model.Block, Until: time.Now().Add(time.Hour), Manual: true}
		if enforce.DefaultLimits().Refuse(order, never) == "" {
			t.Errorf("an order to block %s would be carried out; never: %v", a, never)
		}
	}
	order := enforce.Order{Prefix: prefix("203.0.113.64/32"), Action: model.Block, Until: time.Now().Add(time.Hour)}
	if why := enforce.DefaultLimits().Refuse(order, never); why != "" {
		t.Errorf("an address that nobody named is refused: %s", why)
	}
}
