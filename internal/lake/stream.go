package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"bartizan/internal/bus"
	"bartizan/internal/model"
	"bartizan/internal/ocsf"
	"bartizan/internal/safe"
)

const streamsDir = ".streams"

// filed is how far a stream is filed.
type filed struct {
	mu     sync.Mutex
	mapper ocsf.Mapper
	stream string
	journal
	unnamed bool // Files are staged and recorded, and giving them their names failed
}

// journal is what is recorded about a stream. The time tells a stream that was
// made anew, and counts from one again, from a repeat.
type journal struct {
	Seq   uint64    `json:"seq"`   // of the last message filed
	Time  time.Time `json:"time"`  // when the stream stored it
	Files []string  `json:"files"` // of the last batch, to be given their names
}

func (f *journal) has(seq uint64, stored time.Time) bool {
	return seq <= f.Seq && !stored.After(f.Time)
}

// finishStreams gives the files of the last batches their names.
func (l *Lake) finishStreams() error {
	list, err := os.ReadDir(filepath.Join(l.dir, streamsDir))
	if err != nil {
		return gone(err)
	}
	for _, e := range list {
		stream, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || strings.HasPrefix(stream, ".") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(l.dir, streamsDir, e.Name()))
		if err != nil {
			return err
		}
		f := l.filed(stream)
		if err := json.Unmarshal(b, &f.journal); err != nil {
			return fmt.Errorf("read %s: %w; without it rows of the stream %s would be filed twice: restore it, or remove it to accept that", filepath.Join(l.dir, streamsDir, e.Name()), err, stream)
		}
		if err := l.publish(f.Files); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lake) filed(stream string) *filed {
	l.disk.Lock()
	defer l.disk.Unlock()
	f := l.streams[stream]
	if f == nil {
		f = &filed{stream: stream, mapper: ocsf.Mapper{Product: l.opt.Product}}
		l.streams[stream] = f
	}
	return f
}

