// Package query answers questions about the evidence lake in SQL. The engine (DuckDB, linked with cgo) runs in a child
// process that is locked in before the engine opens anything: it reads the lake's files and nothing else, writes nothing
// but its answer, has no network, and ends when its memory, time or output is used up. What the child says is treated as
// hostile, because a Parquet file or a statement may have taken it over.
//
// The package never changes a lake and keeps nothing between two questions.
package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"bartizan/internal/jail"
	"bartizan/internal/lake"
)

// ChildVerb is the first and only argument of the engine's process.
const ChildVerb = "hunt-engine"

// Limits of one question. The zero value means the defaults.
type Limits struct {
	Rows    int           `json:"rows,omitempty"`    // of the answer; default 100,000
	Bytes   int64         `json:"bytes,omitempty"`   // of the answer as JSON; default 64 MiB
	Memory  int64         `json:"memory,omitempty"`  // of the engine, bytes; default 640 MiB, nothing is spilled to disk
	Time    time.Duration `json:"time,omitempty"`    // from start to end; default 2 minutes
	Threads int           `json:"threads,omitempty"` // default 2
}

// The defaults and the most that can be asked for.
const (
	DefaultRows   = 100_000
	DefaultBytes  = 64 << 20
	DefaultMemory = 640 << 20
	DefaultTime   = 2 * time.Minute
	MaxRows       = 10_000_000
	MaxBytes      = 1 << 30
	MaxSQL        = 256 << 10
	MaxParams     = 64
	minMemory     = 64 << 20
	maxTime       = 2 * time.Hour
)

func (l *Limits) fill() error {
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	rows, threads, span := int64(l.Rows), int64(l.Threads), int64(l.Time)
	def(&rows, DefaultRows)
	def(&threads, 2)
	def(&span, int64(DefaultTime))
	def(&l.Bytes, DefaultBytes)
	def(&l.Memory, DefaultMemory)
	l.Rows, l.Threads, l.Time = int(rows), int(threads), time.Duration(span)
	switch {
	case l.Rows < 0 || l.Rows > MaxRows:
		return fmt.Errorf("limit of %d rows: use 1 to %d", l.Rows, MaxRows)
	case l.Bytes < 0 || l.Bytes > MaxBytes:
		return fmt.Errorf("limit of %d bytes: use 1 to %d", l.Bytes, int64(MaxBytes))
	case l.Memory < minMemory:
		return fmt.Errorf("limit of %d bytes of memory: use at least %d", l.Memory, minMemory)
	case l.Time < 0 || l.Time > maxTime:
		return fmt.Errorf("limit of %v: use at most %v", l.Time, maxTime)
	case l.Threads < 1 || l.Threads > 256:
		return fmt.Errorf("%d threads: use 1 to 256", l.Threads)
	}
	return nil
}

// Request is one question.
type Request struct {
	SQL    string  // exactly one SELECT, or EXPLAIN of one
	Params []Param // bound to $name in SQL, never pasted into it
	Range  Range   // the partitions to read
	Limits Limits
}

// Param is a value for $Name in a statement. It is bound as text; the statement casts where it wants something else.
type Param struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Range bounds the hours that are read: those that overlap [Since, Until). A zero time is no bound.
type Range struct {
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// Column is one column of an answer; Type is the engine's name for its type.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Skipped is a file that was not looked at, and why.
type Skipped struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// Result is an answer. Each cell is a JSON value: numbers with all their digits, times in RFC 3339 (UTC), bytes in base64,
// lists as arrays, structs as objects with their fields in order.
type Result struct {
	Columns   []Column            `json:"columns"`
	Rows      [][]json.RawMessage `json:"rows"`
	Truncated bool                `json:"truncated,omitempty"` // a limit of the answer cut it
	NotLooked []Skipped           `json:"not_looked_at,omitempty"`
	Files     int                 `json:"files"` // looked at

	matches []Match // of a retro-match
	gone    bool    // a file was no longer there
}

// ErrNoEngine says that this program was built without the engine.
var ErrNoEngine = errors.New("hunt: this program was built without the query engine; build it with cgo (CGO_ENABLED=1 and a C++ library: `make build CGO=1`), " +
	"or read the lake's Parquet files with any other tool")

// ErrLimit is wrapped when memory, time or size of the answer is used up.
var ErrLimit = errors.New("limit reached")

// StatementError says what is wrong with a statement: refused, or not understood.
type StatementError struct {
	Refused bool   `json:"refused,omitempty"` // not allowed, as opposed to wrong
	Message string `json:"message"`
	Line    int    `json:"line,omitempty"`   // from 1; 0 = not known
	Column  int    `json:"column,omitempty"` // from 1, in characters
	Near    string `json:"near,omitempty"`   // the name that was probably meant
}

func (e *StatementError) Error() string {
	s := e.Message
	if e.Line > 0 {
		s = fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, s)
	}
	if e.Near != "" {
		s += " (did you mean " + e.Near + "?)"
	}
	if e.Refused {
		return "refused: " + s
	}
	return "wrong SQL: " + s
}

