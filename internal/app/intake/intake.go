// Package intake is the part of a node that reads flows and logs of real services
// as they come and turns them into signals.
package intake

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"bartizan/internal/builtin"
	"bartizan/internal/bus"
	"bartizan/internal/conf"
	"bartizan/internal/detect"
	"bartizan/internal/detect/sigma"
	"bartizan/internal/lake"
	"bartizan/internal/life"
	"bartizan/internal/model"
	"bartizan/internal/obs"
	"bartizan/internal/observe"
	"bartizan/internal/ocsf"
	"bartizan/internal/safe"
	"bartizan/internal/source"
	"bartizan/internal/source/transport"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is one source of flows or logs that a node reads as they come.
type Config struct {
	From          string   `yaml:"from"`           // transport; default: tail
	Options       conf.Raw `yaml:"options"`        // the transport's own
	Format        string   `yaml:"format"`         // default: auto
	FormatOptions conf.Raw `yaml:"format_options"` // the format's own
	Keep          *bool    `yaml:"keep"`           // in the lake what it says, not only what is concluded; default: true
}

// Kept says whether what the source says is kept.
func (c *Config) Kept() bool { return c.Keep == nil || *c.Keep }

// Formats makes a format by name, of its options.
type Formats func(name string, options conf.Raw) (source.Format, error)

// Check says what is wrong with a source that is complete: an error by its key in
// the configuration, "" for the source as a whole.
func (c *Config) Check(formats Formats) (wrong map[string]error) {
	wrong = map[string]error{}
	feed, err := builtin.Transports().Build(c.From, c.Options)
	if err != nil {
		wrong[""] = err
	}
	format, err := formats(c.Format, c.FormatOptions)
	if p, ok := feed.(transport.Picky); ok && err == nil {
		err = p.Takes(format)
	}
	if err != nil {
		wrong["format"] = err
	}
	return wrong
}

// Options are what sources are made of.
type Options struct {
	Sources  map[string]Config
	Formats  Formats
	Families map[string]conf.Raw // options by detector family
	Rules    string              // folder with detection rules of one's own
	Own      []string            // prefixes of the internal networks; empty: the private ranges
	Sigma    string              // folder with Sigma rules; empty: none
	Expand   map[string][]string // values of %name% in them
	Data     string              // folder of the node, for malformed records
	Bus      *bus.Bus
	Lake     *lake.Lake // nil: none is kept
	Log      *slog.Logger
	Health   *obs.Health
	Metrics  *obs.Metrics
	// Publish stores signals; it waits while there is no room.
	Publish func(context.Context, []model.Signal) error
}

// Intake runs the sources of a node.
type Intake struct {
	opt     Options
	places  *bus.KV[transport.Place]
	records *prometheus.CounterVec
	broken  *prometheus.CounterVec
	feeds   []feed

	engines [2]engine // for what is proven and for what anybody can send, so that they do not add up
}

// engine is a set of detectors; they are one goroutine's at a time.
type engine struct {
	mu      sync.Mutex
	records *detect.Records
	news    bool // something came since the detectors concluded from what waits
}

// feed is one source with what it is made of.
type feed struct {
	name string
	Config
	transport transport.Feed
	format    source.Format
	forgeable bool
}

func (s *Intake) engineOf(forgeable bool) *engine {
	if forgeable {
		return &s.engines[1]
	}
	return &s.engines[0]
}

// MistakeError is what the operator wrote wrong.
type MistakeError struct{ Err error }

func (e *MistakeError) Error() string { return e.Err.Error() }

// Unwrap gives the mistake itself.
func (e *MistakeError) Unwrap() error { return e.Err }

// maxAhead is how far a record's clock may be ahead of the node's. What claims to
// be later happened now: nothing may count as fresh for longer than it is.
const maxAhead = 5 * time.Minute

