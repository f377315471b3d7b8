package credential

import (
	"strings"
	"sync"
)

// assigned recognises settings that hold secrets: a name that says so, a sign, a value.
var assigned = lazily(`(?i)\b[a-z0-9_.-]{0,40}(?:api[_-]?key|access[_-]?key|auth[_-]?key|account[_-]?key|private[_-]?key|secret|token|passw(?:or)?d|passphrase|pwd|credentials?)[a-z0-9_.-]{0,20}(?:\\?["'])?\s{0,3}(?:=>|:=|=|:|\bis\b)\s{0,3}(?:\\?["'` + "`" + `])?([^\s"'` + "`" + `\\,;<>(){}]{6,400})`)

// assignedMarks are parts of the names, of which a text must have one.
var assignedMarks = sync.OnceValue(func() []string {
	return []string{"key", "secret", "token", "passw", "passphrase", "pwd", "credential"}
})

// Assigned returns values of settings whose names say that they are secret
// ("password: …", "API_KEY=…"), whatever their form: for texts that are going to be
// kept, where a value too many does no harm. It takes more than Find, also what is none.
func Assigned(text string) (out []Match) {
	small, any := strings.ToLower(text), false
	for _, m := range assignedMarks() {
		any = any || strings.Contains(small, m)
	}
	if !any {
		return nil
	}
	for _, m := range assigned().FindAllStringSubmatchIndex(text, 1000) {
		v := text[m[2]:m[3]]
		if placeholder.MatchString(v) || len(v) < 16 && !digitAndLetter(v) || strings.Contains(v, "${") {
			continue
		}
		out = append(out, Match{"assigned secret", m[2], m[3]})
	}
	return out
}
