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
)

// exportError is the trailer that says why an export ended early: when events
// are on their way the status has been sent.
const exportError = "Bartizan-Error"

// maxExportLine bounds what a client reads as one event.
const maxExportLine = 32 << 20

// export streams events, one JSON object per line.
func (n Node) export(w http.ResponseWriter, r *http.Request) {
	q, err := exportQuery(r.URL.Query())
	if err != nil {
		reply(w, nil, err)
		return
	}
	begun := false
	out := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	begin := func() {
		begun = true
		w.Header().Set("Trailer", exportError)
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.WriteHeader(http.StatusOK)
	}
	err = n.Export(r.Context(), q, func(e ExportedEvent) error {
		if !begun {
			begin()
		}
		return enc.Encode(e)
	})
	if err != nil && !begun {
		reply(w, nil, err)
		return
	}
	if !begun {
		begin()
	}
	if err = errors.Join(err, out.Flush()); err != nil {
		w.Header().Set(exportError, strings.Join(strings.Fields(err.Error()), " "))
	}
}

func exportQuery(v url.Values) (q ExportQuery, err error) {
	for _, p := range []struct {
		name string
		to   *time.Time
	}{{"from", &q.From}, {"to", &q.To}} {
		if s := v.Get(p.name); s != "" {
			if *p.to, err = time.Parse(time.RFC3339Nano, s); err != nil {
				return q, fmt.Errorf("%w: %s: %w", ErrInput, p.name, err)
			}
		}
	}
	q.Classes = v["class"]
	return q, nil
}

// Export calls fn for every event the query selects, in the order of the streams.
func (c *Client) Export(ctx context.Context, q ExportQuery, fn func(ExportedEvent) error) error {
	v := url.Values{"class": q.Classes}
	for name, at := range map[string]time.Time{"from": q.From, "to": q.To} {
		if !at.IsZero() {
			v.Set(name, at.Format(time.RFC3339Nano))
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
