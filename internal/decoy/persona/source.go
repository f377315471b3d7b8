package persona

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
)

// source is a stream of choices for one area of the persona. Areas have their
// own sub-seed, so adding a choice to one does not change the others of an
// existing install.
type source struct{ gen *rand.ChaCha8 }

const (
	alphaNum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	base32ab = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	base64ab = alphaNum + "+/"
	cryptab  = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	digits   = "0123456789"
)

// Derive returns n bytes bound to the persona and a label (HKDF-SHA-256, RFC
// 5869). Decoys use it for small stable choices of their own. n is at most
// 8160.
func (p *Persona) Derive(label string, n int) []byte {
	out, err := hkdf.Key(sha256.New, p.seed[:], []byte("bartizan persona v1"), label, n)
	if err != nil {
		panic("BUG: hkdf: " + err.Error()) // only for n beyond 255 hash lengths
	}
	return out
}

func (p *Persona) source(label string) *source {
	var s [32]byte
	copy(s[:], p.Derive(label, 32))
	return &source{rand.NewChaCha8(s)}
}

// intn is written out instead of rand.Rand.IntN because the personas of
// existing installs must survive changes of that algorithm.
func (s *source) intn(n int) int { return int(s.gen.Uint64() % uint64(n)) }

func (s *source) between(lo, hi int) int { return lo + s.intn(hi-lo+1) }

func (s *source) chance(percent int) bool { return s.intn(100) < percent }

func (s *source) text(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[s.intn(len(alphabet))]
	}
	return string(b)
}

func (s *source) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.gen.Uint64())
	}
	return b
}

func (s *source) hex(n int) string { return hex.EncodeToString(s.bytes(n)) }

func (s *source) uuid() string {
	b := s.bytes(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func pick[T any](s *source, list []T) T { return list[s.intn(len(list))] }
