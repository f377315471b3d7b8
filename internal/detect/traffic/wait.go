package traffic

import (
	"fmt"
	"net/netip"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// waiting is a conclusion that is told when it is known who else uses the
// service, and what came back from it.
type waiting struct {
	due    int64
	key    pairKey
	flow   observe.Flow // that completed it
	kind   told
	rhythm rhythm
	beats  int
}

const maxWaiting = 4096

func (d *traffic) wait(w waiting) {
	w.due = d.clock + int64(d.conf.Patience/time.Second)
	if len(d.waiting) >= maxWaiting {
		d.waiting[0].due = 0 // is told with the next batch; the oldest knows most
		return
	}
	d.waiting = append(d.waiting, w)
}

// ripe tells what has waited long enough, or everything.
func (d *traffic) ripe(emit detect.FlowEmit, all bool) {
	keep := d.waiting[:0]
	for i := range d.waiting {
		w := &d.waiting[i]
		if !all && w.due > d.clock {
			keep = append(keep, *w)
			continue
		}
		switch w.kind {
		case toldBeacon:
			d.sayBeacon(w)
		default:
			if !d.sayUpload(w) {
				continue
			}
		}
		emit(&d.sig, &w.flow)
	}
	d.waiting = keep
}

func endpoint(f *observe.Flow) string { return netip.AddrPortFrom(f.Dst.Netip(), f.DstPort).String() }

// say fills the signal about the source of a flow.
func (d *traffic) say(f *observe.Flow, kind string, class model.Class, tech []string, title string) {
	src := f.Src.Netip()
	at := time.Unix(f.Time(), 0).UTC()
	d.sig = model.Signal{
		Kind: kind, Class: class, Rule: kind, Title: cut(title), Time: at, Actor: model.AddrEntity(src), Address: src.String(),
		Asset: model.AssetRef{Kind: "host", Name: f.Dst.Netip().String()}, Confidence: 0.7, Severity: model.Medium, Techniques: tech, Count: 1,
		// A conversation proves that its sides exist; a record of datagrams does not.
		Spoofable: f.Proto != observe.ProtoTCP,
		Evidence: []model.Evidence{{Time: at, What: "flow", Excerpt: fmt.Sprintf("%s -> %s protocol %d, %d packets, %d bytes",
			netip.AddrPortFrom(src, f.SrcPort), endpoint(f), f.Proto, f.Packets, f.Bytes)}},
	}
	if dst := f.Dst.Netip(); !d.internal(&f.Dst) && dst.IsValid() {
		d.sig.Related = []model.Entity{model.AddrEntity(dst)}
	}
}

func cut(s string) string { return s[:min(len(s), 256)] }

// size is a number of bytes for people.
func size(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}
