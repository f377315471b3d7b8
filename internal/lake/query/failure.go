//go:build cgo

package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/duckdb/duckdb-go/v2"
)

// raised is what the engine says about an error when errors_as_json is set.
type raised struct {
	Type       string `json:"exception_type"`
	Message    string `json:"exception_message"`
	Subtype    string `json:"error_subtype"`
	Position   string `json:"position"`
	Name       string `json:"name"`
	Candidates string `json:"candidates"`
}

// parseRaised reads the engine's error; false for all others.
func parseRaised(err error) (raised, bool) {
	var d *duckdb.Error
	if !errors.As(err, &d) {
		return raised{}, false
	}
	var r raised
	if at := strings.IndexByte(d.Msg, '{'); at >= 0 && json.Unmarshal([]byte(d.Msg[at:]), &r) == nil && r.Message != "" {
		return r, true
	}
	kind, message, ok := strings.Cut(d.Msg, " Error: ")
	if !ok {
		kind, message = "", d.Msg
	}
	return raised{Type: kind, Message: message}, true
}

// noSuchColumn is how the engine says it when the column was qualified.
var noSuchColumn = regexp.MustCompile(`does not have a column named "([^"]+)"`)

// failure turns an error into the reply that explains it.
func failure(err error, whole string, offset int) reply {
	var wrong *StatementError
	if errors.As(err, &wrong) {
		return reply{Wrong: wrong}
	}
	if errors.Is(err, errLargeRow) {
		return reply{Limit: err.Error()}
	}
	r, ok := parseRaised(err)
	if !ok {
		return reply{Failed: oneLine(err.Error())}
	}
	switch r.Type {
	case "Out of Memory":
		return reply{Limit: "out of memory (nothing is written to disk): select fewer columns or a shorter time, or raise --memory"}
	case "Interrupt":
		return reply{Limit: "interrupted"}
	case "IO", "Internal", "Fatal":
		return reply{Failed: oneLine(r.Message)}
	case "Permission":
		return reply{Wrong: &StatementError{Refused: true, Message: oneLine(r.Message)}}
	}
	wrong = &StatementError{Message: oneLine(firstLine(r.Message))}
	var at int
	if _, err := fmt.Sscanf(r.Position, "%d", &at); err == nil {
		wrong.at(whole, at+offset)
	}
	if m := noSuchColumn.FindStringSubmatch(r.Message); m != nil && r.Name == "" {
		r.Name, r.Subtype = m[1], "COLUMN_NOT_FOUND"
	}
	if r.Name != "" && (r.Subtype == "COLUMN_NOT_FOUND" || strings.Contains(r.Message, "column")) {
		wrong.Near = nearestColumn(r.Name, whole, r.Candidates)
		wrong.Message = "no column " + quoteName(r.Name)
	}
	return reply{Wrong: wrong}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// nearestColumn looks among the columns of the views that the statement names, then takes what the engine proposes.
func nearestColumn(name, whole, candidates string) string {
	var names []string
	for _, v := range mentioned(whole) {
		for _, c := range v.columns {
			names = append(names, c.name)
		}
	}
	name = name[strings.LastIndexByte(name, '.')+1:]
	if n := nearest(name, names); n != "" {
		return n
	}
	first, _, _ := strings.Cut(candidates, ",")
	return oneLine(strings.Trim(first, `" `))
}

// excludeDamaged looks whether an error is a file's fault, and if so leaves that file out from now on. The error's text
// only says where to look first: a statement can make errors that name any file.
func (e *engine) excludeDamaged(ctx context.Context, err error) bool {
	r, ok := parseRaised(err)
	if !ok || slices.Contains([]string{"Parser", "Binder", "Catalog", "Out of Memory", "Interrupt"}, r.Type) {
		return false
	}
	var named, others []sight
	for _, v := range e.inOrder() {
		for _, f := range e.files(v) {
			if strings.Contains(r.Message, filepath.Base(f.full)) {
				named = append(named, f)
			} else {
				others = append(others, f)
			}
		}
	}
	before := len(e.bad)
	for _, list := range [][]sight{named, others} {
		for _, f := range list {
			if why := e.probe(ctx, f.full); why != "" {
				e.bad = append(e.bad, Skipped{File: f.path, Reason: why})
			}
		}
		if len(e.bad) > before {
			return true
		}
	}
	return false
}

// inOrder lists the classes that are read.
func (e *engine) inOrder() []string { return slices.Sorted(maps.Keys(e.seen)) }

// probe reads the whole of a file and says what is wrong with it.
func (e *engine) probe(ctx context.Context, file string) string {
	var n uint64
	err := e.control.QueryRowContext(ctx, "SELECT coalesce(bit_xor(hash(t)), 0) FROM read_parquet("+literal(file)+") t").Scan(&n)
	if err == nil || ctx.Err() != nil {
		return ""
	}
	if r, ok := parseRaised(err); ok {
		if r.Type == "Out of Memory" {
			return ""
		}
		return "damaged: " + oneLine(firstLine(r.Message))
	}
	return "damaged: " + oneLine(err.Error())
}
