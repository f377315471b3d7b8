// Command flows measures `bartizan detect` on VPC flow logs next to DuckDB.
//
//	go run ./bench/flows
//
// A seeded generator writes five million records. DuckDB's npm package (one
// thread; installed into .cache, pinned by npm/package-lock.json) is asked for
// every source with more than 100 distinct pairs of host and port, looks up both
// ends of each record in a million prefixes and writes a row of JSON for every
// listed address that was met. Bartizan answers the same with the facts
// flow.fanout and the signals of lists, and does all else that `detect` does:
// scans and the other flow detectors. Both read the same file and take turns;
// compared is user and system CPU time of the whole process without what it
// takes for an empty file (starting, loading the prefixes), the median of the
// rounds. What DuckDB takes for the sources alone is printed as well, as a line
// without a goal. It exits with 1 when a goal is missed.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
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
	goalText = 2.0
	goalGzip = 1.4
	goalPar  = 1.0     // Parquet, which DuckDB writes itself
	goalSet  = 0.99    // precision and recall of the sources
	goalRSS  = 1.0 / 3 // of DuckDB's
	goalTwo  = 1.25    // wall time of one core, to that of two
	fanOut   = 100
	idle     = 0.9 // of a core that a run on one must have had for its wall time to count
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == launchWord {
		os.Exit(launch(os.Args[2], os.Args[3:]))
	}
	records := flag.Int("records", 5_000_000, "flow records")
	prefix := flag.Int("prefixes", 1_000_000, "prefixes that both ends are looked up in; 0: none")
	rounds := flag.Int("rounds", 3, "rounds, at least 3")
	dir := flag.String("dir", ".cache/bench/flows", "folder for the files and DuckDB, kept for the next time")
	bin := flag.String("bin", "", "program to measure; empty: built here, without C")
	flag.Parse()
	b := &bench{dir: *dir, bin: *bin, rounds: max(*rounds, 3)}
	if err := b.run(*records, *prefix); err != nil {
		fmt.Fprintln(os.Stderr, "bench/flows:", err)
		os.Exit(1)
	}
}

type bench struct {
	dir, bin, script string
	rounds           int
	lists            []string // --intel and its file
	empty            string   // a file with a header line and one record
}

// usage is what a process took.
type usage struct {
	cpu  time.Duration
	wall time.Duration
	rss  int64 // bytes at most
	out  []byte
}

