package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"bartizan/internal/app/gate"
	"bartizan/internal/builtin"
	"bartizan/internal/conf"
	"bartizan/internal/guard"
	"bartizan/internal/safe"
)

// ScoreRequest says what to score and what with.
type ScoreRequest struct {
	Inputs []string // files of JSON lines, "-" for Stdin
	Stdin  io.Reader
	Policy string   // file with options of inspectors by name; empty: the defaults
	Lists  []string // of hostile hosts, addresses and URLs, as a gateway has them
}

// Scored is the verdict on one line.
type Scored struct {
	ID      json.RawMessage // as it was given: a string or a number
	Verdict guard.Verdict
	Refused string // why the text was not looked at; then Verdict is to block
}

// ScoreReport sums up a run.
type ScoreReport struct {
	Inputs, Lines, Malformed, Flagged, Failed int
	Examples                                  []string // of malformed lines, where and why; a few
}

// maxScoreLine is the longest line that is read: a text of guard.MaxText whose
// every byte is escaped, and some.
const maxScoreLine = 6*guard.MaxText + 64<<10

const maxScoreID = 1024

type scoreLine struct {
	ID   json.RawMessage `json:"id"`
	Text *string         `json:"text"`
	Role string          `json:"role"`
}

// Score reads {"id","text"} lines (role may be present) and hands out a
// verdict for each, in order. Malformed lines are counted and skipped.
func Score(ctx context.Context, q ScoreRequest, found func(Scored) error) (ScoreReport, error) {
	var rep ScoreReport
	options := map[string]conf.Raw{}
	if q.Policy != "" {
		var err error
		if options, err = conf.Load(q.Policy, options); err != nil {
			return rep, err
		}
	}
	engine, err := builtin.BuildGuard(options)
	if err != nil {
		return rep, err
	}
	if len(q.Lists) > 0 {
		known, err := gate.NewIntel(nil, q.Lists, slog.New(slog.DiscardHandler))
		if err != nil {
			return rep, err
		}
		engine.Inform(known)
	}
	var failed []error
	for _, name := range q.Inputs {
		rep.Inputs++
		in := q.Stdin
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				failed = append(failed, fmt.Errorf("open %s: %w", safe.Clean(name, 200), errors.Unwrap(err)))
				continue
			}
			defer f.Close()
			in = f
		}
		before := rep.Lines
		if err := scoreFile(ctx, engine, name, in, &rep, found); err != nil {
			return rep, err
		}
		if rep.Lines == before && rep.Malformed > 0 {
			failed = append(failed, fmt.Errorf("read %s: no line of it is an object with id and text", safe.Clean(name, 200)))
		}
	}
	if len(failed) > 0 {
		return rep, &UnreadError{Inputs: failed}
	}
	return rep, nil
}

func scoreFile(ctx context.Context, engine *guard.Engine, name string, in io.Reader, rep *ScoreReport, found func(Scored) error) error {
	r := bufio.NewReaderSize(in, 64<<10)
	for n := 1; ; n++ {
		line, tooLong, err := readLine(r, maxScoreLine)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return &UnreadError{Inputs: []error{fmt.Errorf("read %s: %w", safe.Clean(name, 200), err)}}
		}
		if tooLong || len(bytes.TrimSpace(line)) > 0 {
			l, why := parseScoreLine(line, tooLong)
			if why != "" {
				rep.Malformed++
				if len(rep.Examples) < 5 {
					rep.Examples = append(rep.Examples, fmt.Sprintf("%s, line %d: %s", safe.Clean(name, 200), n, why))
				}
			} else if err := scoreOne(engine, l, rep, found); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}

func scoreOne(engine *guard.Engine, l scoreLine, rep *ScoreReport, found func(Scored) error) error {
	rep.Lines++
	s := Scored{ID: l.ID}
	role, _ := guard.ParseRole(l.Role) // an unknown name is an unknown role
	v, err := engine.Inspect(*l.Text, role)
	s.Verdict = v
	if err != nil {
		s.Refused = err.Error()
		s.Verdict = guard.Verdict{Action: guard.Block, Score: 1, Category: guard.Shape}
	}
	if s.Verdict.Action != guard.Allow {
		rep.Flagged++
	}
	for _, r := range v.Reports {
		if r.State == guard.Failed {
			rep.Failed++
			break
		}
	}
	return found(s)
}

func parseScoreLine(line []byte, tooLong bool) (l scoreLine, why string) {
	if tooLong {
		return l, fmt.Sprintf("longer than %d bytes", maxScoreLine)
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return l, "no JSON object with id, text and role"
	}
	id := bytes.TrimSpace(l.ID)
	switch {
	case len(id) == 0 || id[0] != '"' && id[0] != '-' && (id[0] < '0' || id[0] > '9'):
		return l, "no id that is a string or a number"
	case len(id) > maxScoreID:
		return l, fmt.Sprintf("an id of more than %d bytes", maxScoreID)
	case l.Text == nil:
		return l, "no text"
	}
	l.ID = id
	return l, ""
}

// readLine reads up to a line end; of a line longer than limit it returns
// nothing and goes on behind it.
func readLine(r *bufio.Reader, limit int) (line []byte, tooLong bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit {
			tooLong, line = true, nil
		} else if !tooLong {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tooLong, err
		}
	}
}
