package parquet

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"bartizan/internal/source"

	"github.com/parquet-go/parquet-go"
)

type inner struct {
	User string `parquet:"username"`
}

type row struct {
	Name string    `parquet:"eventname"`
	Who  inner     `parquet:"useridentity"`
	Tags []string  `parquet:"tags,list"`
	N    *int64    `parquet:"n,optional"`
	Raw  []byte    `parquet:"raw"`
	At   time.Time `parquet:"at,timestamp"`
}

func file(t testing.TB, rows []row) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := parquet.Write(&b, rows); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func input(data []byte) *source.Input {
	return &source.Input{Head: data[:min(len(data), source.HeadLen)],
		All: func() (io.ReaderAt, int64, error) { return bytes.NewReader(data), int64(len(data)), nil }}
}

func TestLines(t *testing.T) {
	n := int64(5)
	r, err := Lines(input(file(t, []row{
		{Name: "StopLogging\n\"x\"", Who: inner{"ann"}, Tags: []string{"a", "b"}, N: &n, Raw: []byte("\xff<"), At: time.Unix(1700000000, 0)},
		{Name: "GetObject", Tags: []string{"one"}},
	})))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), text)
	}
	var got struct {
		EventName    string
		UserIdentity struct{ Username string }
		Tags         []string
		N            *int64
		Raw          string
		At           int64
	}
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
		t.Fatalf("%s: %v", lines[0], err)
	}
	if got.EventName != "StopLogging\n\"x\"" || got.UserIdentity.Username != "ann" || len(got.Tags) != 2 || *got.N != 5 || got.Raw != "\uFFFD<" || got.At != 1700000000000 {
		t.Errorf("%s", lines[0])
	}
	if strings.Contains(lines[1], `"n"`) || !strings.Contains(lines[1], `"tags":["one"]`) {
		t.Errorf("a value that is not set, or a list of one: %s", lines[1])
	}
}

// TestDamage: no cut and no changed byte does more than end the file.
func TestDamage(t *testing.T) {
	data := file(t, []row{{Name: "a", Tags: []string{"x"}}, {Name: "b"}})
	for i := 4; i < len(data); i++ {
		c := bytes.Clone(data)
		c[i] ^= 0x55
		drain(c)
		if _, err := Lines(input(data[:i])); err == nil {
			t.Fatalf("a file cut at %d is whole", i)
		}
	}
}

// drain reads a file whatever it holds.
func drain(data []byte) {
	if r, err := Lines(input(data)); err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<20)) // any error is right
	}
}

func FuzzLines(f *testing.F) {
	f.Add(file(f, []row{{Name: "a", Tags: []string{"x"}}, {Name: "b"}}))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if len(data) < 1<<16 {
			drain(data)
		}
	})
}
