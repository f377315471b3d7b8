package ssh

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"bartizan/internal/decoy/persona"
)

// algorithms are what a server offers, in its order.
type algorithms struct {
	kex, ciphers, macs, rsa []string
}

// algorithmsOf lists what the OpenSSH of a version offers (its release notes
// and sshd_config(5)), less what the library cannot do: sntrup761, group18,
// umac and hmac-sha1-etm. The rest is in OpenSSH's order, so that a client
// picks what it would pick there.
func algorithmsOf(version string) algorithms {
	a := algorithms{
		kex: []string{
			ssh.KeyExchangeCurve25519, ssh.KeyExchangeECDHP256, ssh.KeyExchangeECDHP384,
			ssh.KeyExchangeECDHP521, ssh.KeyExchangeDHGEXSHA256, ssh.KeyExchangeDH16SHA512, ssh.KeyExchangeDH14SHA256,
		},
		ciphers: []string{
			ssh.CipherChaCha20Poly1305, ssh.CipherAES128CTR, ssh.CipherAES192CTR, ssh.CipherAES256CTR,
			ssh.CipherAES128GCM, ssh.CipherAES256GCM,
		},
		macs: []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM, ssh.HMACSHA256, ssh.HMACSHA512, ssh.HMACSHA1},
		rsa:  []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	}
	major, minor := openSSHVersion(version)
	if major > 0 && (major < 8 || major == 8 && minor < 8) {
		a.rsa = append(a.rsa, ssh.KeyAlgoRSA) // SHA-1 signatures went with 8.8
	}
	if major > 9 || major == 9 && minor >= 9 {
		a.kex = append([]string{ssh.KeyExchangeMLKEM768X25519}, a.kex...)
	}
	return a
}

// openSSHVersion reads "SSH-2.0-OpenSSH_9.2p1 …"; zeros for anything else.
func openSSHVersion(v string) (major, minor int) {
	_, rest, ok := strings.Cut(v, "OpenSSH_")
	if !ok {
		return 0, 0
	}
	a, b, _ := strings.Cut(rest, ".")
	if n := strings.IndexFunc(b, func(r rune) bool { return r < '0' || r > '9' }); n >= 0 {
		b = b[:n]
	}
	major, err := strconv.Atoi(a)
	if err != nil {
		return 0, 0
	}
	minor, err = strconv.Atoi(b)
	if err != nil {
		return 0, 0
	}
	return major, minor
}

// hostKeys are the persona's, in the order sshd loads them: rsa, ecdsa, ed25519.
// The RSA key appears once for each of its signature algorithms, because the
// library would offer them in an order of its own.
func hostKeys(p *persona.Persona, a algorithms) ([]ssh.Signer, error) {
	var rsaKeys, others []ssh.Signer
	for _, k := range p.HostKeys() {
		signer, err := ssh.NewSignerFromSigner(k)
		if err != nil {
			return nil, fmt.Errorf("use host key of persona: %w", err)
		}
		if _, ok := k.Public().(*rsa.PublicKey); !ok {
			others = append(others, signer)
			continue
		}
		able, ok := signer.(ssh.AlgorithmSigner)
		if !ok {
			return nil, errors.New("use rsa host key of persona: it cannot choose its hash")
		}
		for _, algo := range a.rsa {
			rsaKeys = append(rsaKeys, facet{able, algo})
		}
	}
	if len(rsaKeys)+len(others) == 0 {
		return nil, errors.New("find host keys of persona: there are none: make it from a stored state")
	}
	slices.Reverse(others) // the persona lists them from newest to oldest type
	return append(rsaKeys, others...), nil
}

// facet is an RSA key that signs with one algorithm and goes by its name.
type facet struct {
	able ssh.AlgorithmSigner
	algo string
}

func (f facet) PublicKey() ssh.PublicKey { return facetKey{f.able.PublicKey(), f.algo} }

func (f facet) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return f.able.SignWithAlgorithm(rand, data, f.algo)
}

type facetKey struct {
	ssh.PublicKey
	algo string
}

func (k facetKey) Type() string { return k.algo }
