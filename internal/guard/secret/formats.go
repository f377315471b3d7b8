package secret

import (
	"strings"
	"sync"

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
	if strings.Contains(word, "://") {
		return len(word)
	}
	for _, p := range beginnings() {
		// In the middle of the word, or cut off at its end.
		for from := 0; from < len(word); {
			k := strings.IndexByte(word[from:], p[0])
			if k < 0 {
				break
			}
			k += from
			from = k + 1
			if k > 0 && wordByte(word[k-1]) && p != "://" {
				continue
			}
			if rest := word[k:]; strings.HasPrefix(rest, p) || strings.HasPrefix(p, rest) {
				if held = max(held, len(rest)); p == "://" {
					return len(word)
				}
				break
			}
		}
	}
	if held == 0 && keyLike(word) {
		return len(word) // formats that are told by a mark in their middle
	}
	return held
}

// keyLike tells a word that is long and has digits, capitals and small letters, as keys have.
func keyLike(word string) bool {
	if len(word) < 12 {
		return false
	}
	digit, capital, small := false, false, false
	for i := 0; i < len(word); i++ {
		c := word[i]
		digit, capital, small = digit || c >= '0' && c <= '9', capital || c >= 'A' && c <= 'Z', small || c >= 'a' && c <= 'z'
	}
	return digit && capital && small
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

// beginnings of the formats of package credential.
var beginnings = sync.OnceValue(credential.Beginnings)
