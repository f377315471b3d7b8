package bus

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// update rewrites the golden store: go test ./internal/bus -run Regenerate -update. Do that only to add a second
// generation beside the first; the point of the file is that it was written by an older commit.
var update = flag.Bool("update", false, "rewrite testdata/store-v1.tar.gz")

const goldenStore = "testdata/store-v1.tar.gz"

var goldenEvidence = []byte("GET /.env HTTP/1.1\r\nHost: example.org\r\n\r\n")

const goldenSHA = "5e65cfc263f4a1a07efc7904ba19aaf17579e156743a4d7da2845f7b9899cb20"

func TestRegenerateGoldenStore(t *testing.T) {
	if !*update {
		t.Skip("run with -update to rewrite the golden store")
	}
	ctx := t.Context()
	dir := t.TempDir()
	b := openBus(t, Config{Dir: dir, MaxBytes: 1 << 30})
	raw1 := sampleTopic()
	raw1.Version = 1
	must[*Publisher[sample]](t)(NewPublisher(ctx, b, raw1))
	raw(t, b, "samples.old", "sample", "1", "41")
	p := must[*Publisher[sample]](t)(NewPublisher(ctx, b, sampleTopic()))
	for i, k := range []string{"198.18.0.1", "*", ""} {
		must[uint64](t)(p.Publish(ctx, k, "", sample{N: i, Text: k}))
	}
	cctx, cancel := context.WithCancel(ctx)
	if err := Consume(cctx, b, sampleTopic(), "folder", ConsumeOptions{Batch: 1}, func(_ context.Context, ms []Message[sample]) error {
		if ms[0].Seq == 2 {
			cancel() // handled and acknowledged; 3 and 4 are left
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	kv := must[*KV[sample]](t)(OpenKV(ctx, b, "samples", "sample", 2, KVOptions[sample]{MaxBytes: 1 << 20}))
	must[uint64](t)(kv.Put(ctx, "a.b", sample{N: 1}))
	must[uint64](t)(kv.Put(ctx, "a.b", sample{N: 2}))
	if err := kv.Delete(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	blobs := must[*Blobs](t)(OpenBlobs(ctx, b, "ev", BlobLimits{MaxTotal: 4 << 20}))
	t.Log("evidence", must[string](t)(blobs.Put(ctx, goldenEvidence)))
	closeBus(t, b)
	pack(t, dir, goldenStore)
}

func TestStoreOfAnOlderCommitStillReads(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	unpack(t, goldenStore, dir)
	b := openBus(t, Config{Dir: dir, MaxBytes: 1 << 30})
	if l := b.Losses(); len(l) != 0 {
		t.Errorf("losses %+v", l)
	}
	want := []Message[sample]{{Key: "old", Value: sample{41, "was version 1"}}, {Key: "198.18.0.1", Value: sample{0, "198.18.0.1"}},
		{Key: "*", Value: sample{1, "*"}}, {Key: "", Value: sample{2, ""}}}
	n := 0
	must[uint64](t)(Read(ctx, b, sampleTopic(), From{}, func(m Message[sample]) error {
		if w := want[n]; m.Key != w.Key || m.Value != w.Value || m.Seq != uint64(n+1) || m.Time.IsZero() {
			t.Errorf("message %d: %+v, want %+v", n, m, w)
		}
		n++
		return nil
	}))
	if n != len(want) {
		t.Errorf("%d messages", n)
	}
	cctx, cancel := context.WithCancel(ctx)
	var seqs []uint64
	if err := Consume(cctx, b, sampleTopic(), "folder", ConsumeOptions{}, func(_ context.Context, ms []Message[sample]) error {
		for _, m := range ms {
			seqs = append(seqs, m.Seq)
		}
		if seqs[len(seqs)-1] == 4 {
			cancel()
		}
		return nil
	}); err != nil || len(seqs) != 2 || seqs[0] != 3 {
		t.Errorf("durable went on with %v, err %v", seqs, err)
	}
	kv := must[*KV[sample]](t)(OpenKV(ctx, b, "samples", "sample", 2, KVOptions[sample]{MaxBytes: 1 << 20}))
	if e := must[Entry[sample]](t)(kv.Get(ctx, "a.b")); e.Value.N != 2 {
		t.Errorf("value %+v", e)
	}
	if _, err := kv.Get(ctx, "gone"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	blobs := must[*Blobs](t)(OpenBlobs(ctx, b, "ev", BlobLimits{MaxTotal: 4 << 20}))
	if data := must[[]byte](t)(blobs.Get(ctx, goldenSHA)); string(data) != string(goldenEvidence) {
		t.Errorf("evidence %q", data)
	}
	// And the old store takes new messages.
	fill(t, b, 4, 6)
	if last := must[uint64](t)(Read(ctx, b, sampleTopic(), From{}, func(Message[sample]) error { return nil })); last != 6 {
		t.Errorf("last %d", last)
	}
}

func pack(t *testing.T, dir, file string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	out := must[*os.File](t)(os.Create(file))
	defer out.Close()
	zw := gzip.NewWriter(out)
	tw := tar.NewWriter(zw)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err = tw.Write(data)
		return err
	})
	if err = errors.Join(err, tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, file, dir string) {
	t.Helper()
	in := must[*os.File](t)(os.Open(file))
	defer in.Close()
	tr := tar.NewReader(must[*gzip.Reader](t)(gzip.NewReader(in)))
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, must[[]byte](t)(io.ReadAll(tr)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
