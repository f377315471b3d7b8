package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/model"

	"golang.org/x/sys/unix"
)

// CacheDir is where below a lake's folder lies what was fetched from its bucket.
const CacheDir = ".cache"

// WorkPrefix begins the names of files and folders below a cache that are being worked on; a day later they are
// taken for left behind.
const WorkPrefix = ".get-"

const mergePrefix = ".merge-"

func isWork(name string) bool {
	return strings.HasPrefix(name, WorkPrefix) || strings.HasPrefix(name, mergePrefix)
}

// Cache holds objects of a lake in a folder that a hunt's engine can read. Several processes may use one folder; a
// Cache is one question's, from one goroutine, and keeps all that it was asked for.
type Cache struct {
	Dir  string // made when there is none
	Most int64  // bytes; what was used longest ago goes first

	kept map[string]int64 // paths that this question needs, and their sizes
}

// Progress is told how much has been fetched of how much, bytes.
type Progress func(done, all int64)

// Fill brings files into the cache and tells which are there; what does not fit, or does not come, is in the second
// result. The newest come first. gone says that objects went meanwhile: list them again.
func (c *Cache) Fill(ctx context.Context, l *Lake, want []lake.File, tell Progress) (have []lake.File, bad []lake.NotLookedAt, gone bool, err error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, nil, false, err
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return nil, nil, false, err
	}
	defer unlock()
	if err := sweep(c.Dir, time.Now()); err != nil {
		return nil, nil, false, err
	}
	want = slices.Clone(want)
	slices.SortStableFunc(want, func(a, b lake.File) int { return b.Hour.Compare(a.Hour) })
	if c.kept == nil {
		c.kept = map[string]int64{}
	}
	var missing []lake.File
	var total, toGet int64
	for _, size := range c.kept {
		total += size
	}
	for _, f := range want {
		total -= c.kept[f.Path()]
		if total+f.Size > c.Most {
			bad = append(bad, lake.NotLookedAt{File: f.Path(), Reason: fmt.Sprintf("the cache holds %d MB, which the newer files fill: ask for less time, or raise --cache", c.Most>>20)})
			continue
		}
		total += f.Size
		c.kept[f.Path()] = f.Size
		if c.touch(f) {
			have = append(have, f)
		} else {
			missing, toGet = append(missing, f), toGet+f.Size
		}
	}
	if err := c.evict(toGet); err != nil {
		return nil, nil, false, err
	}
	got, notGot, gone, err := c.get(ctx, l, missing, toGet, tell)
	return append(have, got...), append(bad, notGot...), gone, err
}

func (c *Cache) path(f lake.File) string { return filepath.Join(c.Dir, filepath.FromSlash(f.Path())) }

// Link puts a file of a folder into the cache under the path that it has there. It takes no room when both are in
// one file system.
func (c *Cache) Link(f lake.File, from string) error {
	path := c.path(f)
	if c.touch(f) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := gone(os.Remove(path)); err != nil {
		return err
	}
	if err := os.Link(from, path); err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp := filepath.Join(c.Dir, WorkPrefix+model.NewULID(time.Now()).String())
	if err := copyFile(temp, from); err != nil {
		return errors.Join(err, gone(os.Remove(temp)))
	}
	return os.Rename(temp, path)
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// touch says whether a file is there, and that it was used.
func (c *Cache) touch(f lake.File) bool {
	st, err := os.Lstat(c.path(f))
	if err != nil || !st.Mode().IsRegular() || st.Size() != f.Size {
		return false
	}
	now := time.Now()
	return os.Chtimes(c.path(f), now, now) == nil
}

// lock waits for another hunt that fills the cache.
func (c *Cache) lock(ctx context.Context) (func(), error) {
	f, err := os.OpenFile(filepath.Join(c.Dir, ".lock"), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-tick.C:
		}
	}
}

// evict makes room for more bytes; what this question needs stays.
func (c *Cache) evict(more int64) error {
	type old struct {
		path string
		size int64
		used time.Time
	}
	var all []old
	total := more
	err := filepath.WalkDir(c.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !lake.IsData(e.Name()) {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return gone(err)
		}
		total += info.Size()
		if rel, err := filepath.Rel(c.Dir, path); err == nil && c.kept[filepath.ToSlash(rel)] == 0 {
			all = append(all, old{path, info.Size(), info.ModTime()})
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b old) int { return a.used.Compare(b.used) })
	for _, o := range all {
		if total <= c.Most {
			return nil
		}
		if err := gone(os.Remove(o.path)); err != nil {
			return err
		}
		total -= o.size
		for dir := filepath.Dir(o.path); dir != c.Dir && os.Remove(dir) == nil; dir = filepath.Dir(dir) {
		}
	}
	return nil
}

// streams is how many objects are fetched at a time.
const streams = 4

// get fetches objects, a few at a time.
func (c *Cache) get(ctx context.Context, l *Lake, list []lake.File, all int64, tell Progress) (have []lake.File, bad []lake.NotLookedAt, missing bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var done int64
	work := make(chan lake.File)
	for range min(streams, len(list)) {
		wg.Go(func() {
			for f := range work {
				gerr := c.getOne(ctx, l, f)
				mu.Lock()
				done += f.Size
				switch {
				case gerr == nil:
					have = append(have, f)
				case errors.Is(gerr, ErrNotFound):
					missing = true
				case isDamaged(gerr):
					bad = append(bad, lake.NotLookedAt{File: f.Path(), Reason: gerr.Error()})
				case err == nil:
					err = gerr
					cancel()
				}
				if tell != nil {
					tell(done, all)
				}
				mu.Unlock()
			}
		})
	}
	for _, f := range list {
		select {
		case work <- f:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(work)
	wg.Wait()
	return have, bad, missing, errors.Join(err, ctxErr(ctx, err))
}

func ctxErr(ctx context.Context, err error) error {
	if err != nil {
		return nil
	}
	return ctx.Err()
}

func isDamaged(err error) bool {
	var d *damagedError
	return errors.As(err, &d) || errors.Is(err, errLength)
}

// getOne fetches one object; it appears in the cache whole and as it was written, or not at all.
func (c *Cache) getOne(ctx context.Context, l *Lake, f lake.File) error {
	temp := filepath.Join(c.Dir, WorkPrefix+model.NewULID(time.Now()).String())
	if err := l.fetch(ctx, f, temp); err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }() // gone when all went well
	if _, _, err := lake.WholeAs(temp, f.Name); err != nil {
		return &damagedError{f.Path(), err}
	}
	path := c.path(f)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
