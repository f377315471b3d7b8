// Package hec posts events to an HTTP Event Collector: Splunk's, or one of the
// many receivers that speak the same (Cribl, Vector, Fluent Bit, Datadog,
// CrowdStrike LogScale). Protocol: "Format events for HTTP Event Collector",
// Splunk documentation.
package hec

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/export"
	"bartizan/internal/export/trust"
	"bartizan/internal/safe"
)

// Config of the sink.
type Config struct {
	URL     string        `yaml:"url"`     // without a path: /services/collector/event
	Token   conf.Secret   `yaml:"token"`   // sent as "Authorization: Splunk TOKEN"
	CA      string        `yaml:"ca"`      // file with the certificates to trust; empty: the system's
	Gzip    bool          `yaml:"gzip"`    //
	Timeout conf.Duration `yaml:"timeout"` // of one request
	Batch   conf.Bytes    `yaml:"batch"`   // most bytes in one request, before compression
	Index   string        `yaml:"index"`   // empty: the token's default
	Host    string        `yaml:"host"`    // of the events; empty: this machine's name
}

// Default compresses and stays under the 1 MiB that receivers commonly take.
func Default() Config {
	return Config{Gzip: true, Timeout: conf.Duration(30 * time.Second), Batch: 800 << 10}
}

const defaultPath = "/services/collector/event"

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("url %.200q must be http://… or https://… with a host", safe.Clean(c.URL, 200))
	case u.User != nil:
		return errors.New("url must not carry a user or password: use token")
	case c.Timeout <= 0:
		return errors.New("timeout must be longer than nothing")
	case c.Batch < 1<<10:
		return errors.New("batch must be at least 1KiB")
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
	if u.Path == "" || u.Path == "/" {
		u.Path = defaultPath
	}
	if c.Host == "" {
		if c.Host, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("find host name: %w; set host", err)
		}
	}
	known, err := trust.Config(c.CA)
	if err != nil {
		return nil, err
	}
	return &sink{conf: c, url: u.String(), client: &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: known, MaxIdleConns: 2, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token is for one receiver
	}}, nil
}

type sink struct {
	conf   Config
	url    string
	client *http.Client
	body   bytes.Buffer
	packed bytes.Buffer
}

// envelope is what the collector wants around an event.
type envelope struct {
	Time       json.RawMessage `json:"time"` // seconds with milliseconds
	Host       string          `json:"host"`
	Source     string          `json:"source"`
	Sourcetype string          `json:"sourcetype"`
	Index      string          `json:"index,omitempty"`
	Event      json.RawMessage `json:"event"`
}

// Send implements export.Sink: as many requests as the size of a batch needs.
func (s *sink) Send(ctx context.Context, events []export.Event) (left int, err error) {
	for len(events) > 0 {
		n, err := s.fill(events)
		if err != nil {
			return left, err
		}
		over, err := s.post(ctx, events[:n])
		if err != nil {
			return left, err
		}
		left += over
		events = events[n:]
	}
	return left, nil
}

// fill puts events into the body until it is full, at least one.
func (s *sink) fill(events []export.Event) (n int, err error) {
	s.body.Reset()
	out := json.NewEncoder(&s.body)
	out.SetEscapeHTML(false) // the event is passed on as it is
	for ; n < len(events); n++ {
		e, before := &events[n], s.body.Len()
		err := out.Encode(envelope{
			Time: json.RawMessage(strconv.FormatFloat(float64(e.Time.UnixMilli())/1000, 'f', 3, 64)), Host: s.conf.Host,
			Source: "bartizan", Sourcetype: "ocsf:" + e.Class, Index: s.conf.Index, Event: e.JSON,
		})
		if err != nil {
			return 0, fmt.Errorf("wrap event: %w", err)
		}
		if n > 0 && s.body.Len() > int(s.conf.Batch) {
			s.body.Truncate(before)
			break
		}
	}
	return n, nil
}

// post sends the body. Events that are too many for the receiver are halved; one
// alone that is too large can never be taken.
func (s *sink) post(ctx context.Context, events []export.Event) (left int, err error) {
	code, err := s.request(ctx)
	if code != http.StatusRequestEntityTooLarge {
		return 0, err
	}
	if len(events) == 1 {
		return 1, nil
	}
	for _, half := range [][]export.Event{events[:len(events)/2], events[len(events)/2:]} {
		n, err := s.Send(ctx, half)
		left += n
		if err != nil {
			return left, err
		}
	}
	return left, nil
}

func (s *sink) request(ctx context.Context) (code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.conf.Timeout.D())
	defer cancel()
	body := s.body.Bytes()
	if s.conf.Gzip {
		s.packed.Reset()
		z := gzip.NewWriter(&s.packed)
		if _, err := z.Write(body); err != nil {
			return 0, fmt.Errorf("compress: %w", err)
		}
		if err := z.Close(); err != nil {
			return 0, fmt.Errorf("compress: %w", err)
		}
		body = s.packed.Bytes()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("make request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	if s.conf.Gzip {
		r.Header.Set("Content-Encoding", "gzip")
	}
	if s.conf.Token.IsSet() {
		r.Header.Set("Authorization", "Splunk "+s.conf.Token.Reveal())
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return 0, fmt.Errorf("post events: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return 0, fmt.Errorf("post events: read answer: %w", err)
	}
	return resp.StatusCode, judge(resp, answer)
}

// judge reads the collector's answer: {"text":"Success","code":0} with status
// 200. Receivers that only imitate it may answer with another body, but none with a
// page: that is a login or a proxy, which keeps no event.
func judge(resp *http.Response, answer []byte) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		var a struct {
			Text string `json:"text"`
			Code int    `json:"code"`
		}
		if json.Unmarshal(answer, &a) == nil && a.Code != 0 {
			return fmt.Errorf("post events: the collector answers code %d: %s", a.Code, safe.Clean(a.Text, 200))
		}
		if bytes.HasPrefix(bytes.TrimSpace(answer), []byte("<")) {
			return fmt.Errorf("post events: a web page answers, no collector of events: check url, which has the collector's port and path: %s", safe.Clean(string(answer), 100))
		}
		return nil
	}
	said := safe.Clean(string(answer), 200)
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode/100 == 3 {
		said = "it names " + safe.Clean(to, 200) + ", and redirects are not followed: if that is the collector, set url to it"
	}
	err := fmt.Errorf("post events: the collector answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return fmt.Errorf("%w; check the token", err)
	}
	if n, bad := strconv.Atoi(resp.Header.Get("Retry-After")); bad == nil && n > 0 {
		return &export.LaterError{After: time.Duration(min(n, 3600)) * time.Second, Err: err}
	}
	return err
}

// Close implements export.Sink.
func (s *sink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}
