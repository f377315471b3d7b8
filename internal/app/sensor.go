package app

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"bartizan/internal/app/gate"
	"bartizan/internal/builtin"
	"bartizan/internal/bus"
	"bartizan/internal/conf"
	"bartizan/internal/decoy"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/detect"
	"bartizan/internal/gateway/keys"
	"bartizan/internal/jail"
	"bartizan/internal/lake"
	"bartizan/internal/model"
	"bartizan/internal/obs"
	"bartizan/internal/observe"

	"github.com/prometheus/client_golang/prometheus"
)

// sensor is the node's side of the decoys: it keeps their process alive, reads
// what it says as hostile input, stores the evidence, and turns the rest into
// signals.
type sensor struct {
	conf      *Config
	log       *slog.Logger
	health    *obs.Health
	engine    *detect.Engine
	evidence  *bus.Blobs
	store     *signalStore
	lake      *lake.Lake // nil: none is kept
	setup     setup
	listeners []listener
	lines     []Listening
	metrics   sensorMetrics
	hostName  string // of the persona

	mu       sync.Mutex
	pid      int
	report   jail.Report
	stats    decoy.Stats
	restarts int
	kill     func() // of the running child
	refused  int64
	tripped  uint64
	lost     int64 // pieces of evidence that could not be stored

	baits map[string]string // keys in the decoys' files → what they are
}

func newSensor(c *Config, id identity, log *slog.Logger, health *obs.Health, m *obs.Metrics) (*sensor, error) {
	who, err := persona.FromState(id.persona)
	if err != nil {
		return nil, fmt.Errorf("read persona: %w", err)
	}
	planted, err := plantedKeys(c.Data)
	if err != nil {
		return nil, err
	}
	detectors, err := builtin.BuildDetectors(c.detectors(append(lures(who), planted...)))
	if err != nil {
		return nil, mistake{fmt.Errorf("build detectors: %w", err)}
	}
	s := &sensor{conf: c, log: log, health: health, engine: detect.NewEngine(detectors, detect.Options{}), metrics: newSensorMetrics(m), hostName: who.Hostname}
	s.setup.Persona, s.baits = id.persona, baits(who)
	table := builtin.Decoys()
	for name, in := range c.Decoys.Instances {
		if in.Disabled {
			continue
		}
		options, err := table.Effective(in.Service, in.Options)
		if err != nil {
			return nil, mistake{fmt.Errorf("decoy %s: %w", name, err)}
		}
		text, err := conf.Dump(options)
		if err != nil {
			return nil, fmt.Errorf("decoy %s: %w", name, err)
		}
		s.setup.Instances = append(s.setup.Instances, setupInstance{Name: name, Service: in.Service, Options: string(text), Limits: in.Limits.limits(), ProxyFrom: in.ProxyFrom})
	}
	s.listeners, s.lines, err = openListeners(&c.Decoys)
	if err != nil {
		return nil, fmt.Errorf("open decoys: %w", err)
	}
	for _, l := range s.listeners {
		s.setup.Files = append(s.setup.Files, setupFile{Instance: l.instance})
	}
	return s, nil
}

// lures are the identifiers of the keys that the decoys hand out, as they are
// reported when somebody comes back with one.
func lures(p *persona.Persona) []string {
	s := p.Secrets
	out := []string{s.AWSAccessKeyID}
	for _, key := range []string{s.OpenAIKey, s.GitHubToken, s.StripeKey, s.JWTSecret} {
		out = append(out, observe.KeyID(key))
	}
	return out
}

// baits are the keys themselves that a gateway could be offered.
func baits(p *persona.Persona) map[string]string {
	s := p.Secrets
	return map[string]string{s.OpenAIKey: "an OpenAI key of the decoys", s.GitHubToken: "a GitHub token of the decoys", s.StripeKey: "a Stripe key of the decoys",
		s.AWSAccessKeyID: "an AWS key of the decoys", s.JWTSecret: "a secret of the decoys", s.AppKey: "an application key of the decoys"}
}

// plantedKeys are the identifiers of bait that people have made ("guard key create
// --canary --like"), as decoys report it: whoever tries it there has found it.
func plantedKeys(data string) (out []string, err error) {
	all, err := keys.List(gate.Dir(data))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	for i := range all {
		if all[i].Hint != "" && all[i].State(now) == "canary" {
			out = append(out, all[i].Hint)
		}
	}
	return out, nil
}

// close gives the decoys' ports back.
func (s *sensor) close(context.Context) error {
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.file.Close())
	}
	return errors.Join(errs...)
}

