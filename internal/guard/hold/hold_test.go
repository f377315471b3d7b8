package hold

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"bartizan/internal/guard"
)

// run feeds a stream in pieces of n bytes.
func run(t testing.TB, c Config, stream string, n int) (out []byte, s *Session, err error) {
	t.Helper()
	s = NewSession(c, lines{})
	for len(stream) > 0 && err == nil {
		k := min(n, len(stream))
		var o []byte
		o, err = s.Feed([]byte(stream[:k]))
		out = append(out, o...)
		stream = stream[k:]
	}
	o, e := s.Close()
	if err == nil {
		err = e
	}
	return append(out, o...), s, err
}

func engine(t testing.TB, in ...guard.Named) *guard.Engine {
	t.Helper()
	return guard.NewEngine(in, nil, true)
}

// codes finds "code-" and four digits, which may be masked.
type codes struct{}

var code = regexp.MustCompile(`code-[0-9]{4}`)

func (codes) Inspect(t *guard.Text) (out []guard.Finding, _ error) {
	for _, m := range code.FindAllStringIndex(t.Raw, -1) {
		out = append(out, guard.Finding{Category: guard.PII, Score: 0.3, Note: "a code", Label: "CODE", Spans: []guard.Span{{From: m[0], To: m[1]}}})
	}
	return out, nil
}

func (codes) Hold(text string) int { return beginning(text, "code-0000") }

func (codes) Most() (guard.Category, float64) { return guard.PII, 0.3 }

// word finds "stop!", which has no place that could be masked.
type word struct{}

func (word) Inspect(t *guard.Text) (out []guard.Finding, _ error) {
	if strings.Contains(t.Raw, "stop!") {
		out = append(out, guard.Finding{Category: guard.Policy, Score: 1, Note: "the word"})
	}
	return out, nil
}

func (word) Hold(text string) int { return beginning(text, "stop!") }

func (word) Most() (guard.Category, float64) { return guard.Policy, 1 }

// beginning is how much of w, in which 0 is any digit, ends the text.
func beginning(text, w string) (n int) {
	for k := 1; k < len(w) && k <= len(text); k++ {
		end := []byte(text[len(text)-k:])
		for i, c := range end {
			if c >= '0' && c <= '9' {
				end[i] = '0'
			}
		}
		if string(end) == w[:k] {
			n = k
		}
	}
	return n
}

func test() []guard.Named {
	return []guard.Named{{Name: "codes", Inspector: codes{}}, {Name: "word", Inspector: word{}}}
}

func TestNothingFoundIsIdentical(t *testing.T) {
	stream := encode("Hel", "lo, ", "world", ". Ünï", "cödé 12 34")
	for n := 1; n < len(stream); n += 3 {
		out, s, err := run(t, Config{Engine: engine(t, test()...)}, stream, n)
		if err != nil || string(out) != stream {
			t.Fatalf("pieces of %d: %v\n%s", n, err, out)
		}
		if s.Result().Action != Allow || s.Result().Events != 6 {
			t.Errorf("%+v", s.Result())
		}
	}
}

func TestBrokenStreamIsNoSilentPass(t *testing.T) {
	whole := encode("Hello", " world")
	for _, stream := range []string{whole[:len(whole)-3], whole[:20], "garbage\n", ""} {
		out, _, err := run(t, Config{Engine: engine(t)}, stream, 7)
		var broken *Broken
		if !errors.As(err, &broken) || !strings.Contains(string(out), "answer_broke_off") {
			t.Errorf("%q: %v, %q", stream, err, out)
		}
	}
}

func TestUnknownByPolicy(t *testing.T) {
	stream := "{\"x\":true}\n" + encode("hello")
	var blocked *Blocked
	if out, _, err := run(t, Config{Engine: engine(t)}, stream, 9); !errors.As(err, &blocked) || strings.Contains(string(out), "hello") {
		t.Errorf("closed: %v %q", err, out)
	}
	out, s, err := run(t, Config{Engine: engine(t), Policy: Policy{Unknown: Flag}}, stream, 9)
	if err != nil || string(out) != stream || s.Result().Action != Flag {
		t.Errorf("open: %v %q %+v", err, out, s.Result())
	}
}
