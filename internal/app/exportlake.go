package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/conf"
	"bartizan/internal/export"
	"bartizan/internal/lake"
	"bartizan/internal/obs"
	"bartizan/internal/ocsf"

	"github.com/parquet-go/parquet-go"
)

// ExportLake gives the events of a lake's folder to emit, by class, then hour.
// What could not be read is returned and does not end the export.
func ExportLake(ctx context.Context, dir string, q api.ExportQuery, emit func(export.Event) error) ([]lake.NotLookedAt, error) {
	for _, name := range q.Classes {
		if _, ok := ocsf.ClassOf(name); !ok {
			return nil, fmt.Errorf("%w: %w", api.ErrInput, unknownClass(name))
		}
	}
	files, skipped, err := lake.Select(ctx, dir, lake.Filter{Classes: q.Classes, Since: q.From, Till: q.To})
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		c, ok := ocsf.ClassOf(f.Class)
		if !ok {
			skipped = append(skipped, lake.NotLookedAt{File: f.Path(), Reason: "no class of this version"})
			continue
		}
		err := exportFile(ctx, filepath.Join(dir, filepath.FromSlash(f.Path())), c, q, emit)
		var told emitError
		switch {
		case errors.As(err, &told):
			return skipped, told.error
		case ctx.Err() != nil:
			return skipped, ctx.Err()
		case err != nil:
			skipped = append(skipped, lake.NotLookedAt{File: f.Path(), Reason: err.Error()})
		}
	}
	return skipped, nil
}

// unknownClass names the nearest class that there is.
func unknownClass(name string) error {
	var known []string
	for _, c := range ocsf.Classes() {
		known = append(known, c.Name)
	}
	hint := ""
	if near, ok := conf.Nearest(name, known); ok {
		hint = fmt.Sprintf(" (nearest: %q)", near)
	}
	return fmt.Errorf("class %q is none of %q%s", obs.Quote([]byte(name), 40), known, hint)
}

// emitError is an error of whoever takes the events, not of the file.
type emitError struct{ error }

// exportFile emits the rows of a file that lie in the query's time. What a
// damaged file holds before the damage is emitted.
func exportFile(ctx context.Context, file string, c ocsf.Class, q api.ExportQuery, emit func(export.Event) error) (err error) {
	defer func() { // the reader of a damaged file may panic
		if v := recover(); v != nil {
			err = fmt.Errorf("damaged: %v", v)
		}
	}()
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	p, err := parquet.OpenFile(in, st.Size())
	if err != nil {
		return err
	}
	rows := parquet.NewReader(p, parquet.SchemaOf(c.New()))
	defer rows.Close()
	for ctx.Err() == nil {
		row := c.New()
		switch err := rows.Read(row); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		head := row.(interface{ Head() *ocsf.Event }).Head()
		at := time.UnixMilli(head.Time).UTC()
		if at.Before(q.From) || !q.To.IsZero() && !at.Before(q.To) {
			continue
		}
		e, err := exported(c.Name, at, head, row)
		if err != nil {
			return err
		}
		if err := emit(e); err != nil {
			return emitError{err}
		}
	}
	return ctx.Err()
}
