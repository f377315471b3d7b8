package decoy_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/observe"
)

// proxyV2 makes a version 2 header (haproxy proxy-protocol.txt §2.2).
func proxyV2(command, family byte, body string) string {
	head := "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{0x20 | command, family})
	return head + string(binary.BigEndian.AppendUint16(nil, uint16(len(body)))) + body
}

// ends4 and ends6 are the addresses of a header: 203.0.113.9:4242 or
// [2001:db8::n]:4242 to a server.
const ends4 = "\xcb\x00\x71\x09\xc0\x00\x02\x01\x10\x92\x00\x50"

func ends6(n byte) string {
	src, dst := netip.MustParseAddr("2001:db8::").As16(), netip.MustParseAddr("2001:db8:1::1").As16()
	src[15] = n
	return string(src[:]) + string(dst[:]) + "\x10\x92\x00\x50"
}

// behindProxy starts an echo decoy that believes 127.0.0.0/8.
func behindProxy(t *testing.T, limits decoy.Limits) (addr string, r *decoy.Runner, sink *decoytest.Sink) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sink = decoytest.NewSink(t)
	r = decoy.NewRunner(sink, func(_ string, err error) { t.Errorf("fault: %v", err) })
	in := &decoy.Instance{Name: "proxied", Service: "echo", Impl: echo{}, Limits: limits, Persona: decoytest.Persona(), ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	run(t, func(ctx context.Context) error { return r.Announce(ctx) }, func(ctx context.Context) error { return r.Serve(ctx, in, l) })
	return l.Addr().String(), r, sink
}

func say(t *testing.T, addr, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(decoytest.Patience))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	out, _ := io.ReadAll(c) // a reset is an answer too
	return string(out)
}

func TestProxyNamesTheVisitor(t *testing.T) {
	addr, r, sink := behindProxy(t, decoytest.Limits())
	proxy := "127.0.0.1"
	n := 0
	for name, c := range map[string]struct{ head, remote, local string }{
		"v1 tcp4":  {"PROXY TCP4 203.0.113.9 192.0.2.1 4242 80\r\n", "203.0.113.9:4242", "192.0.2.1:80"},
		"v1 tcp6":  {"PROXY TCP6 2001:db8::1 2001:db8::2 4242 80\r\n", "[2001:db8::1]:4242", "[2001:db8::2]:80"},
		"v1 none":  {"PROXY UNKNOWN\r\n", proxy, ""},
		"v1 none+": {"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", proxy, ""},
		"v2 tcp4":  {proxyV2(1, 0x11, ends4), "203.0.113.9:4242", "192.0.2.1:80"},
		"v2 tcp6":  {proxyV2(1, 0x21, ends6(7)), "[2001:db8::7]:4242", "[2001:db8:1::1]:80"},
		"v2 tlv":   {proxyV2(1, 0x11, ends4+"\x03\x00\x04abcd"), "203.0.113.9:4242", "192.0.2.1:80"},
		"v2 local": {proxyV2(0, 0, ""), proxy, ""},
	} {
		n++
		text := fmt.Sprintf("hello %d\n", n)
		if got := say(t, addr, c.head+text); got != text {
			t.Errorf("%s: answer %q, want %q", name, got, text)
		}
		all := sink.Wait(name, func(all []observe.Observation) bool { return len(decoytest.Ends(all)) == n })
		end := decoytest.Ends(all)[n-1]
		if !strings.HasPrefix(end.Remote.String(), c.remote) || c.local != "" && end.Local.String() != c.local {
			t.Errorf("%s: visit from %s to %s, want %s to %s", name, end.Remote, end.Local, c.remote, c.local)
		}
		if i := end.Interaction; string(i.First) != text || i.BytesIn != int64(len(text)) {
			t.Errorf("%s: %d bytes in, first %q: the header counts as the visitor's", name, i.BytesIn, i.First)
		}
	}
	if st := r.Stats(); st.Unnamed != 0 || st.Shed != 0 {
		t.Errorf("%+v", st)
	}
}

