package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/lake"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/lake/query"
)

// huntPatience is how long a hunt waits for the one before it: each may use as much memory as all else in a node.
const huntPatience = 3 * time.Second

// hunt asks the node's lake for a caller of the API.
func (n *Node) hunt(ctx context.Context, q api.HuntRequest) (api.HuntAnswer, error) {
	wait := time.NewTimer(huntPatience)
	defer wait.Stop()
	select {
	case n.hunting <- struct{}{}:
		defer func() { <-n.hunting }()
	case <-wait.C:
		return api.HuntAnswer{}, fmt.Errorf("%w: another hunt is running; ask again when it is done", api.ErrBusy)
	case <-ctx.Done():
		return api.HuntAnswer{}, ctx.Err()
	}
	engine, err := n.huntEngine(ctx)
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
		return api.HuntAnswer{}, huntError(err)
	}
	a := api.HuntAnswer{Columns: make([]api.HuntColumn, len(res.Columns)), Rows: res.Rows, Truncated: res.Truncated, Files: res.Files, NotLooked: make([]api.HuntSkipped, len(res.NotLooked))}
	for i, c := range res.Columns {
		a.Columns[i] = api.HuntColumn(c)
	}
	for i, s := range res.NotLooked {
		a.NotLooked[i] = api.HuntSkipped(s)
	}
	return a, nil
}

// huntEngine looks in the folder, and in the bucket behind it when there is one.
func (n *Node) huntEngine(ctx context.Context) (*query.Engine, error) {
	dir, err := filepath.Abs(n.conf.LakeDir())
	if err != nil {
		return nil, err
	}
	e := &query.Engine{Lake: dir, Stderr: childLog{n.log}}
	b := n.conf.Lake.Bucket
	if !b.Enabled() {
		return e, nil
	}
	store, err := b.Open(ctx)
	if err != nil {
		return nil, err
	}
	cache := bucket.Cache{Dir: filepath.Join(dir, bucket.CacheDir), Most: int64(b.Cache)}
	if err := os.MkdirAll(cache.Dir, 0o700); err != nil {
		return nil, err
	}
	s := &bucket.Source{Lake: bucket.NewLake(store), Folder: dir, Cache: &cache}
	e.Lake, e.Select = cache.Dir, s.Select
	return e, nil
}

// huntError says it in the API's words.
func huntError(err error) error {
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
