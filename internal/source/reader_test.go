package source_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"bartizan/internal/observe"
	"bartizan/internal/source"
)

// word takes lines that begin with its letter.
type word byte

func (w word) Decoder() source.Decoder { return w }

func (w word) Decode(r []byte, at uint64, b *observe.LogBatch) error {
	b.Flows = append(b.Flows, observe.Flow{Record: at, SrcPort: uint16(r[0])})
	if r[0] != byte(w) {
		return errors.New("another letter") // after a flow was appended: auto has to take it back
	}
	return nil
}

func TestAutoLineByLine(t *testing.T) {
	auto := source.NewAuto([]source.Named{{Name: "a", Format: word('a')}, {Name: "b", Format: word('b')}})
	var q bytes.Buffer
	r := source.NewReader(source.Options{Input: "x", Format: "auto", Decoder: auto.Decoder(), Quarantine: &q})
	var got []byte
	err := r.Read(t.Context(), strings.NewReader("a\nb\nb\nz\na\n"), func(_ context.Context, b *observe.LogBatch) error {
		for _, f := range b.Flows {
			got = append(got, byte(f.SrcPort), '0'+byte(f.Record))
		}
		return nil
	})
	if err != nil || string(got) != "a0b1b2a4" || r.Counts() != (source.Counts{Records: 5, Malformed: 1, Emitted: 4}) {
		t.Errorf("%s, %+v, %v", got, r.Counts(), err)
	}
	if !strings.Contains(q.String(), `"line":4`) {
		t.Errorf("quarantine: %s", q.String())
	}
}

func TestLooks(t *testing.T) {
	for in, want := range map[string]string{
		"\x1f\x8b\x08": "gzip", "PAR1": "Parquet", "ElfFile\x00": "EVTX", "\n {\"a\":1}": `JSON with the fields "a"; --map`,
		`{"a":{"x":1},"b\n`: `JSON with the fields "a"; --map`, `{"Event Name":[1],"b":"cut o`: `fields "Event Name", "b"`, "{}": "JSON", `{"\u001b[31m":1`: `[31m"; --map`, "<html>": "HTML", "a,b,c,d\n": "comma",
		"a\tb\tc\td": "tab", "hello": "plain text", "\xff\xfea\x00": "UTF-16", strings.Repeat("a\x00", 20): "UTF-16LE", strings.Repeat("\x00a", 20): "UTF-16BE", strings.Repeat("\x00", 40): "binary",
		"a.log" + strings.Repeat("\x00", 252) + "ustar": "tar archive", "a\x00b": "binary", " \n": "white space", "[ {": "JSON array",
		"\xd4\xc3\xb2\xa1": "capture", "#separator \\x09": "Zeek",
	} {
		if got := source.Looks([]byte(in)); !strings.Contains(got, want) {
			t.Errorf("%q looks like %s, want %s", in, got, want)
		}
	}
}

// TestQuarantineIsSampled: a file of garbage cannot fill a disk.
func TestQuarantineIsSampled(t *testing.T) {
	var q bytes.Buffer
	// word appends before it fails, which only auto undoes.
	r := source.NewReader(source.Options{Input: "x", Format: "a", Decoder: source.NewAuto([]source.Named{{Name: "a", Format: word('a')}}).Decoder(), Quarantine: &q})
	err := r.Read(t.Context(), strings.NewReader(strings.Repeat("z\n", 10*source.MaxSamples)), nil)
	if n := strings.Count(q.String(), "\n"); err != nil || n != source.MaxSamples {
		t.Errorf("%d samples, %v", n, err)
	}
	var w *source.WrongError
	if !errors.As(r.Verdict(), &w) || w.Records != 10*source.MaxSamples {
		t.Errorf("verdict %v", r.Verdict())
	}
}
