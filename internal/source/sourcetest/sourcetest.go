// Package sourcetest is the conformance suite of log formats and of sources.
package sourcetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
)

// Case is a format with records that prove it.
type Case struct {
	Format source.Format
	// Header are lines before the records, if the format has them.
	Header string
	// Records are well-formed ones, one per line; at least three, each giving
	// at least one observation.
	Records []string
	// Foreign are records of other formats that this one must refuse; at least three.
	Foreign []string
}

// minimum of records and foreign records a case must bring.
const minimum = 3

// Run checks what every format promises.
func Run(t *testing.T, c Case) {
	t.Helper()
	if len(c.Records) < minimum || len(c.Foreign) < minimum {
		t.Fatalf("%d records and %d foreign ones: bring at least %d of each", len(c.Records), len(c.Foreign), minimum)
	}
	t.Run("reads", func(t *testing.T) { reads(t, c) })
	t.Run("any-chunking", func(t *testing.T) { chunking(t, c) })
	t.Run("resumes-at-every-line", func(t *testing.T) { resumes(t, c) })
	t.Run("malformed-never-stops", func(t *testing.T) { malformed(t, c) })
	t.Run("wrong-file", func(t *testing.T) { wrong(t, c) })
	t.Run("cancel-and-back-pressure", func(t *testing.T) { cancel(t, c) })
	t.Run("keeps-nothing-of-the-record", func(t *testing.T) { keeps(t, c) })
}

// text is the records as a file.
func (c Case) text() string { return c.Header + strings.Join(c.Records, "\n") + "\n" }

// seen is what a run emitted, as comparable text.
type seen struct {
	lines   []string
	records []uint64
}

func (s *seen) emit(_ context.Context, b *observe.LogBatch) error {
	for i := range b.Flows {
		s.lines = append(s.lines, fmt.Sprintf("%+v", b.Flows[i]))
		s.records = append(s.records, b.Flows[i].Record)
	}
	for i := range b.Queries {
		s.lines = append(s.lines, fmt.Sprintf("%+v", b.Queries[i]))
		s.records = append(s.records, b.Queries[i].Record)
	}
	for i := range b.Documents {
		d := &b.Documents[i]
		s.lines = append(s.lines, fmt.Sprintf("%d %s/%s/%s %s", d.Record, d.Product, d.Category, d.Service, d.JSON()))
		s.records = append(s.records, d.Record)
	}
	for i := range b.Messages {
		s.lines = append(s.lines, fmt.Sprintf("%+v", b.Messages[i]))
		s.records = append(s.records, b.Messages[i].Record)
	}
	for i := range b.Events {
		text, err := json.Marshal(&b.Events[i])
		if err != nil {
			return err
		}
		s.lines = append(s.lines, string(text))
		s.records = append(s.records, b.Events[i].Record)
	}
	return nil
}

func run(t *testing.T, o source.Options, r io.Reader) (*seen, *source.Reader) {
	t.Helper()
	var s seen
	rd := source.NewReader(o)
	if err := rd.Read(t.Context(), r, s.emit); err != nil {
		t.Fatalf("read: %v", err)
	}
	return &s, rd
}

func (c Case) options() source.Options {
	return source.Options{Input: "case", Format: "case", Decoder: c.Format.Decoder()}
}

func reads(t *testing.T, c Case) {
	s, r := run(t, c.options(), strings.NewReader(c.text()))
	n := r.Counts()
	if n.Records != uint64(len(c.Records)) || n.Malformed != 0 || r.Verdict() != nil {
		t.Fatalf("%+v of %d records, verdict %v", n, len(c.Records), r.Verdict())
	}
	got := map[uint64]bool{}
	for _, k := range s.records {
		got[k] = true
	}
	for i := range c.Records {
		if !got[uint64(i)] {
			t.Errorf("record %d gave no observation: %s", i, c.Records[i])
		}
	}
}

// oneByte hands out a byte at a time.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }

// chunking: what is read does not depend on how the bytes arrive, nor on how lines end.
func chunking(t *testing.T, c Case) {
	want, _ := run(t, c.options(), strings.NewReader(c.text()))
	for name, r := range map[string]io.Reader{
		"byte by byte": oneByte{strings.NewReader(c.text())},
		"CRLF":         strings.NewReader(strings.ReplaceAll(c.text(), "\n", "\r\n")),
		"no last end":  strings.NewReader(strings.TrimSuffix(c.text(), "\n")),
	} {
		if got, _ := run(t, c.options(), r); !equal(got.lines, want.lines) {
			t.Errorf("%s:\n got %v\nwant %v", name, got.lines, want.lines)
		}
	}
}

func equal(a, b []string) bool {
	return strings.Join(a, "\n") == strings.Join(b, "\n")
}

