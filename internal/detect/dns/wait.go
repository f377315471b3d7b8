package dns

import (
	"fmt"
	"net/netip"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// waiting is a conclusion that is told when it is known who else asks for the domain.
type waiting struct {
	due   int64
	kind  kind
	zone  string
	query observe.Query // that completed it
}

type kind uint8

const (
	aTunnel kind = iota
	aFlux
)

const maxWaiting = 4096

func (d *names) wait(w waiting) {
	w.due = d.clock + int64(d.conf.Patience/time.Second)
	if len(d.waiting) >= maxWaiting {
		d.waiting[0].due = 0 // is told next; the oldest knows most
		return
	}
	d.waiting = append(d.waiting, w)
}

// Settle implements detect.QueryDetector.
func (d *names) Settle(emit detect.QueryEmit) { d.ripe(true, emit) }

// ripe tells what has waited long enough, or everything.
func (d *names) ripe(all bool, emit detect.QueryEmit) {
	if len(d.waiting) == 0 || !all && d.waiting[0].due > d.clock {
		return
	}
	keep := d.waiting[:0]
	for i := range d.waiting {
		w := d.waiting[i]
		if !all && w.due > d.clock {
			keep = append(keep, w)
			continue
		}
		ok := false
		switch w.kind {
		case aTunnel:
			ok = d.sayTunnel(&w)
		case aFlux:
			ok = d.sayFlux(&w)
		}
		if ok {
			emit(&d.sig, w.query.Record)
		}
	}
	clear(d.waiting[len(keep):])
	d.waiting = keep
}

// say fills the signal about who asked.
func (d *names) say(q *observe.Query, kind string, class model.Class, tech []string, zoneName string) {
	at := time.Unix(max(q.Time, 0), 0).UTC()
	who := q.Client.Netip()
	d.sig = model.Signal{
		Kind: kind, Class: class, Rule: kind, Time: at, Actor: model.AddrEntity(who), Address: who.String(),
		Asset: model.AssetRef{Kind: "domain", Name: detect.Clean(zoneName, 128)}, Severity: model.Medium, Techniques: tech, Count: 1,
		// One's own network vouches for a host whose questions are answered.
		Spoofable: q.Spoofable && !(who.IsPrivate() && q.RCode != ""),
		Evidence: []model.Evidence{{Time: at, What: "query", Excerpt: detect.Clean(fmt.Sprintf("%s asked %s for %s %s: %s, %d answers",
			netip.AddrPortFrom(who, q.ClientPort), server(q), q.Type, q.Name, q.RCode, len(q.Answers)), model.MaxExcerpt)}},
	}
	if e, err := model.ParseEntity(model.TypeDomain, zoneName); err == nil {
		d.sig.Related = []model.Entity{e}
	}
}

func server(q *observe.Query) string {
	if q.Server.IsZero() {
		return "its resolver"
	}
	return q.Server.Netip().String()
}

func (d *names) title(format string, args ...any) {
	d.sig.Title = detect.Clean(fmt.Sprintf(format, args...), 250)
}
