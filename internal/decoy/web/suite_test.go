package web

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/decoy/persona"
)

func suite(t *testing.T, c Config, options ...decoytest.Option) {
	decoytest.Run(t, func(t testing.TB) decoy.Service {
		v, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}, options...)
}

func TestSuite(t *testing.T) {
	suite(t, Default(), decoytest.Hello("GET /.env HTTP/1.1\r\nHost: x\r\nUser-Agent: suite\r\n\r\n"), decoytest.Dialogues(25))
}

func TestSuiteTLS(t *testing.T) {
	st, err := persona.Create(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p, err := persona.FromState(st)
	if err != nil {
		t.Fatal(err)
	}
	suite(t, DefaultTLS(), decoytest.As(p), decoytest.Hello(clientHello(t)))
}

// clientHello is what Go's TLS client says first.
func clientHello(t *testing.T) string {
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(near, &tls.Config{ServerName: "suite.example", MinVersion: tls.VersionTLS12}).Handshake() // nobody answers
	}()
	b := make([]byte, 8<<10)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	far.Close()
	<-done
	near.Close()
	return string(b[:n])
}
