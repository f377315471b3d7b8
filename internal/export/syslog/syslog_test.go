package syslog_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"bartizan/internal/export"
	"bartizan/internal/export/exporttest"
	"bartizan/internal/export/syslog"
	"bartizan/internal/safe/porttest"
)

// rsyslogd is Debian's rsyslog in a folder of its own, writing what arrives to
// a file.
type rsyslogd struct {
	t         *testing.T
	dir, conf string
	transport string
	port      string
	cmd       *exec.Cmd
}

func newRsyslogd(t *testing.T, transport string) *rsyslogd {
	if _, err := exec.LookPath("rsyslogd"); err != nil {
		t.Skip("NOT TESTED against a real receiver: rsyslogd is missing (scripts/install-test-tools.sh)")
	}
	network := "tcp"
	if transport == "udp" {
		network = transport
	}
	r := &rsyslogd{t: t, dir: t.TempDir(), transport: transport, port: porttest.Free(t, network, 1)[0]}
	r.conf = filepath.Join(r.dir, "rsyslog.conf")
	input := map[string]string{
		"udp": `module(load="imudp") input(type="imudp" address="127.0.0.1" port="` + r.port + `")`,
		"tcp": `module(load="imtcp") input(type="imtcp" address="127.0.0.1" port="` + r.port + `" SupportOctetCountedFraming="on")`,
		"tls": `global(DefaultNetstreamDriverCAFile="` + r.file("ca.pem") + `" DefaultNetstreamDriverCertFile="` + r.file("cert.pem") + `" DefaultNetstreamDriverKeyFile="` + r.file("key.pem") + `")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon") input(type="imtcp" address="127.0.0.1" port="` + r.port + `")`,
	}[transport]
	certificate(t, r.dir)
	r.write("rsyslog.conf", `global(workDirectory="`+r.dir+`" maxMessageSize="1m" parser.escapeControlCharactersOnReceive="off")
template(name="all" type="string" string="%protocol-version% %syslogfacility% %syslogseverity% %timereported:::date-rfc3339% %hostname% %app-name% %procid% %msgid% %structured-data% %msg%\n")
`+input+`
action(type="omfile" file="`+r.file("out")+`" template="all" asyncWriting="off")
`)
	r.Up()
	t.Cleanup(r.Down)
	return r
}

func (r *rsyslogd) file(name string) string { return filepath.Join(r.dir, name) }

func (r *rsyslogd) write(name, text string) {
	if err := os.WriteFile(r.file(name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rsyslogd) url() string { return r.transport + "://127.0.0.1:" + r.port }

// bound says whether somebody listens on a UDP port of the loopback. It looks
// without taking the port, which rsyslogd may be about to do.
func bound(port string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	table, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		return err
	}
	if !strings.Contains(string(table), fmt.Sprintf(" 0100007F:%04X ", n)) {
		return errors.New("rsyslogd does not listen yet")
	}
	return nil
}

func (r *rsyslogd) Up() {
	log, err := os.OpenFile(r.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	r.cmd = exec.Command("rsyslogd", "-n", "-f", r.conf, "-i", r.file("pid"))
	r.cmd.Stdout, r.cmd.Stderr = log, log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	exporttest.Eventually(r.t, func() error {
		if r.transport == "udp" {
			return bound(r.port)
		}
		c, err := net.Dial("tcp", "127.0.0.1:"+r.port)
		if err != nil {
			text, _ := os.ReadFile(r.file("log"))
			return fmt.Errorf("%w; rsyslogd says: %.800s", err, text)
		}
		return c.Close()
	})
}

func (r *rsyslogd) Down() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait() // killed
	r.cmd = nil
}

var written = regexp.MustCompile(`^1 16 ([2-6]) (\S+) node1 bartizan - signal - (.*)$`)

// Events returns what rsyslog wrote, and fails on a header that is not as sent.
func (r *rsyslogd) Events() (out [][]byte) {
	for _, line := range exporttest.Lines(r.t, r.file("out")) {
		m := written.FindSubmatch(line)
		if m == nil {
			r.t.Fatalf("rsyslog wrote %.300q", line)
		}
		e, err := export.Parse("signal", m[3])
		if err != nil {
			r.t.Fatal(err)
		}
		if want := [...]string{"6", "5", "4", "3", "2"}[e.Severity-1]; string(m[1]) != want {
			r.t.Errorf("severity_id %d arrived as %s, want %s", e.Severity, m[1], want)
		}
		if _, err := time.Parse(time.RFC3339Nano, string(m[2])); err != nil {
			r.t.Error(err)
		}
		out = append(out, m[3])
	}
	return out
}

func sink(t *testing.T, r *rsyslogd) export.Sink {
	c := syslog.Default()
	c.URL, c.Host = r.url(), "node1"
	if r.transport == "tls" {
		c.CA = r.file("ca.pem")
	}
	s, err := syslog.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRsyslog: Debian's rsyslog, over each transport, gets every event as it is.
func TestRsyslog(t *testing.T) {
	for _, transport := range []string{"udp", "tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			exporttest.Run(t, exporttest.Options{Unconfirmed: transport == "udp"}, func(t *testing.T) (export.Sink, exporttest.Receiver) {
				r := newRsyslogd(t, transport)
				return sink(t, r), r
			})
		})
	}
}

