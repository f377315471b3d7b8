package netflow

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/transport"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

var be = binary.BigEndian

var (
	src = netip.MustParseAddr("192.0.2.1")
	dst = netip.MustParseAddr("10.0.0.1")
)

// put writes numbers of one, two, four and eight bytes, and bytes as they are.
func put(list ...any) (b []byte) {
	for _, v := range list {
		switch x := v.(type) {
		case uint8:
			b = append(b, x)
		case uint16:
			b = be.AppendUint16(b, x)
		case uint32:
			b = be.AppendUint32(b, x)
		case uint64:
			b = be.AppendUint64(b, x)
		case []byte:
			b = append(b, x...)
		case string:
			b = append(b, x...)
		}
	}
	return b
}

func set1(id uint16, body []byte) []byte { return put(id, uint16(len(body)+4), body) }

func message9(domain uint32, sets ...[]byte) []byte {
	return put(uint16(9), uint16(len(sets)), uint32(60000), uint32(1700000000), uint32(1), domain, bytes.Join(sets, nil))
}

func message10(domain uint32, sets ...[]byte) []byte {
	body := bytes.Join(sets, nil)
	return put(uint16(10), uint16(16+len(body)), uint32(1700000000), uint32(1), domain, body)
}

// templateOf makes a template of pairs of number and length.
func templateOf(id uint16, fields ...uint16) []byte {
	b := put(id, uint16(len(fields)/2))
	for _, f := range fields {
		b = put(b, f)
	}
	return b
}

var (
	v5Message = put(uint16(5), uint16(1), uint32(60000), uint32(1700000000), uint32(500000000), uint32(1), uint8(0), uint8(0), uint16(0),
		src.AsSlice(), dst.AsSlice(), uint32(0), uint16(1), uint16(2), uint32(3), uint32(120), uint32(50000), uint32(58000), uint16(51234), uint16(22),
		uint8(0), uint8(2), uint8(6), uint8(0), uint16(0), uint16(0), uint8(24), uint8(24), uint16(0))
	template9  = set1(0, templateOf(300, src4, 4, dst4, 4, srcPort, 2, dstPort, 2, protocol, 1, tcpBits, 1, packetDelta, 4, octetDelta, 4, firstSwitched, 4, lastSwitched, 4))
	data9      = set1(300, put(src.AsSlice(), dst.AsSlice(), uint16(51234), uint16(22), uint8(6), uint8(2), uint32(3), uint32(120), uint32(50000), uint32(58000)))
	template10 = set1(2, templateOf(400, src6, 16, dst6, 16, srcPort, 2, dstPort, 2, protocol, 1, tcpBits, 2, packetDelta, 8, octetDelta, 8, startMilli, 8, endMilli, 8, forwarding, 1))
	data10     = set1(400, put(netip.MustParseAddr("2001:db8::1").AsSlice(), netip.MustParseAddr("2001:db8::2").AsSlice(), uint16(51234), uint16(22), uint8(6), uint16(2), uint64(3), uint64(120),
		uint64(1699999990500), uint64(1699999998500), uint8(0x80)))
)

func sflowMessage(t testing.TB, flags string) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true},
		&layers.Ethernet{SrcMAC: net.HardwareAddr{1, 2, 3, 4, 5, 6}, DstMAC: net.HardwareAddr{1, 2, 3, 4, 5, 7}, EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, IHL: 5, Protocol: layers.IPProtocolTCP, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()},
		&layers.TCP{SrcPort: 51234, DstPort: 22, SYN: strings.Contains(flags, "S"), ACK: strings.Contains(flags, "A")})
	if err != nil {
		t.Fatal(err)
	}
	head := b.Bytes()
	for len(head)%4 != 0 {
		head = append(head, 0)
	}
	raw := put(uint32(1), uint32(len(b.Bytes())), uint32(4), uint32(len(b.Bytes())), head)
	sample := put(uint32(1), uint32(0), uint32(1000), uint32(1), uint32(0), uint32(1), uint32(2), uint32(1), uint32(1), uint32(len(raw)), raw)
	return put(uint32(5), uint32(1), src.AsSlice(), uint32(0), uint32(1), uint32(60000), uint32(1), uint32(1), uint32(len(sample)), sample)
}

func decode(t testing.TB, d *decoder, from string, data []byte) ([]observe.Flow, error) {
	t.Helper()
	var b observe.LogBatch
	err := d.Decode(netip.MustParseAddrPort(from), time.Unix(1700000000, 0), data, 5, &b)
	return b.Flows, err
}

const exporter1, exporter2 = "198.51.100.1:2000", "198.51.100.2:2000"

