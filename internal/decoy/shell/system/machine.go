package system

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"bartizan/internal/decoy/persona"
)

// wobble is a stable value in [0,1) that changes every ten minutes.
func wobble(p *persona.Persona, now time.Time, label string) float64 {
	slot := now.Unix() / 600
	d := p.Derive(fmt.Sprintf("%s %d", label, slot), 2)
	return float64(binary.LittleEndian.Uint16(d)) / 65536
}

func Load(p *persona.Persona, now time.Time) [3]float64 {
	c := float64(p.Hardware.Cores) * 0.2
	return [3]float64{wobble(p, now, "load1") * c, wobble(p, now, "load5") * c, wobble(p, now, "load15") * c}
}

// memory returns total, used, free, shared, cache and available KiB.
func memory(p *persona.Persona, now time.Time) [6]int64 {
	t := p.Hardware.MemKB
	used := int64(float64(t) * (0.22 + 0.12*wobble(p, now, "mem")))
	cache := int64(float64(t) * (0.35 + 0.1*wobble(p, now, "cache")))
	free := t - used - cache
	return [6]int64{t, used, free, 1188 + t/900, cache, free + cache*9/10}
}

func Meminfo(p *persona.Persona, now time.Time) []byte {
	m := memory(p, now)
	sw := p.Hardware.SwapKB
	var o bytes.Buffer
	for _, l := range []struct {
		k string
		v int64
	}{{"MemTotal", m[0]}, {"MemFree", m[2]}, {"MemAvailable", m[5]}, {"Buffers", m[4] / 12}, {"Cached", m[4] * 11 / 12}, {"SwapCached", 0}, {"Active", m[1]}, {"Inactive", m[4] / 2}, {"SwapTotal", sw}, {"SwapFree", sw}, {"Dirty", 184}, {"Shmem", m[3]}, {"Slab", m[0] / 30}, {"HugePages_Total", 0}, {"Hugepagesize", 2048}} {
		unit := " kB"
		if l.k == "HugePages_Total" {
			unit = ""
		}
		fmt.Fprintf(&o, "%-15s %8d%s\n", l.k+":", l.v, unit)
	}
	return o.Bytes()
}

// Traffic is the received and sent bytes of an interface; it grows with time.
func Traffic(p *persona.Persona, now time.Time, i int) (rx, tx int64) {
	d := p.Derive(fmt.Sprintf("traffic %d", i), 4)
	up := int64(p.Uptime(now) / time.Second)
	return up * (900 + int64(d[0])*30), up * (400 + int64(d[1])*20)
}

func IfaceNames(p *persona.Persona) []string {
	var out []string
	for _, i := range p.Interfaces {
		out = append(out, i.Name)
	}
	return out
}

// ElfHeader is the start of a 64-bit x86 position-independent executable:
// bots read it from /bin/ls or /proc/self/exe to learn the architecture.
func ElfHeader(p *persona.Persona) []byte {
	h := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x3e\x00\x01\x00\x00\x00\x50\x6d\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00\x98\x19\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x40\x00\x38\x00\x0d\x00\x40\x00\x1f\x00\x1e\x00")
	h = append(h, "\x06\x00\x00\x00\x04\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00\xd8\x02\x00\x00\x00\x00\x00\x00\xd8\x02\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00"...)
	h = append(h, "\x03\x00\x00\x00\x04\x00\x00\x00\x18\x03\x00\x00\x00\x00\x00\x00/lib64/ld-linux-x86-64.so.2\x00"...)
	return append(h, p.Derive("elf text", 3000)...)
}
