package guard

import (
	"crypto/sha256"
	"slices"
	"sync"
)

// recent remembers verdicts on texts that come again: system prompts, descriptions
// of tools, the conversation so far. A verdict is a function of the text and its
// author, which are the key. Two generations are kept; what was asked for in neither
// is forgotten.
type recent struct {
	mu       sync.Mutex
	now, old map[recentKey]*Verdict
}

type recentKey struct {
	role  Role
	way   way
	known uint64 // version of what was known
	sum   [sha256.Size]byte
}

// maxRecent is the size of a generation; a verdict is about 1 KiB.
const maxRecent = 2048

func newRecent() *recent { return &recent{now: map[recentKey]*Verdict{}} }

func (r *recent) get(k recentKey) (v Verdict, ok bool) {
	r.mu.Lock()
	x := r.now[k]
	if x == nil {
		if x = r.old[k]; x != nil {
			r.keep(k, x)
		}
	}
	r.mu.Unlock()
	if x == nil {
		return v, false
	}
	return *x, true
}

// put keeps a verdict, whose reports nobody changes from here on. One that is there
// because something failed is not kept: it may be different the next time.
func (r *recent) put(k recentKey, v *Verdict) {
	x := *v
	x.Again = true
	for i := range x.Reports {
		p := &x.Reports[i]
		if p.State == Failed || p.passing {
			return
		}
		for j := range p.Findings { // nobody can append into what is shared
			p.Findings[j].Spans = slices.Clip(p.Findings[j].Spans)
		}
		p.Findings = slices.Clip(p.Findings)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep(k, &x)
}

func (r *recent) keep(k recentKey, v *Verdict) {
	if len(r.now) >= maxRecent {
		r.old, r.now = r.now, map[recentKey]*Verdict{}
	}
	r.now[k] = v
}
