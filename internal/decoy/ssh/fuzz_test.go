package ssh

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/decoy/shell"
	"bartizan/internal/observe"
)

// kexInit makes the packet with which a client opens, for fingerprints.
func kexInit(lists ...string) []byte {
	p := append([]byte{20}, make([]byte, 16)...)
	for i := range 10 {
		l := ""
		if i < len(lists) {
			l = lists[i]
		}
		p = binary.BigEndian.AppendUint32(p, uint32(len(l)))
		p = append(p, l...)
	}
	p = append(p, 0, 0, 0, 0, 0)
	out := binary.BigEndian.AppendUint32(nil, uint32(len(p)+1+4))
	out = append(out, 4)
	return append(append(out, p...), 0, 0, 0, 0)
}

func TestHASSH(t *testing.T) {
	packet := kexInit("curve25519-sha256,ecdh-sha2-nistp256", "ssh-ed25519", "aes128-ctr", "aes256-ctr", "hmac-sha1", "hmac-sha2-256", "none", "zlib")
	h := &hello{skip: 5}
	for _, b := range append([]byte("12345"), packet...) {
		h.see([]byte{b})
	}
	sum := md5.Sum([]byte("curve25519-sha256,ecdh-sha2-nistp256;aes128-ctr;hmac-sha1;none"))
	if got, want := h.hassh(), hex.EncodeToString(sum[:]); got != want {
		t.Errorf("hassh %q, want %q", got, want)
	}
}

// FuzzHello: however the stream is cut, the fingerprint is the same, and what
// is kept is bounded.
func FuzzHello(f *testing.F) {
	f.Add(kexInit("a", "b", "c"), uint8(3))
	f.Add([]byte{0, 0, 0, 12, 4, 20}, uint8(1))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint8(2))
	f.Add(kexInit(strings.Repeat("x", 40000)), uint8(200))
	f.Fuzz(func(t *testing.T, in []byte, cut uint8) {
		whole, split := &hello{}, &hello{}
		whole.see(in)
		step := int(cut) + 1
		for i := 0; i < len(in); i += step {
			split.see(in[i:min(i+step, len(in))])
			if len(split.buf) > maxHello+4 {
				t.Fatal("keeps too much")
			}
		}
		if whole.hassh() != split.hassh() || whole.done != split.done {
			t.Fatalf("%q and %q", whole.hassh(), split.hassh())
		}
	})
}

// quiet is a sink for nobody.
type quiet struct{}

func (quiet) Command(string)              {}
func (quiet) Download(string, string)     {}
func (quiet) File(string, []byte, string) {}

