package tail

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/transport"
	"bartizan/internal/source/transport/transporttest"

	"github.com/klauspost/compress/zstd"
)

// words is a format whose records are single words after a header line "#words".
type words struct{}

func (words) Decoder() source.Decoder { return &wordsDecoder{} }

type wordsDecoder struct{ header bool }

func (d *wordsDecoder) Decode(record []byte, at uint64, b *observe.LogBatch) error {
	if string(record) == "#words" {
		d.header = true
		return source.ErrHeader
	}
	if !d.header || bytes.ContainsRune(record, ' ') {
		return source.ErrFormat
	}
	b.Events = append(b.Events, observe.LogEvent{Record: at, Observation: observe.Observation{Service: string(record)}})
	return nil
}

// bench follows files in a folder and collects what comes.
type bench struct {
	t      *testing.T
	dir    string
	conf   Config
	places transporttest.Places
	stop   func() error

	mu    sync.Mutex
	got   []string
	bad   uint64
	said  string
	wrong error
	news  chan struct{}
}

func newBench(t *testing.T, patterns ...string) *bench {
	b := &bench{t: t, dir: t.TempDir(), places: transporttest.NewPlaces(), news: make(chan struct{}, 1)}
	b.conf = Default()
	b.conf.Every, b.conf.Grace = conf.Duration(time.Millisecond), conf.Duration(20*time.Millisecond)
	for _, p := range patterns {
		b.conf.Files = append(b.conf.Files, filepath.Join(b.dir, p))
	}
	t.Cleanup(func() {
		if b.stop != nil {
			b.end()
		}
	})
	return b
}

func (b *bench) tell() {
	select {
	case b.news <- struct{}{}:
	default:
	}
}

func (b *bench) start() {
	b.t.Helper()
	feed, err := New(b.conf)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	in := transport.Intake{
		Source: "test", Format: "words", Decoder: words{}, Places: b.places,
		Emit: func(_ context.Context, batch *observe.LogBatch) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			for i := range batch.Events {
				b.got = append(b.got, batch.Events[i].Service)
			}
			b.tell()
			return nil
		},
		Count: func(c source.Counts) { b.mu.Lock(); b.bad += c.Malformed; b.mu.Unlock(); b.tell() },
		Say: func(doing string, err error) {
			b.mu.Lock()
			b.said, b.wrong = doing, err
			b.mu.Unlock()
			b.tell()
		},
	}
	go func() { done <- feed.Run(ctx, in) }()
	b.stop = func() error { cancel(); return <-done }
}

func (b *bench) end() {
	b.t.Helper()
	if err := b.stop(); err != nil {
		b.t.Errorf("the feed ended with %v", err)
	}
	b.stop = nil
}

// await waits until ask is content.
func (b *bench) await(what string, ask func() bool) {
	b.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		b.mu.Lock()
		ok := ask()
		b.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-b.news:
		case <-deadline:
			b.mu.Lock()
			defer b.mu.Unlock()
			b.t.Fatalf("waited in vain for %s; got %d: %q, malformed %d, %q, %v", what, len(b.got), b.got[max(0, len(b.got)-6):], b.bad, b.said, b.wrong)
		}
	}
}

