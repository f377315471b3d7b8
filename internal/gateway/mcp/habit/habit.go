// Package habit is what an agent usually does with its tools: which call follows which,
// over all its servers, where what it reads may go, and of what shape the arguments are.
// It keeps no argument: names, kinds and classes only. It judges calls and stops none.
//
// An agent's calls over pipes go through a process for each server. What they learn is
// put together in one file, and the calls of the last hours in another, so that a
// conversation is the agent's and not one server's.
package habit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"bartizan/internal/mcp"
	"bartizan/internal/safe"

	"github.com/go-json-experiment/json/jsontext"
)

// The order of calls is a Markov chain of order one over the names of tools
// ("server/tool"). The surprise of a call is -log2 of its chance after the call before,
// with additive smoothing. While the first calls are learned, each is predicted before it
// is counted; the mean surprise of their second half is what is usual. Then everything is
// frozen, so that nobody can teach the gateway slowly.
const (
	smoothing    = 0.25
	maxTools     = 500 // names in one model; later ones are all the same stranger
	maxFlows     = 500
	maxFile      = 64 << 20
	saveEach     = 10 // calls while learning
	strangerName = "?"
	startName    = "^"
)

// Config says how much is learned, and what is far from it.
type Config struct {
	Learn     int           // calls that are only watched; 0 turns everything off
	Window    int           // calls that are judged together
	Threshold float64       // bits per call above what is usual
	Arguments bool          // their shapes too
	Idle      time.Duration // a conversation without a call for so long is over
	Once      bool          // a way or a shape that is new is said the first time only
}

// Call is one call of a tool.
type Call struct {
	Talk         string // the conversation: all servers of one client have the same
	Server, Tool string
	Power        mcp.Power // as its definition tells
	Args         jsontext.Value
	Time         time.Time
}

func (c *Call) name() string { return c.Server + "/" + c.Tool }

// Verdict is what is unusual in a call.
type Verdict struct {
	Learning bool
	Unusual  []string // in words; nothing: it is usual
	Marks    []string // names of what is new, for Accept
}

// Habit is one agent's. Its methods may be called from any goroutine, and several
// processes may have the same one open.
type Habit struct {
	conf   Config
	file   string
	recent *record
	mu     sync.Mutex
	state  state       // what is in the file, and what is not there yet
	fresh  state       // of it, what is not in the file yet
	read   fs.FileInfo // of the file, when it was read last
}

// state is what is kept over restarts.
type state struct {
	Calls  int                       `json:"calls"`
	Counts map[string]map[string]int `json:"counts"` // before → then → times
	Tools  map[string]bool           `json:"tools"`
	Sum    float64                   `json:"sum"`              // of the surprise in the second half of learning, bits
	Of     int                       `json:"of"`               // calls in Sum
	Flows  map[string]int            `json:"flows"`            // "server that was read>server that can send" → times; nil: of a version that did not learn them
	Shapes map[string]*shape         `json:"shapes,omitempty"` // by tool
}

// Open reads what an agent usually does from a folder.
func Open(conf Config, dir, agent string) (*Habit, error) {
	h := &Habit{conf: conf, file: filepath.Join(dir, "baseline-"+agent+".json"), state: noState(), fresh: noState(),
		recent: &record{file: filepath.Join(dir, "recent-"+agent+".bin"), idle: conf.Idle}}
	if conf.Learn == 0 {
		return h, nil
	}
	return h, h.reload()
}

func noState() state {
	return state{Counts: map[string]map[string]int{}, Tools: map[string]bool{}, Flows: map[string]int{}, Shapes: map[string]*shape{}}
}

// reload takes what other gateways of the agent have put into the file meanwhile.
func (h *Habit) reload() error {
	now, err := os.Stat(h.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read baseline: %w", err)
	}
	if h.read != nil && os.SameFile(h.read, now) && h.read.Size() == now.Size() && h.read.ModTime().Equal(now.ModTime()) {
		return nil
	}
	kept, err := h.kept()
	if err != nil {
		return err
	}
	h.read, h.state = now, kept
	if kept.Calls >= h.conf.Learn {
		h.fresh = noState()
	} else {
		h.state.add(h.fresh)
	}
	return nil
}

