package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"bartizan/internal/safe"
)

// The model of what an agent usually does: a Markov chain of order one over the
// names of tools ("server/tool"), per agent. The surprise of a call is -log2 of its
// chance after the call before, with additive smoothing. While the first calls are
// learned, each is predicted before it is counted; the mean surprise of their second
// half is what is usual. Then the counts are frozen, so that nobody can teach the
// gateway slowly; the mean surprise of a window of calls that exceeds the usual by the
// threshold is an alarm.
const (
	smoothing    = 0.25
	maxTools     = 500 // names in one model; later ones are all the same stranger
	maxBaseline  = 8 << 20
	saveEach     = 10 // calls while learning
	strangerName = "?"
	startName    = "^"
)

type chain struct {
	conf  Baseline
	file  string
	mu    sync.Mutex
	state chainState // what is in the file, and what is not there yet
	fresh chainState // of it, what is not in the file yet
}

// chainState is what is kept over restarts.
type chainState struct {
	Calls  int                       `json:"calls"`
	Counts map[string]map[string]int `json:"counts"` // before → then → times
	Tools  map[string]bool           `json:"tools"`
	Sum    float64                   `json:"sum"` // of the surprise in the second half of learning, bits
	Of     int                       `json:"of"`  // calls in Sum
}

func openChain(conf Baseline, dir, agent string) (*chain, error) {
	c := &chain{conf: conf, file: filepath.Join(dir, "baseline-"+agent+".json"), state: noState(), fresh: noState()}
	if conf.Learn == 0 {
		return c, nil
	}
	kept, err := c.kept()
	c.state = kept
	return c, err
}

func noState() chainState {
	return chainState{Counts: map[string]map[string]int{}, Tools: map[string]bool{}}
}

// kept is what the file has.
func (c *chain) kept() (chainState, error) {
	f, err := os.Open(c.file)
	if errors.Is(err, fs.ErrNotExist) {
		return noState(), nil
	}
	if err != nil {
		return noState(), fmt.Errorf("read baseline: %w", err)
	}
	defer f.Close()
	data, err := safe.ReadAll(f, maxBaseline, "baseline")
	if err != nil {
		return noState(), err
	}
	kept := chainState{}
	if err := json.Unmarshal(data, &kept); err != nil || kept.Counts == nil || kept.Tools == nil {
		return noState(), fmt.Errorf("read baseline: %s is damaged: remove it, and what is usual is learned anew", c.file)
	}
	return kept, nil
}

// add puts what was learned elsewhere on top.
func (s *chainState) add(x chainState) {
	s.Calls, s.Sum, s.Of = s.Calls+x.Calls, s.Sum+x.Sum, s.Of+x.Of
	for tool := range x.Tools {
		if s.Tools[tool] || len(s.Tools) < maxTools {
			s.Tools[tool] = true
		}
	}
	known := func(name string) string {
		if s.Tools[name] || name == startName {
			return name
		}
		return strangerName
	}
	for before, all := range x.Counts {
		for then, n := range all {
			s.count(known(before), known(then), n)
		}
	}
}

func (s *chainState) count(before, then string, n int) {
	if s.Counts[before] == nil {
		s.Counts[before] = map[string]int{}
	}
	s.Counts[before][then] += n
}

// walk is one session's way along the chain.
type walk struct {
	last   string
	window []float64
}

// surprising is what the chain says of a call.
type surprising struct {
	learning bool
	bits     float64 // of the window, above what is usual
	alarm    bool
}

// step takes one call of a session into account.
func (c *chain) step(w *walk, tool string) (s surprising, err error) {
	if c.conf.Learn == 0 {
		return s, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.last == "" {
		w.last = startName
	}
	st := &c.state
	learning := st.Calls < c.conf.Learn
	if !st.Tools[tool] && (!learning || len(st.Tools) >= maxTools) {
		tool = strangerName
	}
	bits := c.bits(w.last, tool)
	if learning {
		for _, s := range []*chainState{st, &c.fresh} {
			if st.Calls >= c.conf.Learn/2 {
				s.Sum += bits
				s.Of++
			}
			s.count(w.last, tool, 1)
			s.Tools[tool] = true
		}
		st.Calls++
		c.fresh.Calls++
		if c.fresh.Calls >= saveEach || st.Calls >= c.conf.Learn {
			err = c.save()
		}
		w.last = tool
		return surprising{learning: true}, err
	}
	w.last = tool
	if w.window = append(w.window, bits); len(w.window) > c.conf.Window {
		w.window = w.window[1:]
	}
	mean := 0.0
	for _, b := range w.window {
		mean += b / float64(len(w.window))
	}
	usual := 0.0
	if st.Of > 0 {
		usual = st.Sum / float64(st.Of)
	}
	s.bits = mean - usual
	s.alarm = len(w.window) == c.conf.Window && s.bits > c.conf.Threshold
	return s, nil
}

// bits is the surprise of a tool after another; after one that was never seen, that of
// the tool by itself.
func (c *chain) bits(before, tool string) float64 {
	total, times := 0, c.state.Counts[before][tool]
	for _, n := range c.state.Counts[before] {
		total += n
	}
	if total == 0 {
		for _, after := range c.state.Counts {
			times += after[tool]
			for _, n := range after {
				total += n
			}
		}
	}
	v := float64(len(c.state.Tools) + 1) // and a stranger
	return -math.Log2((float64(times) + smoothing) / (float64(total) + smoothing*v))
}

// save puts what was learned here on top of what other gateways of the agent have
// learned meanwhile, and goes on with the sum. What is frozen there stays as it is.
func (c *chain) save() error {
	lock, err := os.OpenFile(c.file+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock baseline: %w", err)
	}
	defer lock.Close() // releases it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock baseline: %w", err)
	}
	kept, err := c.kept()
	if err != nil {
		return err
	}
	if kept.Calls < c.conf.Learn {
		kept.add(c.fresh)
		data, err := json.Marshal(kept)
		if err != nil {
			return fmt.Errorf("write baseline: %w", err)
		}
		if err := safe.AtomicWrite(c.file, data, 0o600); err != nil {
			return fmt.Errorf("write baseline: %w", err)
		}
	}
	c.state, c.fresh = kept, noState()
	return nil
}

// close keeps what was learned since the last time: a gateway on pipes lives as long
// as its client, which may be a few calls.
func (c *chain) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fresh.Calls == 0 {
		return nil
	}
	return c.save()
}
