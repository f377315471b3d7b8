package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/app"
	"bartizan/internal/conf"
	"bartizan/internal/export"
	"bartizan/internal/ocsf"

	"github.com/spf13/cobra"
)

// tokenVariable holds the collector's token when there is no --token-file.
const tokenVariable = "BARTIZAN_HEC_TOKEN" //nolint:gosec // a name

type exportFlags struct {
	from, to, since string
	classes         []string
	file            string
	hec, tokenFile  string
	syslog          string
	ca              string
	lake            string
}

func exportCmd(g *global) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use: "export", Short: "Send events of the past elsewhere, as OCSF", Args: cobra.NoArgs,
		Long: "Reads what a running node remembers, or a lake, and prints OCSF events, one JSON object per line, or sends them\n" +
			"to a file, an HTTP Event Collector or a syslog receiver. To have every event sent as it happens, use\n" +
			"\"export:\" in the configuration instead.\n\n" +
			"Exit code 0: all is exported · 1: some events were too large for the receiver · 3: the node or the receiver did not answer, or a part of the lake could not be read.",
		RunE: func(cmd *cobra.Command, _ []string) error { return runExport(cmd.Context(), g, &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.from, "from", "", "first time, such as 2026-11-27 or 2026-11-27T01:02:03Z (default: all there is)")
	fl.StringVar(&f.to, "to", "", "time to stop before")
	fl.StringVar(&f.since, "since", "", "how far back instead of --from, such as 24h or 7d")
	fl.StringSliceVar(&f.classes, "class", nil, "of signal, decision, receipt (default: all); with --lake any class of the lake")
	fl.StringVar(&f.lake, "lake", "", "read a lake's folder instead of asking the node: observations, too, and months back")
	fl.StringVar(&f.file, "to-file", "", "append to this file instead of printing")
	fl.StringVar(&f.hec, "hec", "", "post to the HTTP Event Collector at this URL")
	fl.StringVar(&f.tokenFile, "token-file", "", "file with the collector's token, mode 0600 (default: $"+tokenVariable+")")
	fl.StringVar(&f.syslog, "syslog", "", "send to udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT")
	fl.StringVar(&f.ca, "ca", "", "file with certificates to trust, for --hec and --syslog")
	return cmd
}

func runExport(ctx context.Context, g *global, f *exportFlags) error {
	q, err := f.query(time.Now())
	if err != nil {
		return usage(fmt.Errorf("export: %w", err))
	}
	sink, err := f.sink(g.env.Stdout)
	if err != nil {
		return usage(fmt.Errorf("export: %w", err))
	}
	out := batcher{sink: sink, stderr: g.env.Stderr, sent: map[string]int{}}
	err = f.read(ctx, g, q, func(e export.Event) error { return out.add(ctx, e) })
	if err == nil {
		err = out.flush(ctx)
	}
	err = errors.Join(err, sink.Close())
	switch {
	case errors.Is(err, api.ErrInput):
		return usage(err)
	case err != nil:
		return blind(err)
	}
	if f.file != "" || f.hec != "" || f.syslog != "" {
		fmt.Fprintln(g.env.Stderr, out.summary())
	}
	if out.left > 0 {
		return &exitError{ExitFinding, fmt.Errorf("export: %d events are too large for the receiver and were left out", out.left)}
	}
	return nil
}

// read gives the events that are asked for to emit.
func (f *exportFlags) read(ctx context.Context, g *global, q api.ExportQuery, emit func(export.Event) error) error {
	if f.lake != "" {
		skipped, err := app.ExportLake(ctx, f.lake, q, emit)
		for _, s := range skipped {
			fmt.Fprintf(g.env.Stderr, "bartizan: export: not looked at: %s: %s\n", s.File, s.Reason)
		}
		if err == nil && len(skipped) > 0 {
			err = fmt.Errorf("export: %d parts of the lake could not be read", len(skipped))
		}
		return err
	}
	c, err := g.client()
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Export(ctx, q, func(e api.ExportedEvent) error {
		event, err := export.Parse(e.Class, e.Event)
		if err != nil {
			return err
		}
		return emit(event)
	})
}

