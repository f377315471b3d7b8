// Package tail follows files that are being written: log files of servers, also
// when they are renamed, copied and truncated, or packed meanwhile.
//
// A file is known by device, inode and the hash of its first bytes, not by its
// name, so that a rotated file is read to its end and never again.
package tail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/source/transport"
)

// Config of a followed set of files.
type Config struct {
	Files []string      `yaml:"files"` // names or patterns (path.Match); a folder means its files
	Start string        `yaml:"start"` // where files begin that are there at the first start: beginning or end
	Every conf.Duration `yaml:"every"` // how often is looked
	Grace conf.Duration `yaml:"grace"` // how long a rotated file may still grow
}

// Default looks four times a second.
func Default() Config {
	return Config{Start: "beginning", Every: conf.Duration(250 * time.Millisecond), Grace: conf.Duration(10 * time.Second)}
}

// Bounds on what patterns may lead to.
const (
	MaxFiles = 1024    // files that are followed at once
	maxRound = 4 << 20 // bytes taken from one file before the next one's turn
	headLen  = 256
	saveEach = time.Second
)

// Tail follows files; it implements transport.Feed.
type Tail struct{ conf Config }

// New makes a follower. It opens nothing.
func New(c Config) (transport.Feed, error) {
	if len(c.Files) == 0 {
		return nil, errors.New("files: names no file; for example [/var/log/nginx/access.log]")
	}
	for _, f := range c.Files {
		if !filepath.IsAbs(f) {
			return nil, fmt.Errorf("files: %q is not an absolute path", f)
		}
		if _, err := filepath.Match(f, "x"); err != nil {
			return nil, fmt.Errorf("files: %q: %w", f, err)
		}
	}
	if c.Start != "beginning" && c.Start != "end" {
		return nil, fmt.Errorf("start: %q is neither beginning nor end", c.Start)
	}
	if c.Every <= 0 || c.Every.D() > time.Minute {
		return nil, fmt.Errorf("every: %v lies not between 1ns and 1m", c.Every.D())
	}
	if c.Grace < 0 {
		return nil, errors.New("grace: is negative")
	}
	return &Tail{c}, nil
}

// Run implements transport.Feed.
func (t *Tail) Run(ctx context.Context, in transport.Intake) error {
	r := &run{Tail: t, in: in, files: map[ident]*file{}, places: map[string]transport.Place{}, ended: map[ident]shape{}}
	defer r.close()
	list, err := in.Places.Load(ctx)
	if err != nil {
		return fmt.Errorf("find where to go on: %w", err)
	}
	for _, p := range list {
		r.places[p.Key] = p
	}
	fresh := len(list) == 0 // a source that was never read
	if !fresh {
		if err := r.resumeRotated(ctx); err != nil {
			return err
		}
	}
	ticker := time.NewTicker(t.conf.Every.D())
	defer ticker.Stop()
	for first := true; ; first = false {
		r.look(first && fresh && t.conf.Start == "end")
		busy, err := r.read(ctx)
		if err == nil {
			err = r.save(ctx, false)
		}
		if err != nil {
			if ctx.Err() != nil { // told to end: what was delivered is remembered
				return r.save(context.WithoutCancel(ctx), true)
			}
			return errors.Join(err, r.save(ctx, true))
		}
		r.say()
		if busy {
			continue
		}
		select {
		case <-ctx.Done():
			return r.save(context.WithoutCancel(ctx), true)
		case <-ticker.C:
		}
	}
}

// run is one life of a Tail. One goroutine uses it.
type run struct {
	*Tail
	in     transport.Intake
	files  map[ident]*file
	places map[string]transport.Place // by key, all that are known
	ended  map[ident]shape            // files that were read to their end, as they were then
	saved  time.Time
	said   string
	lost   int               // rotated files that could not be found again
	sick   map[string]string // by name: why it cannot be opened
}

// shape tells whether a file has changed.
type shape struct {
	size  int64
	mtime time.Time
}

func shapeOf(st os.FileInfo) shape { return shape{st.Size(), st.ModTime()} }

// ident is a file on this machine while it exists; afterwards another one may get it.
type ident struct{ dev, ino uint64 }

func (i ident) prefix() string { return fmt.Sprintf("%x-%x-", i.dev, i.ino) }

// key names a place of the file, and of no other that ever had its number.
func (i ident) key() string { return i.prefix() + strconv.FormatInt(time.Now().UnixNano(), 36) }

