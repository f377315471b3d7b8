// Command hunt measures questions about a lake of ten million rows, as a person asks them: the program is started, its
// engine is started, answers, and both end.
//
//	go run ./bench/hunt [-bin bin/bartizan] [-dir .cache/hunt] [-rows 10000000] [-runs 3]
//
// The lake is made with the lake's own writer and compacted, a month of hours from a fixed seed, and kept for the next run
// (about 320 MB; making it takes two CPU minutes). Printed are medians: the time from start to end, the processor time of
// both processes, and the largest memory that either of them had resident (ru_maxrss of wait4, which covers the engine). The
// files are in the page cache. It exits with 1 when a goal is missed, or an answer is wrong.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Goals of the design.
const (
	goalSearch    = time.Second
	goalAggregate = 2 * time.Second
	goalMatch     = 20 * time.Second
	goalMemory    = 1 << 30
)

func main() {
	bin := flag.String("bin", "bin/bartizan", "the program, built with its engine")
	dir := flag.String("dir", ".cache/hunt", "folder of the lake")
	rows := flag.Int("rows", 10_000_000, "rows of http")
	hours := flag.Int("hours", 720, "that the rows are spread over")
	runs := flag.Int("runs", 3, "how often each question is asked")
	indicators := flag.Int("indicators", 100_000, "of the list that is looked for")
	flag.Parse()
	missed, err := run(context.Background(), bench{bin: *bin, dir: *dir, rows: *rows, hours: *hours, runs: max(*runs, 1)}, *indicators)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/hunt:", err)
		os.Exit(1)
	}
	if missed > 0 {
		fmt.Fprintf(os.Stderr, "bench/hunt: %d goals missed\n", missed)
		os.Exit(1)
	}
}

type bench struct {
	bin, dir          string
	rows, hours, runs int
}

func run(ctx context.Context, b bench, indicators int) (missed int, err error) {
	if err := ready(ctx, b.dir, b.rows, b.hours); err != nil {
		return 0, err
	}
	all, err := b.ask("SELECT count(*) AS n FROM http")
	if err != nil {
		return 0, err
	}
	if want := fmt.Sprintf(`[{"n":%d}]`, b.rows); strings.TrimSpace(string(all.out)) != want {
		return 0, fmt.Errorf("the lake has %.100s, want %s", all.out, want)
	}
	rare, busy, err := b.addresses()
	if err != nil {
		return 0, err
	}
	for _, q := range []struct {
		name string
		goal time.Duration // 0: printed for comparison
		args []string
	}{
		{"one address with 40 rows, every column of them", goalSearch, []string{"SELECT * FROM http WHERE src_ip = '" + rare + "' ORDER BY time"}},
		{"an address that never came", goalSearch, []string{"SELECT * FROM http WHERE src_ip = '198.51.100.200'"}},
		{"one address that came every day, counted", goalSearch, []string{"SELECT count(*), min(time), max(time) FROM http WHERE src_ip = '" + busy + "'"}},
		{"rows of one day, by the condition on time", goalSearch, []string{"SELECT count(*) FROM http WHERE time >= '2026-10-14' AND time < '2026-10-15'"}},
		{"requests by status", goalAggregate, []string{"SELECT status, count(*) AS n FROM http GROUP BY ALL ORDER BY n DESC"}},
		{"user agents and status, top 20", goalAggregate, []string{"SELECT user_agent, status, count(*) AS n FROM http GROUP BY ALL ORDER BY n DESC LIMIT 20"}},
		{"paths, top 20", goalAggregate, []string{"SELECT path, count(*) AS n FROM http GROUP BY ALL ORDER BY n DESC LIMIT 20"}},
		{"addresses, top 20", goalAggregate, []string{"SELECT src_ip, count(*) AS n, min(time), max(time) FROM http GROUP BY ALL ORDER BY n DESC LIMIT 20"}},
		{"user agents and status with count(DISTINCT src_ip)", goalAggregate, []string{"SELECT user_agent, status, count(*) AS n, count(DISTINCT src_ip) AS d FROM http GROUP BY ALL ORDER BY n DESC LIMIT 20"}},
	} {
		n, err := b.measure(q.name, q.goal, q.args...)
		if err != nil {
			return 0, err
		}
		missed += n
	}
	n, err := b.match(indicators)
	return missed + n, err
}

