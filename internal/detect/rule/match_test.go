package rule

import (
	"fmt"
	"reflect"
	"regexp/syntax"
	"strings"
	"testing"

	"bartizan/content"
	"bartizan/internal/observe"
)

func shipped(t testing.TB, g Group) *Set {
	t.Helper()
	set, err := Source{}.Load(content.Rules(), g)
	if err != nil {
		t.Fatal(err)
	}
	set.limit = 1 << 40 // the definition knows no limit
	return set
}

// agree compares the shortcut with its definition.
func agree(t *testing.T, set *Set, g Group, o *observe.Observation) {
	t.Helper()
	var sc Scratch
	var fast, slow []string
	texts := g.Texts(o, &sc)
	set.Match(texts, &sc, func(r *Rule, _ string) { fast = append(fast, r.ID) })
	again := []string(nil)
	set.Match(texts, &sc, func(r *Rule, _ string) { again = append(again, r.ID) })
	if !reflect.DeepEqual(fast, again) {
		t.Fatalf("first %v, again %v, texts %+v", fast, again, texts)
	}
	set.MatchAll(texts, &sc, func(r *Rule, _ string) { slow = append(slow, r.ID) })
	if !reflect.DeepEqual(fast, slow) {
		t.Fatalf("prefilter: %v, without it: %v, texts %+v", fast, slow, texts)
	}
}

// FuzzPrefilterNoFalseNegatives shows that skipping conditions whose literals
// are absent never loses a match.
func FuzzPrefilterNoFalseNegatives(f *testing.F) {
	sets := map[Group]*Set{}
	for g := range groupFields {
		sets[g] = shipped(f, g)
		for _, r := range sets[g].Rules() {
			for _, c := range append(r.Cases.Must, r.Cases.MustNot...) {
				f.Add(c.Line + c.Target + c.Op + c.Prompt + c.First + strings.Join(c.Args, " ") + c.Body)
			}
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 2048 {
			return
		}
		path, rest, _ := strings.Cut(s, "?")
		for _, o := range []*observe.Observation{
			{Service: "ssh", Command: &observe.Command{Line: s}},
			{Service: "http", HTTP: &observe.HTTPRequest{Method: "POST", Target: s, Body: []byte(rest), Headers: []observe.Field{{Name: "User-Agent", Value: path}, {Name: "X", Value: s}}}},
			{Service: "redis", Call: &observe.APICall{Operation: path, Args: strings.Fields(rest), Detail: s}},
			{Service: "llm", Exchange: &observe.Exchange{Prompt: s, System: path, Route: rest}},
			{Service: "tcp", Interaction: &observe.Interaction{First: []byte(s), Client: path}},
		} {
			for g, set := range sets {
				agree(t, set, g, o)
			}
		}
	})
}

func TestPrefilterAgreesOnCases(t *testing.T) {
	n := 0
	for g := range groupFields {
		set := shipped(t, g)
		for _, r := range set.Rules() {
			for _, c := range append(r.Cases.Must, r.Cases.MustNot...) {
				o, err := c.observation(g)
				if err != nil {
					t.Fatal(err)
				}
				agree(t, set, g, o)
				n++
			}
		}
	}
	if n < 400 {
		t.Fatalf("only %d cases", n)
	}
}

func TestNecessary(t *testing.T) {
	for _, c := range []struct {
		re   string
		want []string
	}{
		{`abc`, []string{"abc"}},
		{`a+`, nil},
		{`(foo|bar)+x?`, []string{"foo", "bar"}},
		{`\bunion\s+select\b`, []string{"select"}},
		{`(a|b)cd[ef]`, []string{"acde", "acdf", "bcde", "bcdf"}},
		{`foo|.`, nil},
		{`(foo)?`, nil},
		{`x{3}yy`, []string{"xxxyy"}},
		{`(?:wget|curl).*(?:http|ftp)://`, []string{"http://", "ftp://"}},
		{`[^a]`, nil},
		{"a\ufffdb", nil},
	} {
		re, err := syntax.Parse(c.re, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := necessary(re.Simplify()); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("necessary(%s) = %q, want %q", c.re, got, c.want)
		}
	}
}

func TestScanner(t *testing.T) {
	literals := []string{"he", "she", "his", "hers", "s", "\xff\x00", "ushers"}
	s := newScanner(literals)
	for _, text := range []string{"", "ushers", "shis", "x\xff\x00y", "hershe", "u", strings.Repeat("sh", 50) + "e"} {
		got := map[string]int{}
		s.scan(text, func(id int32, end int) {
			got[literals[id]]++
			if !strings.HasSuffix(text[:end], literals[id]) {
				t.Errorf("scan %q: %q does not end at %d", text, literals[id], end)
			}
		})
		for _, l := range literals {
			want := 0
			for i := range len(text) {
				if strings.HasPrefix(text[i:], l) {
					want++
				}
			}
			if got[l] != want {
				t.Errorf("scan %q: %q found %d times, want %d", text, l, got[l], want)
			}
		}
	}
}

