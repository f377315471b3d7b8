package fingerprint

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	utls "github.com/refraction-networking/utls"
)

// hello builds a ClientHello; nil lists leave their extension empty-bodied.
type hello struct {
	version    uint16
	ciphers    []uint16
	extensions []uint16
	groups     []uint16
	points     []byte
	alpn       []string
	name       string
	algs       []uint16
	versions   []uint16
}

func be(list []uint16) (out []byte) {
	for _, v := range list {
		out = append(out, byte(v>>8), byte(v))
	}
	return out
}

func sized8(b []byte) []byte  { return append([]byte{byte(len(b))}, b...) }
func sized16(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }

func (h hello) body() []byte {
	b := append(be([]uint16{h.version}), make([]byte, 32)...)
	b = append(b, 0)
	b = append(b, sized16(be(h.ciphers))...)
	b = append(b, 1, 0)
	if h.extensions == nil {
		return b
	}
	var exts []byte
	for _, id := range h.extensions {
		var data []byte
		switch id {
		case extServerName:
			data = sized16(append([]byte{0}, sized16([]byte(h.name))...))
		case extGroups:
			data = sized16(be(h.groups))
		case extPointFormats:
			data = sized8(h.points)
		case extSignatureAlgs:
			data = sized16(be(h.algs))
		case extALPN:
			for _, p := range h.alpn {
				data = append(data, sized8([]byte(p))...)
			}
			data = sized16(data)
		case extSupportedVersions:
			data = sized8(be(h.versions))
		}
		exts = append(exts, be([]uint16{id})...)
		exts = append(exts, sized16(data)...)
	}
	return append(b, sized16(exts)...)
}

