package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"bartizan/internal/jail"
	"bartizan/internal/lake"
)

// order is what the engine's process is told first on its standard input.
type order struct {
	Lake   string      `json:"lake"`
	Limits Limits      `json:"limits"`
	SQL    string      `json:"sql,omitempty"`
	Params []Param     `json:"params,omitempty"`
	Match  *matchOrder `json:"match,omitempty"` // instead of SQL
}

// supply is what it is told next, when it has understood the statement and said for which times it wants files.
type supply struct {
	Files map[string][]string `json:"files"` // by class, relative to the lake
}

// wanted asks for the supply. It comes once.
type wanted struct {
	Spans map[string]span        `json:"spans"` // by class; those that are not named are read whole
	Any   map[string][]lake.Need `json:"any"`   // by class, likewise: what every row that counts fulfils
}

// reply is one frame of its answer on standard output. Exactly one field is set.
type reply struct {
	Wanted  *wanted             `json:"wanted,omitempty"`
	Reset   bool                `json:"reset,omitempty"` // forget the rows so far: they are sent again
	Columns []Column            `json:"columns,omitempty"`
	Rows    [][]json.RawMessage `json:"rows,omitempty"`
	Matches []Match             `json:"matches,omitempty"`
	Done    *done               `json:"done,omitempty"`
	Wrong   *StatementError     `json:"wrong,omitempty"`
	Limit   string              `json:"limit,omitempty"`
	Failed  string              `json:"failed,omitempty"`
}

type done struct {
	Files     int       `json:"files"`
	Truncated bool      `json:"truncated,omitempty"`
	Gone      bool      `json:"gone,omitempty"` // a file was no longer there
	NotLooked []Skipped `json:"not_looked_at,omitempty"`
}

// Bounds of one frame: the child fills it up to frameAim, one row may go beyond.
const (
	frameAim   = 256 << 10
	frameMax   = 8 << 20
	maxColumns = 2048
	maxSkipped = 10_000
)

// collect reads the answer. It believes nothing: sizes are bounded, and each row must have as many cells as columns.
// give is called when the files are asked for.
func collect(from io.Reader, l Limits, give func(wanted) error) (*Result, error) {
	frames := jail.NewFrameReader(from, frameMax)
	res := &Result{Columns: []Column{}, Rows: [][]json.RawMessage{}}
	var size int64
	for {
		raw, err := frames.Read()
		if err != nil {
			return res, fmt.Errorf("hunt: read the engine's answer: %w", err)
		}
		var r reply
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			return res, fmt.Errorf("hunt: the engine's answer makes no sense: %w", errors.Join(err, jail.ErrFrame))
		}
		switch {
		case r.Wanted != nil:
			if give == nil {
				return res, fmt.Errorf("hunt: the engine's answer makes no sense: %w", jail.ErrFrame)
			}
			if err := give(*r.Wanted); err != nil {
				return res, err
			}
			give = nil
		case r.Wrong != nil:
			return res, r.Wrong
		case r.Limit != "":
			return res, fmt.Errorf("hunt: %.400s: %w", r.Limit, ErrLimit)
		case r.Failed != "":
			return res, fmt.Errorf("hunt: %.2000s", r.Failed)
		case r.Done != nil:
			if len(r.Done.NotLooked) > maxSkipped {
				return res, fmt.Errorf("hunt: the engine's answer makes no sense: %w", jail.ErrFrame)
			}
			res.Files, res.NotLooked, res.Truncated, res.gone = r.Done.Files, r.Done.NotLooked, r.Done.Truncated, r.Done.Gone
			return res, nil
		case r.Reset:
			res.Columns, res.Rows, size = []Column{}, res.Rows[:0], 0
		case r.Matches != nil:
			if res.matches, err = readMatches(res.matches, r.Matches); err != nil {
				return res, err
			}
		case r.Columns != nil:
			if len(r.Columns) > maxColumns {
				return res, fmt.Errorf("hunt: %d columns, at most %d: %w", len(r.Columns), maxColumns, ErrLimit)
			}
			res.Columns = r.Columns
		default:
			size += int64(len(raw))
			for _, row := range r.Rows {
				if len(row) != len(res.Columns) {
					return res, fmt.Errorf("hunt: the engine's answer makes no sense: %w", jail.ErrFrame)
				}
			}
			res.Rows = append(res.Rows, r.Rows...)
			if len(res.Rows) > l.Rows || size > l.Bytes {
				res.Rows, res.Truncated = res.Rows[:min(len(res.Rows), l.Rows)], true
				return res, nil
			}
		}
	}
}