// kept is what the file has.
func (h *Habit) kept() (state, error) {
	f, err := os.Open(h.file)
	if errors.Is(err, fs.ErrNotExist) {
		return noState(), nil
	}
	if err != nil {
		return noState(), fmt.Errorf("read baseline: %w", err)
	}
	defer f.Close()
	data, err := safe.ReadAll(f, maxFile, "baseline")
	if err != nil {
		return noState(), err
	}
	kept := state{}
	if err := json.Unmarshal(data, &kept); err != nil || kept.Counts == nil || kept.Tools == nil || !sound(kept.Shapes) {
		return noState(), fmt.Errorf("read baseline: %s is damaged: remove it, and what is usual is learned anew", h.file)
	}
	if kept.Shapes == nil {
		kept.Shapes = map[string]*shape{}
	}
	return kept, nil
}

// add puts what was learned elsewhere on top.
func (s *state) add(x state) {
	s.Calls, s.Sum, s.Of = s.Calls+x.Calls, s.Sum+x.Sum, s.Of+x.Of
	for tool := range x.Tools {
		s.meet(tool)
	}
	for before, all := range x.Counts {
		for then, n := range all {
			s.count(s.known(before), s.known(then), n)
		}
	}
	for way, n := range x.Flows {
		s.flow(way, n)
	}
	for tool, sh := range x.Shapes {
		if name := s.known(tool); name != strangerName {
			s.shape(name).add(sh, s.room())
		}
	}
}

// meet takes a tool into the model while there is room.
func (s *state) meet(tool string) {
	if tool != startName && tool != strangerName && len(s.Tools) < maxTools {
		s.Tools[tool] = true
	}
}

// known is the name of a tool in the model.
func (s *state) known(name string) string {
	if s.Tools[name] || name == startName {
		return name
	}
	return strangerName
}

func (s *state) count(before, then string, n int) {
	if s.Counts[before] == nil {
		s.Counts[before] = map[string]int{}
	}
	s.Counts[before][then] += n
}

func (s *state) flow(way string, n int) {
	if _, seen := s.Flows[way]; s.Flows != nil && (seen || len(s.Flows) < maxFlows) {
		s.Flows[way] += n
	}
}

func (s *state) shape(tool string) *shape {
	if s.Shapes[tool] == nil {
		s.Shapes[tool] = &shape{Slots: map[string]*slot{}}
	}
	return s.Shapes[tool]
}

