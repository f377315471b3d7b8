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
	"slices"
	"strconv"
	"syscall"
	"time"

	"bartizan/internal/model"
)

// ErrNoNode is wrapped by every Client error that means that no node answers.
var ErrNoNode = errors.New("no node is running here")

// ErrUnanswered is wrapped by every Client error that means that a node could
// not be reached or did not finish its answer.
var ErrUnanswered = errors.New("the node did not answer")

// Client talks to a node, through its administration socket or over TCP.
type Client struct {
	where string // for messages
	base  string
	token string
	http  *http.Client
}

// NewClient makes a client for the node with this data folder.
func NewClient(data string) *Client {
	path := filepath.Join(data, SocketName)
	return &Client{where: path, base: "http://node", http: &http.Client{Transport: &http.Transport{
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

// Decisions lists decisions, newest first; at most 10,000 without a limit.
func (c *Client) Decisions(ctx context.Context, q DecisionQuery) ([]Decision, error) {
	v := url.Values{}
	set(v, "state", string(q.State))
	set(v, "target", q.Target)
	if q.All {
		v.Set("all", "true")
	}
	return list[Decision](ctx, c, "/v1/decisions", v, q.Limit)
}

// Decision asks for one decision.
func (c *Client) Decision(ctx context.Context, id string) (out Decision, err error) {
	return out, c.get(ctx, "/v1/decisions/"+url.PathEscape(id), nil, &out)
}

// Change adds, approves, rejects or removes a decision.
func (c *Client) Change(ctx context.Context, ch DecisionChange) (out Decision, err error) {
	return out, c.post(ctx, "/v1/decisions", ch, &out)
}

// Verified reports that a decision's effect was seen from outside.
func (c *Client) Verified(ctx context.Context, v Verification) (out Decision, err error) {
	return out, c.post(ctx, "/v1/verified", v, &out)
}

// Intel lists indicators, the surest first.
func (c *Client) Intel(ctx context.Context, q IntelQuery) ([]model.Indicator, error) {
	v := url.Values{}
	set(v, "type", string(q.Type))
	set(v, "value", q.Value)
	if q.MinConfidence > 0 {
		v.Set("min", strconv.FormatFloat(q.MinConfidence, 'g', -1, 64))
	}
	return list[model.Indicator](ctx, c, "/v1/intel", v, q.Limit)
}

// Signals lists signals, newest last: the newest that fit under the limit.
func (c *Client) Signals(ctx context.Context, q SignalQuery) ([]model.Signal, error) {
	v := url.Values{}
	setTime(v, "since", q.Since)
	set(v, "actor", q.Actor)
	set(v, "kind", q.Kind)
	out, err := list[model.Signal](ctx, c, "/v1/signals", v, q.Limit)
	slices.Reverse(out)
	return out, err
}

// Audit lists audit records, newest last.
func (c *Client) Audit(ctx context.Context, q AuditQuery) ([]AuditRecord, error) {
	v := url.Values{}
	setTime(v, "since", q.Since)
	set(v, "actor", q.Actor)
	set(v, "operation", q.Operation)
	set(v, "result", q.Result)
	out, err := list[AuditRecord](ctx, c, "/v1/audit", v, q.Limit)
	slices.Reverse(out)
	return out, err
}

// Tokens lists all tokens.
func (c *Client) Tokens(ctx context.Context) ([]TokenInfo, error) {
	var p Page[TokenInfo]
	err := c.get(ctx, "/v1/tokens", nil, &p)
	return p.Items, err
}

// CreateToken makes a token.
func (c *Client) CreateToken(ctx context.Context, q TokenRequest) (out NewToken, err error) {
	return out, c.post(ctx, "/v1/tokens", q, &out)
}

// RevokeToken ends a token, by its id or name.
func (c *Client) RevokeToken(ctx context.Context, idOrName string) (out TokenInfo, err error) {
	return out, c.call(ctx, http.MethodDelete, "/v1/tokens/"+url.PathEscape(idOrName), nil, &out)
}

// maxAll is how many items a list has that was asked for without a limit.
const maxAll = 10_000

// list fetches pages until there are limit items.
func list[T any](ctx context.Context, c *Client, path string, v url.Values, limit int) ([]T, error) {
	if limit <= 0 {
		limit = maxAll
	}
	all := []T{}
	for {
		v.Set("limit", strconv.Itoa(min(limit-len(all), maxPage)))
		var p Page[T]
		if err := c.get(ctx, path, v, &p); err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if p.Next == "" || len(all) >= limit {
			return all, nil
		}
		v.Set("cursor", p.Next)
	}
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
func (c *Client) Lease(ctx context.Context, q LeaseRequest) (l Lease, end func(), err error) {
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
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(in))
	if err != nil {
		return nil, err
	}
	if len(in) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	switch {
	case err != nil:
		return nil, c.unreachable(err)
	case resp.StatusCode < 300:
		return resp, nil
	}
	defer resp.Body.Close()
	var p struct {
		Problem
		statementPlace
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p); err != nil || p.Detail == "" {
		return nil, fmt.Errorf("ask the node: %s", resp.Status)
	}
	for _, e := range p.Errors {
		p.Detail += fmt.Sprintf("; %s: %s", e.Location, e.Message)
	}
	kind := map[int]error{
		http.StatusNotFound: ErrNotFound, http.StatusConflict: ErrRefused, http.StatusUnauthorized: ErrDenied, http.StatusForbidden: ErrDenied,
		http.StatusBadRequest: ErrInput, http.StatusUnprocessableEntity: ErrInput, http.StatusRequestEntityTooLarge: ErrInput,
	}[resp.StatusCode]
	if kind == nil {
		return nil, errors.New(p.Detail)
	}
	return nil, &remoteError{p.Detail, kind, resp.StatusCode, p.statementPlace}
}

// unreachable says what to do about a node that did not answer.
func (c *Client) unreachable(err error) error {
	switch local := c.base == "http://node"; {
	case local && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)):
		return fmt.Errorf("%w: nothing answers at %s; start it with \"bartizan up\", or name its data folder with --data", ErrNoNode, c.where)
	case local && errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w that you may talk to: %s belongs to another user; run this as the node's user or root", ErrNoNode, c.where)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nothing answers at %s; \"bartizan status\" on the node's host says where its API listens", ErrNoNode, c.where)
	}
	return fmt.Errorf("ask the node: %w: %w", ErrUnanswered, err)
}

// remoteError keeps the node's words and the kind of error.
type remoteError struct {
	text   string
	kind   error
	status int
	place  statementPlace
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

func set(v url.Values, k, s string) {
	if s != "" {
		v.Set(k, s)
	}
}

func setTime(v url.Values, k string, t time.Time) {
	if !t.IsZero() {
		v.Set(k, t.UTC().Format(time.RFC3339Nano))
	}
}