// TestStranger: a receiver whose certificate is not trusted is sent nothing.
func TestStranger(t *testing.T) {
	r := newRsyslogd(t, "tls")
	c := syslog.Default()
	c.URL = r.url()
	s, err := syslog.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Send(t.Context(), exporttest.Events(1)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
}

// TestFrames reads the stream as RFC 6587 §3.4.1 describes octet counting.
func TestFrames(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got, done := make(chan []string, 1), make(chan struct{})
	defer close(done)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- nil
			return
		}
		defer c.Close()
		var list []string
		for in := bufio.NewReader(c); len(list) < 12; {
			word, err := in.ReadString(' ')
			n, nerr := strconv.Atoi(strings.TrimSuffix(word, " "))
			if err != nil || nerr != nil {
				break
			}
			msg := make([]byte, n)
			if _, err := io.ReadFull(in, msg); err != nil {
				break
			}
			list = append(list, string(msg))
		}
		got <- list
		<-done // a receiver that hangs up is an error
	}()
	c := syslog.Default()
	c.URL, c.Host, c.MaxSize = "tcp://"+l.Addr().String(), "näme of host", 5000
	s, err := syslog.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	events := exporttest.Events(13) // one has 9000 bytes
	left, err := s.Send(t.Context(), events)
	if err != nil || left != 1 {
		t.Fatalf("%d left out, %v", left, err)
	}
	list := <-got
	if len(list) != 12 {
		t.Fatalf("%d frames, want 12", len(list))
	}
	if want := "<134>1 2026-11-27T01:02:03.456000Z nmeofhost bartizan - signal - " + string(events[0].JSON); list[0] != want {
		t.Errorf("first message is\n%q, want\n%q", list[0], want)
	}
}

func TestConfig(t *testing.T) {
	for want, change := range map[string]func(*syslog.Config){
		"must be udp://":       func(c *syslog.Config) { c.URL = "localhost:514" },
		"facility 24":          func(c *syslog.Config) { c.Facility = 24 },
		"timeout":              func(c *syslog.Config) { c.Timeout = 0 },
		"at most 60000":        func(c *syslog.Config) { c.MaxSize = 70_000 },
		"without spaces":       func(c *syslog.Config) { c.App = "my app" },
		"read ca":              func(c *syslog.Config) { c.URL, c.CA = "tls://h", "/nonexistent/ca.pem" },
		"no certificate in it": func(c *syslog.Config) { c.URL, c.CA = "tls://h", "/dev/null" },
	} {
		c := syslog.Default()
		c.URL = "udp://127.0.0.1"
		change(&c)
		if _, err := syslog.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// certificate writes ca.pem, cert.pem and key.pem for 127.0.0.1.
func certificate(t *testing.T, dir string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "receiver"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer
	if err := pem.Encode(&public, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"ca.pem": public.Bytes(), "cert.pem": public.Bytes(), "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