// publish gives staged files their names; those that have them already are left alone.
func (l *Lake) publish(files []string) error {
	dirs := map[string]bool{}
	for _, rel := range files {
		if !filepath.IsLocal(rel) {
			return fmt.Errorf("%s: %q is outside the lake", streamsDir, rel)
		}
		path := filepath.Join(l.dir, filepath.FromSlash(rel))
		dir, name := filepath.Split(path)
		switch err := os.Rename(filepath.Join(dir, tempName(name)), path); {
		case err == nil:
			dirs[dir] = true
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("commit file: %w", err)
		}
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// Signals files a batch of the signal stream, for bus.Consume: when it returns nil
// the rows are on the disk, each message once however often it comes. Between batches that are not full it waits for
// Options.Every, so that quiet times do not make a file per signal.
func (l *Lake) Signals(ctx context.Context, list []bus.Message[model.Signal]) error {
	return fileBatch(ctx, l, "signal", list, func(m *ocsf.Mapper, r *ocsf.Signal, s *bus.Message[model.Signal]) time.Time {
		r.FromSignal(m, &s.Value)
		return s.Value.Time
	})
}

// Entries is Signals for the decision ledger.
func (l *Lake) Entries(ctx context.Context, list []bus.Message[model.Entry]) error {
	return fileBatch(ctx, l, "decision", list, func(m *ocsf.Mapper, r *ocsf.Decision, e *bus.Message[model.Entry]) time.Time {
		r.FromEntry(m, e.Seq, &e.Value)
		return e.Value.Time
	})
}

// Receipts is Signals for the stream of receipts.
func (l *Lake) Receipts(ctx context.Context, list []bus.Message[model.Receipt]) error {
	return fileBatch(ctx, l, "receipt", list, func(m *ocsf.Mapper, r *ocsf.Receipt, x *bus.Message[model.Receipt]) time.Time {
		r.FromReceipt(m, &x.Value)
		return x.Value.Time
	})
}

// Calls is Signals for the stream of exchanges with language models.
func (l *Lake) Calls(ctx context.Context, list []bus.Message[model.LLMCall]) error {
	return fileBatch(ctx, l, "llmcall", list, func(m *ocsf.Mapper, r *ocsf.LLMCall, x *bus.Message[model.LLMCall]) time.Time {
		r.FromLLMCall(m, &x.Value)
		return x.Value.Time
	})
}

// Traffic is Signals for the stream of what was said in them, masked.
func (l *Lake) Traffic(ctx context.Context, list []bus.Message[model.LLMTraffic]) error {
	return fileBatch(ctx, l, Traffic, list, func(m *ocsf.Mapper, r *ocsf.LLMTraffic, x *bus.Message[model.LLMTraffic]) time.Time {
		r.FromLLMTraffic(m, &x.Value)
		return x.Value.Time
	})
}

// fileBatch files what is new of a batch, then waits. The stream is known by the class.
func fileBatch[T, R any](ctx context.Context, l *Lake, name string, list []bus.Message[T], fill func(*ocsf.Mapper, *R, *bus.Message[T]) time.Time) error {
	f := l.filed(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unnamed { // the batch before this one
		if err := l.publish(f.Files); err != nil {
			return err
		}
		f.unnamed = false
	}
	files, err := encodeBatch(l, f, name, list, fill)
	if err != nil || len(files) == 0 {
		return err
	}
	last := &list[len(list)-1]
	if err := l.fileAll(f, journal{Seq: last.Seq, Time: last.Time}, files); err != nil {
		return err
	}
	if len(list) < StreamBatch {
		wait := time.NewTimer(l.opt.Every)
		defer wait.Stop()
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
	}
	return nil
}

// encodeBatch makes the files of what is new in a batch, one per hour.
func encodeBatch[T, R any](l *Lake, f *filed, name string, list []bus.Message[T], fill func(*ocsf.Mapper, *R, *bus.Message[T]) time.Time) ([]sealed, error) {
	sheets := map[int64]*sheet[R]{}
	var row [1]R
	for i := range list {
		m := &list[i]
		if f.has(m.Seq, m.Time) {
			continue
		}
		h := hour(ocsf.NanosOf(fill(&f.mapper, &row[0], m)))
		if sheets[h] == nil {
			sheets[h] = newSheet[R](l.opt.Product, l.freshForm())
		}
		if err := sheets[h].write(row[:]); err != nil {
			return nil, fmt.Errorf("encode %s %d: %w", name, m.Seq, err)
		}
	}
	var files []sealed
	for h, s := range sheets {
		b, err := s.seal()
		if err != nil {
			return nil, err
		}
		files = append(files, sealed{partition(name, h), newName(0), b, s.rows})
	}
	return files, nil
}

// StreamBatch is the batch that Signals, Entries and Receipts want of bus.Consume.
const StreamBatch = 2048

// fileAll commits the files of a batch, all or none.
func (l *Lake) fileAll(f *filed, j journal, files []sealed) error {
	l.disk.Lock()
	defer l.disk.Unlock()
	if err := l.room(); err != nil {
		return l.tell(err)
	}
	for _, s := range files {
		if err := l.stage(s); err != nil {
			l.unstage(files)
			return l.tell(err)
		}
		j.Files = append(j.Files, s.part.Dir()+"/"+s.name)
	}
	if err := l.record(f, j); err != nil {
		l.unstage(files)
		return l.tell(err)
	}
	// From here on the batch is filed, whatever happens: Open would finish it.
	f.journal, f.unnamed = j, true
	if err := l.publish(j.Files); err != nil {
		return l.tell(err)
	}
	f.unnamed = false
	for _, s := range files {
		l.done(s)
	}
	return l.tell(nil)
}

func (l *Lake) record(f *filed, j journal) error {
	dir := filepath.Join(l.dir, streamsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return safe.AtomicWrite(filepath.Join(dir, f.stream+".json"), b, 0o600)
}

// unstage removes what a batch that failed has left; what cannot be removed is
// swept away later.
func (l *Lake) unstage(files []sealed) {
	for _, s := range files {
		_ = os.Remove(filepath.Join(l.dir, filepath.FromSlash(s.part.Dir()), tempName(s.name)))
	}
}
