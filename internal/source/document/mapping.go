package document

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/observe"
	"bartizan/internal/source/text"

	"github.com/valyala/fastjson"
)

// meaning is what a field of a mapping says.
type meaning uint8

// The meanings, in the order of names.
const (
	mTime meaning = iota
	mEnd
	mSrc
	mSrcPort
	mDst
	mDstPort
	mProto
	mBytes
	mPackets
	mReplyBytes
	mReplyPackets
	mAction
	mQuery
	mQueryType
	mRCode
	mAnswers
	mMethod
	mURL
	mHost
	mStatus
	mAgent
	mReferer
	mUser
	mOutcome
	mService
	mCount
)

// meanings are their names in a configuration.
func meanings() [mCount]string {
	return [...]string{"time", "end", "src", "src_port", "dst", "dst_port", "proto", "bytes", "packets", "reply_bytes", "reply_packets", "action",
		"query", "query_type", "rcode", "answers", "method", "url", "host", "status", "user_agent", "referer", "user", "outcome", "service"}
}

// mapping says where in a record each meaning stands.
type mapping struct {
	paths [mCount][]string
	whole [mCount]string // the path as one name, because names may hold dots
}

const maxPath = 16

// newMapping checks a mapping of names to paths, as "src: client.ip".
func newMapping(fields map[string]string) (*mapping, error) {
	m := &mapping{}
	names := meanings()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		i := slices.Index(names[:], name)
		if i < 0 {
			hint := ""
			if near, ok := conf.Nearest(name, names[:]); ok {
				hint = fmt.Sprintf(" (nearest known: %s)", near)
			}
			return nil, fmt.Errorf("fields: unknown name %.40q%s: one of %s", name, hint, strings.Join(names[:], ", "))
		}
		path := strings.Split(fields[name], ".")
		if fields[name] == "" || len(path) > maxPath || slices.Contains(path, "") {
			return nil, fmt.Errorf("fields: %s must be a path of at most %d names separated by dots, as client.ip", name, maxPath)
		}
		m.paths[i], m.whole[i] = path, fields[name]
	}
	if m.paths[mSrc] == nil || m.paths[mTime] == nil {
		return nil, fmt.Errorf("fields: src and time are needed: who, and when")
	}
	if m.paths[mDst] == nil && m.paths[mQuery] == nil && m.paths[mURL] == nil && m.paths[mUser] == nil {
		return nil, fmt.Errorf("fields: one of dst (a flow), query (a name server's), url (a request) or user with outcome (a login) is needed: what")
	}
	if (m.paths[mUser] == nil) != (m.paths[mOutcome] == nil) {
		return nil, fmt.Errorf("fields: user and outcome are needed together")
	}
	return m, nil
}

// get finds the value of a meaning; nil when there is none.
func (m *mapping) get(v *fastjson.Value, i meaning) *fastjson.Value {
	if m.paths[i] == nil {
		return nil
	}
	if f := v.Get(m.whole[i]); f != nil {
		return f
	}
	return v.Get(m.paths[i]...)
}

// read makes of a document what the mapping says; a document without what is
// needed stays a document for rules.
func (m *mapping) read(d *observe.Document, b *observe.LogBatch) bool {
	v := d.JSON()
	src, ok := m.endpoint(v, mSrc, mSrcPort)
	when := instant(m.get(v, mTime))
	if !ok || when.IsZero() {
		return true
	}
	dst, _ := m.endpoint(v, mDst, mDstPort)
	switch {
	case m.text(v, mQuery) != "":
		q := observe.Query{Client: observe.AddrOf(src.Addr()), Server: observe.AddrOf(dst.Addr()), ClientPort: src.Port(), ServerPort: dst.Port(),
			Proto: m.proto(v), Time: when.Unix(), Type: word([]byte(m.text(v, mQueryType))), RCode: word([]byte(m.text(v, mRCode)))}
		addQuery(d, b, &q, m.text(v, mQuery), m.get(v, mAnswers))
	case m.text(v, mURL) != "":
		m.request(d, b, v, src, dst, when)
	case m.text(v, mUser) != "":
		if accepted, said := outcome(m.get(v, mOutcome)); said {
			o := m.event(d, b, v, observe.KindAuth, "login", src, dst, when)
			o.Auth = &observe.AuthAttempt{Method: "password", User: text.Cap(m.text(v, mUser)), Accepted: accepted}
		}
	case dst.IsValid() && !src.Addr().IsUnspecified() && !dst.Addr().IsUnspecified(): // "::" stands for no address
		f := observe.Flow{Record: d.Record, Src: observe.AddrOf(src.Addr()), Dst: observe.AddrOf(dst.Addr()), SrcPort: src.Port(), DstPort: dst.Port(), Proto: m.proto(v),
			Packets: count(m.get(v, mPackets)), Bytes: count(m.get(v, mBytes)), Start: when.Unix(), End: when.Unix()}
		if end := instant(m.get(v, mEnd)); !end.IsZero() {
			f.End = end.Unix()
		}
		if accepted, said := outcome(m.get(v, mAction)); said && accepted {
			f.Action = observe.FlowAccept
		} else if said {
			f.Action = observe.FlowReject
		}
		addConversation(b, f, count(m.get(v, mReplyPackets)), count(m.get(v, mReplyBytes)))
	}
	return true
}

