package mcpgate

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestListenTLS: agents reach the gateway over TLS with the certificate that is told, and a
// client that speaks plainly gets nothing of it.
func TestListenTLS(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mcp.yaml")
	write := func(more string) {
		t.Helper()
		text := "state: " + filepath.Join(dir, "state") + "\nservers:\n  far: {url: http://127.0.0.1:9/mcp}\n" + more
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("http: {tls: on}\n")
	ctx, stop := context.WithCancel(t.Context())
	at, ended := make(chan [2]string, 1), make(chan error, 1)
	go func() {
		ended <- Listen(ctx, file, "127.0.0.1:0", slog.New(slog.DiscardHandler), func(url, pin string) { at <- [2]string{url, pin} })
	}()
	told := <-at
	if !strings.HasPrefix(told[0], "https://") {
		t.Errorf("%q", told)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // the certificate is compared below
	resp, err := client.Get(told[0] + "/nobody")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	sum := sha256.Sum256(resp.TLS.PeerCertificates[0].Raw)
	if got := hex.EncodeToString(sum[:]); resp.StatusCode != 404 || got != strings.ToLower(strings.ReplaceAll(told[1], ":", "")) {
		t.Errorf("status %d, certificate %s, told %q", resp.StatusCode, got, told[1])
	}
	plain, err := http.Get("http://" + strings.TrimPrefix(told[0], "https://") + "/nobody")
	if err == nil {
		text, _ := io.ReadAll(plain.Body)
		plain.Body.Close()
		if plain.StatusCode == 404 || strings.Contains(string(text), "gateway has no server") {
			t.Errorf("in plain: %d %s", plain.StatusCode, text)
		}
	}
	client.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	write("http: {tls: onn}\n")
	if err := Listen(t.Context(), file, "127.0.0.1:0", slog.New(slog.DiscardHandler), func(string, string) { t.Error("it listens") }); err == nil || !strings.Contains(err.Error(), "http.tls") {
		t.Errorf("%v", err)
	}
}
