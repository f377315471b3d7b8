package pcap

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// wire writes a capture with gopacket, which is the other side of these tests.
type wire struct {
	t   testing.TB
	buf bytes.Buffer
	w   *pcapgo.Writer
	now time.Time
	n   int
}

func newWire(t testing.TB) *wire {
	t.Helper()
	w := &wire{t: t, now: time.Unix(1700000000, 0).UTC()}
	w.w = pcapgo.NewWriterNanos(&w.buf)
	if err := w.w.WriteFileHeader(65536, layers.LinkTypeRaw); err != nil {
		t.Fatal(err)
	}
	return w
}

var (
	clientIP = netip.MustParseAddr("192.0.2.1")
	serverIP = netip.MustParseAddr("10.0.0.1")
)

// put writes a packet a millisecond after the last.
func (w *wire) put(src, dst netip.Addr, proto layers.IPProtocol, list ...gopacket.SerializableLayer) {
	w.t.Helper()
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, append([]gopacket.SerializableLayer{ip}, list...)...); err != nil {
		w.t.Fatal(err)
	}
	w.now = w.now.Add(time.Millisecond)
	w.n++
	if err := w.w.WritePacket(gopacket.CaptureInfo{Timestamp: w.now, CaptureLength: len(b.Bytes()), Length: len(b.Bytes())}, b.Bytes()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) udp(src, dst string, data []byte) {
	w.t.Helper()
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	w.put(s.Addr(), d.Addr(), layers.IPProtocolUDP, &layers.UDP{SrcPort: layers.UDPPort(s.Port()), DstPort: layers.UDPPort(d.Port())}, gopacket.Payload(data))
}

// conn is a connection whose numbers are right.
type conn struct {
	w            *wire
	cport, sport uint16
	cseq, sseq   uint32
}

func (c *conn) send(up bool, flags string, data string) {
	c.w.t.Helper()
	tcp := &layers.TCP{SrcPort: layers.TCPPort(c.cport), DstPort: layers.TCPPort(c.sport), Seq: c.cseq, Ack: c.sseq}
	src, dst := clientIP, serverIP
	if !up {
		tcp.SrcPort, tcp.DstPort, tcp.Seq, tcp.Ack = tcp.DstPort, tcp.SrcPort, c.sseq, c.cseq
		src, dst = dst, src
	}
	tcp.SYN, tcp.ACK, tcp.FIN, tcp.RST, tcp.PSH = strings.Contains(flags, "S"), strings.Contains(flags, "A"), strings.Contains(flags, "F"), strings.Contains(flags, "R"), strings.Contains(flags, "P")
	c.w.put(src, dst, layers.IPProtocolTCP, tcp, gopacket.Payload(data))
	n := uint32(len(data))
	if tcp.SYN || tcp.FIN {
		n++
	}
	if up {
		c.cseq += n
	} else {
		c.sseq += n
	}
}

func (w *wire) dial(cport, sport uint16) *conn {
	w.t.Helper()
	c := &conn{w, cport, sport, 1<<32 - 5, 7000} // the numbers wrap around
	c.send(true, "S", "")
	c.send(false, "SA", "")
	c.send(true, "A", "")
	return c
}

func (c *conn) close() {
	c.w.t.Helper()
	c.send(true, "FA", "")
	c.send(false, "FA", "")
	c.send(true, "A", "")
}

// seen is what a capture gave.
type seen struct {
	flows   []observe.Flow
	queries []observe.Query
	events  []observe.LogEvent
	counts  source.Counts
}

func read(t testing.TB, conf Config, data []byte) (s seen, err error) {
	t.Helper()
	f, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	c, ok := f.(source.Container)
	if !ok {
		t.Fatal("no container")
	}
	recs, err := c.Open(&source.Input{Head: data[:min(len(data), source.HeadLen)], Stream: bytes.NewReader(data)})
	if err != nil {
		return s, err
	}
	defer recs.Close()
	s.counts, err = source.ReadRecords(t.Context(), source.Options{Input: "x", Format: "pcap"}, data, recs, func(_ context.Context, b *observe.LogBatch) error {
		s.flows = append(s.flows, b.Flows...)
		s.queries = append(s.queries, b.Queries...)
		s.events = append(s.events, b.Events...)
		return nil
	})
	return s, err
}

