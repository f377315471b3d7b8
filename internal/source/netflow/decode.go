package netflow

import (
	"bytes"
	"container/list"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/safe"
	"bartizan/internal/source/capture"

	goflow "github.com/netsampler/goflow2/v2/decoders/netflow"
	"github.com/netsampler/goflow2/v2/decoders/netflowlegacy"
	"github.com/netsampler/goflow2/v2/decoders/sflow"
)

// decoder turns datagrams into flows; used by one goroutine.
type decoder struct{ exporters exporters }

func newDecoder(c Config) *decoder {
	return &decoder{exporters{most: c.Exporters, all: map[exporter]*list.Element{}}}
}

// Errors of a datagram; what the library says may quote it.
var (
	errExport   = errors.New("no datagram of NetFlow v5, v9, IPFIX or sFlow v5")
	errDamaged  = errors.New("a datagram whose parts do not fit its length")
	errTemplate = errors.New("data whose template was not seen yet")
)

// Decode implements source.DatagramDecoder.
func (d *decoder) Decode(from netip.AddrPort, now time.Time, data []byte, at uint64, b *observe.LogBatch) error {
	if !begins(data, len(data)) {
		return errExport
	}
	flows := len(b.Flows)
	err := safe.Recover("read netflow", nil, func() error { // one datagram must not end the others
		switch binary.BigEndian.Uint16(data) {
		case 5:
			return v5(data, at, b)
		case 9, 10:
			return d.template(from, data, at, b)
		}
		return sampled(now, data, at, b)
	})
	var broke *safe.PanicError
	switch {
	case errors.As(err, &broke):
		err = errDamaged
	case errors.Is(err, errTemplate) && len(b.Flows) > flows:
		return nil
	}
	if err != nil {
		b.Flows = b.Flows[:flows]
	}
	return err
}

// v5 reads NetFlow v5, whose times count from the start of the exporter.
func v5(data []byte, at uint64, b *observe.LogBatch) error {
	var p netflowlegacy.PacketNetFlowV5
	if err := netflowlegacy.DecodeMessageVersion(bytes.NewBuffer(data), &p); err != nil {
		return errDamaged
	}
	clock := uptime{sec: int64(p.UnixSecs), ms: int64(p.UnixNSecs / 1e6), up: int64(p.SysUptime)}
	for i := range p.Records {
		r := &p.Records[i]
		add(b, observe.Flow{Src: observe.Addr4(uint32(r.SrcAddr)), Dst: observe.Addr4(uint32(r.DstAddr)), SrcPort: r.SrcPort, DstPort: r.DstPort,
			Proto: r.Proto, Flags: r.TCPFlags, HasFlags: r.Proto == observe.ProtoTCP, Packets: uint64(r.DPkts), Bytes: uint64(r.DOctets),
			Start: clock.at(r.First), End: clock.at(r.Last), Record: at})
	}
	return nil
}

// uptime turns milliseconds since an exporter's start into Unix seconds.
type uptime struct{ sec, ms, up int64 }

func (u uptime) at(ms uint32) int64 {
	ago := int64(int32(uint32(u.up) - ms)) // the counter wraps around after 49 days
	return max((u.sec*1000+u.ms-ago)/1000, 0)
}

// template reads NetFlow v9 (RFC 3954) and IPFIX (RFC 7011).
func (d *decoder) template(from netip.AddrPort, data []byte, at uint64, b *observe.LogBatch) error {
	var v9 goflow.NFv9Packet
	var ipfix goflow.IPFIXPacket
	domain := uint32(0)
	if data[1] == 9 {
		domain = binary.BigEndian.Uint32(data[16:])
	} else {
		domain = binary.BigEndian.Uint32(data[12:])
	}
	store := d.exporters.of(exporter{from.Addr(), domain})
	err := goflow.DecodeMessageVersion(bytes.NewBuffer(data), store, &v9, &ipfix)
	sets, export := v9.FlowSets, clock{up: uptime{sec: int64(v9.UnixSeconds), up: int64(v9.SystemUptime)}, has: true}
	if data[1] == 10 {
		for _, s := range ipfix.FlowSets {
			if set, ok := s.(goflow.OptionsDataFlowSet); ok {
				store.options(&set)
			}
		}
		sets, export = ipfix.FlowSets, clock{up: uptime{sec: int64(ipfix.ExportTime)}}
		if store.started > 0 {
			export = clock{up: uptime{sec: int64(ipfix.ExportTime), up: int64(ipfix.ExportTime)*1000 - store.started}, has: true}
		}
	}
	for _, s := range sets {
		if set, ok := s.(goflow.DataFlowSet); ok {
			for i := range set.Records {
				record(set.Records[i].Values, export, at, b)
			}
		}
	}
	switch {
	case errors.Is(err, goflow.ErrorTemplateNotFound):
		return errTemplate
	case err != nil:
		return errDamaged
	}
	return nil
}

// clock of the exporter; has: times since its start are known.
type clock struct {
	up  uptime
	has bool
}

