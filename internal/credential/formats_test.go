package credential

import (
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp/syntax"
	"strings"
	"testing"
)

const (
	alnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	hexa  = "0123456789abcdef"
	upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	alpha = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// random letters of an alphabet: no credential stands in the source.
func random(r *rand.Rand, alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

// Examples are put together as the issuers describe them, not from the expressions.
func TestIssuersForms(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	a, h, u := func(n int) string { return random(r, alnum, n) }, func(n int) string { return random(r, hexa, n) }, func(n int) string { return random(r, upper, n) }
	github := a(30)
	uuid := fmt.Sprintf("%s-%s-4%s-a%s-%s", h(8), h(4), h(3), h(3), h(12))
	for _, c := range [][2]string{
		{"AWS access key", "AKIA" + random(r, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)},
		{"AWS secret access key", "aws_secret_access_key = " + a(40)},
		{"AWS secret access key", `"SecretAccessKey": "` + a(38) + `/+"`},
		{"Google API key", "AIza" + a(35)}, {"Google client secret", "GOCSPX-" + a(28)}, {"Google access token", "ya29." + a(120)},
		{"Azure storage key", "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=" + a(86) + "==;EndpointSuffix=core.windows.net"},
		{"Azure client secret", "abc8Q~" + a(34)}, {"Azure DevOps token", a(76) + "AZDO" + a(4)},
		{"Azure shared access signature", "https://x.blob.core.windows.net/c?sv=2022&sig=" + a(43) + "%3D"},
		{"DigitalOcean token", "dop_v1_" + h(64)}, {"Databricks token", "dapi" + h(32)}, {"Alibaba Cloud access key", "LTAI" + a(20)}, {"Heroku key", "HRKU-AA" + a(58)},
		{"OpenAI key", "sk-proj-" + a(58) + "T3BlbkFJ" + a(58)}, {"OpenAI key", "sk-" + a(20) + "T3BlbkFJ" + a(20)}, {"Anthropic key", "sk-ant-api03-" + a(93) + "AA"},
		{"Hugging Face token", "hf_" + random(r, alpha, 34)}, {"Groq key", "gsk_" + a(52)}, {"NVIDIA key", "nvapi-" + a(64)}, {"Pinecone key", "pcsk_" + a(5) + "_" + a(63)},
		{"GitHub token", "ghp_" + github + checksum(github)}, {"GitHub token", "github_pat_" + a(22) + "_" + a(59)}, {"GitLab token", "glpat-" + a(20)}, {"GitLab token", "glrt-" + a(20)},
		{"GitLab token", "glpat-" + a(27) + ".01.0w1" + random(r, "0123456789abcdefghijklmnopqrstuvwxyz", 6)},
		{"Atlassian token", "ATATT3" + a(186)}, {"npm token", "npm_" + a(36)}, {"PyPI token", "pypi-AgEIcHlwaS5vcmc" + a(120)}, {"RubyGems key", "rubygems_" + h(48)},
		{"Docker Hub token", "dckr_pat_" + a(27)}, {"NuGet key", "oy2" + random(r, "abcdefghijklmnop0123456789", 43)},
		{"Vault token", "hvs." + a(95)}, {"Terraform Cloud token", a(14) + ".atlasv1." + a(67)}, {"Grafana token", "glsa_" + a(32) + "_" + h(8)}, {"New Relic key", "NRAK-" + u(27)},
		{"age secret key", "AGE-SECRET-KEY-1" + random(r, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)},
		{"Slack token", "xoxb-123456789012-1234567890123-" + a(24)}, {"Slack webhook", "https://hooks.slack.com/services/T" + u(8) + "/B" + u(10) + "/" + a(24)},
		{"Discord webhook", "https://discord.com/api/webhooks/123456789012345678/" + a(68)}, {"Telegram bot token", "123456789:AA" + a(33)},
		{"Twilio key", "SK" + h(32)}, {"SendGrid key", "SG." + a(22) + "." + a(43)}, {"Mailchimp key", h(32) + "-us12"}, {"Mailgun key", "key-" + h(32)},
		{"Stripe key", "sk_live_" + a(99)}, {"Shopify token", "shpat_" + h(32)}, {"Square token", "sq0csp-" + a(43)}, {"Plaid token", "access-production-" + uuid},
		{"Notion token", "ntn_" + a(46)}, {"Airtable token", "pat" + a(14) + "." + h(64)}, {"HubSpot token", "pat-na1-" + uuid}, {"Figma token", "figd_" + a(40)},
		{"JSON web token", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"someone"}`)) + "." + a(43)},
		{"private key", "-----BEGIN RSA PRIVATE KEY-----\n" + a(64) + "\n" + a(64) + "\n-----END RSA PRIVATE KEY-----"},
		{"private key", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB12\n\n" + a(64) + "\n" + a(64) + "\n-----END RSA PRIVATE KEY-----"},
		{"private key", `{"private_key":"-----BEGIN PRIVATE KEY-----\n` + a(64) + `\n` + a(64) + `\n-----END PRIVATE KEY-----\n"}`},
		{"password in an address", "redis://:" + a(12) + "@cache:6379/0"},
		{"user and password", "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("app:"+a(12)))},
		{"token of this program", "bzg_" + random(r, "abcdefghijklmnopqrstuvwxyz234567", 10) + "_" + random(r, "abcdefghijklmnopqrstuvwxyz234567", 52)},
	} {
		text := "take " + c[1] + " and go"
		found := Find(text)
		ok := false
		for _, m := range found {
			ok = ok || m.Name == c[0]
		}
		if !ok {
			t.Errorf("%s: %v in %q", c[0], found, text)
		}
	}
}

func checksum(body string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	c := crc32.ChecksumIEEE([]byte(body))
	var b [6]byte
	for i := 5; i >= 0; i-- {
		b[i], c = digits[c%62], c/62
	}
	return string(b[:])
}

// Every format has a mark and an entropy that its own texts reach: a format that finds
// nothing would look like one that has nothing to find.
func TestEveryFormatFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for k := range known {
		f := &known[k]
		if strings.Contains(f.re().String(), "(?i") {
			continue // marks are written as people write them: in TestIssuersForms
		}
		tree, err := syntax.Parse(f.re().String(), syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		tries, found := 200, 0
		if f.check != nil {
			tries = 20
		}
		for range tries {
			s := " " + sample(r, tree) + " "
			var marked set
			if !marked.look(s) || !marked.has(k) {
				t.Fatalf("%s: no mark in %q", f.name, s)
			}
			for _, m := range Find(s) {
				if m.Name == f.name {
					found++
					break
				}
			}
		}
		if f.check == nil && found < tries*4/5 {
			t.Errorf("%s: %d of %d", f.name, found, tries)
		}
	}
}

// sample is a random text that an expression matches.
func sample(r *rand.Rand, re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		n := 0
		for i := 0; i < len(re.Rune); i += 2 {
			n += int(min(re.Rune[i+1], '~')-re.Rune[i]) + 1
		}
		at := r.IntN(max(n, 1))
		for i := 0; i < len(re.Rune); i += 2 {
			if w := int(min(re.Rune[i+1], '~')-re.Rune[i]) + 1; at < w {
				return string(re.Rune[i] + rune(at))
			} else if w > 0 {
				at -= w
			}
		}
		return "x"
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "x"
	case syntax.OpCapture:
		return sample(r, re.Sub[0])
	case syntax.OpAlternate:
		return sample(r, re.Sub[r.IntN(len(re.Sub))])
	case syntax.OpConcat, syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		var b strings.Builder
		times := 1
		switch re.Op {
		case syntax.OpRepeat:
			times = re.Min
		case syntax.OpStar, syntax.OpQuest:
			times = 0
		}
		for range times {
			for _, s := range re.Sub {
				b.WriteString(sample(r, s))
			}
		}
		return b.String()
	}
	return ""
}

func TestNoCredentials(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	uuid := "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	for _, s := range []string{
		"sk-XXXXXXXXXXXXXXXXXXXXT3BlbkFJXXXXXXXXXXXXXXXXXXXX", "AKIAXXXXXXXXXXXXXXXX", "ghp_" + strings.Repeat("a", 36), "ghp_" + random(r, alnum, 36), "xoxb-your-token-here",
		"commit " + random(r, hexa, 40), "sha256:" + random(r, hexa, 64), "id " + uuid, "api-" + uuid, "pattern patient path compatible api-gateway key-value sdk-core re_compile fw_update hf_hub_download",
		"data:image/png;base64," + random(r, alnum+"+/", 4000), "https://example.com/a?sig=none", "http://host:8080/path@2x", "-----BEGIN CERTIFICATE-----\n" + random(r, alnum, 400),
		"aws_secret_access_key = ${SECRET}", "aws_secret_access_key=" + strings.Repeat("x", 40), "secret_key_base and secret_scanning_push_protection_enabled_for_all", "npm_config_registry",
		"Basic authentication is described in RFC 7617", "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("no colon here")), "eyJub3QiOiJhIGp3dCJ9.eyJhIjoiYiJ9.aaaaaaaaaaaa",
		"SKU12345678901234567890123456789012", "shop_12345", "cioppino", "oy2 is short", "dp.st.dev", "v1.0-alpha", "sl.no", "at 10:AA in the morning",
	} {
		if found := Find(s); len(found) > 0 {
			t.Errorf("%v in %q", found, s)
		}
	}
}

// Ordinary text: this repository's documentation and code, of some MB, in which no
// credential stands.
func TestOrdinaryText(t *testing.T) {
	files, size := 0, 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if err == nil && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != "../..") {
				return filepath.SkipDir
			}
			return err
		}
		if ext := filepath.Ext(path); ext != ".md" && ext != ".go" && ext != ".yaml" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files, size = files+1, size+len(b)
		for _, m := range Find(string(b)) {
			t.Errorf("%s: %s at %d: %.12q…", path, m.Name, m.From, b[m.From:m.To])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 300 || size < 1<<20 {
		t.Errorf("only %d files of %d bytes", files, size)
	}
	t.Logf("%d formats, %d files, %d bytes", len(known), files, size)
}

func BenchmarkFindNothing(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog, and nobody knows why it does. ", 28)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if Find(text) != nil {
			b.Fatal("found")
		}
	}
}