// run keeps the decoys' process alive until ctx ends. The sockets stay open in
// this process meanwhile, so that visitors wait instead of being refused.
func (s *sensor) run(ctx context.Context) error {
	pause := 100 * time.Millisecond
	for {
		began := time.Now()
		err := s.once(ctx)
		if ctx.Err() != nil {
			return s.flush()
		}
		s.mu.Lock()
		s.restarts++
		s.pid = 0
		s.mu.Unlock()
		s.health.Set("decoys", obs.StateFailed, fmt.Sprintf("the decoys' process ended: %v; starting it again", err))
		s.log.Error("decoys ended, starting them again", "error", err, "after", time.Since(began).Round(time.Millisecond), "pause", pause)
		if time.Since(began) > time.Minute {
			pause = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return s.flush()
		case <-time.After(pause):
		}
		pause = min(2*pause, 10*time.Second)
	}
}

// flush stores what the detectors were still summing up.
func (s *sensor) flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var signals []model.Signal
	s.engine.Flush(func(m model.Signal) { signals = append(signals, m) })
	return s.publish(ctx, signals)
}

// once is one life of the decoys' process.
func (s *sensor) once(ctx context.Context) error {
	files := make([]*os.File, len(s.listeners))
	for i := range s.listeners {
		files[i] = s.listeners[i].file
	}
	// The child must outlive ctx: it ends by itself when the pipe closes, after
	// it has told the ends of its visits.
	child, err := jail.Start(context.WithoutCancel(ctx), jail.Spec{
		Args: []string{ChildVerb}, Files: files, UID: s.conf.Decoys.User, Stderr: childLog{s.log},
		Tripped: s.onTrip, OpenFiles: 65536, MemoryLimit: int64(s.conf.Decoys.Memory), Require: s.conf.Decoys.Require,
	})
	if err != nil {
		return err
	}
	b, err := json.Marshal(s.setup)
	if err == nil {
		err = jail.WriteFrame(child.Conn(), b, maxSetup)
	}
	if err == nil {
		s.started(child)
		err = s.read(ctx, child)
	}
	child.Kill()
	_ = child.Conn().Close() // the process behind it is gone
	werr := child.Wait()
	if err == nil {
		err = werr
	}
	return err
}

func (s *sensor) started(c *jail.Child) {
	s.mu.Lock()
	s.pid, s.report, s.stats, s.kill = c.Pid(), c.Report(), decoy.Stats{}, c.Kill
	s.mu.Unlock()
	s.log.Info("decoys are locked in", "pid", c.Pid(), "jail", c.Report().String())
	state, detail := obs.StateOK, "running"
	if err := c.Report().Strict(); err != nil {
		state, detail = obs.StateDegraded, err.Error()
		s.log.Warn("the decoys' jail is not complete", "missing", c.Report().Missing)
	}
	s.health.Set("decoys", state, detail)
}

// read handles frames until the child ends. When ctx ends it closes the
// writing side, which asks the child to end, and reads what is still coming.
func (s *sensor) read(ctx context.Context, child *jail.Child) error {
	stop := context.AfterFunc(ctx, func() {
		if u, ok := child.Conn().(*net.UnixConn); ok {
			_ = u.CloseWrite()
		}
		_ = child.Conn().SetReadDeadline(time.Now().Add(8 * time.Second))
	})
	defer stop()
	frames := jail.NewFrameReader(child.Conn(), maxFrame)
	for {
		b, err := frames.Read()
		if err != nil {
			return fmt.Errorf("read from the decoys: %w", err)
		}
		if len(b) == 0 {
			return errors.New("the decoys sent an empty frame")
		}
		switch b[0] {
		case frameBatch:
			err = s.batch(context.WithoutCancel(ctx), b[1:])
		case frameStats:
			err = s.counters(b[1:])
		default:
			err = fmt.Errorf("the decoys sent a frame of unknown kind %d", b[0])
		}
		if err != nil {
			return err
		}
	}
}

// batch takes one batch from the decoys, which may be in an attacker's hands:
// a frame that is not a batch ends the child, an observation that makes no
// sense is refused and counted.
func (s *sensor) batch(ctx context.Context, b []byte) error {
	batch, err := observe.DecodeBatch(b)
	if err != nil {
		return fmt.Errorf("read batch of the decoys: %w", err)
	}
	if len(batch.Observations) > observe.MaxBatch {
		return fmt.Errorf("the decoys sent a batch of %d observations", len(batch.Observations))
	}
	now := time.Now()
	good := batch.Observations[:0]
	for i := range batch.Observations {
		o := &batch.Observations[i]
		_, known := s.conf.Decoys.Instances[o.Decoy]
		if err := o.Check(now); err != nil || !known {
			s.refuse(err)
			continue
		}
		o.Sensor = s.conf.Name
		o.Spoofable = false // decoys only see completed handshakes
		s.keep(ctx, o)
		good = append(good, *o)
	}
	if s.lake != nil {
		s.lake.Observations(good)
	}
	forget(good)
	s.metrics.observations.WithLabelValues().Add(float64(len(good)))
	var signals []model.Signal
	s.engine.Process(good, func(m model.Signal) { signals = append(signals, m) })
	return s.publish(ctx, signals)
}

