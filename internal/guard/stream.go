package guard

import (
	"errors"
	"slices"
	"unicode/utf8"

	"bartizan/internal/guard/decode"
	"bartizan/internal/safe"
)

// Span is a range of bytes of Text.Raw.
type Span struct{ From, To int }

// Holder is an Inspector that can look at a text while it is still coming,
// through a window on its end. An inspector that is no Holder looks at the
// whole text when it has ended.
type Holder interface {
	// Hold returns how many bytes at the end of text may become part of
	// something that Inspect finds when more follows: 0 to len(text). It may look
	// at no more than the text; Inspect needs at most Context bytes before them.
	Hold(text string) int
	// Most is what it finds and the highest score it gives: what a policy does
	// nothing about at once need not be held, and is looked for at the end.
	Most() (Category, float64)
}

// Follower is an Inspector that finds what is spread over a long text, over the
// channels of a stream or over the answers of a conversation, and reads on
// where it stopped instead of looking again.
type Follower interface {
	// Remember makes the memory of one conversation. It is bounded.
	Remember() Recall
	// Follow starts a text. recall is what Remember made, nil for a text by
	// itself. It returns nil when there is nothing to look for.
	Follow(recall Recall) Follow
}

// Recall is what a Follower knows of a conversation: safe for concurrent use.
type Recall interface {
	// Size in bytes, for the accounts of who keeps it.
	Size() int
	// Snapshot remembers how it is now. end, which is called once, brings it back to
	// that, or forgets it.
	Snapshot() (end func(back bool))
}

// Follow reads one text. It is not safe for concurrent use.
type Follow interface {
	// Write takes the next piece and returns what is found by now, with spans in
	// the whole text, and how many bytes at its end must wait.
	Write(piece string) (found []Finding, hold int)
	// End says that nothing follows, and what is found by that.
	End() []Finding
}

// freed is a Follow that can read another text when nobody uses it any more.
type freed interface {
	// Free comes after End, and nothing comes after it.
	Free()
}

// Limits of a window.
const (
	Context = 128      // bytes before what is held that an inspector may need
	MaxHeld = 64 << 10 // bytes that wait at most; what is longer is stopped
)

// InspectIn inspects a text as a part of a conversation.
func (e *Engine) InspectIn(m *Memory, text string, role Role) (Verdict, error) {
	v, err := e.inspect(text, role, way{followed: m != nil})
	if err != nil || m == nil {
		return v, err
	}
	for i, in := range e.inspectors {
		f, ok := in.Inspector.(Follower)
		if !ok || i >= len(m.recalls) {
			continue
		}
		var found []Finding
		err := safe.Recover("inspector "+in.Name, nil, func() error {
			if w := m.follow(f, i); w != nil {
				found, _ = w.Write(text)
				found = append(found, w.End()...)
				if w, ok := w.(freed); ok {
					w.Free()
				}
			}
			return nil
		})
		e.add(&v, i, found, err)
	}
	e.decide(&v)
	return v, nil
}

// add joins findings to the report of an inspector: in a copy, because the verdict may
// be kept for the next text that is the same.
func (e *Engine) add(v *Verdict, i int, found []Finding, err error) {
	if err == nil && len(found) == 0 {
		return
	}
	v.Reports = slices.Clone(v.Reports)
	r := &v.Reports[i]
	if err != nil {
		r.State, r.Why = Failed, safe.Clean(err.Error(), 300)
	}
	for _, f := range found {
		if slices.ContainsFunc(r.Findings, func(o Finding) bool { return o.Note == f.Note && o.Category == f.Category }) {
			continue
		}
		r.Findings = append(r.Findings, f)
		if r.State != Failed && f.Score >= FoundScore {
			r.State, r.Why = Found, ""
		}
	}
}

// Live inspects one text while it is coming. It is not safe for concurrent use.
type Live struct {
	e       *Engine
	role    Role
	text    []byte
	safe    int // what stands before it can leave
	seen    map[string]bool
	follows []Follow // by inspector
	holders []Holder // by inspector; nil: it looks at the end
	any     bool     // there is one
	broken  error
}

// NewLive starts a text; m may be nil. at says whether findings of a category,
// with a score up to the given one, must be known before the text leaves; nil
// for all of them.
func (e *Engine) NewLive(m *Memory, role Role, at func(Category, float64) bool) *Live {
	l := &Live{e: e, role: role, seen: map[string]bool{}, follows: make([]Follow, len(e.inspectors)), holders: make([]Holder, len(e.inspectors))}
	for i, in := range e.inspectors {
		if h, ok := in.Inspector.(Holder); ok {
			if c, most := h.Most(); at == nil || at(c, most) {
				l.holders[i], l.any = h, true
			}
		}
		if f, ok := in.Inspector.(Follower); ok {
			l.follows[i] = m.follow(f, i) // nil: nothing to look for
		}
	}
	return l
}

// Len is how many bytes of text have come, Safe how many of them can leave:
// no inspector would find anything in them whatever follows, beyond what Write
// has returned. Safe never shrinks.
func (l *Live) Len() int { return len(l.text) }