func (w *wire) read() seen {
	w.t.Helper()
	s, err := read(w.t, Default(), w.buf.Bytes())
	if err != nil || s.counts.Records != uint64(w.n) {
		w.t.Fatalf("%+v of %d packets, %v", s.counts, w.n, err)
	}
	return s
}

func TestConnection(t *testing.T) {
	w := newWire(t)
	c := w.dial(51234, 80)
	c.send(true, "PA", "GET /a?b=c HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: curl/8\r\n\r\n")
	c.send(false, "PA", "HTTP/1.1 404 Not Found\r\n\r\n")
	c.close()
	s := w.read()
	if len(s.flows) != 2 {
		t.Fatalf("%+v", s.flows)
	}
	up, down := s.flows[0], s.flows[1]
	if up.Src.Netip() != clientIP || up.SrcPort != 51234 || up.DstPort != 80 || up.Proto != observe.ProtoTCP || !up.HasFlags ||
		up.Flags != observe.FlagSYN|observe.FlagFIN|observe.FlagPSH || up.Packets != 5 || up.Bytes != 5*40+66 || up.Record != 7 || up.Start != 1700000000 {
		t.Errorf("up: %+v", up)
	}
	if down.Src.Netip() != serverIP || down.DstPort != 51234 || down.Flags != observe.FlagSYN|observe.FlagACK|observe.FlagFIN|observe.FlagPSH || down.Packets != 3 {
		t.Errorf("down: %+v", down)
	}
	if len(s.events) != 1 || s.events[0].HTTP == nil {
		t.Fatalf("%+v", s.events)
	}
	e := s.events[0]
	if h := e.HTTP; h.Method != "GET" || h.Target != "/a?b=c" || h.Proto != "HTTP/1.1" || h.Host != "www.example.com" || h.Status != 404 || h.Header("user-agent") != "curl/8" ||
		e.Record != 4 || e.Spoofable || e.Remote.String() != "192.0.2.1:51234" || e.Local.String() != "10.0.0.1:80" {
		t.Errorf("%+v %+v", e, h)
	}
}

// TestSegments: a request is read whatever segments it comes in, out of order
// and twice; bodies and several requests stay apart.
func TestSegments(t *testing.T) {
	w := newWire(t)
	c := w.dial(51234, 8080)
	text := "POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 21\r\n\r\nGET /no HTTP/1.1 user" + "GET /two HTTP/1.1\r\n\r\n"
	start := c.cseq
	at := func(from, to int) {
		c.cseq = start + uint32(from)
		c.send(true, "A", text[from:to])
	}
	at(0, 2)
	at(10, 30)
	at(2, 10)
	at(2, 10)
	at(5, 40)
	at(70, len(text))
	at(40, 70)
	c.cseq = start + uint32(len(text))
	c.send(false, "A", "HTTP/1.1 100 Continue\r\n\r\n")
	c.send(false, "A", "HTTP/1.1 401 Unauthorized\r\n\r\n")
	c.send(false, "A", "HTTP/1.1 200 OK\r\n\r\n")
	s := w.read()
	if len(s.events) != 2 {
		t.Fatalf("%d events: %+v", len(s.events), s.events)
	}
	one, two := s.events[0].HTTP, s.events[1].HTTP
	if one.Method != "POST" || one.Status != 401 || string(one.Body) != "GET /no HTTP/1.1 user" || one.BodyLen != 21 || two.Target != "/two" || two.Status != 200 {
		t.Errorf("%+v %+v", one, two)
	}
}

// TestProof: only who finished a handshake, or was answered with content, is real.
func TestProof(t *testing.T) {
	const get = "GET / HTTP/1.1\r\n\r\n"
	blind := func(ack uint32) bool {
		w := newWire(t)
		c := &conn{w, 51234, 80, 5, 7000}
		c.send(true, "S", "")
		c.send(false, "SA", "")
		c.sseq = ack // what who forged the address guesses
		c.send(true, "A", "")
		c.send(true, "A", get)
		return w.read().events[0].Spoofable
	}
	if blind(7001) || !blind(1) || !blind(7000) {
		t.Error("the number of the server does not decide")
	}
	w := newWire(t)
	c := &conn{w, 51234, 80, 5, 7000}
	c.send(true, "A", get) // the capture began late
	if s := w.read(); !s.events[0].Spoofable {
		t.Error("a request without anything else proves its sender")
	}
	c.send(false, "A", "HTTP/1.1 200 OK\r\n\r\n")
	if s := w.read(); s.events[0].Spoofable || s.events[0].HTTP.Status != 200 || s.flows[0].Flags&observe.FlagSYN != 0 {
		t.Errorf("%+v", s)
	}
}

