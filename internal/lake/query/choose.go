package query

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxFiles is how many files one question reads.
const maxFiles = 200_000

// choose lists the files of the classes behind some views that overlap a range of time. Only regular files in regular
// folders count: what a symbolic link points at is not the lake. What is left out is said.
func (e *Engine) choose(want []*view, r Range) (map[string][]string, []Skipped, error) {
	st, err := os.Stat(e.Lake)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("hunt: there is no lake in %s: %w", e.Lake, fs.ErrNotExist)
	case err != nil:
		return nil, nil, fmt.Errorf("hunt: %w", err)
	case !st.IsDir():
		return nil, nil, fmt.Errorf("hunt: %s is no folder", e.Lake)
	}
	l := lister{root: e.Lake, rng: r, files: map[string][]string{}}
	for _, v := range want {
		if _, done := l.files[v.class]; !done {
			l.files[v.class] = []string{}
			l.class(v.class)
		}
	}
	if l.count > maxFiles {
		return nil, nil, fmt.Errorf("hunt: %d files, at most %d: narrow with --since and --until, or run `bartizan lake compact`: %w", l.count, maxFiles, ErrLimit)
	}
	return l.files, l.skipped, nil
}

type lister struct {
	root    string
	rng     Range
	files   map[string][]string
	skipped []Skipped
	count   int
}

func (l *lister) class(class string) {
	for _, day := range l.folders("class=" + class) {
		d, err := time.Parse("2006-01-02", strings.TrimPrefix(filepath.Base(day), "day="))
		if err != nil || !strings.HasPrefix(filepath.Base(day), "day=") || !l.rng.overlaps(d, 24*time.Hour) {
			continue
		}
		for _, hour := range l.folders(day) {
			h, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(hour), "hour="))
			if err != nil || h < 0 || h > 23 || !strings.HasPrefix(filepath.Base(hour), "hour=") || !l.rng.overlaps(d.Add(time.Duration(h)*time.Hour), time.Hour) {
				continue
			}
			l.leaf(class, hour)
		}
	}
}

// overlaps says whether [from, from+span) has a moment in the range.
func (r Range) overlaps(from time.Time, span time.Duration) bool {
	return (r.Until.IsZero() || from.Before(r.Until)) && (r.Since.IsZero() || from.Add(span).After(r.Since))
}

// folders are the real folders in a folder, sorted.
func (l *lister) folders(dir string) []string {
	var out []string
	for _, e := range l.read(dir) {
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			l.skip(filepath.Join(dir, e.Name()), "a symbolic link")
		case e.IsDir():
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out
}

func (l *lister) leaf(class, dir string) {
	for _, e := range l.read(dir) {
		name := filepath.Join(dir, e.Name())
		switch {
		case !strings.HasSuffix(e.Name(), ".parquet") || strings.HasPrefix(e.Name(), "."):
		case !e.Type().IsRegular():
			l.skip(name, "not a regular file")
		case strings.ContainsAny(name, "*?[]{}\x00"):
			l.skip(name, "its name is a pattern")
		default:
			l.files[class] = append(l.files[class], name)
			l.count++
		}
	}
}

func (l *lister) read(dir string) []fs.DirEntry {
	list, err := os.ReadDir(filepath.Join(l.root, dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.skip(dir, err.Error())
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list
}

func (l *lister) skip(name, why string) {
	if len(l.skipped) < maxSkipped {
		l.skipped = append(l.skipped, Skipped{File: name, Reason: why})
	}
}
