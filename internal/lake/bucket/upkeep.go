package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/model"
)

// Check reads every object that is wanted and compares it with its checksum, as lake.Check does for a folder. One object at
// a time is in temp, a folder of the caller's.
func (l *Lake) Check(ctx context.Context, want lake.Filter, temp string) (lake.Report, error) {
	r := lake.Report{Classes: map[string]int{}, Damaged: []lake.NotLookedAt{}}
	files, bad, err := l.Select(ctx, want)
	if err != nil {
		return r, err
	}
	r.Damaged = append(r.Damaged, bad...)
	for _, f := range files {
		path := filepath.Join(temp, f.Name)
		err := l.fetch(ctx, f, path)
		if errors.Is(err, ErrNotFound) {
			continue // compacted or aged away since it was listed
		}
		if err != nil && !errors.Is(err, errLength) {
			return r, err
		}
		var rows int64
		if err == nil {
			rows, err = lake.CheckFile(path)
		}
		if err != nil && lake.IsForeign(f.Name, err) {
			r.Foreign++
			err = nil
		}
		if rerr := gone(os.Remove(path)); rerr != nil {
			return r, rerr
		}
		if err != nil {
			r.Damaged = append(r.Damaged, lake.NotLookedAt{File: f.Path(), Reason: err.Error()})
			continue
		}
		r.Files++
		r.Rows += rows
		r.Bytes += f.Size
		r.Classes[f.Class]++
	}
	return r, nil
}

var errLength = errors.New("it is cut off")

// fetch reads a whole object into a new file.
func (l *Lake) fetch(ctx context.Context, f lake.File, path string) (err error) {
	ctx, cancel := timed(ctx, callTime, f.Size)
	defer cancel()
	in, err := l.store.Read(ctx, f.Path(), 0, -1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(in, f.Size+1))
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(fmt.Errorf("read %s in %s: %s", f.Path(), l.store, brief(err)), gone(os.Remove(path)))
	}
	if n != f.Size {
		return errors.Join(fmt.Errorf("%w: %d bytes came of %d", errLength, n, f.Size), gone(os.Remove(path)))
	}
	return nil
}

// Compaction says what Compact rewrites.
type Compaction struct {
	Product string
	Now     time.Time
	Temp    string // folder for what is being rewritten, one partition at a time
	All     bool   // also hours that are not over, and single objects as they were written
	Where   []lake.Partition
}

// Compact merges the objects of each partition; where: nil is everywhere. Rows are neither changed nor lost, at whatever
// moment it is killed: what was interrupted is finished or undone first. lake.ErrBusy while another compacts or ages.
func (l *Lake) Compact(ctx context.Context, c Compaction) (lake.Compacted, error) {
	out := lake.Compacted{Left: []lake.NotLookedAt{}}
	hold, err := takeLease(ctx, l.store, c.Now)
	if err != nil {
		return out, err
	}
	err = l.compact(ctx, c, hold, &out)
	return out, errors.Join(err, hold.end(ctx))
}

func (l *Lake) compact(ctx context.Context, c Compaction, hold *lease, out *lake.Compacted) error {
	leaves, bad, seen, err := l.leaves(ctx, lake.Filter{})
	if err != nil {
		return err
	}
	if !seen {
		return fmt.Errorf("%w in %s", lake.ErrNoLake, l.store)
	}
	out.Left = append(out.Left, bad...)
	began := time.Now()
	for _, x := range leaves {
		if c.Where != nil && !slices.Contains(c.Where, x.Partition) || !c.All && !x.Over(c.Now) {
			continue
		}
		if !hold.good(c.Now.Add(time.Since(began))) {
			if err := hold.end(ctx); err != nil {
				return err
			}
			again, err := takeLease(ctx, l.store, c.Now.Add(time.Since(began)))
			if err != nil {
				return err
			}
			*hold = *again
		}
		if err := l.partition(ctx, c, x, out); err != nil {
			return fmt.Errorf("compact %s: %w", x.Dir(), err)
		}
	}
	return nil
}

// partition finishes what is recorded, then merges.
func (l *Lake) partition(ctx context.Context, c Compaction, x *leaf, out *lake.Compacted) error {
	for name := range x.names {
		if isRecord(name) {
			if err := l.finish(ctx, x, name); err != nil {
				return err
			}
		}
	}
	if x.hasRecord() {
		if err := l.settle(ctx, x); err != nil {
			return err
		}
	}
	files, _, err := l.count(ctx, x)
	if err != nil || !worthwhile(files, c.All) {
		return err
	}
	if err := l.notSending(ctx); err != nil {
		return err
	}
	root, err := os.MkdirTemp(c.Temp, mergePrefix)
	if err != nil {
		return err
	}
	return errors.Join(l.merge(ctx, c, x.Partition, files, root, out), os.RemoveAll(root))
}

func worthwhile(files []lake.File, all bool) bool {
	ours, fresh := 0, 0
	for _, f := range files {
		if n, ok := f.Generation(); ok {
			ours++
			if n == 0 {
				fresh++
			}
		}
	}
	return ours > 1 || all && fresh > 0
}

