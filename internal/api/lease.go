package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// lease holds the lease for as long as the request is open, so that it ends
// with the drill however the drill ends. It exists on the administration
// socket only: a lease lets addresses be blocked that guardrails protect, and
// the drill that needs one runs on this machine.
func (s *Server) lease(w http.ResponseWriter, r *http.Request) {
	who := callerOf(r.Context())
	var q LeaseRequest
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		problem(w, r, http.StatusBadRequest, fmt.Errorf("%w: %w", ErrInput, err).Error())
		return
	}
	what := fmt.Sprintf("%d addresses for %v", len(q.Addresses), q.For.Duration())
	n := &note{operation: "lease"}
	s.intend(context.WithValue(r.Context(), noteKey{}, n), what)
	lease, end, err := s.node.Lease(r.Context(), q, who.actor)
	status := statusOf(err)
	s.audit(r.Context(), n, status)
	if err != nil {
		problem(w, r, status, err.Error())
		return
	}
	reason := "the drill has gone"
	defer func() { end(reason) }()
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(lease); err != nil {
		return
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	timer := time.NewTimer(time.Until(lease.Until))
	defer timer.Stop()
	select {
	case <-r.Context().Done():
	case <-timer.C:
		reason = "its time is over"
	}
}

// statusOf is the HTTP status of a Node function's error.
func statusOf(err error) int {
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrRefused):
		return http.StatusConflict
	case errors.Is(err, ErrInput):
		return http.StatusBadRequest
	case errors.Is(err, ErrBusy):
		return http.StatusServiceUnavailable
	case errors.Is(err, ErrBeyond):
		return http.StatusGatewayTimeout
	case errors.Is(err, ErrUnable):
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}
