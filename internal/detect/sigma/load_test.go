package sigma

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"bartizan/internal/model"

	"pgregory.net/rapid"
)

// TestOffsetsProperty: base64 of anything around a text contains one of its
// three forms.
func TestOffsetsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringN(2, 20, -1).Draw(t, "text")
		whole := base64.StdEncoding.EncodeToString([]byte(rapid.String().Draw(t, "before") + s + rapid.String().Draw(t, "after")))
		if !slices.ContainsFunc(offsets(s), func(o string) bool { return strings.Contains(whole, o) }) {
			t.Fatalf("%q of %q has none of %q", whole, s, offsets(s))
		}
	})
}

func TestPatternEscapes(t *testing.T) {
	for _, tt := range []struct {
		pattern, value string
		want           bool
	}{
		{`C:\Windows\*`, `C:\Windows*`, true}, {`C:\Windows\*`, `C:\Windows\cmd`, false},
		{`C:\Windows\\*`, `C:\Windows\cmd`, true}, {`\\\*`, `\*`, true}, {`\\\\srv`, `\\srv`, true}, {`a\b`, `a\b`, true},
		{`a?c`, `aéc`, true}, {`a?c`, `ac`, false}, {`*`, ``, true}, {``, ``, true}, {``, `x`, false}, {`a*b*c`, `a1b2b3c`, true}, {`*ab`, `aab`, true}, {`a*ab`, `ab`, false},
	} {
		p := parsePattern(tt.pattern, false)
		if got := p.match([]byte(tt.value)); got != tt.want {
			t.Errorf("%q matches %q: %t, want %t", tt.pattern, tt.value, got, tt.want)
		}
	}
}

