package bus

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// crashEnv names the data folder for the child of TestKillLosesNothingAcknowledged.
const (
	crashEnv   = "BUS_TEST_CRASH_DIR"
	crashStart = "BUS_TEST_CRASH_START"
)

// crashChild publishes for ever and prints the number of each acknowledged message. It never returns.
func crashChild() {
	ctx := context.Background()
	fail := func(err error) { fmt.Println("error", err); os.Exit(1) }
	b, err := Open(ctx, Config{Dir: os.Getenv(crashEnv)}, nil)
	if err != nil {
		fail(err)
	}
	for _, l := range b.Losses() {
		fmt.Println("loss", l.Stream, l.Messages)
	}
	p, err := NewPublisher(ctx, b, sampleTopic())
	if err != nil {
		fail(err)
	}
	start, _ := strconv.Atoi(os.Getenv(crashStart))
	for n := start; ; {
		if n%2 == 0 {
			if _, err := p.Publish(ctx, "k", "", sample{N: n}); err != nil {
				fail(err)
			}
			n++
		} else {
			items := make([]Item[sample], 33)
			for i := range items {
				items[i] = Item[sample]{Key: "k", Value: sample{N: n + i, Text: strings.Repeat("x", i*20)}}
			}
			if err := p.PublishBatch(ctx, items); err != nil {
				fail(err)
			}
			n += len(items)
		}
		fmt.Println("acked", n)
	}
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	rounds := 10
	if s := os.Getenv("BUS_KILL_ROUNDS"); s != "" {
		rounds = must[int](t)(strconv.Atoi(s))
	}
	dir := t.TempDir()
	next := 0 // the first number not known to be stored
	for range rounds {
		acked := killChild(t, dir, next)
		if acked <= next {
			t.Fatalf("child acknowledged nothing after %d", next)
		}
		b := openBus(t, Config{Dir: dir})
		if l := b.Losses(); len(l) > 0 {
			t.Fatalf("losses after kill: %+v", l)
		}
		got := -1
		must[uint64](t)(Read(t.Context(), b, sampleTopic(), From{}, func(m Message[sample]) error {
			if m.Value.N != got+1 {
				return fmt.Errorf("message %d has number %d, want %d", m.Seq, m.Value.N, got+1)
			}
			got = m.Value.N
			return nil
		}))
		if got+1 < acked {
			t.Fatalf("%d were acknowledged, %d are there", acked, got+1)
		}
		next = got + 1
		closeBus(t, b)
	}
	t.Logf("%d kills, %d messages", rounds, next)
}

// killChild runs a child, kills it at a random moment, and returns how far it had acknowledged.
func killChild(t *testing.T, dir string, start int) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+dir, crashStart+"="+strconv.Itoa(start))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	acked := start
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		if n, ok := strings.CutPrefix(sc.Text(), "acked "); ok {
			acked = must[int](t)(strconv.Atoi(n))
		} else {
			t.Errorf("child says %q", sc.Text())
		}
		if timer == nil { // it is running; from now on any moment will do
			timer = time.AfterFunc(time.Duration(rand.IntN(150))*time.Millisecond, func() { cmd.Process.Kill() })
		}
	}
	if timer != nil {
		timer.Stop()
	}
	cmd.Process.Kill()
	_ = cmd.Wait() // killed, that is the point
	return acked
}

func TestTruncatedBlockIsReported(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	b := openBus(t, Config{Dir: dir})
	p := must[*Publisher[sample]](t)(NewPublisher(ctx, b, sampleTopic()))
	for i := range 100 {
		must[uint64](t)(p.Publish(ctx, "k", "", sample{N: i, Text: "0123456789"}))
	}
	consumeUntil(t, b, 99) // the durable is now ahead of what will be left
	closeBus(t, b)
	blocks := must[[]string](t)(filepath.Glob(filepath.Join(dir, "jetstream/*/streams/SAMPLES/msgs/*.blk")))
	if len(blocks) != 1 {
		t.Fatalf("blocks %v", blocks)
	}
	fi := must[os.FileInfo](t)(os.Stat(blocks[0]))
	if err := os.Truncate(blocks[0], fi.Size()-fi.Size()/10-7); err != nil {
		t.Fatal(err)
	}
	b = openBus(t, Config{Dir: dir})
	l := b.Losses()
	if len(l) != 1 || l[0].Stream != "SAMPLES" || l[0].Messages < 10 || l[0].Messages > 12 {
		t.Errorf("losses %+v", l)
	}
	n := 0
	must[uint64](t)(Read(ctx, b, sampleTopic(), From{}, func(m Message[sample]) error { n++; return nil }))
	if n < 88 || n > 90 {
		t.Errorf("%d messages left", n)
	}
	p = must[*Publisher[sample]](t)(NewPublisher(ctx, b, sampleTopic()))
	must[uint64](t)(p.Publish(ctx, "k", "", sample{N: 100}))
	consumeUntil(t, b, 100) // and must not swallow numbers given out a second time
	closeBus(t, b)
	if l := openBus(t, Config{Dir: dir}).Losses(); len(l) != 0 {
		t.Errorf("reported a second time: %+v", l)
	}
}

func consumeUntil(t *testing.T, b *Bus, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	found := false
	err := Consume(ctx, b, sampleTopic(), "d", ConsumeOptions{}, func(_ context.Context, ms []Message[sample]) error {
		if ms[len(ms)-1].Value.N == n {
			found = true
			cancel()
		}
		return nil
	})
	if err != nil || !found {
		t.Fatalf("message %d not delivered, err %v", n, err)
	}
}
