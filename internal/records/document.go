package records

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/intel"
	"bartizan/internal/model"
	"bartizan/internal/observe"

	"github.com/valyala/fastjson"
)

// Caps on what is looked at of one document.
const (
	maxLeaves = 512
	maxNested = 16
)

// leaf is a text in a document, under a name.
type leaf struct{ name, text string }

// document looks up every text of a document by its shape: an address, a name,
// a URL, a digest, a fingerprint, the identifier of a key.
func (m *Matcher) document(d *observe.Document) {
	var leaves []leaf
	gather(&leaves, "", d.JSON(), 0)
	if len(leaves) == 0 {
		return
	}
	var s model.Signal
	for _, l := range leaves {
		h, ok := m.leaf(l, moment(leaves))
		if !ok {
			continue
		}
		if s.Kind == "" {
			s = m.about(leaves)
		}
		s.Kind, s.Severity = kindOfHit(h), model.High
		if e, err := model.ParseIP(l.text); err == nil && e == s.Actor {
			s.Severity = model.Medium // it knocks; nobody called it
		}
		s.Title = detect.Clean(fmt.Sprintf("%s has %s", l.name, l.text), 150)
		s.Evidence = []model.Evidence{{Time: s.Time, What: "field", Excerpt: detect.Clean(l.name+": "+l.text, model.MaxExcerpt)}}
		m.tell(d.Record, s, h)
	}
}

// gather collects the texts of a document.
func gather(out *[]leaf, name string, v *fastjson.Value, deep int) {
	if v == nil || deep > maxNested || len(*out) >= maxLeaves {
		return
	}
	switch v.Type() {
	case fastjson.TypeString:
		if b := v.GetStringBytes(); len(b) > 0 && len(b) <= model.MaxEntity {
			*out = append(*out, leaf{name, string(b)})
		}
	case fastjson.TypeObject:
		o, err := v.Object()
		if err != nil {
			return
		}
		o.Visit(func(k []byte, v *fastjson.Value) { gather(out, string(k), v, deep+1) })
	case fastjson.TypeArray:
		for _, e := range v.GetArray() {
			gather(out, name, e, deep+1)
		}
	case fastjson.TypeNumber:
		if strings.EqualFold(name, "ts") || strings.EqualFold(name, "timestamp") {
			*out = append(*out, leaf{name, v.String()})
		}
	}
}

// leaf looks up one text.
func (m *Matcher) leaf(l leaf, at time.Time) (intel.Hit, bool) {
	t := l.text
	switch {
	case strings.Contains(t, "://"):
		return m.url(t, at)
	case strings.ContainsAny(t, ".:") && isAddress(t):
		return m.host(t, at)
	case len(t) == 64, len(t) == 40, len(t) == 32, len(t) == 20, strings.Count(t, "_") == 2 && len(t) == 36:
		for _, kind := range [...]model.EntityType{model.TypeSHA256, model.TypeSHA1, model.TypeMD5, model.TypeJA3, model.TypeHASSH, model.TypeJA4, model.TypeAccessKey} {
			if e, err := model.ParseEntity(kind, t); err == nil && m.feeds.Has(kind) {
				if h, ok := m.feeds.Entity(e, at); ok {
					return h, true
				}
			}
		}
	case len(t) < 512 && (strings.Contains(t, "MD5=") || strings.Contains(t, "SHA1=") || strings.Contains(t, "SHA256=")):
		return m.sums(t, at)
	}
	if strings.IndexByte(t, '.') > 0 && len(t) <= 254 && !strings.ContainsAny(t, " /\\@") {
		return m.feeds.Domain(t, at)
	}
	return intel.Hit{}, false
}

// sums looks up what Sysmon writes of a file: MD5=…,SHA256=…,IMPHASH=….
func (m *Matcher) sums(t string, at time.Time) (intel.Hit, bool) {
	for part := range strings.SplitSeq(t, ",") {
		name, sum, _ := strings.Cut(strings.TrimSpace(part), "=")
		var kind model.EntityType
		switch name {
		case "SHA256":
			kind = model.TypeSHA256
		case "SHA1":
			kind = model.TypeSHA1
		case "MD5":
			kind = model.TypeMD5
		default:
			continue
		}
		if e, err := model.ParseEntity(kind, sum); err == nil {
			if h, ok := m.feeds.Entity(e, at); ok {
				return h, true
			}
		}
	}
	return intel.Hit{}, false
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// about is who a document is about: the address its log names as the source,
// else the user, else the computer.
func (m *Matcher) about(leaves []leaf) model.Signal {
	s := model.Signal{Time: moment(leaves), Asset: model.AssetRef{Kind: "record", Name: m.input}}
	for _, names := range [...][]string{{"sourceIPAddress", "src_ip", "srcaddr", "id.orig_h", "SourceIp", "src", "IpAddress", "ClientIP", "client_ip", "remote_addr", "source_ip"},
		{"arn", "User", "TargetUserName", "user", "userName"}, {"Computer", "hostname", "host", "Hostname"}} {
		for _, n := range names {
			for _, l := range leaves {
				if l.name != n {
					continue
				}
				if e, err := model.ParseIP(l.text); err == nil && !strings.Contains(l.text, "/") {
					s.Actor, s.Address = e, l.text
					return s
				}
				kind := model.TypeUser
				if strings.EqualFold(n, "Computer") || strings.EqualFold(n, "hostname") || n == "host" {
					kind = model.TypeHost
				}
				if e, err := model.ParseEntity(kind, l.text); err == nil && n != "src" {
					s.Actor = e
					return s
				}
			}
		}
	}
	s.Actor, _ = model.ParseEntity(model.TypeHost, "unknown") // a constant that parses
	return s
}

// moment is when a document says it happened; a document without a time
// happened when nothing has ended yet.
func moment(leaves []leaf) time.Time {
	for _, n := range [...]string{"eventTime", "query_timestamp", "timestamp", "@timestamp", "UtcTime", "SystemTime", "ts", "time", "TimeCreated"} {
		for _, l := range leaves {
			if l.name != n {
				continue
			}
			for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999-0700", "2006-01-02 15:04:05.999"} {
				if t, err := time.Parse(layout, l.text); err == nil {
					return t.UTC()
				}
			}
			var sec float64
			if _, err := fmt.Sscanf(l.text, "%f", &sec); err == nil && sec > 1e8 && sec < 1e11 {
				return time.Unix(int64(sec), 0).UTC()
			}
		}
	}
	return time.Unix(0, 0).UTC()
}