func TestVersions(t *testing.T) {
	want := observe.Flow{Src: observe.AddrOf(src), Dst: observe.AddrOf(dst), SrcPort: 51234, DstPort: 22, Proto: 6, Flags: observe.FlagSYN, HasFlags: true,
		Start: 1699999990, End: 1699999998, Packets: 3, Bytes: 120, Record: 5}
	d := newDecoder(Default())
	if f, err := decode(t, d, exporter1, v5Message); err != nil || len(f) != 1 || f[0] != want {
		t.Errorf("v5: %+v %v", f, err)
	}
	if f, err := decode(t, d, exporter1, message9(7, template9, data9)); err != nil || len(f) != 1 || f[0] != want {
		t.Errorf("v9: %+v %v", f, err)
	}
	six := want
	six.Src, six.Dst, six.Action = observe.AddrOf(netip.MustParseAddr("2001:db8::1")), observe.AddrOf(netip.MustParseAddr("2001:db8::2")), observe.FlowReject
	if f, err := decode(t, d, exporter1, message10(7, template10, data10)); err != nil || len(f) != 1 || f[0] != six {
		t.Errorf("IPFIX: %+v %v", f, err)
	}
	one := want
	one.Start, one.End, one.Packets, one.Bytes = 1700000000, 1700000000, 1, 40
	if f, err := decode(t, d, exporter1, sflowMessage(t, "S")); err != nil || len(f) != 1 || f[0] != one {
		t.Errorf("sFlow: %+v %v", f, err)
	}
}

// TestWhoBegan: exporters OR flags; the ports say whose SYN it was.
func TestWhoBegan(t *testing.T) {
	for _, c := range []struct {
		from, to uint16
		want     uint8
	}{{51234, 22, observe.FlagSYN}, {22, 51234, observe.FlagSYN | observe.FlagACK}, {50000, 60000, observe.FlagSYN | observe.FlagACK}, {2000, 443, observe.FlagSYN}} {
		m := bytes.Clone(v5Message)
		be.PutUint16(m[24+32:], c.from)
		be.PutUint16(m[24+34:], c.to)
		m[24+37] = observe.FlagSYN | observe.FlagACK
		f, err := decode(t, newDecoder(Default()), exporter1, m)
		if err != nil || len(f) != 1 || f[0].Flags != c.want {
			t.Errorf("%+v: %+v %v", c, f, err)
		}
	}
}

func TestBothDirections(t *testing.T) {
	fields := put(uint16(401), uint16(6))
	for _, f := range [][2]uint16{{src4, 4}, {dst4, 4}, {protocol, 1}, {packetDelta, 4}} {
		fields = put(fields, f[0], f[1])
	}
	fields = put(fields, uint16(packetDelta|0x8000), uint16(4), uint32(reverse), uint16(octetDelta|0x8000), uint16(4), uint32(reverse))
	d := newDecoder(Default())
	f, err := decode(t, d, exporter1, message10(1, set1(2, fields), set1(401, put(src.AsSlice(), dst.AsSlice(), uint8(17), uint32(3), uint32(4), uint32(400)))))
	if err != nil || len(f) != 2 || f[0].Packets != 3 || f[1].Packets != 4 || f[1].Bytes != 400 || f[1].Src != f[0].Dst || f[1].Proto != 17 {
		t.Errorf("%+v %v", f, err)
	}
}

// TestTemplates: they belong to their exporter and domain, and their number is bounded.
func TestTemplates(t *testing.T) {
	d := newDecoder(Config{Exporters: 2})
	if _, err := decode(t, d, exporter1, message9(7, data9)); !errors.Is(err, errTemplate) {
		t.Errorf("data before its template: %v", err)
	}
	if _, err := decode(t, d, exporter1, message9(7, template9)); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		from   string
		domain uint32
		err    error
	}{"same": {exporter1, 7, nil}, "another process": {exporter1, 8, errTemplate}} {
		if _, err := decode(t, d, c.from, message9(c.domain, data9)); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range uint32(10) { // others make room at its cost
		_, _ = decode(t, d, exporter2, message9(i, template9)) // only what is kept counts
	}
	if _, err := decode(t, d, exporter1, message9(7, data9)); !errors.Is(err, errTemplate) || len(d.exporters.all) > 2 || d.exporters.order.Len() > 2 {
		t.Errorf("%v, %d exporters", err, len(d.exporters.all))
	}
	// Records without a length would be read for ever.
	for _, fields := range [][]uint16{{}, {src4, 0}, {src4, 0, dst4, 0}} {
		if f, err := decode(t, d, exporter1, message9(7, set1(0, templateOf(300, fields...)), data9)); !errors.Is(err, errTemplate) || len(f) != 0 {
			t.Errorf("template %v: %v", fields, err)
		}
	}
	for id := range uint16(1000) {
		_, _ = decode(t, d, exporter1, message9(7, set1(0, templateOf(256+id, src4, 4)))) // as above
	}
	if n := len(d.exporters.of(exporter{netip.MustParseAddrPort(exporter1).Addr(), 7}).all); n > maxTemplates {
		t.Errorf("%d templates", n)
	}
}

