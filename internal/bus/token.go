package bus

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const (
	maxKey   = 1024 // bytes of a key before encoding
	maxToken = 180  // bytes of a subject token; longer keys travel hashed, with the key in a header
	hexUpper = "0123456789ABCDEF"
)

// errKey is what every key refused by the bus wraps.
var errKey = errors.New("unusable key")

// token turns any key into exactly one subject token: letters, digits, '_' and '-' stay, every other byte becomes
// =XX. So a hostile key can hold neither a dot (another token) nor '*' or '>' (a wildcard) nor a line end. The empty
// key is "=", which no other key yields. Keys whose encoding is longer than maxToken become "==" and their SHA-256;
// full is then the whole encoding, to travel in a header, else empty.
func token(key string) (tok, full string, err error) {
	if len(key) > maxKey {
		return "", "", fmt.Errorf("encode key of %d bytes: %w: longer than %d bytes", len(key), errKey, maxKey)
	}
	e := escape(key)
	if len(e) <= maxToken {
		return e, "", nil
	}
	sum := sha256.Sum256([]byte(key))
	return "==" + hex.EncodeToString(sum[:]), e, nil
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

func escape(key string) string {
	if key == "" {
		return "="
	}
	n := 0
	for i := range len(key) {
		if !plain(key[i]) {
			n++
		}
	}
	if n == 0 {
		return key
	}
	var b strings.Builder
	b.Grow(len(key) + 2*n)
	for i := range len(key) {
		c := key[i]
		if plain(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('=')
		b.WriteByte(hexUpper[c>>4])
		b.WriteByte(hexUpper[c&15])
	}
	return b.String()
}

// unescape reverses escape. It accepts only what escape makes, so that one key has one token.
func unescape(tok string) (string, error) {
	if tok == "=" {
		return "", nil
	}
	if tok == "" {
		return "", fmt.Errorf("decode key: %w: empty token", errKey)
	}
	if strings.IndexByte(tok, '=') < 0 {
		return tok, onlyPlain(tok)
	}
	b := make([]byte, 0, len(tok))
	for i := 0; i < len(tok); i++ {
		c := tok[i]
		if c != '=' {
			if !plain(c) {
				return "", fmt.Errorf("decode key: %w: byte 0x%02x", errKey, c)
			}
			b = append(b, c)
			continue
		}
		if i+2 >= len(tok) {
			return "", fmt.Errorf("decode key: %w: cut short", errKey)
		}
		hi, lo := strings.IndexByte(hexUpper, tok[i+1]), strings.IndexByte(hexUpper, tok[i+2])
		if hi < 0 || lo < 0 || plain(byte(hi<<4|lo)) {
			return "", fmt.Errorf("decode key: %w: bad escape", errKey)
		}
		b = append(b, byte(hi<<4|lo))
		i += 2
	}
	return string(b), nil
}

func onlyPlain(s string) error {
	for i := range len(s) {
		if !plain(s[i]) {
			return fmt.Errorf("decode key: %w: byte 0x%02x", errKey, s[i])
		}
	}
	return nil
}

// messageID makes a publisher's id safe as a header value: no line ends, bounded length, still one to one.
func messageID(id string) string {
	if id == "" {
		return ""
	}
	e := escape(id)
	if len(e) <= maxToken {
		return e
	}
	sum := sha256.Sum256([]byte(id))
	return "==" + hex.EncodeToString(sum[:])
}

// streamName checks a name we put into stream names and API subjects.
func checkName(what, s string) error {
	if s == "" || len(s) > 64 || onlyPlain(s) != nil {
		return fmt.Errorf("check %s %q: use 1 to 64 letters, digits, '_' or '-'", what, s)
	}
	return nil
}

// checkSubject checks a subject prefix: dot-separated plain tokens.
func checkSubject(s string) error {
	if len(s) > 200 {
		return fmt.Errorf("check subject: longer than 200 bytes")
	}
	for t := range strings.SplitSeq(s, ".") {
		if err := checkName("subject token", t); err != nil {
			return err
		}
	}
	return nil
}
