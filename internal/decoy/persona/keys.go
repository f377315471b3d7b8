package persona

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// State is everything a node must store to keep its persona: the seed, the
// birth date and the keys that cannot be derived (RSA generation is random by
// design in Go, and X.509 signatures are randomised). It contains private
// keys; store it with mode 0600. Encode it with encoding/json.
type State struct {
	Version int       `json:"version"`
	Seed    []byte    `json:"seed"` // 32 bytes
	BornAt  time.Time `json:"born_at"`
	Keys    Keys      `json:"keys"`
}

// Keys are PKCS #8 private keys and the TLS certificate, all in PEM.
type Keys struct {
	Ed25519 string `json:"ed25519"`
	RSA     string `json:"rsa"`
	ECDSA   string `json:"ecdsa"`
	TLSKey  string `json:"tls_key"`
	TLSCert string `json:"tls_cert"`
}

type keyring struct {
	ssh []crypto.Signer
	tls tls.Certificate
}

const (
	stateVersion = 1
	rsaBits      = 3072 // what ssh-keygen -A of every modelled release makes
)

// Create makes the state of a new install. It takes as long as generating
// one 3072-bit RSA key, about a second on a slow machine.
func Create(now time.Time) (State, error) {
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return State{}, fmt.Errorf("read random seed: %w", err)
	}
	return createFrom(seed, now)
}

func createFrom(seed [32]byte, now time.Time) (State, error) {
	p := New(seed, now)
	st := State{Version: stateVersion, Seed: seed[:], BornAt: p.BornAt}
	rsaKey, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return State{}, fmt.Errorf("generate rsa host key: %w", err)
	}
	edKey := ed25519.NewKeyFromSeed(p.Derive("host key ed25519", 32))
	ecKey, err := p.deriveECDSA("host key ecdsa")
	if err != nil {
		return State{}, err
	}
	tlsKey, err := p.deriveECDSA("tls key")
	if err != nil {
		return State{}, err
	}
	for dst, key := range map[*string]any{&st.Keys.RSA: rsaKey, &st.Keys.Ed25519: edKey, &st.Keys.ECDSA: ecKey, &st.Keys.TLSKey: tlsKey} {
		if *dst, err = encodeKey(key); err != nil {
			return State{}, err
		}
	}
	cert, err := p.selfSigned(tlsKey)
	if err != nil {
		return State{}, err
	}
	st.Keys.TLSCert = cert
	return st, nil
}

func encodeKey(key any) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("encode private key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// deriveECDSA takes the first candidate scalar that is in range; the chance
// that the first one is not is about 2^-32.
func (p *Persona) deriveECDSA(label string) (*ecdsa.PrivateKey, error) {
	for i := range 8 {
		if k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), p.Derive(fmt.Sprintf("%s %d", label, i), 32)); err == nil {
			return k, nil
		}
	}
	return nil, errors.New("derive ecdsa key: no scalar in range, the seed is damaged")
}

// selfSigned makes the certificate an administrator would have left behind:
// common name of the host, some months old, valid for some years.
func (p *Persona) selfSigned(key *ecdsa.PrivateKey) (string, error) {
	s := p.source("tls")
	from := p.InstalledAt.Add(time.Duration(s.between(600, 86400)) * time.Second).Truncate(time.Second)
	serial := new(big.Int).SetBytes(s.bytes(19))
	name := pkix.Name{CommonName: p.Domain, Organization: []string{p.SiteName}, Country: []string{pick(s, []string{"DE", "US", "NL", "FR", "GB", "SG", "PL"})}}
	if s.chance(40) {
		name = pkix.Name{CommonName: p.FQDN()}
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: name, NotBefore: from, NotAfter: from.AddDate(pick(s, []int{5, 10, 10}), 0, 0),
		DNSNames: []string{p.Domain, "www." + p.Domain, p.FQDN()}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return "", fmt.Errorf("create tls certificate: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}

// FromState restores the persona of a stored state. Errors mean the state
// file is damaged; restore it from a backup or delete it for a new persona.
func FromState(st State) (*Persona, error) {
	if st.Version != stateVersion {
		return nil, fmt.Errorf("read persona state: version %d is not %d: written by another release", st.Version, stateVersion)
	}
	if len(st.Seed) != 32 || st.BornAt.IsZero() {
		return nil, errors.New("read persona state: seed or birth date is missing: restore the file or delete it for a new persona")
	}
	p := New([32]byte(st.Seed), st.BornAt)
	ring := &keyring{}
	for _, k := range [][2]string{{"ed25519", st.Keys.Ed25519}, {"ecdsa", st.Keys.ECDSA}, {"rsa", st.Keys.RSA}} {
		signer, err := decodeKey(k[1])
		if err != nil {
			return nil, fmt.Errorf("read %s host key of persona: %w", k[0], err)
		}
		ring.ssh = append(ring.ssh, signer)
	}
	cert, err := tls.X509KeyPair([]byte(st.Keys.TLSCert), []byte(st.Keys.TLSKey))
	if err != nil {
		return nil, fmt.Errorf("read tls certificate of persona: %w", err)
	}
	ring.tls = cert
	p.keys = ring
	return p, nil
}

func decodeKey(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("not a pem block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("not a signing key")
	}
	return signer, nil
}

// HostKeys are the SSH host keys: ed25519, ecdsa (P-256), rsa (3072 bits).
// It is nil for a persona made by New.
func (p *Persona) HostKeys() []crypto.Signer {
	if p.keys == nil {
		return nil
	}
	return append([]crypto.Signer(nil), p.keys.ssh...)
}

// Certificate is the self-signed TLS certificate with its key. It is empty
// for a persona made by New.
func (p *Persona) Certificate() tls.Certificate {
	if p.keys == nil {
		return tls.Certificate{}
	}
	return p.keys.tls
}