// message is the handshake message, records wraps it in records of at most n bytes.
func message(body []byte) []byte {
	return append([]byte{helloType, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

func records(msg []byte, n int) (out []byte) {
	for part := range slices.Chunk(msg, n) {
		out = append(out, recordHandshake, 3, 1)
		out = append(out, sized16(part)...)
	}
	return out
}

func (h hello) raw() []byte { return records(message(h.body()), 16384) }

func parse(t testing.TB, raw []byte) *ClientHello {
	t.Helper()
	h, err := ParseClientHello(raw)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// chrome is the example of the JA4 specification.
var chrome = hello{
	version: 0x0303, name: "example.com", alpn: []string{"h2", "http/1.1"}, versions: []uint16{0x1a1a, 0x0304, 0x0303}, points: []byte{0},
	ciphers:    []uint16{0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
	extensions: []uint16{0x3a3a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0xfafa},
	groups:     []uint16{0x4a4a, 0x001d, 0x0017, 0x0018},
	algs:       []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
}

// Values of the documents that define the fingerprints:
// github.com/salesforce/ja3 README, github.com/FoxIO-LLC/ja4 technical_details/JA4.md.
func TestPublished(t *testing.T) {
	h := parse(t, chrome.raw())
	if got := h.JA4(); got != "t13d1516h2_8daaf6152771_e5627efa2ab1" {
		t.Errorf("JA4 of the specification's example is %s", got)
	}
	if h.ServerName != "example.com" || !slices.Equal(h.ALPN, chrome.alpn) || h.Version != 0x0303 {
		t.Errorf("parsed %+v", h)
	}
	for _, c := range []struct {
		h         hello
		raw, hash string
	}{
		{hello{version: 769, ciphers: []uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4}, extensions: []uint16{0, 10, 11}, groups: []uint16{23, 24, 25}, points: []byte{0}, name: "x"},
			"769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0", "ada70206e40642a3e4461f35503241d5"},
		{hello{version: 769, ciphers: []uint16{4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99}}, "769,4-5-10-9-100-98-3-6-19-18-99,,,", "de350869b8c85de67a350c8d186f11e6"},
	} {
		h := parse(t, c.h.raw())
		if h.JA3Raw() != c.raw || h.JA3() != c.hash {
			t.Errorf("JA3 %s of %s, want %s of %s", h.JA3(), h.JA3Raw(), c.hash, c.raw)
		}
	}
}

func TestJA4Parts(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*hello)
		want string // regular expression
	}{
		"no name": {func(h *hello) {
			h.extensions = slices.DeleteFunc(slices.Clone(h.extensions), func(v uint16) bool { return v == 0 })
		}, `^t13i1515h2_8daaf6152771_e5627efa2ab1$`},
		"no alpn": {func(h *hello) {
			h.extensions = slices.DeleteFunc(slices.Clone(h.extensions), func(v uint16) bool { return v == 16 })
		}, `^t13d151500_8daaf6152771_e5627efa2ab1$`},
		"http/1.1":          {func(h *hello) { h.alpn = []string{"http/1.1"} }, `^t13d1516h1_`},
		"one letter":        {func(h *hello) { h.alpn = []string{"h"} }, `^t13d1516hh_`},
		"binary alpn":       {func(h *hello) { h.alpn = []string{"\xab\xcd"} }, `^t13d1516ad_`},
		"half binary alpn":  {func(h *hello) { h.alpn = []string{"0\xab"} }, `^t13d15163b_`},
		"binary inside":     {func(h *hello) { h.alpn = []string{"0\xab\xcd1"} }, `^t13d151601_`},
		"tls 1.2":           {func(h *hello) { h.versions = []uint16{0x0303} }, `^t12d`},
		"unknown version":   {func(h *hello) { h.versions = []uint16{0x7f1c} }, `^t00d`},
		"ssl 3":             {func(h *hello) { h.versions, h.version = []uint16{0x2a2a}, 0x0300 }, `^ts3d`},
		"no ciphers":        {func(h *hello) { h.ciphers = nil }, `^t13d0016h2_000000000000_e5627efa2ab1$`},
		"no extensions":     {func(h *hello) { h.extensions = nil }, `^t12i150000_8daaf6152771_000000000000$`},
		"many ciphers":      {func(h *hello) { h.ciphers = make([]uint16, 200) }, `^t13d9916h2_`},
		"other order":       {func(h *hello) { h.ciphers = slices.Clone(h.ciphers); slices.Reverse(h.ciphers) }, `^t13d1516h2_8daaf6152771_e5627efa2ab1$`},
		"other algs' order": {func(h *hello) { h.algs = slices.Clone(h.algs); slices.Reverse(h.algs) }, `^t13d1516h2_8daaf6152771_[0-9a-f]{12}$`},
	} {
		h := chrome
		c.edit(&h)
		got := parse(t, h.raw()).JA4()
		if !regexp.MustCompile(c.want).MatchString(got) {
			t.Errorf("%s: JA4 %s, want %s", name, got, c.want)
		}
		if name == "other algs' order" && strings.HasSuffix(got, "e5627efa2ab1") {
			t.Errorf("%s: the order of signature algorithms does not count", name)
		}
	}
}

// A ClientHello may be cut anywhere; every prefix is incomplete and nothing else.
func TestFragments(t *testing.T) {
	msg := message(chrome.body())
	want := parse(t, chrome.raw()).JA4()
	for _, n := range []int{1, 2, 3, 4, 5, 37, 100, len(msg) - 1, len(msg)} {
		raw := records(msg, n)
		if got := parse(t, append(slices.Clone(raw), "what follows"...)).JA4(); got != want {
			t.Errorf("in records of %d bytes: JA4 %s, want %s", n, got, want)
		}
		for cut := range raw {
			if _, err := ParseClientHello(raw[:cut]); !errors.Is(err, ErrShort) {
				t.Fatalf("first %d of %d bytes in records of %d: error %v, want ErrShort", cut, len(raw), n, err)
			}
		}
	}
}

func TestHostile(t *testing.T) {
	long := message(make([]byte, MaxHello+1))
	for name, raw := range map[string][]byte{
		"http":            []byte("GET / HTTP/1.1\r\n\r\n"),
		"alert":           {21, 3, 1, 0, 2, 2, 40},
		"other version":   {22, 2, 0, 0, 10, 1},
		"server hello":    records(append([]byte{2, 0, 0, 4}, make([]byte, 4)...), 100),
		"empty record":    {22, 3, 1, 0, 0, 22, 3, 1, 0, 0},
		"too long":        records(long, 16384),
		"announces much":  records([]byte{1, 0xff, 0xff, 0xff, 0}, 100),
		"short body":      records(message([]byte{3, 3, 1}), 100),
		"long ciphers":    records(message(append(make([]byte, 35), 0xff, 0xff)), 100),
		"odd ciphers":     records(message(append(make([]byte, 35), 0, 3, 1, 2, 3, 0)), 100),
		"long extensions": records(message(append(make([]byte, 35), 0, 2, 1, 2, 1, 0, 0, 9, 0)), 100),
		"sslv2":           {0x80, 0x2e, 1, 3, 1},
	} {
		if h, err := ParseClientHello(raw); err == nil || errors.Is(err, ErrShort) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
	// One bad extension leaves the others.
	h := chrome
	raw := h.raw()
	i := bytes.Index(raw, append(be([]uint16{extSignatureAlgs}), 0, 18))
	raw[i+5]++ // the list inside is longer than its extension
	if got := parse(t, raw); len(got.Extensions) != len(chrome.extensions) || got.ServerName != "example.com" {
		t.Errorf("after one bad extension: %+v", got)
	}
}

// independent computes both fingerprints from the parsed values in another way.
func independent(h *ClientHello) (ja3, ja4 string) {
	not := func(list []uint16, skip ...uint16) (out []uint16) {
		for _, v := range list {
			if !slices.Contains(skip, v) && !slices.Contains(greases(), v) {
				out = append(out, v)
			}
		}
		return out
	}
	join := func(format, sep string, list []uint16) string {
		var s []string
		for _, v := range list {
			s = append(s, fmt.Sprintf(format, v))
		}
		return strings.Join(s, sep)
	}
	var points []uint16
	for _, p := range h.PointFormats {
		points = append(points, uint16(p))
	}
	raw := strings.Join([]string{fmt.Sprint(h.Version), join("%d", "-", not(h.Ciphers)), join("%d", "-", not(h.Extensions)), join("%d", "-", not(h.Curves)), join("%d", "-", points)}, ",")
	ja3 = fmt.Sprintf("%x", md5.Sum([]byte(raw)))

	best := h.Version
	if v := not(h.SupportedVersions); len(v) > 0 {
		best = slices.Max(v)
	}
	version := map[uint16]string{0x304: "13", 0x303: "12", 0x302: "11", 0x301: "10", 0x300: "s3"}[best]
	sni, alpn := "i", "00"
	if slices.Contains(h.Extensions, 0) {
		sni = "d"
	}
	if len(h.ALPN) > 0 {
		alpn = h.ALPN[0][:1] + h.ALPN[0][len(h.ALPN[0])-1:]
	}
	ciphers := not(h.Ciphers)
	exts := not(h.Extensions, 0, 16)
	head := fmt.Sprintf("t%s%s%02d%02d%s", version, sni, len(ciphers), len(not(h.Extensions)), alpn)
	slices.Sort(ciphers)
	slices.Sort(exts)
	text := join("%04x", ",", exts)
	if len(h.SignatureAlgs) > 0 {
		text += "_" + join("%04x", ",", not(h.SignatureAlgs))
	}
	hash := func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:])[:12] }
	return ja3, head + "_" + hash(join("%04x", ",", ciphers)) + "_" + hash(text)
}

