package decode

import (
	"regexp"
	"testing"
)

func TestPartial(t *testing.T) {
	cases := []struct {
		expr, text string
		tail       int
	}{
		{`foo\d{3}`, "a foo1", 4}, {`foo\d{3}`, "a foo", 3}, {`foo\d{3}`, "a fo", 2}, {`foo\d{3}`, "a fob", 0}, {`foo\d{3}`, "foo123", 0},
		{`\bcat\b`, "a cat", 3}, {`\bcat\b`, "a cats", 0}, {`\bcat\b`, "bobca", 0}, {`(?i)Stop`, "don't sTO", 3}, {`a.*b`, "xxaxxx", 4},
		{`a.*b`, "xxaxxx\n", 0}, {`(?:ab|abcd)`, "ab", 2}, {`^x+y`, "xx", 2}, {`^x+y`, "zxx", 0}, {`ü{2}`, "zü", 2}, {`[0-9]{4}`, "12", 2}, {`[0-9]{4}`, "12a", 0},
	}
	for _, c := range cases {
		p, err := NewPartial(c.expr, 100)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Tail(c.text); got != c.tail {
			t.Errorf("%s in %q: %d, want %d", c.expr, c.text, got, c.tail)
		}
	}
	for expr, want := range map[string]int{`abc`: 12, `\d{3}`: 3, `[a-z]{2,5}x?`: 9, `a+`: 100, `(?:ab|c)d`: 12, `\b`: 1} {
		if p, err := NewPartial(expr, 100); err != nil || p.Longest() != want {
			t.Errorf("%s: longest %d, %v, want %d", expr, p.Longest(), err, want)
		}
	}
}

// FuzzPartial: every beginning of a match is held from where the match begins.
func FuzzPartial(f *testing.F) {
	exprs := []string{`\bfoo\d{2,4}\b`, `(?i)(?:https?|ftp)://[a-z0-9.]{1,20}`, `\d(?:[ -]?\d){5,8}`, `a[^b]*b`, `^ab?c`, `(?:ab)+c$`, `\b[A-Za-z]{1,9}@[a-z]{1,5}\.[a-z]{2,3}\b`}
	var res []*regexp.Regexp
	var parts []*Partial
	for _, e := range exprs {
		res, parts = append(res, regexp.MustCompile(e)), append(parts, MustPartial(e, 1<<20))
	}
	for _, s := range []string{"foo12 foo123x", "see HTTPS://a.example/ab", "12-34 56 78", "axxxb ab", "ababababc", "me@ab.cde.", "\xffü a\x80b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 300 {
			return
		}
		for k, re := range res {
			for _, m := range re.FindAllStringIndex(s, -1) {
				for cut := m[0] + 1; cut < m[1]; cut++ {
					if got := parts[k].Tail(s[:cut]); got < cut-m[0] {
						t.Fatalf("%s in %q: match at %d; of the first %d bytes %d are held", exprs[k], s, m[0], cut, got)
					}
				}
			}
		}
	})
}

func TestTail(t *testing.T) {
	for _, c := range []struct {
		text string
		tail int
	}{
		{"Hello world", 0}, {"Hello", 0}, {"see SGVsbG8", 7}, {"&#10", 4}, {"a &#101;", 0}, {`x \u00`, 4}, {"%4", 2}, {"72 101 108 108 1", 16}, {"in 1984 ", 0},
	} {
		if got := Tail(c.text); got != c.tail {
			t.Errorf("%q: %d, want %d", c.text, got, c.tail)
		}
	}
}