// Step takes one call into account and says what is unusual in it. An error is about
// files: the call was judged by what this process knows.
func (h *Habit) Step(c Call) (v Verdict, err error) {
	if h.conf.Learn == 0 {
		return v, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	err = h.reload()
	var seen []feature
	if h.conf.Arguments {
		seen = features(c.Args)
	}
	err = errors.Join(err, h.recent.with(c.Talk, c.Time, func(t *talk, said *marks) {
		if h.state.Calls < h.conf.Learn {
			h.learn(t, &c, seen)
			v.Learning = true
		} else {
			h.judge(t, said, &c, seen, &v)
		}
		t.took(&c)
	}))
	if v.Learning && (h.fresh.Calls >= saveEach || h.state.Calls >= h.conf.Learn) {
		err = errors.Join(err, h.save())
	}
	return v, err
}

func (h *Habit) learn(t *talk, c *Call, seen []feature) {
	bits := h.bits(h.state.known(t.Last), h.state.known(c.name()))
	half := h.state.Calls >= h.conf.Learn/2
	for _, s := range []*state{&h.state, &h.fresh} {
		s.Calls++
		if half {
			s.Sum += bits
			s.Of++
		}
		s.meet(t.Last) // another process may have called it, and not said so yet
		s.meet(c.name())
		s.count(s.known(t.Last), s.known(c.name()), 1)
		for _, way := range t.ways(c) {
			s.flow(way, 1)
		}
		if name := s.known(c.name()); name != strangerName && h.conf.Arguments {
			s.shape(name).take(seen, s.room())
		}
	}
}

func (h *Habit) judge(t *talk, said *marks, c *Call, seen []feature, v *Verdict) {
	st := &h.state
	t.Window = append(t.Window, h.bits(st.known(t.Last), st.known(c.name())))
	t.Window = t.Window[max(0, len(t.Window)-h.conf.Window):]
	mean, usual := 0.0, 0.0
	for _, b := range t.Window {
		mean += b / float64(len(t.Window))
	}
	if st.Of > 0 {
		usual = st.Sum / float64(st.Of)
	}
	if over := mean - usual; len(t.Window) == h.conf.Window && over > h.conf.Threshold {
		v.Unusual = append(v.Unusual, fmt.Sprintf("the last %d calls are %.1f bits per call more surprising than usual", h.conf.Window, over))
	}
	tell := func(mark, text string) {
		if said.has(mark) {
			return
		}
		v.Unusual, v.Marks = append(v.Unusual, text), append(v.Marks, mark)
		if h.conf.Once {
			said.put(mark)
		}
	}
	if st.Flows != nil {
		for _, way := range t.ways(c) {
			if st.Flows[way] == 0 {
				from, _, _ := strings.Cut(way, ">")
				tell("way "+way, fmt.Sprintf("what server %s gave can leave by server %s, which it never did while learning", from, c.Server))
			}
		}
	}
	if sh := st.Shapes[c.name()]; sh != nil {
		for _, n := range sh.news(seen) {
			tell("shape "+c.name()+" "+n.mark, n.text)
		}
	}
}

// Accept says that a person let something pass that is new: it is not said again.
func (h *Habit) Accept(who string, now time.Time, names []string) error {
	if len(names) == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.recent.with(who, now, func(_ *talk, said *marks) {
		for _, m := range names {
			said.put(m)
		}
	})
}

// bits is the surprise of a tool after another; after one that was never seen, that of
// the tool by itself.
func (h *Habit) bits(before, tool string) float64 {
	total, times := 0, h.state.Counts[before][tool]
	for _, n := range h.state.Counts[before] {
		total += n
	}
	if total == 0 {
		for _, after := range h.state.Counts {
			times += after[tool]
			for _, n := range after {
				total += n
			}
		}
	}
	v := float64(len(h.state.Tools) + 1) // and a stranger
	return -math.Log2((float64(times) + smoothing) / (float64(total) + smoothing*v))
}

// save puts what was learned here on top of what other gateways of the agent have
// learned meanwhile, and goes on with the sum. What is frozen there stays as it is.
func (h *Habit) save() error {
	l, err := lock(h.file+".lock", lockTime)
	if err != nil {
		return fmt.Errorf("lock baseline: %w", err)
	}
	defer l.Close() // releases it
	kept, err := h.kept()
	if err != nil {
		return err
	}
	if kept.Calls < h.conf.Learn {
		kept.add(h.fresh)
		data, err := json.Marshal(kept)
		if err != nil {
			return fmt.Errorf("write baseline: %w", err)
		}
		if err := safe.AtomicWrite(h.file, data, 0o600); err != nil {
			return fmt.Errorf("write baseline: %w", err)
		}
	}
	h.state, h.fresh = kept, noState()
	if h.read, err = os.Stat(h.file); err != nil {
		return fmt.Errorf("read baseline: %w", err)
	}
	return nil
}

// Close keeps what was learned since the last time: a gateway on pipes lives as long
// as its client, which may be a few calls.
func (h *Habit) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fresh.Calls == 0 {
		return nil
	}
	return h.save()
}