func (s *sensor) refuse(err error) {
	s.mu.Lock()
	s.refused++
	n := s.refused
	s.mu.Unlock()
	s.metrics.refused.WithLabelValues().Inc()
	if n&(n-1) == 0 { // 1, 2, 4, 8, …: a taken decoy must not fill the log
		s.log.Warn("refused an observation of the decoys", "error", err, "refused", n)
	}
}

// keep stores an observation's evidence and adds its hash.
func (s *sensor) keep(ctx context.Context, o *observe.Observation) {
	for i := range o.Evidence {
		e := &o.Evidence[i]
		e.SHA256 = ""
		if len(e.Data) == 0 {
			continue
		}
		sha, err := s.evidence.Put(ctx, e.Data)
		if err != nil {
			s.mu.Lock()
			s.lost++
			lost := s.lost
			s.mu.Unlock()
			s.health.Set("evidence", obs.StateDegraded, fmt.Sprintf("%d pieces of evidence could not be stored: %v", lost, err))
			s.metrics.evidenceLost.WithLabelValues().Inc()
			continue
		}
		e.SHA256, e.Size = sha, len(e.Data)
		if o.File != nil && o.File.SHA256 == "" {
			o.File.SHA256 = sha
		}
		if o.File != nil && o.File.SHA256 == sha {
			// Lists often know a file by these only; nothing here trusts them.
			o.File.SHA1, o.File.MD5 = fmt.Sprintf("%x", sha1.Sum(e.Data)), fmt.Sprintf("%x", md5.Sum(e.Data))
		}
	}
}

// forget lets go of the raw bytes that are stored.
func forget(list []observe.Observation) {
	for i := range list {
		for j := range list[i].Evidence {
			if e := &list[i].Evidence[j]; e.SHA256 != "" {
				e.Data = nil
			}
		}
	}
}

func (s *sensor) publish(ctx context.Context, signals []model.Signal) error {
	return s.store.publish(ctx, signals)
}

// signalStore is where everything that makes signals stores them.
type signalStore struct {
	signals *bus.Publisher[model.Signal]
	made    *prometheus.CounterVec
	health  *obs.Health
}

// publish stores signals and does not give up: without room it waits, which holds
// back whoever brings more, until there is room or the node ends.
func (s *signalStore) publish(ctx context.Context, signals []model.Signal) error {
	if len(signals) == 0 {
		return nil
	}
	items := make([]bus.Item[model.Signal], len(signals))
	for i := range signals {
		items[i] = bus.Item[model.Signal]{Key: signals[i].Actor.Value(), ID: signals[i].ID.String(), Value: signals[i]}
		s.made.WithLabelValues(signals[i].Kind).Inc()
	}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := s.signals.PublishBatch(ctx, items)
		if err == nil {
			s.health.Set("signals", obs.StateOK, "stored")
			return nil
		}
		if !errors.Is(err, bus.ErrNoSpace) {
			return fmt.Errorf("store signals: %w", err)
		}
		s.health.Set("signals", obs.StateFailed, "signals cannot be stored, decoys and sources are held back: "+err.Error())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// tick lets detectors conclude from time passing.
func (s *sensor) tick(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			var signals []model.Signal
			s.engine.Tick(now, func(m model.Signal) { signals = append(signals, m) })
			if err := s.publish(ctx, signals); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

func (s *sensor) counters(b []byte) error {
	var st decoy.Stats
	if err := json.Unmarshal(b, &st); err != nil {
		return fmt.Errorf("read counters of the decoys: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metrics.accepted.WithLabelValues().Add(max(0, float64(st.Accepted-s.stats.Accepted)))
	s.metrics.shed.WithLabelValues().Add(max(0, float64(st.Shed-s.stats.Shed)))
	s.metrics.active.WithLabelValues().Set(float64(st.Active))
	s.stats = st
	return nil
}

// onTrip is told when the child makes a call that only an intruder makes. The
// child is ended at once and a clean one started: what it says is no longer
// evidence of anything.
func (s *sensor) onTrip(t jail.Trip) {
	s.mu.Lock()
	s.tripped++
	n, kill := s.tripped, s.kill
	s.mu.Unlock()
	if kill != nil {
		kill()
	}
	s.metrics.tripped.WithLabelValues().Inc()
	s.log.Error("the decoys' process made a call that only an intruder makes; it is ended and started anew", "trip", fmt.Sprintf("%+v", t), "times", n)
	s.health.Set("intruder", obs.StateFailed, fmt.Sprintf("the decoys' process was taken over and ended %d times; what it reported shortly before may be invented. Look at the newest sessions, and report how it was done", n))
}

// childLog relays the child's standard error, already capped and cleaned.
type childLog struct{ log *slog.Logger }

func (c childLog) Write(p []byte) (int, error) {
	c.log.Warn("decoys", "said", obs.Quote(p, 2048))
	return len(p), nil
}
