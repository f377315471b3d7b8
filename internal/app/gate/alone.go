package gate

import (
	"context"
	"errors"
	"fmt"

	"bartizan/internal/gateway"
	"bartizan/internal/lake"
	"bartizan/internal/model"
)

// LakeConfig says where a gateway without a node keeps what it records.
type LakeConfig struct {
	Dir     string // empty: nowhere
	Product string // version of the program
	Keep    lake.Retention
}

// Alone runs a gateway without a node until ctx ends. On routes that are recorded, exchanges and what
// was said go to the lake, which a node may write to as well. opened is called when clients can come.
func Alone(ctx context.Context, o Options, c LakeConfig, opened func(*Gate)) (err error) {
	if !recorded(&o.Config) {
		return alone(ctx, o, opened)
	}
	if c.Dir == "" {
		return errors.New("gateway.routes.*.record needs the lake: set lake.enabled, or record: off")
	}
	l, err := lake.Open(c.Dir, lake.Options{Product: c.Product, Keep: c.Keep, Log: o.Log})
	if err != nil {
		return fmt.Errorf("%w; choose another folder with lake.dir", err)
	}
	o.Traffic = func(_ context.Context, some []model.LLMTraffic) error { l.Guard(nil, some); return nil }
	o.Record = func(r *gateway.Record) error { l.Guard([]model.LLMCall{r.Call()}, nil); return nil }
	after, stop := context.WithCancel(context.WithoutCancel(ctx)) // what the last exchanges said is still written
	ended := make(chan error, 2)
	go func() { ended <- l.Run(after) }()
	go func() { ended <- l.Maintain(after) }()
	err = alone(ctx, o, opened)
	stop()
	return errors.Join(err, <-ended, <-ended)
}

func alone(ctx context.Context, o Options, opened func(*Gate)) error {
	g, err := Open(o)
	if err != nil {
		return fmt.Errorf("start gateway: %w", err)
	}
	opened(g)
	return errors.Join(g.Run(ctx), g.Close(context.WithoutCancel(ctx)))
}