// look finds the files that patterns name now, begins new ones, and notices which
// were renamed or have gone. atEnd: do not read what they hold already.
func (r *run) look(atEnd bool) {
	r.sick = map[string]string{}
	seen := map[ident]bool{}
	for _, name := range r.names() {
		st, err := os.Stat(name)
		if err != nil || !st.Mode().IsRegular() {
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				r.sick[name] = err.Error()
			}
			continue
		}
		id := identOf(st)
		seen[id] = true
		if f := r.files[id]; f != nil {
			f.path = name
			continue
		}
		if was, ok := r.ended[id]; ok && was == shapeOf(st) {
			continue
		}
		if len(r.files) >= MaxFiles {
			r.sick[name] = fmt.Sprintf("more than %d files match", MaxFiles)
			continue
		}
		f, err := r.open(name, id)
		if err != nil {
			r.sick[name] = err.Error()
			continue
		}
		if f == nil {
			r.ended[id] = shapeOf(st)
			continue
		}
		if atEnd {
			if err := f.skip(); err != nil {
				r.sick[name] = err.Error()
				f.close()
				continue
			}
		}
		r.files[id] = f
	}
	for id := range r.ended {
		if !seen[id] {
			delete(r.ended, id)
		}
	}
	now := time.Now()
	for id, f := range r.files {
		switch {
		case seen[id]:
			f.gone = time.Time{}
		case f.gone.IsZero():
			f.gone = now
		}
	}
}

// names are the files that the patterns match now, sorted.
func (r *run) names() []string {
	var out []string
	for _, pattern := range r.conf.Files {
		if st, err := os.Stat(pattern); err == nil && st.IsDir() {
			pattern = filepath.Join(pattern, "*")
		}
		list, _ := filepath.Glob(pattern) // the pattern was checked
		for _, n := range list {
			if !strings.HasPrefix(filepath.Base(n), ".") {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// read takes what is new in every file. busy: there is more at once.
func (r *run) read(ctx context.Context) (busy bool, err error) {
	for id, f := range r.files {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		more, err := f.read(ctx, r)
		if err != nil {
			return false, err
		}
		busy = busy || more
		if !more && f.over(r.conf.Grace.D()) {
			if err := f.finish(ctx, r); err != nil {
				return false, err
			}
			if err := r.remember(ctx, f.place); err != nil {
				return false, err
			}
			if st, err := f.f.Stat(); err == nil {
				r.ended[id] = shapeOf(st)
			}
			f.close()
			delete(r.files, id)
		}
	}
	return busy, nil
}

// save remembers how far files were read, about once a second, or now.
func (r *run) save(ctx context.Context, now bool) error {
	if !now && time.Since(r.saved) < saveEach {
		return nil
	}
	r.saved = time.Now()
	for _, f := range r.files {
		if !f.dirty {
			continue
		}
		if err := r.remember(ctx, f.place); err != nil {
			return err
		}
		f.dirty = false
	}
	return nil
}

func (r *run) remember(ctx context.Context, p transport.Place) error {
	if err := r.in.Places.Save(ctx, p); err != nil {
		return fmt.Errorf("remember how far %s was read: %w", p.Path, err)
	}
	r.places[p.Key] = p
	return nil
}

// say tells the operator what is followed, when that has changed.
func (r *run) say() {
	doing := fmt.Sprintf("follows %d files", len(r.files))
	if len(r.files) == 1 {
		for _, f := range r.files {
			doing = "follows " + f.path
		}
	}
	trouble := maps.Clone(r.sick)
	for _, f := range r.files {
		if f.trouble != "" {
			trouble[f.path] = f.trouble
		}
	}
	var err error
	for _, name := range slices.Sorted(maps.Keys(trouble)) {
		err = errors.Join(err, fmt.Errorf("%s: %s", name, trouble[name]))
	}
	if r.lost > 0 {
		err = errors.Join(err, fmt.Errorf("%d files were rotated away and removed while nobody read: what was new in them is lost; keep rotated files until the node has run again", r.lost))
	}
	if len(r.files) == 0 && err == nil {
		doing = "waits for files: none matches"
	}
	text := doing
	if err != nil {
		text += err.Error()
	}
	if text != r.said {
		r.said = text
		r.in.Say(doing, err)
	}
}

func (r *run) close() {
	for _, f := range r.files {
		f.close()
	}
}
