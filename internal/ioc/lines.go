package ioc

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"bartizan/internal/model"
)

// readLines reads CSV when the first line, of which head is the beginning, looks like it, else one indicator per line.
func (l *List) readLines(r *bufio.Reader, head []byte) error {
	first := head
	for len(first) > 0 { // comments before the head
		line, rest, _ := bytes.Cut(first, []byte("\n"))
		if t := bytes.TrimSpace(line); len(t) > 0 && t[0] != '#' {
			first = line
			break
		}
		first = rest
	}
	for _, comma := range []rune{',', ';', '\t'} {
		if strings.ContainsRune(string(first), comma) {
			return l.readCSV(r, comma)
		}
	}
	return l.readText(r)
}

// readText reads one indicator per line, "type:value" or a value whose type is plain; # begins a comment.
func (l *List) readText(r *bufio.Reader) error {
	l.Format = "text"
	for n := 1; ; n++ {
		line, err := r.ReadSlice('\n')
		cut := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !cut && !errors.Is(err, io.EOF) {
			return err
		}
		if err := l.text(n, line); err != nil {
			return err
		}
		for cut { // the rest of a line that is longer than the buffer
			_, err = r.ReadSlice('\n')
			cut = errors.Is(err, bufio.ErrBufferFull)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// text reads a line.
func (l *List) text(n int, line []byte) error {
	line = bytes.TrimSpace(line)
	if i := bytes.Index(line, []byte(" #")); i >= 0 {
		line = bytes.TrimSpace(line[:i])
	}
	switch {
	case len(line) == 0 || line[0] == '#':
		return nil
	case len(line) > maxLine:
		l.problem(n, string(line[:maxLine]), "the line is too long")
		return nil
	}
	return l.untyped(n, string(line), "")
}

// untyped adds a value that may have its type in front.
func (l *List) untyped(line int, s, note string) error {
	if p, ok := address(s); ok {
		return l.put(&Entry{Type: model.TypeIP, Prefix: p, Line: line, Note: note})
	}
	if name, value, ok := strings.Cut(s, ":"); ok && !strings.HasPrefix(value, "//") {
		if t, ok := typeNamed(name); ok {
			return l.add(line, t, value, note)
		}
	}
	t, why := guess(s)
	if t == "" {
		l.problem(line, s, why)
		return nil
	}
	return l.add(line, t, s, note)
}

// columns of a CSV file, by the names that lists use.
var (
	valueColumns = []string{"value", "indicator", "ioc", "ioc_value", "observable", "ip", "ip_address", "ipv4", "domain", "host", "url", "sha256", "sha256_hash", "sha1", "sha1_hash", "md5", "md5_hash", "ja3_md5", "dst_ip"}
	typeColumns  = []string{"type", "indicator_type", "ioc_type", "kind"}
	sureColumns  = []string{"confidence", "confidence_level"}
	untilColumns = []string{"valid_until", "expires", "expiry", "expiration", "expires_at", "valid-until"}
	noteColumns  = []string{"note", "comment", "description", "threat", "malware", "tags", "signature"}
)

func (l *List) readCSV(in io.Reader, comma rune) error {
	l.Format = "csv"
	r := csv.NewReader(in)
	r.Comma, r.Comment, r.FieldsPerRecord, r.LazyQuotes, r.TrimLeadingSpace, r.ReuseRecord = comma, '#', -1, true, true, true
	value, kind, note, sure, until := 0, -1, -1, -1, -1
	fixed := model.EntityType("") // the whole column is of this type
	for first := true; ; first = false {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("csv: %w", err)
		}
		line, _ := r.FieldPos(0)
		if first {
			if v := column(rec, valueColumns); v >= 0 && !slices.ContainsFunc(rec, looksLikeValue) {
				value, kind, note = v, column(rec, typeColumns), column(rec, noteColumns)
				sure, until = column(rec, sureColumns), column(rec, untilColumns)
				if t, ok := typeNamed(strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(strings.TrimSpace(rec[v])), "_hash"), "_md5")); ok && kind < 0 {
					fixed = t
				}
				continue
			}
			if _, typed := typeNamed(rec[0]); typed && len(rec) > 1 {
				kind, value = 0, 1
				if len(rec) > 2 {
					note = 2
				}
			}
		}
		var ok bool
		if l.terms, ok = l.parseTerms(line, cell(rec, sure), cell(rec, until)); !ok {
			continue
		}
		if err := l.record(line, rec, value, kind, note, fixed); err != nil {
			return err
		}
	}
}

func (l *List) record(line int, rec []string, value, kind, note int, fixed model.EntityType) error {
	field := func(i int) string { return cell(rec, i) }
	v := strings.Clone(field(value))
	switch {
	case strings.TrimSpace(v) == "":
		l.problem(line, strings.Join(rec, " "), "no value")
		return nil
	case len(v) > maxLine:
		l.problem(line, v[:maxLine], "the value is too long")
		return nil
	case fixed != "":
		return l.add(line, fixed, v, field(note))
	case kind >= 0:
		return l.misp(line, field(kind), v, field(note))
	}
	return l.untyped(line, v, field(note))
}

// cell is a column of a record, "" when it has none.
func cell(rec []string, i int) string {
	if i < 0 || i >= len(rec) {
		return ""
	}
	return rec[i]
}

// column finds the first of the names in a head.
func column(head, names []string) int {
	for _, n := range names {
		if i := slices.IndexFunc(head, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), n) }); i >= 0 {
			return i
		}
	}
	return -1
}

func looksLikeValue(s string) bool {
	t, _ := guess(s)
	return t != ""
}
