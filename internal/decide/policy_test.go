package decide

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bartizan/content/policies"
	"bartizan/internal/model"
)

func TestShippedPolicy(t *testing.T) {
	p := DefaultPolicy()
	if p.Mode != ModeObserve || len(p.Rules) != 4 || p.Rules[0].Action != model.Isolate {
		t.Fatalf("%+v", p)
	}
	b := p.Rules[1]
	if b.Action != model.Block || b.MinConfidence != 0.95 || b.MinClasses != 2 || b.Grow != 2 || b.For.Minutes() != 10 || b.Max.Hours() != 24 {
		t.Fatalf("%+v", b)
	}
	// What the file writes down is what a file that says nothing gets.
	if empty := policy(t, "mode: observe"); empty.Limits != p.Limits || empty.Rollback != p.Rollback || len(empty.Rules) != 0 {
		t.Fatalf("defaults differ: %+v, %+v", empty.Limits, p.Limits)
	}
}

// TestPolicyErrors reads every file of testdata/errors: a policy, a line
// "--- errors", and the exact messages.
func TestPolicyErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 25 {
		t.Fatalf("%d cases, at least 25 exist", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text, want, ok := strings.Cut(string(b), "--- errors\n")
			if !ok {
				t.Fatal("no --- errors")
			}
			_, err = LoadPolicy("policy.yaml", []byte(text))
			if err == nil {
				t.Fatal("accepted")
			}
			got := err.Error() + "\n"
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(file, []byte(text+"--- errors\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
			for line := range strings.Lines(got) {
				if !strings.HasPrefix(line, "policy.yaml:") {
					t.Errorf("does not name file and line: %s", line)
				}
			}
		})
	}
}

func TestConditionsThatCompile(t *testing.T) {
	ind := proof(t, attacker, t0)
	for source, want := range map[string]bool{
		`true`:                     true,
		`indicator.confidence > 0`: true,
		`"auth" in indicator.classes && !("exploit" in indicator.classes)`:                   true,
		`indicator.behaviours.exists(b, b.startsWith("command."))`:                           true,
		`indicator.severity >= high && indicator.severity < critical`:                        true,
		`indicator.age < duration("1h") && now - indicator.last_seen < duration("1h")`:       true,
		`size(indicator.sensors) == 1 && indicator.count == 4 && indicator.type == "ip"`:     true,
		`indicator.value.matches("^185[.]") && indicator.techniques.all(t, t != "T1110")`:    true,
		`indicator.first_seen > timestamp("2030-01-01T00:00:00Z")`:                           false,
		`indicator.classes.exists(c, indicator.behaviours.exists(b, b.startsWith(c + ".")))`: true,
		`indicator.classes.exists(c, c in indicator.behaviours)`:                             false,
	} {
		c, mistakes := compile(source)
		if mistakes != nil {
			t.Errorf("%s: %+v", source, mistakes)
			continue
		}
		if got, err := c.Match(t0, &ind); err != nil || got != want {
			t.Errorf("%s: %v %v", source, got, err)
		}
	}
}

func TestNeverList(t *testing.T) {
	p := policy(t, "never: [192.0.2.7, 192.0.2.0/24, '::ffff:192.0.2.9', '2001:db8::5', example.org]")
	var got []string
	for _, n := range p.Never {
		got = append(got, n.Entity.String()+" "+n.Exact.String())
	}
	want := "ip:192.0.2.7 192.0.2.7/32|ip:192.0.2.0/24 192.0.2.0/24|ip:192.0.2.9 192.0.2.9/32|ip:2001:db8::/64 2001:db8::5/128|domain:example.org invalid Prefix"
	if strings.Join(got, "|") != want {
		t.Fatalf("%s", strings.Join(got, "|"))
	}
}

func FuzzLoadPolicy(f *testing.F) {
	f.Add([]byte(policies.Default))
	files, _ := filepath.Glob("testdata/errors/*.txt")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := LoadPolicy("policy.yaml", b)
		if (p == nil) != (err != nil) && err == nil {
			t.Fatal("neither a policy nor an error")
		}
		if err != nil {
			return
		}
		// What loads can be used.
		led := NewLedger(LedgerConfig{})
		entries, _ := Evaluate(t0, proof(t, attacker, t0), led, p, Facts{})
		for i, e := range entries {
			if _, err := led.Apply(uint64(i+1), e); err != nil {
				t.Fatalf("a policy that loads makes an entry that does not apply: %v", err)
			}
		}
	})
}
