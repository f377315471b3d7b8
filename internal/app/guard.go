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
	"bartizan/internal/app/scoring"
	"bartizan/internal/builtin"
	"bartizan/internal/conf"
	"bartizan/internal/guard"
	"bartizan/internal/safe"
	"bartizan/internal/source/transport"
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
	ID      json.RawMessage // as it was given
	Verdict guard.Verdict
	Refused string // why the text was not looked at; then Verdict is to block
}

// ScoreReport sums up a run.
type ScoreReport struct {
	Inputs, Lines, Malformed, Flagged, Failed int
	Examples                                  []string // of malformed lines, where and why; a few
}

// Score reads {"id","text"} lines (role may be present) and hands out a
// verdict for each that has an id, in order. Malformed lines are counted; what
// cannot be looked at is refused, and a line without an id is skipped.
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
		looked, malformed, err := scoreFile(ctx, engine, name, in, &rep, found)
		var unread *UnreadError
		switch {
		case errors.As(err, &unread):
			failed = append(failed, unread.Inputs...)
		case err != nil:
			return rep, err
		case looked == 0 && malformed > 0:
			failed = append(failed, fmt.Errorf("read %s: no line of it is an object with id and text", safe.Clean(name, 200)))
		}
	}
	if len(failed) > 0 {
		return rep, &UnreadError{Inputs: failed}
	}
	return rep, nil
}

// scoreFile is an UnreadError when the rest of the input could not be read.
func scoreFile(ctx context.Context, engine *guard.Engine, name string, in io.Reader, rep *ScoreReport, found func(Scored) error) (looked, malformed int, err error) {
	unread := func(err error) error {
		return &UnreadError{Inputs: []error{fmt.Errorf("read %s: %w", safe.Clean(name, 200), err)}}
	}
	plain, done, err := transport.Decompress(in)
	if err != nil {
		return 0, 0, unread(err)
	}
	defer done()
	r := bufio.NewReaderSize(plain, 64<<10)
	for n := 1; ; n++ {
		line, tooLong, err := scoring.Read(r)
		if ctx.Err() != nil {
			return looked, malformed, fmt.Errorf("stopped at line %d of %s: %w", n, safe.Clean(name, 200), ctx.Err())
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return looked, malformed, unread(err)
		}
		if tooLong || len(bytes.TrimSpace(line)) > 0 {
			l, why := scoring.Parse(line, tooLong)
			if why == "" {
				looked++
			} else if malformed++; len(rep.Examples) < 5 {
				rep.Examples = append(rep.Examples, fmt.Sprintf("%s, line %d: %s", safe.Clean(name, 200), n, why))
			}
			if err := scoreOne(engine, l, why, rep, found); err != nil {
				return looked, malformed, err
			}
		}
		if errors.Is(err, io.EOF) {
			return looked, malformed, nil
		}
	}
}

func scoreOne(engine *guard.Engine, l scoring.Line, why string, rep *ScoreReport, found func(Scored) error) error {
	if why != "" {
		rep.Malformed++
	}
	if l.ID == nil {
		return nil // nobody waits for an answer
	}
	rep.Lines++
	s := Scored{ID: l.ID, Refused: why}
	if why == "" {
		role, _ := guard.ParseRole(l.Role) // an unknown name is an unknown role
		inspect := engine.Inspect
		if l.Role != "assistant" && role != guard.Unknown { // on its way to a model, as a gateway sees it
			inspect = engine.InspectAsked
		}
		var err error
		if s.Verdict, err = inspect(l.Text, role); err != nil {
			s.Refused = err.Error()
		}
	}
	reports := s.Verdict.Reports
	if s.Refused != "" {
		s.Verdict = guard.Verdict{Action: guard.Block, Score: 1, Category: guard.Shape}
	}
	if s.Verdict.Action != guard.Allow {
		rep.Flagged++
	}
	for _, r := range reports {
		if r.State == guard.Failed {
			rep.Failed++
			break
		}
	}
	return found(s)
}
