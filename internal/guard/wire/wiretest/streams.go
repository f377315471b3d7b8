package wiretest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"bartizan/internal/guard/wire"
)

// Read reads a stream in pieces of the given sizes, and returns its events as
// they were cut and as they were read.
func Read(s wire.Stream, data []byte, next func() int) (raw [][]byte, events []wire.Event, err error) {
	var buf []byte
	for {
		n, err := s.Split(buf)
		if err != nil {
			return raw, events, err
		}
		if n > 0 {
			one := bytes.Clone(buf[:n])
			buf = bytes.Clone(buf[n:]) // nothing may be kept of what was read
			ev, err := s.Event(one)
			if err != nil {
				return raw, events, fmt.Errorf("event %d: %w", len(raw), err)
			}
			raw, events = append(raw, one), append(events, ev)
			continue
		}
		if len(data) == 0 {
			break
		}
		k := min(max(next(), 1), len(data))
		buf = append(bytes.Clone(buf), data[:k]...)
		data = data[k:]
	}
	if len(buf) > 0 {
		return raw, events, fmt.Errorf("%d bytes are left", len(buf))
	}
	return raw, events, nil
}

// Channels joins the deltas.
func Channels(events []wire.Event) string {
	type channel struct {
		part wire.Part
		text strings.Builder
		note string
	}
	byName, order := map[string]*channel{}, []string(nil)
	var b strings.Builder
	last := false
	for _, e := range events {
		for _, d := range e.Deltas {
			c := byName[d.Channel]
			if c == nil {
				c = &channel{part: d.Part}
				byName[d.Channel], order = c, append(order, d.Channel)
			}
			if d.Whole && d.Text == c.text.String() {
				c.note = " (said twice)"
			} else {
				c.text.WriteString(d.Text)
			}
		}
		last = last || e.Last
	}
	for _, name := range order {
		c := byName[name]
		fmt.Fprintf(&b, "%s: %s [%s] %q%s", name, c.part.Kind, c.part.Name, c.text.String(), c.note)
		if c.part.Kind == wire.Media {
			fmt.Fprintf(&b, " %s %d bytes", c.part.Media, c.part.Size)
		}
		b.WriteByte('\n')
	}
	for _, e := range events {
		describeUsage(&b, e.Usage)
		for _, u := range e.Unknown {
			fmt.Fprintf(&b, "unknown %s\n", u)
		}
	}
	fmt.Fprintf(&b, "last %v\n", last)
	return b.String()
}

// stream checks one stream.
func (s Suite) stream(t *testing.T, c *Case, data []byte) {
	open := func() wire.Stream {
		st, err := s.Format.Stream(c.StreamHead())
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	raw, events, err := Read(open(), data, func() int { return len(data) })
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) < 2 || !bytes.Equal(bytes.Join(raw, nil), data) {
		t.Fatalf("%d events that are not the stream", len(raw))
	}
	c.want(t, "stream", Channels(events))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 6 {
		next := func() int { return 1 }
		if i > 0 {
			next = func() int { return 1 + random.IntN(7*i*i) }
		}
		_, again, err := Read(open(), data, next)
		if err != nil || !reflect.DeepEqual(events, again) {
			t.Fatalf("cut in other pieces it is another stream: %v", err)
		}
	}
	s.rewriteEvents(t, open(), raw)
	s.plantedEvents(t, open, raw)
	s.ends(t, open, raw)
}

