// Package records brings what flows and logs say together with what others
// publish and with the policy: it looks up lists of indicators, and decides from
// signals on the records' own clock as a node does on its own.
package records

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/intel"
	"bartizan/internal/ioc"
	"bartizan/internal/model"
	"bartizan/internal/observe"
	"bartizan/internal/source/transport"
)

// defaultTrust is how far a list is believed that says nothing about it: most
// lists name hosts that were hostile once, and some that never were.
const defaultTrust = 0.75

// FeedReport is what was loaded of a list.
type FeedReport struct {
	Name       string
	Format     string
	Indicators int
	Unusable   int
	Problem    string // the first entry that cannot be used, and why
}

// LoadFeeds reads lists. A name may end in @0.6, how far the list is believed.
func LoadFeeds(names, allow []string) (*intel.Feeds, []FeedReport, error) {
	var build intel.FeedsBuilder
	var reports []FeedReport
	for _, name := range names {
		trust := defaultTrust
		if i := strings.LastIndexByte(name, '@'); i > 0 {
			if v, err := strconv.ParseFloat(name[i+1:], 64); err == nil {
				if !(v > 0 && v <= 1) {
					return nil, nil, fmt.Errorf("--intel %s: how far the list is believed lies above 0 and is at most 1", name)
				}
				name, trust = name[:i], v
			}
		}
		err := build.Begin(filepath.Base(name), trust)
		if err != nil {
			return nil, nil, fmt.Errorf("--intel: %w", err)
		}
		l, err := scanList(name, build.Add)
		if err != nil {
			return nil, nil, fmt.Errorf("--intel: %w", err)
		}
		r := FeedReport{Name: name, Format: l.Format, Unusable: l.Unusable}
		if len(l.Problems) > 0 {
			p := l.Problems[0]
			r.Problem = detect.Clean(fmt.Sprintf("line %d: %s: %s", p.Line, p.Text, p.Reason), 200)
		}
		reports = append(reports, r)
	}
	for _, name := range allow {
		l, err := scanList(name, build.Allow)
		if err != nil {
			return nil, nil, fmt.Errorf("--allow: %w", err)
		}
		if l.Unusable > 0 { // half an allow-list is a list of false alarms
			p := l.Problems[0]
			return nil, nil, fmt.Errorf("--allow %s: %d entries cannot be used; line %d: %s", name, l.Unusable, p.Line, p.Reason)
		}
	}
	f, err := build.Build()
	if err != nil {
		return nil, nil, err
	}
	for i := range reports {
		reports[i].Indicators = f.Indicators(i)
	}
	return f, reports, nil
}

