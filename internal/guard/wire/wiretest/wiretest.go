// Package wiretest is the conformance suite of model API formats: recorded
// exchanges, and what every format must do with any body and any stream.
//
// A case is a txtar file. Its comment is "METHOD PATH", then "minor:" lines for
// answers of which other content types than JSON and SSE are meant. Its files are
// request, answer and stream, and beside each a .want with what was found, written
// by WIRE_UPDATE=1 and read by people: parts, unknown things, and the words that
// the format knows to be no text ("word"). A stream in binary frames is base64.
package wiretest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/tape"
)

// Suite is a format and what its cases need.
type Suite struct {
	Format wire.Format
	Dir    string // of the cases
	// Unframe takes the JSON out of an event, and returns what puts another in its place; nil for text.
	Unframe func(raw []byte) (text []byte, again func([]byte) []byte)
	// Least is how many bodies (requests and answers) and streams there must be.
	LeastBodies, LeastStreams int
}

// Case is one recorded exchange.
type Case struct {
	Name       string
	Head       wire.Head
	StreamType string
	Files      map[string][]byte
	archive    *txtar.Archive
	path       string
}

// Cases reads the folder.
func Cases(t testing.TB, dir string) []*Case {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases in %s: %v", dir, err)
	}
	var out []*Case
	for _, p := range paths {
		a, err := txtar.ParseFile(p)
		if err != nil {
			t.Fatal(err)
		}
		c := &Case{Name: strings.TrimSuffix(filepath.Base(p), ".txtar"), StreamType: "text/event-stream", Files: map[string][]byte{}, archive: a, path: p}
		c.Head.ContentType = "application/json"
		for i, line := range strings.Split(strings.TrimSpace(string(a.Comment)), "\n") {
			if i == 0 {
				c.Head.Method, c.Head.Path, _ = strings.Cut(line, " ")
			} else if v, ok := strings.CutPrefix(line, "stream: "); ok {
				c.StreamType = v
			}
		}
		for _, f := range a.Files {
			data := f.Data
			if f.Name == "request" || f.Name == "answer" {
				data = []byte(strings.TrimSuffix(string(data), "\n"))
			}
			if f.Name == "stream" && strings.HasPrefix(c.StreamType, "application/vnd.") {
				if data, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), "")); err != nil {
					t.Fatalf("%s: %v", p, err)
				}
			}
			c.Files[f.Name] = data
		}
		out = append(out, c)
	}
	return out
}

// StreamHead is the head of the streamed answer.
func (c *Case) StreamHead() wire.Head {
	h := c.Head
	h.ContentType = c.StreamType
	return h
}

// read reads a request or an answer.
func (c *Case) read(f wire.Format, file string, body []byte) (*wire.Message, error) {
	if file == "request" {
		return f.Request(c.Head, body)
	}
	return f.Answer(c.Head, body)
}

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Helper()
	cases := Cases(t, s.Dir)
	bodies, streams := 0, 0
	for _, c := range cases {
		for _, file := range []string{"request", "answer"} {
			if body, ok := c.Files[file]; ok {
				bodies++
				t.Run(c.Name+"/"+file, func(t *testing.T) { s.body(t, c, file, body) })
			}
		}
		if data, ok := c.Files["stream"]; ok {
			streams++
			t.Run(c.Name+"/stream", func(t *testing.T) { s.stream(t, c, data) })
		}
	}
	if bodies < s.LeastBodies || streams < s.LeastStreams || s.LeastBodies < 2 {
		t.Errorf("%d bodies and %d streams, want at least %d and %d (and those at least 2)", bodies, streams, s.LeastBodies, s.LeastStreams)
	}
	t.Run("at once", func(t *testing.T) { s.atOnce(t, cases) })
	t.Run("heads", func(t *testing.T) { s.heads(t, cases) })
	t.Run("refusals", func(t *testing.T) { s.refusals(t, cases) })
}

// body checks one whole body.
func (s Suite) body(t *testing.T, c *Case, file string, body []byte) {
	m, err := c.read(s.Format, file, body)
	if err != nil {
		t.Fatal(err)
	}
	c.want(t, file, Describe(m)+s.words(t, c, file, body))
	spans(t, body, m.Parts)
	s.rewrites(t, c, file, body, m)
	s.planted(t, c, file, body)
	for name, bad := range Twisted(body) {
		if _, err := c.read(s.Format, file, bad); !isUnknown(err) {
			t.Errorf("%s: error %v, want a *wire.Unknown", name, err)
		}
	}
}

func isUnknown(err error) bool {
	var u *wire.Unknown
	return errors.As(err, &u)
}

// want compares with what is recorded.
func (c *Case) want(t *testing.T, file, got string) {
	t.Helper()
	name := file + ".want"
	if os.Getenv("WIRE_UPDATE") == "" {
		if want := string(c.Files[name]); got != want {
			t.Errorf("%s of %s:\n%s\nwant:\n%s", name, c.path, got, want)
		}
		return
	}
	for i := range c.archive.Files {
		if c.archive.Files[i].Name == name {
			c.archive.Files[i].Data = []byte(got)
			c.save(t)
			return
		}
	}
	c.archive.Files = append(c.archive.Files, txtar.File{Name: name, Data: []byte(got)})
	c.save(t)
}

