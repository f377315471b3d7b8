package hold

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"bartizan/internal/guard"
	"bartizan/internal/guard/wire"
)

func policy(a Action) Policy {
	return Policy{Actions: map[guard.Category]Action{guard.PII: a}}
}

// pieces cuts a text at random places.
func pieces(r *rand.Rand, text string) (out []string) {
	for len(text) > 0 {
		n := min(1+r.IntN(6), len(text))
		for n < len(text) && text[n]&0xc0 == 0x80 {
			n++
		}
		out = append(out, text[:n])
		text = text[n:]
	}
	return out
}

// TestProperties: for random texts, findings and cuts. What is blocked never
// leaves, not in part either; what is masked leaves masked; where nothing is
// found the bytes are the same; and how the bytes arrive changes nothing.
func TestProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	words := []string{"hello ", "world, ", "code-", "code-12", "12", "34 ", "stop", "st", "op ", "ünï ", "😀", "\n", "\"quoted\" ", "co", "d", "e-1", "<CODE_1>", "<CODE"}
	e := engine(t, test()...)
	blocked, masked, same := 0, 0, 0
	for n := range 3000 {
		var b strings.Builder
		for range 1 + r.IntN(14) {
			b.WriteString(words[r.IntN(len(words))])
		}
		if n%4 == 0 {
			b.WriteString("code-1234")
		}
		if n%5 == 0 {
			b.WriteString("stop!")
		}
		for range r.IntN(6) {
			b.WriteString(words[r.IntN(len(words))])
		}
		text := b.String()
		stream := encode(pieces(r, text)...)
		act := []Action{Mask, Rewrite, Block, Allow}[n%4]
		c := Config{Engine: e, Policy: policy(act)}
		c.Policy.Wait = []Wait{Rules, Rules, Sentences, Whole}[r.IntN(4)]
		if act == Block {
			c.Policy.Actions[guard.PII] = Mask
			c.Policy.Actions[guard.Policy] = Block
		}
		first, s, err := run(t, c, stream, len(stream))
		for _, cut := range []int{1, 3, 1 + r.IntN(40)} {
			again, _, errAgain := run(t, c, stream, cut)
			if string(again) != string(first) || (err == nil) != (errAgain == nil) {
				t.Fatalf("%q in pieces of %d:\n%s\n%s", text, cut, first, again)
			}
		}
		got, _ := said(first)
		stop := strings.Contains(text, "stop!")
		switch {
		case stop:
			blocked++
			var is *Blocked
			if !errors.As(err, &is) || len(got["a"]) > strings.Index(text, "stop!")+20 || strings.Contains(got["a"], "stop!") || s.Result().Action != Block {
				t.Fatalf("%q was not blocked: %v\n%s", text, err, first)
			}
		case err != nil:
			t.Fatalf("%q: %v", text, err)
		case !code.MatchString(text) || act == Allow:
			same++
			if string(first) != stream {
				t.Fatalf("%q was changed:\n%s\n%s", text, stream, first)
			}
		default:
			masked++
			with := map[Action]string{Mask: "<CODE>", Rewrite: "[removed]", Block: "<CODE>"}[act]
			if want := code.ReplaceAllString(text, with); got["a"] != want {
				t.Fatalf("%q became %q, want %q", text, got["a"], want)
			}
		}
	}
	if blocked < 400 || masked < 400 || same < 400 {
		t.Errorf("%d blocked, %d masked, %d the same: too few of one", blocked, masked, same)
	}
}

// TestNoByteOfABlockedWordLeaves: whatever the events are.
func TestNoByteOfABlockedWordLeaves(t *testing.T) {
	e := engine(t, test()...)
	for cut := 1; cut < 5; cut++ {
		out, s, err := run(t, Config{Engine: e}, encode("we must ", "stop!"[:cut], "stop!"[cut:], " now"), 10)
		text, end := said(out)
		if err == nil || end != "blocked_by_guard" || text["a"] != "we must " {
			t.Errorf("cut at %d: %q, %q, %v", cut, text, end, err)
		}
		if n := s.Result().Notes; len(n) != 1 || n[0].Action != Block {
			t.Errorf("notes %+v", n)
		}
	}
}

// TestRoundTrip: what a request hides is restored in the answer, also when the
// placeholder is cut over events, in a repeat of the whole text and in JSON.
func TestRoundTrip(t *testing.T) {
	e := engine(t, test()...)
	c := Config{Engine: e, Policy: policy(Mask), Vault: NewVault()}
	body := []byte(`{"m":"use code-1234 and code-9999, then code-1234"}`)
	m := &wire.Message{Parts: []wire.Part{{Kind: wire.Prompt, Where: "/m", Text: "use code-1234 and code-9999, then code-1234", Span: wire.Span{From: 5, To: len(body) - 1}}}}
	r, err := Request(c, body, m)
	if err != nil || string(r.Body) != `{"m":"use <CODE_1> and <CODE_2>, then <CODE_1>"}` || r.Masked != 3 || r.Action != Mask {
		t.Fatalf("%s %v %+v", r.Body, err, r)
	}
	var b strings.Builder
	for _, p := range []string{"it is <", "CO", "DE_", "1", ">, not <CODE_3> or <b>", " <CODE_2>"} {
		put(&b, line{C: "a", T: p})
	}
	put(&b, line{C: "a", T: "it is <CODE_1>, not <CODE_3> or <b> <CODE_2>", W: true})
	put(&b, line{C: "t", K: wire.ToolCall, T: `{"c":"<CODE_1>"}`})
	put(&b, line{E: "end"})
	for _, n := range []int{1, 17, 1 << 20} {
		out, s, err := run(t, c, b.String(), n)
		text, _ := said(out)
		if err != nil || text["a"] != "it is code-1234, not <CODE_3> or <b> code-9999" || text["t"] != `{"c":"code-1234"}` || s.Result().Restored != 3 {
			t.Errorf("%v %q %+v\n%s", err, text, s.Result().Restored, out)
		}
		if !strings.Contains(string(out), `"t":"it is code-1234, not <CODE_3> or <b> code-9999","w":true`) {
			t.Errorf("the repeat is not restored:\n%s", out)
		}
	}
	answer := []byte(`{"a":"<CODE_2> code-5555"}`)
	a, err := Answer(c, answer, &wire.Message{Parts: []wire.Part{{Kind: wire.Answer, Where: "/a", Text: "<CODE_2> code-5555", Span: wire.Span{From: 5, To: len(answer) - 1}}}})
	if err != nil || string(a.Body) != `{"a":"code-9999 <CODE>"}` {
		t.Errorf("%s %v", a.Body, err)
	}
}

