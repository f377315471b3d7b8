package bucket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"bartizan/internal/lake"
)

// Lake is a lake in a store.
type Lake struct{ store Store }

// NewLake is the lake in a store.
func NewLake(s Store) *Lake { return &Lake{s} }

// String names the lake for people.
func (l *Lake) String() string { return l.store.String() }

// record of objects that are being replaced: when all new ones are there the old ones do not count, else the new ones do not.
type record struct {
	New []string `json:"new"`
	Old []string `json:"old"`
}

const (
	recordPrefix, recordSuffix = ".replace-", ".json"
	recordMost                 = 1 << 20 // bytes of a record; ours have some 40 a file
)

func isRecord(name string) bool {
	return strings.HasPrefix(name, recordPrefix) && strings.HasSuffix(name, recordSuffix)
}

func parseRecord(b []byte) (r record, err error) {
	if err := json.Unmarshal(b, &r); err != nil {
		return record{}, fmt.Errorf("record of a compaction: %w", err)
	}
	if len(r.New) == 0 {
		return record{}, errors.New("record of a compaction: it names nothing new")
	}
	for _, name := range slices.Concat(r.New, r.Old) {
		if path.Base(name) != name || !lake.IsData(name) {
			return record{}, fmt.Errorf("record of a compaction: %.80q is no object of this partition", name)
		}
	}
	return r, nil
}

// leaf is what a listing says about one partition.
type leaf struct {
	lake.Partition
	names  map[string]Object
	newest time.Time
	page   int // of its first object
	split  bool
}

func (l *leaf) add(name string, o Object, page int) {
	if l.names == nil {
		l.names, l.page = map[string]Object{}, page
	}
	l.names[name] = o
	l.split = l.split || page != l.page
	if o.Modified.After(l.newest) {
		l.newest = o.Modified
	}
}

func (l *leaf) hasRecord() bool {
	for name := range l.names {
		if isRecord(name) {
			return true
		}
	}
	return false
}

// manyDays is how many days are listed one by one before a whole class is.
const manyDays = 62

// prefixes are what to list for a filter.
func prefixes(want lake.Filter) []string {
	classes := want.Classes
	if len(classes) == 0 {
		return []string{"class="}
	}
	var out []string
	for _, c := range classes {
		if c == "" {
			continue
		}
		base := "class=" + c + "/"
		if want.Since.IsZero() || want.Till.IsZero() || want.Till.Sub(want.Since) > manyDays*24*time.Hour {
			out = append(out, base)
			continue
		}
		for d := want.Since.UTC().Truncate(24 * time.Hour); d.Before(want.Till); d = d.Add(24 * time.Hour) {
			out = append(out, base+"day="+d.Format(time.DateOnly)+"/")
		}
	}
	return out
}

// Select lists the objects that may hold what is wanted, as lake.Select does: nothing twice, and what looks like a part
// of the lake and cannot be understood in the second result. It is lake.ErrNoLake when there is nothing at all.
func (l *Lake) Select(ctx context.Context, want lake.Filter) ([]lake.File, []lake.NotLookedAt, error) {
	leaves, bad, seen, err := l.leaves(ctx, want)
	if err != nil {
		return nil, nil, err
	}
	if !seen {
		any := false
		if err := l.store.List(ctx, "class=", func(page []Object) error {
			if any = len(page) > 0; any {
				return errStop
			}
			return nil
		}); err != nil && !errors.Is(err, errStop) {
			return nil, nil, err
		}
		if !any {
			return nil, nil, fmt.Errorf("%w in %s", lake.ErrNoLake, l.store)
		}
	}
	var files []lake.File
	for _, x := range leaves {
		f, b, err := l.count(ctx, x)
		if err != nil {
			return nil, nil, err
		}
		files, bad = append(files, f...), append(bad, b...)
	}
	slices.SortStableFunc(files, func(a, b lake.File) int { return strings.Compare(a.Path(), b.Path()) })
	return files, bad, nil
}

var errStop = errors.New("stop")

