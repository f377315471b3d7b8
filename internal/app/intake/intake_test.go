package intake

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/builtin"
	"bartizan/internal/bus"
	"bartizan/internal/conf"
	"bartizan/internal/model"
	"bartizan/internal/obs"
	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/transport"
)

// formats makes a format; auto is of the two that the tests write.
func formats(name string, raw conf.Raw) (source.Format, error) {
	if name != "auto" {
		return builtin.Formats().Build(name, raw)
	}
	var all []source.Named
	for _, n := range []string{"access", "syslog"} {
		f, err := builtin.Formats().Build(n, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, source.Named{Name: n, Format: f})
	}
	return source.NewAuto(all), nil
}

// sourcesFor builds the sources of a configuration and collects their signals.
func sourcesFor(t *testing.T, yaml string) (*Intake, *[]model.Signal) {
	t.Helper()
	var c struct {
		Sources map[string]Config `yaml:"sources"`
	}
	raw, err := conf.Parse("c.yaml", []byte(yaml))
	if err == nil {
		err = raw.Into(&c)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	var got []model.Signal
	s, err := New(t.Context(), Options{Sources: c.Sources, Formats: formats, Bus: b, Log: slog.New(slog.DiscardHandler), Health: obs.NewHealth(), Metrics: obs.NewMetrics(),
		Publish: func(_ context.Context, list []model.Signal) error { got = append(got, list...); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return s, &got
}

// read gives a text to a source as its transport would.
func (s *Intake) read(t *testing.T, name, text string) {
	t.Helper()
	i := slices.IndexFunc(s.feeds, func(f feed) bool { return f.name == name })
	f := s.feeds[i]
	in := transport.Intake{Source: f.name, Format: f.Format, Decoder: f.format, Count: func(source.Counts) {},
		Emit: func(ctx context.Context, b *observe.LogBatch) error { return s.take(ctx, &f, b) }}
	if err := transport.NewStream(&in).Take(t.Context(), []byte(text)); err != nil {
		t.Fatal(err)
	}
}

const attack = `198.51.100.7 - - [10/Oct/2025:13:55:37 +0000] "GET /../../../../etc/passwd HTTP/1.1" 404 153 "-" "curl/8.0"` + "\n"

// What comes in datagrams is evidence that anybody can forge, and adds up with
// nothing that is proven.
func TestDatagramsProveNothing(t *testing.T) {
	s, got := sourcesFor(t, `
sources:
  forged: {from: syslog, format: auto, options: {listen: "udp://127.0.0.1:5514"}}
  proven: {from: syslog, format: auto, options: {listen: "tcp://127.0.0.1:5514"}}
`)
	line := "2025-10-10T13:00:%02d+00:00 host sshd[1]: Failed password for root from 203.0.113.50 port 40001 ssh2\n"
	s.read(t, "forged", attack)
	s.read(t, "forged", strings.Repeat(strings.ReplaceAll(line, "%02d", "01"), 5))
	if len(*got) == 0 {
		t.Fatal("no signal")
	}
	for _, sig := range *got {
		if !sig.Spoofable {
			t.Errorf("counts towards a block: %+v", sig)
		}
	}
	*got = nil
	s.read(t, "proven", strings.ReplaceAll(line, "%02d", "02"))
	for _, sig := range *got {
		t.Errorf("one failure and forged ones before: %s", sig.Kind)
	}
	s.read(t, "proven", attack)
	if len(*got) == 0 || (*got)[0].Spoofable || (*got)[0].Sensor != "proven" {
		t.Errorf("%+v", *got)
	}
}

// A record that is read again after a crash gives a signal of the same id, and one
// that claims to be of the future is of now.
func TestRecordsReadAgainCountOnce(t *testing.T) {
	var ids []string
	for range 2 {
		s, got := sourcesFor(t, "sources: {web: {from: tail, format: access, options: {files: [/nowhere/a.log]}}}")
		s.read(t, "web", attack+strings.Replace(attack, "2025", "2999", 1))
		if len(*got) == 0 {
			t.Fatal("no signal")
		}
		for _, sig := range *got {
			if sig.Time.After(time.Now().Add(time.Minute)) {
				t.Errorf("of the future: %v", sig.Time)
			}
		}
		ids = append(ids, (*got)[0].ID.String())
	}
	if ids[0] != ids[1] {
		t.Errorf("ids %v", ids)
	}
}

func TestQuarantineIsBounded(t *testing.T) {
	q := &quarantine{path: filepath.Join(t.TempDir(), "quarantine", "web.jsonl")}
	line := []byte(strings.Repeat("x", 64<<10) + "\n")
	for range 3 * maxQuarantine / len(line) {
		if _, err := q.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	q.close()
	var sum int64
	files, err := filepath.Glob(q.path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		sum += st.Size()
	}
	if sum == 0 || sum > 2*maxQuarantine+int64(len(line)) {
		t.Errorf("%d bytes in %v", sum, files)
	}
}