// readFile reads a container through the driver.
func readFile(t testing.TB, data []byte) ([]observe.Flow, source.Counts, error) {
	t.Helper()
	f, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	c, ok := f.(source.Container)
	if !ok {
		t.Fatal("no container")
	}
	recs, err := c.Open(&source.Input{Head: data[:min(len(data), source.HeadLen)], Stream: bytes.NewReader(data)})
	if err != nil {
		return nil, source.Counts{}, err
	}
	defer recs.Close()
	var out []observe.Flow
	n, err := source.ReadRecords(t.Context(), source.Options{Input: "x", Format: "netflow"}, data, recs, func(_ context.Context, b *observe.LogBatch) error {
		out = append(out, b.Flows...)
		return nil
	})
	return out, n, err
}

func framed(list ...[]byte) (b []byte) {
	for _, m := range list {
		b = put(b, uint32(len(m)), m)
	}
	return b
}

// captured writes datagrams as a packet capture.
func captured(t testing.TB, list ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := pcapgo.NewWriter(&out)
	if err := w.WriteFileHeader(65536, layers.LinkTypeRaw); err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		b := gopacket.NewSerializeBuffer()
		err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, &layers.IPv4{Version: 4, IHL: 5, Protocol: layers.IPProtocolUDP, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()},
			&layers.UDP{SrcPort: 4000, DstPort: 9995}, gopacket.Payload(m))
		if err == nil {
			err = w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1700000000, 0), CaptureLength: len(b.Bytes()), Length: len(b.Bytes())}, b.Bytes())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func TestFiles(t *testing.T) {
	list := [][]byte{message9(7, template9), []byte("\x00\x07 something else"), message9(7, data9), v5Message, sflowMessage(t, "S")}
	if f, n, err := readFile(t, captured(t, list...)); err != nil || len(f) != 3 || n.Records != 5 || n.Malformed != 0 || f[0].Record != 2 || f[2].Record != 4 || f[2].Start != 1700000000 {
		t.Errorf("capture: %+v %+v %v", f, n, err)
	}
	bad := bytes.Clone(v5Message)
	bad[3] = 9
	if f, n, err := readFile(t, framed(list[0], bad, list[2], v5Message)); err != nil || len(f) != 2 || n.Records != 4 || n.Malformed != 1 || f[1].Record != 3 {
		t.Errorf("lengths: %+v %+v %v", f, n, err)
	}
	ipfix := append(message10(7, template10), message10(7, data10, data10)...)
	if f, n, err := readFile(t, ipfix); err != nil || len(f) != 2 || n.Records != 2 {
		t.Errorf("IPFIX file: %+v %+v %v", f, n, err)
	}
	if f, n, err := readFile(t, append(bytes.Clone(v5Message), v5Message...)); err != nil || len(f) != 2 || n.Records != 2 || f[1].Record != 1 {
		t.Errorf("NetFlow 5 one behind the other: %+v %+v %v", f, n, err)
	}
	whole := framed(v5Message, v5Message)
	for cut := range whole {
		if f, n, err := readFile(t, whole[:cut]); len(f) > 1 || n.Records > 2 || err == nil && n.Records == 0 {
			t.Fatalf("cut at %d: %d flows, %+v, %v", cut, len(f), n, err)
		}
	}
	if _, _, err := readFile(t, captured(t, []byte("nothing"))); !errors.Is(err, errNone) {
		t.Errorf("a capture without exports: %v", err)
	}
	if _, _, err := readFile(t, []byte("2 123456789010 eni-1 192.0.2.1 192.0.2.2")); !errors.Is(err, source.ErrFormat) {
		t.Errorf("text: %v", err)
	}
}

