package transport

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bartizan/internal/observe"
	"bartizan/internal/source"
)

// lines is a format whose records begin with "r".
type lines struct{}

func (lines) Decoder() source.Decoder { return lines{} }

func (lines) Decode(r []byte, at uint64, b *observe.LogBatch) error {
	if r[0] != 'r' {
		return source.ErrFormat
	}
	b.Flows = append(b.Flows, observe.Flow{Record: at})
	return nil
}

func options(name string) source.Options {
	return source.Options{Input: name, Format: "lines", Decoder: lines{}.Decoder()}
}

func pack(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	text := strings.Repeat("r\n", 1000)
	whole := pack(t, text)
	for name, c := range map[string]struct {
		data    []byte
		records uint64
		wrong   string
	}{
		"plain":             {[]byte(text), 1000, ""},
		"gzip":              {whole, 1000, ""},
		"two members":       {append(pack(t, text), whole...), 2000, ""},
		"empty":             {nil, 0, ""},
		"cut gzip":          {whole[:len(whole)-9], 1000, "unexpected EOF"},
		"broken gzip":       {append([]byte{}, "\x1f\x8b\x08garbage-of-some-length"...), 0, "unpack"},
		"something else":    {[]byte("%PDF-1.7\n"), 1, "PDF document"},
		"gzip of something": {pack(t, "PAR1"), 0, "Parquet file: it is cut"},
	} {
		f := File{Path: write(t, filepath.Join(dir, "named.jpg"), c.data), Opts: options(name)}
		n := 0
		err := f.Run(t.Context(), func(_ context.Context, b *observe.LogBatch) error { n += b.Len(); return nil })
		if f.Counts().Records != c.records || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %+v, %v", name, f.Counts(), err)
		}
	}
	f := File{Stream: strings.NewReader("r\nr"), Opts: options("-")}
	if err := f.Run(t.Context(), func(context.Context, *observe.LogBatch) error { return nil }); err != nil || f.Counts().Records != 2 {
		t.Errorf("stream: %+v, %v", f.Counts(), err)
	}
	refused := errors.New("refused")
	f = File{Stream: strings.NewReader("r\n"), Opts: options("-")}
	if err := f.Run(t.Context(), func(context.Context, *observe.LogBatch) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("the receiver's error is lost: %v", err)
	}
	f = File{Path: dir, Opts: options("x")}
	if err := f.Run(t.Context(), nil); err == nil {
		t.Error("a folder was read as a file")
	}
}

func TestExpand(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b/2.log", "a.log", "b/1.log", ".hidden", ".git/x"} {
		write(t, filepath.Join(dir, name), []byte("r\n"))
	}
	got, err := Expand([]string{"-", dir, filepath.Join(dir, "a.log")})
	var names []string
	for _, g := range got {
		names = append(names, strings.TrimPrefix(g, dir+"/"))
	}
	if err != nil || strings.Join(names, " ") != "- a.log b/1.log b/2.log a.log" {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := Expand([]string{filepath.Join(dir, "gone")}); err == nil {
		t.Error("a file that is not there was found")
	}
	if _, err := Expand([]string{t.TempDir()}); err == nil {
		t.Error("an empty folder is no input")
	}
}