func TestScan(t *testing.T) {
	w := newWire(t)
	for port := uint16(1); port <= 40; port++ {
		c := &conn{w, 40000, port, 5, 0}
		c.send(true, "S", "")
		c.send(false, "RA", "")
	}
	s := w.read()
	if len(s.flows) != 80 {
		t.Fatalf("%d flows", len(s.flows))
	}
	for i := 0; i < len(s.flows); i += 2 {
		if f := s.flows[i]; f.Src.Netip() != clientIP || f.Flags != observe.FlagSYN || f.Packets != 1 || f.Bytes != 40 {
			t.Fatalf("%+v", f)
		}
		if f := s.flows[i+1]; f.Flags&observe.FlagSYN != 0 || f.Src.Netip() != serverIP {
			t.Fatalf("%+v", f)
		}
	}
}

func TestRefused(t *testing.T) {
	w := newWire(t)
	w.udp("192.0.2.1:4000", "10.0.0.1:161", []byte("hello"))
	inner := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(inner, gopacket.SerializeOptions{FixLengths: true}, &layers.IPv4{Version: 4, IHL: 5, Protocol: layers.IPProtocolUDP, SrcIP: clientIP.AsSlice(), DstIP: serverIP.AsSlice()},
		&layers.UDP{SrcPort: 4000, DstPort: 161}, gopacket.Payload("hello")); err != nil {
		t.Fatal(err)
	}
	w.put(serverIP, clientIP, layers.IPProtocolICMPv4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 3)}, gopacket.Payload(inner.Bytes()))
	s := w.read()
	i := slices.IndexFunc(s.flows, func(f observe.Flow) bool { return f.Proto == observe.ProtoUDP })
	if i < 0 || s.flows[i].Action != observe.FlowReject {
		t.Errorf("%+v", s.flows)
	}
}

func dns(t testing.TB, d *layers.DNS) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := d.SerializeTo(b, gopacket.SerializeOptions{FixLengths: true}); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

func ask(id uint16, name string, kind layers.DNSType) *layers.DNS {
	return &layers.DNS{ID: id, RD: true, QDCount: 1, Questions: []layers.DNSQuestion{{Name: []byte(name), Type: kind, Class: layers.DNSClassIN}}}
}

func TestDNS(t *testing.T) {
	w := newWire(t)
	const client, server = "192.0.2.1:4000", "10.0.0.1:53"
	w.udp(client, server, dns(t, ask(1, "WWW.Example.com", layers.DNSTypeA)))
	w.udp(client, server, dns(t, ask(2, "lost.example.com", layers.DNSTypeTXT)))
	reply := ask(1, "WWW.Example.com", layers.DNSTypeA)
	reply.QR = true
	reply.Answers = []layers.DNSResourceRecord{{Name: []byte("www.example.com"), Type: layers.DNSTypeCNAME, Class: layers.DNSClassIN, TTL: 300, CNAME: []byte("b.example.com")},
		{Name: []byte("b.example.com"), Type: layers.DNSTypeA, Class: layers.DNSClassIN, TTL: 60, IP: net.IP{198, 51, 100, 7}}}
	reply.ANCount = 2
	w.udp(server, client, dns(t, reply))
	none := ask(3, "none.example.com", layers.DNSTypeAAAA)
	none.QR, none.ResponseCode = true, layers.DNSResponseCodeNXDomain
	w.udp(server, client, dns(t, none)) // its question was not captured
	w.udp(client, server, []byte("no DNS"))
	q := w.read().queries
	if len(q) != 3 {
		t.Fatalf("%+v", q)
	}
	if a := q[0]; a.Name != "www.example.com" || a.Type != "A" || a.RCode != "NOERROR" || !a.Answered || fmt.Sprint(a.Answers) != "[b.example.com 198.51.100.7]" || a.TTL != 60 ||
		a.Record != 2 || !a.Spoofable || a.Client.Netip() != clientIP || a.Server.Netip() != serverIP || a.ClientPort != 4000 || a.ServerPort != 53 {
		t.Errorf("%+v", a)
	}
	if a := q[1]; a.Name != "none.example.com" || a.Type != "AAAA" || a.RCode != "NXDOMAIN" || a.Client.Netip() != clientIP {
		t.Errorf("%+v", a)
	}
	if a := q[2]; a.Name != "lost.example.com" || a.Type != "TXT" || a.Answered || a.RCode != "" || a.Record != 1 {
		t.Errorf("%+v", a)
	}
}

