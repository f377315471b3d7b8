package wiretest

import (
	"encoding/json"
	"strings"
	"testing"

	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/tape"
)

// FuzzBody fuzzes requests or answers from the suite's cases: no panic, no error
// but *wire.Unknown, nothing taken that the standard library refuses, every part
// where it says, and no sentence that is in no part.
func FuzzBody(f *testing.F, s Suite, file string) {
	cases := Cases(f, s.Dir)
	for i, c := range cases {
		if body, ok := c.Files[file]; ok {
			f.Add(uint8(i), body)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		c := cases[int(which)%len(cases)]
		m, err := c.read(s.Format, file, body)
		if err != nil {
			if !isUnknown(err) {
				t.Fatalf("error %v is no *wire.Unknown", err)
			}
			return
		}
		if len(body) == 0 {
			return
		}
		if !json.Valid(body) {
			t.Fatal("taken, but no JSON for the standard library")
		}
		spans(t, body, m.Parts)
		if !strings.Contains(c.Head.Path, "/models") && !strings.HasSuffix(c.Head.Path, "/tags") {
			unseen(t, body, m.Parts)
		}
	})
}

// unseen looks for sentences that are in no part.
func unseen(t *testing.T, body []byte, parts []wire.Part) {
	t.Helper()
	var p tape.Tape
	if err := p.Read(body); err != nil {
		t.Fatal(err)
	}
	if len(p.Nodes)*len(parts) > 1e6 {
		return
	}
	for n, node := range p.Nodes {
		if node.Kind != tape.String {
			continue
		}
		text, raw := p.String(n), string(p.Raw(n))
		if !strings.ContainsAny(text, " \n\t") {
			continue
		}
		seen := false
		for _, part := range parts {
			seen = seen || strings.Contains(part.Text, text) || strings.Contains(part.Text, raw) || part.Kind == wire.Media && part.Span.From == int(node.From)
		}
		if !seen {
			t.Fatalf("%q is in no part", text)
		}
	}
}

// FuzzStream fuzzes streams: no panic, no error but *wire.Unknown, every event
// moves on, every delta where it says.
func FuzzStream(f *testing.F, s Suite) {
	cases := Cases(f, s.Dir)
	var streams []*Case
	for _, c := range cases {
		if data, ok := c.Files["stream"]; ok {
			f.Add(uint8(len(streams)), data)
			streams = append(streams, c)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		c := streams[int(which)%len(streams)]
		st, err := s.Format.Stream(c.StreamHead())
		if err != nil {
			t.Fatal(err)
		}
		for len(data) > 0 {
			n, err := st.Split(data)
			if err != nil && !isUnknown(err) || n < 0 || n > len(data) {
				t.Fatalf("%d of %d bytes, error %v", n, len(data), err)
			}
			if n == 0 || err != nil {
				break
			}
			ev, err := st.Event(data[:n])
			if err != nil && !isUnknown(err) {
				t.Fatalf("error %v is no *wire.Unknown", err)
			}
			if err == nil && s.Unframe == nil {
				var parts []wire.Part
				for _, d := range ev.Deltas {
					parts = append(parts, d.Part)
				}
				spans(t, data[:n], parts)
			}
			data = data[n:]
		}
		st.End(wire.Refusal{Message: "no", Code: "blocked_by_guard"})
	})
}