func files() *shell.FS {
	p := persona.New([32]byte{7}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	limits := shell.Limits{FSBytes: 1 << 20, FileBytes: 256 << 10, Files: 100}
	return shell.New(p, "root", limits, quiet{}, time.Now).FS()
}

// FuzzSCP: no dialogue makes the protocol run on after its input has ended or
// answer more than its files hold.
func FuzzSCP(f *testing.F) {
	for _, s := range [][2]string{
		{"scp -t /tmp/x", "C0644 5 x\nhello\x00"}, {"scp -r -t /tmp", "D0755 0 d\nC0600 2 a\nhi\x00E\n"}, {"scp -p -f /etc/passwd", "\x00\x00\x00\x00"},
		{"scp -t -- '/tmp/a b'", "T1 0 1 0\nC0777 99999999999 x\n"}, {"scp -r -f /etc", "\x00\x00\x00\x00\x00\x00\x00\x00"}, {"scp -t /tmp", "C0644 1 ../x\n"}, {"scp -f ~", "\x01no\n\x02"},
	} {
		f.Add(s[0], []byte(s[1]))
	}
	f.Fuzz(func(t *testing.T, line string, in []byte) {
		s, ok := parseSCP(line)
		if !ok {
			return
		}
		var out counter
		s.serve(bytes.NewReader(in), &out, files(), "/root")
		if out.n > 64<<20 {
			t.Fatalf("%d bytes for %d", out.n, len(in))
		}
	})
}

type counter struct{ n int }

func (c *counter) Write(p []byte) (int, error) { c.n += len(p); return len(p), nil }

// packetOf makes an SFTP request.
func packetOf(kind byte, id uint32, parts ...any) []byte {
	p := []byte{kind}
	if kind != fxInit {
		p = binary.BigEndian.AppendUint32(p, id)
	}
	for _, x := range parts {
		switch v := x.(type) {
		case int:
			p = binary.BigEndian.AppendUint32(p, uint32(v))
		case uint64:
			p = binary.BigEndian.AppendUint64(p, v)
		case string:
			p = binary.BigEndian.AppendUint32(p, uint32(len(v)))
			p = append(p, v...)
		}
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...)
}

type duplex struct {
	io.Reader
	io.Writer
}

// FuzzSFTP: every answer is a packet with the id of a request, and there are
// no more answers than requests.
func FuzzSFTP(f *testing.F) {
	zero := "\x00\x00\x00\x00"
	seeds := [][]byte{
		packetOf(fxInit, 0, 3), packetOf(fxOpen, 1, "/tmp/x", 0x1a, 0), packetOf(fxWrite, 2, zero, uint64(0), "data"), packetOf(fxWrite, 2, zero, uint64(1<<40), "data"),
		packetOf(fxRead, 3, zero, uint64(0), 1<<30), packetOf(fxFsetstat, 4, zero, attrSize, uint64(1<<50)), packetOf(fxClose, 5, zero), packetOf(fxOpendir, 6, "/etc"),
		packetOf(fxReaddir, 7, zero), packetOf(fxRealpath, 8, "../.."), packetOf(fxSetstat, 9, "/tmp", attrExtended-0, 1<<30), packetOf(fxRename, 10, "/tmp/x", "/tmp/y"),
		packetOf(fxSymlink, 11, "a", "/tmp/b"), packetOf(fxReadlink, 12, "/tmp/b"), packetOf(fxExtended, 13, "statvfs@openssh.com", "/"), packetOf(fxStat, 14, strings.Repeat("a/", 3000)), packetOf(250, 15),
	}
	f.Add(bytes.Join(seeds, nil))
	for _, s := range seeds {
		f.Add(append(bytes.Clone(seeds[1]), s...))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		serveSFTP(duplex{bytes.NewReader(in), &out}, files(), "/root", func(string) {})
		asked := 0
		for b := in; len(b) >= 4; asked++ {
			n := int(binary.BigEndian.Uint32(b))
			if n > len(b)-4 {
				break
			}
			b = b[4+n:]
		}
		for b := out.Bytes(); len(b) > 0; asked-- {
			if len(b) < 5 || asked <= 0 {
				t.Fatalf("%d bytes left, %d requests unanswered", len(b), asked)
			}
			n := int(binary.BigEndian.Uint32(b))
			if n > len(b)-4 || n > maxPacket+1024 {
				t.Fatalf("packet of %d bytes", n)
			}
			b = b[4+n:]
		}
	})
}

// pipes is a listener without a network.
type pipes struct {
	c    chan net.Conn
	done chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.c:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p pipes) Close() error   { close(p.done); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// located gives a pipe the addresses of a TCP connection.
type located struct{ net.Conn }

func (located) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4000} }
func (located) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 22} }

type nowhere struct{}

func (nowhere) Emit(context.Context, *observe.Observation) error { return nil }

// FuzzPreAuth: nothing a stranger sends before login makes the decoy panic,
// report a mistake of its own, or stay when the stranger leaves.
func FuzzPreAuth(f *testing.F) {
	f.Add([]byte("SSH-2.0-x\r\n"))
	f.Add(append([]byte("SSH-2.0-OpenSSH_9.2\r\n"), kexInit("curve25519-sha256", "ssh-ed25519", "aes128-ctr", "aes128-ctr", "hmac-sha2-256", "hmac-sha2-256", "none", "none")...))
	f.Add([]byte("GET / HTTP/1.0\r\n\r\n"))
	f.Add([]byte("SSH-2.0-\n\xff\xff\xff\xff"))
	p, err := host()
	if err != nil {
		f.Fatal(err)
	}
	svc, err := New(open())
	if err != nil {
		f.Fatal(err)
	}
	run := decoy.NewRunner(nowhere{}, func(_ string, err error) { panic(err) })
	limits := decoy.DefaultLimits()
	limits.Idle = 5 * time.Second
	in := &decoy.Instance{Name: "ssh", Service: "ssh", Impl: svc, Persona: p, Limits: limits}
	l := pipes{make(chan net.Conn), make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run.Serve(ctx, in, l) }()
	f.Cleanup(func() { cancel(); <-done })
	f.Fuzz(func(t *testing.T, sent []byte) {
		ours, theirs := net.Pipe()
		l.c <- located{theirs}
		heard := make(chan struct{})
		go func() {
			defer close(heard)
			io.Copy(io.Discard, ours) // ends when the decoy hangs up or we do
		}()
		ours.SetWriteDeadline(time.Now().Add(5 * time.Second))
		ours.Write(sent) // fails when the decoy has hung up before
		ours.Close()
		<-heard
		if n := run.Stats().Panics; n > 0 {
			t.Fatalf("%d panics", n)
		}
	})
}
