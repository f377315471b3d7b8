package dns

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"

	"bartizan/internal/model"
	"bartizan/internal/observe"

	"golang.org/x/net/publicsuffix"
)

// TunnelConfig says when names carry data.
type TunnelConfig struct {
	// Names is how many different names that nobody would choose one host must
	// ask for below one domain within a day, with Letters letters in all.
	Names   int `yaml:"names"`
	Letters int `yaml:"letters"`
	// WeekNames is the same for a week, with twice the letters.
	WeekNames int `yaml:"week_names"`
	// Plain is how many letters of different names, whatever they look like, are
	// too many for a day.
	Plain int `yaml:"plain"`
	// Down is how many bytes of text and binary answers are.
	Down int `yaml:"down"`
	// Cost is the mean bits per letter from which on nobody chose a name.
	Cost float64 `yaml:"cost"`
}

func (c TunnelConfig) check() error {
	if c.Names < 4 || c.Letters < 1 || c.WeekNames < c.Names || c.Plain < c.Letters || c.Down < 1 || !(c.Cost > 0) {
		return errors.New("tunnel.names must be at least 4, letters, down and cost positive, week_names at least names, plain at least letters")
	}
	return nil
}

// talk is what is remembered about a host and a registered domain.
type talk struct {
	day, week     window
	odd, letters  int // of the day
	weekOdd       int
	weekLetters   int
	plain         int // letters of all different names of the day
	names, rarely int // questions of the day; those for record types that carry text or bytes
	down          int // bytes of such answers
	seen          *bitmap
	told          bool
}

const mapBits = 8192

// bitmap remembers which names were seen, roughly: with n of them in it one in
// 8,192/n new names is taken for an old one.
type bitmap [mapBits / 64]uint64

func (b *bitmap) add(h uint64) (fresh bool) {
	w, bit := &b[h>>6%uint64(len(b))], uint64(1)<<(h&63)
	fresh = *w&bit == 0
	*w |= bit
	return fresh
}

func (b *bitmap) full() bool {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n > mapBits/2
}

// carrier reports whether a record type carries text or bytes, which names and
// addresses ask for rarely.
func carrier(kind string) bool {
	switch kind {
	case "TXT", "NULL", "KEY", "TYPE65399", "TYPE65401", "HINFO", "DNSKEY":
		return true
	}
	return false
}

const shortest = 10 // letters of a name that can be told from a chosen one

// tunnel counts a question below a registered domain.
func (d *names) tunnel(q *observe.Query, zoneName, sub string) {
	t, _ := d.talks.Get(talkKey{q.Client, zoneName})
	c := &d.conf.Tunnel
	if t.week.open(q.Time, week) {
		*t = talk{week: t.week}
	}
	if t.day.open(q.Time, day) {
		t.odd, t.letters, t.plain, t.names, t.rarely, t.down = 0, 0, 0, 0, 0, 0
	}
	t.names++
	if carrier(q.Type) {
		t.rarely++
		for _, a := range q.Answers {
			t.down += len(a)
		}
	}
	if t.told || reversed(sub) {
		return
	}
	sub, stripped := payload(sub)
	letters := len(sub) - strings.Count(sub, ".")
	if letters >= shortest {
		if t.seen == nil {
			t.seen = &bitmap{}
		}
		if t.seen.add(d.hash(sub)) {
			if t.plain += letters; stripped {
				t.plain -= letters
			}
			if d.known.surprise(strings.ReplaceAll(sub, ".", "")) >= c.Cost {
				t.odd++
				t.weekOdd++
				t.letters += letters
				t.weekLetters += letters
			}
			if t.odd&63 == 63 && t.seen.full() {
				t.seen = nil
			}
		}
	}
	switch {
	case t.odd >= c.Names && t.letters >= c.Letters:
	case t.weekOdd >= c.WeekNames && t.weekLetters >= 2*c.Letters:
	case t.plain >= c.Plain:
	case t.down >= c.Down && t.rarely >= 40 && 2*t.rarely >= t.names:
	default:
		return
	}
	t.told = true
	d.wait(waiting{kind: aTunnel, zone: zoneName, query: *q})
}

// reversed reports whether a name is an address in the order of the DNS: four
// numbers (RFC 5782 §2.1) or sixteen or more single hex digits (§2.4).
func reversed(sub string) bool {
	numbers, nibbles := 0, 0
	for label := range strings.SplitSeq(sub, ".") {
		switch {
		case len(label) == 1 && isHex(label):
			nibbles++
			if label[0] <= '9' {
				numbers++
			}
		case len(label) <= 3 && isNumber(label):
			numbers++
		default:
			if numbers < 4 && nibbles < 16 { // something before the address, or no address
				return false
			}
		}
	}
	return numbers >= 4 && numbers <= 8 || nibbles >= 16
}

func isHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdef") == "" }

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// payload takes a whole domain off the end of what is before the zone: lists
// of links are asked for domains (RFC 5782 §2.2 for names), and so are search
// lists of resolvers for every name that does not exist.
func payload(sub string) (rest string, stripped bool) {
	suffix, icann := publicsuffix.PublicSuffix(sub)
	if !icann || len(suffix) >= len(sub) {
		return sub, false
	}
	return sub[:len(sub)-len(suffix)-1], true
}

var techTunnel = []string{"T1071.004", "T1048"}

func (d *names) sayTunnel(w *waiting) bool {
	t := d.talks.Peek(talkKey{w.query.Client, w.zone})
	d.say(&w.query, "dns.tunnel", model.ClassControl, techTunnel, w.zone)
	d.sig.Confidence = 0.75
	what := "asks for many different names"
	if t != nil {
		d.sig.Count = max(1, t.weekOdd)
		what = fmt.Sprintf("asked for %d different names that nobody would choose (%d letters)", t.weekOdd, t.weekLetters)
		if t.weekOdd < d.conf.Tunnel.Names {
			what = fmt.Sprintf("asked for %d letters of different names, got %d bytes of text", t.plain, t.down)
			d.sig.Confidence = 0.6
		}
		if t.weekLetters > 100<<10 {
			d.sig.Severity = model.High
		}
		if 2*t.rarely > t.names {
			d.sig.Confidence = math.Min(0.9, d.sig.Confidence+0.1)
		}
	}
	d.title("%s below %s", what, w.zone)
	if z := d.zones.Peek(w.zone); d.popular(w.zone) {
		if z.told.begun && !z.told.open(w.query.Time, week) {
			return false // once a week is enough for what is ordinary
		}
		z.told.open(w.query.Time, week)
		d.sig.Rule, d.sig.Severity, d.sig.Confidence = "dns.tunnel.popular", model.Info, 0.1
		d.title("as many other hosts do: %s below %s", what, w.zone)
	}
	return true
}
