package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Filter says which files are wanted. The zero value wants all.
type Filter struct {
	Classes     []string  // empty: all
	Since, Till time.Time // of the events; zero: no bound. Whole hours that overlap are taken
	Any         []Need    // rows that do not fulfil one of these do not count; Select takes no notice, package bucket does
}

func (f *Filter) class(name string) bool {
	return len(f.Classes) == 0 || slices.Contains(f.Classes, name)
}

// overlaps says whether a span of time has a moment that is wanted.
func (f *Filter) overlaps(from time.Time, span time.Duration) bool {
	return (f.Till.IsZero() || from.Before(f.Till)) && (f.Since.IsZero() || from.Add(span).After(f.Since))
}

// File is one file of a lake.
type File struct {
	Partition
	Name string // within the partition's folder
	Size int64
}

// Path is the file's path below the lake's folder, with slashes.
func (f File) Path() string { return f.Dir() + "/" + f.Name }

// NotLookedAt is a part of the lake that a question did not see, and why.
type NotLookedAt struct {
	File   string `json:"file"` // below the lake's folder
	Reason string `json:"reason"`
}

// ErrNoLake says that there is no lake at all, which is not the same as an empty one.
var ErrNoLake = errors.New("no lake")

// Select lists the committed files that may hold what is wanted, by class, then time. What
// compaction has replaced or not yet finished is left out, so that no row is listed twice. What looks like a part of the
// lake and cannot be read is in the second result, never left out silently. A file that is listed can be
// compacted away before it is opened: select again when one is missing.
func Select(ctx context.Context, dir string, want Filter) ([]File, []NotLookedAt, error) {
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("%w in %s", ErrNoLake, dir)
	case err != nil:
		return nil, nil, fmt.Errorf("open lake: %w", err)
	case !st.IsDir():
		return nil, nil, fmt.Errorf("%w: %s is not a folder", ErrNoLake, dir)
	}
	w := walker{root: dir, want: want}
	for _, class := range w.folders("", "class=") {
		if !want.class(strings.TrimPrefix(class, "class=")) {
			continue
		}
		for _, day := range w.folders(class, "day=") {
			if d, err := time.Parse("day="+dayLayout, day); err != nil || !want.overlaps(d, 24*time.Hour) {
				if err != nil {
					w.skip(class+"/"+day, "its name is no day")
				}
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			for _, h := range w.folders(class+"/"+day, "hour=") {
				p, ok := parsePartition(class, day, h)
				if !ok {
					w.skip(class+"/"+day+"/"+h, "its name is no class and hour")
				} else if want.overlaps(p.Hour, time.Hour) {
					w.leaf(p)
				}
			}
		}
	}
	return w.files, w.skipped, nil
}

type walker struct {
	root    string
	want    Filter
	files   []File
	skipped []NotLookedAt
}

func (w *walker) skip(rel, why string) { w.skipped = append(w.skipped, NotLookedAt{rel, why}) }

// folders lists the folders below one, sorted. What a symbolic link points at is not the lake.
func (w *walker) folders(rel, prefix string) (out []string) {
	list, err := os.ReadDir(filepath.Join(w.root, filepath.FromSlash(rel)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.skip(rel, err.Error())
	}
	for _, e := range list {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		if !e.IsDir() {
			w.skip(strings.TrimPrefix(rel+"/"+e.Name(), "/"), "not a folder")
			continue
		}
		out = append(out, e.Name())
	}
	return out
}

// leaf lists one partition.
func (w *walker) leaf(p Partition) {
	files, bad, err := readPartition(w.root, p)
	w.files = append(w.files, files...)
	w.skipped = append(w.skipped, bad...)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.skip(p.Dir(), err.Error())
	}
}

// replacement is the record of a compaction under way.
type replacement struct {
	New string   `json:"new"`
	Old []string `json:"old"`
}

const replacePrefix, replaceSuffix = ".replace-", ".json"

// listings is how often a folder is read that keeps changing.
const listings = 20

// readPartition lists the files of a partition that count. A folder cannot be read at
// one moment, so it is read until two readings agree: with a compaction in between they do not.
func readPartition(root string, p Partition) ([]File, []NotLookedAt, error) {
	dir := filepath.Join(root, filepath.FromSlash(p.Dir()))
	var before []fs.DirEntry
	for try := 0; ; try++ {
		list, err := os.ReadDir(dir)
		if err != nil {
			return nil, nil, err
		}
		same := slices.EqualFunc(before, list, func(a, b fs.DirEntry) bool { return a.Name() == b.Name() })
		if try > 0 && same {
			if files, bad, ok := count(dir, p, list); ok {
				return files, bad, nil
			}
		}
		if try >= listings {
			return nil, nil, errors.New("the folder keeps changing; ask again")
		}
		before = list
	}
}

// count keeps of a listing what counts. It fails when a file has gone meanwhile.
func count(dir string, p Partition, list []fs.DirEntry) (files []File, bad []NotLookedAt, ok bool) {
	have := map[string]bool{}
	for _, e := range list {
		have[e.Name()] = true
	}
	replaced := map[string]bool{}
	for _, e := range list {
		if !isReplacement(e.Name()) {
			continue
		}
		r, err := readReplacement(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, false
		}
		if err != nil { // rows twice would be worse than said
			bad = append(bad, NotLookedAt{p.Dir() + "/" + e.Name(), err.Error()})
			continue
		}
		if !have[r.New] {
			continue
		}
		for _, old := range r.Old {
			replaced[old] = true
		}
	}
	for _, e := range list {
		if !isData(e.Name()) || replaced[e.Name()] {
			continue
		}
		if !e.Type().IsRegular() {
			bad = append(bad, NotLookedAt{p.Dir() + "/" + e.Name(), "not a regular file"})
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, nil, false
		}
		files = append(files, File{p, e.Name(), info.Size()})
	}
	return files, bad, true
}

func isReplacement(name string) bool {
	return strings.HasPrefix(name, replacePrefix) && strings.HasSuffix(name, replaceSuffix)
}

func readReplacement(path string) (r replacement, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	return parseReplacement(b)
}

func parseReplacement(b []byte) (r replacement, err error) {
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("record of a compaction: %w", err)
	}
	for _, name := range append(slices.Clone(r.Old), r.New) {
		if !plainName(name) {
			return r, fmt.Errorf("record of a compaction: %.80q is no file of this folder", name)
		}
	}
	return r, nil
}
