package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// The other side of these tests is gopacket: it writes the files and packets.

func serialize(t testing.TB, list ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, list...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

var (
	v4    = &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{10, 0, 0, 1}}
	v6    = &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolTCP, HopLimit: 64, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2")}
	syn   = &layers.TCP{SrcPort: 51234, DstPort: 22, Seq: 7, SYN: true, Window: 1024}
	ether = &layers.Ethernet{SrcMAC: net.HardwareAddr{1, 2, 3, 4, 5, 6}, DstMAC: net.HardwareAddr{1, 2, 3, 4, 5, 7}, EthernetType: layers.EthernetTypeIPv4}
	word  = gopacket.Payload("hello")
)

// TestLinks: the same packet behind every link layer that is read.
func TestLinks(t *testing.T) {
	ip := serialize(t, v4, syn, word)
	ip6 := serialize(t, v6, syn, word)
	prefix := func(p string, b []byte) []byte { return append([]byte(p), b...) }
	for name, c := range map[string]struct {
		link uint32
		data []byte
	}{
		"ethernet":  {1, serialize(t, ether, v4, syn, word)},
		"padded":    {1, append(serialize(t, ether, v4, syn, word), 0, 0, 0, 0, 0, 0)},
		"vlan":      {1, serialize(t, &layers.Ethernet{SrcMAC: ether.SrcMAC, DstMAC: ether.DstMAC, EthernetType: layers.EthernetTypeDot1Q}, &layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeDot1Q}, &layers.Dot1Q{VLANIdentifier: 8, Type: layers.EthernetTypeIPv4}, v4, syn, word)},
		"mpls":      {1, serialize(t, &layers.Ethernet{SrcMAC: ether.SrcMAC, DstMAC: ether.DstMAC, EthernetType: layers.EthernetTypeMPLSUnicast}, &layers.MPLS{Label: 5}, &layers.MPLS{Label: 6, StackBottom: true}, v4, syn, word)},
		"pppoe":     {1, serialize(t, &layers.Ethernet{SrcMAC: ether.SrcMAC, DstMAC: ether.DstMAC, EthernetType: layers.EthernetTypePPPoESession}, &layers.PPPoE{Version: 1, Type: 1, SessionId: 9}, gopacket.Payload(prefix("\x00\x21", ip)))},
		"raw":       {101, ip},
		"raw BSD":   {12, ip},
		"ipv4":      {228, ip},
		"null":      {0, prefix("\x02\x00\x00\x00", ip)},
		"loop":      {108, prefix("\x00\x00\x00\x02", ip)},
		"sll":       {113, prefix("\x00\x00\x00\x01\x00\x06\x01\x02\x03\x04\x05\x06\x00\x00\x08\x00", ip)},
		"sll2":      {276, prefix("\x08\x00\x00\x00\x00\x00\x00\x02\x00\x01\x00\x06\x01\x02\x03\x04\x05\x06\x00\x00", ip)},
		"ipv6":      {229, ip6},
		"raw v6":    {101, ip6},
		"v6 null":   {0, prefix("\x0a\x00\x00\x00", ip6)},
		"v6 hop":    {101, extended(t, 0, "\x06\x00\x01\x04\x00\x00\x00\x00")},
		"v6 opts":   {101, extended(t, 60, "\x06\x01\x01\x0c"+string(make([]byte, 12)))},
		"v6 atomic": {101, extended(t, 44, "\x06\x00\x00\x00\x00\x00\x00\x07")},
	} {
		p, ok := Parse(c.link, c.data)
		if !ok || p.SrcPort != 51234 || p.DstPort != 22 || p.Proto != observe.ProtoTCP || p.Flags != observe.FlagSYN || !p.HasFlags || p.Seq != 7 || string(p.Payload) != "hello" {
			t.Errorf("%s: %v %+v", name, ok, p)
		}
		if !Links(c.link) {
			t.Errorf("%s: link type %d is not read", name, c.link)
		}
		// Cut anywhere it must not panic, nor invent bytes.
		for i := range c.data {
			if p, ok := Parse(c.link, c.data[:i]); ok && len(p.Payload) > 0 && !bytes.HasPrefix([]byte("hello\x00\x00\x00\x00\x00\x00"), p.Payload) {
				t.Errorf("%s cut at %d: payload %q", name, i, p.Payload)
			}
		}
	}
	if p, ok := Parse(1, serialize(t, ether, v4, syn, word)[:14+20+16]); !ok || !p.HasPorts || !p.HasFlags || p.Payload != nil {
		t.Errorf("a cut TCP header: %v %+v", ok, p)
	}
}

// extended puts an extension header between IPv6 and TCP.
func extended(t *testing.T, next uint8, ext string) []byte {
	t.Helper()
	tcp := serialize(t, syn, word)
	h := *v6
	h.NextHeader = layers.IPProtocol(next)
	return serialize(t, &h, gopacket.Payload(append([]byte(ext), tcp...)))
}

func TestFragments(t *testing.T) {
	h := *v4
	h.Protocol, h.Id, h.Flags = layers.IPProtocolUDP, 77, layers.IPv4MoreFragments
	first, ok := Parse(101, serialize(t, &h, &layers.UDP{SrcPort: 5, DstPort: 53, Length: 900}, word))
	if !ok || !first.More || first.Fragment || first.ID != 77 || first.DstPort != 53 {
		t.Errorf("%+v", first)
	}
	h.Flags, h.FragOffset = 0, 9
	second, ok := Parse(101, serialize(t, &h, word))
	if !ok || second.More || !second.Fragment || second.ID != 77 || second.HasPorts || second.Payload != nil || second.Length != 25 {
		t.Errorf("%+v", second)
	}
}

