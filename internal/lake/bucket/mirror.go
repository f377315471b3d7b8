package bucket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/obs"
)

// Options of a mirror. Zero times get defaults that are right for a node.
type Options struct {
	Dir       string // folder of the lake
	Store     Store
	Product   string
	Keep      time.Duration  // how long what is in the bucket stays in the folder too
	KeepBytes int64          // and how much of it; 0: only Keep counts
	Retention lake.Retention // of the bucket
	Log       *slog.Logger
	Health    *obs.Health // told under the name "lake-bucket"

	Every  time.Duration    // between two rounds; default 1 min
	Full   time.Duration    // between two looks at everything; default 1 h
	Retry  time.Duration    // first pause after a failure, doubled up to 5 min; default 2 s
	Wait   time.Duration    // a file that compaction has left alone goes after this long; default 1 h
	Now    func() time.Time // default time.Now
	Warned func(error)      // told of every failed round; default nothing
}

// Stats is what a mirror has done since it was made.
type Stats struct {
	Files    int64 // sent
	Bytes    int64 // sent
	Failures int64 // rounds that ended with an error
	Waiting  int64 // files that are to be sent and are not yet
	Lost     int64 // files that were to be sent and went before that: the folder was full, or too old
	Dropped  int64 // files that left the folder because they are in the bucket
}

// Mirror moves a lake's files to a store. One mirror works on a folder at a time.
type Mirror struct {
	opt  Options
	lake *Lake

	waiting map[string]bool // paths of files that are to be sent; of the round's goroutine

	mu     sync.Mutex
	stats  Stats
	failed time.Time // since when it does not work; zero: it does
}

// NewMirror makes a mirror. It does nothing before Run or Round.
func NewMirror(opt Options) *Mirror {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&opt.Every, time.Minute)
	def(&opt.Full, time.Hour)
	def(&opt.Retry, 2*time.Second)
	def(&opt.Wait, time.Hour)
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Health == nil {
		opt.Health = obs.NewHealth()
	}
	if opt.Warned == nil {
		opt.Warned = func(error) {}
	}
	opt.Health.Set(check, obs.StateOK, "nothing to send to "+opt.Store.String()+" yet")
	return &Mirror{opt: opt, lake: NewLake(opt.Store), waiting: map[string]bool{}}
}

const (
	check     = "lake-bucket"
	retryMost = 5 * time.Minute
	// recent is how far back a round looks that does not look at everything.
	recent = 3 * time.Hour
)

// Stats tells what was done.
func (m *Mirror) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// Measure shows the figures in a set of metrics.
func (m *Mirror) Measure(set *obs.Metrics) {
	gauge := func(name, help string, of func(Stats) int64) {
		set.GaugeFunc("bartizan_lake_bucket_"+name, help, func() float64 { return float64(of(m.Stats())) })
	}
	gauge("files", "Files sent to the bucket since the start.", func(s Stats) int64 { return s.Files })
	gauge("bytes", "Bytes sent to the bucket since the start.", func(s Stats) int64 { return s.Bytes })
	gauge("waiting", "Files of the lake that are to be sent to the bucket.", func(s Stats) int64 { return s.Waiting })
	gauge("failures", "Attempts since the start that the bucket did not take.", func(s Stats) int64 { return s.Failures })
	gauge("lost", "Files that left the folder before they could be sent.", func(s Stats) int64 { return s.Lost })
}

func (m *Mirror) count(change func(*Stats)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.stats)
}

// Run makes rounds until ctx ends. A store that is away is tried again with growing pauses; nothing else waits for it.
func (m *Mirror) Run(ctx context.Context) error {
	pause := m.opt.Retry
	var full time.Time
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
		}
		now := m.opt.Now()
		all := full.IsZero() || now.Sub(full) >= m.opt.Full
		err := m.Round(ctx, all)
		next := m.opt.Every
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			pause = m.opt.Retry
			if all {
				full = now
			}
		case errors.Is(err, lake.ErrBusy): // no failure: at the next round
		default:
			next = pause + rand.N(pause/4+1)
			pause = min(2*pause, retryMost)
		}
		m.report(err, next)
		wait.Reset(next)
	}
}

// report says how the last round went.
func (m *Mirror) report(err error, next time.Duration) {
	if errors.Is(err, lake.ErrBusy) {
		return
	}
	now := m.opt.Now()
	m.mu.Lock()
	if err != nil {
		m.stats.Failures++
		if m.failed.IsZero() {
			m.failed = now
			m.opt.Log.Error("the bucket cannot be used; the folder keeps what is to go there", "error", err)
		}
	} else if !m.failed.IsZero() {
		m.opt.Log.Info("the bucket is used again", "after", now.Sub(m.failed).Round(time.Second))
		m.failed = time.Time{}
	}
	s, since := m.stats, m.failed
	m.mu.Unlock()
	state, text := obs.StateOK, fmt.Sprintf("%d files sent to %s", s.Files, m.opt.Store)
	if err != nil {
		state = obs.StateDegraded
		text = fmt.Sprintf("not usable since %s, next try in %v: %v; %d files wait in the folder, nothing else waits", since.UTC().Format(time.TimeOnly), next.Round(time.Second/10), err, s.Waiting)
	}
	if s.Lost > 0 {
		state = obs.StateDegraded
		text += fmt.Sprintf("; %d files went from the folder before they were sent, because of lake.bytes or lake.age", s.Lost)
	}
	m.opt.Health.Set(check, state, text)
	if err != nil {
		m.opt.Warned(err)
	}
}

