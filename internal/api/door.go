package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/api/limit"
	"bartizan/internal/api/token"
	"bartizan/internal/model"
	"bartizan/internal/obs"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests, failures, limited, dropped, unaudited *prometheus.CounterVec
	streams                                         *prometheus.GaugeVec
}

func newMetrics(m *obs.Metrics) metrics {
	return metrics{
		requests:  m.Counter("api_requests_total", "Requests to the HTTP API by class of status.", "status"),
		failures:  m.Counter("api_auth_failures_total", "Requests without a valid token."),
		limited:   m.Counter("api_limited_total", "What was refused for its rate or number.", "limit"),
		dropped:   m.Counter("api_streams_dropped_total", "Event streams ended by the node.", "reason"),
		unaudited: m.Counter("api_unaudited_total", "Audit records that could not be stored."),
		streams:   m.Gauge("api_streams", "Open event streams."),
	}
}

// Problem is the one shape of errors (RFC 9457).
type Problem struct {
	Type     string         `json:"type"`
	Title    string         `json:"title"`
	Status   int            `json:"status"`
	Detail   string         `json:"detail"`
	Instance string         `json:"instance,omitempty"` // urn:bartizan:request:ID
	Errors   []ProblemField `json:"errors,omitempty"`
}

// ProblemField is one mistake of a request and its place, such as body.reason.
type ProblemField struct {
	Message  string `json:"message,omitempty"`
	Location string `json:"location,omitempty"`
}

const requestURN = "urn:bartizan:request:"

// problem answers with an error outside of an operation.
func problem(w http.ResponseWriter, r *http.Request, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	p := Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Instance: requestURN + requestOf(r.Context()).String()}
	_ = json.NewEncoder(w).Encode(p) // the client has gone when this fails
}

// statusWriter remembers the status for the counters.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// begin is what every request on every listener goes through first: an id,
// headers that keep browsers from doing anything with an answer, a count, and
// recovery, so that a bug in one operation costs one answer.
func (s *Server) begin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w := &statusWriter{ResponseWriter: rw}
		id := model.NewULID(time.Now())
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, id))
		h := w.Header()
		h.Set("X-Request-ID", id.String())
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		defer func() {
			if v := recover(); v != nil {
				if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(v) // net/http's own way to cut a connection
				}
				s.log.Error("BUG: an API request panicked", "request", id, "panic", obs.Quote(fmt.Append(nil, v), 200), "stack", string(debug.Stack()))
				if w.status == 0 {
					problem(w, r, http.StatusInternalServerError, "internal error; the log of the node has it under this request's id")
				}
			}
			s.metrics.requests.WithLabelValues(strconv.Itoa(w.status/100) + "xx").Inc()
		}()
		next.ServeHTTP(w, r)
	})
}

// door decides who comes in from TCP: the host they think they talk to, their
// rate, their token.
func (s *Server) door(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		problem(w, r, http.StatusForbidden, "a page of another site may not change anything here")
	}))
	inside := cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		if !s.rightHost(r.Host) {
			problem(w, r, http.StatusMisdirectedRequest, "this is not the host you mean: use an IP address, localhost, or a name listed under api.names")
			return
		}
		remote, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			problem(w, r, http.StatusBadRequest, "no remote address")
			return
		}
		key := limit.AddressKey(remote.Addr())
		if ok, wait := s.addresses.Allow(key, now); !ok {
			s.tooMany(w, r, "address", wait)
			return
		}
		if r.URL.Path == "/openapi.json" || r.URL.Path == "/openapi.yaml" {
			inside.ServeHTTP(w, r) // the same in every installation; nothing of this node is in it
			return
		}
		if spent, wait := s.failures.Spent(key, now); spent {
			s.tooMany(w, r, "authentication", wait)
			return
		}
		grant, err := s.authenticate(r, now)
		if err != nil {
			s.metrics.failures.WithLabelValues().Inc()
			s.failures.Allow(key, now)
			s.log.Debug("API caller turned away", "address", remote.Addr(), "reason", err)
			w.Header().Set("WWW-Authenticate", `Bearer realm="bartizan"`)
			problem(w, r, http.StatusUnauthorized, "a valid token is needed (Authorization: Bearer bzt_…); \"bartizan token create\" on the node's host makes one")
			return
		}
		if ok, wait := s.callers.Allow(grant.ID, now); !ok {
			s.tooMany(w, r, "token", wait)
			return
		}
		s.sessions.seen(remote.Addr(), now)
		c := caller{actor: fmt.Sprintf("token %s (%s)", grant.Name, grant.ID), scope: grant.Scope, address: remote.Addr().Unmap(), grant: grant}
		inside.ServeHTTP(w, r.WithContext(withCaller(r.Context(), c)))
	})
}

func (s *Server) authenticate(r *http.Request, now time.Time) (token.Grant, error) {
	list := r.Header.Values("Authorization")
	if len(list) != 1 {
		return token.Grant{}, token.ErrMalformed
	}
	text, err := token.Bearer(list[0])
	if err != nil {
		return token.Grant{}, err
	}
	return s.tokens.Check(text, now)
}

// rightHost: a page in a browser can make a name of its own point to this
// address and then read what the browser gets from here (DNS rebinding). It
// cannot do that with a literal address or a name we know.
func (s *Server) rightHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	return s.names[strings.ToLower(strings.TrimSuffix(name, "."))]
}

func (s *Server) tooMany(w http.ResponseWriter, r *http.Request, which string, wait time.Duration) {
	s.metrics.limited.WithLabelValues(which).Inc()
	secs := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(max(1, secs)))
	problem(w, r, http.StatusTooManyRequests, fmt.Sprintf("too many requests (limit: %s); try again in %ds", which, max(1, secs)))
}

// whole reads the body before anything is done with it: a slow sender is cut
// off, a large one is refused, and then the deadline goes, because net/http
// would take its passing for the end of the caller and cancel what it asked for.
func (s *Server) whole(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most := int64(maxRequest)
		if r.URL.Path == huntListPath {
			select {
			case s.lists <- struct{}{}:
				defer func() { <-s.lists }()
				most = maxListRequest
			default:
				w.Header().Set("Retry-After", "5")
				problem(w, r, http.StatusServiceUnavailable, "other lists are being looked for; ask again when that is done")
				return
			}
		}
		rc := http.NewResponseController(w)
		if err := rc.SetReadDeadline(time.Now().Add(bodyTime)); err != nil {
			problem(w, r, http.StatusInternalServerError, "set a deadline: "+err.Error())
			return
		}
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			problem(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", most))
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			problem(w, r, http.StatusRequestTimeout, fmt.Sprintf("the body took longer than %v", bodyTime))
			return
		case err != nil:
			problem(w, r, http.StatusBadRequest, "the body could not be read")
			return
		}
		if err := rc.SetReadDeadline(time.Time{}); err != nil {
			problem(w, r, http.StatusInternalServerError, "clear a deadline: "+err.Error())
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		next.ServeHTTP(w, r)
	})
}
