package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"bartizan/internal/app/gate"
	"bartizan/internal/bus"
	"bartizan/internal/conf"
	"bartizan/internal/gateway"
	"bartizan/internal/lake"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/life"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// LakeConfig is about the evidence lake.
type LakeConfig struct {
	Enabled bool          `yaml:"enabled"`
	Dir     string        `yaml:"dir"`   // default: lake in the data folder
	Age     conf.Duration `yaml:"age"`   // what is older goes; 0: nothing
	Bytes   conf.Bytes    `yaml:"bytes"` // the oldest goes when there is more; 0: no limit
	Cap     conf.Bytes    `yaml:"cap"`   // raw bytes kept per observation
	Traffic TrafficConfig `yaml:"traffic"`
	Bucket  bucket.Config `yaml:"bucket"`
}

// TrafficConfig is about what the gateway recorded (gateway.routes.*.record).
type TrafficConfig struct {
	Age   conf.Duration `yaml:"age"`   // what is older goes; 0: as the rest of the lake
	Bytes conf.Bytes    `yaml:"bytes"` // the oldest goes when there is more; 0: as the rest
}

// Retention is how long the lake keeps what.
func (c *LakeConfig) Retention() lake.Retention {
	return lake.Retention{Age: c.Age.D(), Bytes: int64(c.Bytes), Traffic: lake.Kept{Age: c.Traffic.Age.D(), Bytes: int64(c.Traffic.Bytes)}}
}

// LakeDir is the folder of the evidence lake.
func (c *Config) LakeDir() string {
	if c.Lake.Dir != "" {
		return c.Lake.Dir
	}
	return filepath.Join(c.Data, "lake")
}

func (c *Config) checkLake() error {
	if c.Lake.Age < 0 {
		return c.wrong(errors.New("must not be negative"), "lake", "age")
	}
	if c.Lake.Traffic.Age < 0 {
		return c.wrong(errors.New("must not be negative"), "lake", "traffic", "age")
	}
	if a := c.Lake.Traffic.Age.D(); a > 0 && a < time.Hour {
		return c.wrong(fmt.Errorf("%v is less than an hour, and files are of hours", a), "lake", "traffic", "age")
	}
	if c.Lake.Age > 0 && c.Lake.Age.D() < day {
		return c.wrong(fmt.Errorf("%v is less than a day: the lake is there to look back", c.Lake.Age.D()), "lake", "age")
	}
	if c.Lake.Cap > observe.MaxBlobLen {
		return c.wrong(fmt.Errorf("at most %d bytes: decoys keep no more of a piece of evidence", observe.MaxBlobLen), "lake", "cap")
	}
	if key, err := c.Lake.Bucket.Check(); err != nil {
		return c.wrong(err, "lake", "bucket", key)
	}
	return nil
}

// openLake opens the lake for the parts that write to it.
func (n *Node) openLake() (err error) {
	if !n.conf.Lake.Enabled {
		return nil
	}
	n.lake, err = lake.Open(n.conf.LakeDir(), lake.Options{
		Product: n.env.Version, MaxEvidence: int(n.conf.Lake.Cap), Log: n.log, Health: n.health,
		Keep: n.conf.Lake.Retention(),
	})
	if err != nil {
		return fmt.Errorf("%w; choose another folder with lake.dir, or go without with lake.enabled: false", err)
	}
	n.sensor.lake = n.lake
	gauge := func(name, help string, of func(lake.Stats) int64) {
		n.metrics.GaugeFunc(name, help, func() float64 { return float64(of(n.lake.Stats())) })
	}
	gauge("bartizan_lake_rows", "Rows written to the lake since the start.", func(s lake.Stats) int64 { return s.Rows })
	gauge("bartizan_lake_bytes", "Bytes of files written to the lake since the start.", func(s lake.Stats) int64 { return s.Bytes })
	gauge("bartizan_lake_dropped", "Observations lost since the start because the lake could not be written.", func(s lake.Stats) int64 { return s.Dropped })
	gauge("bartizan_lake_waiting_bytes", "Encoded bytes that wait for the disk.", func(s lake.Stats) int64 { return s.Waiting })
	return n.openBucket()
}

// openBucket makes the mirror of the lake. It connects to nobody: a bucket that is away holds no start up.
func (n *Node) openBucket() error {
	c := &n.conf.Lake.Bucket
	if !c.Enabled() {
		return nil
	}
	store, err := c.Open(context.Background())
	if err != nil {
		return mistake{err}
	}
	keep := n.conf.Lake.Retention()
	keep.Bytes = int64(c.Bytes)
	n.mirror = bucket.NewMirror(bucket.Options{
		Dir: n.conf.LakeDir(), Store: store, Product: n.env.Version, Keep: c.Keep.D(), KeepBytes: int64(c.KeepBytes),
		Retention: keep, Log: n.log, Health: n.health,
	})
	n.mirror.Measure(n.metrics)
	return nil
}

// runLake starts what fills the lake. It stands below the sensors, so that their last
// observations are written. Signals, decisions and receipts have durables of their own: what was
// not filed before the end comes again at the next start.
func (n *Node) runLake(g *life.Group) {
	if n.lake == nil {
		return
	}
	opt := bus.ConsumeOptions{Batch: lake.StreamBatch}
	g.Go("lake", n.lake.Run)
	g.Go("lake upkeep", n.lake.Maintain)
	if n.mirror != nil {
		g.Go("lake bucket", n.mirror.Run)
	}
	g.Go("lake signals", func(ctx context.Context) error {
		return bus.Consume(ctx, n.bus, signalTopic(&n.conf), "lake", opt, n.lake.Signals)
	})
	g.Go("lake decisions", func(ctx context.Context) error {
		return bus.Consume(ctx, n.bus, ledgerTopic(&n.conf), "lake", opt, n.lake.Entries)
	})
	if n.gateway != nil {
		g.Go("lake exchanges", func(ctx context.Context) error {
			return bus.Consume(ctx, n.bus, gate.Topic(), "lake", opt, func(ctx context.Context, list []bus.Message[gateway.Record]) error {
				calls := make([]bus.Message[model.LLMCall], len(list))
				for i := range list {
					calls[i] = bus.Message[model.LLMCall]{Seq: list[i].Seq, Time: list[i].Time, Value: list[i].Value.Call()}
				}
				return n.lake.Calls(ctx, calls)
			})
		})
		g.Go("lake traffic", func(ctx context.Context) error {
			return bus.Consume(ctx, n.bus, trafficTopic(&n.conf), "lake", opt, n.lake.Traffic)
		})
	}
	g.Go("lake receipts", func(ctx context.Context) error {
		return bus.Consume(ctx, n.bus, receiptTopic(&n.conf), "lake", opt, n.lake.Receipts)
	})
}
