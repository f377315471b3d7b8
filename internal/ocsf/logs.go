package ocsf

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"bartizan/internal/observe"
)

// The classes of what logs and exporters say: many rows, each small.
const (
	classDNS  int32 = 4003
	classBase int32 = 0

	activityRefuse  int32 = 5
	activityTraffic int32 = 6
	activityQuery   int32 = 1
	activityUnknown int32 = 0
	activityRead    int32 = 2
)

// Origin says which source of logs a row is from; it is a part of unmapped.
type Origin struct {
	Sensor    string `json:"sensor" parquet:"sensor,dict"` // the source's name in the configuration
	Format    string `json:"format,omitzero" parquet:"format,optional,dict"`
	Input     string `json:"input,omitzero" parquet:"input,optional,dict"` // file, object or connection
	Record    int64  `json:"record" parquet:"record,delta"`                // index in the input, from 0
	Spoofable bool   `json:"spoofable,omitzero" parquet:"spoofable"`
	// Arrived: the record names no time that can be believed; time is that of its arrival.
	Arrived bool `json:"arrived,omitzero" parquet:"arrived"`
}

// From is what is known of records before they are read.
type From struct {
	Sensor, Format, Input string
	Spoofable             bool      // nothing proves who sent them
	Now                   time.Time // when they arrived; zero: times are believed as they are
}

// maxAhead is how far a record's clock may be ahead of ours: what claims to be later
// happened when it arrived.
const maxAhead = 5 * time.Minute

// set fills the origin and says under which time the row is kept.
func (o *Origin) set(f *From, record uint64, at time.Time) time.Time {
	*o = Origin{Sensor: text(f.Sensor), Format: text(f.Format), Input: text(f.Input), Record: int64(min(record, math.MaxInt64)), Spoofable: f.Spoofable}
	at, o.Arrived = f.At(at)
	return at
}

// At is the time under which what says t is kept: that of its arrival, when t is
// none or cannot be believed.
func (f *From) At(t time.Time) (at time.Time, arrived bool) {
	if !f.Now.IsZero() && (t.IsZero() || t.After(f.Now.Add(maxAhead))) {
		return f.Now, true
	}
	return t, false
}

// noAddress stands for an address that is not said (RFC 4291 §2.5.2: "it
// indicates the absence of an address"), because OCSF demands some.
const noAddress = "::"

// Addresses of flows repeat; a small table that forgets saves making their text again.
const (
	addrSlots = 4096 // a power of two
	addrShift = 52
)

type addrText struct {
	addr observe.Addr
	text string
}

// addr is an address as text.
func (m *Mapper) addr(a *observe.Addr) string {
	if a.IsZero() {
		return noAddress
	}
	if m.addrs == nil {
		m.addrs = make([]addrText, addrSlots)
	}
	h := uint64(0)
	for _, b := range a[8:] {
		h = (h ^ uint64(b)) * 0x100000001b3
	}
	s := &m.addrs[h*0x9e3779b97f4a7c15>>addrShift]
	if s.text == "" || s.addr != *a {
		*s = addrText{*a, a.Netip().String()}
	}
	return s.text
}

// end is one end of a flow.
func (m *Mapper) end(a *observe.Addr, port uint16) Endpoint { return Endpoint{m.addr(a), int32(port)} }

func (e Endpoint) addr() (observe.Addr, error) {
	if e.IP == "" {
		return observe.Addr{}, nil
	}
	a, err := netip.ParseAddr(e.IP)
	return observe.AddrOf(a), err
}

