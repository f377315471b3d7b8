package syslog

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/safe/porttest"
	"bartizan/internal/source"
	"bartizan/internal/source/transport/transporttest"
)

func freeAddr(t *testing.T, network string) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", porttest.Free(t, network, 1)[0])
}

func start(t *testing.T, listen string, change func(*Config)) *transporttest.Running {
	t.Helper()
	c := Default()
	c.Listen = listen
	if change != nil {
		change(&c)
	}
	feed, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r := transporttest.Start(t, feed, nil)
	r.Ready()
	return r
}

func send(t *testing.T, network, addr string, parts ...string) {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, p := range parts {
		if _, err := io.WriteString(conn, p); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDatagrams(t *testing.T) {
	addr := freeAddr(t, "udp")
	r := start(t, "udp://"+addr, nil)
	send(t, "udp", addr, "<34>one\n", "two", "a bad one", "first\nsecond")
	r.Want("<34>one", "two", "first second")
	r.Await("the malformed one", func(_ []string, c source.Counts, _ string, _ error) bool { return c.Malformed == 1 && c.Records == 4 })
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
}

func TestStreams(t *testing.T) {
	addr := freeAddr(t, "tcp")
	r := start(t, "tcp://"+addr, nil)
	send(t, "tcp", addr, "<34>by line\n<34>and another\n", "11 <34>counted", "10 <34>in", " two\n", "2025-10-10T13:00:01Z by line\n", "last without an end")
	r.Want("<34>by line", "<34>and another", "<34>counted", "<34>in two", "2025-10-10T13:00:01Z by line", "last without an end")
}

func TestLogger(t *testing.T) {
	if _, err := exec.LookPath("logger"); err != nil {
		t.Skip("logger of util-linux is not installed")
	}
	for _, network := range []string{"udp", "tcp"} {
		addr := freeAddr(t, network)
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		r := start(t, network+"://"+addr, nil)
		flags := []string{"-n", host, "-P", port, "-t", "app", "--rfc5424", "hello there"}
		if network == "tcp" {
			flags = append([]string{"-T", "--octet-count"}, flags...)
		} else {
			flags = append([]string{"-d"}, flags...)
		}
		if out, err := exec.CommandContext(t.Context(), "logger", flags...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		r.Await("the message", func(got []string, _ source.Counts, _ string, _ error) bool {
			return len(got) == 1 && strings.HasPrefix(got[0], "<13>1 ") && strings.HasSuffix(got[0], "hello there")
		})
	}
}

func TestTLS(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t, "tcp")
	pool := certificate(t, dir)
	r := start(t, "tls://"+addr, func(c *Config) {
		c.Cert, c.Key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	})
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "7 <34>one7 <34>two"); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	r.Want("<34>one", "<34>two")
}

func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: k}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

func TestStrangersAreRefused(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		addr := freeAddr(t, network)
		r := start(t, network+"://"+addr, func(c *Config) { c.Peers = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
		conn, err := net.Dial(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "<34>accused\n") // refused, perhaps before it is sent
		r.Await("the refusal", func(got []string, _ source.Counts, _ string, wrong error) bool {
			return len(got) == 0 && wrong != nil && strings.Contains(wrong.Error(), "1 senders that are not among the peers")
		})
		conn.Close()
	}
}

func TestHostileFrames(t *testing.T) {
	addr := freeAddr(t, "tcp")
	r := start(t, "tcp://"+addr, nil)
	send(t, "tcp", addr, "99999999 <34>too large")
	r.Await("the refusal", func(_ []string, _ source.Counts, _ string, wrong error) bool { return errors.Is(wrong, errFrame) })
	send(t, "tcp", addr, "<34>others go on\n")
	r.Want("<34>others go on")
}

func TestFailureToStoreEndsIt(t *testing.T) {
	addr := freeAddr(t, "tcp")
	r := start(t, "tcp://"+addr, nil)
	broken := errors.New("no room")
	r.Refuse(broken)
	send(t, "tcp", addr, "<34>one\n")
	if err := r.Ended(); !errors.Is(err, broken) {
		t.Errorf("ended with %v", err)
	}
}

// However a stream is cut into pieces, the records are the same.
func TestAnyChunking(t *testing.T) {
	text := "<34>one\n7 <34>two10 <34>a\nb c\r\n<1>x\n\n2025 no\n"
	whole := new(framer)
	want, err := whole.feed([]byte(text), true)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1; size < len(text); size++ {
		var f framer
		var got []byte
		for i := 0; i < len(text); i += size {
			end := min(i+size, len(text))
			lines, err := f.feed([]byte(text[i:end]), end == len(text))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, lines...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("in pieces of %d: %q, want %q", size, got, want)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("<34>one\n7 <34>two"), 3)
	f.Add([]byte("99999999999 x"), 1)
	f.Add([]byte("0 \n5"), 2)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		size = 1 + max(size, -size)%64
		var fr framer
		for i := 0; i < len(b); i += size {
			end := min(i+size, len(b))
			lines, err := fr.feed(b[i:end], end == len(b))
			if len(lines) > 0 && lines[len(lines)-1] != '\n' {
				t.Fatalf("records without an end: %q", lines)
			}
			if err != nil {
				return
			}
		}
		if len(fr.rest) > 0 {
			t.Fatalf("%d bytes were kept after the end", len(fr.rest))
		}
	})
}

func TestConfigRefuses(t *testing.T) {
	for i, change := range []func(*Config){
		func(c *Config) { c.Listen = "127.0.0.1:514" },
		func(c *Config) { c.Listen = "udp://localhost:514" },
		func(c *Config) { c.Listen = "udp://127.0.0.1" },
		func(c *Config) { c.Listen = "sctp://127.0.0.1:514" },
		func(c *Config) { c.Listen = "udp://0.0.0.0:514" },
		func(c *Config) { c.Listen = "tls://127.0.0.1:514" },
		func(c *Config) { c.Cert, c.Key = "a", "b" },
		func(c *Config) { c.Conns = 0 },
		func(c *Config) { c.Idle = 0 },
	} {
		c := Default()
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("case %d: accepted %s", i, fmt.Sprintf("%+v", c))
		}
	}
}
