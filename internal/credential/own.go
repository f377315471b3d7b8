package credential

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"strings"
)

// Lengths of the parts of an Own, in characters of lower-case base32.
const (
	OwnID  = 10 // 50 bits, to find the entry; not secret
	secret = 52 // 256 bits
)

// Own is the form of credentials that this program gives out, by what they begin
// with: prefix, id, "_", secret. Only a hash of the whole is kept.
type Own string

// Len is how long one is.
func (o Own) Len() int { return len(o) + OwnID + 1 + secret }

// Mint makes one.
func (o Own) Mint() (id, text string) {
	enc := base32.StdEncoding.WithPadding(base32.NoPadding)
	b := make([]byte, 7+32)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	id = strings.ToLower(enc.EncodeToString(b[:7]))[:OwnID]
	return id, string(o) + id + "_" + strings.ToLower(enc.EncodeToString(b[7:]))
}

// ID returns the id in a text. It accepts exactly the form that Mint makes.
func (o Own) ID(text string) (id string, ok bool) {
	sign := len(o) + OwnID
	if len(text) != o.Len() || !strings.HasPrefix(text, string(o)) || text[sign] != '_' {
		return "", false
	}
	for i := len(o); i < len(text); i++ {
		c := text[i]
		if i != sign && (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return "", false
		}
	}
	return text[len(o):sign], true
}

// Hash is what is kept of one: SHA-256 of the whole text, hex. The secret has
// 256 random bits, so that nothing slower is needed.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
