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

	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// Compaction says which files to rewrite.
type Compaction struct {
	Product string
	// All rewrites every partition that is not one compacted file. Without it a
	// partition is rewritten when its hour is over, and before that when Tier files of one generation have come together.
	All   bool
	Where []Partition // only there; nil: everywhere
	Now   time.Time
}

const (
	tier       = 16               // files of one generation that are merged while their hour goes on
	settled    = 10 * time.Minute // after its end an hour is taken for complete
	mergeBytes = 256 << 20        // most that is merged into one file
)

// Compacted is what Compact did.
type Compacted struct {
	Partitions int           `json:"partitions"` // rewritten
	Before     int           `json:"before"`     // files
	After      int           `json:"after"`
	Rows       int64         `json:"rows"`
	BytesIn    int64         `json:"bytes_in"`
	BytesOut   int64         `json:"bytes_out"`
	Left       []NotLookedAt `json:"left"` // files that were left as they are because something is wrong with them
}

// Compact merges small files and compresses them better. Only files of this program
// whose checksums are right are touched; rows are neither changed nor lost, at whatever moment it is killed.
func Compact(ctx context.Context, dir string, c Compaction) (Compacted, error) {
	out := Compacted{Left: []NotLookedAt{}}
	unlock, err := maintenance(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return out, fmt.Errorf("%w in %s", ErrNoLake, dir)
	}
	if err != nil {
		return out, err
	}
	defer unlock()
	where := c.Where
	if where == nil {
		files, bad, err := Select(ctx, dir, Filter{})
		if err != nil {
			return out, err
		}
		out.Left = append(out.Left, bad...)
		for _, f := range files {
			if len(where) == 0 || where[len(where)-1] != f.Partition {
				where = append(where, f.Partition)
			}
		}
	}
	for _, p := range where {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		if err := c.partition(ctx, dir, p, &out); err != nil {
			return out, fmt.Errorf("compact %s: %w", p.Dir(), err)
		}
	}
	return out, nil
}

func (c *Compaction) partition(ctx context.Context, root string, p Partition, out *Compacted) error {
	dir := filepath.Join(root, filepath.FromSlash(p.Dir()))
	if err := finish(dir); err != nil {
		return err
	}
	files, _, err := readPartition(root, p)
	if err != nil {
		return gone(err)
	}
	sent, err := ReadSent(root, p)
	if err != nil {
		return err
	}
	files = slices.DeleteFunc(files, func(f File) bool { return sent.Has(f.Name) })
	rewrite, known := rewriters()[p.Class]
	if !known {
		return nil // of a newer version of this program
	}
	done := false
	for _, group := range c.groups(p, files) {
		n, err := c.merge(ctx, root, group, rewrite, out)
		if err != nil {
			return err
		}
		done = done || n
	}
	if done {
		out.Partitions++
	}
	return nil
}

// groups picks what to merge.
func (c *Compaction) groups(p Partition, files []File) (groups [][]File) {
	over := p.Hour.Add(time.Hour + settled).Before(c.Now)
	byGeneration := map[int][]File{}
	var all []File
	for _, f := range files {
		if n, ok := generationOf(f.Name); ok {
			byGeneration[n] = append(byGeneration[n], f)
			all = append(all, f)
		}
	}
	if c.All || over {
		if len(all) == 1 && len(byGeneration[0]) == 0 {
			return nil
		}
		return split(all)
	}
	for _, list := range byGeneration {
		if len(list) >= tier {
			groups = append(groups, split(list)...)
		}
	}
	return groups
}

// split makes groups that are not too large; a large compacted file stays alone, and so as it is.
func split(files []File) (groups [][]File) {
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	var group []File
	var size int64
	end := func() {
		if n, _ := generationOf(group[0].Name); len(group) > 1 || n == 0 {
			groups = append(groups, group)
		}
		group, size = nil, 0
	}
	for _, f := range files {
		if len(group) > 0 && size+f.Size > mergeBytes {
			end()
		}
		group, size = append(group, f), size+f.Size
	}
	if len(group) > 0 {
		end()
	}
	return groups
}

// merge replaces files by one.
func (c *Compaction) merge(ctx context.Context, root string, group []File, rewrite rewriter, out *Compacted) (bool, error) {
	dir := filepath.Join(root, filepath.FromSlash(group[0].Dir()))
	r := replacement{}
	generation := 0
	var in []string
	var size int64
	for _, f := range group {
		path := filepath.Join(dir, f.Name)
		if err := rewritable(path, rewrite); err != nil {
			out.Left = append(out.Left, NotLookedAt{f.Path(), err.Error()})
			continue
		}
		n, _ := generationOf(f.Name)
		generation = max(generation, n)
		in, r.Old, size = append(in, path), append(r.Old, f.Name), size+f.Size
	}
	if len(in) == 0 || len(in) == 1 && generation > 0 {
		return false, nil
	}
	r.New = newName(generation + 1)
	temp := filepath.Join(dir, tempName(r.New))
	rows, written, err := writeMerged(ctx, temp, in, rewrite, c.Product)
	if err != nil {
		return false, errors.Join(err, gone(os.Remove(temp)))
	}
	b, err := json.Marshal(r)
	if err != nil {
		return false, err
	}
	record := filepath.Join(dir, replacePrefix+model.NewULID(time.Now()).String()+replaceSuffix)
	if err := safe.AtomicWrite(record, b, 0o600); err != nil { // flushes the folder, and with it the name of temp
		return false, errors.Join(err, gone(os.Remove(record)), gone(os.Remove(temp)))
	}
	if err := finishOne(dir, record); err != nil {
		return false, err
	}
	out.Before, out.After, out.Rows = out.Before+len(in), out.After+1, out.Rows+rows
	out.BytesIn, out.BytesOut = out.BytesIn+size, out.BytesOut+written
	return true, nil
}

// writeMerged makes the new file, whole and flushed, under its temporary name.
func writeMerged(ctx context.Context, temp string, in []string, rewrite rewriter, product string) (rows, size int64, err error) {
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if rows, err = rewrite.write(ctx, f, product, in); err != nil {
		return 0, 0, err
	}
	if size, err = stampFile(f); err != nil {
		return 0, 0, err
	}
	return rows, size, f.Sync()
}

// finish completes what the records in a folder say.
func finish(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return gone(err)
	}
	for _, e := range list {
		if isReplacement(e.Name()) {
			if err := finishOne(dir, filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// finishOne gives the new file its name, removes the old ones, then the record. Each step may have been done before.
func finishOne(dir, record string) error {
	r, err := readReplacement(record)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, r.New)
	if err := gone(os.Rename(filepath.Join(dir, tempName(r.New)), path)); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		if err := syncDir(dir); err != nil {
			return err
		}
		for _, old := range r.Old {
			if err := gone(os.Remove(filepath.Join(dir, old))); err != nil {
				return err
			}
		}
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	if err := gone(os.Remove(record)); err != nil {
		return err
	}
	return syncDir(dir)
}