// A named proxy that does not say for whom it comes is nobody's visit.
func TestProxyWithoutName(t *testing.T) {
	addr, r, sink := behindProxy(t, decoytest.Limits())
	bad := []string{
		"", "GET / HTTP/1.1\r\n\r\n", "PROXY TCP4 203.0.113.9 192.0.2.1 4242\r\n", "PROXY TCP4 x y 1 2\r\n", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.1 99999 80\r\n", "PROXY TCP4 " + strings.Repeat("1", 200), proxyV2(1, 0x12, ends4), proxyV2(1, 0x11, "short"),
		strings.Replace(proxyV2(1, 0x11, ends4), "QUIT", "QUIP", 1), proxyV2(1, 0x11, strings.Repeat("x", 5000)), "\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x00",
	}
	for _, head := range bad {
		if got := say(t, addr, head); got != "" {
			t.Errorf("%.40q is answered with %q", head, got)
		}
	}
	wait(t, "the visits to end", func() bool { st := r.Stats(); return st.Unnamed == int64(len(bad)) && st.Active == 0 })
	if all := sink.Seen(); len(all) != 0 {
		t.Errorf("%d observations of nobody, the first %s", len(all), decoytest.Brief(&all[0]))
	}
}

// Who is not named gets no belief: the header is what a visitor said.
func TestProxyFromStrangers(t *testing.T) {
	r := decoytest.Start(t, echo{}, decoytest.Persona(), decoytest.Limits())
	head := "PROXY TCP4 203.0.113.9 192.0.2.1 4242 80\r\n"
	r.Visit([]byte(head))
	end := decoytest.Ends(r.Quiet(1))[0] // checks that it came from loopback
	if string(end.Interaction.First) != head {
		t.Errorf("first bytes %q", end.Interaction.First)
	}
}

// The share of connections is that of the visitor behind the proxy, for IPv6 of
// his /64.
func TestProxySharesPerVisitor(t *testing.T) {
	l := decoytest.Limits()
	l.PerSource = 2
	addr, r, sink := behindProxy(t, l)
	var open []net.Conn
	visit := func(head string) bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		_ = c.SetDeadline(time.Now().Add(decoytest.Patience))
		if _, err := io.WriteString(c, head+"x\n"); err != nil {
			return false
		}
		var b [2]byte
		_, err = io.ReadFull(c, b[:])
		return err == nil
	}
	for i, want := range []bool{true, true, false, false} {
		if got := visit(proxyV2(1, 0x21, ends6(byte(i)))); got != want {
			t.Errorf("visit %d from one /64: let in %v, want %v", i, got, want)
		}
	}
	if !visit(proxyV2(1, 0x11, ends4)) {
		t.Error("somebody else was not let in")
	}
	for _, c := range open {
		c.Close()
	}
	sink.Wait("three visits and two refusals", func(all []observe.Observation) bool {
		ends, shed := 0, 0
		for _, o := range decoytest.Ends(all) {
			shed += o.Interaction.Shed
			if o.Interaction.CloseError == "" {
				ends++
			}
		}
		return ends == 3 && shed == 2
	})
	if st := r.Stats(); st.Shed != 2 {
		t.Errorf("%+v", st)
	}
}

func FuzzProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 203.0.113.9 192.0.2.1 4242 80\r\n"))
	f.Add([]byte("PROXY TCP6 2001:db8::1 2001:db8::2 4242 80\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte(proxyV2(1, 0x11, ends4)))
	f.Add([]byte(proxyV2(1, 0x21, ends6(1))))
	f.Add([]byte(proxyV2(0, 0, "")))
	f.Fuzz(func(t *testing.T, b []byte) {
		src, dst, err := decoy.ParseProxyText(string(b))
		check(t, "text", src, dst, err)
		if err == nil && src.IsValid() {
			family := "TCP4"
			if src.Addr().Is6() {
				family = "TCP6"
			}
			line := fmt.Sprintf("PROXY %s %s %s %d %d\r\n", family, src.Addr(), dst.Addr(), src.Port(), dst.Port())
			if s, d, err := decoy.ParseProxyText(line); err != nil || s != src || d != dst {
				t.Errorf("%q is read as %v, %v, %v", line, s, d, err)
			}
		}
		if len(b) >= 16 {
			src, dst, err := decoy.ParseProxyBinary([16]byte(b), b[16:])
			check(t, "binary", src, dst, err)
		}
	})
}

func check(t *testing.T, what string, src, dst netip.AddrPort, err error) {
	t.Helper()
	if err != nil && (src.IsValid() && dst.IsValid()) {
		return // callers look at the error first
	}
	if err == nil && src.IsValid() != dst.IsValid() {
		t.Errorf("%s: half a header: %v, %v", what, src, dst)
	}
	if src.Addr().Zone() != "" {
		t.Errorf("%s: a zone in %v", what, src)
	}
}
