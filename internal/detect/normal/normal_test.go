package normal

import (
	"slices"
	"strings"
	"testing"
)

func TestWeb(t *testing.T) {
	for in, want := range map[string]string{
		"/%2e%2e/x":              "/../x",
		"/%252e%252e%252fetc":    "/../etc",
		"/%25252e":               "/.",
		"/..%c0%af..%c1%9c":      "/../..\\",
		"%uff0e%uff0e%u2215":     "../",
		"%e0%80%ae":              ".",
		"&lt;script&gt;":         "<script>",
		"%26lt%3Bsvg":            "<svg",
		"&#x3c;a":                "<a",
		"UN/**/ION/*x*/SELECT":   "un ion select",
		"/*!50000UNION*/ SELECT": " union select",
		"a%00b":                  "ab",
		"%ef%bc%9cscript":        "<script",
		`\u003cscript\u003e`:     "<script>",
		`\x3cscript`:             "<script",
		`\74b`:                   `\74b`,
		`\074b`:                  "<b",
		`c:\windows\system32`:    `c:\windows\system32`,
		`\u{3c}b`:                "<b",
		`\u003c`:                 "<",
		"a\t \nb":                "a b",
		"%zz%1":                  "%zz%1",
		"plain":                  "plain",
	} {
		got := Web(nil, in, false)
		if !slices.Contains(got, want) {
			t.Errorf("Web(%q) = %q, lacks %q", in, got, want)
		}
		if got[0] != Lower(in) {
			t.Errorf("Web(%q): the first reading is as sent, got %q", in, got[0])
		}
	}
	if got := Web(nil, "a+b%2Bc", true); !slices.Contains(got, "a b+c") {
		t.Errorf("plus: %q", got)
	}
}

func TestBase64(t *testing.T) {
	for in, want := range map[string]string{
		"PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==": "<script>alert(1)</script>",
		"JyBvciAnMSc9JzE":                      "' or '1'='1",
		"short":                                "",
		"internationalisation":                 "",
		"////////////////":                     "",
		"not base64 at all!":                   "",
	} {
		if got, ok := Base64(in); got != want || ok != (want != "") {
			t.Errorf("Base64(%q) = %q, %v", in, got, ok)
		}
	}
}

func TestCommand(t *testing.T) {
	for in, want := range map[string]string{
		`w"g"et htt\p://x`:     "wget http://x",
		"cat${IFS}/etc/passwd": "cat /etc/passwd",
		"cat$IFS$9/etc/passwd": "cat /etc/passwd",
		`c''at   /x`:           "cat /x",
		`wh$@oami`:             "whoami",
		`\x77\x67\x65\x74 x`:   "wget x",
		"LS -LA":               "ls -la",
	} {
		if got := Command(nil, in); !slices.Contains(got, want) {
			t.Errorf("Command(%q) = %q, lacks %q", in, got, want)
		}
	}
}

func TestPromptAndBytes(t *testing.T) {
	if got := Prompt("  Ig\u200bnore\u00a0ALL\n\tＰrevious “x”  "); got != `ignore all previous "x"` {
		t.Errorf("%q", got)
	}
	if got := Bytes([]byte("GET\r\n\x16\x03\\\xff")); got != `get\r\n\x16\x03\\\xff` {
		t.Errorf("%q", got)
	}
}

// FuzzNormal: every reading is bounded, in lower case, and the same each time.
func FuzzNormal(f *testing.F) {
	for _, s := range []string{"/%252e%252e/%c0%ae", "&lt;&#60;&#x3c;", `\u003c\x3c\074\u{10ffff}`, "/*!50000a*/ /* x", "%u002e%uff0e", "${IFS}$@'\"", "\xe0\x80\xae\xc0", strings.Repeat("%25", 40) + "41"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 8192 {
			return
		}
		for _, plus := range []bool{false, true} {
			got := Web(nil, s, plus)
			if len(got) > 4 || !slices.Equal(got, Web(nil, s, plus)) {
				t.Fatalf("%d readings", len(got))
			}
			for _, r := range got {
				check(t, s, r)
			}
		}
		for _, r := range Command(nil, s) {
			check(t, s, r)
		}
		Params(s, 64, func(v string) {
			if text, ok := Base64(v); ok {
				check(t, v, Lower(text))
			}
		})
		if len(Prompt(s)) > 4*len(s)+8 || len(Bytes([]byte(s))) > 4*len(s) {
			t.Fatal("reading grows")
		}
	})
}

func check(t *testing.T, in, out string) {
	t.Helper()
	if len(out) > 4*len(in)+16 {
		t.Fatalf("%d bytes became %d", len(in), len(out))
	}
	if Lower(out) != out {
		t.Fatalf("capitals in %q", out)
	}
}
