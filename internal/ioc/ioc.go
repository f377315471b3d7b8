// Package ioc reads lists of indicators of compromise that others publish: STIX 2.1 bundles, MISP events, CSV and plain
// text. Every value becomes canonical as model.ParseEntity makes it; what cannot be used is reported with its line and never
// dropped in silence. It knows nothing about what the indicators are used for, and fetches nothing.
package ioc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"bartizan/internal/model"
)

// TypeUserAgent is a User-Agent header, byte for byte: an indicator that is no entity, because it names nobody.
const TypeUserAgent model.EntityType = "user-agent"

// Caps on a list. What is over is an error: half a list looks like a whole one.
const (
	MaxBytes      = 128 << 20
	MaxIndicators = 2_000_000
	MaxProblems   = 10_000 // kept; List.Unusable counts all
	maxLine       = 64 << 10
	maxDepth      = 64
)

// Indicator is one thing to look for. Value is canonical for its Type.
type Indicator struct {
	Type  model.EntityType `json:"type"`
	Value string           `json:"value"`
	Port  uint16           `json:"port,omitempty"` // of an address listed for one port only; 0: all
	Line  int              `json:"line"`           // of the list, from 1
	Note  string           `json:"note,omitempty"` // what the list calls it, cut; hostile text
	Terms
}

// Terms are what a list says about how far it stands behind an indicator.
type Terms struct {
	Confidence float64   `json:"confidence,omitempty"` // 0–1; 0: not said
	Until      time.Time `json:"valid_until,omitzero"` // from then on it says nothing any more; zero: not said
}

// Problem is an entry that is not looked for.
type Problem struct {
	Line   int    `json:"line"`
	Text   string `json:"text"` // the entry, cut; hostile text
	Reason string `json:"reason"`
}

// List is what a file says. An indicator that occurs twice is kept once, with its first line.
type List struct {
	Format     string // stix, misp, csv, text
	Indicators []Indicator
	Problems   []Problem
	Unusable   int // how many problems there were

	take  func(*Entry) error
	taken bool  // there was an entry
	terms Terms // of the entry under way
}

// Entry is an indicator as Scan hands it out, valid until the function returns.
type Entry struct {
	Type   model.EntityType
	Prefix netip.Prefix // of an address or a prefix, as model.CanonicalPrefix makes it
	Entity model.Entity // of every other type but TypeUserAgent
	Agent  string       // of TypeUserAgent
	Port   uint16       // of an address listed for one port only; 0: all
	Line   int
	Note   string
	Terms
}

// Value is the canonical text.
func (e *Entry) Value() string {
	switch e.Type {
	case model.TypeIP:
		return model.PrefixEntity(e.Prefix).Value()
	case TypeUserAgent:
		return e.Agent
	}
	return e.Entity.Value()
}

// Read reads a list and finds out its format. The error says that it cannot be read at all.
func Read(r io.Reader) (*List, error) {
	var all []Indicator
	seen := map[Indicator]int{} // place in all, plus 1
	l, err := Scan(r, func(e *Entry) error {
		n := Indicator{Type: e.Type, Value: e.Value(), Port: e.Port}
		if at := seen[n]; at > 0 {
			all[at-1].widen(e.Terms)
			return nil
		}
		if len(all) >= MaxIndicators {
			return fmt.Errorf("line %d: more than %d indicators", e.Line, MaxIndicators)
		}
		seen[n] = len(all) + 1
		n.Line, n.Note, n.Terms = e.Line, e.Note, e.Terms
		all = append(all, n)
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.Indicators = all
	return l, nil
}

// Scan is Read without the memory for a list: it hands out what the list says
// as it comes, again when it says it again, and returns the rest of it. Text
// and CSV are read in pieces, JSON as a whole. After an error, of take too, what
// was handed out is half a list.
func Scan(r io.Reader, take func(*Entry) error) (*List, error) {
	l := &List{take: take}
	if err := l.read(&capped{r: r, left: MaxBytes}); err != nil {
		return nil, fmt.Errorf("read indicators: %w", err)
	}
	return l, nil
}

// headLen bytes must be enough to see what a list is.
const headLen = 256 << 10

var errNoText = errors.New("this is no text: give STIX or MISP JSON, CSV, or one indicator per line")

func (l *List) read(r *capped) error {
	b := bufio.NewReaderSize(r, headLen)
	if mark, _ := b.Peek(3); string(mark) == "\xef\xbb\xbf" {
		_, _ = b.Discard(3) // cannot fail: they are there
	}
	head, err := b.Peek(headLen)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return err
	}
	body := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case len(body) == 0:
		return errors.New("the list is empty")
	case body[0] == '{' || body[0] == '[':
		raw, err := io.ReadAll(b)
		if err != nil {
			return err
		}
		return l.readJSON(raw)
	case bytes.IndexByte(head, 0) >= 0:
		return errNoText
	}
	r.text = true
	return l.readLines(b, head)
}

