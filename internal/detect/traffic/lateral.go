package traffic

import (
	"fmt"
	"slices"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// LateralConfig says what moving sideways is: a host that gets through to the
// administration of many others that it never talked to before.
type LateralConfig struct {
	Fast int `yaml:"fast"` // new hosts within an hour
	Slow int `yaml:"slow"` // new hosts within a day
	New  int `yaml:"new"`  // within an hour, of a host that is seen for less than a day: everything is new then
}

func (c LateralConfig) check() error {
	if c.Fast < 3 || c.Slow < c.Fast || c.New < c.Fast || c.Slow > maxNew || c.New > maxNew {
		return fmt.Errorf("lateral.fast must be at least 3, slow and new between that and %d", maxNew)
	}
	return nil
}

// adminPort: SSH, RPC, NetBIOS, SMB, RDP, WinRM.
func adminPort(p uint16) bool {
	switch p {
	case 22, 135, 139, 445, 3389, 5985, 5986:
		return true
	}
	return false
}

const (
	maxNew   = 64
	maxKnown = 512
)

// admin is whom a host administers.
type admin struct {
	known []uint32 // hashes of hosts, up to maxKnown; with more the host is an administrator's
	fresh []int64  // when the newest of them were met first
	told  int64
}

var techLateral = []string{"T1021", "T1570"}

// sideways is about what internal hosts do to each other.
func (d *traffic) sideways(f *observe.Flow, emit detect.FlowEmit) {
	if f.Proto != observe.ProtoTCP || f.SrcPort < 1024 || !adminPort(f.DstPort) || f.Action == observe.FlowReject || f.Packets < 5 || f.Src == f.Dst {
		return
	}
	if f.HasFlags && f.Flags&observe.FlagSYN != 0 && f.Flags&observe.FlagACK != 0 {
		return // the answer
	}
	d.tick(f.Start)
	h := d.host(f)
	a := &h.admin
	v := uint32(d.hash(&f.Dst) >> 32)
	if slices.Contains(a.known, v) || len(a.known) >= maxKnown {
		return
	}
	a.known = append(a.known, v)
	if a.fresh = append(a.fresh, f.Start); len(a.fresh) > maxNew {
		a.fresh = slices.Delete(a.fresh, 0, 1)
	}
	inHour, inDay := 0, 0
	for _, t := range a.fresh {
		if t <= f.Start+hour && f.Start-t <= hour {
			inHour++
		}
		if t <= f.Start+hour && f.Start-t <= day {
			inDay++
		}
	}
	c := &d.conf.Lateral
	young := f.Start-h.first < day
	if (young && inHour < c.New && inDay < 2*c.New) || (!young && inHour < c.Fast && inDay < c.Slow) || a.told != 0 && f.Start-a.told < day {
		return
	}
	a.told = f.Start
	n, span := inHour, "an hour"
	if inHour < c.Fast {
		n, span = inDay, "a day"
	}
	d.say(f, "lateral.admin", model.ClassAccess, techLateral, fmt.Sprintf("got through to the administration of %d internal hosts within %s that it never talked to before", n, span))
	d.sig.Count, d.sig.Severity, d.sig.Confidence = n, model.High, 0.75
	emit(&d.sig, f)
}