// New builds the sources. Its errors are mistakes of the operator, but for those of
// the bus.
func New(ctx context.Context, o Options) (*Intake, error) {
	s := &Intake{opt: o,
		records: o.Metrics.Counter("bartizan_source_records_total", "Records read, by source.", "source"),
		broken:  o.Metrics.Counter("bartizan_source_malformed_total", "Records that no format could read, by source.", "source")}
	var rules *sigma.Engine
	if o.Sigma != "" {
		var report sigma.Report
		var err error
		if rules, report, err = sigma.Load(os.DirFS(o.Sigma), sigma.Options{Placeholders: o.Expand}); err != nil {
			return nil, &MistakeError{fmt.Errorf("load Sigma rules of %s: %w", o.Sigma, err)}
		}
		o.Log.Info("Sigma rules loaded", "rules", report.Rules, "refused", len(report.Problems), "folder", o.Sigma)
	}
	for i := range s.engines {
		all, err := builtin.BuildRecordDetectors(builtin.DetectorOptions{Families: o.Families, Rules: o.Rules, Own: o.Own})
		if err != nil {
			return nil, &MistakeError{fmt.Errorf("build detectors of sources: %w", err)}
		}
		if rules != nil {
			d := rules.NewDetector(sigma.Limits{})
			all.Documents = append(all.Documents, detect.NamedDocument{Name: "sigma", Detector: d})
			all.Messages = append(all.Messages, detect.NamedMessage{Name: "sigma", Detector: d})
			all.Events = append(all.Events, detect.Named{Name: "sigma", Detector: d})
		}
		s.engines[i].records = detect.NewRecords(all)
	}
	var err error
	if s.places, err = bus.OpenKV[transport.Place](ctx, o.Bus, "PLACES", "source-place", 1, bus.KVOptions[transport.Place]{MaxBytes: 64 << 20, MaxAge: 90 * 24 * time.Hour}); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(o.Sources)) {
		f := feed{name: name, Config: o.Sources[name]}
		if f.transport, err = builtin.Transports().Build(f.From, f.Options); err == nil {
			f.format, err = o.Formats(f.Format, f.FormatOptions)
		}
		if err != nil {
			return nil, &MistakeError{fmt.Errorf("source %s: %w", name, err)}
		}
		if x, ok := f.transport.(transport.Forgeable); ok {
			f.forgeable = x.Forgeable()
		}
		s.records.WithLabelValues(name)
		s.broken.WithLabelValues(name)
		s.feeds = append(s.feeds, f)
	}
	return s, nil
}

// Start runs every source until the group ends.
func (s *Intake) Start(g *life.Group) {
	g.Go("sources", s.settle)
	for _, f := range s.feeds {
		g.Go("source "+f.name, func(ctx context.Context) error { return s.keep(ctx, f) })
	}
}

