package app

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
	"bartizan/internal/source"
	"bartizan/internal/source/transport"

	"github.com/prometheus/client_golang/prometheus"
)

// SourceConfig is one source of flows or logs that a node reads as they come.
type SourceConfig struct {
	From          string   `yaml:"from"`           // transport; default: tail
	Options       conf.Raw `yaml:"options"`        // the transport's own
	Format        string   `yaml:"format"`         // default: auto
	FormatOptions conf.Raw `yaml:"format_options"` // the format's own
}

// checkSources checks every source and completes what it leaves out.
func (c *Config) checkSources() (errs []error) {
	feeds := builtin.Transports()
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		s := c.Sources[name]
		if s.From == "" {
			s.From = "tail"
		}
		if s.Format == "" {
			s.Format = AutoFormat
		}
		c.Sources[name] = s
		if !instanceName.MatchString(name) {
			errs = append(errs, c.wrong(fmt.Errorf("the name does not match %s", instanceName), "sources", name))
			continue
		}
		if _, err := feeds.Build(s.From, s.Options); err != nil {
			errs = append(errs, c.wrong(err, "sources", name))
		}
		if _, err := logFormat(s.Format, s.FormatOptions); err != nil {
			errs = append(errs, c.wrong(err, "sources", name, "format"))
		}
	}
	if c.Sigma != "" {
		if st, err := os.Stat(c.Sigma); err != nil || !st.IsDir() {
			errs = append(errs, c.wrong(fmt.Errorf("%q is not a folder that can be read", c.Sigma), "sigma"))
		}
	}
	return errs
}

// sources reads flows and logs as they come and turns them into signals.
type sources struct {
	conf    *Config
	log     *slog.Logger
	health  *obs.Health
	lake    *lake.Lake // nil: none is kept
	publish func(context.Context, []model.Signal) error
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
	SourceConfig
	transport transport.Feed
	format    source.Format
	forgeable bool
}

func (s *sources) engineOf(forgeable bool) *engine {
	if forgeable {
		return &s.engines[1]
	}
	return &s.engines[0]
}

// maxAhead is how far a record's clock may be ahead of the node's. What claims to
// be later happened now: nothing may count as fresh for longer than it is.
const maxAhead = 5 * time.Minute

// newSources builds what is configured; nil when nothing is.
func newSources(ctx context.Context, c *Config, b *bus.Bus, log *slog.Logger, health *obs.Health, m *obs.Metrics, publish func(context.Context, []model.Signal) error) (*sources, error) {
	if len(c.Sources) == 0 {
		return nil, nil
	}
	s := &sources{conf: c, log: log, health: health, publish: publish,
		records: m.Counter("bartizan_source_records_total", "Records read, by source.", "source"),
		broken:  m.Counter("bartizan_source_malformed_total", "Records that no format could read, by source.", "source")}
	families := map[string]conf.Raw{}
	for name, raw := range c.Detect {
		if builtin.IsRecordFamily(name) {
			families[name] = raw
		}
	}
	own := make([]string, len(c.Protect.Own))
	for i, p := range c.Protect.Own {
		own[i] = p.String()
	}
	var rules *sigma.Engine
	if c.Sigma != "" {
		var report sigma.Report
		var err error
		if rules, report, err = sigma.Load(os.DirFS(c.Sigma), sigma.Options{}); err != nil {
			return nil, mistake{c.wrong(fmt.Errorf("load Sigma rules of %s: %w", c.Sigma, err), "sigma")}
		}
		log.Info("Sigma rules loaded", "rules", report.Rules, "refused", len(report.Problems), "folder", c.Sigma)
	}
	for i := range s.engines {
		all, err := builtin.BuildRecordDetectors(builtin.DetectorOptions{Families: families, Rules: c.Rules, Own: own})
		if err != nil {
			return nil, mistake{fmt.Errorf("build detectors of sources: %w", err)}
		}
		if rules != nil {
			all.Documents = append(all.Documents, detect.NamedDocument{Name: "sigma", Detector: rules.NewDetector(sigma.Limits{})})
		}
		s.engines[i].records = detect.NewRecords(all)
	}
	var err error
	if s.places, err = bus.OpenKV[transport.Place](ctx, b, "PLACES", "source-place", 1, bus.KVOptions[transport.Place]{MaxBytes: 64 << 20, MaxAge: 90 * day}); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		f := feed{name: name, SourceConfig: c.Sources[name]}
		if f.transport, err = builtin.Transports().Build(f.From, f.Options); err == nil {
			f.format, err = logFormat(f.Format, f.FormatOptions)
		}
		if err != nil {
			return nil, mistake{c.wrong(err, "sources", name)}
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

// start runs every source until the node ends.
func (s *sources) start(g *life.Group) {
	g.Go("sources", s.settle)
	for _, f := range s.feeds {
		g.Go("source "+f.name, func(ctx context.Context) error { return s.keep(ctx, f) })
	}
}

// keep runs a source, and again when it could not go on.
func (s *sources) keep(ctx context.Context, f feed) error {
	check := "source " + f.name
	s.health.Set(check, obs.StateOK, "starting")
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
		s.health.Set(check, obs.StateFailed, fmt.Sprintf("ended: %v; starting it again in %v", err, pause))
		s.log.Error("a source ended", "source", f.name, "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (s *sources) once(ctx context.Context, f feed) error {
	q := &quarantine{path: filepath.Join(s.conf.Data, "quarantine", f.name+".jsonl")}
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
				s.health.Set("source "+f.name, obs.StateDegraded, obs.Quote([]byte(doing+"; "+err.Error()), 1000))
				s.log.Warn("a source has trouble", "source", f.name, "error", obs.Quote([]byte(err.Error()), 1000))
				return
			}
			s.health.Set("source "+f.name, obs.StateOK, doing)
		},
	})
}

// take runs a batch through the detectors and stores what they conclude before
// the source may forget it.
func (s *sources) take(ctx context.Context, f *feed, b *observe.LogBatch) error {
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
	if s.lake != nil && len(b.Events) > 0 {
		s.file(f.name, b.Events)
	}
	return s.publish(ctx, signals)
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
func (s *sources) file(name string, events []observe.LogEvent) {
	list := make([]observe.Observation, 0, len(events))
	for i := range events {
		o := events[i].Observation
		if o.Sensor == "" {
			o.Sensor = name
		}
		list = append(list, o)
	}
	s.lake.Observations(list)
}

// settle lets detectors conclude from what they hold back, some time after the
// newest records.
func (s *sources) settle(ctx context.Context) error {
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
				s.health.Set("source detectors", obs.StateDegraded, "records broke detectors off (please report it): "+DetectReport{Panics: panics}.Trouble())
			}
			if err := s.publish(ctx, signals); err != nil && ctx.Err() == nil {
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
