// Package hunting lets callers of the API ask a node's lake.
package hunting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/lake"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/lake/query"
)

// Desk takes the questions of one node. Use New.
type Desk struct {
	dir    string
	bucket bucket.Config
	stderr io.Writer
	place  chan struct{} // of the one who is answered
}

// New makes a desk for the lake in a folder, and in the bucket behind it when there is one; stderr gets what engines print.
func New(dir string, behind bucket.Config, stderr io.Writer) *Desk {
	return &Desk{dir: dir, bucket: behind, stderr: stderr, place: make(chan struct{}, 1)}
}

// patience is how long a hunt waits for the one before it: each may use as much memory as all else in a node.
const patience = 3 * time.Second

// Hunt answers one question at a time. Its errors wrap those that package api names.
func (d *Desk) Hunt(ctx context.Context, q api.HuntRequest) (api.HuntAnswer, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return api.HuntAnswer{}, err
	}
	defer leave()
	engine, err := d.engine(ctx)
	if err != nil {
		return api.HuntAnswer{}, err
	}
	req := query.Request{SQL: q.SQL, Range: query.Range{Since: q.Since, Until: q.Until},
		Limits: query.Limits{Rows: q.Rows, Bytes: api.HuntBytes, Time: time.Duration(q.Seconds) * time.Second}}
	for name, value := range q.Params {
		req.Params = append(req.Params, query.Param{Name: name, Value: value})
	}
	res, err := engine.Run(ctx, req)
	if err != nil {
		return api.HuntAnswer{}, inWords(err)
	}
	a := api.HuntAnswer{Columns: make([]api.HuntColumn, len(res.Columns)), Rows: res.Rows, Truncated: res.Truncated, Files: res.Files, NotLooked: skipped(res.NotLooked)}
	for i, c := range res.Columns {
		a.Columns[i] = api.HuntColumn(c)
	}
	return a, nil
}

func skipped(list []query.Skipped) []api.HuntSkipped {
	out := make([]api.HuntSkipped, len(list))
	for i, s := range list {
		out[i] = api.HuntSkipped(s)
	}
	return out
}

// enter waits for the place of the one who is answered.
func (d *Desk) enter(ctx context.Context) (leave func(), err error) {
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case d.place <- struct{}{}:
		return func() { <-d.place }, nil
	case <-wait.C:
		return nil, fmt.Errorf("%w: another hunt is running; ask again when it is done", api.ErrBusy)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d *Desk) engine(ctx context.Context) (*query.Engine, error) {
	dir, err := filepath.Abs(d.dir)
	if err != nil {
		return nil, err
	}
	e := &query.Engine{Lake: dir, Stderr: d.stderr}
	if !d.bucket.Enabled() {
		return e, nil
	}
	store, err := d.bucket.Open(ctx)
	if err != nil {
		return nil, err
	}
	cache := bucket.Cache{Dir: filepath.Join(dir, bucket.CacheDir), Most: int64(d.bucket.Cache)}
	if err := os.MkdirAll(cache.Dir, 0o700); err != nil {
		return nil, err
	}
	s := &bucket.Source{Lake: bucket.NewLake(store), Folder: dir, Cache: &cache}
	e.Lake, e.Select = cache.Dir, s.Select
	return e, nil
}

// inWords says it in the API's words.
func inWords(err error) error {
	var wrong *query.StatementError
	switch {
	case errors.As(err, &wrong):
		return &api.StatementError{Text: wrong.Error(), Refused: wrong.Refused, Line: wrong.Line, Column: wrong.Column, Near: wrong.Near}
	case errors.Is(err, query.ErrNoEngine):
		return fmt.Errorf("%w: %w", api.ErrUnable, err)
	case errors.Is(err, query.ErrLimit):
		return fmt.Errorf("%w: %w", api.ErrBeyond, err)
	case errors.Is(err, lake.ErrNoLake):
		return fmt.Errorf("%w: this node keeps no evidence yet (lake.enabled)", api.ErrNotFound)
	}
	return err
}
