package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"bartizan/internal/api/token"
)

// Remote says how to reach a node over TCP.
type Remote struct {
	URL   string // https://host:port, or http:// on the loopback
	Token string
	Pin   string // SHA-256 of the node's certificate in hex (colons are fine); instead of trusting authorities
	CA    []byte // PEM of the authorities to trust; empty: the system's
}

// NewRemote makes a client for a node that is reached over TCP. It never sends
// the token unencrypted to another machine, and follows no redirect.
func NewRemote(r Remote) (*Client, error) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("%w: %.100q is not the address of a node, such as https://192.0.2.7:9612", ErrInput, r.URL)
	}
	if a, err := netip.ParseAddr(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (err != nil || !a.IsLoopback()) {
		return nil, fmt.Errorf("%w: http:// would send the token to another machine for everybody to read: use https://", ErrInput)
	}
	if _, err := token.Bearer("Bearer " + r.Token); err != nil {
		return nil, fmt.Errorf("%w: what was given as the token is none (%s…); \"bartizan token create\" on the node's host makes one", ErrInput, token.Prefix)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case r.Pin != "" && len(r.CA) > 0:
		return nil, fmt.Errorf("%w: either a pinned certificate or a file of authorities, not both", ErrInput)
	case r.Pin != "":
		want, err := hex.DecodeString(strings.ReplaceAll(r.Pin, ":", ""))
		if err != nil || len(want) != sha256.Size {
			return nil, fmt.Errorf("%w: the pin is not a SHA-256 in hex; \"bartizan status\" on the node's host shows it", ErrInput)
		}
		conf.InsecureSkipVerify = true
		conf.VerifyConnection = func(s tls.ConnectionState) error { return pinned(s, want) }
	case len(r.CA) > 0:
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(r.CA) {
			return nil, fmt.Errorf("%w: no certificate in the file of authorities (PEM)", ErrInput)
		}
	}
	return &Client{where: u.Host, base: u.Scheme + "://" + u.Host, token: r.Token, http: &http.Client{
		Transport:     &http.Transport{TLSClientConfig: conf, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func pinned(s tls.ConnectionState, want []byte) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the node has no certificate")
	}
	got := sha256.Sum256(s.PeerCertificates[0].Raw)
	if subtle.ConstantTimeCompare(got[:], want) != 1 {
		return fmt.Errorf("the node's certificate is another one than pinned (its SHA-256 is %s): somebody else answers, or it was renewed", hex.EncodeToString(got[:]))
	}
	return nil
}
