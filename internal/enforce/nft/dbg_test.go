package nft

import (
	"bartizan/internal/enforce"
	"bartizan/internal/enforce/enforcetest"
	"bartizan/internal/model"
	"encoding/binary"
	"golang.org/x/sys/unix"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime/pprof"
	"testing"
	"time"
)

func TestDbg(t *testing.T) {
	ns := enforcetest.NewNet(t)
	c := Default()
	c.Netns = ns.Path
	e, _ := Open(c)
	defer e.Close()
	b := enforce.NewBook()
	rng := rand.New(rand.NewPCG(1, 7))
	f, _ := os.Create("/tmp/cpu.prof")
	for r := range 2 {
		for i := range 100000 {
			b.Delete(id(i))
			b.Delete(id(i + 1000000))
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], rng.Uint32())
			b.Set(enforce.Order{Decision: id(i), Prefix: netip.PrefixFrom(netip.AddrFrom4(a), []int{32, 32, 32, 28, 24}[rng.IntN(5)]).Masked(), Action: model.Block, Until: time.Now().Add(time.Hour)})
			var x [16]byte
			binary.BigEndian.PutUint64(x[:], rng.Uint64()>>3|1<<61)
			b.Set(enforce.Order{Decision: id(i + 1000000), Prefix: netip.PrefixFrom(netip.AddrFrom16(x), []int{64, 64, 56}[rng.IntN(3)]).Masked(), Action: model.Block, Until: time.Now().Add(time.Hour)})
		}
		s := b.Snapshot()
		if r == 0 {
			pprof.StartCPUProfile(f)
		}
		st := time.Now()
		changes := e.plan(s, time.Now(), func(model.Receipt) {})
		t.Log("plan", time.Since(st))
		var del, add [setCount][]piece
		for i := range e.flats {
			del[i], add[i] = e.flats[i].apply(changes[i])
		}
		t.Log("flat", time.Since(st))
		e.connect()
		tx := newBatch(e.sock.seq + 1)
		now := time.Now()
		if r == 0 {
			e.layout.recreate(tx)
			for i := range e.flats {
				e.layout.elements(tx, unix.NFT_MSG_NEWSETELEM, i, e.flats[i].pieces, now)
			}
		} else {
			e.write(tx, del, add, now)
		}
		t.Log("encode", len(tx.b), time.Since(st))
		ack := tx.finish()
		_ = ack
		e.sock.seq = tx.seq
		if err := unix.Sendto(e.sock.fd, tx.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			t.Fatal(err)
		}
		t.Log("sendto", time.Since(st))
		e.sock.receive(func(m message) error { t.Log(m.errno()); return nil })
		t.Log("ack", time.Since(st))
		if r == 0 {
			pprof.StopCPUProfile()
		}
	}
}