func greases() (out []uint16) {
	for i := range uint16(16) {
		out = append(out, i<<12|i<<4|0x0a0a)
	}
	return out
}

func TestGrease(t *testing.T) {
	for v := range 1 << 16 {
		if grease(uint16(v)) != slices.Contains(greases(), uint16(v)) {
			t.Fatalf("grease(%#04x) = %v", v, grease(uint16(v)))
		}
	}
}

// said returns the first bytes a client sends.
func said(t testing.TB, handshake func(net.Conn) error) []byte {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = handshake(near) // nobody answers
		near.Close()
	}()
	b := make([]byte, 32<<10)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	far.Close()
	<-done
	return b[:n]
}

// Browsers as utls imitates them. The JA4 values with a source are those seen
// in the wild and published with the specification (README, ja4plus-mapping).
func TestBrowsers(t *testing.T) {
	known := map[string]string{
		"Chrome-100": "t13d1516h2_8daaf6152771_e5627efa2ab1",
		"Chrome-106": "t13d1516h2_8daaf6152771_e5627efa2ab1", // shuffles its extensions
		"Chrome-120": "t13d1516h2_8daaf6152771_02713d6af862",
	}
	ids := []utls.ClientHelloID{
		utls.HelloChrome_58, utls.HelloChrome_70, utls.HelloChrome_83, utls.HelloChrome_100, utls.HelloChrome_106_Shuffle, utls.HelloChrome_120, utls.HelloChrome_131,
		utls.HelloFirefox_55, utls.HelloFirefox_99, utls.HelloFirefox_105, utls.HelloFirefox_120, utls.HelloIOS_14, utls.HelloSafari_16_0, utls.HelloEdge_85,
	}
	for _, id := range ids {
		for range 3 {
			raw := said(t, func(c net.Conn) error {
				return utls.UClient(c, &utls.Config{ServerName: "www.example.org"}, id).Handshake()
			})
			h := parse(t, raw)
			ja3, ja4 := independent(h)
			if h.JA3() != ja3 || h.JA4() != ja4 {
				t.Errorf("%s: %s %s, computed in another way %s %s", id.Str(), h.JA3(), h.JA4(), ja3, ja4)
			}
			if want := known[id.Str()]; want != "" && h.JA4() != want {
				t.Errorf("%s: JA4 %s, published is %s", id.Str(), h.JA4(), want)
			}
			if h.ServerName != "www.example.org" {
				t.Errorf("%s: server name %q", id.Str(), h.ServerName)
			}
		}
	}
}

