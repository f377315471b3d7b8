package classify

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func sample() *Model {
	m := &Model{Version: "test-1"}
	for h := range m.Heads {
		m.Heads[h] = Linear{Bias: -1, Scale: 0.01, Spread: 1, W: make([]int8, 1<<Bits)}
		for i := range m.Heads[h].W {
			m.Heads[h].W[i] = int8(i*31%255 - 127)
		}
	}
	for i := range m.Triples {
		m.Triples[i] = int8(i % 100)
	}
	return m
}

func TestModelFile(t *testing.T) {
	m := sample()
	data := m.Encode()
	back, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if back.Version != m.Version || back.Triples != m.Triples || !slices.Equal(back.Heads[1].W, m.Heads[1].W) {
		t.Error("the model came back changed")
	}
	for _, i := range []int{0, 9, 100, len(data) / 2, len(data) - 1} {
		bad := slices.Clone(data)
		bad[i] ^= 4
		if _, err := Decode(bad); err == nil {
			t.Errorf("byte %d flipped: no error", i)
		}
	}
	for _, n := range []int{0, 10, len(data) - 1} {
		if _, err := Decode(data[:n]); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
	for _, change := range []func(*Model){
		func(m *Model) { m.Heads[0].Spread = 0 },
		func(m *Model) { m.Heads[1].Bias = float32(math.NaN()) },
	} {
		m := sample()
		change(m)
		if _, err := Decode(m.Encode()); err == nil {
			t.Error("a parameter that is no number: no error")
		}
	}
}

func TestSegments(t *testing.T) {
	s := "Dear Dr. Lee, it rains. Bring a coat!\nSee you  \n\n好的。再见。" + strings.Repeat("x", 1000)
	var got []string
	for _, g := range Segments(s) {
		if g.To-g.From > maxSentence+4 {
			t.Errorf("a segment of %d bytes", g.To-g.From)
		}
		got = append(got, s[g.From:g.To])
	}
	want := []string{"Dear Dr. Lee, it rains.", "Bring a coat!", "See you", "好的。", "再见。"}
	if !slices.Equal(got[:5], want) {
		t.Errorf("got %q, want %q", got[:5], want)
	}
}

func TestKinds(t *testing.T) {
	cases := map[string]Kind{
		"What is the capital of France?":                                       Prose,
		"| a | b |\n| 1 | 2 |\n| 3 | 4 |":                                      Table,
		"SUBJECT: Invoice|EMAIL_FROM: x@example.com|CONTENT: hello":            Mail,
		"Hi David,\n" + strings.Repeat("the invoice is attached to this. ", 5): Mail,
		"Traceback (most recent call last):\n  File \"a.py\", line 1":          Code,
		"import os\nx = 1\nprint(x)\nfor i in y:\n    f(i)":                    Code,
		"<html><p>a</p><p>b</p></html>":                                        Markup,
		"User: hello there\nSystem: yes\nUser: a table\nSystem: done":          Transcript,
	}
	for s, want := range cases {
		if got := KindOf(s); got != want {
			t.Errorf("%.40q is kind %d, want %d", s, got, want)
		}
	}
}

func TestFeaturesAreEachOnce(t *testing.T) {
	var f Features
	f.DirectFeatures("ignore the rules and ignore the rules")
	n := len(f.List)
	sorted := slices.Clone(f.List)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) != n || n == 0 {
		t.Error("a feature is there twice")
	}
	f.DirectFeatures("something else")
	f.DirectFeatures("ignore the rules and ignore the rules")
	if len(f.List) != n {
		t.Error("the features of a text depend on the text before")
	}
}

func FuzzScore(f *testing.F) {
	m := sample()
	for _, s := range []string{"", "a", "| a | b |\n| c | d |\nwrite a poem", "SUBJECT: x\nHi.", "\xff\xfe", "。！？", strings.Repeat("a. ", 3000), "User: a\nUser: b\nUser: c"} {
		f.Add(s, uint8(2))
	}
	var features Features
	f.Fuzz(func(t *testing.T, s string, role uint8) {
		got := m.Score(s, Role(role%3), &features)
		if !(got.P >= 0 && got.P <= 1) || got.From < 0 || got.To < got.From {
			t.Fatalf("%+v", got)
		}
		if l := m.Likeness(s); math.IsNaN(l) || math.IsInf(l, 0) {
			t.Fatalf("likeness %v", l)
		}
	})
}