// rewriteEvents: each text of each event can be replaced.
func (s Suite) rewriteEvents(t *testing.T, st wire.Stream, raw [][]byte) {
	for k, one := range raw {
		ev, err := st.Event(one)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := wire.RewriteEvent(st, one, nil); err != nil || !bytes.Equal(same, one) {
			t.Errorf("event %d: rewriting nothing: %v", k, err)
		}
		for i, d := range ev.Deltas {
			if d.Span == (wire.Span{}) || d.Kind == wire.Media {
				continue
			}
			text := `new "text"` + "\n"
			if d.Text != "" && d.Text[0] == '{' {
				text = `{"new":"text"}`
			}
			out, err := wire.RewriteEvent(st, one, []wire.Edit{{Span: d.Span, Text: text}})
			if err != nil {
				t.Errorf("event %d: rewrite %s: %v", k, d.Where, err)
				continue
			}
			again, err := st.Event(out)
			if err != nil || len(again.Deltas) != len(ev.Deltas) || again.Deltas[i].Text != text {
				t.Errorf("event %d: rewrite %s: it did not come back: %v", k, d.Where, err)
			}
			if n, err := st.Split(out); n != len(out) || err != nil {
				t.Errorf("event %d: rewrite %s: %d of %d bytes are an event: %v", k, d.Where, n, len(out), err)
			}
			if _, err = st.Event(one); err != nil { // what is rewritten next is what was read last
				t.Fatal(err)
			}
		}
	}
}

// plantedEvents: a sentence in any string of any event is in a delta.
func (s Suite) plantedEvents(t *testing.T, open func() wire.Stream, raw [][]byte) {
	n := 0
	for k, one := range raw {
		text, again := s.unframe(one)
		if text == nil {
			continue
		}
		each(t, text, func(where string, key bool, span wire.Span) {
			n++
			st := open()
			for _, before := range raw[:k] {
				if _, err := st.Event(before); err != nil {
					t.Fatal(err)
				}
			}
			ev, err := st.Event(again(splice(text, span, `"Zq marker 77"`)))
			if err != nil {
				if !isUnknown(err) {
					t.Errorf("event %d: %s: %v", k, where, err)
				}
				return
			}
			var parts []wire.Part
			for _, d := range ev.Deltas {
				parts = append(parts, d.Part)
			}
			if !finds(parts, nil, "Zq marker 77", where) {
				t.Errorf("event %d: a sentence in %s (key: %v) is in no delta", k, where, key)
			}
		})
		for name, bad := range Twisted(text) {
			if strings.HasPrefix(name, "cut") || name == "empty" {
				continue
			}
			if _, err := open().Event(again(bad)); !isUnknown(err) {
				t.Errorf("event %d: %s: error %v, want a *wire.Unknown", k, name, err)
			}
		}
	}
	if n < 4 {
		t.Errorf("only %d strings", n)
	}
}

func (s Suite) unframe(raw []byte) (text []byte, again func([]byte) []byte) {
	if s.Unframe != nil {
		return s.Unframe(raw)
	}
	from, to := bytes.IndexByte(raw, '{'), bytes.LastIndexByte(raw, '}')
	if from < 0 || to < from {
		return nil, nil
	}
	return raw[from : to+1], func(text []byte) []byte { return bytes.Join([][]byte{raw[:from], text, raw[to+1:]}, nil) }
}

// ends: wherever a stream is stopped, what closes it is events that say why.
func (s Suite) ends(t *testing.T, open func() wire.Stream, raw [][]byte) {
	r := wire.Refusal{Message: `blocked: "it" says no`, Code: "blocked_by_guard", ID: "rec-1"}
	for k := range len(raw) + 1 {
		st := open()
		for _, before := range raw[:k] {
			if _, err := st.Event(before); err != nil {
				t.Fatal(err)
			}
		}
		end := st.End(r)
		if len(end) == 0 {
			t.Fatalf("nothing ends the stream after %d events", k)
		}
		_, events, err := Read(st, end, func() int { return len(end) })
		if err != nil {
			t.Fatalf("the end after %d events: %v", k, err)
		}
		said := false
		for _, e := range events {
			for _, d := range e.Deltas {
				said = said || strings.Contains(d.Text, r.Message) && strings.Contains(d.Text, r.ID)
			}
			if len(e.Unknown) > 0 {
				t.Errorf("the end after %d events has unknown things: %v", k, e.Unknown)
			}
		}
		if !said {
			t.Errorf("the end after %d events does not say why: %q", k, end)
		}
	}
}