// capped refuses what is too long, and binary files that are read as text.
type capped struct {
	r    io.Reader
	left int
	text bool
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= n; c.left < 0 {
		return 0, fmt.Errorf("more than %d MiB", MaxBytes>>20)
	}
	if c.text && bytes.IndexByte(p[:n], 0) >= 0 {
		return 0, errNoText
	}
	return n, err
}

// add takes a value of a known type.
func (l *List) add(line int, t model.EntityType, value, note string) error {
	value = Refang(strings.TrimSpace(value))
	x := Entry{Type: t, Line: line, Note: note}
	switch t {
	case TypeUserAgent:
		if value == "" || len(value) > model.MaxEntity || !utf8.ValidString(value) {
			l.problem(line, value, "an empty, overlong or undecodable user agent")
			return nil
		}
		x.Agent = value
		return l.put(&x)
	case model.TypeIP:
		if strings.Contains(value, ":") {
			if p, err := netip.ParseAddrPort(value); err == nil {
				value, x.Port = p.Addr().String(), p.Port()
			}
		}
	case model.TypeURL:
		if !strings.Contains(value, "://") {
			value = "http://" + value // lists leave it out
		}
	}
	var err error
	if x.Entity, err = model.ParseEntity(t, value); err != nil {
		l.problem(line, value, err.Error())
		return nil
	}
	if p, ok := x.Entity.Prefix(); ok {
		if x.Entity, x.Prefix = (model.Entity{}), p; tooWide(p) {
			l.problem(line, value, "a prefix this wide would match nearly everybody")
			return nil
		}
	}
	return l.put(&x)
}

// put hands out an entry.
func (l *List) put(x *Entry) error {
	x.Note, x.Terms = cutText(x.Note, 120), l.terms
	l.taken = true
	return l.take(x)
}

// address reads what most lists consist of, an address or a prefix alone, the
// way add would, without its detours. What it does not read is for add.
func address(s string) (netip.Prefix, bool) {
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= ':' || c == '.' || c == '/' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return netip.Prefix{}, false
		}
	}
	if strings.IndexByte(s, '/') < 0 {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, false
		}
		p := model.CanonicalPrefix(model.ActorPrefix(a))
		return p, p.IsValid()
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || tooWide(model.CanonicalPrefix(p)) {
		return netip.Prefix{}, false
	}
	return model.CanonicalPrefix(p), true
}

// widen takes the further terms of an indicator that occurs again: the surest and the longest.
func (t *Terms) widen(o Terms) {
	t.Confidence = max(t.Confidence, o.Confidence)
	if o.Until.IsZero() || !t.Until.IsZero() && o.Until.After(t.Until) {
		t.Until = o.Until
	}
}

// parseTerms reads a confidence, of 100 or of 1, and a time, as lists write
// them; what cannot be read is reported, because an indicator without its end
// would live for ever.
func (l *List) parseTerms(line int, confidence, until string) (t Terms, ok bool) {
	if confidence = strings.TrimSuffix(strings.TrimSpace(confidence), "%"); confidence != "" {
		v, err := strconv.ParseFloat(confidence, 64)
		if err != nil || !(v >= 0 && v <= 100) {
			l.problem(line, confidence, "a confidence is a number from 0 to 1, or up to 100")
			return t, false
		}
		if v > 1 {
			v /= 100
		}
		t.Confidence = v
	}
	if until = strings.TrimSpace(until); until == "" {
		return t, true
	}
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateTime, "2006-01-02 15:04:05 MST", time.DateOnly} {
		if at, err := time.Parse(layout, until); err == nil {
			t.Until = at.UTC()
			return t, true
		}
	}
	if n, err := strconv.ParseInt(until, 10, 64); err == nil && n > 0 && n < 1<<40 {
		t.Until = time.Unix(n, 0).UTC()
		return t, true
	}
	l.problem(line, until, "the time of its end is not understood; write 2026-01-02T15:04:05Z")
	return t, false
}

// tooWide: nobody means a quarter of the Internet.
func tooWide(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < 8
	}
	return p.Bits() < 16
}

func (l *List) problem(line int, text, reason string) {
	l.Unusable++
	if len(l.Problems) < MaxProblems {
		l.Problems = append(l.Problems, Problem{Line: line, Text: cutText(text, 120), Reason: cutText(reason, 240)})
	}
}

