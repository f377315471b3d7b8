// Package trust makes the TLS configuration of sinks.
package trust

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"bartizan/internal/safe"
)

// Config trusts the certificates in a PEM file, or the system's when file is
// empty. There is no way to trust everybody.
func Config(file string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if file == "" {
		return c, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read ca: %w", err)
	}
	defer f.Close()
	text, err := safe.ReadAll(f, 4<<20, "ca file "+file)
	if err != nil {
		return nil, fmt.Errorf("read ca: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read ca %s: no certificate in it (PEM)", file)
	}
	return c, nil
}
