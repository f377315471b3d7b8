package nft

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bartizan/internal/enforce/enforcetest"
)

// What we write for the kernel is what we read back from our own bytes: the
// writer and the parser agree on the format.
func TestWriterAndParserAgree(t *testing.T) {
	l := layout{table: "t", names: firstNames(), hooks: []string{"input"}, rate: 1, burst: 1}
	now := time.UnixMilli(1_000_000)
	for set, spec := range setSpecs {
		want := []piece{
			{addr{}, addr{0, 7}, 2_000_000}, {addr{0, 9}, addr{0, 9}, 3_000_000},
			{addr{hostMask(spec.width, 0).hi, hostMask(spec.width, 0).lo - 5}, hostMask(spec.width, 0), 4_000_000},
		}
		b := newBatch(1)
		l.elements(b, unix.NFT_MSG_NEWSETELEM, set, want, now)
		b.finish()
		var starts []rangeOf
		var ends []addr
		messages := 0
		err := splitMessages(b.b, func(m message) error {
			messages++
			if m.kind != unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWSETELEM {
				return nil
			}
			return parseElements(m.body[genMsgLen:], spec.width, func(e element) {
				if e.end {
					ends = append(ends, e.at)
				} else {
					starts = append(starts, rangeOf{piece: piece{lo: e.at}})
				}
			})
		})
		if err != nil || messages != 3 {
			t.Fatalf("%d messages, %v", messages, err)
		}
		got := pair(starts, ends, spec.width)
		for i := range got {
			if got[i].lo != want[i].lo || got[i].hi != want[i].hi {
				t.Errorf("range %d of %s: %v, want %v", i, spec.name, got[i].piece, want[i])
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d ranges, want %d", len(got), len(want))
		}
	}
}

// No attribute may grow over what its 16-bit length can say.
func TestChunksFitTheirLength(t *testing.T) {
	l := layout{table: "t", names: firstNames()}
	pieces := make([]piece, 2*maxElementsPerChunk+1)
	for i := range pieces {
		pieces[i] = piece{addr{uint64(i), 0}, addr{uint64(i), 5}, 1}
	}
	b := newBatch(1)
	l.elements(b, unix.NFT_MSG_NEWSETELEM, setBlock6, pieces, time.Now())
	sizes := []int{}
	n := 0
	err := splitMessages(b.b, func(m message) error {
		sizes = append(sizes, len(m.body))
		if m.kind == unix.NFNL_MSG_BATCH_BEGIN {
			return nil
		}
		return parseElements(m.body[genMsgLen:], 128, func(element) { n++ })
	})
	if err != nil || n != 2*len(pieces) || slices.Max(sizes) > 1<<16 || len(sizes) != 4 {
		t.Errorf("%d elements in messages of %v bytes, %v", n, sizes, err)
	}
}

// FuzzDump feeds the parser of the kernel's answers; its seeds are real ones.
func FuzzDump(f *testing.F) {
	for _, b := range realAnswers(f) {
		f.Add(b)
	}
	for set := range setSpecs { // without root: our own requests, which have the same form
		b := newBatch(1)
		l := layout{table: "t", names: firstNames(), hooks: []string{"input"}, rate: 1, burst: 1}
		l.newSet(b, set)
		l.newRules(b)
		l.elements(b, unix.NFT_MSG_NEWSETELEM, set, []piece{{addr{0, 1}, addr{0, 9}, 5000}, {addr{0, 10}, addr{0, 10}, 9000}}, time.UnixMilli(1))
		f.Add(b.b)
	}
	f.Add([]byte{20, 0, 0, 0, 12, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var starts []rangeOf
		var ends []addr
		_ = splitMessages(data, func(m message) error {
			_ = m.errno()
			if len(m.body) < genMsgLen {
				return nil
			}
			attrs := m.body[genMsgLen:]
			for _, width := range []int{32, 128} {
				_ = parseElements(attrs, width, func(e element) {
					if width == 32 && e.at.hi|e.at.lo>>32 != 0 {
						t.Errorf("an IPv4 address of %v", e.at)
					}
					if e.end {
						ends = append(ends, e.at)
					} else {
						starts = append(starts, rangeOf{piece: piece{lo: e.at}})
					}
				})
			}
			if r, err := parseRule(attrs); err == nil && len(r.comment) > 255 {
				t.Errorf("a comment of %d bytes", len(r.comment))
			}
			_, _, _, _, _ = parseChain(attrs)
			_, _, _, _ = parseSet(attrs)
			return nil
		})
		if got := pair(slices.Clone(starts), ends, 128); len(got) != len(starts) {
			t.Errorf("%d ranges of %d starts", len(got), len(starts))
		}
	})
}

// realAnswers records what this machine's kernel answers, when there is root.
func realAnswers(f *testing.F) (out [][]byte) {
	s := newSceneOrNil(f)
	if s == nil {
		return nil
	}
	s.block(1, "203.0.113.0/24", time.Hour)
	s.block(2, "203.0.113.7/32", 2*time.Hour)
	s.block(3, "2001:db8:1::/64", time.Hour)
	s.apply(f)
	sock, err := dial(s.victim.Path)
	if err != nil {
		f.Fatal(err)
	}
	defer sock.close()
	for _, kind := range []uint16{unix.NFT_MSG_GETSETELEM, unix.NFT_MSG_GETRULE, unix.NFT_MSG_GETCHAIN, unix.NFT_MSG_GETSET} {
		err := sock.query(context.Background(), kind, unix.NLM_F_DUMP, "record", func(t *batch) {
			if kind == unix.NFT_MSG_GETSETELEM {
				t.str(unix.NFTA_SET_ELEM_LIST_TABLE, "bartizan")
				t.str(unix.NFTA_SET_ELEM_LIST_SET, "block4")
			}
		}, func(attrs []byte) error {
			b := newBatch(1)
			b.message(kind, 0, "", func() { b.b = append(b.b, attrs...) })
			out = append(out, slices.Clone(b.b))
			return nil
		})
		if err != nil {
			f.Fatal(err)
		}
	}
	return out
}

func newSceneOrNil(f *testing.F) *scene {
	if unix.Geteuid() != 0 {
		return nil
	}
	ns := enforcetest.NewNet(f)
	s := &scene{victim: ns, e: openIn(f, ns, nil)}
	s.prepare()
	return s
}

func TestHostMaskAndBounds(t *testing.T) {
	for text, want := range map[string][2]string{
		"10.1.2.3/32": {"10.1.2.3", "10.1.2.3"}, "10.1.2.3/8": {"10.0.0.0", "10.255.255.255"}, "0.0.0.0/0": {"0.0.0.0", "255.255.255.255"},
		"2001:db8::1/64": {"2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"}, "2001:db8::1/63": {"2001:db8::", "2001:db8:0:1:ffff:ffff:ffff:ffff"},
		"::/0": {"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, "2001:db8::1/128": {"2001:db8::1", "2001:db8::1"},
	} {
		p := netip.MustParsePrefix(text)
		lo, hi := bounds(p)
		if got := [2]string{lo.netip(p.Addr().BitLen()).String(), hi.netip(p.Addr().BitLen()).String()}; got != want {
			t.Errorf("bounds of %s: %v, want %v", text, got, want)
		}
	}
}
