package transport

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bartizan/internal/observe"
	"bartizan/internal/source"

	"github.com/klauspost/compress/zstd"
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

func packZstd(t *testing.T, s string, o ...zstd.EOption) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil, o...)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll([]byte(s), nil)
}

// bzipped is text of 1000 records, made by bzip2.
const bzipped = "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\x61\x3e\xfa\x98\x00\x03\xe7\xc0\x80\x00\x10\x10\x00\x20\x00\x30\x80\x4d\x46\xa9\x06\xa9\x07\x17\x72\x45\x38\x50\x90\x61\x3e\xfa\x98"

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
	var random strings.Builder
	for r := rand.New(rand.NewPCG(1, 2)); random.Len() < 1<<20; {
		fmt.Fprintf(&random, "r%d\n", r.Uint64())
	}
	noise := random.String()
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
		"zstd":              {packZstd(t, text), 1000, ""},
		"two frames":        {append(packZstd(t, text), packZstd(t, text)...), 2000, ""},
		"cut zstd":          {packZstd(t, noise)[:1000], 0, "zstd data is cut off"},
		"far zstd":          {packZstd(t, strings.Repeat(noise, 40), zstd.WithWindowSize(4*maxWindow)), 0, "unpack it first"},
		"bzip2":             {[]byte(bzipped), 1000, ""},
		"cut bzip2":         {[]byte(bzipped[:len(bzipped)-9]), 1000, "bzip2 data is cut off"},
		"text like bzip2":   {[]byte("BZh9 is no bzip2\n"), 1, "plain text"},
		"gzip and garbage":  {append(pack(t, text), "garbage of some length"...), 1000, "the rest is damaged"},
		"gzip in gzip":      {pack(t, string(pack(t, "r\n"))), 1, "unpack it first"},
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
	got, failed := Expand([]string{"-", dir, filepath.Join(dir, "a.log")})
	if names := below(dir, got); len(failed) > 0 || names != "- a.log b/1.log b/2.log a.log" {
		t.Errorf("%v, %v", names, failed)
	}
	// What is not there takes nothing else with it.
	got, failed = Expand([]string{filepath.Join(dir, "gone"), t.TempDir(), dir})
	if names := below(dir, got); len(failed) != 2 || names != "a.log b/1.log b/2.log" {
		t.Errorf("%v, %v", names, failed)
	}
}

// TestExpandLinks: what a link in a folder leads to is read, once, or named.
func TestExpandLinks(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "a.log"), nil)
	write(t, filepath.Join(dir, ".data/kept.log"), nil)
	write(t, filepath.Join(other, "pod.log"), nil)
	for name, to := range map[string]string{
		"again.log": "a.log", "kept.log": ".data/kept.log", "pod.log": other + "/pod.log", "pod2.log": other + "/pod.log",
		"gone.log": "nowhere", "here": ".", "pods": other, "round.log": "round.log",
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	const want = "a.log kept.log pod.log"
	got, failed := Expand([]string{dir})
	said := errors.Join(failed...)
	if names := below(dir, got); names != want || len(failed) != 4 {
		t.Errorf("%v, %v", names, said)
	}
	for _, name := range []string{"/gone.log: a link that cannot be followed", "/pods: a link to another folder, " + other, "/pipe: a named pipe", "/round.log"} {
		if !strings.Contains(fmt.Sprint(said), name) {
			t.Errorf("%s is not named: %v", name, said)
		}
	}
	link := filepath.Join(other, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if got, _ := Expand([]string{link}); below(link, got) != want {
		t.Errorf("a folder that is a link has %v", got)
	}
}

func below(dir string, names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.TrimPrefix(n, dir+"/")
	}
	return strings.Join(out, " ")
}
