package bus

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Each benchmark reports messages per second of CPU (both sides, all threads), which a busy machine changes least.

func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		b.Fatal(err)
	}
	return float64(ru.Utime.Sec+ru.Stime.Sec) + float64(ru.Utime.Usec+ru.Stime.Usec)/1e6
}

func perCPU(b *testing.B, n int, f func()) {
	runtime.GC()
	b.ResetTimer()
	from := cpuSeconds(b)
	f()
	b.ReportMetric(float64(n)/(cpuSeconds(b)-from), "msgs/cpu-s")
}

func benchTopic() Topic[sample] {
	t := sampleTopic()
	t.Limits = Limits{}
	return t
}

var benchText = strings.Repeat("0123456789abcdef", 12)

func benchFill(b *testing.B, bus *Bus, n int) {
	b.Helper()
	p := must[*Publisher[sample]](b)(NewPublisher(b.Context(), bus, benchTopic()))
	items := make([]Item[sample], 1000)
	for done := 0; done < n; done += len(items) {
		items = items[:min(len(items), n-done)]
		for i := range items {
			items[i] = Item[sample]{Key: "k", Value: sample{N: done + i, Text: benchText}}
		}
		if err := p.PublishBatch(b.Context(), items); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	bus := openBus(b, Config{Dir: b.TempDir()})
	p := must[*Publisher[sample]](b)(NewPublisher(b.Context(), bus, benchTopic()))
	perCPU(b, b.N, func() {
		for i := range b.N {
			must[uint64](b)(p.Publish(b.Context(), "k", "", sample{N: i, Text: benchText}))
		}
	})
}

func BenchmarkPublishBatch(b *testing.B) {
	bus := openBus(b, Config{Dir: b.TempDir()})
	perCPU(b, b.N, func() { benchFill(b, bus, b.N) })
}

func BenchmarkConsume(b *testing.B) {
	bus := openBus(b, Config{Dir: b.TempDir()})
	benchFill(b, bus, b.N)
	perCPU(b, b.N, func() {
		ctx, cancel := context.WithCancel(b.Context())
		n := 0
		if err := Consume(ctx, bus, benchTopic(), "d", ConsumeOptions{Batch: 1000}, func(_ context.Context, ms []Message[sample]) error {
			if n += len(ms); n == b.N {
				cancel()
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	bus := openBus(b, Config{Dir: b.TempDir()})
	benchFill(b, bus, b.N)
	perCPU(b, b.N, func() {
		must[uint64](b)(Read(b.Context(), bus, benchTopic(), From{}, func(Message[sample]) error { return nil }))
	})
}

// BenchmarkOpen reports start to ready in wall time and the resident memory of the whole test process.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	var total time.Duration
	for range b.N {
		begin := time.Now()
		bus := must[*Bus](b)(Open(b.Context(), Config{Dir: dir}, nil))
		must[*Publisher[sample]](b)(NewPublisher(b.Context(), bus, benchTopic()))
		total += time.Since(begin)
		closeBus(b, bus)
	}
	b.ReportMetric(float64(total.Microseconds())/1000/float64(b.N), "ms/open")
	b.ReportMetric(rssMiB(b), "MiB-rss")
}

func rssMiB(b *testing.B) float64 {
	b.Helper()
	f := strings.Fields(string(must[[]byte](b)(os.ReadFile("/proc/self/statm"))))
	pages := must[int](b)(strconv.Atoi(f[1]))
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20)
}
