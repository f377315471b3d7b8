// Package nats receives records from a subject or a stream of a NATS server.
package nats

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/safe"
	"bartizan/internal/source/transport"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config of a receiver.
type Config struct {
	URL         string      `yaml:"url"`         // nats://HOST:4222 or tls://HOST:4222
	Subject     string      `yaml:"subject"`     // may have wildcards
	Stream      string      `yaml:"stream"`      // JetStream: nothing is lost while the node is away; empty: what is sent while it listens
	Durable     string      `yaml:"durable"`     // name of the consumer; default: bartizan-SOURCE
	Credentials string      `yaml:"credentials"` // .creds file
	User        string      `yaml:"user"`
	Password    conf.Secret `yaml:"password"`
	CA          string      `yaml:"ca"` // PEM file instead of the system's authorities
}

// Default connects to this machine.
func Default() Config { return Config{URL: "nats://127.0.0.1:4222"} }

// New makes a receiver. It connects to nobody.
func New(c Config) (transport.Feed, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls":
		return nil, fmt.Errorf("url: %q is not like nats://HOST:4222 or tls://HOST:4222", safe.Clean(c.URL, 60))
	case u.User != nil:
		return nil, errors.New("url: keep names and passwords out of it: user and password, or credentials")
	case c.Subject == "" || strings.ContainsAny(c.Subject, " \t\r\n"):
		return nil, fmt.Errorf("subject: %q is none", safe.Clean(c.Subject, 60))
	case strings.ContainsAny(c.Stream+c.Durable, " .*>/\\\t\r\n"):
		return nil, errors.New("stream, durable: no spaces, dots or wildcards")
	case c.Durable != "" && c.Stream == "":
		return nil, errors.New("durable: needs a stream")
	}
	return &Receiver{c}, nil
}

// Receiver takes messages, each with one record or several lines; it implements
// transport.Feed.
type Receiver struct{ conf Config }

// Run implements transport.Feed.
func (r *Receiver) Run(ctx context.Context, in transport.Intake) error {
	opts := []nats.Option{
		nats.Name("bartizan source " + in.Source), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				in.Say(r.doing(), fmt.Errorf("the server is away: %w", err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { in.Say(r.doing(), nil) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			in.Say(r.doing(), err)
		}),
	}
	if r.conf.Credentials != "" {
		opts = append(opts, nats.UserCredentials(r.conf.Credentials))
	}
	if r.conf.User != "" {
		opts = append(opts, nats.UserInfo(r.conf.User, r.conf.Password.Reveal()))
	}
	if r.conf.CA != "" {
		opts = append(opts, nats.RootCAs(r.conf.CA))
	}
	nc, err := nats.Connect(r.conf.URL, opts...)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", r.conf.URL, err)
	}
	defer nc.Close()
	if r.conf.Stream != "" {
		return r.stream(ctx, in, nc)
	}
	return r.subject(ctx, in, nc)
}

func (r *Receiver) doing() string {
	if r.conf.Stream != "" {
		return fmt.Sprintf("reads stream %s of %s", r.conf.Stream, r.conf.URL)
	}
	return fmt.Sprintf("listens to %s of %s", r.conf.Subject, r.conf.URL)
}

// subject takes what is sent while it listens.
func (r *Receiver) subject(ctx context.Context, in transport.Intake, nc *nats.Conn) error {
	sub, err := nc.SubscribeSync(r.conf.Subject)
	if err == nil {
		err = nc.FlushTimeout(10 * time.Second)
	}
	if err != nil {
		return fmt.Errorf("listen to %s: %w", r.conf.Subject, err)
	}
	in.Say(r.doing(), nil)
	s := transport.NewStream(&in)
	var lines []byte
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, nats.ErrSlowConsumer):
			in.Say(r.doing(), fmt.Errorf("messages were dropped, because they came faster than they could be stored: use a stream: %w", err))
			continue
		case err != nil:
			return fmt.Errorf("listen to %s: %w", r.conf.Subject, err)
		}
		lines = appendLines(lines[:0], m.Data)
		if err := s.Take(ctx, lines); err != nil {
			return err
		}
	}
}

// fetched is how many messages are taken from a stream at once.
const fetched = 256

// stream takes every message of a stream once it can be stored: it is acknowledged
// afterwards, so that nothing is lost over a restart.
func (r *Receiver) stream(ctx context.Context, in transport.Intake, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	name := r.conf.Durable
	if name == "" {
		name = "bartizan-" + in.Source
	}
	c, err := js.CreateOrUpdateConsumer(ctx, r.conf.Stream, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: r.conf.Subject, AckPolicy: jetstream.AckAllPolicy, MaxAckPending: 4 * fetched,
	})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", r.conf.Stream, err)
	}
	in.Say(r.doing(), nil)
	s := transport.NewStream(&in)
	var lines []byte
	for ctx.Err() == nil {
		batch, err := c.Fetch(fetched, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return fmt.Errorf("read stream %s: %w", r.conf.Stream, err)
		}
		var last jetstream.Msg
		lines = lines[:0]
		for m := range batch.Messages() {
			lines = appendLines(lines, m.Data())
			last = m
		}
		if last == nil {
			continue
		}
		if err := s.Take(ctx, lines); err != nil {
			if ctx.Err() != nil {
				return nil // not acknowledged: it comes again
			}
			return err
		}
		if err := last.DoubleAck(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("acknowledge in stream %s: %w", r.conf.Stream, err)
		}
	}
	return nil
}

// appendLines appends a message as lines, the last one with its end.
func appendLines(out, data []byte) []byte {
	if len(data) == 0 {
		return out
	}
	out = append(out, data...)
	if out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	return out
}