func TestDNSOverTCP(t *testing.T) {
	w := newWire(t)
	c := w.dial(4000, 53)
	frame := func(d *layers.DNS) string {
		b := dns(t, d)
		return string([]byte{byte(len(b) >> 8), byte(len(b))}) + string(b)
	}
	text := frame(ask(9, "example.com", layers.DNSTypeTXT))
	c.send(true, "A", text[:1])
	c.send(true, "A", text[1:20])
	c.send(true, "A", text[20:])
	reply := ask(9, "example.com", layers.DNSTypeTXT)
	reply.QR, reply.ANCount = true, 1
	reply.Answers = []layers.DNSResourceRecord{{Name: []byte("example.com"), Type: layers.DNSTypeTXT, Class: layers.DNSClassIN, TTL: 5, TXTs: [][]byte{[]byte("a\x01"), []byte("b")}}}
	text = frame(reply)
	c.send(false, "A", text[:30])
	c.send(false, "A", text[30:])
	q := w.read().queries
	if len(q) != 1 || !q[0].Answered || q[0].Spoofable || q[0].Proto != observe.ProtoTCP || fmt.Sprint(q[0].Answers) != `[a\001b]` {
		t.Errorf("%+v", q)
	}
}

// hello is what Go's own client says first.
func hello(t testing.TB) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	go func() {
		_ = tls.Client(a, &tls.Config{ServerName: "www.example.com", NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}).Handshake() // nobody answers
	}()
	buf := make([]byte, 4096)
	n, err := b.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func TestTLS(t *testing.T) {
	w := newWire(t)
	c := w.dial(51234, 443)
	text := string(hello(t))
	c.send(true, "A", text[:100])
	c.send(true, "A", text[100:])
	s := w.read()
	if len(s.events) != 1 || s.events[0].Interaction == nil {
		t.Fatalf("%+v", s.events)
	}
	if p := s.events[0].Interaction.Prints; p.SNI != "www.example.com" || p.ALPN != "h2" || len(p.JA3) != 32 || !strings.HasPrefix(p.JA4, "t13d") || s.events[0].Spoofable || s.events[0].Record != 4 {
		t.Errorf("%+v", p)
	}
}

func TestTimeouts(t *testing.T) {
	w := newWire(t)
	c := w.dial(51234, 22)
	for range 50 {
		w.now = w.now.Add(30 * time.Second)
		c.send(true, "A", "x")
		c.send(false, "A", "y")
	}
	w.now = w.now.Add(2 * time.Minute)
	w.udp("192.0.2.1:4000", "10.0.0.1:161", []byte("hello"))
	s := w.read()
	var packets, flows uint64
	for _, f := range s.flows {
		if f.DstPort == 22 {
			packets += f.Packets
			flows++
			if f.End-f.Start > 631 {
				t.Errorf("%+v", f)
			}
		}
	}
	if packets != 52 || flows != 3 {
		t.Errorf("%d packets in %d flows", packets, flows)
	}
	if last := s.flows[len(s.flows)-1]; last.DstPort != 161 {
		t.Errorf("the silent conversation ended at the end of the capture: %+v", last)
	}
}

// TestPortAgain: a SYN behind the end is another conversation.
func TestPortAgain(t *testing.T) {
	w := newWire(t)
	for range 3 {
		w.dial(51234, 22).close()
	}
	if s := w.read(); len(s.flows) != 6 || s.flows[4].Flags != observe.FlagSYN|observe.FlagFIN || s.flows[4].Packets != 4 {
		t.Errorf("%+v", s.flows)
	}
}

