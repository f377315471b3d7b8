package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"bartizan/internal/api/token"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// exportError is the trailer that says why an export ended early: when events
// are on their way the status has been sent.
const exportError = "Bartizan-Error"

// maxExportLine bounds what a client reads as one event.
const maxExportLine = 32 << 20

// exportTime is what one piece of an export may take to be sent.
const exportTime = 30 * time.Second

// exportOperation streams events, one JSON object per line.
func (s *Server) exportOperation(api huma.API) {
	op := operation("GET", "/v1/export", "exportEvents", "knowledge", "Everything kept as OCSF events, one JSON object per line", token.Read, false)
	op.Description = "Each line is an object with the `class` (signal, decision, receipt) and the `event`. The trailer `" + exportError + "` says why an export ended early."
	op.Errors = append(op.Errors, http.StatusBadRequest)
	op.Responses = map[string]*huma.Response{"200": {Description: "events in the order of the streams",
		Content: map[string]*huma.MediaType{"application/x-ndjson": {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	huma.Register(api, op, func(_ context.Context, q *struct {
		From  time.Time `query:"from" doc:"happened at or after"`
		To    time.Time `query:"to" doc:"happened before"`
		Class []string  `query:"class,explode" maxItems:"8" doc:"signal, decision, receipt; may be given several times"`
	}) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			r, w := humago.Unwrap(hc)
			s.export(w, r.WithContext(hc.Context()), ExportQuery{From: q.From, To: q.To, Classes: q.Class})
		}}, nil
	})
}

func (s *Server) export(w http.ResponseWriter, r *http.Request, q ExportQuery) {
	begun := false
	rc := http.NewResponseController(w)
	out := bufio.NewWriterSize(writerFunc(func(b []byte) (int, error) {
		_ = rc.SetWriteDeadline(time.Now().Add(exportTime)) // without deadlines the server's own holds
		return w.Write(b)
	}), 64<<10)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	begin := func() {
		begun = true
		w.Header().Set("Trailer", exportError)
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.WriteHeader(http.StatusOK)
	}
	err := s.node.Export(r.Context(), q, func(e ExportedEvent) error {
		if !begun {
			begin()
		}
		return enc.Encode(e)
	})
	if err != nil && !begun {
		status, text := statusOf(err), err.Error()
		var se huma.StatusError
		if errors.As(s.fail(r.Context(), err), &se) {
			status, text = se.GetStatus(), se.Error()
		}
		problem(w, r, status, text)
		return
	}
	if !begun {
		begin()
	}
	if err = errors.Join(err, out.Flush()); err != nil {
		s.log.Warn("export ended early", "request", requestOf(r.Context()), "error", err)
		w.Header().Set(exportError, "ended early: "+strings.Join(strings.Fields(err.Error()), " "))
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// Export calls fn for every event the query selects, in the order of the streams.
func (c *Client) Export(ctx context.Context, q ExportQuery, fn func(ExportedEvent) error) error {
	v := url.Values{"class": q.Classes}
	for name, at := range map[string]time.Time{"from": q.From, "to": q.To} {
		if !at.IsZero() {
			v.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	resp, err := c.do(ctx, http.MethodGet, "/v1/export?"+v.Encode(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 64<<10), maxExportLine)
	for lines.Scan() {
		var e ExportedEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read the node's answer: %w", err)
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the node's answer: %w", err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil { // to the trailer
		return fmt.Errorf("read the node's answer: %w", err)
	}
	if why := resp.Trailer.Get(exportError); why != "" {
		return fmt.Errorf("the node ended the export early: %s", why)
	}
	return nil
}
