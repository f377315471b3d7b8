package obs

import (
	"encoding/json"
	"net/http"
	"sort"
	"sync"
	"time"
)

// State is how a checked thing is.
type State string

// The states of a check, from good to bad. Degraded means: works, but not as
// configured; somebody should look.
const (
	StateOK       State = "ok"
	StateDegraded State = "degraded"
	StateFailed   State = "failed"
)

// Check is the last word about one thing.
type Check struct {
	Name   string    `json:"name"`
	State  State     `json:"state"`
	Detail string    `json:"detail,omitempty"`
	Since  time.Time `json:"since"` // when it entered the state
}

// Health collects checks. The zero value is ready to use, and failed until
// the first check reports: not having looked is not the same as fine.
type Health struct {
	mu     sync.Mutex
	checks map[string]Check
}

// NewHealth makes an empty Health.
func NewHealth() *Health { return &Health{} }

// Set stores what is known about name. detail is our own words.
func (h *Health) Set(name string, state State, detail string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checks == nil {
		h.checks = make(map[string]Check)
	}
	since := time.Now()
	if old, ok := h.checks[name]; ok && old.State == state {
		since = old.Since
	}
	h.checks[name] = Check{Name: name, State: state, Detail: detail, Since: since}
}

// Remove forgets a check whose subject is gone.
func (h *Health) Remove(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.checks, name)
}

// Checks lists the checks by name and the worst state among them.
func (h *Health) Checks() ([]Check, State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.checks) == 0 {
		return nil, StateFailed
	}
	out := make([]Check, 0, len(h.checks))
	worst := StateOK
	for _, c := range h.checks {
		out = append(out, c)
		switch c.State {
		case StateOK:
		case StateDegraded:
			if worst == StateOK {
				worst = StateDegraded
			}
		default: // a state we do not know is not fine
			worst = StateFailed
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, worst
}

// Handler answers 200 when nothing has failed and 503 otherwise, with the
// checks as JSON in both cases.
func (h *Health) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		checks, state := h.Checks()
		page := struct {
			State  State   `json:"state"`
			Detail string  `json:"detail,omitempty"`
			Checks []Check `json:"checks"`
		}{State: state, Checks: checks}
		if len(checks) == 0 {
			page.Detail, page.Checks = "no check has reported yet", []Check{}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if state == StateFailed {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		// A reader that went away is not our problem.
		_ = json.NewEncoder(w).Encode(page)
	})
}

// Handler serves GET /metrics and GET /health.
func Handler(m *Metrics, h *Health) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	mux.Handle("GET /health", h.Handler())
	return mux
}
