package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/parquet-go/parquet-go"
)

// Report is what Check found.
type Report struct {
	Files   int            `json:"files"`
	Rows    int64          `json:"rows"`
	Bytes   int64          `json:"bytes"`
	Classes map[string]int `json:"classes"` // files of each
	Foreign int            `json:"foreign"` // files that another program wrote: read through, but nothing says whether they are whole
	Damaged []NotLookedAt  `json:"damaged"`
}

// Check reads every file that is wanted and compares it with its checksum. The error is of
// what kept it from looking; what is wrong with a file is in the report.
func Check(ctx context.Context, dir string, want Filter) (Report, error) {
	r := Report{Classes: map[string]int{}}
	files, bad, err := Select(ctx, dir, want)
	if err != nil {
		return r, err
	}
	r.Damaged = append([]NotLookedAt{}, bad...)
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		rows, err := CheckFile(filepath.Join(dir, filepath.FromSlash(f.Path())))
		if errors.Is(err, os.ErrNotExist) {
			continue // compacted or aged away since it was listed
		}
		if err != nil && IsForeign(f.Name, err) {
			r.Foreign++
			err = nil
		}
		if err != nil {
			r.Damaged = append(r.Damaged, NotLookedAt{f.Path(), err.Error()})
			continue
		}
		r.Files++
		r.Rows += rows
		r.Bytes += f.Size
		r.Classes[f.Class]++
	}
	return r, nil
}

// IsForeign says whether an error of CheckFile says no more than that another program wrote the file.
func IsForeign(name string, err error) bool {
	_, ours := generationOf(name)
	return !ours && errors.Is(err, errNoSum)
}

// CheckFile tells how many rows a file has, or what is wrong with it. A file without a
// checksum of ours is read through; the error then matches no damage but its absence.
func CheckFile(path string) (rows int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	sum := verifySum(f, st.Size())
	if sum != nil && !errors.Is(sum, errNoSum) {
		return 0, sum
	}
	// The decoder may panic on bytes that it did not write.
	defer func() {
		if v := recover(); v != nil {
			rows, err = 0, fmt.Errorf("cannot be decoded: %v", v)
		}
	}()
	if err := openable(f, st.Size()); err != nil {
		return 0, fmt.Errorf("cannot be opened: %w", err)
	}
	p, err := parquet.OpenFile(f, st.Size())
	if err != nil {
		return 0, fmt.Errorf("cannot be opened: %w", err)
	}
	if sum == nil {
		return p.NumRows(), nil
	}
	if err := readThrough(p); err != nil {
		return 0, err
	}
	return p.NumRows(), sum
}

// readThrough decodes every row.
func readThrough(p *parquet.File) error {
	for _, g := range p.RowGroups() {
		rows := g.Rows()
		buf := make([]parquet.Row, 256)
		for {
			_, err := rows.ReadRows(buf)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return errors.Join(fmt.Errorf("cannot be decoded: %w", err), rows.Close())
			}
		}
		if err := rows.Close(); err != nil {
			return err
		}
	}
	return nil
}