// resumes: stopped after any line and started again at its position, a reader
// has seen every record once.
func resumes(t *testing.T, c Case) {
	want, _ := run(t, c.options(), strings.NewReader(c.text()))
	lines := strings.SplitAfter(c.text(), "\n")
	for cut := range lines {
		head, tail := strings.Join(lines[:cut], ""), strings.Join(lines[cut:], "")
		var got seen
		var pos source.Position
		o := c.options()
		o.After = func(p source.Position) error { pos = p; return nil }
		first := source.NewReader(o)
		if err := first.Read(t.Context(), strings.NewReader(head), got.emit); err != nil {
			t.Fatal(err)
		}
		if pos.Offset != int64(len(head)) {
			t.Fatalf("position %d after %d bytes", pos.Offset, len(head))
		}
		o = c.options()
		o.From = pos
		second := source.NewReader(o)
		for line := range strings.SplitSeq(strings.TrimSuffix(c.Header, "\n"), "\n") {
			if line != "" {
				second.Prime([]byte(line))
			}
		}
		if err := second.Read(t.Context(), strings.NewReader(tail), got.emit); err != nil {
			t.Fatal(err)
		}
		if !sameRecords(got.records, want.records) {
			t.Errorf("cut after line %d: records %v, want %v", cut, got.records, want.records)
		}
	}
}

// sameRecords compares without order: a batch holds flows and events apart.
func sameRecords(a, b []uint64) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// malformed: broken records are counted and sampled with their line, and the
// others come out as without them.
func malformed(t *testing.T, c Case) {
	var file strings.Builder
	file.WriteString(c.Header)
	garbage := []string{"\x00\x01\x02 garbage", "}{", strings.Repeat("x", source.MaxRecord+10), "\xff\xfe\xfd"}
	line := strings.Count(c.Header, "\n")
	var wantLines []int
	for i, r := range c.Records {
		file.WriteString(garbage[i%len(garbage)] + "\n" + r + "\n")
		wantLines = append(wantLines, line+1)
		line += 2
	}
	var q bytes.Buffer
	o := c.options()
	o.Quarantine = &q
	s, r := run(t, o, strings.NewReader(file.String()))
	n := r.Counts()
	if n.Malformed != uint64(len(c.Records)) || n.Records != 2*uint64(len(c.Records)) {
		t.Errorf("%+v, want %d malformed of twice as many", n, len(c.Records))
	}
	if r.Verdict() != nil {
		t.Errorf("verdict %v although half could be read", r.Verdict())
	}
	for i := range c.Records {
		found := false
		for _, k := range s.records {
			found = found || k == uint64(2*i+1)
		}
		if !found {
			t.Errorf("record %d is lost among malformed ones", 2*i+1)
		}
	}
	var gotLines []int
	d := json.NewDecoder(&q)
	for d.More() {
		var e struct {
			Line int    `json:"line"`
			Why  string `json:"why"`
		}
		if err := d.Decode(&e); err != nil || e.Why == "" {
			t.Fatalf("quarantine: %+v, %v", e, err)
		}
		gotLines = append(gotLines, e.Line)
	}
	if fmt.Sprint(gotLines) != fmt.Sprint(wantLines) {
		t.Errorf("quarantined lines %v, want %v", gotLines, wantLines)
	}
}

// wrong: a file of something else is an error that says what it looks like,
// also for every foreign format.
func wrong(t *testing.T, c Case) {
	for name, text := range map[string]string{"image": "\x89PNG\r\n\x1a\n\x00\x00", "text": "Dear Sir,\nplease find\nattached\n"} {
		_, r := run(t, c.options(), strings.NewReader(text))
		var w *source.WrongError
		if err := r.Verdict(); !errors.As(err, &w) || w.Looks == "" {
			t.Errorf("%s: verdict %v", name, err)
		}
	}
	for _, f := range c.Foreign {
		_, r := run(t, c.options(), strings.NewReader(f+"\n"))
		if r.Verdict() == nil {
			t.Errorf("took a record of another format: %s", f)
		}
	}
	if _, r := run(t, c.options(), strings.NewReader("")); r.Verdict() != nil {
		t.Errorf("an empty file: %v", r.Verdict())
	}
}

// cancel: a receiver that blocks holds the source back, and cancelling ends it
// without a further batch.
func cancel(t *testing.T, c Case) {
	many := c.Header + strings.Repeat(strings.Join(c.Records, "\n")+"\n", 2*source.BatchLen)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	entered, done := make(chan struct{}), make(chan error, 1)
	calls := 0
	r := source.NewReader(c.options())
	go func() {
		done <- r.Read(ctx, strings.NewReader(many), func(ctx context.Context, _ *observe.LogBatch) error {
			calls++
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		})
	}()
	deadline := time.After(20 * time.Second)
	select {
	case <-entered:
	case <-deadline:
		t.Fatal("no batch")
	}
	stop()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) || calls != 1 {
			t.Errorf("ended with %v after %d batches", err, calls)
		}
	case <-deadline:
		t.Fatal("did not end when cancelled")
	}
}

// keeps: the record's bytes are overwritten after each call, and what was said
// before does not change.
func keeps(t *testing.T, c Case) {
	want, _ := run(t, c.options(), strings.NewReader(c.text()))
	d := c.Format.Decoder()
	var b observe.LogBatch
	for line := range strings.SplitSeq(strings.TrimSuffix(c.Header, "\n"), "\n") {
		if line != "" {
			_ = d.Decode([]byte(line), 0, &b) // header lines say so by an error
		}
	}
	buf := make([]byte, 0, 1<<16)
	for i, r := range c.Records {
		buf = append(buf[:0], r...)
		if err := d.Decode(buf, uint64(i), &b); err != nil {
			t.Fatal(err)
		}
		for j := range buf {
			buf[j] = '#'
		}
	}
	var got seen
	if err := got.emit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if !equal(got.lines, want.lines) {
		t.Errorf("observations changed with the buffer:\n got %v\nwant %v", got.lines, want.lines)
	}
}