// scanList reads a list from a file, also a packed one.
func scanList(name string, take func(*ioc.Entry) error) (*ioc.List, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, done, err := transport.Decompress(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer done()
	l, err := ioc.Scan(r, take)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// Matcher looks up what records name. It is used by one goroutine.
type Matcher struct {
	feeds *intel.Feeds
	emit  func(record uint64, s model.Signal, from []intel.Provenance)
	told  *detect.Table[matchKey, time.Time]
	addrs []uint32
	refs  []intel.Ref
	met   map[metKey]int64 // flows that would say again what was said, by time
	input string
	wrong uint64
	text  []byte            // what is being written
	rules map[string]ruleOf // by kind of signal: the last one made
}

// ruleOf is the name of the rule of a list.
type ruleOf struct{ feed, name string }

// Wrong counts signals that failed their own check: a bug.
func (m *Matcher) Wrong() uint64 { return m.wrong }

// matchKey is who met what: told once a day.
type matchKey struct {
	actor, indicator model.Entity
	severity         model.Severity
}

const (
	maxMatches = 65536
	matchAgain = 24 * time.Hour
)

// metKey is what flow would tell, before anything of it is written.
type metKey struct {
	actor   observe.Addr
	port    uint16 // of the listed side: some are listed for one port
	ref     intel.Ref
	began   bool // by the listed side
	spoofed bool
}

// maxMet flows are remembered; beyond, all are forgotten: told decides anyway.
const maxMet = 1 << 16

// known reports whether a flow was met within a day, and remembers it.
func (m *Matcher) known(f *observe.Flow, ref intel.Ref, from bool, port uint16) bool {
	spoofed, answered := !talks(f), answers(f)
	k := metKey{actor: f.Src, ref: ref, began: from != answered, spoofed: spoofed}
	if answered {
		k.actor = f.Dst
	}
	if m.feeds.Ports() {
		k.port = port
	}
	now := f.Time()
	if last, ok := m.met[k]; ok && now-last <= int64(matchAgain/time.Second) && last-now <= int64(matchAgain/time.Second) {
		return true
	}
	if len(m.met) >= maxMet {
		clear(m.met)
	}
	m.met[k] = now
	return false
}

// talks: only a TCP conversation proves that both sides exist.
func talks(f *observe.Flow) bool {
	return f.Proto == observe.ProtoTCP && f.Packets >= 4 && f.Bytes > 64*f.Packets && f.Action != observe.FlowReject
}

// answers guesses whether the other side began.
func answers(f *observe.Flow) bool {
	return f.SrcPort != 0 && f.SrcPort < 1024 && f.DstPort >= 1024 || f.HasFlags && f.Flags&(observe.FlagSYN|observe.FlagACK) == observe.FlagSYN|observe.FlagACK
}

// NewMatcher makes a matcher that hands out what it finds, with the lists that
// say so.
func NewMatcher(f *intel.Feeds, emit func(uint64, model.Signal, []intel.Provenance)) *Matcher {
	return &Matcher{feeds: f, emit: emit, told: detect.NewTable[matchKey, time.Time](maxMatches), met: map[metKey]int64{}, rules: map[string]ruleOf{}}
}

// Process looks up everything in a batch.
func (m *Matcher) Process(b *observe.LogBatch) {
	m.input = detect.Clean(b.Input, 128)
	if m.feeds.Has(model.TypeIP) {
		m.flows(b.Flows)
	}
	for i := range b.Queries {
		m.query(&b.Queries[i])
	}
	for i := range b.Events {
		m.event(&b.Events[i])
	}
	for i := range b.Documents {
		m.document(&b.Documents[i])
	}
}

func host4(a *observe.Addr) uint32 {
	v, ok := a.V4()
	if !ok {
		return 0
	}
	return v
}

// flows asks for the addresses of all of them at once.
func (m *Matcher) flows(flows []observe.Flow) {
	m.addrs = m.addrs[:0]
	for i := range flows {
		m.addrs = append(m.addrs, host4(&flows[i].Src), host4(&flows[i].Dst))
	}
	if cap(m.refs) < len(m.addrs) {
		m.refs = make([]intel.Ref, len(m.addrs))
	}
	m.refs = m.refs[:len(m.addrs)]
	m.feeds.Find4(m.addrs, m.refs)
	for i := range flows {
		f := &flows[i]
		if m.refs[2*i]|m.refs[2*i+1] == 0 && f.Src.Is4() && f.Dst.Is4() {
			continue
		}
		for side, a := range [2]*observe.Addr{&f.Src, &f.Dst} {
			ref := m.refs[2*i+side]
			if ref == 0 && a.Is4() {
				continue
			}
			at, port := time.Unix(f.Time(), 0).UTC(), f.DstPort
			if side == 0 {
				port = f.SrcPort
			}
			if ref != 0 && m.known(f, ref, side == 0, port) {
				continue
			}
			var h intel.Hit
			var ok bool
			if ref != 0 {
				h, ok = m.feeds.Address4(a.Netip(), port, ref, at)
			} else {
				h, ok = m.feeds.Address(a.Netip(), port, at)
			}
			if ok {
				m.flow(f, h, side == 0, at)
			}
		}
	}
}

// flow tells of a flow from or to a listed address. Who is listed and knocks is
// the actor; a host that calls somebody listed is the actor itself.
func (m *Matcher) flow(f *observe.Flow, h intel.Hit, from bool, at time.Time) {
	listed, other := f.Dst.Netip(), f.Src.Netip()
	if from {
		listed, other = f.Src.Netip(), f.Dst.Netip()
	}
	name, with := listed.String(), other.String()
	s := model.Signal{Kind: "intel.address", Time: at, Spoofable: !talks(f), Actor: model.AddrEntity(listed), Address: name,
		Asset: model.AssetRef{Kind: "host", Name: with}, Title: name + " talks to " + with}
	if from == answers(f) { // the other side began
		s.Actor, s.Address = model.AddrEntity(other), with
		s.Asset.Name = name
		s.Title = with + " calls " + name
		s.Kind, s.Severity = "intel.call", model.High
	} else if s.Severity = model.Medium; s.Spoofable {
		s.Severity = model.Low // whoever is reachable is knocked at by listed hosts all day
	}
	b := netip.AddrPortFrom(f.Src.Netip(), f.SrcPort).AppendTo(m.text[:0])
	b = netip.AddrPortFrom(f.Dst.Netip(), f.DstPort).AppendTo(append(b, " -> "...))
	b = strconv.AppendUint(append(b, " protocol "...), uint64(f.Proto), 10)
	b = strconv.AppendUint(append(b, ", "...), f.Packets, 10)
	b = append(strconv.AppendUint(append(b, " packets, "...), f.Bytes, 10), " bytes"...)
	m.text = b
	s.Evidence = []model.Evidence{{Time: at, What: "flow", Excerpt: string(b)}}
	m.tell(f.Record, s, h)
}

func (m *Matcher) query(q *observe.Query) {
	at := time.Unix(max(q.Time, 0), 0).UTC()
	who := q.Client.Netip()
	// One's own network vouches for a host whose questions are answered.
	s := model.Signal{Kind: "intel.domain", Time: at, Spoofable: q.Spoofable && !(who.IsPrivate() && q.RCode != ""), Actor: model.AddrEntity(who), Address: who.String(), Severity: model.High,
		Asset: model.AssetRef{Kind: "domain", Name: detect.Clean(q.Name, 128)}, Title: detect.Clean(fmt.Sprintf("%s looks up %s", who, q.Name), 200),
		Evidence: []model.Evidence{{Time: at, What: "query", Excerpt: detect.Clean(fmt.Sprintf("%s asked for %s %s: %s", who, q.Type, q.Name, q.RCode), model.MaxExcerpt)}}}
	if h, ok := m.feeds.Domain(q.Name, at); ok {
		m.tell(q.Record, s, h)
	}
	for _, a := range q.Answers {
		h, ok := m.host(a, at)
		if !ok || m.feeds.Allowed(q.Name) {
			continue
		}
		s.Severity = model.Low // many names live at one address, and nobody went there yet
		s.Title = detect.Clean(fmt.Sprintf("%s looks up %s, which is at %s", who, q.Name, a), 200)
		m.tell(q.Record, s, h)
	}
}

// host looks up a name or an address.
func (m *Matcher) host(host string, at time.Time) (intel.Hit, bool) {
	if a, err := netip.ParseAddr(host); err == nil {
		return m.feeds.Address(a, 0, at)
	}
	return m.feeds.Domain(host, at)
}

// event looks up what an observation names: who, where to, with what.
func (m *Matcher) event(e *observe.LogEvent) {
	o := &e.Observation
	who := o.Remote.Addr()
	s := model.Signal{Kind: "intel.address", Time: o.Time.UTC(), Spoofable: o.Spoofable, Severity: model.Medium, Actor: model.AddrEntity(who), Address: who.String(),
		Asset: model.AssetRef{Kind: "service", Name: detect.Clean(o.Service, 128)}, Title: detect.Clean(fmt.Sprintf("%s talks to %s", who, o.Service), 200)}
	tell := func(kind string, severity model.Severity, h intel.Hit, ok bool) {
		if ok && !s.Actor.IsZero() {
			s.Kind, s.Severity = kind, severity
			m.tell(e.Record, s, h)
		}
	}
	look := func(t model.EntityType, v string) (intel.Hit, bool) {
		x, err := model.ParseEntity(t, v)
		if v == "" || !m.feeds.Has(t) || err != nil {
			return intel.Hit{}, false
		}
		return m.feeds.Entity(x, s.Time)
	}
	h, ok := m.feeds.Address(who, 0, s.Time)
	tell("intel.address", model.Medium, h, ok)
	if p := o.HTTP; p != nil && p.Host != "" {
		s.Title = detect.Clean(fmt.Sprintf("%s asks for %s%s", who, p.Host, p.Target), 200)
		scheme := "http://"
		if p.TLS {
			scheme = "https://"
		}
		h, ok = m.url(scheme+p.Host+p.Target, s.Time)
		tell(kindOfHit(h), model.Medium, h, ok)
	}
	if i := o.Interaction; i != nil {
		for _, x := range [...]struct {
			t model.EntityType
			v string
		}{{model.TypeJA3, i.Prints.JA3}, {model.TypeJA4, i.Prints.JA4}, {model.TypeHASSH, i.Prints.HASSH}} {
			h, ok = look(x.t, x.v)
			tell("intel."+string(x.t), model.Medium, h, ok)
		}
		if i.Prints.SNI != "" {
			h, ok = m.feeds.Domain(i.Prints.SNI, s.Time)
			tell("intel.domain", model.High, h, ok)
		}
	}
	if f := o.Fetch; f != nil {
		s.Title = detect.Clean(fmt.Sprintf("%s fetches %s", who, f.URL), 200)
		h, ok = m.url(f.URL, s.Time)
		tell(kindOfHit(h), model.High, h, ok)
	}
	if f := o.File; f != nil {
		h, ok = look(model.TypeSHA256, f.SHA256)
		if !ok {
			h, ok = look(model.TypeSHA1, f.SHA1)
		}
		if !ok {
			h, ok = look(model.TypeMD5, f.MD5)
		}
		tell(kindOfHit(h), model.High, h, ok)
	}
	if a := o.Auth; a != nil {
		h, ok = look(model.TypeAccessKey, a.Key)
		tell("intel.access-key", model.High, h, ok)
	}
}

// url looks up a URL, and the host in it.
func (m *Matcher) url(raw string, at time.Time) (intel.Hit, bool) {
	e, err := model.ParseEntity(model.TypeURL, raw)
	if err != nil {
		return intel.Hit{}, false
	}
	u, err := url.Parse(e.Value())
	if err == nil && (u.Scheme == "http" && u.Port() == "80" || u.Scheme == "https" && u.Port() == "443") {
		u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
		e, err = model.ParseEntity(model.TypeURL, u.String())
	}
	if err != nil || m.feeds.Allowed(u.Hostname()) {
		return intel.Hit{}, false
	}
	if h, ok := m.feeds.Entity(e, at); ok {
		return h, true
	}
	// Lists and logs often do not know whether it was TLS.
	switch u.Scheme {
	case "http":
		u.Scheme = "https"
	case "https":
		u.Scheme = "http"
	}
	if e, err = model.ParseEntity(model.TypeURL, u.String()); err == nil {
		if h, ok := m.feeds.Entity(e, at); ok {
			return h, true
		}
	}
	return m.host(u.Hostname(), at)
}

func kindOfHit(h intel.Hit) string {
	if h.Entity.Type() == model.TypeIP {
		return "intel.address"
	}
	return "intel." + string(h.Entity.Type())
}

// tell completes a signal and hands it out, once a day for the same who and what.
func (m *Matcher) tell(record uint64, s model.Signal, h intel.Hit) {
	k := matchKey{s.Actor, h.Entity, s.Severity}
	last, fresh := m.told.Get(k)
	if !fresh && detect.Within(*last, s.Time, matchAgain) {
		return
	}
	*last = s.Time
	best := h.From[0]
	s.ID, s.Class, s.Count, s.Sensor = model.NewULID(s.Time), model.ClassReputation, 1, m.input
	if rule := m.rules[s.Kind]; rule.feed == best.Feed {
		s.Rule = rule.name
	} else {
		s.Rule = detect.Clean(s.Kind+":"+best.Feed, 128)
		m.rules[s.Kind] = ruleOf{best.Feed, s.Rule}
	}
	s.Confidence = h.Confidence
	if h.Confidence < 0.5 && s.Severity > model.Low {
		s.Severity = model.Low // the lists themselves doubt it
	}
	word := best.Note
	if word == "" {
		word = "no note"
	}
	b := append(append(append(m.text[:0], s.Title...), ": "...), h.Entity.Value()...)
	b = append(append(append(b, " is on "...), best.Feed...), ", line "...)
	b = append(append(append(strconv.AppendInt(b, int64(best.Line), 10), " ("...), word...), ')')
	m.text = b
	s.Title = detect.Clean(string(b), 250)
	s.Related = []model.Entity{h.Entity}
	s.Techniques = techniquesOfHit(s.Kind, s.Severity)
	if s.Check() != nil {
		m.wrong++
		return
	}
	m.emit(record, s, h.From)
}

// techniquesOfHit says what meeting a listed thing is a sign of.
func techniquesOfHit(kind string, severity model.Severity) []string {
	switch {
	case kind == "intel.domain":
		return []string{"T1071.004"}
	case kind == "intel.sha256", kind == "intel.sha1", kind == "intel.md5":
		return []string{"T1204.002"}
	case kind == "intel.access-key":
		return []string{"T1078.004"}
	case kind == "intel.url":
		return []string{"T1105"}
	case kind == "intel.call", severity == model.High:
		return []string{"T1071"}
	}
	return []string{"T1595"}
}