func (c *Case) save(t *testing.T) {
	if err := os.WriteFile(c.path, txtar.Format(c.archive), 0o600); err != nil { // of a file that is there the rights stay
		t.Fatal(err)
	}
}

// Describe is a message as text.
func Describe(m *wire.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "model %q stream %v max %d user %q\n", m.Model, m.Stream, m.MaxTokens, m.User)
	describeUsage(&b, m.Usage)
	for _, p := range m.Parts {
		b.WriteString(describePart(p))
	}
	for _, u := range m.Unknown {
		fmt.Fprintf(&b, "unknown %s\n", u)
	}
	return b.String()
}

func describeUsage(b *strings.Builder, u *wire.Usage) {
	if u != nil {
		fmt.Fprintf(b, "usage in %d out %d read %d write %d reasoning %d\n", u.Input, u.Output, u.CacheRead, u.CacheWrite, u.Reasoning)
	}
}

func describePart(p wire.Part) string {
	s := fmt.Sprintf("%s %s", p.Kind, p.Where)
	if p.Name != "" {
		s += fmt.Sprintf(" [%s]", p.Name)
	}
	if p.Kind == wire.Media {
		s += fmt.Sprintf(" %s %d bytes", p.Media, p.Size)
	}
	if p.Text != "" {
		s += fmt.Sprintf(" %q", p.Text)
	}
	if p.Span == (wire.Span{}) {
		s += " (not in place)"
	}
	return s + "\n"
}

// words lists the strings in which a word is taken for no text.
func (s Suite) words(t *testing.T, c *Case, file string, body []byte) string {
	var out []string
	each(t, body, func(where string, key bool, span wire.Span) {
		if key {
			return
		}
		m, err := c.read(s.Format, file, splice(body, span, `"Zqword77"`))
		if err == nil && !finds(m.Parts, m.Unknown, "Zqword77", where) && m.Model != "Zqword77" {
			out = append(out, "word "+where+"\n")
		}
	})
	return strings.Join(out, "")
}

// planted puts a sentence into every string and every object: none may pass unseen.
func (s Suite) planted(t *testing.T, c *Case, file string, body []byte) {
	n := 0
	each(t, body, func(where string, key bool, span wire.Span) {
		n++
		m, err := c.read(s.Format, file, splice(body, span, `"Zq marker 77"`))
		if err != nil {
			if !isUnknown(err) {
				t.Errorf("%s: %v", where, err)
			}
		} else if !finds(m.Parts, nil, "Zq marker 77", where) {
			t.Errorf("a sentence in %s (key: %v) is in no part", where, key)
		}
	})
	for i, b := range body {
		if b != '{' || inString(body, i) {
			continue
		}
		rest := strings.TrimLeft(string(body[i+1:]), " \n\t")
		planted := string(body[:i+1]) + `"zq field 77":"Zq marker 77"`
		if !strings.HasPrefix(rest, "}") {
			planted += ","
		}
		m, err := c.read(s.Format, file, []byte(planted+rest))
		if err == nil && !finds(m.Parts, nil, "Zq marker 77", "") {
			t.Errorf("a field planted at byte %d is in no part", i)
		}
	}
	if n < 4 {
		t.Errorf("only %d strings", n)
	}
}

func finds(parts []wire.Part, unknown []string, marker, where string) bool {
	for _, p := range parts {
		if strings.Contains(p.Text, marker) || p.Kind == wire.Media && (strings.Contains(p.Media, marker) || p.Where == where) {
			return true
		}
	}
	return slices.Contains(unknown, where)
}

func inString(body []byte, at int) bool {
	in := false
	for i := 0; i < at; i++ {
		switch {
		case body[i] == '\\' && in:
			i++
		case body[i] == '"':
			in = !in
		}
	}
	return in
}

// each visits every string and key of a body.
func each(t testing.TB, body []byte, visit func(where string, key bool, span wire.Span)) {
	var p tape.Tape
	if err := p.Read(body); err != nil {
		t.Fatal(err)
	}
	var walk func(n int, where string)
	walk = func(n int, where string) {
		span := func(n int) wire.Span { return wire.Span{From: int(p.Nodes[n].From), To: int(p.Nodes[n].To)} }
		switch p.Nodes[n].Kind {
		case tape.String:
			visit(where, false, span(n))
		case tape.Array:
			for k, i := n+1, 0; k < int(p.Nodes[n].Next); k, i = int(p.Nodes[k].Next), i+1 {
				walk(k, fmt.Sprintf("%s/%d", where, i))
			}
		case tape.Object:
			for k := n + 1; k < int(p.Nodes[n].Next); k = int(p.Nodes[k+1].Next) {
				at := where + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p.String(k))
				visit(at, true, span(k))
				walk(k+1, at)
			}
		}
	}
	walk(0, "")
}

func splice(body []byte, s wire.Span, text string) []byte {
	return slices.Concat(body[:s.From], []byte(text), body[s.To:])
}
