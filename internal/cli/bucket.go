package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/lake/query"
)

// place is where a lake is: in a folder, in a bucket, or, that of a node with a bucket, in both.
type place struct {
	dir    string       // "": none
	remote *bucket.Lake // nil: none
	cache  bucket.Cache // for what is fetched
}

func (p *place) String() string {
	if p.dir != "" {
		return p.dir
	}
	return p.remote.String()
}

// place finds the lake that --lake names, or the node's.
func (g *global) place(ctx context.Context, name string) (p place, err error) {
	if name != "" && !bucket.IsURL(name) {
		return place{dir: name}, nil
	}
	c, err := g.settings()
	if err != nil {
		return p, err
	}
	conf := c.Lake.Bucket
	p.cache.Most = int64(conf.Cache)
	if name == "" {
		p.dir = c.LakeDir()
		if !conf.Enabled() {
			return p, nil
		}
		p.cache.Dir = filepath.Join(p.dir, bucket.CacheDir)
	} else if conf.Name, conf.Prefix, err = bucket.ParseURL(name); err != nil {
		return p, usage(fmt.Errorf("--lake %w", err))
	}
	store, err := conf.Open(ctx)
	if err != nil {
		return p, usage(err)
	}
	p.remote = bucket.NewLake(store)
	if p.dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return p, usage(fmt.Errorf("nowhere to keep what is fetched from the bucket: %w", err))
		}
		sum := sha256.Sum256([]byte(store.String()))
		p.cache.Dir = filepath.Join(base, "bartizan", fmt.Sprintf("lake-%x", sum[:8]))
	}
	return p, nil
}

// only is for verbs that work on one place: the folder, unless a bucket was named.
func (p *place) only() {
	if p.dir != "" {
		p.remote = nil
	}
}

// temp runs something with a folder for what it works on.
func (p *place) temp(run func(dir string) error) (err error) {
	if err := os.MkdirAll(p.cache.Dir, 0o700); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(p.cache.Dir, bucket.WorkPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return run(dir)
}

func (p *place) check(ctx context.Context) (r lake.Report, err error) {
	if p.remote == nil {
		return lake.Check(ctx, p.dir, lake.Filter{})
	}
	err = p.temp(func(dir string) error {
		r, err = p.remote.Check(ctx, lake.Filter{}, dir)
		return err
	})
	return r, err
}

func (p *place) compact(ctx context.Context, version string) (c lake.Compacted, err error) {
	if p.remote == nil {
		if _, err := os.Stat(p.dir); err != nil {
			return c, fmt.Errorf("%w in %s", lake.ErrNoLake, p.dir)
		}
		return lake.Compact(ctx, p.dir, lake.Compaction{Product: version, All: true, Now: time.Now()})
	}
	err = p.temp(func(dir string) error {
		c, err = p.remote.Compact(ctx, bucket.Compaction{Product: version, Now: time.Now(), Temp: dir, All: true})
		return err
	})
	return c, err
}

// fill makes rows in a folder, which for a bucket is one that is sent afterwards as a whole.
func (p *place) fill(ctx context.Context, version string, rows func(dir string) error) error {
	if p.remote == nil {
		return rows(p.dir)
	}
	return p.temp(func(dir string) error {
		if err := rows(dir); err != nil {
			return err
		}
		if _, err := lake.Compact(ctx, dir, lake.Compaction{Product: version, All: true, Now: time.Now()}); err != nil {
			return err
		}
		return p.remote.Fill(ctx, dir)
	})
}

// engine asks about the place; what lies in a bucket is fetched as far as a question needs it.
func (p *place) engine(stderr io.Writer) (*query.Engine, error) {
	dir := p.dir
	if p.remote != nil {
		dir = p.cache.Dir
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, usage(err)
	}
	e := &query.Engine{Lake: dir, Stderr: stderr}
	if p.remote == nil {
		return e, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, blind(err)
	}
	p.cache.Dir = dir
	s := &bucket.Source{Lake: p.remote, Folder: p.dir, Cache: &p.cache, Tell: fetching(stderr)}
	e.Select = s.Select
	return e, nil
}

// fetching shows how far it is, on a terminal only.
func fetching(w io.Writer) bucket.Progress {
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if st, err := f.Stat(); err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return func(done, all int64) {
		end := ""
		if done >= all {
			end = "\r\x1b[K"
		}
		fmt.Fprintf(w, "\rfetching from the bucket: %d of %d MB%s", done>>20, all>>20, end)
	}
}
