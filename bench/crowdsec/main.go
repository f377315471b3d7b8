// Command crowdsec measures `bartizan detect` on an nginx log next to Debian's
// CrowdSec, from the log to who is to be banned.
//
//	go run ./bench/crowdsec
//
// The package is fetched with apt-get and unpacked into .cache, never installed.
// It runs offline with the parsers, scenarios and lists of its own package and
// replays the file; whom it bans is what its log says. Bartizan reads the same
// lines with Sigma rules of the same intent, which are written from the same
// lists, beside all its own detectors; whom it would ban is whom these rules name.
// A seeded generator writes a million lines. CrowdSec, of which a second takes
// some hundred lines, gets the first of them, on which the sets are compared;
// bartizan reads those for the sets and the memory, and all of them for speed.
// Compared is user and system CPU time per line of the whole process without
// what it takes for one line, the median of alternating rounds. It exits with 1
// when a goal is missed.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Goals of the design.
const (
	goalSpeed = 100.0
	goalSet   = 0.99 // Jaccard
	goalRSS   = 0.5
)

func main() {
	lines := flag.Int("lines", 1_000_000, "lines of the log")
	part := flag.Int("part", 20_000, "lines of it that CrowdSec reads")
	rounds := flag.Int("rounds", 3, "rounds, at least 3")
	dir := flag.String("dir", ".cache/bench/crowdsec", "folder for the files and CrowdSec, kept for the next time")
	bin := flag.String("bin", "", "program to measure; empty: built here, without C")
	flag.Parse()
	b := &bench{dir: *dir, bin: *bin}
	if err := b.run(*lines, min(*part, *lines), max(*rounds, 3)); err != nil {
		fmt.Fprintln(os.Stderr, "bench/crowdsec:", err)
		os.Exit(1)
	}
}

type bench struct {
	dir, bin  string
	scenarios []scenario
	full      string // the log
	part      string // its first lines
	one       string // its first line
}

// usage is what a process took.
type usage struct {
	cpu time.Duration
	rss int64 // bytes at most
	out []byte
	log []byte // standard error
}

// measure runs a command. This program stays small, because Linux counts what
// the one that starts a process holds as that one's most.
func measure(cmd *exec.Cmd) (usage, error) {
	out, said := bytes.Buffer{}, bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if exit.ExitCode() != 1 || out.Len() == 0 { // 1: found something
			return usage{}, fmt.Errorf("%s: %w: %s", cmd.Path, err, said.Bytes()[max(0, said.Len()-2000):])
		}
	} else if err != nil {
		return usage{}, err
	}
	u := usage{cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), out: out.Bytes(), log: said.Bytes()}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.rss = r.Maxrss << 10
	}
	return u, nil
}

func (b *bench) ours(file string) (usage, error) {
	cmd := exec.Command(b.bin, "detect", "--type", "access", "--format", "jsonl", "--rules", filepath.Join(b.dir, "rules"), file)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	return measure(cmd)
}

func (b *bench) theirs(file string) (usage, error) {
	pkg, run := filepath.Join(b.dir, "pkg"), filepath.Join(b.dir, "run")
	if err := configure(pkg, run, b.scenarios); err != nil {
		return usage{}, err
	}
	cmd := exec.Command(filepath.Join(pkg, "usr/bin/crowdsec"), "-c", filepath.Join(run, "config.yaml"), "-dsn", "file://"+file, "-type", "nginx")
	cmd.Dir = run
	return measure(cmd)
}

func (b *bench) prepare(lines, part int) error {
	var err error
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	if err := unpack(b.dir); err != nil {
		return err
	}
	if b.bin == "" {
		b.bin = filepath.Join(b.dir, "bartizan")
		if err := quietly(".", "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", b.bin, "./cmd/bartizan"); err != nil {
			return err
		}
	}
	l, err := readLists(filepath.Join(b.dir, "pkg/usr/share/crowdsec/data"))
	if err != nil {
		return err
	}
	b.scenarios = scenarios(l)
	if err := writeRules(b.dir, b.scenarios); err != nil {
		return err
	}
	b.full = filepath.Join(b.dir, fmt.Sprintf("access-%d.log", lines))
	if err := generate(b.full, lines, 1, l); err != nil {
		return err
	}
	b.part, b.one = filepath.Join(b.dir, "part.log"), filepath.Join(b.dir, "one.log")
	if err := head(b.full, b.part, part); err != nil {
		return err
	}
	return head(b.full, b.one, 1)
}