func (b *bench) want(list ...string) {
	b.t.Helper()
	b.await(fmt.Sprintf("%.200q", list), func() bool { return len(b.got) >= len(list) })
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.got, list) {
		b.t.Fatalf("got %.500q, want %.500q", b.got, list)
	}
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) append(name, text string) {
	b.t.Helper()
	f, err := os.OpenFile(b.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = io.WriteString(f, text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) pack(from, to string) {
	b.t.Helper()
	text, err := os.ReadFile(b.path(from))
	if err != nil {
		b.t.Fatal(err)
	}
	var out bytes.Buffer
	var z io.WriteCloser = gzip.NewWriter(&out)
	if strings.HasSuffix(to, ".zst") {
		if z, err = zstd.NewWriter(&out); err != nil {
			b.t.Fatal(err)
		}
	}
	_, err = z.Write(text)
	err = errors.Join(err, z.Close(), os.WriteFile(b.path(to), out.Bytes(), 0o644), os.Remove(b.path(from)))
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestFollows(t *testing.T) {
	b := newBench(t, "*.log")
	b.append("a.log", "#words\none\ntwo\nthr")
	b.start()
	b.want("one", "two")
	b.append("a.log", "ee\n")
	b.want("one", "two", "three")
	b.append("b.log", "#words\nfour\n")
	b.want("one", "two", "three", "four")
	b.append("a.log", "not a word\nfive\n")
	b.want("one", "two", "three", "four", "five")
	b.await("the malformed line", func() bool { return b.bad == 1 })
	b.await("the report", func() bool { return b.said == "follows 2 files" && b.wrong == nil })
}

func TestRestartGoesOn(t *testing.T) {
	b := newBench(t, "a.log")
	b.append("a.log", "#words\none\ntw")
	b.start()
	b.want("one")
	b.end()
	b.append("a.log", "o\nthree\n")
	b.start()
	b.want("one", "two", "three")
}

func TestStartAtTheEnd(t *testing.T) {
	b := newBench(t, "a.log")
	b.conf.Start = "end"
	b.append("a.log", "#words\nold\nha")
	b.start()
	b.await("the file", func() bool { return strings.HasPrefix(b.said, "follows") })
	b.append("a.log", "lf\nnew\n")
	b.want("half", "new")
	b.append("b.log", "#words\nother\n") // not named
	b.end()
	b.append("a.log", "last\n")
	b.start()
	b.want("half", "new", "last")
}

func TestRotation(t *testing.T) {
	b := newBench(t, "a.log")
	b.conf.Grace = conf.Duration(2 * time.Second) // for the test to write to the old file, on a busy machine too
	b.append("a.log", "#words\none\n")
	b.start()
	b.want("one")
	old, err := os.OpenFile(b.path("a.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := os.Rename(b.path("a.log"), b.path("a.log.1")); err != nil {
		t.Fatal(err)
	}
	b.append("a.log", "#words\nnew\n")
	b.want("one", "new")
	// The server still writes to the old file, and ends without a line's end.
	if _, err := io.WriteString(old, "late"); err != nil {
		t.Fatal(err)
	}
	b.want("one", "new", "late")
}

func TestCopiedAndTruncated(t *testing.T) {
	b := newBench(t, "a.log")
	b.append("a.log", "#words\none\ntwo\nthree\n")
	b.start()
	b.want("one", "two", "three")
	if err := os.Truncate(b.path("a.log"), 0); err != nil {
		t.Fatal(err)
	}
	b.append("a.log", "#words\nfour\n")
	b.want("one", "two", "three", "four")
}

func TestRotatedWhileAway(t *testing.T) {
	for name, rotate := range map[string]func(b *bench){
		"renamed":            func(b *bench) { must(t, os.Rename(b.path("a.log"), b.path("a.log.1"))) },
		"packed":             func(b *bench) { b.pack("a.log", "a.log.1.gz") },
		"packed with zstd":   func(b *bench) { b.pack("a.log", "a.log.1.zst") },
		"renamed with dates": func(b *bench) { must(t, os.Rename(b.path("a.log"), b.path("a-20261127.log"))) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "a.log")
			b.append("a.log", "#words\n"+strings.Repeat("long-enough-to-be-known\n", 3))
			b.start()
			b.await("the first lines", func() bool { return len(b.got) == 3 })
			b.end()
			b.append("a.log", "missed\n")
			rotate(b)
			b.append("a.log", "#words\nnew\n")
			b.start()
			b.await("the others", func() bool { return len(b.got) >= 5 })
			b.end()
			b.start() // and never again
			b.append("a.log", "end\n")
			b.await("the last", func() bool { return slices.Contains(b.got, "end") })
			b.end()
			slices.Sort(b.got)
			if want := []string{"end", "long-enough-to-be-known", "long-enough-to-be-known", "long-enough-to-be-known", "missed", "new"}; !slices.Equal(b.got, want) {
				t.Errorf("got %q", b.got)
			}
			if b.wrong != nil {
				t.Error(b.wrong)
			}
		})
	}
}

func TestLostWhileAwayIsSaid(t *testing.T) {
	b := newBench(t, "a.log")
	b.append("a.log", "#words\none\n")
	b.start()
	b.want("one")
	b.end()
	must(t, os.Remove(b.path("a.log")))
	b.append("b.log", "#words\n")
	b.start()
	b.await("the report", func() bool { return b.wrong != nil && strings.Contains(b.wrong.Error(), "1 files were rotated away") })
}

func TestPackedFilesAreReadOnce(t *testing.T) {
	b := newBench(t, "*")
	b.append("a", "#words\none\n")
	b.append("b", "#words\ntwo\n")
	b.pack("a", "a.gz")
	b.start()
	b.await("both", func() bool { return len(b.got) == 2 })
	b.end()
	b.start()
	b.append("c", "#words\nthree\n")
	b.await("the third", func() bool { return slices.Contains(b.got, "three") })
	b.pack("b", "b.zst") // read already
	b.append("d", "#words\nfour\n")
	b.await("the fourth", func() bool { return slices.Contains(b.got, "four") })
	b.end()
	b.start()
	b.append("d", "five\n")
	b.await("the fifth", func() bool { return slices.Contains(b.got, "five") })
	b.end()
	slices.Sort(b.got)
	// b is too short to be known again when it is packed: it may come twice, and is never lost.
	if want := []string{"five", "four", "one", "three", "two"}; !slices.Equal(slices.Compact(b.got), want) {
		t.Errorf("got %q", b.got)
	}
}

func TestDamaged(t *testing.T) {
	b := newBench(t, "*")
	b.append("cut.gz", "\x1f\x8b\x08nonsense")
	b.append("wrong", "not a word\nnor this\n")
	b.append("ok", "#words\none\n")
	b.start()
	b.want("one")
	b.await("the report", func() bool {
		return b.wrong != nil && strings.Contains(b.wrong.Error(), "cut.gz: unpack") && strings.Contains(b.wrong.Error(), "none of its 2 records")
	})
	b.append("wrong", "#words\ntwo\n")
	b.want("one", "two")
}

// Whatever happens to files, and whenever the node is restarted, each line comes
// once; lines of one file in their order.
func TestNothingTwiceNothingSkipped(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 1))
			b := newBench(t, "a.log*")
			b.start()
			var want []string
			header := true
			for i := range 60 {
				switch k := rnd.IntN(10); {
				case k < 6:
					var text strings.Builder
					if header {
						text.WriteString("#words\n")
						header = false
					}
					for range 1 + rnd.IntN(300) {
						w := fmt.Sprintf("line-%06d-%s", len(want), strings.Repeat("x", 20+rnd.IntN(40)))
						want = append(want, w)
						text.WriteString(w + "\n")
					}
					b.append("a.log", text.String())
				case k < 8 && !header:
					name := fmt.Sprintf("a.log.%d", i)
					must(t, os.Rename(b.path("a.log"), b.path(name)))
					if b.stop == nil && rnd.IntN(2) == 0 {
						b.pack(name, name+".gz")
					}
					header = true
				case b.stop != nil:
					b.end()
				default:
					b.start()
				}
			}
			if b.stop == nil {
				b.start()
			}
			b.await("every line", func() bool { return len(b.got) >= len(want) })
			b.end()
			b.start() // what is stored says that all was read
			b.append("a.log", "#words\nlast\n")
			b.await("the last line", func() bool { return slices.Contains(b.got, "last") })
			b.end()
			got := slices.DeleteFunc(slices.Clone(b.got), func(s string) bool { return s == "last" })
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%d lines, want %d: twice %d, missing %d", len(got), len(want), len(twice(got)), len(missing(want, got)))
			}
			if b.wrong != nil {
				t.Error(b.wrong)
			}
		})
	}
}

func twice(list []string) (out []string) {
	for i := 1; i < len(list); i++ {
		if list[i] == list[i-1] {
			out = append(out, list[i])
		}
	}
	return out
}

func missing(want, got []string) (out []string) {
	for _, w := range want {
		if _, ok := slices.BinarySearch(got, w); !ok {
			out = append(out, w)
		}
	}
	return out
}

func TestConfigRefuses(t *testing.T) {
	for what, change := range map[string]func(*Config){
		"no files":    func(c *Config) { c.Files = nil },
		"relative":    func(c *Config) { c.Files = []string{"a.log"} },
		"bad pattern": func(c *Config) { c.Files = []string{"/var/log/[a"} },
		"start":       func(c *Config) { c.Start = "middle" },
		"every":       func(c *Config) { c.Every = 0 },
		"grace":       func(c *Config) { c.Grace = -1 },
	} {
		c := Default()
		c.Files = []string{"/var/log/a.log"}
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
