package main

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"bartizan/internal/builtin"
	"bartizan/internal/gateway/intent"
	"bartizan/internal/guard"
)

// judge is the classifier by itself.
func judge(t *testing.T) intent.Judge {
	t.Helper()
	all, like, err := builtin.BuildInspectors(nil)
	if err != nil {
		t.Fatal(err)
	}
	e := guard.NewEngine(all[len(all)-1:], like, true)
	return func(text string, document bool) (float64, error) {
		role := guard.User
		if document {
			role = guard.Document
		}
		v, err := e.Inspect(text, role)
		return v.Score, err
	}
}

// cut cuts a text into n pieces between words, none shorter than two words where there
// are enough.
func cut(r *rand.Rand, text string, n int) (out []string) {
	var blanks []int
	for i := 1; i < len(text)-1; i++ {
		if (text[i] == ' ' || text[i] == '\n') && text[i-1] != ' ' && text[i-1] != '\n' {
			blanks = append(blanks, i)
		}
	}
	if len(blanks) < 2*n {
		return []string{text}
	}
	at := map[int]bool{} // one in each of n-1 stretches of the same length, and not at its end
	for part, k := len(blanks)/n, 1; k < n; k++ {
		at[k*part+r.IntN(max(1, part-1))] = true
	}
	from := 0
	for k, i := range blanks {
		if at[k] {
			out = append(out, text[from:i])
			from = i + 1
		}
	}
	return append(out, text[from:])
}

func converse(pieces []string, document bool) (turns []intent.Turn) {
	for _, p := range pieces {
		if document {
			turns = append(turns, intent.Turn{Who: intent.Document, Text: p})
			continue
		}
		turns = append(turns, intent.Turn{Who: intent.Person, Text: p}, intent.Turn{Who: intent.Model, Text: "Go on, please."})
	}
	if !document {
		turns = turns[:len(turns)-1]
	}
	return turns
}

// TestAccuracyIntent measures attacks in pieces and harmless conversations.
func TestAccuracyIntent(t *testing.T) {
	full := os.Getenv("BARTIZAN_FULL") != ""
	n := 100
	if full {
		n = 1000
	}
	j := judge(t)
	r := rand.New(rand.NewPCG(3, 4))
	g, err := loadGrammar("attacks")
	if err != nil {
		t.Fatal(err)
	}
	var attacks []string
	for len(attacks) < n {
		attacks = append(attacks, g.draw(g.families[r.IntN(len(g.families))], 1, r)...)
	}
	together := measure(t, j, r, "own attacks", attacks, false)
	if together < 0.6 {
		t.Errorf("%.2f of attacks in pieces are found together", together)
	}
	play := rolePlay(t)
	harmless(t, j, r, "role play", play, n/4, false)
	if !full {
		return
	}
	rows, err := readRows("visible-test")
	if err != nil {
		t.Skip(err)
	}
	sets := map[string][]string{}
	for _, row := range rows {
		k := row.Label + " " + row.set()
		sets[k] = append(sets[k], row.Text)
	}
	measure(t, j, r, "CyberSecEval", sets["attack CyberSecEval prompt injection"], false)
	if injected := sets["attack BIPIA email"]; len(injected) > 0 {
		measure(t, j, r, "BIPIA e-mail, documents", injected, true)
	}
	for _, k := range sortedLists(sets) {
		if strings.HasPrefix(k, "benign") && !strings.Contains(k, "contexts") {
			harmless(t, j, r, k, sets[k], 400, false)
		}
	}
	for _, k := range []string{"benign BIPIA email contexts", "benign BIPIA table contexts"} {
		harmless(t, j, r, k, sets[k], 300, true)
	}
}

func sortedLists(m map[string][]string) (keys []string) {
	s := map[string]*share{}
	for k := range m {
		s[k] = nil
	}
	return sortedKeys(s)
}

// measure counts attacks that are found whole, by one of their pieces, and together.
func measure(t *testing.T, j intent.Judge, r *rand.Rand, name string, attacks []string, document bool) float64 {
	t.Helper()
	var whole, single, together share
	for _, a := range attacks {
		if len(a) > 1500 {
			continue
		}
		pieces := cut(r, a, 2+r.IntN(3))
		if len(pieces) < 2 {
			continue
		}
		score, err := j(a, document)
		if err != nil {
			t.Fatal(err)
		}
		whole.add(score >= guard.FlagScore)
		one := false
		found := false
		turns := converse(pieces, document)
		for i := range turns {
			s, err := j(turns[i].Text, document)
			if err != nil {
				t.Fatal(err)
			}
			one = one || turns[i].Who != intent.Model && s >= guard.FlagScore
			f, err := intent.Look(turns[:i+1], j)
			if err != nil {
				t.Fatal(err)
			}
			found = found || len(f) > 0
		}
		single.add(one)
		together.add(one || found)
	}
	t.Logf("%-28s whole %s; a piece by itself %s; together %s", name, whole, single, together)
	return together.rate() / max(whole.rate(), 0.01)
}

// harmless counts conversations of harmless texts in which something is found that no
// single text has.
func harmless(t *testing.T, j intent.Judge, r *rand.Rand, name string, texts []string, n int, document bool) {
	t.Helper()
	var s share
	for range n {
		var some []string
		for range 3 + r.IntN(4) {
			some = append(some, texts[r.IntN(len(texts))])
		}
		turns, found := converse(some, document), false
		for i := range turns {
			f, err := intent.Look(turns[:i+1], j)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range f {
				one, err := worst(turns[:i+1], j)
				if err != nil {
					t.Fatal(err)
				}
				found = found || x.Score >= guard.FlagScore && one < guard.FlagScore
			}
		}
		s.add(found)
	}
	t.Logf("harmless conversations of %-28s %s", name, s)
	most := 0.02
	if strings.HasPrefix(name, "benign NotInject") || name == "role play" { // made of words that attacks have
		most = 0.10
	}
	if s.rate() > most {
		t.Errorf("%s: %s", name, s)
	}
}

func worst(turns []intent.Turn, j intent.Judge) (most float64, err error) {
	for _, x := range turns {
		if x.Who == intent.Model {
			continue
		}
		s, err := j(x.Text, x.Who == intent.Document)
		if err != nil {
			return 0, err
		}
		most = max(most, s)
	}
	return most, nil
}