// TestRestoredInJSON: a value with a quote stays inside of its string.
func TestRestoredInJSON(t *testing.T) {
	v := NewVault()
	m, ok := v.Hide("NAME", `a "b" \ c`)
	if !ok || m != "<NAME_1>" {
		t.Fatal(m, ok)
	}
	var b strings.Builder
	put(&b, line{C: "t", K: wire.ToolCall, T: `{"c":"<NAME_1>"}`})
	put(&b, line{E: "end"})
	out, _, err := run(t, Config{Engine: engine(t), Vault: v}, b.String(), 5)
	text, _ := said(out)
	var args struct{ C string }
	if err != nil || json.Unmarshal([]byte(text["t"]), &args) != nil || args.C != `a "b" \ c` {
		t.Errorf("%v %q", err, text)
	}
}

func TestVaultIsBounded(t *testing.T) {
	v := NewVault()
	for i := range 5000 {
		v.Hide("X", fmt.Sprint("value ", i))
	}
	if v.Size() > 400<<10 {
		t.Errorf("%d bytes", v.Size())
	}
	if _, ok := v.Hide("X", "one more"); ok {
		t.Error("a full vault took a value")
	}
	e := engine(t, test()...)
	c := Config{Engine: e, Policy: policy(Mask), Vault: v}
	m := &wire.Message{Parts: []wire.Part{{Kind: wire.Prompt, Text: "code-4321", Span: wire.Span{From: 0, To: 11}}}}
	if r, err := Request(c, []byte(`"code-4321"`), m); err == nil || r.Body != nil || r.Action != Block {
		t.Errorf("what cannot be hidden went out: %s", r.Body)
	}
}

// TestOrderOfEvents: an event without text waits behind one that waits.
func TestOrderOfEvents(t *testing.T) {
	var b strings.Builder
	put(&b, line{C: "a", T: "he sto"})
	put(&b, line{})
	put(&b, line{C: "b", T: "other"})
	put(&b, line{C: "a", T: "od"})
	put(&b, line{E: "end"})
	s := NewSession(Config{Engine: engine(t, test()...)}, lines{})
	var out []byte
	left := 0
	for i, raw := range strings.SplitAfter(b.String(), "\n") {
		o, err := s.Feed([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o...)
		if left = strings.Count(string(out), "\n"); i < 3 && left != 0 {
			t.Errorf("after event %d %d have left", i, left)
		}
	}
	if o, err := s.Close(); err != nil || string(append(out, o...)) != b.String() || left != 5 {
		t.Errorf("%v %d\n%s", err, left, out)
	}
}

func TestLimits(t *testing.T) {
	e := engine(t)
	var b strings.Builder
	for i := range MaxChannels + 1 {
		put(&b, line{C: fmt.Sprint(i), T: "x"})
	}
	cases := map[string]struct {
		p      Policy
		stream string
	}{
		"channels": {Policy{}, b.String()},
		"text":     {Policy{MaxStream: 100}, encode(strings.Repeat("a", 101))},
		"event":    {Policy{MaxEvent: 100}, "{\"t\":\"" + strings.Repeat("a", 4000)},
	}
	for name, c := range cases {
		out, _, err := run(t, Config{Engine: e, Policy: c.p}, c.stream, 1000)
		if err == nil || !regexp.MustCompile(`"e":"(blocked_by_guard|answer_broke_off)"`).Match(out) {
			t.Errorf("%s: %v, %.100q", name, err, out)
		}
	}
}

func TestParseAction(t *testing.T) {
	for _, s := range []string{"allow", "flag", "mask", "rewrite", "block"} {
		if a, err := ParseAction(s); err != nil || string(a) != s {
			t.Errorf("%s: %v", s, err)
		}
	}
	if _, err := ParseAction("delete"); err == nil {
		t.Error("delete is no action")
	}
}

func FuzzSession(f *testing.F) {
	f.Add([]byte(encode("hello", " code-12", "34 st", "op!")), uint8(3))
	f.Add([]byte("{\"t\":\"\\ud83d\"}\n{\"x\":true}\n\xff"), uint8(1))
	e := engine(f, test()...)
	f.Fuzz(func(t *testing.T, stream []byte, n uint8) {
		c := Config{Engine: e, Policy: policy(Mask), Vault: NewVault()}
		whole, _, a := run(t, c, string(stream), len(stream)+1)
		parts, _, b := run(t, c, string(stream), int(n)+1)
		if string(whole) != string(parts) || (a == nil) != (b == nil) {
			t.Fatalf("%q, %v\n%q, %v", whole, a, parts, b)
		}
		if text, _ := said(whole); a == nil {
			for _, s := range text {
				if strings.Contains(s, "stop!") || code.MatchString(s) {
					t.Fatalf("it left: %q", s)
				}
			}
		}
	})
}
