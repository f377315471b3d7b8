package mcp

import (
	"slices"
	"testing"
)

// TestPhrases: every phrase is found by its own name in its own texts, and no phrase
// in any text that must not match.
func TestPhrases(t *testing.T) {
	all, err := readPhrases()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range all {
		if len(p.Match) < 2 || len(p.Not) < 2 {
			t.Errorf("%s has too few texts of its own", p.Name)
		}
		for _, s := range p.Match {
			n++
			if got, err := Orders(s); err != nil || !slices.Contains(got, p.Name) {
				t.Errorf("%s: %q: %v, %v", p.Name, s, got, err)
			}
		}
		for _, s := range p.Not {
			n++
			if got, _ := Orders(s); len(got) > 0 {
				t.Errorf("%s: %q is taken for %v", p.Name, s, got)
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d texts", n)
	}
}

func TestInvisible(t *testing.T) {
	for text, want := range map[string]int{
		"plain text, naïve, 日本語":   0,
		"👩‍💻 and ❤️ and 👍🏽":        0,
		"a\u200bb":                 1,
		"x\U000e0041\U000e0042":    2,
		"\u202eabc\u202c":          2,
		"esc \x1b[8m hidden \x1b[": 2,
		"a\ufe00\ufe01":            2,
	} {
		if got := Invisible(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestPlain(t *testing.T) {
	for _, same := range [][2]string{{"read_file", "readFile"}, {"read_file", "read-file"}, {"send_email", "sеnd_еmail"}, {"list_files", "1ist_fi1es"}, {"go_to", "g0_t0"}} {
		if Plain(same[0]) != Plain(same[1]) {
			t.Errorf("%q and %q differ: %q, %q", same[0], same[1], Plain(same[0]), Plain(same[1]))
		}
	}
	if Plain("read_file") == Plain("read_files") {
		t.Error("different names are the same")
	}
}

func TestMentions(t *testing.T) {
	got := Mentions("use send_email, not xsend_mail or search; readFile too", []string{"send_email", "send_mail", "search", "readFile", "read"})
	if !slices.Equal(got, []string{"readFile", "send_email"}) {
		t.Errorf("%v", got)
	}
}

func TestPowers(t *testing.T) {
	for name, want := range map[string]Power{
		"read_file": Private, "runCommand": Private | Exec | Out, "fetch": Untrusted | Out, "send_email": Out, "list_issues": Untrusted, "search_emails": Private | Untrusted,
		"create_issue": Out | Write, "add": 0, "echo": 0, "weather": 0, "execute_sql": Exec | Private | Out, "delete-file": Write, "get_current_time": 0,
	} {
		got, err := ToolPower(Tool{Name: name, Raw: []byte(`{}`)})
		if err != nil || got != want {
			t.Errorf("%s: %v, want %v (%v)", name, got.Names(), want.Names(), err)
		}
	}
	if p, err := PackagePower("@modelcontextprotocol/server-github"); err != nil || p&(Private|Untrusted|Out) != Private|Untrusted|Out {
		t.Errorf("%v %v", p.Names(), err)
	}
	if p, _ := ToolPower(Tool{Name: "x", Raw: []byte(`{"annotations":{"openWorldHint":true,"destructiveHint":true}}`)}); p != Untrusted|Write {
		t.Errorf("hints: %v", p.Names())
	}
}
