package bus

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
)

type sample struct {
	N    int    `json:"n"`
	Text string `json:"text,omitzero"`
}

func sampleTopic() Topic[sample] {
	return Topic[sample]{Stream: "SAMPLES", Subject: "samples", Schema: "sample", Version: 2,
		Old:    map[int]func([]byte) (sample, error){1: upcastSample},
		Limits: Limits{MaxBytes: 64 << 20, Dedup: time.Minute}}
}

// upcastSample reads version 1, whose body was just a number.
func upcastSample(b []byte) (sample, error) {
	var n int
	_, err := fmt.Sscan(string(b), &n)
	return sample{N: n, Text: "was version 1"}, err
}

// testLog collects log lines, to be shown when a test fails.
type testLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *testLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func openBus(t testing.TB, c Config) *Bus {
	t.Helper()
	l := &testLog{}
	b, err := Open(t.Context(), c, slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatalf("open: %v\n%s", err, l)
	}
	t.Cleanup(func() {
		closeBus(t, b)
		if t.Failed() {
			t.Logf("log:\n%s", l)
		}
	})
	return b
}

func closeBus(t testing.TB, b *Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// eachBus runs a test against the embedded server and against an external one on loopback: one API, same behaviour.
func eachBus(t *testing.T, f func(t *testing.T, b *Bus)) {
	t.Run("embedded", func(t *testing.T) { f(t, openBus(t, Config{Dir: t.TempDir()})) })
	t.Run("external", func(t *testing.T) { f(t, openBus(t, Config{Servers: []string{externalServer(t)}})) })
}

func externalServer(t testing.TB) string {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("external server not ready")
	}
	return srv.ClientURL()
}

// eventually polls until ok or the deadline.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestMain(m *testing.M) {
	if os.Getenv(crashEnv) != "" {
		crashChild()
	}
	flag.Parse()
	if !slices.ContainsFunc(os.Args, func(a string) bool { return strings.Contains(a, "rapid.checks") }) {
		flag.Set("rapid.checks", "20") // each check opens stores; -rapid.checks=1000 for a long run
	}
	goleak.VerifyTestMain(m)
}

func TestPublishReadRoundTrip(t *testing.T) {
	eachBus(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		p := must[*Publisher[sample]](t)(NewPublisher(ctx, b, sampleTopic()))
		keys := []string{"198.18.0.1", "", "*", ">", "a.b", "a b\r\nBz-Version: 9", "ключ", strings.Repeat("x", 300), "=", "=="}
		for i, k := range keys {
			seq := must[uint64](t)(p.Publish(ctx, k, "", sample{N: i, Text: "bad \xff utf-8"}))
			if seq != uint64(i+1) {
				t.Fatalf("sequence %d, want %d", seq, i+1)
			}
		}
		i := 0
		last, err := Read(ctx, b, sampleTopic(), From{}, func(m Message[sample]) error {
			if m.Key != keys[i] || m.Value.N != i || m.Seq != uint64(i+1) || m.Value.Text != "bad \ufffd utf-8" || time.Since(m.Time) > time.Minute {
				t.Errorf("message %d: got %+v, want key %q", i, m, keys[i])
			}
			i++
			return nil
		})
		if err != nil || i != len(keys) || last != uint64(len(keys)) {
			t.Fatalf("read %d messages to %d, err %v", i, last, err)
		}
		for n, k := range keys { // a hostile key selects itself and nothing else
			count := 0
			must[uint64](t)(Read(ctx, b, sampleTopic(), From{Key: k, OneKey: true}, func(m Message[sample]) error {
				count++
				if m.Value.N != n {
					t.Errorf("key %q gave message %d", k, m.Value.N)
				}
				return nil
			}))
			if count != 1 {
				t.Errorf("key %q selects %d messages", k, count)
			}
		}
		count := 0
		must[uint64](t)(Read(ctx, b, sampleTopic(), From{Seq: 8}, func(Message[sample]) error { count++; return nil }))
		if count != 3 {
			t.Errorf("from sequence 8 of 10: %d messages", count)
		}
		last = must[uint64](t)(Read(ctx, b, sampleTopic(), From{Seq: 99}, func(Message[sample]) error { t.Error("message beyond the end"); return nil }))
		if last != 10 {
			t.Errorf("end is %d", last)
		}
	})
}

