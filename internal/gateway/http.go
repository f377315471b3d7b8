package gateway

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// plainPath tells whether a request's path says one thing to everybody: no dot
// segments, no doubled slashes, nothing escaped that has a meaning when it is not.
func plainPath(r *http.Request) bool {
	p := r.URL.Path
	if p == "" || p[0] != '/' || r.URL.Scheme != "" && r.URL.Host != "" && r.Method == http.MethodConnect {
		return false
	}
	if c := path.Clean(p); c != p && c+"/" != p {
		return false
	}
	if r.URL.RawPath == "" && unescaped(p) {
		return true
	}
	raw := strings.ToLower(r.URL.EscapedPath())
	if arnPath.MatchString(raw) {
		return true // its route must be of Bedrock: see admit
	}
	return !strings.Contains(raw, "%2f") && !strings.Contains(raw, "%5c") && !strings.Contains(raw, "%2e") && !strings.Contains(raw, "%25") && !strings.Contains(raw, "%00") && !strings.Contains(p, "\\")
}

// unescaped tells whether a path that came in its usual form has nothing that is escaped.
func unescaped(p string) bool {
	for i := range len(p) {
		switch c := p[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '/', c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}

// arnPath is a path of Bedrock whose model is an ARN (arn:aws:bedrock:REGION:ACCOUNT:inference-profile/NAME): SDKs escape
// the slash in it, because it is a part of one segment. In lower case.
var arnPath = regexp.MustCompile(`^(?:/[a-z0-9_-]+)*/model/arn(?::|%3a)(?:[a-z0-9_-]|[:.]|%3a|%2f)+/(?:converse|converse-stream|invoke|invoke-with-response-stream|count-tokens)$`)

// escapedSlash tells whether a path has one.
func escapedSlash(r *http.Request) bool {
	return strings.Contains(strings.ToLower(r.URL.RawPath), "%2f")
}

// keyHeaders are where clients of the formats put their key; none of them is forwarded.
var keyHeaders = []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "X-Amz-Security-Token"}

// clientKey is the key a client sent, wherever its SDK puts it.
func clientKey(r *http.Request) string {
	for _, name := range keyHeaders[:4] {
		v := r.Header.Get(name)
		if v == "" {
			continue
		}
		switch scheme, rest, ok := strings.Cut(v, " "); {
		case ok && strings.EqualFold(scheme, "bearer"):
			v = strings.TrimSpace(rest)
		case ok && strings.HasPrefix(scheme, "AWS4-"): // signed: only the id of the key is in it
			_, rest, _ = strings.Cut(rest, "Credential=")
			v, _, _ = strings.Cut(rest, "/")
		}
		return v
	}
	if strings.Contains(r.URL.RawQuery, "key=") {
		return r.URL.Query().Get("key")
	}
	if strings.Contains(r.URL.RawQuery, "X-Amz-Credential=") {
		id, _, _ := strings.Cut(r.URL.Query().Get("X-Amz-Credential"), "/")
		return id
	}
	return ""
}

// peerOf is the address of the client: the connection's, or what trusted proxies
// in front of it say, read from the right until the first that is not one of them.
func (g *Gateway) peerOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	peer := ap.Addr().Unmap().WithZone("")
	trusted := func(a netip.Addr) bool {
		return slices.ContainsFunc(g.opt.Config.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if !trusted(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break // what stands left of nonsense is nobody's word
		}
		if peer = a.Unmap().WithZone(""); !trusted(peer) {
			break
		}
	}
	return peer
}

// readBody reads the request within its bounds. Only what can be looked into is taken.
func (x *exchange) readBody() ([]byte, error) {
	r, limit := x.r, int64(x.route.Body)
	tooLarge := &refusal{status: 413, code: "too_large", message: "the request is larger than this route allows (" + x.route.Body.String() + ")", outcome: Refused}
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	if c := r.Header.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		return nil, &refusal{status: 415, code: "compressed", message: "compressed requests are not taken: send the body as it is", outcome: Refused}
	}
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	_ = x.rc.SetReadDeadline(x.start.Add(x.route.Timeouts.Body.D()))
	var body []byte
	var err error
	if n := r.ContentLength; n > 0 {
		body = make([]byte, 0, min(n, 1<<20)) // the rest when it really comes
		body, err = readInto(body, r.Body, n)
	} else {
		body, err = readInto(nil, r.Body, limit+1)
	}
	_ = x.rc.SetReadDeadline(time.Time{})
	switch {
	case int64(len(body)) > limit:
		return nil, tooLarge
	case err != nil && x.r.Context().Err() != nil:
		return nil, &refusal{status: 400, code: "client_gone", message: "the request did not end", outcome: Abandoned}
	case err != nil:
		return nil, &refusal{status: 400, code: "incomplete", message: "the request did not come whole or in time", reason: clean(err.Error(), 200), outcome: Refused}
	}
	// Another character set would be other text to the upstream than to the gateway (RFC 8259 §8.1 has one).
	if kinds := r.Header["Content-Type"]; len(kinds) != 1 || !jsonType(kinds[0]) {
		return nil, &refusal{status: 415, code: "not_json", message: "the gateway looks into JSON in UTF-8 only: send Content-Type: application/json", outcome: Refused}
	}
	if !utf8.Valid(body) {
		return nil, &refusal{status: 400, code: "not_utf8", message: "the request is not valid UTF-8", outcome: Refused}
	}
	return body, nil
}

// jsonType tells whether a Content-Type is JSON, in UTF-8 where it says one.
func jsonType(s string) bool {
	if s == "application/json" {
		return true
	}
	kind, with, err := mime.ParseMediaType(s)
	return err == nil && kind == "application/json" && (with["charset"] == "" || strings.EqualFold(with["charset"], "utf-8"))
}

// readInto appends at most n bytes of r.
func readInto(b []byte, r io.Reader, n int64) ([]byte, error) {
	for int64(len(b)) < n {
		if len(b) == cap(b) {
			b = slices.Grow(b, max(4096, len(b)))
		}
		k, err := r.Read(b[len(b):min(int64(cap(b)), n)])
		b = b[:len(b)+k]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// dropped are headers that are of one connection, tell who the client is, or would
// let it choose the account that is charged (RFC 9110 §7.6.1).
var dropped = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Expect", "Cookie", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Real-Ip", "Via", "Accept-Encoding",
	"Content-Length", "Content-Encoding", "Host", "Openai-Organization", "Openai-Project", "X-Amz-Date", "X-Amz-Content-Sha256", "Range", "If-Range",
	"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"} // another operation than the one that was looked at

// forwardable copies the headers that go on.
func forwardable(to, from http.Header) {
	named := strings.Join(from.Values("Connection"), ",")
	for name, values := range from {
		if slices.Contains(dropped, name) || slices.Contains(keyHeaders, name) || named != "" && names(named, name) {
			continue
		}
		to[name] = values
	}
}

// names tells whether a Connection header names a header.
func names(list, name string) bool {
	for s := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(s), name) {
			return true
		}
	}
	return false
}

// answerable copies the headers of an answer that go to the client.
func answerable(to, from http.Header) {
	named := strings.Join(from.Values("Connection"), ",")
	for name, values := range from {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Authenticate", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Content-Encoding", "Set-Cookie",
			"Bartizan-Exchange", "Alt-Svc", "Strict-Transport-Security":
			continue
		}
		if named == "" || !names(named, name) {
			to[name] = values
		}
	}
}
