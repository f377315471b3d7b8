package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"bartizan/internal/ioc"
	"bartizan/internal/lake/query"
	"bartizan/internal/source/transport"

	"github.com/spf13/cobra"
)

// sighting is what was found about one indicator.
type sighting struct {
	ioc.Indicator
	Where []query.Match `json:"where"`
}

// iocReport is the answer of hunt --ioc.
type iocReport struct {
	Format     string          `json:"list_format"`
	Indicators int             `json:"indicators"`
	Found      []sighting      `json:"found"`
	Unusable   int             `json:"unusable"`
	Problems   []ioc.Problem   `json:"problems"`
	NotLooked  []query.Skipped `json:"not_looked_at"`
	Files      int             `json:"files"`
	Truncated  bool            `json:"truncated,omitempty"` // of a node elsewhere: there are more matches
}

func (g *global) huntIOC(cmd *cobra.Command, engine *query.Engine, f *huntFlags, rng query.Range, limits query.Limits) error {
	list, err := g.readIOC(f.ioc)
	if err != nil {
		return usage(err)
	}
	res, err := engine.Match(cmd.Context(), list.Indicators, rng, limits)
	if err != nil {
		return huntError(err)
	}
	r := iocReport{Format: list.Format, Indicators: len(list.Indicators), Found: []sighting{}, Unusable: list.Unusable,
		Problems: list.Problems, NotLooked: res.NotLooked, Files: res.Files}
	if r.Problems == nil {
		r.Problems = []ioc.Problem{}
	}
	if r.NotLooked == nil {
		r.NotLooked = []query.Skipped{}
	}
	at := map[int]int{}
	for _, m := range res.Matches {
		i, ok := at[m.Indicator]
		if !ok {
			i = len(r.Found)
			at[m.Indicator] = i
			r.Found = append(r.Found, sighting{Indicator: list.Indicators[m.Indicator]})
		}
		r.Found[i].Where = append(r.Found[i].Where, m)
	}
	return g.iocAnswer(f.ioc, &r)
}

// iocAnswer prints what was found of a list and picks the exit code.
func (g *global) iocAnswer(path string, r *iocReport) (err error) {
	if g.format == "jsonl" {
		err = showAll(g, r.Found, nil)
	} else {
		err = show(g, r, func(w io.Writer) error { return printIOC(w, r) })
	}
	if err != nil {
		return err
	}
	g.sayProblems(path, r)
	switch {
	case r.Truncated:
		fmt.Fprintf(g.env.Stderr, "cut: there are more matches; look for a part of the list, or for a shorter time\n")
		fallthrough
	case len(r.NotLooked) > 0:
		if err := g.huntIncomplete(r.NotLooked, false, 0); err != nil {
			return err
		}
		return &exitError{code: ExitBlind}
	case len(r.Found) > 0:
		return &exitError{code: ExitFinding}
	}
	return nil
}

// openIOC opens a list, which may be packed, and says how to close it; - is
// standard input.
func (g *global) openIOC(path string) (io.Reader, func(), error) {
	in, shut := g.env.Stdin, func() {}
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, nil, err
		}
		in, shut = f, func() { _ = f.Close() } // it was only read
	}
	list, unpacked, err := transport.Decompress(in)
	if err != nil {
		shut()
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	}
	return list, func() { unpacked(); shut() }, nil
}

func (g *global) readIOC(path string) (*ioc.List, error) {
	in, done, err := g.openIOC(path)
	if err != nil {
		return nil, err
	}
	defer done()
	list, err := ioc.Read(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", oneLine(path, 200), err)
	}
	if len(list.Indicators) == 0 {
		first := ""
		if len(list.Problems) > 0 {
			first = fmt.Sprintf(": line %d: %s", list.Problems[0].Line, oneLine(list.Problems[0].Reason, 200))
		}
		return nil, fmt.Errorf("%s: none of its %d entries can be looked for%s", oneLine(path, 200), list.Unusable, first)
	}
	return list, nil
}

// sayProblems lists what of the list was not looked for, when the format has no place for it.
func (g *global) sayProblems(path string, r *iocReport) {
	if g.format == "json" {
		return
	}
	const shown = 20
	for i, p := range r.Problems {
		if i == shown {
			break
		}
		fmt.Fprintf(g.env.Stderr, "not looked for: %s:%d: %s: %s\n", oneLine(path, 200), p.Line, oneLine(p.Text, 80), oneLine(p.Reason, 200))
	}
	if r.Unusable > shown {
		fmt.Fprintf(g.env.Stderr, "not looked for: %d more (--format json lists them)\n", r.Unusable-shown)
	}
}

func printIOC(w io.Writer, r *iocReport) error {
	for _, s := range r.Found {
		fmt.Fprintf(w, "%s:%s  (line %d%s)\n", s.Type, oneLine(s.Value, 120), s.Line, noteText(s.Note))
		for _, m := range s.Where {
			fmt.Fprintf(w, "    %s.%s  %d×  %s … %s", m.View, m.Column, m.Count, m.First.UTC().Format(time.RFC3339), m.Last.UTC().Format(time.RFC3339))
			if m.Value != s.Value {
				fmt.Fprintf(w, "  as %s", oneLine(m.Value, 80))
			}
			fmt.Fprintln(w)
			if len(m.Sessions) > 0 {
				fmt.Fprintf(w, "        sessions  %s\n", oneLine(strings.Join(m.Sessions, " "), 200))
			}
			for _, e := range m.Evidence {
				fmt.Fprintf(w, "        bytes     bartizan evidence %s\n", oneLine(e, 80))
			}
		}
	}
	_, err := fmt.Fprintf(w, "%d of %d indicators found, in %d files\n", len(r.Found), r.Indicators, r.Files)
	return err
}

func noteText(s string) string {
	if s == "" {
		return ""
	}
	return ": " + oneLine(s, 80)
}

func (g *global) huntList() error {
	all, err := query.SavedAll()
	if err != nil {
		return err
	}
	return showAll(g, all, func(w io.Writer) error {
		for _, s := range all {
			fmt.Fprintf(w, "%s  %s\n    %s\n", s.Name, s.Title, s.Doc)
			for _, p := range s.Params {
				must := "required"
				if p.Default != nil {
					must = fmt.Sprintf("default %q", *p.Default)
				}
				fmt.Fprintf(w, "    --param %s=…  %s (%s)\n", p.Name, p.Doc, must)
			}
		}
		return nil
	})
}
