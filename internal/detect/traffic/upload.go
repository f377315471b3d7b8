package traffic

import (
	"errors"
	"fmt"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// UploadConfig says what carrying data out is.
type UploadConfig struct {
	// Floor is how many bytes more than came back must go to one service within
	// a day, whatever the host did before.
	Floor uint64 `yaml:"floor"`
	// Unknown is the floor for a host that is seen for less than a day.
	Unknown uint64 `yaml:"unknown"`
	// Factor is how many times the host's own largest day with a new service, and
	// this service's own largest day, it must be.
	Factor float64 `yaml:"factor"`
	// Long and Fat are a connection's time and bytes worth a note.
	Long time.Duration `yaml:"long"`
	Fat  uint64        `yaml:"fat"`
}

func (c UploadConfig) check() error {
	if c.Floor < 1 || c.Unknown < c.Floor || !(c.Factor >= 1) || c.Long <= 0 || c.Fat < 1 {
		return errors.New("upload.floor must be positive, unknown at least that, factor at least 1, long and fat positive")
	}
	return nil
}

// host is what is remembered about an internal host.
type host struct {
	first   int64
	largest float64 // bytes: most that it pushed to a service in that one's first day; halves in a week
	aged    int64
	admin   admin
}

func (d *traffic) host(f *observe.Flow) *host {
	h, fresh := d.hosts.Get(f.Src)
	if fresh {
		h.first, h.aged = f.Start, f.Start
	}
	h.first = min(h.first, f.Start)
	return h
}

// pushed is what went out beyond what came back: nearly all of an upload,
// nothing of a call or a download.
func (p *pair) pushed() uint64 {
	if p.down >= p.up || p.up-p.down < p.up/2 {
		return 0
	}
	return p.up - p.down
}

// roll closes the day of a pair.
func (p *pair) roll(h *host, now int64) {
	if p.since == 0 {
		p.since = now
	}
	if now-p.since < day {
		return
	}
	pushed := p.pushed()
	if p.days == 0 && p.told&toldUpload == 0 && p.since-h.first >= day {
		for ; now-h.aged >= 7*day; h.aged += 7 * day {
			h.largest /= 2
		}
		h.largest = max(h.largest, float64(pushed))
	}
	p.largest = max(p.largest, pushed)
	p.days++
	p.up, p.down, p.since = 0, 0, now
	p.told &^= toldUpload
}

// enough is how much a host must push to a service to be noticed.
func (d *traffic) enough(p *pair, h *host, now int64) uint64 {
	c := &d.conf.Upload
	least := c.Floor
	if now-h.first < day {
		least = c.Unknown
	}
	if p.days > 0 {
		return max(least, uint64(c.Factor*float64(p.largest)))
	}
	return max(least, uint64(c.Factor*h.largest))
}

var (
	techUpload = []string{"T1048"}
	techLong   = []string{"T1071"}
)

func (d *traffic) upload(k pairKey, p *pair, h *host, c *conn, f *observe.Flow, emit detect.FlowEmit) {
	up := p.up - min(p.up, f.Bytes)
	if f.Start-p.since >= day { // the record belongs to the new day
		p.up = up
		p.roll(h, f.Start)
		p.up += f.Bytes
	}
	if p.told&toldUpload == 0 && p.pushed() >= d.enough(p, h, f.Start) {
		p.told |= toldUpload
		d.wait(waiting{key: k, flow: *f, kind: toldUpload})
	}
	if p.told&toldLong == 0 && c.lasted() >= int64(d.conf.Upload.Long/time.Second) {
		p.told |= toldLong
		d.note(f, "flow.long", fmt.Sprintf("a connection to %s lasts %s", endpoint(f), time.Duration(c.lasted())*time.Second), emit)
	}
	if p.told&toldFat == 0 && c.bytes >= d.conf.Upload.Fat {
		p.told |= toldFat
		d.note(f, "flow.fat", fmt.Sprintf("a connection to %s carried %s out", endpoint(f), size(c.bytes)), emit)
	}
}

// note is a fact worth recording and no alert.
func (d *traffic) note(f *observe.Flow, kind, title string, emit detect.FlowEmit) {
	d.say(f, kind, model.ClassControl, techLong, title)
	d.sig.Confidence, d.sig.Severity = 0.3, model.Low
	emit(&d.sig, f)
}

// sayUpload looks again, now that the answers are in.
func (d *traffic) sayUpload(w *waiting) bool {
	p, h := d.pairs.Peek(w.key), d.hosts.Peek(w.key.src)
	pushed := w.flow.Bytes
	if p != nil && h != nil {
		if pushed = p.pushed(); pushed < d.enough(p, h, w.flow.Start) {
			p.told &^= toldUpload
			return false
		}
	}
	d.say(&w.flow, "exfil.upload", model.ClassExfil, techUpload,
		fmt.Sprintf("sent %s more to %s than it got, far above its own days before", size(pushed), endpoint(&w.flow)))
	if pushed >= 1<<30 {
		d.sig.Severity = model.High
	}
	if d.popular(w.key.service) {
		d.sig.Rule, d.sig.Severity, d.sig.Confidence = "exfil.upload.popular", model.Low, 0.2
		d.sig.Title = cut("to a service that many hosts use: " + d.sig.Title)
	}
	return true
}