// Safe is explained at Len.
func (l *Live) Safe() int { return l.safe }

// Text so far.
func (l *Live) Text() string { return string(l.text) }

// Write takes the next piece of the text and returns what is newly found by the
// inspectors that can look at a part, each once. An error says that something
// could not be looked at; then nothing more is safe.
func (l *Live) Write(piece string) ([]Finding, error) {
	if l.broken != nil {
		return nil, l.broken
	}
	if len(l.text)+len(piece) > MaxText {
		l.broken = &TooLong{len(l.text) + len(piece)}
		return nil, l.broken
	}
	l.text = append(l.text, piece...)
	found, hold, err := l.window(piece, false)
	if err != nil {
		l.broken = err
		return found, err
	}
	l.safe = max(l.safe, len(l.text)-hold)
	return found, nil
}

// window looks at what has not left, with some context.
func (l *Live) window(piece string, last bool) (out []Finding, hold int, broken error) {
	from := max(0, l.safe-Context)
	for from > 0 && from < len(l.text) && !utf8.RuneStart(l.text[from]) {
		from--
	}
	text := string(l.text[from:])
	hold = unfinished(text)
	if l.any {
		hold = max(hold, decode.Tail(text))
	}
	var t *Text
	var found []Finding
	for i, in := range l.e.inspectors {
		h := l.holders[i]
		err := safe.Recover("inspector "+in.Name, nil, func() error {
			if h != nil {
				hold = max(hold, min(len(text), h.Hold(text)))
				if t == nil {
					t = &Text{Raw: text, Role: l.role}
					t.Views, t.Hidden = decode.Views(text, nil)
				}
				some, err := in.Inspect(t)
				if nothing := (*NothingToDo)(nil); err != nil && !errors.As(err, &nothing) {
					return err
				}
				found = append(found, moved(some, from)...)
			}
			if w := l.follows[i]; w != nil {
				some, n := w.Write(piece)
				out = append(out, some...)
				hold = max(hold, n)
			}
			return nil
		})
		if err != nil && l.e.failClosed {
			broken = err
		}
	}
	if last {
		hold = 0
	}
	return append(out, l.fresh(found, len(l.text)-hold)...), hold, broken
}

func moved(found []Finding, by int) []Finding {
	for i := range found {
		spans := slices.Clone(found[i].Spans)
		for k := range spans {
			spans[k].From += by
			spans[k].To += by
		}
		found[i].Spans = spans
	}
	return found
}

// fresh keeps what was not said before, and of what can be pointed at only what
// no longer changes: its end lies before the held part.
func (l *Live) fresh(found []Finding, end int) (out []Finding) {
	for _, f := range found {
		if len(f.Spans) == 0 || f.Deep {
			if key := string(f.Category) + f.Note; !l.seen[key] && f.Score > 0 {
				l.seen[key] = true
				out = append(out, f)
			}
			if len(f.Spans) == 0 {
				continue
			}
		}
		f.Deep = false
		f.Spans = slices.DeleteFunc(f.Spans, func(s Span) bool { return s.To > end || s.To <= l.safe })
		if len(f.Spans) > 0 {
			out = append(out, f)
		}
	}
	return out
}

// unfinished counts the bytes of a character that is not complete.
func unfinished(s string) int {
	for n := 1; n <= 3 && n <= len(s); n++ {
		if c := s[len(s)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRuneInString(s[len(s)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// End says that nothing follows: what was held is decided now. found is what
// the windows find in it; the verdict is that of every inspector on the whole
// text, as Engine.Inspect gives it.
func (l *Live) End() (found []Finding, v Verdict, err error) {
	if l.broken != nil {
		return nil, Verdict{}, l.broken
	}
	found, _, err = l.window("", true)
	if err != nil {
		return nil, Verdict{}, err
	}
	followed := slices.ContainsFunc(l.follows, func(w Follow) bool { return w != nil })
	if v, err = l.e.inspect(string(l.text), l.role, way{followed: followed}); err != nil {
		return nil, v, err
	}
	for i, w := range l.follows {
		if w != nil {
			l.e.add(&v, i, w.End(), nil)
		}
	}
	l.e.decide(&v)
	l.safe = len(l.text)
	return found, v, nil
}

// NewJoined starts a text that is several texts one after the other: only
// Followers read it. It is nil when there are none with something to look for.
// m may be nil.
func (e *Engine) NewJoined(m *Memory) *Live {
	if m != nil {
		m = m.joined
	}
	l := e.NewLive(m, Unknown, func(Category, float64) bool { return false })
	for _, w := range l.follows {
		if w != nil {
			return l
		}
	}
	return nil
}

// EndJoined ends what NewJoined began.
func (l *Live) EndJoined() (found []Finding, err error) {
	if l.broken != nil {
		return nil, l.broken
	}
	for _, w := range l.follows {
		if w != nil {
			found = append(found, w.End()...)
		}
	}
	l.safe = len(l.text)
	return found, nil
}

// FailClosed says whether what an inspector could not look at is not let pass.
func (e *Engine) FailClosed() bool { return e.failClosed }
