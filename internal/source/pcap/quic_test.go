package pcap

import (
	"crypto/aes"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source/capture"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// TestQUICKeys: the keys of RFC 9001 A.1 and RFC 9369 A.1.
func TestQUICKeys(t *testing.T) {
	dcid, _ := hex.DecodeString("8394c8f03e515708")
	for v, want := range map[uint32]struct{ iv, hp string }{
		1:          {"fa044b2f42a3fd3b46fb255c", "9f50449e04a0e810283a1e9933adedd2"},
		0x6b3343cf: {"91f73e2351d8fa91660e909f", "45b95e15235d6f45a6b19cbcb0294ba9"},
	} {
		version, ok := quicVersionOf(v)
		if !ok {
			t.Fatalf("version %x", v)
		}
		k, err := newQUICKeys(version, dcid)
		if err != nil {
			t.Fatal(err)
		}
		hp, _ := hex.DecodeString(want.hp)
		block, err := aes.NewCipher(hp)
		if err != nil {
			t.Fatal(err)
		}
		var a, b, in [16]byte
		in[3] = 7
		block.Encrypt(a[:], in[:])
		k.head.Encrypt(b[:], in[:])
		if hex.EncodeToString(k.iv[:]) != want.iv || a != b {
			t.Errorf("version %x: iv %x, header key differs: %t", v, k.iv, a != b)
		}
	}
}

// clientHello is what crypto/tls says first over QUIC.
func clientHello(t testing.TB, name string) []byte {
	t.Helper()
	q := tls.QUICClient(&tls.QUICConfig{TLSConfig: &tls.Config{ServerName: name, MinVersion: tls.VersionTLS13, NextProtos: []string{"h3"}, InsecureSkipVerify: true}})
	q.SetTransportParameters([]byte{1, 1, 0})
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for {
		e := q.NextEvent()
		switch e.Kind {
		case tls.QUICWriteData:
			return append([]byte(nil), e.Data...)
		case tls.QUICNoEvent:
			t.Fatal("no ClientHello")
		}
	}
}

// cryptoFrame is a piece of the handshake.
func cryptoFrame(at int, data []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{6}, uint16(at)|0x4000)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(data))|0x4000), data...)
}

// seal makes an Initial packet of frames.
func seal(t testing.TB, version uint32, dcid []byte, number uint16, frames []byte) []byte {
	t.Helper()
	v, _ := quicVersionOf(version)
	k, err := newQUICKeys(v, dcid)
	if err != nil {
		t.Fatal(err)
	}
	frames = append(frames, make([]byte, max(0, 1100-len(frames)))...)
	b := binary.BigEndian.AppendUint32([]byte{0xc1 | v.initial<<4}, version) // a number of two bytes
	b = append(append(b, byte(len(dcid))), dcid...)
	b = append(b, 0, 0) // no source, no token
	b = binary.BigEndian.AppendUint16(b, uint16(2+len(frames)+16)|0x4000)
	at := len(b)
	b = binary.BigEndian.AppendUint16(b, number)
	nonce := k.iv
	nonce[10] ^= byte(number >> 8)
	nonce[11] ^= byte(number)
	b = k.aead.Seal(b, nonce[:], frames, append([]byte(nil), b...))
	var mask [16]byte
	k.head.Encrypt(mask[:], b[at+4:at+20])
	b[0] ^= mask[0] & 0x0f
	b[at] ^= mask[1]
	b[at+1] ^= mask[2]
	return b
}

// TestQUIC: the name and the fingerprint of a client, however its first words are cut up.
func TestQUIC(t *testing.T) {
	dcid := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	text := clientHello(t, "quic.example.com")
	half := len(text) / 2
	first, second := cryptoFrame(0, text[:half]), cryptoFrame(half, text[half:])
	for name, packets := range map[string][][]byte{
		"in one packet":       {seal(t, 1, dcid, 0, cryptoFrame(0, text))},
		"version 2":           {seal(t, 0x6b3343cf, dcid, 0, cryptoFrame(0, text))},
		"in two frames":       {seal(t, 1, dcid, 0, append(append([]byte{1}, second...), first...))},
		"in two packets":      {seal(t, 1, dcid, 0, first), seal(t, 1, dcid, 1, second)},
		"in the other order":  {seal(t, 1, dcid, 1, second), seal(t, 1, dcid, 0, first)},
		"behind one another":  {append(seal(t, 1, dcid, 0, first), seal(t, 1, dcid, 1, second)...)},
		"with something else": {append(seal(t, 1, dcid, 0, cryptoFrame(0, text)), 0x40, 1, 2, 3)},
	} {
		w := newWire(t)
		for _, p := range packets {
			w.udp("192.0.2.1:50000", "10.0.0.1:443", p)
		}
		w.udp("10.0.0.1:443", "192.0.2.1:50000", []byte{0xc0, 0, 0, 0, 1, 0})
		s := w.read()
		if len(s.events) != 1 || s.events[0].Interaction == nil {
			t.Errorf("%s: %d events", name, len(s.events))
			continue
		}
		i := s.events[0].Interaction
		if i.Protocol != "quic" || i.Prints.SNI != "quic.example.com" || i.Prints.ALPN != "h3" || !strings.HasPrefix(i.Prints.JA4, "q13d") || !s.events[0].Spoofable {
			t.Errorf("%s: %+v", name, i)
		}
	}
}