// TestBounded: a flood of addresses leaves no more than what is configured.
func TestBounded(t *testing.T) {
	conf := Default()
	conf.Conversations = 100
	w := newWire(t)
	for i := range 1000 {
		src := netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
		w.put(src, serverIP, layers.IPProtocolTCP, &layers.TCP{SrcPort: 4000, DstPort: 80, SYN: true, Seq: 1})
	}
	f, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	c, ok := f.(source.Container)
	if !ok {
		t.Fatal("no container")
	}
	recs, err := c.Open(&source.Input{Head: w.buf.Bytes()[:100], Stream: bytes.NewReader(w.buf.Bytes())})
	if err != nil {
		t.Fatal(err)
	}
	r, ok := recs.(*records)
	if !ok {
		t.Fatal("other records")
	}
	var b observe.LogBatch
	var at uint64
	flows := 0
	for {
		n, err := r.Next(at, &b)
		at += uint64(n)
		flows += len(b.Flows)
		b.Reset()
		if len(r.table.all) > 100 {
			t.Fatalf("%d conversations", len(r.table.all))
		}
		if err != nil {
			break
		}
	}
	if flows != 1000 || at != 1000 {
		t.Errorf("%d flows of %d packets", flows, at)
	}
}

func TestStreamsBounded(t *testing.T) {
	w := newWire(t)
	c := w.dial(51234, 80)
	c.send(true, "A", "GET /"+strings.Repeat("a", 1000))
	for range 100 {
		c.send(true, "A", strings.Repeat("a", 1000))
	}
	c.send(true, "A", "GET /ok HTTP/1.1\r\n\r\n")
	s := w.read()
	if len(s.events) != 1 || s.events[0].HTTP.Target != "/ok" {
		t.Errorf("%+v", s.events)
	}
}

func TestOtherLinks(t *testing.T) {
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	if err := errors.Join(w.WriteFileHeader(100, layers.LinkType(105)), w.WritePacket(gopacket.CaptureInfo{CaptureLength: 3, Length: 3}, []byte("abc"))); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, Default(), b.Bytes()); err == nil || !strings.Contains(err.Error(), "link type 105") {
		t.Errorf("%v", err)
	}
	if _, err := read(t, Default(), []byte("2 123456789010 eni-1 192.0.2.1 192.0.2.2")); !errors.Is(err, source.ErrFormat) {
		t.Errorf("text: %v", err)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{{}, {Idle: time.Minute, Active: time.Second, Conversations: 100}, {Idle: time.Minute, Active: time.Hour, Conversations: 1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// FuzzCapture: whatever packets say, flows count what was captured and events
// have who and when.
func FuzzCapture(f *testing.F) {
	w := newWire(f)
	c := w.dial(51234, 80)
	c.send(true, "PA", "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
	c.send(false, "PA", "HTTP/1.1 200 OK\r\n\r\n")
	c.close()
	c = w.dial(51235, 443)
	c.send(true, "A", string(hello(f)))
	w.udp("192.0.2.1:4000", "10.0.0.1:53", dns(f, ask(1, "a.example.com", layers.DNSTypeTXT)))
	f.Add(w.buf.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		s, _ := read(t, Config{Idle: time.Second, Active: time.Minute, Conversations: 16}, data) // any error is right
		var packets uint64
		for i := range s.flows {
			packets += s.flows[i].Packets
		}
		if packets > s.counts.Records {
			t.Fatalf("%d packets in flows of %d", packets, s.counts.Records)
		}
		for i := range s.events {
			if e := &s.events[i]; !e.Remote.Addr().IsValid() || (e.HTTP == nil) == (e.Interaction == nil) {
				t.Fatalf("%+v", e)
			}
		}
		for i := range s.queries {
			if q := &s.queries[i]; q.Client.IsZero() || len(q.Answers) > observe.MaxAnswers {
				t.Fatalf("%+v", q)
			}
		}
	})
}

func BenchmarkCapture(b *testing.B) {
	w := newWire(b)
	for i := range 2000 {
		c := w.dial(uint16(10000+i), 80)
		c.send(true, "PA", "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
		c.send(false, "PA", "HTTP/1.1 200 OK\r\n\r\n"+strings.Repeat("x", 1000))
		c.close()
	}
	b.SetBytes(int64(w.buf.Len()))
	for b.Loop() {
		if _, err := read(b, Default(), w.buf.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(w.n), "ns/packet")
}