func (f *exportFlags) query(now time.Time) (q api.ExportQuery, err error) {
	q.Classes = f.classes
	if f.since != "" {
		if f.from != "" {
			return q, errors.New("--since and --from say the same: give one of them")
		}
		d, err := conf.ParseDuration(f.since)
		if err != nil {
			return q, fmt.Errorf("--since: %w", err)
		}
		q.From = now.Add(-d.D())
	}
	if f.from != "" {
		if q.From, err = parseMoment(f.from); err != nil {
			return q, fmt.Errorf("--from: %w", err)
		}
	}
	if f.to != "" {
		if q.To, err = parseMoment(f.to); err != nil {
			return q, fmt.Errorf("--to: %w", err)
		}
		if !q.From.Before(q.To) {
			return q, fmt.Errorf("--to %s is not after the beginning %s: nothing lies between them", f.to, q.From.Format(time.RFC3339))
		}
	}
	return q, nil
}

// parseMoment reads a time, or a day as its first moment, in UTC.
func parseMoment(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no time: use 2026-11-27, 2026-11-27T01:02 or 2026-11-27T01:02:03Z (UTC)", s)
}

// sink is where the flags say events go.
func (f *exportFlags) sink(stdout io.Writer) (export.Sink, error) {
	var given []string
	for _, o := range [][2]string{{"--to-file", f.file}, {"--hec", f.hec}, {"--syslog", f.syslog}} {
		if o[1] != "" {
			given = append(given, o[0])
		}
	}
	switch {
	case len(given) > 1:
		return nil, fmt.Errorf("%s: one destination at a time", strings.Join(given, " and "))
	case f.tokenFile != "" && f.hec == "":
		return nil, errors.New("--token-file belongs to --hec")
	case f.ca != "" && f.hec == "" && f.syslog == "":
		return nil, errors.New("--ca belongs to --hec and --syslog")
	case f.file != "":
		path, err := filepath.Abs(f.file)
		if err != nil {
			return nil, fmt.Errorf("--to-file: %w", err)
		}
		return app.NewSink("file", struct {
			Path string `yaml:"path"`
		}{path})
	case f.hec != "":
		token := os.Getenv(tokenVariable)
		if f.tokenFile != "" {
			path, err := filepath.Abs(f.tokenFile)
			if err != nil {
				return nil, fmt.Errorf("--token-file: %w", err)
			}
			token = "file:" + path
		}
		return app.NewSink("hec", struct {
			URL   string `yaml:"url"`
			Token string `yaml:"token"`
			CA    string `yaml:"ca"`
		}{f.hec, token, f.ca})
	case f.syslog != "":
		return app.NewSink("syslog", struct {
			URL string `yaml:"url"`
			CA  string `yaml:"ca"`
		}{f.syslog, f.ca})
	}
	return printer{stdout}, nil
}

// printer is a sink for the terminal or pipe of this command.
type printer struct{ w io.Writer }

// Send implements export.Sink.
func (p printer) Send(_ context.Context, events []export.Event) (int, error) {
	for i := range events {
		if _, err := fmt.Fprintf(p.w, "%s\n", events[i].JSON); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// Close implements export.Sink.
func (printer) Close() error { return nil }

// batcher hands events to a sink in batches.
type batcher struct {
	sink   export.Sink
	stderr io.Writer
	batch  []export.Event
	size   int
	sent   map[string]int
	left   int
}

const maxBatchBytes = 4 << 20

func (b *batcher) add(ctx context.Context, e export.Event) error {
	b.batch = append(b.batch, e)
	b.size += len(e.JSON)
	if len(b.batch) < export.MaxBatch && b.size < maxBatchBytes {
		return nil
	}
	return b.flush(ctx)
}

// summary counts what was exported, by class in the order of the lake.
func (b *batcher) summary() string {
	parts, total := []string{}, 0
	for _, c := range ocsf.Classes() {
		if n := b.sent[c.Name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", c.Name, n))
			total += n
		}
	}
	if total == 0 {
		return "exported nothing: there are no such events"
	}
	return fmt.Sprintf("exported %d events: %s", total, strings.Join(parts, ", "))
}

func (b *batcher) flush(ctx context.Context) error {
	if len(b.batch) == 0 {
		return nil
	}
	left, err := export.Deliver(ctx, b.sink, b.batch, export.Retry{First: time.Second, Most: 10 * time.Second, Times: 5, Failed: func(err error, pause time.Duration) {
		fmt.Fprintf(b.stderr, "bartizan: export: %v; trying again in %v\n", err, pause)
	}})
	if err != nil {
		return err
	}
	for i := range b.batch {
		b.sent[b.batch[i].Class]++
	}
	b.left += left
	b.batch, b.size = b.batch[:0], 0
	return nil
}
