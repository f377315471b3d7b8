// Command sigma measures the Sigma engine next to sigma-go's evaluator with
// encoding/json, on the same CloudTrail events and rules in the same run.
//
//	go run ./bench/sigma
//
// Events (about 1.9 KB each) and rules come from a seeded generator; both
// engines' hit lists are compared event by event before anything is measured.
// The sides take turns, so that a busy machine hurts them alike; what is
// compared is user and system CPU time of the process per event, as getrusage
// counts it, the median of the rounds. It exits with 1 when a goal is missed.
//
// Field mapping of the peer: rules name nested fields with dots
// (userIdentity.type); sigma-go is given the same as JSONPath ($.userIdentity.type).
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing/fstest"
	"time"

	"bartizan/internal/detect/sigma"

	peer "github.com/bradleyjkemp/sigma-go"
	"github.com/bradleyjkemp/sigma-go/evaluator"
	"github.com/klauspost/compress/gzip"
)

// Goals of the design.
const (
	goalPeer  = 14.0 // times sigma-go's events per CPU-second, with 100 rules
	goalRules = 1.3  // times slower with 1,000 rules
	goalGzip  = 1.5  // times decompression alone
)

func main() {
	events := flag.Int("events", 20000, "events per round")
	peerEvents := flag.Int("peer-events", 1000, "events per round of the peer, which is slow")
	rounds := flag.Int("rounds", 5, "rounds, at least 3")
	seed := flag.Uint64("seed", 1, "of the generator")
	flag.Parse()
	if err := run(*events, *peerEvents, max(*rounds, 3), *seed); err != nil {
		fmt.Fprintln(os.Stderr, "bench/sigma:", err)
		os.Exit(1)
	}
}

// side is one engine with its rules.
type side struct {
	runner *sigma.Runner
	doc    sigma.Document
}

var aws = sigma.Logsource{Product: "aws", Service: "cloudtrail"} //nolint:gochecknoglobals // a constant

func newSide(rules fstest.MapFS) (*side, error) {
	e, report, err := sigma.Load(rules, sigma.Options{})
	if err != nil {
		return nil, err
	}
	if len(report.Problems) > 0 {
		return nil, report.Problems[0]
	}
	return &side{runner: e.NewRunner(sigma.DefaultLimits())}, nil
}

func (s *side) match(line []byte) ([]*sigma.Rule, error) {
	if err := s.doc.Parse(line, aws); err != nil {
		return nil, err
	}
	return s.runner.Match(&s.doc), nil
}

// all matches every line and returns the number of hits.
func (s *side) all(lines [][]byte) (hits int, err error) {
	for _, l := range lines {
		got, err := s.match(l)
		if err != nil {
			return 0, err
		}
		hits += len(got)
	}
	return hits, nil
}

// zipped is all over a gzip stream of lines.
func (s *side) zipped(data []byte) (hits int, err error) {
	err = inflate(data, func(line []byte) error {
		got, err := s.match(line)
		hits += len(got)
		return err
	})
	return hits, err
}

