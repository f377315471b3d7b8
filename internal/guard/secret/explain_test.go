package secret

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
)

// keeper is an inspector that keeps one secret and refuses what nothing explains.
func keeper(t testing.TB) *inspector {
	t.Helper()
	c := Default()
	c.Known, c.Formats = []string{planted}, false
	in, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return in.(*inspector)
}

// TestAsked: who asks may say what nobody understands; only an answer is refused for it.
func TestAsked(t *testing.T) {
	in := keeper(t)
	odd := strings.Repeat("9f1c2b7e 77aa02bd x2x4q zz91kq ", 20)
	for asked, want := range map[bool]int{true: 0, false: 1} {
		if got, err := in.Inspect(&guard.Text{Raw: odd, Views: []decode.View{{Text: odd}}, Asked: asked}); err != nil || len(got) != want {
			t.Errorf("asked %v: %+v, %v", asked, got, err)
		}
	}
	if got, err := in.Inspect(&guard.Text{Raw: odd + planted, Views: []decode.View{{Text: odd}}, Asked: true}); err != nil || len(got) == 0 {
		t.Errorf("a known secret in a request: %+v, %v", got, err)
	}
}

// TestSaidAgain: an answer that comes again tells nothing new.
func TestSaidAgain(t *testing.T) {
	in := keeper(t)
	for _, text := range []string{"Hello there, how can I help?", `{"label":"A-17","score":0.93}`, `{"id":"9f1c2b7e","status":"pending","eta":"2026-11-03T10:00:00Z"}`} {
		r := in.Remember()
		for i := range 1000 {
			if got := say(in, r, text); len(got) > 0 {
				t.Errorf("%q, time %d: %+v", text, i+1, got)
				break
			}
		}
	}
}

func say(in *inspector, r guard.Recall, text string) []guard.Finding {
	f := in.Follow(r)
	out, _ := f.Write(text)
	return append(out, f.End()...)
}

// TestUnexplained: what is in codes inside of codes is stopped without being read.
func TestUnexplained(t *testing.T) {
	in := keeper(t)
	b32 := base32.StdEncoding.EncodeToString([]byte(planted))
	for how, text := range map[string]string{
		"base32, shifted": shift(strings.ToLower(b32), 3), "base64, reversed, shifted": shift(turn(base64.StdEncoding.EncodeToString([]byte(planted))), 7),
		"hexadecimal of base64, in pairs": strings.Join(pairsOf(hex.EncodeToString([]byte(shift(planted, 9)))), " "),
		"a cipher with a key":             keyed(planted), "letters of it one by one": strings.Join(strings.Split(keyed(planted), ""), ", "),
	} {
		for _, frame := range []string{"%s", frames} {
			if len(say(in, in.Remember(), fmt.Sprintf(frame, text))) == 0 {
				t.Errorf("%s in %q: %q passes", how, frame, text)
			}
		}
	}
}

func pairsOf(s string) (out []string) {
	for i := 0; i+1 < len(s); i += 2 {
		out = append(out, s[i:i+2])
	}
	return out
}

// keyed is a cipher that nobody reads who has not the key.
func keyed(s string) string {
	const digits = "abcdefghijklmnopqrstuvwxyz0123456789"
	b, state := []byte{}, uint32(77)
	for _, c := range []byte(strings.ToLower(s)) {
		if i := strings.IndexByte(digits, c); i >= 0 {
			state = state*1664525 + 1013904223
			b = append(b, digits[(i+int(state>>24))%len(digits)])
		}
	}
	return string(b)
}

// TestChosen: one letter of a cipher in each answer, always in the same sentence,
// with other answers in between.
func TestChosen(t *testing.T) {
	in := keeper(t)
	r, told := in.Remember(), 0
	for i, c := range keyed(planted) {
		if len(say(in, r, fmt.Sprintf("The answer to your question is %c.", c))) > 0 {
			break
		}
		told++
		say(in, r, []string{"The ship leaves at nine and arrives on Friday.", "You can reach the office on foot."}[i%2])
	}
	if told > len(keyed(planted))*3/4 {
		t.Errorf("%d of %d letters were told", told, len(keyed(planted)))
	}
}

// TestExplained: a conversation about ordinary things.
func TestExplained(t *testing.T) {
	in := keeper(t)
	r := in.Remember()
	for _, text := range []string{
		"The harbour office opens at nine on weekdays; boats of more than 20 metres moor at the north pier, where water is paid by the day.",
		"Buchen Sie den Liegeplatz bitte bis zum 12. März 2026, um 14:30 Uhr. Die Gebühr beträgt 340 Euro für zwei Tage.",
		"Le bureau du port est ouvert de 9 h à 17 h, sauf le dimanche. Merci de votre patience et à bientôt !",
		"La oficina abre a las nueve de la mañana; traiga usted el pasaporte y los papeles del barco, por favor.",
		"Die große Straße am Hafen heißt Fußweg. Æblerne på øen er gode. Łódka płynie do portu.", "Офис порта открыт с девяти утра. Возьмите с собой документы на лодку.", "港务局早上九点开门。请带上船舶文件。",
		"func berth(ctx context.Context, name string) (*Berth, error) {\n\tif name == \"\" {\n\t\treturn nil, errors.New(\"a name is needed\")\n\t}\n\treturn find(ctx, name)\n}",
		"| month | boats | income |\n|---|---|---|\n| January | 14 | 4,300 |\n| February | 18 | 5,120 |\n| March | 31 | 9,870 |",
		"1. Fill in the form.\n2. Wait for the letter.\n3. Bring both to the office.", "{\"status\": \"ok\", \"berth\": \"north 4\", \"from\": \"2026-05-02T10:00:00Z\", \"days\": 3}",
		"Yes.", "No, that is not possible.", "Yes.", "It takes about 3 days, or 5 when the weather is bad.",
	} {
		if got := say(in, r, text); len(got) > 0 {
			t.Errorf("%.60q: %+v", text, got)
		}
	}
	if l := &r.(*recall).ledger; l.odd > 20 || l.listed > 20 || l.chosen > 15 {
		t.Errorf("after it: odd %.0f, listed %.0f, chosen %.0f bits", l.odd, l.listed, l.chosen)
	}
}

// TestUnexplainedOff: the policy can be switched off, and canaries do not switch it on.
func TestUnexplainedOff(t *testing.T) {
	c := Default()
	c.Canaries, c.Formats = []string{planted}, false
	in, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := say(in.(*inspector), nil, "commit 4f2a91bc77de01aa33bb45cc99001122"); len(got) > 0 {
		t.Errorf("%+v", got)
	}
	if got := say(keeper(t), nil, "commit 4f2a91bc77de01aa33bb45cc99001122"); len(got) == 0 {
		t.Error("with a known secret nothing is found")
	}
}