func TestReadFromTime(t *testing.T) {
	ctx := t.Context()
	b := openBus(t, Config{Dir: t.TempDir()})
	p := must[*Publisher[sample]](t)(NewPublisher(ctx, b, sampleTopic()))
	must[uint64](t)(p.Publish(ctx, "k", "", sample{N: 1}))
	mid := time.Now()
	must[uint64](t)(p.Publish(ctx, "k", "", sample{N: 2}))
	var got []int
	must[uint64](t)(Read(ctx, b, sampleTopic(), From{Time: mid}, func(m Message[sample]) error { got = append(got, m.Value.N); return nil }))
	if len(got) != 1 || got[0] != 2 {
		t.Errorf("got %v", got)
	}
}

func TestPublishSameIDStoresOnce(t *testing.T) {
	eachBus(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		p := must[*Publisher[sample]](t)(NewPublisher(ctx, b, sampleTopic()))
		for _, id := range []string{"01J", "evil\r\nid", strings.Repeat("long", 100)} {
			first := must[uint64](t)(p.Publish(ctx, "k", id, sample{N: 1}))
			again := must[uint64](t)(p.Publish(ctx, "k", id, sample{N: 2}))
			if first != again {
				t.Errorf("id %.10q stored twice: %d and %d", id, first, again)
			}
		}
		st := must[[]StreamStats](t)(b.Stats(ctx))
		if len(st) != 1 || st[0].Messages != 3 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestPublishBatch(t *testing.T) {
	eachBus(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		p := must[*Publisher[sample]](t)(NewPublisher(ctx, b, sampleTopic()))
		items := make([]Item[sample], 3000)
		for i := range items {
			items[i] = Item[sample]{Key: "k", ID: fmt.Sprint(i), Value: sample{N: i}}
		}
		items[7].Value.Text = strings.Repeat("x", 2<<20)
		items[2000].Key = strings.Repeat("k", maxKey+1)
		err := p.PublishBatch(ctx, items)
		var be *BatchError
		if !errors.As(err, &be) || len(be.Failed) != 2 || !errors.Is(be.Failed[7], ErrTooLarge) || !errors.Is(be.Failed[2000], errKey) {
			t.Fatalf("got %v", err)
		}
		n := 0
		must[uint64](t)(Read(ctx, b, sampleTopic(), From{}, func(m Message[sample]) error {
			if n == 7 || n == 2000 {
				n++
			}
			if m.Value.N != n {
				t.Fatalf("out of order: %d, want %d", m.Value.N, n)
			}
			n++
			return nil
		}))
		if n != len(items) {
			t.Errorf("read up to %d", n)
		}
	})
}

func TestLedgerThatIsFullRefuses(t *testing.T) {
	ctx := t.Context()
	b := openBus(t, Config{Dir: t.TempDir()})
	topic := sampleTopic()
	topic.Limits = Limits{MaxBytes: 64 << 10}
	p := must[*Publisher[sample]](t)(NewPublisher(ctx, b, topic))
	var err error
	for range 100 {
		if _, err = p.Publish(ctx, "k", "", sample{Text: strings.Repeat("x", 1000)}); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "raise its limit") {
		t.Fatalf("got %v", err)
	}
	topic.Limits.MaxBytes = 1 << 20 // doing what the message says helps, without a restart
	p = must[*Publisher[sample]](t)(NewPublisher(ctx, b, topic))
	must[uint64](t)(p.Publish(ctx, "k", "", sample{}))
	topic.Limits.DiscardOld = true
	topic.Limits.MaxBytes = 64 << 10
	p = must[*Publisher[sample]](t)(NewPublisher(ctx, b, topic))
	for range 100 {
		must[uint64](t)(p.Publish(ctx, "k", "", sample{Text: strings.Repeat("x", 1000)}))
	}
	st := must[[]StreamStats](t)(b.Stats(ctx))
	if st[0].Bytes > 64<<10 || st[0].FirstSeq < 2 {
		t.Errorf("stats %+v", st[0])
	}
}

func TestLimitsBeyondTheStoreAreRefused(t *testing.T) {
	b := openBus(t, Config{Dir: t.TempDir(), MaxBytes: 1 << 20})
	_, err := NewPublisher(t.Context(), b, sampleTopic())
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "raise max_bytes") {
		t.Fatalf("got %v", err)
	}
}

func TestSecondOpenOfOneFolderIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	b := openBus(t, Config{Dir: dir})
	_, err := Open(t.Context(), Config{Dir: dir}, nil)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Fatalf("got %v", err)
	}
	fi, err := os.Stat(dir)
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, err %v", fi.Mode(), err)
	}
	closeBus(t, b)
	closeBus(t, openBus(t, Config{Dir: dir})) // the lock ends with its holder
}

func TestEmbeddedServerListensNowhere(t *testing.T) {
	before := listeners(t)
	openBus(t, Config{Dir: t.TempDir()})
	if after := listeners(t); after != before {
		t.Errorf("listening sockets of this process: %d before, %d after", before, after)
	}
	if _, err := net.DialTimeout("tcp", "127.0.0.1:4222", time.Second); err == nil {
		t.Error("something answers on 4222")
	}
}

// listeners counts this process's listening TCP sockets.
func listeners(t *testing.T) int {
	t.Helper()
	own := map[string]bool{}
	fds := must[[]os.DirEntry](t)(os.ReadDir("/proc/self/fd"))
	for _, fd := range fds {
		if l, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil {
			own[strings.TrimSuffix(strings.TrimPrefix(l, "socket:["), "]")] = true
		}
	}
	n := 0
	for _, f := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		for line := range strings.Lines(string(must[[]byte](t)(os.ReadFile(f)))) {
			if p := strings.Fields(line); len(p) > 9 && p[3] == "0A" && own[p[9]] {
				n++
			}
		}
	}
	return n
}

func TestClosedBusSaysSo(t *testing.T) {
	ctx := t.Context()
	b := openBus(t, Config{Dir: t.TempDir()})
	p := must[*Publisher[sample]](t)(NewPublisher(ctx, b, sampleTopic()))
	closeBus(t, b)
	if _, err := p.Publish(ctx, "k", "", sample{}); !errors.Is(err, ErrClosed) {
		t.Errorf("publish: %v", err)
	}
	if err := p.PublishBatch(ctx, []Item[sample]{{}}); !errors.Is(err, ErrClosed) {
		t.Errorf("batch: %v", err)
	}
}

func TestCloseWaitsForPublishesThatHaveBegun(t *testing.T) {
	dir := t.TempDir()
	b := openBus(t, Config{Dir: dir})
	ctx := t.Context()
	p := must[*Publisher[sample]](t)(NewPublisher(ctx, b, sampleTopic()))
	items := make([]Item[sample], 5000)
	for i := range items {
		items[i] = Item[sample]{Key: "k", Value: sample{N: i}}
	}
	res := make(chan error, 1)
	go func() { res <- p.PublishBatch(ctx, items) }()
	eventually(t, "first message stored", func() bool {
		st, err := b.Stats(ctx)
		return err == nil && len(st) == 1 && st[0].Messages > 0
	})
	closeBus(t, b)
	if err := <-res; err != nil {
		t.Fatalf("batch cut off by close: %v", err)
	}
	b = openBus(t, Config{Dir: dir})
	if st := must[[]StreamStats](t)(b.Stats(ctx)); st[0].Messages != 5000 {
		t.Errorf("stats %+v", st)
	}
}

func TestOpenRefusesNonsense(t *testing.T) {
	for name, c := range map[string]Config{"nothing": {}, "both": {Dir: t.TempDir(), Servers: []string{"nats://127.0.0.1:1"}}} {
		if _, err := Open(t.Context(), c, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Open(t.Context(), Config{Servers: []string{"nats://127.0.0.1:1"}}, nil); err == nil {
		t.Error("no server, no error")
	}
	b := openBus(t, Config{Dir: t.TempDir()})
	for _, topic := range []Topic[sample]{
		{Stream: "A.B", Subject: "s", Schema: "s", Version: 1}, {Stream: "A", Subject: "s.>", Schema: "s", Version: 1},
		{Stream: "A", Subject: "s", Schema: "", Version: 1}, {Stream: "A", Subject: "s", Schema: "s"},
		{Stream: "A", Subject: "s..t", Schema: "s", Version: 1},
	} {
		if _, err := NewPublisher(t.Context(), b, topic); err == nil {
			t.Errorf("no error for %+v", topic)
		}
	}
}