// addresses finds one that came forty times and one of every day.
func (b bench) addresses() (rare, busy string, err error) {
	a, err := b.ask("SELECT (SELECT min(a) FROM (SELECT src_ip AS a FROM http GROUP BY 1 HAVING count(*) = 40)) AS rare, (SELECT src_ip FROM http GROUP BY 1 ORDER BY count(*) DESC LIMIT 1) AS busy")
	if err != nil {
		return "", "", err
	}
	var list []struct{ Rare, Busy string }
	if err := json.Unmarshal(a.out, &list); err != nil || len(list) != 1 || list[0].Rare == "" {
		return "", "", fmt.Errorf("no addresses in %.100s: %w", a.out, err)
	}
	return list[0].Rare, list[0].Busy, nil
}

// match looks for a list in which some indicators of each kind are in the lake.
func (b bench) match(indicators int) (int, error) {
	words, r := newVocabulary(), rand.New(rand.NewPCG(seed, 1<<41))
	var list bytes.Buffer
	for i := range indicators {
		known := i%200 == 0
		switch n := i % 20; {
		case n < 11 && known:
			fmt.Fprintln(&list, source(uint64(r.IntN(sources))))
		case n < 11:
			fmt.Fprintf(&list, "%d.%d.%d.%d\n", 1+r.IntN(222), r.IntN(256), r.IntN(256), r.IntN(256))
		case n < 15 && i%1000 == 11:
			fmt.Fprintln(&list, words.hosts[1+2*r.IntN(hosts/2)])
		case n < 15:
			fmt.Fprintf(&list, "c%x.bad-%d.example\n", r.Uint32(), i)
		case n < 18 && i%1000 == 15:
			fmt.Fprintf(&list, "http://%s%s\n", words.hosts[r.IntN(40)], words.paths[r.IntN(200)])
		case n < 18:
			fmt.Fprintf(&list, "http://%d.%d.%d.%d:8080/bins/%x.sh\n", 1+r.IntN(222), r.IntN(256), r.IntN(256), r.IntN(256), r.Uint32())
		default:
			fmt.Fprintf(&list, "%016x%016x%016x%016x\n", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
		}
	}
	file := filepath.Join(b.dir, ".indicators.txt")
	if err := os.WriteFile(file, list.Bytes(), 0o600); err != nil {
		return 0, err
	}
	return b.measure(fmt.Sprintf("list of %d indicators", indicators), goalMatch, "--ioc", file)
}

// measured is one run of the program.
type measured struct {
	wall, cpu time.Duration
	memory    int64 // bytes
	out       []byte
}

// measure asks some times and prints the medians.
func (b bench) measure(name string, goal time.Duration, args ...string) (missed int, err error) {
	var walls, cpus []time.Duration
	var memory int64
	var out []byte
	for range b.runs {
		m, err := b.ask(args...)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		if out != nil && !bytes.Equal(out, m.out) {
			return 0, fmt.Errorf("%s: two answers", name)
		}
		walls, cpus, memory, out = append(walls, m.wall), append(cpus, m.cpu), max(memory, m.memory), m.out
	}
	slices.Sort(walls)
	slices.Sort(cpus)
	wall := walls[len(walls)/2]
	verdict := ""
	if goal > 0 && wall > goal {
		verdict, missed = "  MISSED", 1
	}
	if memory > goalMemory {
		verdict, missed = verdict+"  TOO MUCH MEMORY", missed+1
	}
	fmt.Printf("%-52s %6.2f s (goal %2.0f, n=%d)  cpu %6.2f s  %4d MiB%s\n", name, wall.Seconds(), goal.Seconds(), b.runs, cpus[len(cpus)/2].Seconds(), memory>>20, verdict)
	return missed, nil
}

// ask runs the program once. That it found something (exit code 1 of --ioc) is no error.
func (b bench) ask(args ...string) (m measured, err error) {
	var out, said bytes.Buffer
	cmd := exec.Command(b.bin, append([]string{"hunt", "--lake", b.dir, "--format", "json"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, io.Writer(&said)
	began := time.Now()
	err = cmd.Run()
	m.wall = time.Since(began)
	if code := cmd.ProcessState.ExitCode(); err != nil && (code != 1 || args[0] != "--ioc") {
		return m, fmt.Errorf("%w: %.500s", err, said.Bytes())
	}
	m.out, m.cpu = out.Bytes(), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
	u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return m, fmt.Errorf("no resource usage: %T", cmd.ProcessState.SysUsage())
	}
	m.memory = u.Maxrss << 10
	return m, nil
}
