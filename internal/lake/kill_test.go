package lake_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bartizan/internal/lake"
	"bartizan/internal/lake/laketest"
	"bartizan/internal/observe"
	"bartizan/internal/ocsf"
)

// writerEnv makes this test binary the writer that TestKill kills: folder, and the last message acknowledged.
const writerEnv = "BARTIZAN_TEST_LAKE_WRITER"

func TestMain(m *testing.M) {
	if order := os.Getenv(writerEnv); order != "" {
		dir, acked, _ := strings.Cut(order, "|")
		if err := writeForEver(dir, acked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeForEver writes observations, files a stream and compacts, all at once, and prints the
// last message that it would acknowledge.
func writeForEver(dir, acked string) error {
	seq, err := strconv.Atoi(acked)
	if err != nil {
		return err
	}
	l, err := lake.Open(dir, lake.Options{Every: 20 * time.Millisecond})
	if err != nil {
		return err
	}
	failed, seed := make(chan error, 4), uint64(seq) // seq is the last goroutine's alone
	go func() { failed <- l.Run(context.Background()) }()
	go func() {
		s := laketest.New(seed, start, time.Millisecond)
		var list []observe.Observation
		for range time.Tick(time.Millisecond) {
			list = s.Next(list[:0])
			l.Observations(list)
		}
	}()
	go func() {
		for range time.Tick(30 * time.Millisecond) {
			if _, err := lake.Compact(context.Background(), dir, lake.Compaction{All: true}); err != nil {
				failed <- err
				return
			}
		}
	}()
	go func() {
		for {
			if err := l.Receipts(ended(), stream(seq+1, 6, start)); err != nil {
				failed <- err
				return
			}
			seq += 6
			fmt.Println(seq)
		}
	}()
	return <-failed
}

// TestKill kills a writer that writes, files a stream and compacts at once. BARTIZAN_KILLS says how often.
func TestKill(t *testing.T) {
	kills := 20
	if raceBuild {
		kills = 4 // each reads all that the ones before it wrote; the whole runs without the detector
	}
	if n, err := strconv.Atoi(os.Getenv("BARTIZAN_KILLS")); err == nil {
		kills = n
	}
	dir := t.TempDir()
	acked, r := 0, rand.New(rand.NewPCG(1, 2))
	for range kills {
		acked = oneLife(t, dir, acked, time.Duration(r.IntN(250))*time.Millisecond)
		// What is under way counts as it stands, before anything has finished it.
		clean(t, dir)
		once(t, dir, readRows[ocsf.Receipt](t, dir, "receipt"))
	}
	l := open(t, dir, lake.Options{})
	if err := l.Receipts(ended(), stream(acked+1, 1, start)); err != nil {
		t.Fatal(err)
	}
	if _, err := lake.Compact(t.Context(), dir, lake.Compaction{All: true}); err != nil {
		t.Fatal(err)
	}
	report := clean(t, dir)
	rows := readRows[ocsf.Receipt](t, dir, "receipt")
	if n := once(t, dir, rows); n < acked || n > acked+6 {
		t.Fatalf("%d messages filed, %d acknowledged", n, acked)
	}
	if report.Rows == int64(len(rows)) {
		t.Fatal("no observation was written")
	}
	t.Logf("%d kills: %d messages filed once each, %d rows in %d files, all whole", kills, len(rows), report.Rows, report.Files)
}

// oneLife runs the writer for a while after its first word, kills it, and returns the last message it acknowledged.
func oneLife(t *testing.T, dir string, acked int, life time.Duration) int {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d", writerEnv, dir, acked))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var first sync.Once
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("the writer said %q", lines.Text())
		}
		acked = n
		first.Do(func() { time.AfterFunc(life, func() { _ = cmd.Process.Kill() }) })
	}
	if err := cmd.Wait(); err == nil || said.Len() > 0 {
		t.Fatalf("the writer ended by itself: %v %s", err, said.String())
	}
	return acked
}
