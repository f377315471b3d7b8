package dns

import (
	"errors"
	"strings"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// DGAConfig says when a host tries names that an algorithm makes.
type DGAConfig struct {
	// Fast and Slow are how many different registered domains that nobody would
	// choose must not exist, within an hour and within a day.
	Fast int `yaml:"fast"`
	Slow int `yaml:"slow"`
	// Any is how many different ones of any look within an hour, most of those asked for.
	Any int `yaml:"any"`
	// Cost is the mean bits per letter from which on nobody chose a domain.
	Cost float64 `yaml:"cost"`
}

func (c DGAConfig) check() error {
	if c.Fast < 4 || c.Slow < c.Fast || c.Any < c.Fast || !(c.Cost > 0) {
		return errors.New("dga.fast must be at least 4, slow and any at least that, cost positive")
	}
	return nil
}

// client is what is remembered about a host that asks.
type client struct {
	hour, day       window
	odd, gone, live int // different domains of the hour: not existing and odd, not existing, existing
	dayOdd, dayGone int
	mail            int // questions for MX of the hour: a mail server tries what senders write
	seen            *bitmap
	told            int64
	toldDGA         bool
	pools           []string // told
}

// dga counts a registered domain that was asked for.
func (d *names) dga(c *client, q *observe.Query, zoneName string, emit detect.QueryEmit) {
	if c.hour.open(q.Time, hour) {
		c.odd, c.gone, c.live, c.mail = 0, 0, 0, 0
	}
	if c.day.open(q.Time, day) {
		c.dayOdd, c.dayGone, c.seen = 0, 0, nil
	}
	switch q.Type {
	case "MX":
		c.mail++
		return
	case "A", "AAAA", "HTTPS", "":
	default:
		return
	}
	if q.RCode == "" {
		return
	}
	if c.seen == nil {
		c.seen = &bitmap{}
	}
	h := d.hash(zoneName)
	if q.RCode != "NXDOMAIN" {
		if c.seen.add(h ^ 0xaaaaaaaaaaaaaaaa) {
			c.live++
		}
		return
	}
	if !c.seen.add(h) {
		return
	}
	c.gone++
	c.dayGone++
	label, _, _ := strings.Cut(zoneName, ".")
	if len(label) >= 7 && !strings.HasPrefix(label, "xn--") && d.known.surprise(label) >= d.conf.DGA.Cost {
		c.odd++
		c.dayOdd++
	}
	conf := &d.conf.DGA
	switch {
	case c.toldDGA && q.Time-c.told < day:
		return
	case c.odd >= conf.Fast && 2*c.odd >= c.gone:
	case c.dayOdd >= conf.Slow && 2*c.dayOdd >= c.dayGone:
	case c.gone >= conf.Any && c.gone > 2*c.live && c.mail*10 < c.gone:
	default:
		return
	}
	c.told, c.toldDGA = q.Time, true
	d.say(q, "dns.dga", model.ClassControl, []string{"T1568.002"}, zoneName)
	d.sig.Count, d.sig.Confidence = c.dayGone, 0.75
	d.title("%d different domains of the last hour do not exist, %d of them nobody would choose, such as %s", c.gone, c.odd, zoneName)
	emit(&d.sig, q.Record)
}
