package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"bartizan/internal/model"
)

// ErrNoNode is wrapped by every Client error that means that no node answers.
var ErrNoNode = errors.New("no node is running here")

// Client talks to a node through its administration socket.
type Client struct {
	data string
	http *http.Client
}

// NewClient makes a client for the node with this data folder.
func NewClient(data string) *Client {
	path := filepath.Join(data, SocketName)
	return &Client{data: data, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}}
}

// Status asks for the node's status.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.get(ctx, "/v1/status", nil, &s)
}

// Decisions lists decisions.
func (c *Client) Decisions(ctx context.Context, q DecisionQuery) (out []Decision, err error) {
	v := url.Values{}
	set(v, "state", string(q.State))
	set(v, "target", q.Target)
	if q.All {
		v.Set("all", "true")
	}
	setInt(v, "limit", q.Limit)
	return out, c.get(ctx, "/v1/decisions", v, &out)
}

// Change adds, approves, rejects or removes a decision.
func (c *Client) Change(ctx context.Context, ch DecisionChange) (out Decision, err error) {
	return out, c.post(ctx, "/v1/decisions", ch, &out)
}

// Verified reports that a decision's effect was seen from outside.
func (c *Client) Verified(ctx context.Context, v Verification) (out Decision, err error) {
	return out, c.post(ctx, "/v1/verified", v, &out)
}

// Intel lists indicators.
func (c *Client) Intel(ctx context.Context, q IntelQuery) (out []model.Indicator, err error) {
	v := url.Values{}
	set(v, "type", string(q.Type))
	set(v, "value", q.Value)
	if q.MinConfidence > 0 {
		v.Set("min", strconv.FormatFloat(q.MinConfidence, 'g', -1, 64))
	}
	setInt(v, "limit", q.Limit)
	return out, c.get(ctx, "/v1/intel", v, &out)
}

// Signals lists signals.
func (c *Client) Signals(ctx context.Context, q SignalQuery) (out []model.Signal, err error) {
	v := url.Values{}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	set(v, "actor", q.Actor)
	set(v, "kind", q.Kind)
	setInt(v, "limit", q.Limit)
	return out, c.get(ctx, "/v1/signals", v, &out)
}

// Why asks for the chain behind an id or an entity.
func (c *Client) Why(ctx context.Context, id string) (out Why, err error) {
	return out, c.get(ctx, "/v1/why", url.Values{"id": {id}}, &out)
}

// Evidence fetches stored bytes by their SHA-256.
func (c *Client) Evidence(ctx context.Context, sha string) ([]byte, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/evidence/"+url.PathEscape(sha), nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, 64<<20))
}

// Replay asks what another policy would have done.
func (c *Client) Replay(ctx context.Context, q ReplayRequest) (out Replay, err error) {
	return out, c.post(ctx, "/v1/replay", q, &out)
}

// Lease gets a drill lease and holds it until the returned function is called,
// the process ends, or the lease runs out.
func (c *Client) Lease(ctx context.Context, q LeaseRequest) (l model.Lease, end func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	b, err := json.Marshal(q)
	if err != nil {
		cancel()
		return l, nil, err
	}
	resp, err := c.do(ctx, http.MethodPost, "/v1/lease", b)
	if err != nil {
		cancel()
		return l, nil, err
	}
	if err := json.NewDecoder(resp.Body).Decode(&l); err != nil {
		cancel()
		resp.Body.Close()
		return l, nil, fmt.Errorf("read lease: %w", err)
	}
	return l, func() {
		cancel()
		resp.Body.Close()
	}, nil
}

// Metrics fetches the node's metrics as Prometheus text.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) {
	resp, err := c.do(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, 16<<20))
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) get(ctx context.Context, path string, q url.Values, out any) error {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return c.call(ctx, http.MethodGet, path, nil, out)
}

func (c *Client) post(ctx context.Context, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, path, b, out)
}

func (c *Client) call(ctx context.Context, method, path string, in []byte, out any) error {
	resp, err := c.do(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the node's answer: %w", err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, in []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+path, bytes.NewReader(in))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: nothing answers at %s; start it with \"bartizan up\", or name its data folder with --data", ErrNoNode, filepath.Join(c.data, SocketName))
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w that you may talk to: %s belongs to another user; run this as the node's user or root", ErrNoNode, filepath.Join(c.data, SocketName))
	case err != nil:
		return nil, fmt.Errorf("ask the node: %w", err)
	case resp.StatusCode < 300:
		return resp, nil
	}
	defer resp.Body.Close()
	var p Problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p); err != nil || p.Detail == "" {
		return nil, fmt.Errorf("ask the node: %s", resp.Status)
	}
	switch resp.StatusCode {
	case http.StatusNotFound:
		return nil, &remoteError{p.Detail, ErrNotFound}
	case http.StatusConflict:
		return nil, &remoteError{p.Detail, ErrRefused}
	case http.StatusBadRequest:
		return nil, &remoteError{p.Detail, ErrInput}
	}
	return nil, errors.New(p.Detail)
}

// remoteError keeps the node's words and the kind of error.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

func set(v url.Values, k, s string) {
	if s != "" {
		v.Set(k, s)
	}
}

func setInt(v url.Values, k string, n int) {
	if n > 0 {
		v.Set(k, strconv.Itoa(n))
	}
}
