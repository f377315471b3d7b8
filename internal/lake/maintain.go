package lake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bartizan/internal/obs"

	"golang.org/x/sys/unix"
)

// Retention says what stays. Zero values keep everything.
type Retention struct {
	Age   time.Duration // of the event; whole hours go
	Bytes int64         // of all files together; the oldest hours go first: of flows and logs (Bulk) while they are more than half of it, then of all classes alike

	Traffic Kept // recorded traffic of the guard goes by this first: what people said is not kept as long as what attackers did
}

// Kept says what stays of one class. Zero values keep what the rest of the Retention keeps.
type Kept struct {
	Age   time.Duration
	Bytes int64
}

// Traffic is the class of what was said to language models, masked.
const Traffic = "llmtraffic"

// Oldest picks of all files of a lake those that have to go, the oldest hours first.
func (r Retention) Oldest(files []File, now time.Time) (out []File) {
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(x, y File) int { return x.Hour.Compare(y.Hour) })
	var total, bulk int64
	for _, f := range files {
		total += f.Size
		if Bulk(f.Class) {
			bulk += f.Size
		}
	}
	take := func(goes func(File) bool) {
		files = slices.DeleteFunc(files, func(f File) bool {
			if !goes(f) {
				return false
			}
			out, total = append(out, f), total-f.Size
			if Bulk(f.Class) {
				bulk -= f.Size
			}
			return true
		})
	}
	said := int64(0)
	for _, f := range files {
		if f.Class == Traffic {
			said += f.Size
		}
	}
	take(func(f File) bool {
		goes := f.Class == Traffic && (r.Traffic.Age > 0 && f.Hour.Add(time.Hour).Before(now.Add(-r.Traffic.Age)) || r.Traffic.Bytes > 0 && said > r.Traffic.Bytes)
		if goes {
			said -= f.Size
		}
		return goes
	})
	take(func(f File) bool { return r.Age > 0 && f.Hour.Add(time.Hour).Before(now.Add(-r.Age)) })
	if r.Bytes > 0 {
		// What an attacker did must not go because the network is busy.
		take(func(f File) bool { return total > r.Bytes && bulk > r.Bytes/2 && Bulk(f.Class) })
		take(func(File) bool { return total > r.Bytes })
	}
	return out
}

// ErrBusy says that another process compacts or ages the same lake.
var ErrBusy = errors.New("the lake is being maintained by another process")

// maintenance takes the lock of what removes files. The lock is the kernel's, so a
// killed process leaves none behind. Writing and reading need none.
func maintenance(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".maintenance"), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock lake: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrBusy
		}
		return nil, fmt.Errorf("lock lake: %w", err)
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}

// The times between two rounds of Maintain, of those through everything, and of the first of these.
const (
	round      = time.Minute
	fullRound  = time.Hour
	firstRound = 2 * time.Minute
)

// Maintain compacts what was written, and ages the lake, until ctx ends. What it cannot do
// is said under the health check "lake-upkeep" and tried again.
func (l *Lake) Maintain(ctx context.Context) error {
	t := time.NewTicker(round)
	defer t.Stop()
	full := time.Now().Add(firstRound)
	open := map[Partition]bool{} // written to and not yet closed
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			err := l.upkeep(ctx, now, open, now.After(full))
			if now.After(full) {
				full = now.Add(fullRound)
			}
			switch {
			case ctx.Err() != nil:
				return nil
			case err == nil:
				l.opt.Health.Set("lake-upkeep", obs.StateOK, "compacted and aged")
			case !errors.Is(err, ErrBusy):
				l.opt.Health.Set("lake-upkeep", obs.StateDegraded, err.Error())
				l.opt.Log.Warn("the lake cannot be compacted or aged", "error", err)
			}
		}
	}
}

// upkeep is one round: the partitions that were written to, or everything.
func (l *Lake) upkeep(ctx context.Context, now time.Time, open map[Partition]bool, full bool) error {
	l.disk.Lock()
	maps.Copy(open, l.touched)
	clear(l.touched)
	l.disk.Unlock()
	if err := l.room(); err != nil && !full { // compaction needs room; aging makes some
		return err
	}
	c := Compaction{Product: l.opt.Product, Now: now, Where: slices.Collect(maps.Keys(open))}
	if full {
		c.Where = nil
	} else if len(open) == 0 {
		return nil
	}
	done, err := Compact(ctx, l.dir, c)
	if err == nil {
		maps.DeleteFunc(open, func(p Partition, _ bool) bool { return p.Hour.Add(time.Hour + settled).Before(now) })
	}
	for _, bad := range done.Left {
		l.opt.Log.Warn("a file of the lake is left as it is", "file", obs.Quote([]byte(bad.File), 200), "reason", bad.Reason)
	}
	if full {
		aged, aerr := Age(ctx, l.dir, l.opt.Keep, now)
		if aged.Files > 0 {
			l.opt.Log.Info("the lake let go of its oldest files", "files", aged.Files, "bytes", aged.Bytes)
		}
		err = errors.Join(err, aerr)
	}
	return err
}

// Aged is what retention removed.
type Aged struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
	Temps int   `json:"temps"` // left by crashes
}

// Age removes what is older or more than is to be kept, and what crashes have left.
func Age(ctx context.Context, dir string, keep Retention, now time.Time) (Aged, error) {
	unlock, err := maintenance(dir)
	if err != nil {
		return Aged{}, err
	}
	defer unlock()
	return age(ctx, dir, keep, now)
}

func age(ctx context.Context, dir string, keep Retention, now time.Time) (a Aged, err error) {
	files, _, err := Select(ctx, dir, Filter{})
	if err != nil {
		return a, err
	}
	dirs := map[string]bool{}
	for _, f := range keep.Oldest(files, now) {
		if err := ctx.Err(); err != nil {
			return a, err
		}
		if err := gone(os.Remove(filepath.Join(dir, filepath.FromSlash(f.Path())))); err != nil {
			return a, fmt.Errorf("remove what is too old: %w", err)
		}
		a.Files, a.Bytes = a.Files+1, a.Bytes+f.Size
		dirs[f.Dir()] = true
	}
	for d := range dirs {
		prune(dir, d)
	}
	a.Temps, err = sweep(dir, now)
	return a, err
}

// prune removes folders that have become empty; others say so by themselves.
func prune(dir, rel string) {
	pruneSent(filepath.Join(dir, filepath.FromSlash(rel)))
	for i := 0; i < 3; i++ {
		if os.Remove(filepath.Join(dir, filepath.FromSlash(rel))) != nil {
			return
		}
		rel = path.Dir(rel)
	}
}

// abandoned is the age at which a temporary file belongs to nobody: writing one takes seconds.
const abandoned = time.Hour

// sweep removes temporary files that a crash has left.
func sweep(dir string, now time.Time) (n int, err error) {
	temps, err := filepath.Glob(filepath.Join(escapeGlob(dir), "class=*", "day=*", "hour=*", ".*.tmp*"))
	if err != nil {
		return 0, err
	}
	for _, t := range temps {
		st, err := os.Lstat(t)
		if err != nil || now.Sub(st.ModTime()) < abandoned {
			continue
		}
		if err := gone(os.Remove(t)); err != nil {
			return n, fmt.Errorf("remove what a crash has left: %w", err)
		}
		n++
	}
	return n, nil
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}
