package guard

import "sync"

// Memory of one conversation: what its texts have shown so far. It is safe for
// concurrent use; whoever keeps it decides how long.
type Memory struct {
	engine  *Engine
	recalls []Recall // one for each inspector, nil for most
	joined  *Memory  // of texts that are several channels together
	kept    Kept     // see Untold

	mu     sync.Mutex
	active int // turns that have not ended
	begun  int // turns so far
}

// NewMemory makes the memory of one conversation with an engine.
func (e *Engine) NewMemory() *Memory {
	m := e.newMemory()
	m.joined = e.newMemory()
	return m
}

func (e *Engine) newMemory() *Memory {
	m := &Memory{engine: e, recalls: make([]Recall, len(e.inspectors))}
	for i, in := range e.inspectors {
		if f, ok := in.Inspector.(Follower); ok {
			m.recalls[i] = f.Remember()
		}
	}
	return m
}

// follow starts a text for the inspector with a number; m may be nil.
func (m *Memory) follow(f Follower, i int) Follow {
	var recall Recall
	if m != nil && i < len(m.recalls) {
		recall = m.recalls[i]
	}
	w := f.Follow(recall)
	if m != nil && m.kept != (Kept{}) {
		if u, ok := w.(untold); ok {
			u.Untold(m.kept)
		}
	}
	return w
}

// Size of what is remembered, in bytes.
func (m *Memory) Size() (n int) {
	for _, r := range m.recalls {
		if r != nil {
			n += r.Size()
		}
	}
	if m.joined != nil {
		n += m.joined.Size()
	}
	return n
}

// Turn is one exchange of a conversation: what it showed is remembered, unless
// it was stopped. End it once, with Keep or Undo.
type Turn struct {
	m    *Memory
	at   int
	ends []func(back bool)
}

// Begin starts a turn, before its first text is inspected.
func (m *Memory) Begin() *Turn {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active++
	m.begun++
	t := &Turn{m: m, at: m.begun}
	if m.active == 1 {
		t.ends = m.snapshot(make([]func(bool), 0, 2))
		t.ends = m.joined.snapshot(t.ends)
	}
	return t
}

func (m *Memory) snapshot(list []func(bool)) []func(bool) {
	if m == nil {
		return list
	}
	for _, r := range m.recalls {
		if r != nil {
			list = append(list, r.Snapshot())
		}
	}
	return list
}

// Keep ends a turn whose texts have left.
func (t *Turn) Keep() {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.m.active--
	t.end(false)
}

// end uses the snapshots, or gives them up.
func (t *Turn) end(back bool) {
	for _, end := range t.ends {
		end(back)
	}
	t.ends = nil
}

// Undo ends a turn that was stopped: only left was told, which is remembered.
// When another turn of the conversation ran at the same time, everything stays
// remembered: who asks twice at once gets no second try.
func (t *Turn) Undo(left []string) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.m.active--
	if t.m.active > 0 || t.m.begun != t.at || t.ends == nil {
		t.end(false)
		return
	}
	t.end(true)
	for _, text := range left {
		l := t.m.engine.NewLive(t.m, Unknown, func(Category, float64) bool { return false })
		for _, w := range l.follows {
			if w != nil {
				w.Write(text)
				w.End()
			}
		}
	}
}
