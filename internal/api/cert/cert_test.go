package cert

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOwnIsKeptAndRenewed(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	now := time.Now()
	a, err := Own(dir, []string{"door.example", "192.0.2.7"}, now, log)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(a.loaded.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "door.example", "192.0.2.7"} {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if st, err := os.Stat(filepath.Join(dir, "api.key")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("key: mode %v, %v", st.Mode(), err)
	}
	b, err := Own(dir, nil, now, log)
	if err != nil || b.Fingerprint() != a.Fingerprint() {
		t.Errorf("the next start has another certificate (%v)", err)
	}
	if c, err := Own(dir, nil, now.Add(validFor-24*time.Hour), log); err != nil || c.Fingerprint() == a.Fingerprint() {
		t.Errorf("a certificate that ends tomorrow is kept (%v)", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "api.key"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Own(dir, nil, now, log); err == nil || !strings.Contains(err.Error(), "remove api.crt") {
		t.Errorf("a broken key: %v", err)
	}
}

// A renewed certificate is taken up; between its two files, and with a broken
// one, the old stays.
func TestReload(t *testing.T) {
	var lines bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lines, nil))
	dir, other := t.TempDir(), t.TempDir()
	now := time.Now()
	c, err := Own(dir, nil, now, log)
	if err != nil {
		t.Fatal(err)
	}
	next, err := Own(other, nil, now, log)
	if err != nil {
		t.Fatal(err)
	}
	old := c.Fingerprint()
	replace := func(name string, at time.Time) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(other, name))
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(to, at, at); err != nil {
			t.Fatal(err)
		}
	}
	replace("api.crt", now.Add(time.Minute))
	if got := fingerprint(c.current(now.Add(10 * time.Second))); got != old {
		t.Error("a certificate without its key was taken")
	}
	replace("api.key", now.Add(time.Minute))
	if got := fingerprint(c.current(now.Add(10*time.Second + lookEvery/2))); got != old {
		t.Error("the files are looked at all the time")
	}
	if got := fingerprint(c.current(now.Add(20 * time.Second))); got != next.Fingerprint() {
		t.Error("the new certificate was not taken")
	}
	if err := os.Remove(filepath.Join(dir, "api.crt")); err != nil {
		t.Fatal(err)
	}
	if got := fingerprint(c.current(now.Add(30 * time.Second))); got != next.Fingerprint() {
		t.Error("a removed file ended the service")
	}
	if s := lines.String(); strings.Count(s, "cannot be used") != 2 || !strings.Contains(s, next.Fingerprint()) {
		t.Errorf("logged: %s", s)
	}
}
