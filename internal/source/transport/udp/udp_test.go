package udp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/transport"
)

// numbers is a format whose datagrams are "ok" and a port.
type numbers struct{}

func (numbers) Decoder() source.Decoder           { return nil }
func (numbers) Datagrams() source.DatagramDecoder { return numbers{} }
func (numbers) Decode(from netip.AddrPort, now time.Time, data []byte, at uint64, b *observe.LogBatch) error {
	if string(data) != "ok" || !from.Addr().Is4() || now.IsZero() {
		return source.ErrFormat
	}
	b.Flows = append(b.Flows, observe.Flow{Record: at, SrcPort: from.Port()})
	return nil
}

// lines is a format without datagrams.
type lines struct{}

func (lines) Decoder() source.Decoder { return nil }

func TestFeed(t *testing.T) {
	for name, c := range map[string]struct {
		from  []string
		flows int
	}{"anybody": {nil, 2}, "ours": {[]string{"127.0.0.0/8"}, 2}, "one": {[]string{"127.0.0.1"}, 2}, "others": {[]string{"192.0.2.0/24", "2001:db8::/32"}, 0}} {
		t.Run(name, func(t *testing.T) {
			feed, err := New(Config{Listen: "127.0.0.1:0", From: c.from})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
			defer stop()
			var counts source.Counts
			flows := 0
			said, done := make(chan string, 1), make(chan error, 1)
			in := transport.Intake{Source: "x", Format: "numbers", Decoder: numbers{},
				Emit: func(_ context.Context, b *observe.LogBatch) error { flows += len(b.Flows); return nil },
				Count: func(n source.Counts) {
					counts.Add(n)
					if counts.Records == 3 || c.flows == 0 {
						stop()
					}
				},
				Say: func(doing string, _ error) { said <- doing }}
			go func() { done <- feed.Run(ctx, in) }()
			doing := <-said
			conn, err := net.Dial("udp", strings.Fields(doing)[3])
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, s := range []string{"ok", "broken", "ok"} {
				if _, err := conn.Write([]byte(s)); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if want := (source.Counts{Records: 3, Malformed: 1, Emitted: 2}); flows != c.flows || c.flows > 0 && counts != want || c.flows == 0 && counts != (source.Counts{}) {
				t.Errorf("%d flows, %+v", flows, counts)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []Config{{}, {Listen: "2055"}, {Listen: "0.0.0.0:"}, {Listen: "0.0.0.0:2055", From: []string{"router"}}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	feed, err := New(Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := feed.Run(t.Context(), transport.Intake{Decoder: lines{}}); err == nil || !strings.Contains(err.Error(), "netflow") {
		t.Errorf("a format without datagrams: %v", err)
	}
	feed, err = New(Config{Listen: "192.0.2.1:2055"})
	if err != nil {
		t.Fatal(err)
	}
	var op *net.OpError
	if err := feed.Run(t.Context(), transport.Intake{Decoder: numbers{}}); !errors.As(err, &op) {
		t.Errorf("an address of somebody else: %v", err)
	}
}