// Numbers of information elements (IANA "IPFIX Entities"); NetFlow v9 has the
// same up to 127.
const (
	octetDelta, packetDelta, protocol, tcpBits, srcPort, src4, dstPort, dst4 = 1, 2, 4, 6, 7, 8, 11, 12
	lastSwitched, firstSwitched, src6, dst6, icmpType, forwarding            = 21, 22, 27, 28, 32, 89
	octetTotal, packetTotal, startSec, endSec, startMilli, endMilli          = 85, 86, 150, 151, 152, 153
	startMicro, endMicro, startNano, endNano, startDelta, endDelta, initTime = 154, 155, 156, 157, 158, 159, 160
	initiatorOctets, responderOctets, firewallEvent                          = 231, 232, 233
	initiatorPackets, responderPackets                                       = 298, 299
	reverse                                                                  = 29305 // RFC 5103: the same of the answer
)

// record reads one data record.
func record(values []goflow.DataField, export clock, at uint64, b *observe.LogBatch) {
	var f, back observe.Flow
	t := times{export: export, base: export}
	for i := range values {
		v, ok := values[i].Value.([]byte)
		if !ok {
			continue
		}
		id, n := values[i].Type, number(v)
		to := &f
		if values[i].PenProvided {
			if values[i].Pen != reverse {
				continue
			}
			to = &back
		}
		switch id {
		case octetDelta, octetTotal, initiatorOctets:
			to.Bytes = max(to.Bytes, n)
		case packetDelta, packetTotal, initiatorPackets:
			to.Packets = max(to.Packets, n)
		case responderOctets:
			back.Bytes = n
		case responderPackets:
			back.Packets = n
		case protocol:
			f.Proto = uint8(n)
		case tcpBits:
			to.Flags, to.HasFlags = uint8(n), true
		case srcPort:
			f.SrcPort = uint16(n)
		case dstPort:
			f.DstPort = uint16(n)
		case src4, src6:
			f.Src = address(v, f.Src)
		case dst4, dst6:
			f.Dst = address(v, f.Dst)
		case forwarding:
			if uint8(n)>>6 == 2 || len(v) == 4 && n>>6&3 == 2 {
				f.Action = observe.FlowReject // RFC 7270 §4.12: dropped
			}
		case firewallEvent:
			if n == 3 {
				f.Action = observe.FlowReject
			}
		default:
			t.take(id, n, &f)
		}
	}
	if t.relative && t.base.has {
		f.Start, f.End = t.base.up.at(t.first), t.base.up.at(t.last)
	}
	if f.Start == 0 && f.End == 0 {
		f.End = export.up.sec
	}
	f.Record = at
	add(b, f)
	if back.Packets > 0 || back.Bytes > 0 {
		back.Src, back.Dst, back.SrcPort, back.DstPort = f.Dst, f.Src, f.DstPort, f.SrcPort
		back.Proto, back.Start, back.End, back.Record = f.Proto, f.Start, f.End, at
		add(b, back)
	}
}

// times of a record, of which there are many forms.
type times struct {
	export, base clock
	first, last  uint32 // milliseconds since the start of base
	relative     bool   // they are said
}

// take reads an element that is a time.
func (t *times) take(id uint16, n uint64, f *observe.Flow) {
	switch id {
	case firstSwitched:
		t.first, t.relative = uint32(n), true
	case lastSwitched:
		t.last, t.relative = uint32(n), true
	case initTime:
		t.base = clock{up: uptime{sec: int64(n / 1000), ms: int64(n % 1000)}, has: n < 1<<50}
	case startSec:
		f.Start = seconds(n)
	case endSec:
		f.End = seconds(n)
	case startMilli:
		f.Start = seconds(n / 1000)
	case endMilli:
		f.End = seconds(n / 1000)
	case startMicro, startNano:
		f.Start = ntp(n)
	case endMicro, endNano:
		f.End = ntp(n)
	case startDelta:
		f.Start = max(t.export.up.sec-seconds(n/1e6), 0)
	case endDelta:
		f.End = max(t.export.up.sec-seconds(n/1e6), 0)
	}
}

// add appends a flow that says from whom to whom.
func add(b *observe.LogBatch, f observe.Flow) {
	if f.Src.IsZero() || f.Dst.IsZero() {
		return
	}
	f.HasFlags = f.HasFlags && f.Proto == observe.ProtoTCP
	const both = observe.FlagSYN | observe.FlagACK
	if f.HasFlags && f.Flags&both == both && asks(&f) {
		// Exporters OR the flags of all packets, so both sides of a connection
		// have SYN and ACK; in flow logs only the answer has. Ports tell.
		f.Flags &^= observe.FlagACK
	}
	if f.Proto == observe.ProtoICMP || f.Proto == observe.ProtoICMPv6 {
		f.SrcPort, f.DstPort = 0, 0 // type and code are written there
	}
	b.Flows = append(b.Flows, f)
}

