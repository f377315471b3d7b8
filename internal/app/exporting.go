package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"bartizan/internal/api"
	"bartizan/internal/app/gate"
	"bartizan/internal/builtin"
	"bartizan/internal/bus"
	"bartizan/internal/conf"
	"bartizan/internal/export"
	"bartizan/internal/gateway"
	"bartizan/internal/lake"
	"bartizan/internal/model"
	"bartizan/internal/obs"
	"bartizan/internal/ocsf"
)

// ExportConfig is one sink that events are sent to as they happen.
type ExportConfig struct {
	Kind    string   `yaml:"kind"`    // registry name; default: the entry's name
	Classes []string `yaml:"classes"` // of signal, decision, receipt, llmcall, llmtraffic; empty: the first three
	Options conf.Raw `yaml:"options"` // the kind's own
}

// streamed are the classes of events that are in streams; observations are not.
var streamed = []string{"signal", "decision", "receipt", "llmcall", "llmtraffic"}

// usual are those that are sent and exported when none is named: what people say to models goes nowhere
// that nobody asked for.
var usual = streamed[:3:3]

// checkExport checks every sink and completes what it leaves out.
func (c *Config) checkExport() (errs []error) {
	sinks := builtin.Sinks()
	for _, name := range slices.Sorted(maps.Keys(c.Export)) {
		x := c.Export[name]
		if x.Kind == "" {
			x.Kind = name
		}
		if len(x.Classes) == 0 {
			x.Classes = slices.Clone(usual)
		}
		c.Export[name] = x
		if !instanceName.MatchString(name) {
			errs = append(errs, c.wrong(fmt.Errorf("the name does not match %s", instanceName), "export", name))
			continue
		}
		// Building connects to nobody and finds what types alone cannot.
		if sink, err := sinks.Build(x.Kind, x.Options); err != nil {
			errs = append(errs, c.wrong(err, "export", name))
		} else if err := sink.Close(); err != nil {
			errs = append(errs, c.wrong(err, "export", name))
		}
		for _, class := range x.Classes {
			if err := checkStreamed(class); err != nil {
				errs = append(errs, c.wrong(err, "export", name, "classes"))
			}
		}
	}
	return errs
}

func checkStreamed(class string) error {
	if slices.Contains(streamed, class) {
		return nil
	}
	if _, ok := ocsf.ClassOf(class); ok {
		return fmt.Errorf("class %q is of observations, which are in no stream (of %s)", class, strings.Join(streamed, ", "))
	}
	hint := ""
	if near, ok := conf.Nearest(class, streamed); ok {
		hint = fmt.Sprintf(" (nearest: %q)", near)
	}
	return fmt.Errorf("class %q is none of %s%s", obs.Quote([]byte(class), 40), strings.Join(streamed, ", "), hint)
}

// NewSink makes a sink of a kind for somebody who is not a node.
func NewSink(kind string, options any) (export.Sink, error) {
	text, err := conf.Dump(options)
	if err != nil {
		return nil, err
	}
	raw, err := conf.Parse("command line", text)
	if err != nil {
		return nil, err
	}
	return builtin.Sinks().Build(kind, raw)
}

// exporter sends the events of the streams to one sink. Each class has a durable
// consumer of its own, so that a sink that is away holds nobody up but itself:
// the streams keep its place.
type exporter struct {
	node    *Node
	name    string
	classes []string
	log     *slog.Logger

	mu    sync.Mutex // one Send at a time
	sink  export.Sink
	sent  uint64
	left  uint64         // too large for the receiver
	place *export.Places // by class
}

func (n *Node) openExporters() error {
	table := builtin.Sinks()
	for _, name := range slices.Sorted(maps.Keys(n.conf.Export)) {
		c := n.conf.Export[name]
		sink, err := table.Build(c.Kind, c.Options)
		if err != nil {
			return mistake{fmt.Errorf("export %s: %w", name, err)}
		}
		places, err := export.OpenPlaces(n.bus, name)
		if err != nil {
			return err
		}
		x := &exporter{node: n, name: name, classes: c.Classes, sink: sink, log: n.log.With("export", name), place: places}
		n.exporters = append(n.exporters, x)
		n.group.OnStop("export "+name, func(context.Context) error { return sink.Close() })
		n.health.Set(x.check(), obs.StateOK, "nothing to send yet")
	}
	return nil
}