// TestSoftflowd: a real exporter reads a capture of a scan and sends it to us.
func TestSoftflowd(t *testing.T) {
	program, err := exec.LookPath("softflowd")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/softflowd"); err != nil {
			t.Skip("softflowd is not installed; scripts/install-test-tools.sh does it")
		}
	}
	const ports = 60
	dir := t.TempDir() // softflowd takes file names of 15 characters only
	begun := writeScan(t, filepath.Join(dir, "scan.pcap"), ports)
	for name, version := range map[string]string{"v5": "5", "v9": "9", "IPFIX": "10"} {
		t.Run(name, func(t *testing.T) {
			format, err := New(Default())
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
			defer stop()
			at, done := make(chan netip.AddrPort, 1), make(chan error, 1)
			var flows []observe.Flow
			u := &transport.UDP{Address: "udp://127.0.0.1:0", Format: format, Opts: source.Options{Input: "udp", Format: "netflow"}, Listening: func(a netip.AddrPort) { at <- a }}
			go func() {
				done <- u.Run(ctx, func(_ context.Context, b *observe.LogBatch) error {
					flows = append(flows, b.Flows...)
					if len(flows) >= 2*ports {
						stop()
					}
					return nil
				})
			}()
			cmd := exec.CommandContext(ctx, program, "-r", "scan.pcap", "-n", (<-at).String(), "-v", version, "-d", "-p", "pid", "-c", "ctl")
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil && ctx.Err() == nil {
				t.Fatalf("softflowd: %v\n%s", err, out)
			}
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Fatalf("%v: %d flows of %+v", err, len(flows), u.Counts())
			}
			var tried []int
			for _, f := range flows {
				if f.Src.Netip() == src && f.Dst.Netip() == dst && f.Flags == observe.FlagSYN && f.HasFlags && f.Packets == 1 && f.Bytes <= 46 && f.Start >= begun-2 && f.Start <= begun+2 {
					tried = append(tried, int(f.DstPort))
				}
			}
			slices.Sort(tried)
			if tried = slices.Compact(tried); len(tried) != ports || tried[0] != 1 || tried[ports-1] != ports {
				t.Errorf("%d ports of %d were tried: %v; the first flow %+v", len(tried), ports, tried, flows[0])
			}
			if n := u.Counts(); n.Malformed != 0 || n.Records == 0 {
				t.Errorf("%+v", n)
			}
		})
	}
}

// writeScan records a scan of closed ports and returns when it began. That must
// be today: softflowd's clock counts from its own start.
func writeScan(t *testing.T, path string, ports int) int64 {
	t.Helper()
	var out bytes.Buffer
	w := pcapgo.NewWriter(&out)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	begun := now.Unix()
	send := func(from, to netip.Addr, tcp *layers.TCP) {
		b := gopacket.NewSerializeBuffer()
		ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
		err := tcp.SetNetworkLayerForChecksum(ip)
		if err == nil {
			err = gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
				&layers.Ethernet{SrcMAC: net.HardwareAddr{1, 2, 3, 4, 5, 6}, DstMAC: net.HardwareAddr{1, 2, 3, 4, 5, 7}, EthernetType: layers.EthernetTypeIPv4}, ip, tcp)
		}
		now = now.Add(time.Millisecond)
		if err == nil {
			err = w.WritePacket(gopacket.CaptureInfo{Timestamp: now, CaptureLength: len(b.Bytes()), Length: len(b.Bytes())}, b.Bytes())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for p := 1; p <= ports; p++ {
		send(src, dst, &layers.TCP{SrcPort: 40000, DstPort: layers.TCPPort(p), Seq: 1, SYN: true, Window: 1024})
		send(dst, src, &layers.TCP{SrcPort: layers.TCPPort(p), DstPort: 40000, Ack: 2, RST: true, ACK: true})
	}
	writeFile(t, path, out.Bytes())
	return begun
}

// FuzzDatagrams: any two datagrams, as templates and their data are.
func FuzzDatagrams(f *testing.F) {
	f.Add(message9(7, template9), message9(7, data9))
	f.Add(message10(7, template10), message10(7, data10))
	f.Add(v5Message, sflowMessage(f, "S"))
	f.Add(message9(7, set1(0, templateOf(300, src4, 0))), message9(7, data9))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		d := newDecoder(Config{Exporters: 2})
		for _, m := range [][]byte{one, two} {
			flows, err := decode(t, d, exporter1, m)
			if err != nil && len(flows) > 0 || len(flows) > 2*65536 {
				t.Fatalf("%d flows with %v", len(flows), err)
			}
			for i := range flows {
				if f := &flows[i]; f.Record != 5 || f.Src.IsZero() || f.Dst.IsZero() || f.Start < 0 || f.End < 0 {
					t.Fatalf("%+v", f)
				}
			}
		}
		_, _, _ = readFile(t, framed(one, two)) // any error is right
	})
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