// asks guesses from the ports that a flow is that of a client (RFC 6335 §6).
func asks(f *observe.Flow) bool {
	return f.DstPort < 1024 && f.SrcPort >= 1024 || f.SrcPort >= 32768 && f.DstPort < 32768
}

// number reads an unsigned number of reduced size (RFC 7011 §6.2).
func number(v []byte) (n uint64) {
	if len(v) > 8 {
		return 0
	}
	for _, c := range v {
		n = n<<8 | uint64(c)
	}
	return n
}

func seconds(n uint64) int64 { return int64(n & (1<<48 - 1)) }

// ntp reads seconds of a timestamp of RFC 5905, which count from 1900.
func ntp(n uint64) int64 {
	const epoch = 2208988800
	return max(int64(n>>32)-epoch, 0)
}

// address reads an address; one of zeros leaves what the other version said.
func address(v []byte, old observe.Addr) observe.Addr {
	a, ok := netip.AddrFromSlice(v)
	if !ok || a.IsUnspecified() && !old.IsZero() {
		return old
	}
	return observe.AddrOf(a)
}

// sampled reads sFlow v5 (sflow.org, "sFlow version 5"): packets picked at
// random. Each is a flow of one packet; the counts are not multiplied, because
// what was not seen proves nothing.
func sampled(now time.Time, data []byte, at uint64, b *observe.LogBatch) error {
	var p sflow.Packet
	if !roomForRecords(data) {
		return errDamaged
	}
	if err := sflow.DecodeMessageVersion(bytes.NewBuffer(data), &p); err != nil {
		return errDamaged
	}
	for _, s := range p.Samples {
		var list []sflow.FlowRecord
		switch x := s.(type) {
		case sflow.FlowSample:
			list = x.Records
		case sflow.ExpandedFlowSample:
			list = x.Records
		}
		for i := range list {
			sample(list[i].Data, now, at, b)
		}
	}
	return nil
}

// roomForRecords reports whether the expanded flow samples of an sFlow datagram have room
// for the records they claim. Of all counts this is the one that the library makes room
// for without a look: a datagram of 170 bytes asked for gigabytes.
func roomForRecords(data []byte) bool {
	const (
		expanded = 3  // flow_sample_expanded of enterprise 0
		counted  = 40 // bytes of such a sample before the number of its records
		record   = 8  // bytes of the smallest record
	)
	head := 4 + 4 + 4 + 16 // version, kind of address, IPv4 address, four numbers
	if len(data) >= 8 && binary.BigEndian.Uint32(data[4:]) == 2 {
		head += 12
	}
	for rest := data[min(head, len(data)):]; len(rest) >= 8; {
		format, length := binary.BigEndian.Uint32(rest), binary.BigEndian.Uint32(rest[4:])
		if rest = rest[8:]; int64(length) > int64(len(rest)) {
			return true // what is cut off is not read
		}
		if body := rest[:length]; format == expanded && len(body) >= counted+4 {
			if n := binary.BigEndian.Uint32(body[counted:]); int64(n) > int64(len(body)-counted-4)/record {
				return false
			}
		}
		rest = rest[length:]
	}
	return true
}

func sample(data any, now time.Time, at uint64, b *observe.LogBatch) {
	f := observe.Flow{Packets: 1, Start: max(now.Unix(), 0), End: max(now.Unix(), 0), Record: at}
	switch x := data.(type) {
	case sflow.SampledHeader:
		link, known := linkOf(x.Protocol)
		p, ok := capture.Parse(link, x.HeaderData)
		if !known || !ok {
			return
		}
		f.Src, f.Dst, f.SrcPort, f.DstPort, f.Proto = p.Src, p.Dst, p.SrcPort, p.DstPort, p.Proto
		f.Flags, f.HasFlags, f.Bytes = p.Flags, p.HasFlags, uint64(max(p.Length, 0))
		b.Flows = append(b.Flows, f) // the flags are those of one packet: SYN and ACK is an answer
		return
	case sflow.SampledIPv4:
		addressed(&f, &x.SampledIPBase)
	case sflow.SampledIPv6:
		addressed(&f, &x.SampledIPBase)
	default:
		return
	}
	if !f.Src.IsZero() && !f.Dst.IsZero() {
		b.Flows = append(b.Flows, f)
	}
}

// linkOf is the link type of a header_protocol of sFlow.
func linkOf(protocol uint32) (link uint32, ok bool) {
	switch protocol {
	case 1:
		return 1, true
	case 11:
		return 228, true
	case 12:
		return 229, true
	}
	return 0, false
}

func addressed(f *observe.Flow, x *sflow.SampledIPBase) {
	f.Src, f.Dst = address(x.SrcIP, f.Src), address(x.DstIP, f.Dst)
	f.SrcPort, f.DstPort, f.Proto, f.Bytes = uint16(x.SrcPort), uint16(x.DstPort), uint8(x.Protocol), uint64(x.Length)
	f.Flags, f.HasFlags = uint8(x.TcpFlags), x.Protocol == uint32(observe.ProtoTCP)
}