func TestUnreachable(t *testing.T) {
	inner := serialize(t, &layers.IPv4{Version: 4, IHL: 5, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{192, 0, 2, 1}}, &layers.UDP{SrcPort: 5, DstPort: 161}, word)
	h := *v4
	h.Protocol = layers.IPProtocolICMPv4
	p, ok := Parse(101, serialize(t, &h, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 3)}, gopacket.Payload(inner)))
	about, is := p.Unreachable()
	if !ok || !is || about.DstPort != 161 || about.Src != observe.Addr4(10<<24|1) {
		t.Errorf("%+v %v %+v", p, is, about)
	}
	if _, is := (&Packet{Proto: observe.ProtoICMP, Payload: make([]byte, 60)}).Unreachable(); is {
		t.Error("an echo is taken for an error")
	}
}

var when = time.Unix(1700000000, 123456789).UTC()

// files writes packets with gopacket in every form.
func files(t testing.TB, packets ...[]byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	write := func(name string, w func(ci gopacket.CaptureInfo, data []byte) error) {
		for _, p := range packets {
			if err := w(gopacket.CaptureInfo{Timestamp: when, CaptureLength: len(p), Length: len(p) + 3}, p); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	var micro, nano, ng bytes.Buffer
	a, b := pcapgo.NewWriter(&micro), pcapgo.NewWriterNanos(&nano)
	if err := errors.Join(a.WriteFileHeader(65536, layers.LinkTypeEthernet), b.WriteFileHeader(65536, layers.LinkTypeEthernet)); err != nil {
		t.Fatal(err)
	}
	write("micro", a.WritePacket)
	write("nano", b.WritePacket)
	c, err := pcapgo.NewNgWriter(&ng, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	write("ng", c.WritePacket)
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	out["micro"], out["nano"], out["ng"] = micro.Bytes(), nano.Bytes(), ng.Bytes()
	out["swapped"] = swap(micro.Bytes())
	return out
}

// swap writes a pcap file as a machine of the other order of bytes would.
func swap(b []byte) []byte {
	le, be := binary.LittleEndian, binary.BigEndian
	var out []byte
	out = be.AppendUint32(out, le.Uint32(b))
	out = be.AppendUint16(out, le.Uint16(b[4:]))
	out = be.AppendUint16(out, le.Uint16(b[6:]))
	for i := 8; i < 24; i += 4 {
		out = be.AppendUint32(out, le.Uint32(b[i:]))
	}
	for b = b[24:]; len(b) > 0; {
		n := int(le.Uint32(b[8:]))
		for i := 0; i < 16; i += 4 {
			out = be.AppendUint32(out, le.Uint32(b[i:]))
		}
		out = append(out, b[16:16+n]...)
		b = b[16+n:]
	}
	return out
}

func TestFiles(t *testing.T) {
	one, two := serialize(t, ether, v4, syn), serialize(t, ether, v4, syn, word)
	for name, data := range files(t, one, two) {
		if !Begins(data) {
			t.Errorf("%s is not recognised", name)
		}
		f, err := Open(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, want := range [][]byte{one, two} {
			fr, err := f.Next()
			if err != nil || !bytes.Equal(fr.Data, want) || fr.Link != 1 || fr.Length != len(want)+3 || fr.Time.Sub(when).Abs() > time.Microsecond {
				t.Errorf("%s packet %d: %+v %v", name, i, fr, err)
			}
		}
		for range 2 {
			if _, err := f.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v behind the last", name, err)
			}
		}
		for cut := 24; cut < len(data); cut++ {
			n, bad := count(t, data[:cut])
			if n > 1 || n+bad > 2 {
				t.Fatalf("%s cut at %d: %d packets, %d malformed", name, cut, n, bad)
			}
		}
	}
}

// count reads a file to its end.
func count(t testing.TB, data []byte) (n, bad int) {
	t.Helper()
	f, err := Open(bytes.NewReader(data))
	if err != nil {
		return 0, 0
	}
	for {
		fr, err := f.Next()
		var r *source.RecordError
		switch {
		case errors.As(err, &r):
			bad++
		case err != nil:
			return n, bad
		default:
			n++
			if len(fr.Data) > MaxFrame {
				t.Fatalf("%d bytes", len(fr.Data))
			}
			_, _ = Parse(fr.Link, fr.Data)
		}
	}
}

func TestHuge(t *testing.T) {
	data := files(t, serialize(t, ether, v4, syn))["micro"]
	data = append(bytes.Clone(data), data[24:]...)
	binary.LittleEndian.PutUint32(data[24+8:], MaxFrame+1)
	if n, bad := count(t, data); n != 0 || bad != 1 {
		t.Errorf("%d packets, %d malformed", n, bad)
	}
}

func FuzzFile(f *testing.F) {
	for _, data := range files(f, serialize(f, ether, v4, syn), serialize(f, ether, v4, syn, word)) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { count(t, data) })
}

func FuzzParse(f *testing.F) {
	f.Add(uint32(1), serialize(f, ether, v4, syn, word))
	f.Add(uint32(101), serialize(f, v6, syn, word))
	f.Fuzz(func(t *testing.T, link uint32, data []byte) {
		p, ok := Parse(link, data)
		if ok && (len(p.Payload) > len(data) || p.Length < 0 || p.Missing < 0) {
			t.Fatalf("%+v", p)
		}
		if about, ok := p.Unreachable(); ok && !about.HasPorts {
			t.Fatalf("%+v", about)
		}
	})
}
