package lake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"bartizan/internal/obs"
	"bartizan/internal/observe"
	"bartizan/internal/ocsf"

	"github.com/parquet-go/parquet-go/compress"
)

// Options of a lake that is written to. The zero value is right for most.
type Options struct {
	Product     string        // version of the program, in every row
	MaxEvidence int           // raw bytes kept per observation; the size and SHA-256 of the whole are always kept
	Every       time.Duration // rows wait in memory this long at most before they are written; default 4 s
	FileBytes   int64         // a file this large is ended and the next begun; default 16 MiB
	Open        int           // files being encoded at a time; default 48
	Waiting     int64         // bytes of encoded files that may wait for a disk; default 32 MiB
	MinFree     int64         // nothing is written while the file system has less; default 128 MiB, at most a twentieth of it
	Keep        Retention     // what Maintain removes
	Log         *slog.Logger
	Health      *obs.Health // told under the name "lake"
}

func (o *Options) complete(dir string) {
	set := func(v *int64, def int64) {
		if *v <= 0 {
			*v = def
		}
	}
	if o.Every <= 0 {
		o.Every = 4 * time.Second
	}
	if o.Open <= 0 {
		o.Open = 48
	}
	set(&o.FileBytes, 16<<20)
	set(&o.Waiting, 32<<20)
	if o.MinFree <= 0 {
		size, _, err := space(dir)
		if err != nil {
			size = 1 << 40
		}
		o.MinFree = min(128<<20, size/20)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Health == nil {
		o.Health = obs.NewHealth()
	}
}

// Stats is what a lake has done since it was opened.
type Stats struct {
	Rows    int64 `json:"rows"`    // committed
	Files   int64 `json:"files"`   // committed
	Bytes   int64 `json:"bytes"`   // committed
	Dropped int64 `json:"dropped"` // rows of observations lost because nothing could be written
	Waiting int64 `json:"waiting"` // bytes encoded and not yet written
}

// Lake is a lake that is written to. Its methods may be used from any goroutine.
// Several processes may write to one lake.
type Lake struct {
	dir  string
	opt  Options
	fast compress.Codec

	mu      sync.Mutex // encoding
	mapper  ocsf.Mapper
	shelves map[observe.Kind]shelf
	records records
	waiting []sealed
	stats   Stats

	disk     sync.Mutex // one writer of files at a time
	streams  map[string]*filed
	known    map[string]bool // folders that exist and are durable
	touched  map[Partition]bool
	blocked  bool  // the last attempt to write failed
	droppedN int64 // of stats.Dropped, already told
}

// sealed is an encoded file on its way to the disk.
type sealed struct {
	part Partition
	name string
	data []byte
	rows int
}

// Open opens a lake for writing, makes its folder when there is none, and finishes
// what a crash interrupted. With a full disk it opens too.
func Open(dir string, opt Options) (*Lake, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	opt.complete(dir)
	l := &Lake{dir: dir, opt: opt, fast: fastest(), streams: map[string]*filed{}, known: map[string]bool{}, touched: map[Partition]bool{},
		mapper: ocsf.Mapper{Product: opt.Product, MaxEvidence: opt.MaxEvidence}}
	l.shelves, l.records = l.observations(), l.logs()
	if err := l.finishStreams(); err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	opt.Health.Set("lake", obs.StateOK, "writing to "+dir)
	return l, nil
}

// Stats tells what was done.
func (l *Lake) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Observations takes observations in: they are encoded before it returns, written
// within Options.Every by Run or Flush, and not kept. An observation whose kind has no class is
// counted as dropped.
func (l *Lake) Observations(list []observe.Observation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range list {
		s, ok := l.shelves[list[i].Kind]
		if !ok {
			l.stats.Dropped++
			continue
		}
		s.add(&list[i])
	}
	l.settle()
}

// settle encodes what was taken in. The caller holds mu.
func (l *Lake) settle() {
	for _, s := range l.holds() {
		s.push()
	}
	for open := l.openSheets(); open > l.opt.Open; open = l.openSheets() {
		l.sealLargest()
	}
}

func (l *Lake) openSheets() (n int) {
	for _, s := range l.holds() {
		n += s.open()
	}
	return n
}

// sealLargest ends the files of the class that has most of them open.
func (l *Lake) sealLargest() {
	var most hold
	for _, s := range l.holds() {
		if most == nil || s.open() > most.open() {
			most = s
		}
	}
	most.seal()
}

// queue adds an encoded file to those that wait for the disk and drops the oldest
// when there are too many, those of bulk classes first. The caller holds mu.
func (l *Lake) queue(s sealed) {
	l.waiting = append(l.waiting, s)
	l.stats.Waiting += int64(len(s.data))
	for l.stats.Waiting > l.opt.Waiting && len(l.waiting) > 1 {
		i := max(slices.IndexFunc(l.waiting, func(w sealed) bool { return Bulk(w.part.Class) }), 0)
		l.stats.Waiting -= int64(len(l.waiting[i].data))
		l.stats.Dropped += int64(l.waiting[i].rows)
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
}

// Flush writes everything that was taken in and returns when it is on the disk. When
// that cannot be done everything keeps waiting, within Options.Waiting.
func (l *Lake) Flush() error {
	l.mu.Lock()
	for _, s := range l.holds() {
		s.seal()
	}
	l.mu.Unlock()
	return l.commitWaiting()
}

func (l *Lake) commitWaiting() error {
	l.disk.Lock()
	defer l.disk.Unlock()
	for {
		l.mu.Lock()
		if len(l.waiting) == 0 {
			l.mu.Unlock()
			return l.tell(nil)
		}
		s := l.waiting[0]
		l.mu.Unlock()
		err := l.room()
		if err == nil {
			err = l.commit(s)
		}
		if err != nil {
			return l.tell(err)
		}
		l.mu.Lock()
		// Meanwhile it may have been dropped for lack of room; it is on the disk all the same.
		if len(l.waiting) > 0 && l.waiting[0].name == s.name {
			l.waiting[0] = sealed{}
			l.waiting = l.waiting[1:]
			l.stats.Waiting -= int64(len(s.data))
		} else {
			l.stats.Dropped -= int64(s.rows)
		}
		l.mu.Unlock()
		l.done(s)
	}
}

// done counts a committed file.
func (l *Lake) done(s sealed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Rows += int64(s.rows)
	l.stats.Files++
	l.stats.Bytes += int64(len(s.data))
}

// tell reports how writing went, once per change. The caller holds disk.
func (l *Lake) tell(err error) error {
	st := l.Stats()
	lost := st.Dropped - l.droppedN
	switch {
	case err != nil:
		state := "nothing can be written: " + err.Error()
		if st.Dropped > 0 {
			state += fmt.Sprintf(" (%d rows dropped so far)", st.Dropped)
		}
		l.opt.Health.Set("lake", obs.StateFailed, state)
		if !l.blocked {
			l.opt.Log.Error("the lake cannot be written", "error", err)
		}
		l.blocked = true
	case l.blocked:
		l.opt.Log.Info("the lake is written again", "dropped", lost)
		l.blocked, l.droppedN = false, st.Dropped
		fallthrough
	default:
		if st.Dropped > 0 {
			l.opt.Health.Set("lake", obs.StateDegraded, fmt.Sprintf("writing to %s; %d rows of observations are lost since the start, because the disk was full or too slow", l.dir, st.Dropped))
		} else {
			l.opt.Health.Set("lake", obs.StateOK, "writing to "+l.dir)
		}
	}
	return err
}

// Run writes what was taken in, every Options.Every, until ctx ends; then once
// more. What cannot be written then is lost, and logged.
func (l *Lake) Run(ctx context.Context) error {
	t := time.NewTicker(l.opt.Every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := l.Flush(); err != nil {
				st := l.Stats()
				l.opt.Log.Error("the last rows of the lake are lost", "error", err, "bytes", st.Waiting, "dropped", st.Dropped)
			}
			return nil
		case <-t.C:
			_ = l.Flush() // told by tell, and tried again
		}
	}
}

// ErrNoSpace says that the disk has less room than is to stay free.
var ErrNoSpace = errors.New("no space left for the lake")
