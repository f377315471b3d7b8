// Package cert has the certificate of the HTTP API: given by the operator, or
// made by the node and kept in its data folder. It is read again when its
// files change, so that a renewal needs no restart.
package cert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"bartizan/internal/safe"
)

const (
	maxFile    = 1 << 20
	lookEvery  = time.Second // at the files, when somebody connects
	validFor   = 2 * 366 * 24 * time.Hour
	renewUnder = 30 * 24 * time.Hour
)

// Cert is a certificate that follows its files. It may be used concurrently.
type Cert struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	stamp  stamp
	looked time.Time
}

// stamp tells whether files have changed.
type stamp struct {
	cert, key         time.Time
	certSize, keySize int64
}

// Load reads a given certificate (PEM, with its chain) and key.
func Load(certFile, keyFile string, log *slog.Logger) (*Cert, error) {
	c := &Cert{certFile: certFile, keyFile: keyFile, log: log}
	var err error
	if c.stamp, err = c.look(); err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	if c.loaded, err = load(certFile, keyFile); err != nil {
		return nil, err
	}
	return c, nil
}

// Own loads the certificate the node made for itself, and makes it when there
// is none or it is about to end. It is self-signed: callers recognise it by its
// fingerprint.
func Own(data string, names []string, now time.Time, log *slog.Logger) (*Cert, error) {
	certFile, keyFile := filepath.Join(data, "api.crt"), filepath.Join(data, "api.key")
	c, err := Load(certFile, keyFile, log)
	if err == nil && now.Add(renewUnder).Before(c.loaded.Leaf.NotAfter) {
		return c, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; remove api.crt and api.key from the data folder to have new ones made (callers then need the new fingerprint)", err)
	}
	if err := generate(certFile, keyFile, names, now); err != nil {
		return nil, err
	}
	return Load(certFile, keyFile, log)
}

func generate(certFile, keyFile string, names []string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "bartizan"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validFor),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	if err := safe.AtomicWrite(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600); err != nil {
		return fmt.Errorf("write key of the API: %w", err)
	}
	if err := safe.AtomicWrite(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return fmt.Errorf("write certificate of the API: %w", err)
	}
	return nil
}

func load(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := read(certFile)
	if err != nil {
		return nil, err
	}
	key, err := read(keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return &pair, nil
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	defer f.Close()
	return safe.ReadAll(f, maxFile, name)
}

func (c *Cert) look() (s stamp, err error) {
	a, err := os.Stat(c.certFile)
	if err != nil {
		return s, err
	}
	b, err := os.Stat(c.keyFile)
	if err != nil {
		return s, err
	}
	return stamp{a.ModTime(), b.ModTime(), a.Size(), b.Size()}, nil
}

// current is the certificate of now. Files that have changed and cannot be
// used are reported, and the old certificate stays: a renewal writes two files,
// and between them they do not fit.
func (c *Cert) current(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := now.Sub(c.looked); d >= 0 && d < lookEvery {
		return c.loaded
	}
	c.looked = now
	s, err := c.look()
	if err == nil && s == c.stamp {
		return c.loaded
	}
	var next *tls.Certificate
	if err == nil {
		next, err = load(c.certFile, c.keyFile)
	}
	if err != nil {
		c.log.Warn("the API's certificate has changed and cannot be used; the one before stays", "error", err)
		return c.loaded
	}
	c.stamp, c.loaded = s, next
	c.log.Info("the API has a new certificate", "fingerprint", fingerprint(next))
	return next
}

// TLS is the configuration of a server with this certificate.
func (c *Cert) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(time.Now()), nil },
	}
}

// Fingerprint is the SHA-256 of the certificate (not of its key), in hex, as
// "openssl x509 -fingerprint -sha256" prints it without the colons.
func (c *Cert) Fingerprint() string { return fingerprint(c.current(time.Now())) }

func fingerprint(p *tls.Certificate) string {
	sum := sha256.Sum256(p.Certificate[0])
	return hex.EncodeToString(sum[:])
}