func TestGo(t *testing.T) {
	raw := said(t, func(c net.Conn) error {
		return tls.Client(c, &tls.Config{ServerName: "go.example", NextProtos: []string{"h2"}, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, MaxVersion: tls.VersionTLS12}).Handshake()
	})
	h := parse(t, raw)
	if !slices.Equal(h.Ciphers, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}) || h.ServerName != "go.example" || !slices.Equal(h.ALPN, []string{"h2"}) || !strings.HasPrefix(h.JA4(), "t12d01") {
		t.Errorf("parsed %+v, JA4 %s", h, h.JA4())
	}
}

func FuzzParseClientHello(f *testing.F) {
	f.Add(chrome.raw())
	f.Add(records(message(chrome.body()), 40))
	f.Add(hello{version: 0x0300, ciphers: []uint16{4}}.raw())
	f.Add([]byte{22, 3, 1, 0, 0})
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	ja4 := regexp.MustCompile(`^t(13|12|11|10|s3|s2|00)[di]\d{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}$`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		keep := bytes.Clone(raw)
		h, err := ParseClientHello(raw)
		if !bytes.Equal(raw, keep) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		if got := h.JA4(); !ja4.MatchString(got) {
			t.Errorf("JA4 %q", got)
		}
		if len(h.JA3()) != 32 || len(h.ServerName) > maxName || len(h.ALPN) > maxALPNs {
			t.Errorf("%+v", h)
		}
		// Where records are cut does not matter.
		msg, err := handshake(raw)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseClientHello(records(message(msg), 1+len(raw)%97))
		if len(msg) < MaxHello/8 && (err != nil || again.JA4() != h.JA4() || again.JA3Raw() != h.JA3Raw()) {
			t.Errorf("cut differently: %v", err)
		}
	})
}

func BenchmarkFingerprint(b *testing.B) {
	raw := chrome.raw()
	b.ReportAllocs()
	for range b.N {
		h, err := ParseClientHello(raw)
		if err != nil || h.JA3() == "" || h.JA4() == "" {
			b.Fatal(err)
		}
	}
}

// A flood of random bytes behind a good head must not be slow or panic.
func TestRandom(t *testing.T) {
	gen := rand.New(rand.NewPCG(1, 2))
	good := chrome.raw()
	for range 20000 {
		raw := bytes.Clone(good)
		for range 1 + gen.IntN(8) {
			raw[5+gen.IntN(len(raw)-5)] = byte(gen.Uint32())
		}
		if h, err := ParseClientHello(raw); err == nil && len(h.JA4()) != 36 {
			t.Fatalf("JA4 %q", h.JA4())
		}
	}
}