// Round sends what is ready. all looks at the whole folder, drops from it what is in the bucket and old enough, and
// compacts and ages the bucket.
func (m *Mirror) Round(ctx context.Context, all bool) error {
	now := m.opt.Now()
	want := lake.Filter{}
	if !all {
		want.Since = now.Add(-recent)
	}
	files, _, err := lake.Select(ctx, m.opt.Dir, want)
	if err != nil {
		return err
	}
	m.countLost()
	var going []lake.File
	var last lake.Partition
	for _, f := range files {
		if f.Partition == last || !f.Over(now) {
			continue
		}
		last = f.Partition
		list, err := lake.Leave(m.opt.Dir, f.Partition, func(f lake.File) bool { return m.ready(f, now) })
		if err != nil {
			return err
		}
		going = append(going, list...)
		for _, f := range list {
			m.waiting[f.Path()] = true
		}
	}
	m.count(func(s *Stats) { s.Waiting = int64(len(m.waiting)) })
	if len(going) > 0 {
		if err := m.lake.mark(ctx, now); err != nil {
			return err
		}
	}
	var damaged error
	broken := 0
	for _, f := range going {
		err := m.send(ctx, f)
		var bad *damagedError
		switch {
		case errors.As(err, &bad) && errors.Is(err, os.ErrNotExist): // aged away since it was listed
		case errors.As(err, &bad):
			damaged = errors.Join(damaged, err)
			broken++
		case err != nil:
			return errors.Join(damaged, err)
		}
	}
	// An older file may have arrived although that was not heard: only when none waits it is known what is there.
	if m.countLost(); len(m.waiting) <= broken && (all || len(going) > 0) {
		if err := m.lake.store.Remove(ctx, sendingName); err != nil {
			return errors.Join(damaged, err)
		}
	}
	if all {
		return errors.Join(damaged, m.drop(ctx, now), m.upkeep(ctx, now))
	}
	return damaged
}

// countLost counts the files that went from the folder before they could be sent.
func (m *Mirror) countLost() {
	for path := range m.waiting {
		if _, err := os.Lstat(filepath.Join(m.opt.Dir, filepath.FromSlash(path))); errors.Is(err, os.ErrNotExist) {
			delete(m.waiting, path)
			m.count(func(s *Stats) { s.Lost++ })
		}
	}
}

// ready says whether a file of an hour that is over may go: as compaction leaves it, or when compaction does not touch it.
func (m *Mirror) ready(f lake.File, now time.Time) bool {
	if n, ours := f.Generation(); ours && n > 0 {
		return true
	}
	st, err := os.Lstat(m.path(f))
	return err == nil && now.Sub(st.ModTime()) >= m.opt.Wait
}

func (m *Mirror) path(f lake.File) string {
	return filepath.Join(m.opt.Dir, filepath.FromSlash(f.Path()))
}

func (m *Mirror) send(ctx context.Context, f lake.File) error {
	if err := m.lake.send(ctx, f, m.path(f)); err != nil {
		return err
	}
	if err := lake.Arrived(m.opt.Dir, f.Partition, f.Name, m.opt.Now()); err != nil {
		return err
	}
	delete(m.waiting, f.Path())
	m.count(func(s *Stats) { s.Files, s.Bytes, s.Waiting = s.Files+1, s.Bytes+f.Size, int64(len(m.waiting)) })
	return nil
}

// drop removes from the folder what is in the bucket, when it is old enough or too much.
func (m *Mirror) drop(ctx context.Context, now time.Time) error {
	files, _, err := lake.Select(ctx, m.opt.Dir, lake.Filter{})
	if err != nil {
		return err
	}
	var sent []lake.File
	since := map[string]time.Time{}
	var record lake.Sent
	var last lake.Partition
	for _, f := range files {
		if f.Partition != last {
			if record, err = lake.ReadSent(m.opt.Dir, f.Partition); err != nil {
				return err
			}
			last = f.Partition
		}
		if at, ok := record.There[f.Name]; ok {
			sent = append(sent, f)
			since[f.Path()] = at
		}
	}
	tooMuch := map[string]bool{}
	for _, f := range (lake.Retention{Bytes: m.opt.KeepBytes}).Oldest(sent, now) {
		tooMuch[f.Path()] = true
	}
	for _, f := range sent {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !tooMuch[f.Path()] && now.Sub(since[f.Path()]) < m.opt.Keep {
			continue
		}
		if err := lake.Drop(m.opt.Dir, f.Partition, f.Name); err != nil {
			return err
		}
		m.count(func(s *Stats) { s.Dropped++ })
	}
	return nil
}

// upkeep compacts and ages the bucket.
func (m *Mirror) upkeep(ctx context.Context, now time.Time) error {
	temp := filepath.Join(m.opt.Dir, CacheDir)
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return err
	}
	if err := sweep(temp, now); err != nil {
		return err
	}
	done, err := m.lake.Compact(ctx, Compaction{Product: m.opt.Product, Now: now, Temp: temp})
	if errors.Is(err, lake.ErrNoLake) {
		return nil // nothing sent yet
	}
	for _, bad := range done.Left {
		m.opt.Log.Warn("an object of the bucket is left as it is", "object", obs.Quote([]byte(bad.File), 200), "reason", bad.Reason)
	}
	if err != nil {
		return err
	}
	aged, err := m.lake.Age(ctx, m.opt.Retention, now)
	if aged.Files > 0 {
		m.opt.Log.Info("the bucket let go of its oldest files", "files", aged.Files, "bytes", aged.Bytes)
	}
	return err
}

// sweep removes folders and files of work that a crash has left.
func sweep(dir string, now time.Time) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if info, err := e.Info(); err == nil && isWork(e.Name()) && now.Sub(info.ModTime()) > 24*time.Hour {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