// TestRulesAreFiltered keeps rules cheap: nearly every condition must have
// literals without which it is not tried.
func TestRulesAreFiltered(t *testing.T) {
	for g := range groupFields {
		set := shipped(t, g)
		for _, n := range set.always {
			c := set.conds[n]
			t.Logf("%s: tried on every text: %v %q", g, c.re, c.values)
		}
		if max := 3 + len(set.conds)/20; len(set.always) > max {
			t.Errorf("%s: %d of %d conditions are tried on every text, at most %d", g, len(set.always), len(set.conds), max)
		}
	}
}

func BenchmarkMatchPlainRequest(b *testing.B) {
	set := shipped(b, Web)
	o := &observe.Observation{Service: "http", HTTP: &observe.HTTPRequest{
		Method: "GET", Target: "/index.html?page=2&sort=name", Proto: "HTTP/1.1", Host: "www.example.com",
		Headers: []observe.Field{
			{Name: "Host", Value: "www.example.com"},
			{Name: "User-Agent", Value: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"},
			{Name: "Accept", Value: "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
			{Name: "Accept-Language", Value: "en-US,en;q=0.5"},
			{Name: "Accept-Encoding", Value: "gzip, deflate, br"},
			{Name: "Connection", Value: "keep-alive"},
		}}}
	var sc Scratch
	b.ReportAllocs()
	for b.Loop() {
		set.Match(Web.Texts(o, &sc), &sc, func(r *Rule, _ string) { b.Fatal(r.ID) })
	}
}

func TestBranches(t *testing.T) {
	for in, want := range map[string]string{
		`a|b`:                 "a  b",
		`(a|b)|c`:             "(a|b)  c",
		`[|]|\||x`:            "[|]  \\|  x",
		`[^]|]a|[[:alpha:]|]`: "[^]|]a  [[:alpha:]|]",
		`(?s:a|b)c|d`:         "(?s:a|b)c|d",
		`(?:a|b)c|d`:          "(?:a|b)c  d",
		`\Qa|b\E`:             "\\Qa|b\\E",
		`[\]|]|y`:             "[\\]|]  y",
	} {
		if got := strings.Join(branches(in), "  "); got != want {
			t.Errorf("branches(%s) = %s, want %s", in, got, want)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		for g := range groupFields {
			shipped(b, g)
		}
	}
}

// TestLongTexts: the work for one observation is bounded whatever is in it, and
// a payload behind padding is still found.
func TestLongTexts(t *testing.T) {
	set, err := Source{}.Load(content.Rules(), Web)
	if err != nil {
		t.Fatal(err)
	}
	var sc Scratch
	run := func(body string) (ids []string) {
		o := &observe.Observation{Service: "http", HTTP: &observe.HTTPRequest{Method: "POST", Target: "/a", Body: []byte(body[:min(len(body), observe.MaxBody)])}}
		set.Match(Web.Texts(o, &sc), &sc, func(r *Rule, _ string) { ids = append(ids, r.ID) })
		return ids
	}
	for _, pad := range []string{strings.Repeat("A", 60_000), strings.Repeat("and or select from ' ", 2900)} {
		if ids := fmt.Sprint(run("x=" + pad + "&y=<script>alert(1)</script>")); !strings.Contains(ids, "web.xss") {
			t.Errorf("behind padding: %s", ids)
		}
	}
	var words strings.Builder // every literal of every rule: all expressions are interested
	for _, c := range set.conds {
		for _, l := range append(c.literals(), "zz") {
			words.WriteString(l + " ")
		}
		for _, l := range c.also {
			words.WriteString(l[0])
		}
	}
	run(strings.Repeat(words.String(), 8))
	if sc.spent > set.limit+longText {
		t.Errorf("%d bytes given to expressions, at most %d", sc.spent, set.limit)
	}
	t.Logf("%d bytes given to expressions", sc.spent)
}

func BenchmarkMatchHostileBody(b *testing.B) {
	set, err := Source{}.Load(content.Rules(), Web)
	if err != nil {
		b.Fatal(err)
	}
	var words strings.Builder
	for _, c := range set.conds {
		words.WriteString(strings.Join(c.literals(), " ") + " ")
	}
	body := []byte(strings.Repeat(words.String(), 8))[:observe.MaxBody]
	o := &observe.Observation{Service: "http", HTTP: &observe.HTTPRequest{Method: "POST", Target: "/a", Body: body}}
	var sc Scratch
	for b.Loop() {
		set.Match(Web.Texts(o, &sc), &sc, func(*Rule, string) {})
	}
}
