package credential

import (
	"regexp"
	"strings"
)

// secretName recognises names of settings that hold secrets. "key" alone is
// not enough: cache keys and key names are not secret.
var secretName = regexp.MustCompile(`(?i)(?:^|[_.\-\s])(?:pass(?:word|wd|phrase)?|secret|token|credentials?|(?:api|access|private|secret|auth|account|encryption|signing)[_\-]?key|apikey|authorization|bearer|cookie|pat|dsn|connection[_\-]?string)(?:$|[_.\-\s0-9])`)

// camel splits words written together: apiToken, authToken.
var camel = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// placeholder recognises values that stand for a secret and are none.
var placeholder = regexp.MustCompile(`(?i)^(?:\$\{?[a-z_].*|\{\{.*\}\}|%[a-z_]+%|<.*>|\[.*\]|(?:your|my|example|changeme|change[_-]me|insert|replace|put|todo|dummy|test|sample|placeholder|redacted|none|null|true|false|enabled|disabled).*|[x*.\-_0]+|op://.*|keychain:.*|env:.*|file:.*|vault:.*|/.*|~/.*|\./.*|https?://[^@]*)$`)

// minNamed is the least length of a value that its name makes a secret.
const minNamed = 6

// Named says whether a value is a secret because its name says so and the value
// is written out: no reference to an environment variable, an input, a file or
// a keychain, and no example.
func Named(name, value string) bool {
	value = strings.TrimSpace(value)
	for _, scheme := range []string{"Bearer ", "Basic ", "Token ", "token ", "bearer "} {
		value = strings.TrimPrefix(value, scheme)
	}
	if len(value) < minNamed || !secretName.MatchString(camel.ReplaceAllString(name, "${1}_${2}")) {
		return false
	}
	return !placeholder.MatchString(value) && !strings.Contains(value, "${") && !strings.Contains(value, " ")
}
