package mcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// listen opens the stream of the older transport and waits for the address for messages,
// which has to be the server's own: nobody is sent elsewhere.
func (r *remote) listen() error {
	req, err := r.request(r.ctx, http.MethodGet, r.server.URL, nil)
	if err != nil {
		return errors.New("its address cannot be used")
	}
	req.Header.Set("Accept", "text/event-stream")
	late := time.AfterFunc(r.gate.conf.Limits.Answer.D(), func() { r.stop(errors.New("it names no address for messages")) })
	defer late.Stop()
	resp, err := r.client.Do(req)
	if err != nil {
		return errors.New(reason(err))
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		_ = resp.Body.Close()
		return fmt.Errorf("it answered with status %d and %.60q, not with a stream of events", resp.StatusCode, kind)
	}
	in := newEvents(resp.Body, int(r.gate.conf.Limits.Message))
	for r.address = ""; r.address == ""; {
		e, err := in.next()
		if err == nil && e.name == "endpoint" {
			r.address, err = ownAddress(r.server.URL, string(e.data))
		}
		if err != nil {
			_ = resp.Body.Close()
			if why := context.Cause(r.ctx); why != nil {
				return why
			}
			return errors.New(reason(err))
		}
	}
	r.work.Go(func() {
		defer resp.Body.Close()
		_, _, err := r.readFrom(in)
		r.stop(fmt.Errorf("its stream ended: %s", reason(err)))
	})
	return nil
}

func (r *remote) readFrom(in *events) (string, time.Duration, error) {
	for {
		e, err := in.next()
		if err != nil {
			return "", 0, err
		}
		if len(bytes.TrimSpace(e.data)) > 0 && (e.name == "" || e.name == "message") {
			if err := r.came(oneLine(e.data)); err != nil {
				return "", 0, err
			}
		}
	}
}

// ownAddress is an address of the same server.
func ownAddress(base, said string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", errors.New("its address cannot be read")
	}
	u, err := b.Parse(strings.TrimSpace(said))
	if err != nil || len(said) > 4096 {
		return "", errors.New("the address that it names for messages cannot be read")
	}
	if u.Scheme != b.Scheme || !strings.EqualFold(u.Host, b.Host) || u.User != nil {
		return "", fmt.Errorf("it names an address at %.60q for messages, which is not its own", u.Host)
	}
	return u.String(), nil
}