func (x *exporter) check() string { return "export-" + x.name }

// run follows the streams of a class until ctx ends. A stream that cannot be
// read is reported and ends nothing else.
func (x *exporter) run(ctx context.Context, class string) error {
	c, m := &x.node.conf, &ocsf.Mapper{Product: x.node.env.Version}
	var err error
	switch class {
	case "signal":
		err = follow(ctx, x, signalTopic(c), class, signalEvent(m))
	case "decision":
		err = follow(ctx, x, ledgerTopic(c), class, entryEvent(m))
	case "receipt":
		err = follow(ctx, x, receiptTopic(c), class, receiptEvent(m))
	case "llmcall":
		err = follow(ctx, x, gate.Topic(), class, callEvent(m))
	case lake.Traffic:
		err = follow(ctx, x, trafficTopic(c), class, trafficEvent(m))
	}
	if err != nil && ctx.Err() == nil {
		x.node.health.Set(x.check(), obs.StateFailed, fmt.Sprintf("%s events are no longer sent: %v", class, err))
		x.log.Error("export has ended", "class", class, "error", err)
		<-ctx.Done()
	}
	return nil
}

// Conversions of what the streams hold. Each uses its row again and again.

func signalEvent(m *ocsf.Mapper) func(bus.Message[model.Signal]) (export.Event, error) {
	var row ocsf.Signal
	return func(v bus.Message[model.Signal]) (export.Event, error) {
		row.FromSignal(m, &v.Value)
		return exported("signal", v.Value.Time, &row.Event, &row)
	}
}

func entryEvent(m *ocsf.Mapper) func(bus.Message[model.Entry]) (export.Event, error) {
	var row ocsf.Decision
	return func(v bus.Message[model.Entry]) (export.Event, error) {
		row.FromEntry(m, v.Seq, &v.Value)
		return exported("decision", v.Value.Time, &row.Event, &row)
	}
}

func receiptEvent(m *ocsf.Mapper) func(bus.Message[model.Receipt]) (export.Event, error) {
	var row ocsf.Receipt
	return func(v bus.Message[model.Receipt]) (export.Event, error) {
		row.FromReceipt(m, &v.Value)
		return exported("receipt", v.Value.Time, &row.Event, &row)
	}
}

func callEvent(m *ocsf.Mapper) func(bus.Message[gateway.Record]) (export.Event, error) {
	var row ocsf.LLMCall
	return func(v bus.Message[gateway.Record]) (export.Event, error) {
		call := v.Value.Call()
		row.FromLLMCall(m, &call)
		return exported("llmcall", call.Time, &row.Event, &row)
	}
}

func trafficEvent(m *ocsf.Mapper) func(bus.Message[model.LLMTraffic]) (export.Event, error) {
	var row ocsf.LLMTraffic
	return func(v bus.Message[model.LLMTraffic]) (export.Event, error) {
		row.FromLLMTraffic(m, &v.Value)
		return exported(lake.Traffic, v.Value.Time, &row.Event, &row)
	}
}

func exported(class string, at time.Time, head *ocsf.Event, row any) (export.Event, error) {
	line, err := json.Marshal(row)
	if err != nil {
		return export.Event{}, fmt.Errorf("write %s as JSON: %w", class, err)
	}
	return export.Event{Class: class, Time: at, Severity: int(head.SeverityID), JSON: line}, nil
}

func follow[T any](ctx context.Context, x *exporter, topic bus.Topic[T], class string, convert func(bus.Message[T]) (export.Event, error)) error {
	o := bus.ConsumeOptions{Batch: export.MaxBatch}
	return bus.Consume(ctx, x.node.bus, topic, "export-"+x.name, o, func(ctx context.Context, batch []bus.Message[T]) error {
		events := make([]export.Event, len(batch))
		for i := range batch {
			var err error
			if events[i], err = convert(batch[i]); err != nil {
				return err
			}
		}
		return x.send(ctx, class, batch[0].Seq, batch[len(batch)-1].Seq, events)
	})
}