// inflate decompresses and cuts lines, which both gzip figures do.
func inflate(data []byte, each func(line []byte) error) error {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	buf, have := make([]byte, 256<<10), 0
	for {
		n, err := z.Read(buf[have:])
		have += n
		rest := buf[:have]
		for {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			if e := each(rest[:i]); e != nil {
				return e
			}
			rest = rest[i+1:]
		}
		have = copy(buf, rest)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// peerSide is sigma-go with encoding/json.
type peerSide struct{ rules []*evaluator.RuleEvaluator }

func newPeer(rules fstest.MapFS) (*peerSide, error) {
	config := peer.Config{FieldMappings: map[string]peer.FieldMapping{}}
	for _, f := range nestedFields() {
		config.FieldMappings[f] = peer.FieldMapping{TargetNames: []string{"$." + f}}
	}
	p := &peerSide{}
	names, err := fs.Glob(rules, "*.yml")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		r, err := peer.ParseRule(rules[name].Data)
		if err != nil {
			return nil, err
		}
		p.rules = append(p.rules, evaluator.ForRule(r, evaluator.WithConfig(config)))
	}
	return p, nil
}

func (p *peerSide) match(line []byte) (ids []string, err error) {
	var event map[string]any
	if err := json.Unmarshal(line, &event); err != nil {
		return nil, err
	}
	for _, r := range p.rules {
		got, err := r.Matches(context.Background(), event)
		if err != nil {
			return nil, err
		}
		if got.Match {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}

func (p *peerSide) all(lines [][]byte) (hits int, err error) {
	for _, l := range lines {
		got, err := p.match(l)
		if err != nil {
			return 0, err
		}
		hits += len(got)
	}
	return hits, nil
}

// equal compares the hit lists of both on every line.
func equal(a *side, b *peerSide, lines [][]byte) (hits int, err error) {
	for i, l := range lines {
		mine, err := a.match(l)
		if err != nil {
			return 0, err
		}
		theirs, err := b.match(l)
		if err != nil {
			return 0, err
		}
		var ids []string
		for _, r := range mine {
			ids = append(ids, r.ID)
		}
		slices.Sort(ids)
		slices.Sort(theirs)
		if !slices.Equal(ids, theirs) {
			return 0, fmt.Errorf("event %d: hits %v, the peer has %v: %s", i, ids, theirs, l)
		}
		hits += len(ids)
	}
	if hits == 0 {
		return 0, fmt.Errorf("no rule fired: nothing was compared")
	}
	return hits, nil
}

// cpu is the CPU time of the process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func run(n, peerN, rounds int, seed uint64) error {
	lines := events(n, seed)
	size := 0
	for _, l := range lines {
		size += len(l)
	}
	few, many := rules(100), rules(1000)
	a, err := newSide(few)
	if err != nil {
		return err
	}
	b, err := newSide(many)
	if err != nil {
		return err
	}
	p, err := newPeer(few)
	if err != nil {
		return err
	}
	hits, err := equal(a, p, lines[:min(peerN, n)])
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for _, l := range lines {
		if _, err := z.Write(append(l, '\n')); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	fmt.Printf("%d events of %d bytes on average; hit lists equal on %d events (%d hits)\n", n, size/n, min(peerN, n), hits)
	steps := []struct {
		name string
		n    int
		do   func() (int, error)
		took []float64
	}{
		{"sigma-go + encoding/json, 100 rules", min(peerN, n), func() (int, error) { return p.all(lines[:min(peerN, n)]) }, nil},
		{"bartizan, 100 rules", n, func() (int, error) { return a.all(lines) }, nil},
		{"bartizan, 1,000 rules", n, func() (int, error) { return b.all(lines) }, nil},
		{"decompression alone", n, func() (int, error) { return 0, inflate(packed.Bytes(), func([]byte) error { return nil }) }, nil},
		{"bartizan from gzip, 100 rules", n, func() (int, error) { return a.zipped(packed.Bytes()) }, nil},
	}
	for range rounds {
		for i := range steps {
			before := cpu()
			if _, err := steps[i].do(); err != nil {
				return err
			}
			steps[i].took = append(steps[i].took, float64((cpu()-before).Nanoseconds())/1e3/float64(steps[i].n))
		}
	}
	var median []float64
	for _, s := range steps {
		slices.Sort(s.took)
		m := s.took[len(s.took)/2]
		median = append(median, m)
		fmt.Printf("%-38s %8.2f µs CPU per event (median of %d; %.2f to %.2f), %9.0f events per CPU-second\n", s.name, m, rounds, s.took[0], s.took[len(s.took)-1], 1e6/m)
	}
	return judge([]figure{
		{"events per CPU-second, to sigma-go", median[0] / median[1], goalPeer, true},
		{"1,000 rules, to 100", median[2] / median[1], goalRules, false},
		{"from gzip, to decompression alone", median[4] / median[3], goalGzip, false},
	})
}

type figure struct {
	name    string
	ratio   float64
	goal    float64
	atLeast bool
}

func judge(figures []figure) error {
	var missed []string
	for _, f := range figures {
		word, ok := "at most", f.ratio <= f.goal
		if f.atLeast {
			word, ok = "at least", f.ratio >= f.goal
		}
		verdict := "reached"
		if !ok {
			verdict = "MISSED"
			missed = append(missed, f.name)
		}
		fmt.Printf("%-38s %6.2f× (goal: %s %.1f×) %s\n", f.name, f.ratio, word, f.goal, verdict)
	}
	if len(missed) > 0 {
		return fmt.Errorf("goals missed: %s", strings.Join(missed, "; "))
	}
	return nil
}