// Seconds is a time in whole seconds as logs have it; 0 is none.
func Seconds(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

// milli is seconds in milliseconds, as OCSF wants times.
func milli(s int64) int64 {
	const most = math.MaxInt64 / 1000
	return max(-most, min(s, most)) * 1000
}

// Flow is one direction of a conversation as an exporter summed it up: Network
// Activity, Traffic, or Refuse when a firewall did not let it through.
type Flow struct {
	Event
	SrcEndpoint    Endpoint       `json:"src_endpoint,omitzero" parquet:"src_endpoint"`
	DstEndpoint    Endpoint       `json:"dst_endpoint,omitzero" parquet:"dst_endpoint"`
	ConnectionInfo FlowConnection `json:"connection_info" parquet:"connection_info"`
	Traffic        FlowTraffic    `json:"traffic" parquet:"traffic"`
	StartTime      int64          `json:"start_time,omitzero" parquet:"start_time,optional,delta"` // milliseconds since 1970
	EndTime        int64          `json:"end_time,omitzero" parquet:"end_time,optional,delta"`
	Unmapped       FlowUnmapped   `json:"unmapped" parquet:"unmapped"`
}

// FlowConnection is OCSF's network_connection_info object.
type FlowConnection struct {
	DirectionID int32 `json:"direction_id" parquet:"direction_id,dict"`
	ProtocolNum int32 `json:"protocol_num" parquet:"protocol_num,dict"`
	TCPFlags    int32 `json:"tcp_flags,omitzero" parquet:"tcp_flags,dict"` // of all packets ORed
}

// FlowTraffic is OCSF's network_traffic object.
type FlowTraffic struct {
	Bytes   int64 `json:"bytes" parquet:"bytes"`
	Packets int64 `json:"packets" parquet:"packets"`
}

// FlowUnmapped is what OCSF has no attribute for.
type FlowUnmapped struct {
	Origin
	Flags bool `json:"flags,omitzero" parquet:"flags"` // tcp_flags is said, also when it is 0
}

// FromFlow overwrites the row.
func (r *Flow) FromFlow(m *Mapper, from *From, f *observe.Flow) {
	at := r.Unmapped.set(from, f.Record, Seconds(f.Time()))
	activity, outcome := activityTraffic, int32(0)
	switch f.Action {
	case observe.FlowAccept:
		outcome = statusSuccess
	case observe.FlowReject:
		activity, outcome = activityRefuse, statusFailure
	}
	r.head(m, classNetwork, activity, at, onlyTime)
	r.StatusID = outcome
	r.SrcEndpoint, r.DstEndpoint = m.end(&f.Src, f.SrcPort), m.end(&f.Dst, f.DstPort)
	r.ConnectionInfo = FlowConnection{ProtocolNum: int32(f.Proto), TCPFlags: int32(f.Flags)}
	r.Traffic = FlowTraffic{int64(min(f.Bytes, math.MaxInt64)), int64(min(f.Packets, math.MaxInt64))}
	r.StartTime, r.EndTime = milli(f.Start), milli(f.End)
	r.Unmapped.Flags = f.HasFlags
}

// Flow is the way back. It fails on a row that no flow makes.
func (r *Flow) Flow() (f observe.Flow, err error) {
	if f.Src, err = r.SrcEndpoint.addr(); err != nil {
		return f, err
	}
	if f.Dst, err = r.DstEndpoint.addr(); err != nil {
		return f, err
	}
	f.SrcPort, f.DstPort = uint16(r.SrcEndpoint.Port), uint16(r.DstEndpoint.Port)
	f.Proto, f.Flags, f.HasFlags = uint8(r.ConnectionInfo.ProtocolNum), uint8(r.ConnectionInfo.TCPFlags), r.Unmapped.Flags
	f.Start, f.End, f.Bytes, f.Packets = r.StartTime/1000, r.EndTime/1000, uint64(r.Traffic.Bytes), uint64(r.Traffic.Packets)
	f.Record = uint64(r.Unmapped.Record)
	switch {
	case r.ActivityID == activityRefuse:
		f.Action = observe.FlowReject
	case r.StatusID == statusSuccess:
		f.Action = observe.FlowAccept
	}
	return f, nil
}

// Query is a question to a name server: DNS Activity, Traffic when the answer
// was seen, Query when not.
type Query struct {
	Event
	SrcEndpoint    Endpoint        `json:"src_endpoint,omitzero" parquet:"src_endpoint"` // who asked
	DstEndpoint    Endpoint        `json:"dst_endpoint,omitzero" parquet:"dst_endpoint"` // the name server
	ConnectionInfo QueryConnection `json:"connection_info" parquet:"connection_info"`
	Query          Question        `json:"query" parquet:"query"`
	Answers        []Answer        `json:"answers,omitempty" parquet:"answers,list"`
	RCodeID        *int32          `json:"rcode_id,omitempty" parquet:"rcode_id,optional,dict"`
	RCode          string          `json:"rcode,omitzero" parquet:"rcode,optional,dict"` // only of what OCSF has no number for
	Unmapped       QueryUnmapped   `json:"unmapped" parquet:"unmapped"`
}

// QueryConnection is OCSF's network_connection_info object.
type QueryConnection struct {
	DirectionID int32 `json:"direction_id" parquet:"direction_id,dict"`
	ProtocolNum int32 `json:"protocol_num,omitzero" parquet:"protocol_num,optional,dict"`
}

// Question is OCSF's dns_query object.
type Question struct {
	Hostname string `json:"hostname" parquet:"hostname,dict"`
	Type     string `json:"type,omitzero" parquet:"type,optional,dict"`
}

// Answer is OCSF's dns_answer object.
type Answer struct {
	RData string `json:"rdata" parquet:"rdata,dict"`
}

// QueryUnmapped is what OCSF has no attribute for.
type QueryUnmapped struct {
	Origin
	RCode string `json:"rcode,omitzero" parquet:"rcode,optional,dict"` // as RFC 6895 names it
	TTL   int64  `json:"ttl,omitzero" parquet:"ttl,optional"`          // smallest of the answers', in seconds
}

const rcodeOther = 99

// rcodes in the order of their numbers (RFC 6895 §2.3) as far as OCSF has them.
var rcodes = [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"}

// FromQuery overwrites the row.
func (r *Query) FromQuery(m *Mapper, from *From, q *observe.Query) {
	u := &r.Unmapped
	at := u.set(from, q.Record, Seconds(q.Time))
	u.Spoofable = u.Spoofable || q.Spoofable
	activity := activityQuery
	if q.Answered {
		activity = activityTraffic
	}
	r.head(m, classDNS, activity, at, onlyTime)
	r.SrcEndpoint, r.DstEndpoint = m.end(&q.Client, q.ClientPort), Endpoint{}
	if !q.Server.IsZero() || q.ServerPort != 0 {
		r.DstEndpoint = m.end(&q.Server, q.ServerPort)
	}
	r.ConnectionInfo = QueryConnection{ProtocolNum: int32(q.Proto)}
	r.Query = Question{text(q.Name), text(q.Type)}
	r.Answers = slices.Grow(r.Answers[:0], len(q.Answers))
	for _, a := range q.Answers {
		r.Answers = append(r.Answers, Answer{text(a)})
	}
	u.RCode, u.TTL = text(q.RCode), int64(q.TTL)
	r.RCodeID, r.RCode = nil, ""
	if u.RCode != "" {
		n := int32(slices.Index(rcodes[:], u.RCode))
		if n < 0 {
			n, r.RCode = rcodeOther, u.RCode
		}
		r.RCodeID = &n
	}
}

// AsQuery is the way back. It fails on a row that no query makes.
func (r *Query) AsQuery() (q observe.Query, err error) {
	if q.Client, err = r.SrcEndpoint.addr(); err != nil {
		return q, err
	}
	if q.Server, err = r.DstEndpoint.addr(); err != nil {
		return q, err
	}
	q.ClientPort, q.ServerPort, q.Proto = uint16(r.SrcEndpoint.Port), uint16(r.DstEndpoint.Port), uint8(r.ConnectionInfo.ProtocolNum)
	q.Answered, q.Spoofable = r.ActivityID == activityTraffic, r.Unmapped.Spoofable
	if t := r.TimeDT.At(); !t.IsZero() && !r.Unmapped.Arrived {
		q.Time = t.Unix()
	}
	q.Record, q.Name, q.Type, q.RCode, q.TTL = uint64(r.Unmapped.Record), r.Query.Hostname, r.Query.Type, r.Unmapped.RCode, uint32(r.Unmapped.TTL)
	for _, a := range r.Answers {
		q.Answers = append(q.Answers, a.RData)
	}
	return q, nil
}
