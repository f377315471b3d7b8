package lake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Retention says what stays. Zero values keep everything.
type Retention struct {
	Age   time.Duration // of the event; whole hours go
	Bytes int64         // of all files together; the oldest hours go first, of all classes alike
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
	slices.SortStableFunc(files, func(x, y File) int { return x.Hour.Compare(y.Hour) })
	var total int64
	for _, f := range files {
		total += f.Size
	}
	dirs := map[string]bool{}
	for _, f := range files {
		old := keep.Age > 0 && f.Hour.Add(time.Hour).Before(now.Add(-keep.Age))
		if !old && (keep.Bytes <= 0 || total <= keep.Bytes) {
			break
		}
		if err := ctx.Err(); err != nil {
			return a, err
		}
		if err := gone(os.Remove(filepath.Join(dir, filepath.FromSlash(f.Path())))); err != nil {
			return a, fmt.Errorf("remove what is too old: %w", err)
		}
		total -= f.Size
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
	for i := 0; i < 3; i++ {
		if os.Remove(filepath.Join(dir, filepath.FromSlash(rel))) != nil {
			return
		}
		rel, _, _ = cutLast(rel)
	}
}

func cutLast(rel string) (string, string, bool) {
	i := strings.LastIndexByte(rel, '/')
	if i < 0 {
		return rel, "", false
	}
	return rel[:i], rel[i+1:], true
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