// head copies the first lines of a file.
func head(from, to string, n int) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	w := bufio.NewWriter(out)
	s := bufio.NewScanner(f)
	for i := 0; i < n && s.Scan(); i++ {
		_, _ = w.Write(append(s.Bytes(), '\n')) // Flush tells
	}
	return errors.Join(s.Err(), w.Flush())
}

func (b *bench) run(lines, part, rounds int) error {
	if err := b.prepare(lines, part); err != nil {
		return err
	}
	var mine, theirs, startMine, startTheirs []time.Duration
	var rssMine, rssTheirs, rssFull []int64
	missed := 0
	for i := range rounds {
		t, err := b.theirs(b.part)
		if err != nil {
			return err
		}
		ts, err := b.theirs(b.one)
		if err != nil {
			return err
		}
		m, err := b.ours(b.full)
		if err != nil {
			return err
		}
		ms, err := b.ours(b.one)
		if err != nil {
			return err
		}
		theirs, startTheirs, mine, startMine = append(theirs, t.cpu), append(startTheirs, ts.cpu), append(mine, m.cpu), append(startMine, ms.cpu)
		o, err := b.ours(b.part)
		if err != nil {
			return err
		}
		rssMine, rssTheirs, rssFull = append(rssMine, o.rss), append(rssTheirs, t.rss), append(rssFull, m.rss)
		if i > 0 {
			continue
		}
		n, err := b.sets(t.log, o.out)
		if missed += n; err != nil {
			return err
		}
	}
	spread := float64(slices.Max(theirs)) / float64(slices.Min(theirs))
	rateTheirs := float64(part) / (median(theirs) - median(startTheirs)).Seconds()
	rateMine := float64(lines) / (median(mine) - median(startMine)).Seconds()
	fmt.Printf("CrowdSec %s: %.0f lines per CPU-second (%d lines, start %.2f s, spread %.2f); bartizan: %.0f (%d lines, start %.2f s); medians of %d alternating rounds\n",
		version, rateTheirs, part, median(startTheirs).Seconds(), spread, rateMine, lines, median(startMine).Seconds(), rounds)
	missed += verdict("lines per CPU-second, to CrowdSec", rateMine/rateTheirs, goalSpeed, true)
	rm, rt := float64(median(rssMine)), float64(median(rssTheirs))
	missed += verdict(fmt.Sprintf("RSS on the same lines, to CrowdSec (%.0f of %.0f MB)", rm/1e6, rt/1e6), rm/rt, goalRSS, false)
	fmt.Printf("RSS of bartizan on all %d lines: %.0f MB\n", lines, float64(median(rssFull))/1e6)
	if missed > 0 {
		return fmt.Errorf("%d goals missed", missed)
	}
	return nil
}

// banned finds decisions in CrowdSec's log.
var banned = regexp.MustCompile(`by ip ([0-9.]+) : \S+ ban on Ip`)

// sets compares who is banned.
func (b *bench) sets(theirs, mine []byte) (missed int, err error) {
	a, o := map[string]bool{}, map[string]bool{}
	for _, m := range banned.FindAllSubmatch(theirs, -1) {
		a[string(m[1])] = true
	}
	for line := range strings.Lines(string(mine)) {
		var s struct{ Rule, Address string }
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			return 0, fmt.Errorf("signal %.100q: %w", line, err)
		}
		if slices.ContainsFunc(b.scenarios, func(x scenario) bool { return x.id == s.Rule }) {
			o[s.Address] = true
		}
	}
	both, odd := 0, []string(nil)
	for x := range a {
		if o[x] {
			both++
		} else {
			odd = append(odd, "CrowdSec alone: "+x)
		}
	}
	for x := range o {
		if !a[x] {
			odd = append(odd, "bartizan alone: "+x)
		}
	}
	slices.Sort(odd)
	if len(a) >= 20 {
		for _, s := range odd[:min(len(odd), 20)] {
			fmt.Println(s)
		}
	} else {
		return 0, fmt.Errorf("CrowdSec bans only %d: too few to compare; its log ends with %s", len(a), theirs[max(0, len(theirs)-2000):])
	}
	return verdict(fmt.Sprintf("banned by CrowdSec (%d) and here (%d): Jaccard", len(a), len(o)), float64(both)/float64(len(a)+len(o)-both), goalSet, true), nil
}

func median[T time.Duration | int64](list []T) T {
	slices.Sort(list)
	return list[len(list)/2]
}

func verdict(name string, got, goal float64, least bool) int {
	word, ok := "at most", got <= goal
	if least {
		word, ok = "at least", got >= goal
	}
	end, n := "reached", 0
	if !ok {
		end, n = "MISSED", 1
	}
	fmt.Printf("%-62s %8.3f, %s %.2f: %s\n", name, got, word, goal, end)
	return n
}
