package secret

import (
	"fmt"
	"strings"
	"testing"

	"bartizan/internal/guard"

	"pgregory.net/rapid"
)

// spoken are what the texts of the properties are made of: words, codes, pieces of the secrets.
var spoken = strings.Split(`the office opens at eight,bring the papers,a photograph,one two three,oh,ay bee cee,hunter2-Batt3ry,hunter2,Batt3ry,Staple77,3ry-St,ple,aHVudGVyMi1CYXR0M3J5,68756e746572322d,zq7-canary,4411,
qrebz,yrettab,alpha bravo charlie,48 51 36,.- -... -.-.,batterie agrafe,You help visitors of the harbour office with forms and opening hours,xK9#pQ2!vL,7f3a9c1e5b,l,m,é,"key": "val",…,\u200b`, ",")

func spokenText(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.SampledFrom(spoken), 0, 12).Draw(t, "parts")
	return strings.Join(parts, rapid.SampledFrom([]string{" ", "\n", ". ", "-", ""}).Draw(t, "between"))
}

func sharpInspector(t interface{ Fatal(...any) }) *inspector {
	c := Default()
	c.Canaries, c.Known, c.SystemPrompt = []string{"zq7-canary-4411"}, []string{"hunter2-Batt3ry-Staple77"}, "You help visitors of the harbour office with forms and opening hours"
	in, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return in.(*inspector)
}

// read reads a text as the next one of a conversation.
func read(f guard.Follow, text string) string {
	found, held := f.Write(text)
	return fmt.Sprintf("%+v, %d held, at the end %+v", found, held, f.End())
}

// Scans and snapshots that are used again find what new ones find, in whatever order
// conversations use them and wherever one is set back.
func TestUsedAgainIsAsNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		used := sharpInspector(t)
		recalls, said := []guard.Recall{used.Remember(), used.Remember()}, [2][]string{}
		for range rapid.IntRange(1, 8).Draw(t, "turns") {
			c, text := rapid.IntRange(0, 1).Draw(t, "conversation"), spokenText(t)
			end := recalls[c].Snapshot()
			f := used.Follow(recalls[c])
			got := read(f, text)
			f.(*scan).Free()

			unused := sharpInspector(t)
			r, want := unused.Remember(), ""
			for _, before := range append(said[c][:len(said[c]):len(said[c])], text) {
				want = read(unused.Follow(r), before)
			}
			if got != want {
				t.Fatalf("%q after %q: %s, a new one has %s", text, said[c], got, want)
			}
			back := rapid.Bool().Draw(t, "back")
			if end(back); !back {
				said[c] = append(said[c], text)
			}
		}
	})
}

// Every word of the lists is found, and nothing else is.
func TestListed(t *testing.T) {
	n := 0
	for w := range names {
		if n++; !listed([]byte(w)) || len(w) > 9 {
			t.Errorf("%q is not found", w)
		}
	}
	for w := range lexicon {
		if n++; !listed([]byte(w)) || len(w) > 16 {
			t.Errorf("%q is not found", w)
		}
	}
	if n < 400 {
		t.Errorf("only %d words", n)
	}
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.StringMatching(`[a-z0-9?]{2,17}`).Draw(t, "word")
		_, isName := names[w]
		_, isWord := lexicon[w]
		if (isName || isWord) && !listed([]byte(w)) {
			t.Fatalf("%q is not found", w)
		}
	})
}

// plainAnswer is what an application says all day.
const plainAnswer = "The office opens at eight in the morning and closes at four in the afternoon, and on Fridays at one. Bring the papers of the boat, a photograph, and the receipt of last year's fee; " +
	"the form can be had at the counter. If the boat is longer than seven metres the harbour master has to see it first."

func BenchmarkAnswer(b *testing.B) {
	c := Default()
	c.Canaries, c.SystemPrompt = []string{"zq7-canary-4411"}, "You help visitors of the harbour office with forms and opening hours"
	in, err := New(c)
	if err != nil {
		b.Fatal(err)
	}
	i := in.(*inspector)
	r := i.Remember()
	b.ReportAllocs()
	b.SetBytes(int64(len(plainAnswer)))
	for b.Loop() {
		end := r.Snapshot()
		f := i.Follow(r)
		found, _ := f.Write(plainAnswer)
		if found = append(found, f.End()...); len(found) > 0 {
			b.Fatal(found)
		}
		f.(*scan).Free()
		end(false)
	}
}
