package tokens

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tiktoken-go/tokenizer"
)

// Texts that stand nowhere in what the weights were fitted to.
var texts = []string{
	"The harbour master was not amused: three boats had left before dawn, none of them with lights, and one with his bicycle.",
	"Der Hafenmeister war nicht erfreut, denn drei Boote waren vor der Dämmerung ohne Lichter ausgelaufen, und mit einem sein Fahrrad.",
	"Le capitaine du port n’était guère amusé : trois bateaux étaient partis avant l’aube, sans feux, et l’un avec son vélo.",
	"Начальник порта был недоволен: три лодки ушли до рассвета без огней, а на одной из них был его велосипед.",
	"港务长很不高兴：三艘船在黎明前没有开灯就离开了，其中一艘还带走了他的自行车。",
	"港長は機嫌が悪かった。三隻の船が夜明け前に灯りもつけずに出て行き、そのうち一隻は彼の自転車を積んでいた。",
	"항만장은 기분이 좋지 않았다. 배 세 척이 새벽 전에 불도 켜지 않고 떠났고, 그중 한 척에는 그의 자전거가 실려 있었다.",
	"كان مدير الميناء مستاءً: غادرت ثلاثة قوارب قبل الفجر بلا أضواء، وعلى أحدها دراجته.",
	`func (h *Harbour) Leave(b *Boat) error { if !b.Lights { return fmt.Errorf("boat %d: no lights", b.ID) }; h.boats = slices.DeleteFunc(h.boats, func(x *Boat) bool { return x == b }); return nil }`,
	`{"id": 48213, "boats": [{"name": "Möwe", "length_m": 7.25, "lights": false}, {"name": "Albatros", "length_m": 11.0, "lights": true}], "next": null}`,
}

// TestAgainstTheVocabulary compares estimates with what the tokeniser says.
func TestAgainstTheVocabulary(t *testing.T) {
	table, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Clone(texts)
	for _, name := range []string{"../../../LICENSE", "../../../docs/guard.md", "tokens.go"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b[:min(len(b), 8000)]))
	}
	for model, name := range map[string]tokenizer.Encoding{"gpt-4o-mini": tokenizer.O200kBase, "openai/gpt-4-turbo": tokenizer.Cl100kBase} {
		codec, err := tokenizer.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		e := table.Of(model)
		if e.Name != string(name) {
			t.Fatalf("%s is counted with %s", model, e.Name)
		}
		short := 0
		for _, text := range all {
			ids, _, err := codec.Encode(strings.ToValidUTF8(text, ""))
			if err != nil {
				t.Fatal(err)
			}
			got, want := float64(e.Tokens(text)), float64(len(ids))
			if off := math.Abs(got/e.Factor/want - 1); off > 0.4 {
				t.Errorf("%s: %.30q…: %.0f tokens, estimated %.0f without the factor", name, text, want, got/e.Factor)
			}
			if got < want {
				short++
			}
		}
		if short > 1 {
			t.Errorf("%s: %d of %d texts are taken for shorter than they are", name, short, len(all))
		}
	}
}

func TestOf(t *testing.T) {
	table, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for model, want := range map[string]string{"gpt-4o": "o200k_base", "gpt-4-0613": "cl100k_base", "anthropic.claude-3-haiku": "other", "": "other", "o3-mini": "o200k_base"} {
		if got := table.Of(model).Name; got != want {
			t.Errorf("%q: %s, want %s", model, got, want)
		}
	}
	if n := table.Of("x").Tokens(""); n != 0 {
		t.Errorf("nothing is %d tokens", n)
	}
}

// FuzzCount: no part of a text is counted more often than it has bytes.
func FuzzCount(f *testing.F) {
	for _, s := range texts {
		f.Add(s)
	}
	f.Add("\xff\xfe  \n\n12ab34CamelCase\u0301")
	f.Fuzz(func(t *testing.T, s string) {
		sum := 0
		for i, n := range Count(s) {
			if n < 0 {
				t.Fatalf("feature %d: %d", i, n)
			}
			sum += n
		}
		if sum > 2*len(s) {
			t.Fatalf("%d parts in %d bytes", sum, len(s))
		}
	})
}

func BenchmarkTokens(b *testing.B) {
	table, err := Load()
	if err != nil {
		b.Fatal(err)
	}
	text := strings.Repeat(texts[0], 30)[:2048]
	e := table.Of("gpt-4o")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		e.Tokens(text)
	}
}