func (m *mapping) request(d *observe.Document, b *observe.LogBatch, v *fastjson.Value, src, dst netip.AddrPort, when time.Time) {
	h := &observe.HTTPRequest{Method: m.text(v, mMethod), Status: int(min(count(m.get(v, mStatus)), 999))}
	h.Method = h.Method[:min(len(h.Method), 32)]
	h.Host, h.Target = text.Absolute(text.Cap(m.text(v, mURL)))
	if host := m.text(v, mHost); host != "" {
		h.Host = text.Cap(host)
	}
	h.Headers = headers(h.Host, text.Cap(m.text(v, mReferer)), text.Cap(m.text(v, mAgent)))
	m.event(d, b, v, observe.KindHTTP, "http", src, dst, when).HTTP = h
}

func (m *mapping) event(d *observe.Document, b *observe.LogBatch, v *fastjson.Value, kind observe.Kind, service string, src, dst netip.AddrPort, when time.Time) *observe.Observation {
	if s := m.text(v, mService); s != "" {
		service = s[:min(len(s), 64)]
	}
	o := b.Add(d.Record, when, kind, service, src.Addr(), src.Port())
	o.Local = dst
	return o
}

// endpoint reads an address, or an address with its port in one.
func (m *mapping) endpoint(v *fastjson.Value, address, number meaning) (netip.AddrPort, bool) {
	s := m.text(v, address)
	if len(s) > 64 {
		return netip.AddrPort{}, false
	}
	if p, err := netip.ParseAddrPort(s); err == nil && p.Addr().Zone() == "" {
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()), true
	}
	a, ok := text.Addr(s)
	if !ok {
		return netip.AddrPort{}, false
	}
	n := count(m.get(v, number))
	if n > 0xffff {
		n = 0
	}
	return netip.AddrPortFrom(a, uint16(n)), true
}

// text copies a text; numbers and truths are written out.
func (m *mapping) text(v *fastjson.Value, i meaning) string { return plain(m.get(v, i)) }

func plain(f *fastjson.Value) string {
	if f == nil {
		return ""
	}
	switch f.Type() {
	case fastjson.TypeString:
		return string(f.GetStringBytes())
	case fastjson.TypeNumber, fastjson.TypeTrue, fastjson.TypeFalse:
		return string(f.MarshalTo(nil))
	}
	return ""
}

// proto reads a protocol by its name or number.
func (m *mapping) proto(v *fastjson.Value) uint8 {
	s := m.text(v, mProto)
	if n, err := strconv.ParseUint(s, 10, 8); err == nil {
		return uint8(n)
	}
	return proto([]byte(s))
}

// count reads a number that is not below zero, written as such or as text.
func count(f *fastjson.Value) uint64 {
	s := plain(f)
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		return n
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil && x >= 0 && x < 1<<63 {
		return uint64(x)
	}
	return 0
}

// instant reads a time: seconds, milli- or microseconds since 1970, RFC 3339,
// or the Common Log Format.
func instant(f *fastjson.Value) time.Time {
	s := plain(f)
	if t, ok := text.RFC3339(s); ok {
		return t
	}
	if t, ok := text.CLF([]byte(strings.Trim(s, "[]"))); ok {
		return t
	}
	t, _ := text.Seconds(s)
	return t
}

// outcome reads whether something was let through.
func outcome(f *fastjson.Value) (accepted, said bool) {
	switch strings.ToLower(plain(f)) {
	case "accept", "accepted", "allow", "allowed", "pass", "passed", "permit", "permitted", "success", "succeeded", "successful", "ok", "true":
		return true, true
	case "reject", "rejected", "deny", "denied", "drop", "dropped", "block", "blocked", "refuse", "refused", "fail", "failed", "failure", "error", "invalid", "false":
		return false, true
	}
	return false, false
}