// Engine asks questions about one lake.
type Engine struct {
	// Lake is the folder of the lake.
	Lake string
	// Select lists the files below Lake that are asked about, and may bring them there; nil is lake.Select.
	Select func(context.Context, lake.Filter) ([]lake.File, []lake.NotLookedAt, error)
	// Stderr gets what the engine's process prints, which is nothing as long as it is well.
	Stderr io.Writer
}

// Run asks one question. A *StatementError says the statement is wrong or refused, ErrLimit that the answer would need
// more than it may; a damaged file is no error but stands in Result.NotLooked. Nothing under the lake is changed.
func (e *Engine) Run(ctx context.Context, req Request) (*Result, error) {
	if err := checkRequest(&req); err != nil {
		return nil, err
	}
	return e.settle(ctx, mentioned(req.SQL), req.Range, order{Lake: e.Lake, Limits: req.Limits, SQL: req.SQL, Params: req.Params})
}

// maxSelects is how often files are selected again because some have been compacted away meanwhile.
const maxSelects = 4

// settle asks about the files there are, again when some of them are gone.
func (e *Engine) settle(ctx context.Context, want []*view, r Range, o order) (*Result, error) {
	for try := 1; ; try++ {
		// Before the engine is started: that there is no lake is better said than found out.
		if _, _, err := lake.Select(ctx, e.Lake, lake.Filter{Classes: []string{""}}); err != nil {
			return nil, fmt.Errorf("hunt: %w", err)
		}
		var skipped []Skipped
		res, err := e.ask(ctx, o, func(ctx context.Context, need wanted) (files map[string][]string, err error) {
			files, skipped, err = e.choose(ctx, want, r, need)
			return files, err
		})
		if err != nil {
			return nil, err
		}
		if !res.gone || try == maxSelects {
			res.NotLooked = append(skipped, res.NotLooked...)
			return res, nil
		}
	}
}

func checkRequest(req *Request) error {
	if !engineBuilt {
		return ErrNoEngine
	}
	if err := req.Limits.fill(); err != nil {
		return &StatementError{Message: err.Error()}
	}
	switch {
	case len(req.SQL) > MaxSQL:
		return &StatementError{Refused: true, Message: fmt.Sprintf("statement of %d bytes, at most %d", len(req.SQL), MaxSQL)}
	case len(req.Params) > MaxParams:
		return &StatementError{Refused: true, Message: fmt.Sprintf("%d parameters, at most %d", len(req.Params), MaxParams)}
	}
	return nil
}

// ask runs the engine's process for one order and collects what it answers. choose is called for the files once the
// engine knows which times the statement is about; what it fetches counts into the order's time.
func (e *Engine) ask(ctx context.Context, o order, choose func(context.Context, wanted) (map[string][]string, error)) (*Result, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Limits.Time)
	defer cancel()
	child, err := jail.StartReader(ctx, jail.ReaderSpec{Args: []string{ChildVerb}, Owner: o.Lake, Stderr: e.Stderr})
	if err != nil {
		return nil, fmt.Errorf("hunt: %w", err)
	}
	supplies, told := make(chan supply, 1), make(chan error, 1)
	go func() { // ends when the child reads or dies, and the supplies end
		to := json.NewEncoder(child.In)
		err := to.Encode(o)
		for s := range supplies {
			err = errors.Join(err, to.Encode(s))
		}
		told <- errors.Join(err, child.In.Close())
	}()
	res, rerr := collect(child.Out, o.Limits, func(w wanted) error {
		files, err := choose(ctx, w)
		if err == nil {
			supplies <- supply{files}
		}
		return err
	})
	close(supplies)
	if rerr != nil || res.Truncated {
		child.Kill()
	}
	child.Out.Close()
	werr := child.Wait()
	terr := <-told
	switch {
	case rerr == nil && (res.Truncated || werr == nil):
		return res, nil
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return nil, fmt.Errorf("hunt: no answer after %v (--timeout; --since and --until narrow what is read): %w", o.Limits.Time, ErrLimit)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("hunt: %w", ctx.Err())
	case rerr != nil && !errors.Is(rerr, io.EOF) && !errors.Is(rerr, io.ErrUnexpectedEOF):
		return nil, rerr
	case terr != nil && werr == nil:
		return nil, fmt.Errorf("hunt: ask the engine: %w", terr)
	}
	return nil, ended(werr, o.Limits)
}

// ended explains a child that died before its answer was complete.
func ended(err error, l Limits) error {
	var end *jail.EndError
	if errors.As(err, &end) && end.Signal != 0 {
		return fmt.Errorf("hunt: the engine was ended by %q: out of its memory (%d MiB, --memory) or crashed by a damaged file (`bartizan lake check`): %w",
			end.Signal, l.Memory>>20, ErrLimit)
	}
	if err == nil {
		err = errors.New("it said nothing")
	}
	return fmt.Errorf("hunt: no answer from the engine: %w", err)
}