// merge rewrites a partition in a folder, then replaces the objects.
func (l *Lake) merge(ctx context.Context, c Compaction, p lake.Partition, files []lake.File, root string, out *lake.Compacted) error {
	dir := filepath.Join(root, filepath.FromSlash(p.Dir()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	had := map[string]bool{}
	for _, f := range files {
		if _, ours := f.Generation(); !ours {
			continue
		}
		switch err := l.fetch(ctx, f, filepath.Join(dir, f.Name)); {
		case errors.Is(err, errLength) || errors.Is(err, ErrNotFound):
			out.Left = append(out.Left, lake.NotLookedAt{File: f.Path(), Reason: err.Error()})
		case err != nil:
			return err
		default:
			had[f.Name] = true
		}
	}
	done, err := lake.Compact(ctx, root, lake.Compaction{Product: c.Product, All: true, Now: c.Now})
	out.Left = append(out.Left, done.Left...)
	if err != nil || done.After == 0 {
		return err
	}
	after, _, err := lake.Select(ctx, root, lake.Filter{})
	if err != nil {
		return err
	}
	var r record
	for _, f := range after {
		if !had[f.Name] {
			r.New = append(r.New, f.Name)
		}
		delete(had, f.Name)
	}
	for name := range had {
		r.Old = append(r.Old, name)
	}
	if err := l.replace(ctx, p, r, dir); err != nil {
		return err
	}
	out.Partitions++
	out.Before, out.After, out.Rows = out.Before+done.Before, out.After+done.After, out.Rows+done.Rows
	out.BytesIn, out.BytesOut = out.BytesIn+done.BytesIn, out.BytesOut+done.BytesOut
	return nil
}

// replace writes the record, the new objects, and then finishes it.
func (l *Lake) replace(ctx context.Context, p lake.Partition, r record, dir string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	name := recordPrefix + model.NewULID(time.Now()).String() + recordSuffix
	if err := l.store.Create(ctx, p.Dir()+"/"+name, b); err != nil {
		return err
	}
	for _, f := range r.New {
		if err := l.send(ctx, lake.File{Partition: p, Name: f}, filepath.Join(dir, f)); err != nil {
			return err // the next one undoes it
		}
	}
	return l.removeAll(ctx, p, append(slices.Clone(r.Old), name))
}

// removeAll removes in order; the record is the last.
func (l *Lake) removeAll(ctx context.Context, p lake.Partition, names []string) error {
	for _, name := range names {
		if err := l.store.Remove(ctx, p.Dir()+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// finish completes a record when all new objects are there, and else undoes it.
func (l *Lake) finish(ctx context.Context, x *leaf, name string) error {
	raw, err := readAll(ctx, l.store, x.Dir()+"/"+name, recordMost)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := parseRecord(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return l.removeAll(ctx, x.Partition, append(slices.Clone(x.void(r)), name))
}

// sendingName is an object that is there while a node sends. What is merged meanwhile would be there twice if the node
// dies before it has written down that it arrived, because it then sends it again.
const sendingName = ".sending"

// mark says in the bucket that files are on their way.
func (l *Lake) mark(ctx context.Context, now time.Time) error {
	text := now.UTC().Format(time.RFC3339)
	return l.store.Write(ctx, sendingName, strings.NewReader(text), int64(len(text)), sha256.Sum256([]byte(text)))
}

// notSending is lake.ErrBusy while files are on their way. It is asked after the objects were listed: one that was listed
// and is not known by its node to have arrived was preceded by the mark.
func (l *Lake) notSending(ctx context.Context) error {
	since, err := readAll(ctx, l.store, sendingName, 64)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: a node sends files to %s, or died while it did, since %.64q: let it go on, or start it; if it will never run again, remove the object %s",
		lake.ErrBusy, l.store, since, sendingName)
}

// send writes a file of ours, or any other, under its key after it was read through and found whole.
func (l *Lake) send(ctx context.Context, f lake.File, path string) error {
	size, sum, err := lake.Whole(path)
	if err != nil {
		return &damagedError{f.Path(), err}
	}
	return l.put(ctx, f, path, size, sum)
}

func (l *Lake) put(ctx context.Context, f lake.File, path string, size int64, sum [sha256.Size]byte) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(l.store.Write(ctx, f.Path(), in, size, sum), in.Close())
}

// damagedError is a file that is not sent because it is not as it was written.
type damagedError struct {
	file string
	err  error
}

func (e *damagedError) Error() string { return e.file + ": " + e.err.Error() }
func (e *damagedError) Unwrap() error { return e.err }

// Age removes the oldest hours: what is older, or more, than is to be kept. lake.ErrBusy while another compacts or ages.
func (l *Lake) Age(ctx context.Context, keep lake.Retention, now time.Time) (a lake.Aged, err error) {
	if keep == (lake.Retention{}) {
		return a, nil
	}
	files, _, err := l.Select(ctx, lake.Filter{})
	if errors.Is(err, lake.ErrNoLake) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	old := keep.Oldest(files, now)
	if len(old) == 0 {
		return a, nil
	}
	hold, err := takeLease(ctx, l.store, now)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, hold.end(ctx)) }()
	for _, f := range old {
		if err := l.store.Remove(ctx, f.Path()); err != nil {
			return a, err
		}
		a.Files, a.Bytes = a.Files+1, a.Bytes+f.Size
	}
	return a, nil
}

// Fill sends all files of a folder that is a lake, all or none as far as the store lets it: what was sent before a failure
// is removed again.
func (l *Lake) Fill(ctx context.Context, dir string) (err error) {
	files, bad, err := lake.Select(ctx, dir, lake.Filter{})
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		return fmt.Errorf("%s: %s", bad[0].File, bad[0].Reason)
	}
	for i, f := range files {
		if err := l.send(ctx, f, filepath.Join(dir, filepath.FromSlash(f.Path()))); err != nil {
			var undo []string
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
			defer cancel()
			for _, f := range files[:i+1] {
				if rerr := l.store.Remove(ctx, f.Path()); rerr != nil {
					undo = append(undo, f.Path())
				}
			}
			if len(undo) > 0 {
				return fmt.Errorf("%w; sent before that, and to be removed by hand: %s", err, strings.Join(undo, ", "))
			}
			return fmt.Errorf("%w; nothing of it stays in the bucket", err)
		}
	}
	return nil
}
