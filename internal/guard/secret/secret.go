// Package secret finds credentials by their published form, and what the
// operator has marked: canaries, known secrets, passages of the system prompt.
// Known secrets are found in every reading, with any separators in between.
package secret

import (
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"math"
	"regexp"
	"strings"
	"unicode"

	"bartizan/internal/guard"
)

// Config of the inspector.
type Config struct {
	// Canaries are strings that have no business anywhere: one is a certain leak.
	Canaries []string `yaml:"canaries"`
	// Known secrets, at least 8 letters or digits long.
	Known []string `yaml:"known"`
	// SystemPrompt whose passages must not come out.
	SystemPrompt string `yaml:"system_prompt"`
	// Words is how many words of the system prompt in a row are a passage.
	Words int `yaml:"words"`
	// Formats looks for credentials by their form.
	Formats bool `yaml:"formats"`
}

// Default configuration.
func Default() Config { return Config{Words: 8, Formats: true} }

const minKnown = 8

// New makes the inspector.
func New(c Config) (guard.Inspector, error) {
	i := &inspector{conf: c, passages: map[string]bool{}}
	if c.Words < 4 {
		return nil, fmt.Errorf("words %d: fewer than 4 words in a row occur in ordinary text", c.Words)
	}
	for n, s := range append(append([]string(nil), c.Canaries...), c.Known...) {
		k := squeeze(s)
		if len(k) < minKnown {
			return nil, fmt.Errorf("secret number %d has fewer than %d letters and digits: it would be found everywhere", n+1, minKnown)
		}
		i.known = append(i.known, needle{k, reversed(k), n < len(c.Canaries)})
	}
	words := fields(c.SystemPrompt)
	for k := 0; k+c.Words <= len(words); k++ {
		i.passages[strings.Join(words[k:k+c.Words], " ")] = true
	}
	return i, nil
}

type needle struct {
	plain, reversed string
	canary          bool
}

type inspector struct {
	conf     Config
	known    []needle
	passages map[string]bool
}

// squeeze keeps letters and digits, lower case: separators do not hide.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

func reversed(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

func fields(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// Inspect implements guard.Inspector.
func (i *inspector) Inspect(t *guard.Text) ([]guard.Finding, error) {
	if len(i.known) == 0 && len(i.passages) == 0 && !i.conf.Formats {
		return nil, &guard.NothingToDo{Why: "no secrets, no system prompt, formats turned off"}
	}
	seen := map[string]bool{}
	var out []guard.Finding
	say := func(score float64, note string) {
		if !seen[note] {
			seen[note] = true
			out = append(out, guard.Finding{Category: guard.Secret, Score: score, Note: note})
		}
	}
	texts := []string{t.Raw}
	for _, v := range t.Views {
		texts = append(texts, v.Text)
	}
	for _, text := range texts {
		i.marked(text, say)
		if i.conf.Formats {
			formats(text, say)
		}
	}
	return out, nil
}

func (i *inspector) marked(text string, say func(float64, string)) {
	if len(i.known) > 0 {
		flat := squeeze(text)
		for _, k := range i.known {
			if strings.Contains(flat, k.plain) || strings.Contains(flat, k.reversed) {
				if k.canary {
					say(1, "a canary")
				} else {
					say(1, "a known secret")
				}
			}
		}
	}
	if len(i.passages) > 0 {
		words := fields(text)
		for k := 0; k+i.conf.Words <= len(words); k++ {
			if i.passages[strings.Join(words[k:k+i.conf.Words], " ")] {
				say(0.95, "a passage of the system prompt")
				return
			}
		}
	}
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

func formats(text string, say func(float64, string)) {
	for k := range known {
		f := &known[k]
		if !strings.Contains(text, f.literal) {
			continue
		}
		for _, m := range f.re.FindAllStringSubmatch(text, 20) {
			if entropy(m[1]) >= f.entropy && (f.check == nil || f.check(m[1])) {
				say(0.8, f.name)
				break
			}
		}
	}
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
