package prompt

import (
	"strings"
	"testing"
	"time"

	"bartizan/internal/detect/detecttest"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

func ask(route, prompt string) observe.Observation {
	return detecttest.Observation(observe.Observation{Service: "llm", Exchange: &observe.Exchange{API: "openai", Route: route, Prompt: prompt}})
}

func conclude(t *testing.T, os ...observe.Observation) map[string]model.Signal {
	t.Helper()
	d := fresh(t)()
	got := map[string]model.Signal{}
	for i := range os {
		d.Detect(&os[i], func(s *model.Signal) {
			c := *s
			c.Related = append([]model.Entity(nil), s.Related...)
			got[s.Kind] = c
		})
	}
	return got
}

func TestLLMJacking(t *testing.T) {
	long := ask("/v1/chat/completions", strings.Repeat("Write the next chapter of the story. ", 8))
	list, hi := ask("/v1/models", ""), ask("/v1/chat/completions", "hi")
	got := conclude(t, list, hi, long)
	for kind, class := range map[string]model.Class{"model.list": model.ClassModelRecon, "model.fingerprint": model.ClassModelRecon, "model.oracle": model.ClassModelRecon,
		"model.use": model.ClassModelAbuse, "model.llmjacking": model.ClassModelAbuse} {
		if got[kind].Class != class {
			t.Errorf("%s: %+v", kind, got[kind])
		}
	}
	for what, os := range map[string][]observe.Observation{"only listed": {list, list}, "listed and one test": {list, hi}, "only used": {long}} {
		if got := conclude(t, os...); got["model.llmjacking"].Kind != "" {
			t.Errorf("%s: %v", what, got)
		}
	}
	long.Time = long.Time.Add(5 * time.Hour)
	if got := conclude(t, list, hi, long); got["model.llmjacking"].Kind != "" {
		t.Error("hours apart")
	}
}

func TestLimitBelowZero(t *testing.T) {
	for options, want := range map[string]bool{"max_tokens=-1": true, "temperature=1 max_completion_tokens=0": true, "max_tokens=1": false, "num_predict=-1 seed=-3": false, "": false} {
		o := ask("/v1/chat/completions", strings.Repeat("a long prompt of somebody ", 5))
		o.Exchange.Options = options
		if got := conclude(t, o)["model.limit-oracle"].Kind != ""; got != want {
			t.Errorf("%q: %v", options, got)
		}
	}
}

func TestKeyIsRelated(t *testing.T) {
	o := ask("/v1/models", "")
	o.Exchange.Key = "sk-proj-abcd…wxyz"
	if got := conclude(t, o); len(got["model.key-offered"].Related) != 0 {
		t.Error("a key that is no token became an entity")
	}
	o.Exchange.Key = "sk-proj-abcd...wxyz"
	if got := conclude(t, o); len(got["model.key-offered"].Related) != 1 || got["model.key-offered"].Related[0].Type() != model.TypeAccessKey {
		t.Errorf("%+v", got)
	}
}

func TestFingerprint(t *testing.T) {
	same := []string{"What model are you?", "what  MODEL are you", " What\u200b model\nare you?! "}
	for _, s := range same {
		if Fingerprint(s) != Fingerprint(same[0]) || len(Fingerprint(s)) != 16 {
			t.Errorf("%q differs", s)
		}
	}
	if Fingerprint("say 1234567890") != Fingerprint("say 9876543210") {
		t.Error("nonces differ")
	}
	if Fingerprint("2+2") == Fingerprint("2-2") || Fingerprint("17*23") == Fingerprint("17*24") || Fingerprint("a") == Fingerprint("b") {
		t.Error("different prompts are the same")
	}
}

func FuzzFingerprint(f *testing.F) {
	f.Add("What is 17*23? 123456789")
	f.Add("\u200b９９９９９ 1 22 333 4444 55555")
	f.Fuzz(func(t *testing.T, s string) {
		fp := Fingerprint(s)
		if _, err := model.ParseEntity(model.TypePrompt, fp); err != nil || fp != Fingerprint(strings.ToUpper(strings.ToLower(s))) && isASCII(s) {
			t.Fatalf("%q: %s %v", s, fp, err)
		}
	})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
