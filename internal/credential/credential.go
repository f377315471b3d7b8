// Package credential knows credentials by the forms their issuers publish. It
// says what a text holds and where, and can put a name in its place; of what it
// finds it never hands a secret to a caller. The guard, the scanners and the gateway
// share it. It also has the form of the credentials that this program gives out.
package credential

import (
	"encoding/base64"
	"hash/crc32"
	"math"
	"regexp"
	"slices"
	"strings"
)

// Match is one credential in a text.
type Match struct {
	Name     string // of the format, in our words
	From, To int    // bytes of the secret part
}

// maxMatches is how many credentials of one format are looked for in a text.
const maxMatches = 20

// Find returns the credentials of a text, by format and place.
func Find(text string) (out []Match) {
	for k := range known {
		f := &known[k]
		if !strings.Contains(text, f.literal) {
			continue
		}
		for _, m := range f.re.FindAllStringSubmatchIndex(text, maxMatches) {
			s := text[m[2]:m[3]]
			if entropy(s) >= f.entropy && (f.check == nil || f.check(s)) {
				out = append(out, Match{f.name, m[2], m[3]})
			}
		}
	}
	return out
}

// Mask puts "[name]" in the place of every credential.
func Mask(text string) string {
	found := Find(text)
	if len(found) == 0 {
		return text
	}
	slices.SortFunc(found, func(a, b Match) int { return a.From - b.From })
	var b strings.Builder
	at := 0
	for _, m := range found {
		if m.To <= at {
			continue
		}
		b.WriteString(text[at:max(at, m.From)])
		b.WriteString("[" + m.Name + "]")
		at = m.To
	}
	b.WriteString(text[at:])
	return b.String()
}

// format is a kind of credential. entropy is the least bits per character of
// its first group, which tells keys from examples such as XXXX.
type format struct {
	name    string
	literal string // must occur before the expression is tried
	re      *regexp.Regexp
	entropy float64
	check   func(string) bool
}

// Formats as their issuers publish them.
var known = []format{
	{"AWS access key", "A", regexp.MustCompile(`\b((?:AKIA|ASIA)[A-Z2-7]{16})\b`), 3, nil},
	{"Amazon Bedrock key", "ABSK", regexp.MustCompile(`\b(ABSK[A-Za-z0-9+/]{109,269}={0,2})`), 4, nil},
	{"OpenAI key", "sk-", regexp.MustCompile(`\b(sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,})`), 3.5, nil},
	{"Anthropic key", "sk-ant-", regexp.MustCompile(`\b(sk-ant-(?:api|admin)\d\d-[A-Za-z0-9_-]{80,})`), 3.5, nil},
	{"OpenRouter key", "sk-or-", regexp.MustCompile(`\b(sk-or-v1-[0-9a-f]{64})\b`), 3, nil},
	{"Hugging Face token", "hf_", regexp.MustCompile(`\b(hf_[A-Za-z]{34})\b`), 3.5, nil},
	{"Groq key", "gsk_", regexp.MustCompile(`\b(gsk_[A-Za-z0-9]{52})\b`), 3.5, nil},
	{"xAI key", "xai-", regexp.MustCompile(`\b(xai-[A-Za-z0-9]{80})\b`), 3.5, nil},
	{"Perplexity key", "pplx-", regexp.MustCompile(`\b(pplx-[A-Za-z0-9]{48})\b`), 3.5, nil},
	{"Replicate token", "r8_", regexp.MustCompile(`\b(r8_[A-Za-z0-9]{37})\b`), 3.5, nil},
	{"Google API key", "AIza", regexp.MustCompile(`\b(AIza[A-Za-z0-9_-]{35})\b`), 3.5, nil},
	{"GitHub token", "gh", regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{36})\b`), 3.5, githubChecksum},
	{"GitHub token", "github_pat_", regexp.MustCompile(`\b(github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b`), 3.5, nil},
	{"GitLab token", "glpat-", regexp.MustCompile(`\b(glpat-[A-Za-z0-9_-]{20})\b`), 3.5, nil},
	{"Slack token", "xox", regexp.MustCompile(`\b(xox[abprs]-[0-9]{10,13}-[A-Za-z0-9-]{20,})`), 3, nil},
	{"Stripe key", "_live_", regexp.MustCompile(`\b([sr]k_live_[A-Za-z0-9]{24,99})\b`), 3.5, nil},
	{"npm token", "npm_", regexp.MustCompile(`\b(npm_[A-Za-z0-9]{36})\b`), 3.5, nil},
	{"SendGrid key", "SG.", regexp.MustCompile(`\b(SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})\b`), 3.5, nil},
	{"private key", "PRIVATE KEY", regexp.MustCompile(`-----BEGIN (?:RSA |EC |OPENSSH |DSA |ENCRYPTED )?PRIVATE KEY-----\s*([A-Za-z0-9+/=\s]{100,})`), 3.5, nil},
	{"JSON web token", "eyJ", regexp.MustCompile(`\b(eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})`), 3.5, jsonHeader},
	{"password in an address", "://", regexp.MustCompile(`\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,64}:([^\s/:@]{6,128})@[^\s/]+`), 2.5, nil},
}

// entropy in bits per character.
func entropy(s string) float64 {
	var n [256]int
	for i := 0; i < len(s); i++ {
		n[s[i]]++
	}
	h := 0.0
	for _, c := range n {
		if c > 0 {
			p := float64(c) / float64(len(s))
			h -= p * math.Log2(p)
		}
	}
	return h
}

// githubChecksum: the last six characters are the CRC-32 of the others in
// base 62 (GitHub's description of its token format, 2021).
func githubChecksum(s string) bool {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	body, sum := s[4:len(s)-6], s[len(s)-6:]
	c := crc32.ChecksumIEEE([]byte(body))
	var b [6]byte
	for i := 5; i >= 0; i-- {
		b[i] = digits[c%62]
		c /= 62
	}
	return string(b[:]) == sum
}

func jsonHeader(s string) bool {
	head, _, _ := strings.Cut(s, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	return err == nil && strings.HasPrefix(string(b), "{") && strings.Contains(string(b), `"alg"`)
}