func cutText(s string, max int) string {
	if s == "" {
		return ""
	}
	s = strings.ToValidUTF8(s, "?")
	if r := []rune(s); len(r) > max {
		return string(r[:max-1]) + "…"
	}
	return s
}

// Refang undoes how people write indicators so that nobody clicks them: hxxp://, [.], (.), [:], [at].
func Refang(s string) string {
	if strings.ContainsAny(s, "[({") {
		s = refanger().Replace(s)
	}
	if len(s) > 4 && strings.EqualFold(s[:4], "hxxp") {
		s = "http" + s[4:]
	}
	return s
}

func refanger() *strings.Replacer {
	return strings.NewReplacer("[.]", ".", "(.)", ".", "{.}", ".", "[dot]", ".", "(dot)", ".", "[:]", ":", "[://]", "://", "[/]", "/")
}

// guess says what an untyped value is; "" when it is nothing that is known.
func guess(value string) (model.EntityType, string) {
	v := Refang(strings.TrimSpace(value))
	switch {
	case v == "":
		return "", "empty"
	case strings.Contains(v, "://"):
		return model.TypeURL, ""
	case isIP(v):
		return model.TypeIP, ""
	case isHex(v) && len(v) == 64:
		return model.TypeSHA256, ""
	case isHex(v) && len(v) == 40:
		return model.TypeSHA1, ""
	case isHex(v) && len(v) == 32: // JA3 and HASSH have this form too, and are rarely listed without their names
		return model.TypeMD5, ""
	case isJA4(v):
		return model.TypeJA4, ""
	case strings.Contains(v, ".") && !strings.ContainsAny(v, " \t/\\@"):
		return model.TypeDomain, ""
	case isAccessKey(v):
		return model.TypeAccessKey, ""
	}
	return "", "neither address, domain, URL, MD5, SHA-1, SHA-256, JA4 nor access key; write type:value"
}

func isIP(v string) bool {
	if _, err := netip.ParseAddr(v); err == nil {
		return true
	}
	if _, err := netip.ParseAddrPort(v); err == nil {
		return true
	}
	_, err := netip.ParsePrefix(v)
	return err == nil
}

func isHex(v string) bool { return strings.Trim(v, "0123456789abcdefABCDEF") == "" }

// isJA4 knows the form a_b_c: ten characters, twelve hex digits, twelve hex digits.
func isJA4(v string) bool {
	p := strings.Split(v, "_")
	return len(p) == 3 && len(p[0]) == 10 && len(p[1]) == 12 && len(p[2]) == 12 && isHex(p[1]) && isHex(p[2]) && strings.ContainsAny(p[0][:1], "tqd")
}

// isAccessKey knows identifiers of AWS keys (AKIA, ASIA, 20 characters).
func isAccessKey(v string) bool {
	return len(v) == 20 && (strings.HasPrefix(v, "AKIA") || strings.HasPrefix(v, "ASIA")) && strings.ToUpper(v) == v
}

// typeNamed reads the names that lists use for types, in any spelling.
func typeNamed(name string) (model.EntityType, bool) {
	switch strings.NewReplacer("_", "-", " ", "-").Replace(strings.ToLower(strings.TrimSpace(name))) {
	case "ip", "ipv4", "ipv6", "ipv4-addr", "ipv6-addr", "ip-src", "ip-dst", "address", "cidr", "prefix", "ip-range":
		return model.TypeIP, true
	case "ipv4-port", "ipv6-port", "ip-port", "ip:port":
		return model.TypeIP, true
	case "domain", "hostname", "host", "domain-name", "fqdn":
		return model.TypeDomain, true
	case "url", "uri", "link":
		return model.TypeURL, true
	case "sha256", "sha-256", "filehash-sha256", "file-hash-sha256":
		return model.TypeSHA256, true
	case "sha1", "sha-1", "filehash-sha1", "file-hash-sha1":
		return model.TypeSHA1, true
	case "md5", "filehash-md5", "file-hash-md5":
		return model.TypeMD5, true
	case "ja3", "ja3-fingerprint-md5":
		return model.TypeJA3, true
	case "ja4", "ja4-plus", "ja4-fingerprint":
		return model.TypeJA4, true
	case "hassh", "hassh-md5":
		return model.TypeHASSH, true
	case "access-key", "aws-access-key", "accesskey":
		return model.TypeAccessKey, true
	case "user-agent", "useragent", "ua", "http-user-agent":
		return TypeUserAgent, true
	case "prompt":
		return model.TypePrompt, true
	}
	return "", false
}