// TestNoQUIC: what is not, is damaged or never ends is nothing, and forgotten.
func TestNoQUIC(t *testing.T) {
	dcid := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	damaged := seal(t, 1, dcid, 0, cryptoFrame(0, clientHello(t, "a.example")))
	damaged[700] ^= 1
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 1200)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	copy(noise, []byte{0xc3, 0, 0, 0, 1, 8})
	w := newWire(t)
	w.udp("192.0.2.1:50000", "10.0.0.1:443", damaged)
	w.udp("192.0.2.2:50000", "10.0.0.1:443", noise)
	for n := range 20 { // a handshake whose beginning never comes
		w.udp("192.0.2.3:50000", "10.0.0.1:443", seal(t, 1, dcid, uint16(n), cryptoFrame(100+n*10, make([]byte, 10))))
	}
	for n := range 24 {
		w.udp("192.0.2.4:50000", "10.0.0.1:443", append([]byte(nil), damaged[:n]...))
	}
	if s := w.read(); len(s.events) != 0 {
		t.Errorf("%+v", s.events)
	}
}

// pieces4 writes an IPv4 packet in pieces of n bytes, in the order given.
func (w *wire) pieces4(src, dst netip.Addr, proto layers.IPProtocol, id uint16, body []byte, n int, order ...int) {
	w.t.Helper()
	last := (len(body) + n - 1) / n
	for _, k := range order {
		from, to := k*n, min((k+1)*n, len(body))
		ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Id: id, Protocol: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice(), FragOffset: uint16(from / 8)}
		if k < last-1 {
			ip.Flags = layers.IPv4MoreFragments
		}
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ip, gopacket.Payload(body[from:to])); err != nil {
			w.t.Fatal(err)
		}
		w.n++
		if err := w.w.WritePacket(gopacket.CaptureInfo{Timestamp: w.now, CaptureLength: len(b.Bytes()), Length: len(b.Bytes())}, b.Bytes()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// udpOf is a datagram with its header.
func udpOf(sport, dport uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	return append(append(b, 0, 0), data...)
}

// TestPieces: a packet in pieces is read when it is whole, and only then.
func TestPieces(t *testing.T) {
	body := udpOf(4000, 53, dns(t, ask(9, "a-name-that-is-long-enough-for-pieces.example.com", layers.DNSTypeTXT)))
	n := 24
	last := (len(body)+n-1)/n - 1
	for name, c := range map[string]struct {
		order []int
		want  int
	}{
		"in order": {seq(0, last), 1}, "backwards": {seq(last, 0), 1}, "one twice": {append([]int{0}, seq(0, last)...), 1},
		"without the first": {seq(1, last), 0}, "without the last": {seq(0, last-1), 0},
	} {
		w := newWire(t)
		w.pieces4(clientIP, serverIP, layers.IPProtocolUDP, 77, body, n, c.order...)
		s := w.read()
		if len(s.queries) != c.want {
			t.Errorf("%s: %d questions", name, len(s.queries))
		}
	}
	// Pieces that contradict each other are nobody's packet.
	w := newWire(t)
	w.pieces4(clientIP, serverIP, layers.IPProtocolUDP, 77, body, n, 0)
	other := append([]byte(nil), body...)
	other[20] ^= 1
	w.pieces4(clientIP, serverIP, layers.IPProtocolUDP, 77, other, n, 0)
	w.pieces4(clientIP, serverIP, layers.IPProtocolUDP, 77, body, n, seq(1, last)...)
	if s := w.read(); len(s.queries) != 0 {
		t.Errorf("%+v", s.queries)
	}
}

func seq(from, to int) (out []int) {
	step := 1
	if to < from {
		step = -1
	}
	for i := from; ; i += step {
		out = append(out, i)
		if i == to {
			return out
		}
	}
}

// TestScanInPieces: the flags of a scan that hides them in the second piece (nmap -f) are seen.
func TestScanInPieces(t *testing.T) {
	w := newWire(t)
	for port := range 40 {
		tcp := make([]byte, 20)
		binary.BigEndian.PutUint16(tcp, 40000)
		binary.BigEndian.PutUint16(tcp[2:], uint16(20+port))
		tcp[12], tcp[13] = 5<<4, observe.FlagSYN
		w.pieces4(clientIP, serverIP, layers.IPProtocolTCP, uint16(port+1), tcp, 8, 0, 1, 2)
	}
	syn := 0
	for _, f := range w.read().flows {
		if f.HasFlags && f.Flags&observe.FlagSYN != 0 && f.DstPort >= 20 {
			syn++
		}
	}
	if syn != 40 {
		t.Errorf("%d of 40 ports were touched with a SYN", syn)
	}
}

// FuzzQUIC: no datagram and no decrypted frames break the reader or make it keep more than its caps.
func FuzzQUIC(f *testing.F) {
	f.Add(seal(f, 1, []byte{1, 2, 3, 4}, 0, cryptoFrame(0, clientHello(f, "a.example"))))
	f.Add(append([]byte{2, 1, 0, 0, 0, 1}, cryptoFrame(5, []byte("abc"))...))
	f.Add([]byte{6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		var b observe.LogBatch
		table := newTable(Default())
		c := table.begin(key{proto: observe.ProtoUDP}, false, &capture.Packet{}, time.Unix(1, 0), &b)
		for range 12 {
			table.quic(c, data, time.Unix(1, 0), 0, &b)
		}
		h := &quicHello{}
		for range 3 {
			_ = h.frames(data) // any error is right
		}
		if len(h.chunks) > maxChunks || len(h.message()) > maxHello+recordHead {
			t.Fatalf("%d chunks", len(h.chunks))
		}
		table.end(c, &b)
		if table.kept != 0 {
			t.Fatalf("%d bytes are kept of nothing", table.kept)
		}
	})
}