func TestConditionRefused(t *testing.T) {
	for text, want := range map[string]string{
		"a and": "ends where", "a b": "not expected", "(a": "closing parenthesis", "c": "no search", "1 of x*": "no search is named like", "a | count() > many": "not a number",
		"a | count()": "no comparison", "a | size(x) > 1": "unknown function", "": "ends where", "a | near c": "no search", strings.Repeat("(", 1000) + "a": "nested deeper",
	} {
		if _, _, err := parseCondition(text, []string{"a", "b"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// TestProblemsNameThePlace: each mistake is one problem with its line, and the
// good rule beside it loads.
func TestProblemsNameThePlace(t *testing.T) {
	good := "title: good\nid: good\nlogsource: {product: p}\ndetection: {s: {f: x}, condition: s}\n---\n"
	head := "title: bad\nid: bad\nlogsource: {product: p}\ndetection:\n"
	for _, tt := range []struct {
		name, rule, why string
		line            int
	}{
		{"unknown modifier", head + "  s:\n    f|sounds: x\n  condition: s\n", "unknown modifier", 11},
		{"look-around", head + "  s:\n    f|re: '(?=x)'\n  condition: s\n", "RE2", 11},
		{"network", head + "  s: {f|cidr: office}\n  condition: s\n", "not a network", 10},
		{"placeholder", head + "  s: {f|expand: '%admins%'}\n  condition: s\n", "placeholder %admins%", 10},
		{"condition", head + "  s: {f: x}\n  condition: s and t\n", "no search \"t\"", 11},
		{"no timeframe", head + "  s: {f: x}\n  condition: s | count() > 5\n", "needs a timeframe", 11},
		{"no logsource", "title: bad\nid: bad\ndetection: {s: {f: x}, condition: s}\n", "logsource is missing", 6},
		{"level", "level: awful\n" + head + "  s: {f: x}\n  condition: s\n", "unknown level", 6},
		{"twice", strings.ReplaceAll(head, "id: bad", "id: good") + "  s: {f: x}\n  condition: s\n", "already used", 6},
		{"unknown rule", "title: bad\nid: bad\ncorrelation: {type: event_count, rules: [nobody], timespan: 5m, condition: {gte: 5}}\n", "no loaded rule", 8},
		{"too many together", "title: bad\nid: bad\ncorrelation: {type: temporal, rules: [good], timespan: 5m, condition: {gte: 2}}\n", "cannot fire together", 8},
		{"at most", "title: bad\nid: bad\ncorrelation: {type: temporal, rules: [good], timespan: 5m, condition: {lt: 2}}\n", "not supported", 8},
		{"nothing fires", "title: bad\nid: bad\ncorrelation: {type: temporal, rules: [good], timespan: 5m, condition: not good}\n", "when nothing fires", 8},
		{"an order", "title: bad\nid: bad\ncorrelation: {type: temporal_ordered, rules: [good], timespan: 5m, condition: good}\n", "about an order", 8},
		{"somebody else", "title: bad\nid: bad\ncorrelation: {type: temporal, rules: [good], timespan: 5m, condition: good and other}\n", "no search", 8},
		{"circle", "title: bad\nid: bad\ncorrelation: {type: temporal, rules: [bad], timespan: 5m}\n", "circle", 6},
		{"bomb", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e]\n", "with its aliases", 6},
		{"not YAML", "title: [\n", "not YAML", 0},
	} {
		e, report, err := Load(fstest.MapFS{"r.yml": {Data: []byte(good + tt.rule)}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Problems) != 1 || !strings.Contains(report.Problems[0].Why, tt.why) || tt.line > 0 && report.Problems[0].Line != tt.line {
			t.Errorf("%s: problems %v, want line %d, %q", tt.name, report.Problems, tt.line, tt.why)
		}
		if len(e.Rules()) != 1 {
			t.Errorf("%s: %d rules, want the good one", tt.name, len(e.Rules()))
		}
	}
}

func TestStatusAndPlaceholders(t *testing.T) {
	rules := fstest.MapFS{"r.yml": {Data: []byte("title: t\nid: x\nstatus: deprecated\nlogsource: {product: p}\ndetection: {s: {f|expand: '%who%-%n%'}, condition: s}\n")}}
	_, report, err := Load(rules, Options{})
	if err != nil || report.Skipped != 1 || report.Rules != 0 {
		t.Fatalf("%+v %v", report, err)
	}
	e, report, err := Load(rules, Options{Deprecated: true, Placeholders: map[string][]string{"who": {"a", "b"}, "n": {"1"}}})
	if err != nil || report.Rules != 1 {
		t.Fatalf("%+v %v", report, err)
	}
	var doc Document
	if err := doc.Parse([]byte(`{"f":"B-1"}`), Logsource{Product: "P"}); err != nil {
		t.Fatal(err)
	}
	if got := e.NewRunner(Limits{}).Match(&doc); len(got) != 1 {
		t.Errorf("%d hits, want 1", len(got))
	}
}

// TestSignal: what a hit says about actor, technique, severity and time.
func TestSignal(t *testing.T) {
	e, _, err := Load(fstest.MapFS{"r.yml": {Data: []byte("title: Root login\nid: 0f0e0d0c-0000-4000-8000-000000000001\nstatus: stable\nlevel: informational\ntags: [attack.initial-access, attack.t1078.004]\n" +
		"logsource: {product: aws, service: cloudtrail}\ndetection: {s: {eventName: ConsoleLogin, userIdentity.type: Root}, condition: s}\n")}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	run := e.NewRunner(Limits{})
	one := func(ip string) model.Signal {
		t.Helper()
		var doc Document
		text := `{"eventTime":"2026-03-01T10:00:00Z","eventSource":"signin.amazonaws.com","eventName":"consolelogin","sourceIPAddress":"` + ip + `","userIdentity":{"type":"Root","accessKeyId":"AKIAEXAMPLE"},"recipientAccountId":"1"}`
		if err := doc.Parse([]byte(text), Logsource{}); err != nil {
			t.Fatal(err)
		}
		got := run.Process(&doc, nil)
		if len(got) != 1 {
			t.Fatalf("%d signals", len(got))
		}
		if err := got[0].Check(); err != nil {
			t.Fatal(err)
		}
		return got[0]
	}
	s := one("203.0.113.9")
	if s.Actor.String() != "ip:203.0.113.9" || s.Rule != "0f0e0d0c-0000-4000-8000-000000000001" || !slices.Equal(s.Techniques, []string{"T1078.004"}) ||
		s.Severity != model.Info || s.Kind != "sigma.aws.cloudtrail" || s.Class != model.ClassExploit || s.Time.Hour() != 10 {
		t.Errorf("%+v", s)
	}
	if s := one("config.amazonaws.com"); s.Actor.String() != "access-key:AKIAEXAMPLE" {
		t.Errorf("actor %s, want the access key", s.Actor)
	}
}

// TestEveryFileIsAccountedFor: in a folder as people have them, what is no rule is
// named and stops nothing, and nothing is read twice.
func TestEveryFileIsAccountedFor(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	rule := func(id string) string {
		return "title: t\nid: " + id + "\nlogsource: {product: p}\ndetection: {s: {f: x}, condition: s}\n"
	}
	for name, text := range map[string]string{
		"..data/a.yml": rule("a"), ".github/ci.yml": "on: push\n", ".hidden.yml": "{", "b.yml": rule("b"), "empty.yml": "# nothing\n",
		"filter.yml": "title: f\nid: f\nlogsource: {product: p}\nfilter: {rules: [a], s: {f: y}, condition: not s}\n",
	} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(os.Symlink("..data/a.yml", filepath.Join(dir, "a.yml")), os.Symlink(other, filepath.Join(dir, "more")), syscall.Mkfifo(filepath.Join(dir, "0.yml"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if !IsRuleFolder(os.DirFS(dir)) {
		t.Error("it is a folder of Sigma rules")
	}
	_, rep, err := Load(os.DirFS(dir), Options{})
	if err != nil || rep.Files != 5 || rep.Rules != 2 || len(rep.Problems) != 4 {
		t.Fatalf("%d files, %d rules, %v, %v", rep.Files, rep.Rules, rep.Problems, err)
	}
	for i, want := range []string{"0.yml: is no file", "empty.yml: there is no rule", "filter.yml:1: rule f: filters", "more: a link to a folder"} {
		if got := rep.Problems[i].Error(); !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestUnmet: a rule for what nothing here produces is loaded, and that is said.
func TestUnmet(t *testing.T) {
	fsys := fstest.MapFS{}
	for i, source := range []string{"{product: windows, category: process_creation}", "{product: Azure, service: signinlogs}", "{product: azure, service: signinlogs}", "{category: proxy}",
		"{category: webserver}", "{product: zeek, service: smb_files}", "{product: linux, service: sshd}", "{product: aws, service: cloudtrail}"} {
		id := string(rune('a' + i))
		fsys[id+".yml"] = &fstest.MapFile{Data: []byte("title: t\nid: " + id + "\nlogsource: " + source + "\ndetection: {s: {f: x}, condition: s}\n")}
	}
	_, rep, err := Load(fsys, Options{})
	if err != nil || len(rep.Problems) > 0 || !slices.Equal(rep.Unmet, []Unmet{{"azure/signinlogs", 2}, {"proxy", 1}}) {
		t.Fatalf("%v, %v, %v", rep.Unmet, rep.Problems, err)
	}
}
