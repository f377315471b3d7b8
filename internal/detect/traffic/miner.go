package traffic

import (
	"errors"
	"fmt"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// MinerConfig says what mining looks like: long connections to a pool that
// carry a few small messages a minute (work out, shares in) and never rest.
type MinerConfig struct {
	// Lasts is how long a conversation with a port of pools goes on.
	Lasts time.Duration `yaml:"lasts"`
	// Unnamed is how long one connection to a port of no known service does.
	Unnamed time.Duration `yaml:"unnamed"`
	// Rate is the most bytes per second that a miner sends.
	Rate float64 `yaml:"rate"`
}

func (c MinerConfig) check() error {
	if c.Lasts <= 0 || c.Unnamed < c.Lasts || !(c.Rate > 0) {
		return errors.New("miner.lasts and rate must be positive, unnamed at least lasts")
	}
	return nil
}

// poolPort reports whether pools listen there by custom: the ports that the
// miners' documentation and the pools themselves name (stratum has none of its
// own). Ports that much else uses are left out.
func poolPort(p uint16) bool {
	switch p {
	case 1314, 1444, 2020, 3032, 3256, 3333, 3334, 3335, 3336, 3353, 3355, 3357, 4242, 4444, 4445, 5555, 5556, 5588, 6666, 6688, 7777, 7778, 8888, 8899,
		9999, 10032, 10034, 10128, 10300, 10343, 11111, 12433, 13333, 13531, 14141, 14433, 14444, 14445, 15555, 17777, 18081, 19999, 20128, 20535, 20580, 33333, 45560, 45700, 45791, 55555:
		return true
	}
	return false
}

// interactive are ports of long quiet connections that people know: shells,
// mail, chat, push messages, tunnels, brokers, databases.
func interactive(p uint16) bool {
	switch p {
	case 3306, 3389, 5060, 5061, 5222, 5223, 5228, 5229, 5230, 5269, 5432, 5671, 5672, 5938, 6379, 8080, 8443, 8883, 9092, 27017, 41641, 51820:
		return true
	}
	return p < 1024 || p == 1194 || p == 1883 || p == 2195 || p == 2196 || p == 2197
}

var techMiner = []string{"T1496"}

func (d *traffic) miner(p *pair, c *conn, f *observe.Flow, emit detect.FlowEmit) {
	if f.Proto != observe.ProtoTCP || p.told&toldMiner != 0 || interactive(f.DstPort) {
		return
	}
	lasts, unnamed := int64(d.conf.Miner.Lasts/time.Second), int64(d.conf.Miner.Unnamed/time.Second)
	pool := poolPort(f.DstPort)
	took := c.lasted()
	rate := float64(c.bytes) / float64(max(took, 1))
	steady := took > 0 && rate <= d.conf.Miner.Rate && rate >= 1 && (c.fastest == 0 || c.fastest <= 25*max(c.slowest, 1))
	switch {
	case pool && steady && took >= lasts:
	case pool && len(p.beats.at) >= 8 && f.Start-p.first >= lasts && p.small(d.conf.Miner.Rate):
		took = f.Start - p.first // it connects again and again
	case !pool && steady && took >= unnamed && !d.popular(service{f.Dst, f.DstPort, f.Proto}):
	default:
		return
	}
	p.told |= toldMiner
	kind, conf := "miner.pool", 0.8
	if !pool {
		kind, conf = "miner.steady", 0.6
	}
	d.say(f, kind, model.ClassControl, techMiner, fmt.Sprintf("talks to %s for %s at a few bytes per second, as miners do", endpoint(f), time.Duration(took)*time.Second))
	d.sig.Confidence = conf
	emit(&d.sig, f)
}

// small reports whether the remembered connections carry little.
func (p *pair) small(rate float64) bool {
	n := len(p.beats.at)
	total := 0.0
	for _, b := range p.beats.bytes {
		total += float64(b)
	}
	return total <= rate*float64(max(1, p.beats.at[n-1]-p.beats.at[0]))
}
