// Package push receives records that programs send with HTTP: one POST of lines,
// or of a whole file such as CloudTrail's, also packed with gzip.
package push

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/observe"
	"bartizan/internal/safe"
	"bartizan/internal/source"
	"bartizan/internal/source/transport"
)

// Config of a receiver.
type Config struct {
	Listen string        `yaml:"listen"` // ADDRESS:PORT
	Token  conf.Secret   `yaml:"token"`  // senders have it in "Authorization: Bearer TOKEN"
	Cert   string        `yaml:"cert"`   // PEM files; needed unless it listens on the loopback
	Key    string        `yaml:"key"`
	Bytes  conf.Bytes    `yaml:"max_bytes"` // of one request, unpacked
	Time   conf.Duration `yaml:"timeout"`   // of one request
	Conns  int           `yaml:"max_requests"`
}

// Default takes what the loopback sends.
func Default() Config {
	return Config{Listen: "127.0.0.1:5580", Bytes: 256 << 20, Time: conf.Duration(5 * time.Minute), Conns: 16}
}

const minToken = 16 // characters

// New makes a receiver. It opens nothing.
func New(c Config) (transport.Feed, error) {
	at, err := netip.ParseAddrPort(c.Listen)
	switch {
	case err != nil || at.Port() == 0:
		return nil, fmt.Errorf("listen: %q is not an IP address and port", safe.Clean(c.Listen, 60))
	case len(c.Token.Reveal()) < minToken:
		return nil, fmt.Errorf("token: has fewer than %d characters; for example: openssl rand -hex 32 > FILE, chmod 600 FILE, token: file:FILE", minToken)
	case (c.Cert == "") != (c.Key == ""):
		return nil, errors.New("cert and key: one without the other")
	case c.Cert == "" && !at.Addr().IsLoopback():
		return nil, errors.New("cert and key: needed where others than this machine can listen in")
	case c.Bytes <= 0:
		return nil, errors.New("max_bytes: must be more than nothing")
	case c.Time <= 0:
		return nil, errors.New("timeout: must be longer than nothing")
	case c.Conns < 1 || c.Conns > 1000:
		return nil, errors.New("max_requests: lies between 1 and 1000")
	}
	return &Receiver{conf: c, token: sha256.Sum256([]byte(c.Token.Reveal()))}, nil
}

// Receiver takes POST requests; it implements transport.Feed.
type Receiver struct {
	conf  Config
	token [sha256.Size]byte
}

// Run implements transport.Feed.
func (r *Receiver) Run(ctx context.Context, in transport.Intake) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.conf.Listen)
	if err != nil {
		return fmt.Errorf("listen for records: %w", err)
	}
	scheme := "http"
	if r.conf.Cert != "" {
		pair, err := tls.LoadX509KeyPair(r.conf.Cert, r.conf.Key)
		if err != nil {
			l.Close()
			return fmt.Errorf("cert, key: %w", err)
		}
		l, scheme = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}), "https"
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	places := make(chan struct{}, r.conf.Conns)
	s := &http.Server{
		Handler:           &handler{r, &in, places, cancel},
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: r.conf.Time.D(), WriteTimeout: r.conf.Time.D() + 10*time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0), // it would quote what senders sent
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer done()
		if s.Shutdown(grace) != nil {
			s.Close()
		}
	})
	in.Say("listens on "+scheme+"://"+r.conf.Listen, nil)
	err = s.Serve(l)
	if !stop() {
		<-ended
	}
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.Canceled) {
			return nil
		}
		return cause
	}
	return fmt.Errorf("receive records: %w", err)
}

// handler serves one life of a receiver.
type handler struct {
	*Receiver
	in     *transport.Intake
	places chan struct{}
	fail   context.CancelCauseFunc // records cannot be stored
}

// answer is what senders get.
type answer struct {
	Records   uint64 `json:"records"`
	Malformed uint64 `json:"malformed"`
	Error     string `json:"error,omitempty"`
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !h.known(r.Header.Get("Authorization")):
		w.Header().Set("WWW-Authenticate", "Bearer")
		reply(w, http.StatusUnauthorized, answer{Error: "a valid token is needed: Authorization: Bearer TOKEN"})
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST")
		reply(w, http.StatusMethodNotAllowed, answer{Error: "records come with POST"})
		return
	}
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	default:
		w.Header().Set("Retry-After", "1")
		reply(w, http.StatusTooManyRequests, answer{Error: fmt.Sprintf("%d requests are being read already", h.conf.Conns)})
		return
	}
	status, a := h.take(r)
	reply(w, status, a)
}

// known compares without telling by its time how much is right.
func (h *handler) known(header string) bool {
	given, ok := strings.CutPrefix(header, "Bearer ")
	sum := sha256.Sum256([]byte(given))
	return ok && subtle.ConstantTimeCompare(sum[:], h.token[:]) == 1
}

var errTooLarge = errors.New("larger than max_bytes")

// take reads a request's records. 200: they are stored. When a request fails in
// its middle, what came before is stored, and the answer says how many records.
func (h *handler) take(r *http.Request) (int, answer) {
	var refused error
	emit := func(ctx context.Context, b *observe.LogBatch) error {
		refused = h.in.Emit(ctx, b)
		return refused
	}
	var c source.Counts
	src, done, err := transport.Decompress(r.Body)
	if err == nil {
		defer done()
		f := transport.File{Path: "-", Format: h.in.Decoder, Opts: h.in.Options(), Stream: &capped{r: src, left: int64(h.conf.Bytes)}}
		err = f.Run(r.Context(), emit)
		c = f.Counts()
	}
	h.in.Count(c)
	a := answer{Records: c.Records, Malformed: c.Malformed}
	var wrong *source.WrongError
	switch {
	case err == nil:
		return http.StatusOK, a
	case refused != nil:
		if r.Context().Err() == nil {
			h.fail(refused)
		}
		a.Error = "the records cannot be stored now"
		return http.StatusServiceUnavailable, a
	case errors.As(err, &wrong):
		a.Error = fmt.Sprintf("none of the %d records could be read as %s; it looks like %s", wrong.Records, h.in.Format, wrong.Looks)
		return http.StatusBadRequest, a
	case errors.Is(err, errTooLarge):
		a.Error = fmt.Sprintf("larger than %s", h.conf.Bytes)
		return http.StatusRequestEntityTooLarge, a
	default:
		a.Error = "the request could not be read to its end"
		return http.StatusBadRequest, a
	}
}

func reply(w http.ResponseWriter, status int, a answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a) // a sender that has gone does not get it
}

// capped fails once more than left bytes have come.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
