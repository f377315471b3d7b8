package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"bartizan/internal/api/token"

	"github.com/danielgtaylor/huma/v2"
)

// Bounds of a hunt for a list.
const (
	huntListPath   = "/v1/hunt/indicators"
	HuntListBytes  = 8 << 20 // of the list
	maxListRequest = HuntListBytes + 1<<20
	maxListsAtOnce = 2       // bodies this large that are held in memory at a time
	HuntListMost   = 200_000 // indicators of one list
	HuntListFound  = 10_000  // matches of an answer
)

// HuntListRequest asks where the indicators of a published list were seen.
type HuntListRequest struct {
	List    string    `json:"list" minLength:"1" maxLength:"8388608" doc:"STIX 2.1, MISP JSON, CSV or one indicator per line, as it was published; at most 200,000 indicators"`
	Since   time.Time `json:"since,omitzero" doc:"only hours that overlap the time from here"`
	Until   time.Time `json:"until,omitzero" doc:"only hours before"`
	Seconds int       `json:"seconds,omitempty" minimum:"1" maximum:"50" doc:"give up after this long; default 30"`
}

// HuntListAnswer says what of a list was seen.
type HuntListAnswer struct {
	Format     string         `json:"list_format" doc:"how the list was read: stix, misp, csv or text"`
	Indicators int            `json:"indicators" doc:"looked for"`
	Found      []HuntSighting `json:"found" nullable:"false" doc:"indicators that were seen"`
	Truncated  bool           `json:"truncated" doc:"there are more matches than an answer has"`
	Unusable   int            `json:"unusable" doc:"entries that were not looked for"`
	Problems   []HuntProblem  `json:"problems" nullable:"false" doc:"the first of them"`
	Files      int            `json:"files" doc:"looked at"`
	NotLooked  []HuntSkipped  `json:"not_looked_at" nullable:"false" doc:"parts of the lake that the answer does not cover, such as damaged files"`
}

// HuntSighting is one indicator that was seen.
type HuntSighting struct {
	Type  string      `json:"type"`
	Value string      `json:"value"`
	Line  int         `json:"line" doc:"of the list, from 1"`
	Note  string      `json:"note,omitempty" doc:"what the list calls it; hostile text"`
	Where []HuntMatch `json:"where" nullable:"false"`
}

// HuntMatch is what one view has about an indicator in one of its columns.
type HuntMatch struct {
	View     string    `json:"view"`
	Column   string    `json:"column"`
	Value    string    `json:"value" doc:"as it is in the lake; hostile text"`
	Count    int64     `json:"count" doc:"rows"`
	First    time.Time `json:"first_seen"`
	Last     time.Time `json:"last_seen"`
	Sessions []string  `json:"sessions,omitempty" doc:"the newest"`
	Evidence []string  `json:"evidence,omitempty" doc:"SHA-256 of raw bytes, of the newest"`
}

// HuntProblem is an entry of a list that is not looked for.
type HuntProblem struct {
	Line   int    `json:"line"`
	Text   string `json:"text" doc:"hostile text"`
	Reason string `json:"reason"`
}

func (s *Server) huntListOperation(api huma.API) {
	op := operation("POST", huntListPath, "huntIndicators", "knowledge", "Look for every indicator of a list in everything that is kept", token.Read, false)
	op.MaxBodyBytes = maxListRequest
	op.Errors = append(op.Errors, http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusNotImplemented, http.StatusServiceUnavailable, http.StatusGatewayTimeout)
	op.Description = "400 says that nothing in the list can be looked for; for the other answers see /v1/hunt. Addresses are found in their prefixes, domains by their sub-domains and in URLs."
	huma.Register(api, op, func(ctx context.Context, q *in[HuntListRequest]) (*out[HuntListAnswer], error) {
		r := q.Body
		if r.Seconds == 0 {
			r.Seconds = HuntSeconds
		}
		if !r.Since.IsZero() && !r.Until.IsZero() && !r.Since.Before(r.Until) {
			return nil, badField("body.since", errors.New("not before until"))
		}
		a, err := s.node.HuntList(ctx, r)
		switch {
		case errors.Is(err, ErrBusy):
			return nil, busy(err)
		case err != nil:
			return nil, s.fail(ctx, err)
		}
		return &out[HuntListAnswer]{a}, nil
	})
}

// busy answers that somebody else is being answered.
func busy(err error) error {
	return huma.ErrorWithHeaders(huma.NewError(http.StatusServiceUnavailable, err.Error()), http.Header{"Retry-After": {"5"}})
}

// HuntList looks for the indicators of a list in the node's evidence lake.
func (c *Client) HuntList(ctx context.Context, q HuntListRequest) (a HuntListAnswer, err error) {
	return a, c.post(ctx, huntListPath, q, &a)
}