// leaves lists partitions. Those that change at the moment, and those on two pages, are listed until two readings agree.
func (l *Lake) leaves(ctx context.Context, want lake.Filter) (out []*leaf, bad []lake.NotLookedAt, seen bool, err error) {
	byDir := map[string]*leaf{}
	page := 0
	for _, prefix := range prefixes(want) {
		err := l.store.List(ctx, prefix, func(objects []Object) error {
			page++
			seen = seen || len(objects) > 0
			for _, o := range objects {
				p, name, ok := lake.ParsePath(o.Key)
				if !ok {
					bad = append(bad, lake.NotLookedAt{File: o.Key, Reason: "its key is no class, day and hour"})
					continue
				}
				if !wanted(want, p) {
					continue
				}
				x := byDir[p.Dir()]
				if x == nil {
					x = &leaf{Partition: p}
					byDir[p.Dir()] = x
					out = append(out, x)
				}
				x.add(name, o, page)
			}
			return nil
		})
		if err != nil {
			return nil, nil, false, err
		}
	}
	for _, x := range out {
		if x.split || x.hasRecord() || time.Since(x.newest) < changing {
			if err := l.settle(ctx, x); err != nil {
				return nil, nil, false, err
			}
		}
	}
	return out, bad, seen, nil
}

// changing is how long after a change a partition may be in the middle of one.
const changing = 10 * time.Minute

func wanted(f lake.Filter, p lake.Partition) bool {
	return (len(f.Classes) == 0 || slices.Contains(f.Classes, p.Class)) &&
		(f.Till.IsZero() || p.Hour.Before(f.Till)) && (f.Since.IsZero() || p.Hour.Add(time.Hour).After(f.Since))
}

// listings is how often a partition is listed that keeps changing.
const listings = 20

// settle lists one partition again until two readings agree: with a compaction in between they do not.
func (l *Lake) settle(ctx context.Context, x *leaf) error {
	for try := 0; ; try++ {
		again := &leaf{Partition: x.Partition, names: map[string]Object{}}
		err := l.store.List(ctx, x.Dir()+"/", func(objects []Object) error {
			for _, o := range objects {
				if p, name, ok := lake.ParsePath(o.Key); ok && p == x.Partition {
					again.add(name, o, 0)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if sameNames(x.names, again.names) {
			return nil
		}
		if try >= listings {
			return fmt.Errorf("%s in %s keeps changing; ask again", x.Dir(), l.store)
		}
		x.names = again.names
	}
}

func sameNames(a, b map[string]Object) bool {
	if len(a) != len(b) {
		return false
	}
	for name, o := range a {
		if p, ok := b[name]; !ok || p.Size != o.Size {
			return false
		}
	}
	return true
}

// count keeps of a partition what counts.
func (l *Lake) count(ctx context.Context, x *leaf) (files []lake.File, bad []lake.NotLookedAt, err error) {
	out := map[string]bool{}
	for name := range x.names {
		if !isRecord(name) {
			continue
		}
		key := x.Dir() + "/" + name
		raw, err := readAll(ctx, l.store, key, recordMost)
		if errors.Is(err, ErrNotFound) { // finished since it was listed
			if err := l.settle(ctx, x); err != nil {
				return nil, nil, err
			}
			return l.count(ctx, x)
		}
		if err != nil {
			return nil, nil, err
		}
		r, err := parseRecord(raw)
		if err != nil {
			bad = append(bad, lake.NotLookedAt{File: key, Reason: err.Error()})
			continue
		}
		for _, name := range x.void(r) {
			out[name] = true
		}
	}
	for name, o := range x.names {
		if lake.IsData(name) && !out[name] {
			files = append(files, lake.File{Partition: x.Partition, Name: name, Size: o.Size})
		}
	}
	return files, bad, nil
}

// void lists the objects that do not count because of a record.
func (l *leaf) void(r record) []string {
	for _, name := range r.New {
		if _, ok := l.names[name]; !ok {
			return r.New
		}
	}
	return r.Old
}