// measure runs a command below a small process of its own: Linux counts what the
// one that starts it holds (here the generator's memory) as the command's most.
func measure(cmd *exec.Cmd) (usage, error) {
	self, err := os.Executable()
	if err != nil {
		return usage{}, err
	}
	cmd.Args = append([]string{self, launchWord, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = self
	said, tell, err := os.Pipe()
	if err != nil {
		return usage{}, err
	}
	defer said.Close()
	cmd.ExtraFiles = []*os.File{tell}
	out, err := cmd.Output()
	tell.Close()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && len(out) > 0 {
		err = nil // found something
	}
	if err != nil {
		text := ""
		if exit != nil {
			text = string(exit.Stderr)
		}
		return usage{}, fmt.Errorf("%s: %w: %s", cmd.Args[2], err, text)
	}
	var r launched
	if err := json.NewDecoder(said).Decode(&r); err != nil {
		return usage{}, fmt.Errorf("what %s took: %w", cmd.Args[2], err)
	}
	return usage{cpu: r.CPU, wall: r.Wall, rss: r.RSS, out: out}, nil
}

const launchWord = "launch"

// launched is what launch says about its command.
type launched struct {
	CPU, Wall time.Duration
	RSS       int64
}

// launch runs a command, says on file 3 what it took, and returns its exit code.
func launch(name string, args []string) int {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	start := time.Now()
	err := cmd.Run()
	st := cmd.ProcessState
	if st == nil {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	l := launched{CPU: st.UserTime() + st.SystemTime(), Wall: time.Since(start)}
	if r, ok := st.SysUsage().(*syscall.Rusage); ok {
		l.RSS = r.Maxrss << 10
	}
	if err := json.NewEncoder(os.NewFile(3, "usage")).Encode(l); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	return st.ExitCode()
}

// duck asks DuckDB; lists says whether for what is listed, too.
func (b *bench) duck(file string, lists bool) (usage, error) {
	cmd := exec.Command("node", b.script, file, "1")
	if lists && len(b.lists) > 0 {
		cmd.Args = append(cmd.Args, b.lists[1])
	}
	cmd.Dir = filepath.Join(b.dir, "npm")
	return measure(cmd)
}

func (b *bench) ours(file string, cores int) (usage, error) {
	cmd := exec.Command(b.bin, append([]string{"detect", "--type", "vpcflow", "--format", "jsonl", file}, b.lists...)...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", cores))
	return measure(cmd)
}

func (b *bench) run(records, prefix int) error {
	known, text, err := b.prepare(records, prefix)
	if err != nil {
		return err
	}
	missed := 0
	for _, part := range []struct {
		name string
		file string
		goal float64
	}{{"text", text, goalText}, {"gzip", text + ".gz", goalGzip}, {"parquet", text + ".parquet", goalPar}} {
		n, err := b.compare(part.name, part.file, part.goal, known)
		if err != nil {
			return err
		}
		missed += n
	}
	n, err := b.twoCores(text)
	if missed += n; err != nil {
		return err
	}
	if missed > 0 {
		return fmt.Errorf("%d goals missed", missed)
	}
	return nil
}

// prepare makes what is not there yet.
func (b *bench) prepare(records, prefix int) (truth, string, error) {
	var t truth
	var err error
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return t, "", err
	}
	if b.script, err = filepath.Abs("bench/flows/duckdb.mjs"); err != nil {
		return t, "", err
	}
	npm := filepath.Join(b.dir, "npm")
	if err := os.MkdirAll(npm, 0o755); err != nil {
		return t, "", err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join("bench/flows/npm", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(npm, name), data, 0o644)
		}
		if err != nil {
			return t, "", err
		}
	}
	if _, err := os.Stat(filepath.Join(npm, "node_modules/.package-lock.json")); err != nil {
		if err := quietly(npm, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"); err != nil {
			return t, "", err
		}
	}
	if b.bin == "" {
		b.bin = filepath.Join(b.dir, "bartizan")
		if err := quietly(".", "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", b.bin, "./cmd/bartizan"); err != nil {
			return t, "", err
		}
	}
	text := filepath.Join(b.dir, fmt.Sprintf("flows-%d.log", records))
	if t, err = generate(text, records, 1); err != nil {
		return t, "", err
	}
	if err := quietly(b.dir, "gzip", "-6", "-k", "-f", text); err != nil {
		return t, "", err
	}
	export := exec.Command("node", b.script, text, "1")
	export.Dir, export.Env = npm, append(os.Environ(), "EXPORT="+text+".parquet")
	if out, err := export.CombinedOutput(); err != nil {
		return t, "", fmt.Errorf("write Parquet with DuckDB: %w: %s", err, out)
	}
	if prefix > 0 {
		list := filepath.Join(b.dir, fmt.Sprintf("prefixes-%d.txt", prefix))
		b.lists = []string{"--intel", list}
		if err := prefixes(list, prefix, 1); err != nil {
			return t, "", err
		}
	}
	b.empty = filepath.Join(b.dir, "one.log")
	if _, err := generate(b.empty, 1, 1); err != nil {
		return t, "", err
	}
	fmt.Printf("%d records of %d sources, %d of them scanners beyond %d hosts or ports; %d prefixes\n", t.records, t.sources, len(t.scanners), fanOut, prefix)
	return t, text, nil
}

func quietly(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func median[T time.Duration | int64](list []T) T {
	slices.Sort(list)
	return list[len(list)/2]
}

// takes are what one program took in the rounds, for the file and for an empty one.
type takes struct {
	cpu, start []time.Duration
	rss        []int64
}

func (t *takes) add(run func(file string) (usage, error), file, empty string) (usage, error) {
	u, err := run(file)
	if err != nil {
		return u, err
	}
	s, err := run(empty)
	t.cpu, t.start, t.rss = append(t.cpu, u.cpu), append(t.start, s.cpu), append(t.rss, u.rss)
	return u, err
}

// seconds is the median of the rounds, without the start.
func (t *takes) seconds() float64 { return (median(t.cpu) - median(t.start)).Seconds() }

func (b *bench) compare(name, file string, goal float64, known truth) (missed int, err error) {
	var mine, theirs, less takes
	for i := range b.rounds {
		d, err := theirs.add(func(f string) (usage, error) { return b.duck(f, true) }, file, b.empty)
		if err != nil {
			return 0, err
		}
		o, err := mine.add(func(f string) (usage, error) { return b.ours(f, 1) }, file, b.empty)
		if err != nil {
			return 0, err
		}
		if len(b.lists) > 0 && name == "text" {
			if _, err := less.add(func(f string) (usage, error) { return b.duck(f, false) }, file, b.empty); err != nil {
				return 0, err
			}
		}
		if i > 0 {
			continue
		}
		n, err := sets(d.out, o.out, known)
		if missed += n; err != nil {
			return 0, err
		}
	}
	spread := float64(slices.Max(theirs.cpu)) / float64(slices.Min(theirs.cpu))
	m, t := mine.seconds(), theirs.seconds()
	rate := func(s float64) float64 { return float64(known.records) / s / 1e6 }
	fmt.Printf("%s: bartizan %.2f CPU-s (start %.2f) = %.2f M records/s; DuckDB %.2f CPU-s (start %.2f, spread %.2f) = %.2f M records/s; medians of %d alternating rounds\n",
		name, m, median(mine.start).Seconds(), rate(m), t, median(theirs.start).Seconds(), spread, rate(t), b.rounds)
	missed += verdict(name+", records per CPU-second, to DuckDB", t/m, goal, true)
	rm, rt := float64(median(mine.rss)), float64(median(theirs.rss))
	missed += verdict(fmt.Sprintf("%s, RSS, to DuckDB (%.0f of %.0f MB)", name, rm/1e6, rt/1e6), rm/rt, goalRSS, false)
	if len(less.cpu) > 0 {
		fmt.Printf("%s: DuckDB asked for the sources alone, without the lists: %.2f CPU-s, %.0f MB; bartizan with them is %.2f times as fast, in %.2f of the memory\n",
			name, less.seconds(), float64(median(less.rss))/1e6, less.seconds()/m, rm/float64(median(less.rss)))
	}
	return missed, nil
}

// twoCores compares wall time, which says nothing while others use the cores: then it is said, and no verdict.
func (b *bench) twoCores(file string) (missed int, err error) {
	var one, two, none, cpu []time.Duration
	for range b.rounds {
		for cores, into := range map[int]*[]time.Duration{1: &one, 2: &two} {
			u, err := b.ours(file, cores)
			if err != nil {
				return 0, err
			}
			if *into = append(*into, u.wall); cores == 1 {
				cpu = append(cpu, u.cpu)
			}
		}
		u, err := b.ours(b.empty, 2)
		if err != nil {
			return 0, err
		}
		none = append(none, u.wall)
	}
	start := median(none)
	ratio := (median(one) - start).Seconds() / (median(two) - start).Seconds()
	if got := median(cpu).Seconds() / median(one).Seconds(); got < idle {
		fmt.Printf("text, two cores to one, wall: %.3f, NOT JUDGED (goal %.2f): the machine is busy, one core's run had %.0f %% of a core\n", ratio, goalTwo, 100*got)
		return 0, nil
	}
	return verdict("text, two cores to one, wall", ratio, goalTwo, true), nil
}

// sets compares DuckDB's answer with the facts, and the alerts with the truth.
func sets(theirs, mine []byte, known truth) (missed int, err error) {
	var exact []string
	first, rest, _ := strings.Cut(string(theirs), "\n")
	if err := json.Unmarshal([]byte(first), &exact); err != nil {
		return 0, fmt.Errorf("answer of DuckDB: %w", err)
	}
	listed, met := map[string]bool{}, map[string]bool{} // addresses, by them and by us
	for line := range strings.Lines(rest) {
		var row struct{ Address string }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			return 0, fmt.Errorf("row of DuckDB %.100q: %w", line, err)
		}
		listed[row.Address] = true
	}
	facts, alerts := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(string(mine)) {
		var s struct {
			Rule, Severity, Address string
		}
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			return 0, fmt.Errorf("signal %.100q: %w", line, err)
		}
		switch {
		case s.Rule == "flow.fanout":
			facts[s.Address] = true
		case strings.HasPrefix(s.Rule, "scan."):
			alerts[s.Address] = true
		case strings.HasPrefix(s.Rule, "intel.address:"): // nobody inside calls a listed host in this file
			met[s.Address] = true
		}
	}
	if len(listed)+len(met) > 0 {
		missed += verdict(fmt.Sprintf("listed addresses that were met, by DuckDB (%d) and here (%d): in common", len(listed), len(met)), jaccard(listed, met), goalSet, true)
	}
	both := 0
	for _, a := range exact {
		if facts[a] {
			both++
		}
	}
	if len(exact) == 0 || len(facts) == 0 {
		return 0, fmt.Errorf("%d sources by SQL, %d by bartizan: nothing to compare", len(exact), len(facts))
	}
	missed += verdict(fmt.Sprintf("sources of the exact SQL that are found (%d)", len(exact)), float64(both)/float64(len(exact)), goalSet, true)
	missed += verdict(fmt.Sprintf("sources found that the exact SQL has (%d)", len(facts)), float64(both)/float64(len(facts)), goalSet, true)
	hit := 0
	for a := range known.scanners {
		if alerts[a] {
			hit++
		}
	}
	missed += verdict(fmt.Sprintf("scanners beyond %d hosts or ports with an alert (%d)", fanOut, len(known.scanners)), float64(hit)/float64(len(known.scanners)), goalSet, true)
	wrong := 0
	for a := range alerts {
		if !known.failing[a] {
			wrong++
		}
	}
	return missed + verdict(fmt.Sprintf("scan alerts about a scanner (%d)", len(alerts)), 1-float64(wrong)/float64(max(len(alerts), 1)), goalSet, true), nil
}

func jaccard(a, b map[string]bool) float64 {
	both := 0
	for x := range a {
		if b[x] {
			both++
		}
	}
	return float64(both) / float64(len(a)+len(b)-both)
}

func verdict(name string, got, goal float64, least bool) int {
	word, ok := "at most", got <= goal
	if least {
		word, ok = "at least", got >= goal
	}
	if ok {
		fmt.Printf("%-62s %6.3f, %s %.2f: reached\n", name, got, word, goal)
		return 0
	}
	fmt.Printf("%-62s %6.3f, %s %.2f: MISSED\n", name, got, word, goal)
	return 1
}
