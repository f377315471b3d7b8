// Package obs is how the node is watched: structured logs, Prometheus
// metrics and a health page. Logs and metric labels hold our own words only:
// remote bytes reach a log through Quote and a label never.
package obs

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
)

// Format of the log: text for people, JSON for machines.
type Format string

// The log formats.
const (
	FormatText Format = "text"
	FormatJSON Format = "json"
)

// UnmarshalText accepts the two formats only.
func (f *Format) UnmarshalText(b []byte) error {
	switch v := Format(b); v {
	case FormatText, FormatJSON:
		*f = v
		return nil
	}
	return fmt.Errorf("%q is not a log format: use text or json", Quote(b, 20))
}

// NewLogger writes to w, which must be safe for concurrent use or used by
// nobody else. Any format but JSON gives text.
func NewLogger(w io.Writer, format Format, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == FormatJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Quote makes hostile bytes printable: plain ASCII without quotes around it,
// everything else as Go escapes, cut to limit input bytes with the number of
// those left out. The result cannot forge a log line, move a cursor or hide
// behind look-alike letters.
func Quote(b []byte, limit int) string {
	rest := 0
	if limit = max(limit, 0); len(b) > limit {
		rest = len(b) - limit
		b = b[:limit]
	}
	q := strconv.QuoteToASCII(string(b))
	q = q[1 : len(q)-1]
	if rest > 0 {
		q += fmt.Sprintf("...(+%d bytes)", rest)
	}
	return q
}
