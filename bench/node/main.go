// Command node measures what a node costs before anything happens: how long
// from exec to ready, and the resident memory of all its processes.
//
//	go run ./bench/node [-runs 5] [-bin bin/bartizan] [-signals 200000]
//
// With a history (-signals, -decisions) it is measured a second time on the data
// folder of an old node: the first start folds everything, as after a kill
// without a snapshot, the further ones start from the snapshot.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"bartizan/internal/api"
)

func main() {
	runs := flag.Int("runs", 5, "how often to start a node")
	bin := flag.String("bin", "bin/bartizan", "the program")
	settle := flag.Duration("settle", 5*time.Second, "idle time before memory is read")
	signals := flag.Int("signals", 200_000, "history of the old node; 0 skips it")
	decisions := flag.Int("decisions", 20_000, "blocks in the ledger of the old node")
	flag.Parse()
	err := measure(*runs, *bin, *settle)
	if err == nil && *signals > 0 {
		err = old(*runs, *bin, *settle, *signals, *decisions)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/node:", err)
		os.Exit(1)
	}
}

func measure(runs int, bin string, settle time.Duration) error {
	var ready, rss []float64
	for range runs {
		f, err := once(bin, settle)
		if err != nil {
			return err
		}
		ready, rss = append(ready, f.ready.Seconds()), append(rss, f.mb)
	}
	fmt.Printf("ready after exec: median %.3f s, worst %.3f s (goal 2 s, n=%d)\n", median(ready), slices.Max(ready), runs)
	fmt.Printf("resident memory of all processes, idle %v after ready: median %.1f MB, worst %.1f MB (goal 120 MB, n=%d)\n", settle, median(rss), slices.Max(rss), runs)
	return nil
}

// old measures a node with a history.
func old(runs int, bin string, settle time.Duration, signals, decisions int) (err error) {
	dir, err := os.MkdirTemp("", "bartizan-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := history(filepath.Join(dir, "data"), signals, decisions); err != nil {
		return fmt.Errorf("make a history: %w", err)
	}
	fold, err := start(bin, dir, 0)
	if err != nil {
		return err
	}
	fmt.Printf("old node, %d signals and %d decisions, folding everything: ready after %.3f s, %.2f CPU s\n", signals, decisions, fold.ready.Seconds(), fold.cpu.Seconds())
	var ready, cpu, rss []float64
	for range runs {
		f, err := start(bin, dir, settle)
		if err != nil {
			return err
		}
		ready, cpu, rss = append(ready, f.ready.Seconds()), append(cpu, f.cpu.Seconds()), append(rss, f.mb)
	}
	fmt.Printf("old node, from its snapshot: ready after median %.3f s, worst %.3f s (goal 2 s, n=%d), median %.2f CPU s, %.1f MB\n",
		median(ready), slices.Max(ready), runs, median(cpu), median(rss))
	return nil
}

// figures are what one start costs.
type figures struct {
	ready, cpu time.Duration // until ready; cpu of the node's own process
	mb         float64       // resident, all processes, after settling
}

// once starts a node with an empty data folder and every decoy.
func once(bin string, settle time.Duration) (f figures, err error) {
	dir, err := os.MkdirTemp("", "bartizan-bench-")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return start(bin, dir, settle)
}

// start starts a node on the data folder in dir and stops it again.
func start(bin, dir string, settle time.Duration) (f figures, err error) {
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte("metrics: \"\"\ndecoys: {addresses: [127.0.0.1]}\n"), 0o600); err != nil {
		return f, err
	}
	cmd := exec.Command(bin, "up", "--data", filepath.Join(dir, "data"), "--config", config)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return f, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already; Wait says so
		err = errors.Join(err, cmd.Wait())
	}()
	client := api.NewClient(filepath.Join(dir, "data"))
	defer client.Close()
	st, err := await(client, began)
	if err != nil {
		return f, err
	}
	f.ready = time.Since(began)
	if f.cpu, err = cpuTime(st.PID); err != nil {
		return f, err
	}
	time.Sleep(settle)
	for _, pid := range []int{st.PID, st.Decoys.PID} {
		kb, err := residentKB(pid)
		if err != nil {
			return f, err
		}
		f.mb += float64(kb) / 1000
	}
	return f, nil
}

// cpuTime is what a process has used so far, from /proc/PID/stat (proc(5)).
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("process %d: unknown form of stat", pid)
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

// await polls until the decoys are locked in.
func await(client *api.Client, began time.Time) (api.Status, error) {
	for {
		st, err := client.Status(context.Background())
		if err == nil && st.Decoys.PID != 0 {
			return st, nil
		}
		if time.Since(began) > 20*time.Second {
			return st, fmt.Errorf("not ready after 20 s: %v", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func residentKB(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}
