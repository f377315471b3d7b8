package ocsf

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"bartizan/internal/observe"
)

// HTTP is a request: HTTP Activity. The method of a request that OCSF 1.8 has
// no number for is the activity's name.
type HTTP struct {
	Event
	Network
	Request  HTTPRequest  `json:"http_request" parquet:"http_request"`
	Response HTTPResponse `json:"http_response,omitzero" parquet:"http_response"`
	Unmapped HTTPUnmapped `json:"unmapped" parquet:"unmapped"`
}

// HTTPRequest is OCSF's http_request object.
type HTTPRequest struct {
	Method     string   `json:"http_method,omitzero" parquet:"http_method,optional,dict"`
	URL        URL      `json:"url" parquet:"url"`
	UserAgent  string   `json:"user_agent,omitzero" parquet:"user_agent,optional,dict"`
	Version    string   `json:"version,omitzero" parquet:"version,optional,dict"`
	Headers    []Header `json:"http_headers,omitempty" parquet:"http_headers,list"`
	BodyLength int64    `json:"body_length,omitzero" parquet:"body_length"`
}

// Header is OCSF's http_header object.
type Header struct {
	Name  string `json:"name" parquet:"name,dict"`
	Value string `json:"value" parquet:"value,dict"`
}

// HTTPResponse is OCSF's http_response object; a code of 0 is none.
type HTTPResponse struct {
	Code int64 `json:"code" parquet:"code,optional,dict"`
}

// HTTPUnmapped is what OCSF has no attribute for.
type HTTPUnmapped struct {
	Place
	Body []byte `json:"body,omitempty" parquet:"body,optional"` // beginning of the request's body
	Lure string `json:"lure,omitzero" parquet:"lure,optional,dict"`
}

// methods in the order of OCSF 1.8's activity_id, from 1.
var methods = [...]string{"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE", "PATCH"}

// FromObservation implements ObservationRow.
func (r *HTTP) FromObservation(m *Mapper, o *observe.Observation) {
	h := o.HTTP
	method := int32(slices.Index(methods[:], h.Method)) + 1
	r.head(m, classHTTP, method, o.Time, onlyTime)
	r.Metadata.CorrelationUID = m.sessionText(o.Session)
	r.Network.set(m, o)
	q := &r.Request
	*q = HTTPRequest{Version: text(h.Proto), UserAgent: text(h.Header("User-Agent")), BodyLength: h.BodyLen, Headers: slices.Grow(q.Headers[:0], len(h.Headers))}
	switch {
	case method > 0:
		q.Method = methods[method-1]
	case h.Method != "":
		r.other(text(h.Method))
	}
	for i := range h.Headers {
		q.Headers = append(q.Headers, Header{text(h.Headers[i].Name), text(h.Headers[i].Value)})
	}
	q.URL = targetURL(text(h.Target), text(h.Host))
	q.URL.Scheme = "http"
	if h.TLS {
		q.URL.Scheme = "https"
	}
	r.Response.Code = int64(h.Status)
	r.Unmapped.setPlace(m, o)
	r.Unmapped.Body, r.Unmapped.Lure = h.Body, text(h.Lure)
}

// Observation implements ObservationRow.
func (r *HTTP) Observation() (observe.Observation, error) {
	o, err := r.observation(observe.KindHTTP, &r.Unmapped.Place, r.SrcEndpoint, r.DstEndpoint)
	q := &r.Request
	h := &observe.HTTPRequest{Method: q.Method, Target: q.URL.target(), Host: q.URL.host(), Proto: q.Version, BodyLen: q.BodyLength,
		Body: bytesOrNil(r.Unmapped.Body), Lure: r.Unmapped.Lure, Status: int(r.Response.Code), TLS: q.URL.Scheme == "https"}
	if r.ActivityID == activityOther {
		h.Method = r.ActivityName
	}
	for _, f := range q.Headers {
		h.Headers = append(h.Headers, observe.Field{Name: f.Name, Value: f.Value})
	}
	o.HTTP = h
	return o, err
}

// targetURL splits a request target and the Host field so that target and host
// give back exactly what came in.
func targetURL(target, host string) (u URL) {
	u.Path = target
	if strings.Contains(target, "://") && target[0] != '/' { // absolute form, as asked of a proxy
		u = wholeURL(target)
	}
	u.Hostname, u.Port = splitHost(host)
	if u.URLString != "" {
		return u
	}
	// An empty query stays with the path: "/a?" and "/a" are two targets.
	if path, query, ok := strings.Cut(target, "?"); ok && query != "" {
		u.Path, u.QueryString = path, query
	}
	return u
}

func (u *URL) target() string {
	switch {
	case u.URLString != "":
		return u.URLString
	case u.QueryString == "":
		return u.Path
	}
	return u.Path + "?" + u.QueryString
}

func (u *URL) host() string {
	if u.Port == 0 {
		return u.Hostname
	}
	return u.Hostname + ":" + strconv.Itoa(int(u.Port))
}

// splitHost takes the port off when it is written the usual way.
func splitHost(host string) (string, int32) {
	i := strings.LastIndexByte(host, ':')
	if i < 0 {
		return host, 0
	}
	port, err := strconv.Atoi(host[i+1:])
	if err != nil || port < 1 || port > math.MaxUint16 || strconv.Itoa(port) != host[i+1:] {
		return host, 0
	}
	return host[:i], int32(port) //nolint:gosec // at most 65535
}

// wholeURL keeps a URL as it was written and adds its parts for searches; the
// parts are never put together again.
func wholeURL(s string) URL {
	u := URL{URLString: s}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	}
	rest, _, _ = strings.Cut(rest, "#")
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	u.Scheme = strings.ToLower(scheme)
	u.Hostname, u.Port = splitHost(strings.ToLower(authority))
	u.Path, u.QueryString, _ = strings.Cut(path, "?")
	return u
}
