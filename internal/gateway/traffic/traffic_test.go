package traffic

import (
	"errors"
	"strings"
	"testing"

	"bartizan/internal/credential"
	"bartizan/internal/guard"
	"bartizan/internal/model"
)

// names finds two names; it cannot point at the second, and breaks on a third.
type names struct{}

func (names) Inspect(t *guard.Text) (out []guard.Finding, err error) {
	if strings.Contains(t.Raw, "BREAK") {
		return nil, errors.New("cannot look")
	}
	for from := 0; ; {
		i := strings.Index(t.Raw[from:], "Ann Weber")
		if i < 0 {
			break
		}
		out = append(out, guard.Finding{Category: guard.PII, Score: 0.3, Note: "a name", Label: "NAME", Spans: []guard.Span{{From: from + i, To: from + i + 9}}})
		from += i + 9
	}
	for _, v := range t.Views[1:] {
		if strings.Contains(v.Text, "Ann Weber") {
			out = append(out, guard.Finding{Category: guard.PII, Score: 0.3, Note: "a name", Label: "NAME", Deep: true})
		}
	}
	return out, nil
}

func masker() *Masker {
	return New([]guard.Named{{Name: "names", Inspector: names{}}}, nil, []string{"the-known-word", ""})
}

func TestMask(t *testing.T) {
	d := &Draft{}
	d.Add("request", "prompt", "", "I am Ann Weber and the-known-word is it; Ann Weber, token=q8w7e6r5t4")
	d.Add("tool_call", "tool_call", "Ann Weber's tool", `{"q":"q8w7e6r5t4"}`)
	d.Add("request", "prompt", "", "QW5uIFdlYmVyIGlzIG15IG5hbWUsIEFubiBXZWJlcg==")
	d.Add("request", "prompt", "", "BREAK")
	d.Add("response", "answer", "", strings.Repeat("x", MaxBytes))
	d.Continue("1", "response", "answer", "", "Ann We", false)
	d.Continue("1", "response", "answer", "", "ber!", false)
	d.Continue("1", "response", "answer", "", "Ann Weber!", true)
	var x model.LLMTraffic
	masker().Mask(d, &x)
	want := []model.LLMMessage{
		{Direction: "request", Kind: "prompt", Size: 68, Text: "I am <NAME_1> and <SECRET_1> is it; <NAME_1>, token=<CREDENTIAL_1>"},
		{Direction: "tool_call", Kind: "tool_call", Tool: "<NAME_1>'s tool", Size: 18, Text: `{"q":"<CREDENTIAL_1>"}`},
		{Direction: "request", Kind: "prompt", Size: 44, Withheld: "personal data in a form that cannot be replaced"},
		{Direction: "request", Kind: "prompt", Size: 5, Withheld: "an inspector could not look at it: names"},
		{Direction: "response", Kind: "answer", Size: MaxBytes, Withheld: tooLarge},
		{Direction: "response", Kind: "answer", Size: 10, Text: "<NAME_1>!"},
	}
	if len(x.Messages) != len(want) || x.Withheld != 3 || x.Masked != 7 {
		t.Fatalf("%+v", x)
	}
	for i := range want {
		if x.Messages[i] != want[i] {
			t.Errorf("%d: %+v\nwant %+v", i, x.Messages[i], want[i])
		}
	}
}

func TestWithhold(t *testing.T) {
	d := &Draft{}
	d.Add("request", "prompt", "", "hello")
	d.Add("response", "answer", "", "half of a secret")
	d.Withhold("stopped", "response")
	for range MaxMessages {
		d.Add("request", "prompt", "", "more")
	}
	var x model.LLMTraffic
	masker().Mask(d, &x)
	if len(x.Messages) != MaxMessages || x.More != 2 || x.Withheld != 1 || x.Messages[0].Text != "hello" || x.Messages[1].Text != "" || x.Messages[1].Withheld != "stopped" {
		t.Errorf("%d messages, %d more: %+v", len(x.Messages), x.More, x.Messages[:2])
	}
	var none *Draft
	none.Add("request", "prompt", "", "x")
	none.Continue("1", "response", "answer", "", "x", false)
	none.Withhold("x")
}

// Whatever is said, nothing that can be found is in what is kept, and no text is both here
// and withheld.
func FuzzMask(f *testing.F) {
	f.Add("I am Ann Weber", "the-known-word "+"AKIA"+"Q3EGRIT7ZX5KLM2P")
	f.Add("password: hunter2Hunter2", "hunter2Hunter2 again \xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		d := &Draft{}
		d.Add("request", "prompt", b, a)
		d.Continue("1", "response", "answer", a, b, false)
		var x model.LLMTraffic
		masker().Mask(d, &x)
		for _, m := range x.Messages {
			if strings.Contains(m.Text+m.Tool, "Ann Weber") || strings.Contains(m.Text, "the-known-word") || len(credential.Find(m.Text)) > 0 || m.Text != "" && m.Withheld != "" {
				t.Errorf("%q %q: %+v", a, b, m)
			}
		}
	})
}