// send delivers or waits: it returns without an error only when the events are
// where they belong.
func (x *exporter) send(ctx context.Context, class string, first, last uint64, events []export.Event) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	lost, err := x.place.Begin(ctx, class, first)
	if err != nil {
		x.log.Warn("how far the export had come is not known: what was lost before the start is not counted", "class", class, "error", err)
	}
	if lost > 0 {
		x.log.Error("events left the stream before they could be sent; keep them longer with bus.signal_bytes and bus.signal_age",
			"class", class, "events", lost)
	}
	since, told := time.Now(), false
	left, err := export.Deliver(ctx, x.sink, events, export.Retry{First: 500 * time.Millisecond, Most: time.Minute, Failed: func(err error, pause time.Duration) {
		x.node.health.Set(x.check(), obs.StateDegraded, fmt.Sprintf("held back since %s, next try in %v: %v", since.Format(time.TimeOnly), pause.Round(time.Second/10), err))
		if !told {
			x.log.Warn("events are held back", "class", class, "error", err)
			told = true
		}
	}})
	if err != nil {
		return err
	}
	if told {
		x.log.Info("events are sent again", "class", class, "after", time.Since(since).Round(time.Second))
	}
	if err := x.place.Sent(ctx, class, last); err != nil {
		x.log.Warn("how far the export has come cannot be kept", "class", class, "error", err)
	}
	x.sent += uint64(len(events) - left)
	x.left += uint64(left)
	x.node.exported.WithLabelValues(x.name, class, "sent").Add(float64(len(events) - left))
	x.node.exported.WithLabelValues(x.name, class, "left-out").Add(float64(left))
	x.report()
	return nil
}

// report says how things are after something was sent.
func (x *exporter) report() {
	state, detail := obs.StateOK, fmt.Sprintf("%d events sent", x.sent)
	if x.left > 0 {
		state, detail = obs.StateDegraded, detail+fmt.Sprintf(", %d left out because they are too large for the receiver", x.left)
	}
	if n := x.place.Lost(); n > 0 {
		state, detail = obs.StateDegraded, detail+fmt.Sprintf(", %d lost, ever, because the streams did not keep them long enough", n)
	}
	x.node.health.Set(x.check(), state, detail)
}

// exportEvents reads the streams for somebody who wants the events of a time.
func (n *Node) exportEvents(ctx context.Context, q api.ExportQuery, emit func(api.ExportedEvent) error) error {
	if len(q.Classes) == 0 {
		q.Classes = usual
	}
	for _, class := range q.Classes {
		if err := checkStreamed(class); err != nil {
			return fmt.Errorf("%w: %w", api.ErrInput, err)
		}
	}
	m := &ocsf.Mapper{Product: n.env.Version}
	var errs []error
	for _, class := range q.Classes {
		var err error
		switch class {
		case "signal":
			err = past(ctx, n.bus, signalTopic(&n.conf), q, signalEvent(m), emit)
		case "decision":
			err = past(ctx, n.bus, ledgerTopic(&n.conf), q, entryEvent(m), emit)
		case "receipt":
			err = past(ctx, n.bus, receiptTopic(&n.conf), q, receiptEvent(m), emit)
		case "llmcall":
			err = past(ctx, n.bus, gate.Topic(), q, callEvent(m), emit)
		case lake.Traffic:
			err = past(ctx, n.bus, trafficTopic(&n.conf), q, trafficEvent(m), emit)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("export %s events: %w", class, err))
		}
	}
	return errors.Join(errs...)
}

// aheadMost is how far the time of an event may be ahead of its arrival.
const aheadMost = 10 * time.Minute

func past[T any](ctx context.Context, b *bus.Bus, topic bus.Topic[T], q api.ExportQuery, convert func(bus.Message[T]) (export.Event, error), emit func(api.ExportedEvent) error) error {
	bad := 0
	from := bus.From{OnBad: func(*bus.DecodeError) error { bad++; return nil }}
	if !q.From.IsZero() {
		from.Time = q.From.Add(-aheadMost)
	}
	_, err := bus.Read(ctx, b, topic, from, func(m bus.Message[T]) error {
		e, err := convert(m)
		if err != nil || e.Time.Before(q.From) || !q.To.IsZero() && !e.Time.Before(q.To) {
			return err
		}
		return emit(api.ExportedEvent{Class: e.Class, Event: e.JSON})
	})
	if err == nil && bad > 0 {
		err = fmt.Errorf("%d messages of the stream cannot be read and are not in the export", bad)
	}
	return err
}
