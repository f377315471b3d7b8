package hold

import (
	"regexp"
	"strings"
	"testing"

	"bartizan/internal/guard"
	"bartizan/internal/guard/wire"
)

// keeper withholds one word and finds it in nothing.
type keeper struct{}

func (keeper) Inspect(*guard.Text) ([]guard.Finding, error) { return nil, nil }
func (keeper) Withholds() bool                              { return true }
func (keeper) Withhold(texts []string) (out [][]guard.Span, kept guard.Kept) {
	for _, text := range texts {
		var spans []guard.Span
		for _, m := range regexp.MustCompile("opensesame").FindAllStringIndex(text, -1) {
			spans = append(spans, guard.Span{From: m[0], To: m[1]})
			kept.Add(0)
		}
		out = append(out, spans)
	}
	return out, kept
}

// finder finds what an expression matches.
type finder struct {
	category guard.Category
	score    float64
	re       *regexp.Regexp
}

func (f finder) Inspect(t *guard.Text) (out []guard.Finding, _ error) {
	for _, m := range f.re.FindAllStringIndex(t.Raw, -1) {
		out = append(out, guard.Finding{Category: f.category, Score: f.score, Note: "found", Label: "EMAIL", Spans: []guard.Span{{From: m[0], To: m[1]}}})
	}
	return out, nil
}

// asked is a request with a system prompt and a text of another kind.
func asked(k wire.Kind, system, other string) ([]byte, *wire.Message) {
	body := `{"s":"` + system + `","p":"` + other + `"}`
	at := func(text string) wire.Span {
		i := strings.Index(body, `"`+text+`"`)
		return wire.Span{From: i, To: i + len(text) + 2}
	}
	return []byte(body), &wire.Message{Parts: []wire.Part{{Kind: wire.System, Where: "/s", Text: system, Span: at(system)}, {Kind: k, Where: "/p", Text: other, Span: at(other)}}}
}

// What is masked is put back in the answer, so it must not have in it what is withheld.
func TestWithheldIsNotMasked(t *testing.T) {
	body, m := asked(wire.Prompt, "Ops is opensesame@harbour.example, not a@b.example.", "opensesame?")
	all := []guard.Named{{Name: "keeper", Inspector: keeper{}}, {Name: "mail", Inspector: finder{guard.PII, 0.3, regexp.MustCompile(`[a-z]+@[a-z.]+[a-z]`)}}}
	vault := NewVault()
	r, err := Request(Config{Engine: engine(t, all...), Policy: policy(Mask), Vault: vault, Withholding: guard.NewWithholding(all)}, body, m)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"s":"Ops is [withheld]@harbour.example, not <EMAIL_1>.","p":"opensesame?"}`; string(r.Body) != want {
		t.Errorf("the model is told %s, want %s", r.Body, want)
	}
	if r.Withheld != 1 || !r.Kept.Has(0) || m.TextAt("/s") != "Ops is [withheld]@harbour.example, not a@b.example." {
		t.Errorf("%d withheld, kept %v, %q", r.Withheld, r.Kept, m.TextAt("/s"))
	}
	for value := range vault.marks {
		if strings.Contains(value, "opensesame") {
			t.Errorf("%q would be put back", value)
		}
	}
}

// A policy that lets a secret pass elsewhere in the request lets the model know it.
func TestKeptUnlessLetPass(t *testing.T) {
	for action, kept := range map[Action]bool{Allow: false, Flag: false, Rewrite: true} {
		body, m := asked(wire.ToolResult, "opensesame", "the word is opensesame")
		all := []guard.Named{{Name: "keeper", Inspector: keeper{}}, {Name: "secret", Inspector: finder{guard.Secret, 1, regexp.MustCompile("opensesame")}}}
		r, err := Request(Config{Engine: engine(t, all...), Policy: Policy{Actions: map[guard.Category]Action{guard.Secret: action}}, Withholding: guard.NewWithholding(all)}, body, m)
		if err != nil || r.Kept.Has(0) != kept {
			t.Errorf("%s: kept %v, %v", action, r.Kept, err)
		}
	}
}
