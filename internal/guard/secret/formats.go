package secret

import (
	"strings"

	"bartizan/internal/credential"
	"bartizan/internal/guard"
)

// credentials finds them in the text and in its readings. What stands in the
// text as it is can be pointed at.
func credentials(t *guard.Text) (out []guard.Finding) {
	count := map[string]int{}
	at := map[string]int{}
	for _, m := range credential.Find(t.Raw) {
		if count[m.Name]++; count[m.Name] == 1 {
			at[m.Name] = len(out)
			out = append(out, guard.Finding{Category: guard.Secret, Score: 0.8, Note: m.Name, Label: "CREDENTIAL"})
		}
		f := &out[at[m.Name]]
		f.Spans = append(f.Spans, guard.Span{From: m.From, To: m.To})
	}
	for _, v := range t.Views {
		if v.Text == t.Raw {
			continue
		}
		more := map[string]int{}
		for _, m := range credential.Find(v.Text) {
			if more[m.Name]++; more[m.Name] <= count[m.Name] {
				continue
			}
			i, ok := at[m.Name]
			if !ok {
				i, at[m.Name] = len(out), len(out)
				out = append(out, guard.Finding{Category: guard.Secret, Score: 0.8, Note: m.Name, Label: "CREDENTIAL"})
			}
			out[i].Deep = true
		}
	}
	return out
}

// maxCredential is the longest credential that is waited for: a private key.
const maxCredential = 8 << 10

// credentialTail returns how many bytes at the end of a text may begin a
// credential: a word that has, or may become, the beginning of a format.
func credentialTail(text string) int {
	if i := strings.LastIndex(text, "-----BEGIN "); i >= 0 && len(text)-i < maxCredential && !strings.Contains(text[i:], "-----END ") {
		return len(text) - i
	}
	i := len(text)
	for i > 0 && len(text)-i < 600 && text[i-1] > ' ' && strings.IndexByte("\\\"'`<>(){}[],;", text[i-1]) < 0 {
		i--
	}
	word := text[i:]
	if word == "" {
		return 0
	}
	held := 0
	for _, p := range prefixes {
		if strings.Contains(word, p) {
			return len(word)
		}
		for n := min(len(p)-1, len(word)); n > 0; n-- {
			if strings.HasSuffix(word, p[:n]) {
				if n == len(word) || !wordByte(word[len(word)-n-1]) || p == "://" {
					held = max(held, n)
					if p == "://" {
						held = len(word)
					}
				}
				break
			}
		}
	}
	return held
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

// prefixes with which the formats of package credential begin.
var prefixes = [...]string{"AKIA", "ASIA", "ABSK", "sk-", "hf_", "gsk_", "xai-", "pplx-", "r8_", "AIza", "ghp_", "gho_", "ghu_", "ghs_", "ghr_",
	"github_pat_", "glpat-", "xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-", "sk_live_", "rk_live_", "npm_", "SG.", "-----BEGIN ", "eyJ", "://"}
