package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"bartizan/internal/api/token"
	"bartizan/internal/safe"

	"github.com/danielgtaylor/huma/v2"
)

// ErrBusy is what Node.Hunt wraps when too much is asked at once.
var ErrBusy = errors.New("busy")

// ErrBeyond is what Node.Hunt wraps when the answer would need more memory or time than it may.
var ErrBeyond = errors.New("limit reached")

// ErrUnable is what Node.Hunt wraps when this node cannot hunt at all.
var ErrUnable = errors.New("not possible here")

// Bounds of a hunt. Its time stays below that in which an answer must be sent.
const (
	HuntRows    = 10_000   // of an answer, when nothing else is asked for
	HuntBytes   = 16 << 20 // of an answer's rows
	HuntSeconds = 30
)

// HuntRequest is one statement about the evidence lake.
type HuntRequest struct {
	SQL     string            `json:"sql" minLength:"1" maxLength:"262144" doc:"one SELECT, or EXPLAIN of one, over the lake's views"`
	Params  map[string]string `json:"params,omitempty" maxProperties:"64" doc:"values for $name in the statement: bound as text, never pasted"`
	Since   time.Time         `json:"since,omitzero" doc:"only hours that overlap the time from here"`
	Until   time.Time         `json:"until,omitzero" doc:"only hours before"`
	Rows    int               `json:"rows,omitempty" minimum:"1" maximum:"100000" doc:"at most this many; default 10,000. More are cut, which is said"`
	Seconds int               `json:"seconds,omitempty" minimum:"1" maximum:"50" doc:"give up after this long; default 30"`
}

// HuntAnswer is what the lake says. A cell is a JSON value: numbers with all their digits, times in RFC 3339, bytes in base64.
type HuntAnswer struct {
	Columns   []HuntColumn        `json:"columns" nullable:"false"`
	Rows      [][]json.RawMessage `json:"rows" nullable:"false" doc:"as many cells as there are columns; hostile text"`
	Truncated bool                `json:"truncated" doc:"there are more rows than the limits allow"`
	Files     int                 `json:"files" doc:"looked at"`
	NotLooked []HuntSkipped       `json:"not_looked_at" nullable:"false" doc:"parts of the lake that the answer does not cover, such as damaged files"`
}

// HuntColumn is a column of an answer.
type HuntColumn struct {
	Name string `json:"name"`
	Type string `json:"type" doc:"the engine's name for it"`
}

// HuntSkipped is a file that was not looked at, and why.
type HuntSkipped struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// StatementError says what is wrong with a statement. Node.Hunt returns it, and the client's Hunt does too.
type StatementError struct {
	Text    string // all of it, for people
	Refused bool   // not allowed, as opposed to wrong
	Line    int    // from 1; 0: not known
	Column  int    // from 1, in characters
	Near    string // the name that was probably meant
}

func (e *StatementError) Error() string { return e.Text }

// Unwrap makes it a mistake of the caller.
func (e *StatementError) Unwrap() error { return ErrInput }

// StatementProblem is the problem (RFC 9457) of a statement that is refused or wrong, with the place as members of its own.
type StatementProblem struct {
	huma.ErrorModel
	Refused bool   `json:"refused,omitempty" doc:"not allowed, as opposed to wrong"`
	Line    int    `json:"line,omitempty" doc:"of the mistake, from 1"`
	Column  int    `json:"column,omitempty" doc:"from 1, in characters"`
	Near    string `json:"near,omitempty" doc:"the name that was probably meant"`
}

// statementPlace is what a client reads of it besides.
type statementPlace struct {
	Refused bool   `json:"refused"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Near    string `json:"near"`
}

func (s *Server) huntOperation(api huma.API) {
	op := operation("POST", "/v1/hunt", "hunt", "knowledge", "Ask the evidence lake one question in SQL; nothing is ever changed", token.Read, false)
	op.Errors = append(op.Errors, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusNotImplemented, http.StatusServiceUnavailable, http.StatusGatewayTimeout)
	op.Description = "One question is answered at a time: 503 says that another one is. 504 says that the answer needs more memory or time than it may. " +
		"404 says that nothing is kept yet, 501 that this node was built without the engine."
	op.Responses = map[string]*huma.Response{"400": {Description: "the statement is refused or wrong; line, column and near say where", Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[StatementProblem](), true, "")}}}}
	huma.Register(api, op, func(ctx context.Context, q *in[HuntRequest]) (*out[HuntAnswer], error) {
		r := q.Body
		if r.Rows == 0 {
			r.Rows = HuntRows
		}
		if r.Seconds == 0 {
			r.Seconds = HuntSeconds
		}
		if !r.Since.IsZero() && !r.Until.IsZero() && !r.Since.Before(r.Until) {
			return nil, badField("body.since", errors.New("not before until"))
		}
		a, err := s.node.Hunt(ctx, r)
		var wrong *StatementError
		switch {
		case errors.As(err, &wrong):
			return nil, &StatementProblem{ErrorModel: huma.ErrorModel{Status: http.StatusBadRequest, Title: http.StatusText(http.StatusBadRequest), Detail: safe.Clean(wrong.Text, 1000)},
				Refused: wrong.Refused, Line: wrong.Line, Column: wrong.Column, Near: safe.Clean(wrong.Near, 200)}
		case errors.Is(err, ErrBusy):
			return nil, busy(err)
		case err != nil:
			return nil, s.fail(ctx, err)
		}
		return &out[HuntAnswer]{a}, nil
	})
}

// Hunt asks the node's evidence lake. A *StatementError says what is wrong with the statement.
func (c *Client) Hunt(ctx context.Context, q HuntRequest) (a HuntAnswer, err error) {
	if err := c.post(ctx, "/v1/hunt", q, &a); err != nil {
		var r *remoteError
		if errors.As(err, &r) && r.status == http.StatusBadRequest {
			p := r.place
			return a, &StatementError{Text: r.text, Refused: p.Refused, Line: p.Line, Column: p.Column, Near: p.Near}
		}
		return a, err
	}
	for _, row := range a.Rows {
		if len(row) != len(a.Columns) {
			return a, fmt.Errorf("read the node's answer: a row of %d cells for %d columns", len(row), len(a.Columns))
		}
	}
	return a, nil
}