// keep runs a source, and again when it could not go on.
func (s *Intake) keep(ctx context.Context, f feed) error {
	check := "source " + f.name
	s.opt.Health.Set(check, obs.StateOK, "starting")
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		began := time.Now()
		err := s.once(ctx, f)
		if transport.Stopped(ctx, err) {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if time.Since(began) > time.Minute {
			pause = time.Second
		}
		s.opt.Health.Set(check, obs.StateFailed, fmt.Sprintf("ended: %v; starting it again in %v", err, pause))
		s.opt.Log.Error("a source ended", "source", f.name, "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (s *Intake) once(ctx context.Context, f feed) error {
	q := &quarantine{path: filepath.Join(s.opt.Data, "quarantine", f.name+".jsonl")}
	defer q.close()
	return f.transport.Run(ctx, transport.Intake{
		Source: f.name, Format: f.Format, Decoder: f.format, Quarantine: q,
		Places: placesOf{s.places, f.name},
		Emit:   func(ctx context.Context, b *observe.LogBatch) error { return s.take(ctx, &f, b) },
		Count: func(c source.Counts) {
			s.records.WithLabelValues(f.name).Add(float64(c.Records))
			s.broken.WithLabelValues(f.name).Add(float64(c.Malformed))
		},
		Say: func(doing string, err error) {
			if err != nil {
				s.opt.Health.Set("source "+f.name, obs.StateDegraded, obs.Quote([]byte(doing+"; "+err.Error()), 1000))
				s.opt.Log.Warn("a source has trouble", "source", f.name, "error", obs.Quote([]byte(err.Error()), 1000))
				return
			}
			s.opt.Health.Set("source "+f.name, obs.StateOK, doing)
		},
	})
}

// take runs a batch through the detectors and stores what they conclude before
// the source may forget it.
func (s *Intake) take(ctx context.Context, f *feed, b *observe.LogBatch) error {
	now := time.Now()
	for i := range b.Events {
		b.Events[i].Spoofable = b.Events[i].Spoofable || f.forgeable
		if b.Events[i].Time.After(now.Add(maxAhead)) {
			b.Events[i].Time = now.UTC()
		}
	}
	var signals []model.Signal
	out := collect(f.name, f.forgeable, now, &signals)
	e := s.engineOf(f.forgeable)
	e.mu.Lock()
	e.records.Process(b, out)
	e.news = true
	e.mu.Unlock()
	if s.opt.Lake != nil && f.Kept() {
		s.file(f, b, now)
	}
	return s.opt.Publish(ctx, signals)
}

// collect gathers signals, with ids that are the same when a record is read again
// after a crash, so that it counts once.
func collect(name string, forgeable bool, now time.Time, to *[]model.Signal) func(uint64, model.Signal) {
	return func(record uint64, sig model.Signal) {
		if sig.Time.After(now.Add(maxAhead)) {
			sig.Time = now.UTC()
		}
		sig.Spoofable = sig.Spoofable || forgeable
		sig.ID = sameID(name, record, &sig)
		*to = append(*to, sig)
	}
}

// sameID makes an id from what a signal says.
func sameID(source string, record uint64, s *model.Signal) model.ULID {
	h := sha256.New()
	var n [16]byte
	binary.BigEndian.PutUint64(n[:], record)
	binary.BigEndian.PutUint64(n[8:], uint64(s.Time.UnixNano()))
	h.Write(n[:])
	for _, part := range []string{source, s.Kind, s.Rule, s.Actor.String(), s.Asset.Name, s.Title} {
		_, _ = io.WriteString(h, part)
		h.Write([]byte{0})
	}
	id := model.NewULID(s.Time)
	copy(id[6:], h.Sum(nil))
	return id
}

// file keeps what was logged in the lake.
func (s *Intake) file(f *feed, b *observe.LogBatch, now time.Time) {
	if len(b.Flows)+len(b.Queries)+len(b.Documents)+len(b.Messages) > 0 {
		s.opt.Lake.Logs(&ocsf.From{Sensor: f.name, Format: f.Format, Input: safe.Clean(b.Input, maxInput), Spoofable: f.forgeable, Now: now}, b)
	}
	if len(b.Events) == 0 {
		return
	}
	list := make([]observe.Observation, 0, len(b.Events))
	for i := range b.Events {
		o := b.Events[i].Observation
		if o.Sensor == "" {
			o.Sensor = f.name
		}
		list = append(list, o)
	}
	s.opt.Lake.Observations(list)
}

// maxInput is how much is kept of the name of an input.
const maxInput = 256

// settle lets detectors conclude from what they hold back, some time after the
// newest records.
func (s *Intake) settle(ctx context.Context) error {
	t := time.NewTicker(10 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			var signals []model.Signal
			panics := map[string]uint64{}
			for i := range s.engines {
				e := &s.engines[i]
				e.mu.Lock()
				if e.news {
					e.news = false
					e.records.Settle(collect("", i == 1, now, &signals))
				}
				for name, n := range e.records.Panics() {
					panics[name] += n
				}
				e.mu.Unlock()
			}
			if len(panics) > 0 {
				s.opt.Health.Set("source detectors", obs.StateDegraded, fmt.Sprintf("records broke detectors off (please report it): %v", panics))
			}
			if err := s.opt.Publish(ctx, signals); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// placesOf are the places of one source in the bucket of all.
type placesOf struct {
	kv   *bus.KV[transport.Place]
	name string
}

func (p placesOf) Load(ctx context.Context) (out []transport.Place, err error) {
	err = p.kv.All(ctx, func(e bus.Entry[transport.Place]) error {
		if e.Value.Source == p.name {
			out = append(out, e.Value)
		}
		return nil
	})
	return out, err
}

func (p placesOf) Save(ctx context.Context, at transport.Place) error {
	at.Source = p.name
	_, err := p.kv.Put(ctx, p.name+" "+at.Key, at)
	return err
}

// quarantine keeps samples of malformed records. It is made with the first one, and
// the older half goes when there are many.
type quarantine struct {
	path string
	mu   sync.Mutex
	f    *os.File
	size int64
}

const maxQuarantine = 4 << 20 // bytes of one file; there are at most two of a source

func (q *quarantine) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.f == nil {
		if err := os.MkdirAll(filepath.Dir(q.path), 0o700); err != nil {
			return 0, err
		}
		f, err := os.OpenFile(q.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return 0, err
		}
		st, err := f.Stat()
		if err != nil {
			f.Close()
			return 0, err
		}
		q.f, q.size = f, st.Size()
	}
	n, err := q.f.Write(p)
	q.size += int64(n)
	if err == nil && q.size > maxQuarantine {
		err = errors.Join(q.f.Close(), os.Rename(q.path, q.path+".1"))
		q.f = nil
	}
	return n, err
}

func (q *quarantine) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.f != nil {
		q.f.Close()
		q.f = nil
	}
}
