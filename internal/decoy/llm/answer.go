package llm

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"bartizan/internal/decoy/persona"
)

// answer is what a model says to a question, in tokens, and why it ends:
// "stop" or "length".
func (c *call) answer(m persona.Model, q *question) (tokens []string, reason string) {
	text := respond(speaker{m, c.p}, q)
	if q.json {
		b, err := json.Marshal(struct {
			Response string `json:"response"`
		}{text})
		if err == nil { // always: it is one string
			text = string(b)
		}
	} else if strings.HasPrefix(m.Name, "deepseek-r1") {
		text = "<think>\n\n</think>\n\n" + text
	}
	for _, s := range q.stop {
		if i := strings.Index(text, s); s != "" && i >= 0 {
			text = text[:i]
		}
	}
	limit := c.conf.MaxTokens
	if q.limit > 0 {
		limit = min(limit, q.limit)
	}
	tokens = tokenize(text)
	if len(tokens) > limit {
		return tokens[:limit], "length"
	}
	return tokens, "stop"
}

// longToken is how many bytes of a word are one token at most.
const longToken = 7

// tokenize cuts a text into pieces of about the size of a model's tokens;
// together they are the text.
func tokenize(s string) (out []string) {
	for len(s) > 0 {
		n := 1
		for n < len(s) && !boundary(s, n) {
			n++
		}
		out = append(out, s[:n])
		s = s[n:]
	}
	return out
}

// boundary says whether a token may end before s[n].
func boundary(s string, n int) bool {
	if !utf8.RuneStart(s[n]) {
		return false
	}
	if n >= longToken && s[0] == ' ' || n >= longToken-1 && s[0] != ' ' {
		return true
	}
	return kindOf(s[n]) != kindOf(s[n-1]) && !(n == 1 && s[0] == ' ')
}

func kindOf(b byte) int {
	switch {
	case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= 0x80, b == '\'':
		return 0
	case b >= '0' && b <= '9':
		return 1
	case b == ' ':
		return 2
	}
	return 3
}

// count is how many tokens a text has, about.
func count(s string) int { return (len(s) + 3) / 4 }
