// Package syslog sends events as syslog messages (RFC 5424) over UDP (RFC 5426),
// TCP (RFC 6587, octet counting) or TLS (RFC 5425). The message is the event's
// JSON; the message id is its class.
//
// None of these protocols confirms that a message has arrived. Over TCP and TLS
// Send looks whether the receiver has hung up before and after it writes, which
// finds a receiver that went away, but what was in its buffers then is lost.
package syslog

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/export"
	"bartizan/internal/export/trust"
	"bartizan/internal/safe"
)

// Config of the sink.
type Config struct {
	URL      string        `yaml:"url"`      // udp://host:514, tcp://host:601, tls://host:6514
	CA       string        `yaml:"ca"`       // file with the certificates to trust; empty: the system's
	Facility int           `yaml:"facility"` // 0–23; 16 is local0
	Host     string        `yaml:"host"`     // of the messages; empty: this machine's name
	App      string        `yaml:"app"`      //
	Timeout  conf.Duration `yaml:"timeout"`  // of connecting, and of writing a batch
	MaxSize  conf.Bytes    `yaml:"max_size"` // of one message; longer ones are left out. 0: 60,000 over UDP, 1 MiB otherwise
}

// Default is local0.
func Default() Config {
	return Config{Facility: 16, App: "bartizan", Timeout: conf.Duration(10 * time.Second)}
}

const (
	maxDatagram = 60_000 // RFC 5426 §3.2: what fits a UDP datagram over IPv4, with room for options
	maxStream   = 1 << 20
	nilValue    = "-"
)

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "udp" && u.Scheme != "tcp" && u.Scheme != "tls":
		return fmt.Errorf("url %q must be udp://host:port, tcp://host:port or tls://host:port", safe.Clean(c.URL, 200))
	case c.Facility < 0 || c.Facility > 23:
		return fmt.Errorf("facility %d: 0 to 23 (16 is local0)", c.Facility)
	case c.Timeout <= 0:
		return errors.New("timeout must be longer than nothing")
	case u.Scheme == "udp" && c.MaxSize > maxDatagram:
		return fmt.Errorf("max_size %d: at most %d over UDP", c.MaxSize, maxDatagram)
	case c.App == "" || len(c.App) > 48 || header(c.App, 48) != c.App: // RFC 5424 §6.2.5
		return fmt.Errorf("app %q: 1 to 48 printable ASCII characters without spaces", safe.Clean(c.App, 60))
	}
	return nil
}

// New makes the sink; nothing is connected before the first event.
func New(c Config) (export.Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	s := &sink{conf: c, network: u.Scheme, max: int(c.MaxSize), dialer: net.Dialer{Timeout: c.Timeout.D()}}
	port, limit := "601", maxStream
	switch u.Scheme {
	case "udp":
		port, limit = "514", maxDatagram
	case "tls":
		port = "6514"
		s.network = "tcp"
		if s.tls, err = trust.Config(c.CA); err != nil {
			return nil, err
		}
		s.tls.ServerName = u.Hostname()
	}
	if u.Port() != "" {
		port = u.Port()
	}
	s.address = net.JoinHostPort(u.Hostname(), port)
	if s.max == 0 {
		s.max = limit
	}
	s.host = c.Host
	if s.host == "" {
		if s.host, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("find host name: %w; set host", err)
		}
	}
	s.host = header(s.host, 255)
	return s, nil
}

type sink struct {
	conf    Config
	network string
	address string
	host    string
	max     int
	tls     *tls.Config // nil without TLS
	dialer  net.Dialer
	conn    net.Conn
	msg     bytes.Buffer
	out     bytes.Buffer
}

// Send implements export.Sink.
func (s *sink) Send(ctx context.Context, events []export.Event) (left int, err error) {
	if len(events) == 0 {
		return 0, ctx.Err()
	}
	if err := s.connect(ctx); err != nil {
		return 0, fmt.Errorf("connect to syslog %s: %w", s.address, err)
	}
	conn := s.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // wakes the write; it reports the error
	defer stop()
	if left, err = s.write(ctx, events); err == nil {
		err = s.alive()
	}
	if err != nil {
		s.drop()
		return 0, fmt.Errorf("send to syslog %s: %w", s.address, err)
	}
	return left, nil
}

func (s *sink) write(ctx context.Context, events []export.Event) (left int, err error) {
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.conf.Timeout.D())); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil { // ended before there was a deadline to move
		return 0, err
	}
	s.out.Reset()
	for i := range events {
		s.format(&events[i])
		switch {
		case s.msg.Len() > s.max:
			left++
		case s.network == "udp": // one message per datagram
			if _, err := s.conn.Write(s.msg.Bytes()); err != nil {
				return 0, err
			}
		default: // octet counting: MSG-LEN SP SYSLOG-MSG
			s.out.WriteString(strconv.Itoa(s.msg.Len()))
			s.out.WriteByte(' ')
			s.out.Write(s.msg.Bytes())
		}
	}
	if s.out.Len() > 0 {
		if _, err := s.conn.Write(s.out.Bytes()); err != nil {
			return 0, err
		}
	}
	return left, ctx.Err()
}

// connect makes s.conn a connection that the receiver has not closed.
func (s *sink) connect(ctx context.Context) (err error) {
	if s.conn != nil {
		if s.alive() == nil {
			return nil
		}
		s.drop()
	}
	if s.tls == nil {
		s.conn, err = s.dialer.DialContext(ctx, s.network, s.address)
		return err
	}
	d := tls.Dialer{NetDialer: &s.dialer, Config: s.tls}
	s.conn, err = d.DialContext(ctx, s.network, s.address)
	return err
}

// alive looks whether a receiver, which never says anything, has hung up.
func (s *sink) alive() error {
	if s.network == "udp" {
		return nil
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return err
	}
	_, err := s.conn.Read(make([]byte, 1))
	var ne net.Error
	switch {
	case errors.As(err, &ne) && ne.Timeout():
		return nil
	case errors.Is(err, io.EOF):
		return errors.New("the receiver has closed the connection")
	case err == nil:
		return errors.New("the receiver answers, which no syslog receiver does")
	}
	return err
}

func (s *sink) drop() {
	if s.conn != nil {
		_ = s.conn.Close() // it is broken already
		s.conn = nil
	}
}

// format writes one message to s.msg (RFC 5424 §6).
func (s *sink) format(e *export.Event) {
	s.msg.Reset()
	b := append(s.msg.AvailableBuffer(), '<')
	b = strconv.AppendInt(b, int64(s.conf.Facility*8+severity(e.Severity)), 10)
	b = append(b, ">1 "...)
	b = e.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	for _, h := range []string{s.host, s.conf.App, nilValue, header(e.Class, 32), nilValue} { // host, app, process, message id, structured data
		b = append(append(b, ' '), h...)
	}
	b = append(b, ' ')
	s.msg.Write(b)
	s.msg.Write(e.JSON)
}

// severity turns OCSF's severity_id into syslog's (RFC 5424 §6.2.1).
func severity(id int) int {
	switch id {
	case 2: // low
		return 5 // notice
	case 3: // medium
		return 4 // warning
	case 4: // high
		return 3 // error
	case 5, 6: // critical, fatal
		return 2
	}
	return 6 // informational
}

// header makes a header field: printable ASCII without spaces, "-" for nothing.
func header(s string, limit int) string {
	out := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	if out == "" {
		return nilValue
	}
	return out[:min(len(out), limit)]
}

// Close implements export.Sink.
func (s *sink) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.conn = nil
	return err
}
