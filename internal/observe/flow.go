package observe

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"

	"bartizan/internal/observe/jsonview"
)

// Addr is an IP address in its 16-byte form (IPv4 as ::ffff:a.b.c.d, RFC 4291
// §2.5.5.2): comparable, without a pointer, cheap to hash. The zero Addr is no
// address.
type Addr [16]byte

// AddrOf converts from netip; an invalid address gives the zero Addr.
func AddrOf(a netip.Addr) Addr {
	if !a.IsValid() {
		return Addr{}
	}
	return a.As16()
}

// Addr4 makes an IPv4 address from its 32 bits.
func Addr4(v uint32) (a Addr) {
	a[10], a[11] = 0xff, 0xff
	binary.BigEndian.PutUint32(a[12:], v)
	return a
}

// Set4 makes a the IPv4 address with these 32 bits, in two stores that a reader
// of eight bytes at a time does not have to wait for.
func (a *Addr) Set4(v uint32) {
	binary.LittleEndian.PutUint64(a[:8], 0)
	binary.LittleEndian.PutUint64(a[8:], 0xffff0000|uint64(bits.ReverseBytes32(v))<<32)
}

// V4 returns the 32 bits of an IPv4 address; ok is false for any other.
func (a *Addr) V4() (v uint32, ok bool) {
	low := binary.LittleEndian.Uint64(a[8:])
	return bits.ReverseBytes32(uint32(low >> 32)), uint32(low) == 0xffff0000 && binary.LittleEndian.Uint64(a[:8]) == 0
}

// IsZero reports whether there is no address.
func (a Addr) IsZero() bool { return a == Addr{} }

// Is4 reports whether it is an IPv4 address.
func (a Addr) Is4() bool {
	return binary.BigEndian.Uint64(a[:8]) == 0 && binary.BigEndian.Uint32(a[8:12]) == 0xffff
}

// Netip converts to netip, IPv4 unmapped; the zero Addr gives the invalid one.
func (a Addr) Netip() netip.Addr {
	if a.IsZero() {
		return netip.Addr{}
	}
	return netip.AddrFrom16(a).Unmap()
}

// FlowAction is what a firewall did with a flow. The zero value: not said.
type FlowAction uint8

// What flow records say about a flow's fate.
const (
	FlowUnknown FlowAction = iota
	FlowAccept
	FlowReject
)

// TCP flags as in the header (RFC 9293 §3.1), of all packets of a flow ORed.
const (
	FlagFIN uint8 = 1 << iota
	FlagSYN
	FlagRST
	FlagPSH
	FlagACK
)

// IP protocol numbers (IANA) that detectors tell apart.
const (
	ProtoICMP   uint8 = 1
	ProtoTCP    uint8 = 6
	ProtoUDP    uint8 = 17
	ProtoICMPv6 uint8 = 58
)

// Flow is one direction of a conversation as an exporter summed it up. It
// holds no pointers: sources fill slices of flows that they use again.
type Flow struct {
	Src, Dst         Addr
	SrcPort, DstPort uint16
	Proto            uint8
	Flags            uint8 // TCP flags ORed, valid when HasFlags
	HasFlags         bool
	Action           FlowAction
	Start, End       int64 // Unix seconds; 0: not said
	Packets, Bytes   uint64
	Record           uint64 // index of the record in its input, from 0
}

// Time is when the flow ended, or else began, in Unix seconds.
func (f *Flow) Time() int64 {
	if f.End != 0 {
		return f.End
	}
	return f.Start
}

// LogBatch is what a source hands on: consecutive records of one input. Its
// slices belong to the source and are filled again after the receiver
// returns; strings in them may be kept.
type LogBatch struct {
	Input  string // name of the file or the connection it came from
	Format string // which format read it
	Flows  []Flow
	Events []LogEvent
	// Queries are questions to name servers.
	Queries []Query
	// Documents are records that rules can look at by field; a record can be
	// here and in Flows, Events or Queries as well.
	Documents []Document
	// Messages are entries of system logs, for rules that look for words; what a
	// message says of logins or packets is in Events and Flows as well.
	Messages []Message

	wanted *jsonview.Wanted // fields that were asked for in documents so far
}

// LogEvent is one record that is not a flow, with its observation. Observation
// has a zero Session and Decoy and names what was reached in Service.
type LogEvent struct {
	Record uint64 // index of the record in its input, from 0
	Observation
}

// Message is an entry of a system log. Strings in it may be kept.
type Message struct {
	Record  uint64 // index of the record in its input, from 0
	Time    time.Time
	Host    string // who wrote it, as it calls itself; "" when not said
	Program string // without its process number; "" when not said
	Text    string // hostile
}

// Len is the number of observations in the batch.
func (b *LogBatch) Len() int {
	return len(b.Flows) + len(b.Events) + len(b.Queries) + len(b.Documents) + len(b.Messages)
}

// Reset empties the batch and keeps its memory.
func (b *LogBatch) Reset() {
	b.Flows = b.Flows[:0]
	clear(b.Events)
	b.Events = b.Events[:0]
	clear(b.Queries)
	b.Queries = b.Queries[:0]
	b.Documents = b.Documents[:0]
	clear(b.Messages)
	b.Messages = b.Messages[:0]
}

// Add appends an event about an address that was seen at time t.
func (b *LogBatch) Add(record uint64, t time.Time, kind Kind, service string, remote netip.Addr, port uint16) *Observation {
	b.Events = append(b.Events, LogEvent{Record: record, Observation: Observation{
		Kind: kind, Time: t, Service: service, Remote: netip.AddrPortFrom(remote.Unmap().WithZone(""), port),
	}})
	return &b.Events[len(b.Events)-1].Observation
}
