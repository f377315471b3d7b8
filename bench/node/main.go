// Command node measures what a node costs before anything happens: how long
// from exec to ready, and the resident memory of all its processes.
//
//	go run ./bench/node [-runs 5] [-bin bin/bartizan]
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
	flag.Parse()
	if err := measure(*runs, *bin, *settle); err != nil {
		fmt.Fprintln(os.Stderr, "bench/node:", err)
		os.Exit(1)
	}
}

func measure(runs int, bin string, settle time.Duration) error {
	var ready, rss []float64
	for range runs {
		r, m, err := once(bin, settle)
		if err != nil {
			return err
		}
		ready, rss = append(ready, r.Seconds()), append(rss, m)
	}
	fmt.Printf("ready after exec: median %.3f s, worst %.3f s (goal 2 s, n=%d)\n", median(ready), slices.Max(ready), runs)
	fmt.Printf("resident memory of all processes, idle %v after ready: median %.1f MB, worst %.1f MB (goal 120 MB, n=%d)\n", settle, median(rss), slices.Max(rss), runs)
	return nil
}

// once starts a node with an empty data folder and every decoy.
func once(bin string, settle time.Duration) (ready time.Duration, mb float64, err error) {
	dir, err := os.MkdirTemp("", "bartizan-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte("metrics: \"\"\ndecoys: {addresses: [127.0.0.1]}\n"), 0o600); err != nil {
		return 0, 0, err
	}
	cmd := exec.Command(bin, "up", "--data", filepath.Join(dir, "data"), "--config", config)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already; Wait says so
		err = errors.Join(err, cmd.Wait())
	}()
	client := api.NewClient(filepath.Join(dir, "data"))
	defer client.Close()
	st, err := await(client, began)
	if err != nil {
		return 0, 0, err
	}
	ready = time.Since(began)
	time.Sleep(settle)
	for _, pid := range []int{st.PID, st.Decoys.PID} {
		kb, err := residentKB(pid)
		if err != nil {
			return 0, 0, err
		}
		mb += float64(kb) / 1000
	}
	return ready, mb, nil
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
