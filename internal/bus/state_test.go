package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func openSamples(t *testing.T, b *Bus) *KV[sample] {
	t.Helper()
	return must[*KV[sample]](t)(OpenKV(t.Context(), b, "samples", "sample", 2,
		KVOptions[sample]{MaxBytes: 1 << 20, Old: map[int]func([]byte) (sample, error){1: upcastSample}}))
}

func TestKV(t *testing.T) {
	eachBus(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		kv := openSamples(t, b)
		if _, err := kv.Get(ctx, "a"); !errors.Is(err, ErrNotFound) {
			t.Fatalf("get: %v", err)
		}
		keys := []string{"a", "a.b", "*", ">", "", strings.Repeat("long.", 100)}
		for i, k := range keys {
			must[uint64](t)(kv.Put(ctx, k, sample{N: i}))
		}
		for i, k := range keys {
			e := must[Entry[sample]](t)(kv.Get(ctx, k))
			if e.Key != k || e.Value.N != i || e.Deleted {
				t.Errorf("%q: %+v", k, e)
			}
		}
		// compare and swap
		e := must[Entry[sample]](t)(kv.Get(ctx, "a"))
		rev := must[uint64](t)(kv.Update(ctx, "a", sample{N: 100}, e.Revision))
		if _, err := kv.Update(ctx, "a", sample{N: 101}, e.Revision); !errors.Is(err, ErrRevision) {
			t.Errorf("stale update: %v", err)
		}
		if _, err := kv.Update(ctx, "a", sample{N: 101}, 0); !errors.Is(err, ErrRevision) {
			t.Errorf("create over existing: %v", err)
		}
		must[uint64](t)(kv.Update(ctx, "a", sample{N: 102}, rev))
		// delete and create again
		for range 2 {
			if err := kv.Delete(ctx, "a"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := kv.Get(ctx, "a"); !errors.Is(err, ErrNotFound) {
			t.Errorf("get deleted: %v", err)
		}
		seen := map[string]int{}
		if err := kv.All(ctx, func(e Entry[sample]) error { seen[e.Key] = e.Value.N; return nil }); err != nil {
			t.Fatal(err)
		}
		if len(seen) != len(keys)-1 {
			t.Errorf("all: %v", seen)
		}
		must[uint64](t)(kv.Update(ctx, "a", sample{N: 7}, 0))
		if e := must[Entry[sample]](t)(kv.Get(ctx, "a")); e.Value.N != 7 {
			t.Errorf("recreated: %+v", e)
		}
		raw(t, b, "state.samples.old", "sample", "1", "5")
		if e := must[Entry[sample]](t)(kv.Get(ctx, "old")); e.Value.N != 5 {
			t.Errorf("old version: %+v", e)
		}
		raw(t, b, "state.samples.future", "sample", "3", "{}")
		var ve *VersionError
		if _, err := kv.Get(ctx, "future"); !errors.As(err, &ve) {
			t.Errorf("future version: %v", err)
		}
	})
}

func TestKVWatch(t *testing.T) {
	eachBus(t, func(t *testing.T, b *Bus) {
		kv := openSamples(t, b)
		must[uint64](t)(kv.Put(t.Context(), "x", sample{N: 1}))
		must[uint64](t)(kv.Put(t.Context(), "x", sample{N: 2}))
		ctx, cancel := context.WithCancel(t.Context())
		events := make(chan string, 10)
		done := make(chan error, 1)
		go func() {
			done <- kv.Watch(ctx, func(e Entry[sample]) error {
				events <- fmt.Sprint(e.Key, e.Value.N, e.Deleted)
				return nil
			}, func() error { events <- "caught up"; return nil })
		}()
		expect := func(want string) {
			t.Helper()
			if got := <-events; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		expect("x2 false")
		expect("caught up")
		must[uint64](t)(kv.Put(t.Context(), "y", sample{N: 3}))
		expect("y3 false")
		if err := kv.Delete(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		expect("x0 true")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestConcurrentUpdatesLoseNothing(t *testing.T) {
	b := openBus(t, Config{Dir: t.TempDir()})
	kv := openSamples(t, b)
	const workers, each = 4, 25
	errs := make(chan error, workers)
	add := func() error {
		for range each {
			for {
				e, err := kv.Get(t.Context(), "n")
				if err != nil && !errors.Is(err, ErrNotFound) {
					return err
				}
				_, err = kv.Update(t.Context(), "n", sample{N: e.Value.N + 1}, e.Revision)
				if err == nil {
					break
				}
				if !errors.Is(err, ErrRevision) {
					return err
				}
			}
		}
		return nil
	}
	for range workers {
		go func() { errs <- add() }()
	}
	for range workers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if e := must[Entry[sample]](t)(kv.Get(t.Context(), "n")); e.Value.N != workers*each {
		t.Errorf("counted %d", e.Value.N)
	}
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	return b
}

func blobStats(t *testing.T, b *Bus) StreamStats {
	t.Helper()
	for _, s := range must[[]StreamStats](t)(b.Stats(t.Context())) {
		if s.Name == "BLOBS_ev" {
			return s
		}
	}
	t.Fatal("no blob stream")
	return StreamStats{}
}

func TestBlobs(t *testing.T) {
	eachBus(t, func(t *testing.T, b *Bus) {
		ctx := t.Context()
		s := must[*Blobs](t)(OpenBlobs(ctx, b, "ev", BlobLimits{MaxBlob: 3 << 20, MaxTotal: 32 << 20}))
		for i, n := range []int{0, 1, 1000, chunkSize, chunkSize + 1, 3 << 20} {
			data := noise(uint64(i), n)
			sha := must[string](t)(s.Put(ctx, data))
			if got := must[[]byte](t)(s.Get(ctx, sha)); !bytes.Equal(got, data) {
				t.Errorf("%d bytes came back as %d", n, len(got))
			}
			if in := must[BlobInfo](t)(s.Stat(ctx, sha)); in.Size != int64(n) || in.SHA256 != sha {
				t.Errorf("stat %+v", in)
			}
		}
		before := blobStats(t, b)
		must[string](t)(s.Put(ctx, noise(2, 1000)))
		other := must[*Blobs](t)(OpenBlobs(ctx, b, "ev", BlobLimits{MaxBlob: 3 << 20, MaxTotal: 32 << 20})) // nothing remembered
		must[string](t)(other.Put(ctx, noise(2, 1000)))
		if after := blobStats(t, b); after.LastSeq != before.LastSeq {
			t.Errorf("a repeat was stored: %+v", after)
		}
		if _, err := s.Put(ctx, make([]byte, 3<<20+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
		for _, bad := range []string{strings.Repeat("0", 64), "", "*", strings.Repeat("*", 64), strings.Repeat("A", 64)} {
			if _, err := s.Get(ctx, bad); !errors.Is(err, ErrNotFound) {
				t.Errorf("get %q: %v", bad, err)
			}
		}
	})
}

func TestBlobsEvictTheOldestAndKeepTheUsed(t *testing.T) {
	ctx := t.Context()
	b := openBus(t, Config{Dir: t.TempDir()})
	s := must[*Blobs](t)(OpenBlobs(ctx, b, "ev", BlobLimits{MaxTotal: 4 << 20}))
	used := noise(9999, 1000)
	usedSHA := must[string](t)(s.Put(ctx, used))
	first := must[string](t)(s.Put(ctx, noise(0, 100_000)))
	for i := 1; i < 100; i++ {
		must[string](t)(s.Put(ctx, noise(uint64(i), 100_000)))
		must[string](t)(s.Put(ctx, used))
	}
	big := noise(7777, 1<<20)
	bigSHA := must[string](t)(s.Put(ctx, big))
	if got := must[[]byte](t)(s.Get(ctx, bigSHA)); !bytes.Equal(got, big) {
		t.Error("big blob differs")
	}
	if _, err := s.Get(ctx, first); !errors.Is(err, ErrNotFound) {
		t.Errorf("oldest: %v", err)
	}
	if got := must[[]byte](t)(s.Get(ctx, usedSHA)); !bytes.Equal(got, used) {
		t.Error("blob in use was evicted")
	}
	if st := blobStats(t, b); st.Bytes > 4<<20 {
		t.Errorf("total %d", st.Bytes)
	}
	// Put again after eviction: the memory of having stored it must not win.
	must[string](t)(s.Put(ctx, noise(0, 100_000)))
	must[[]byte](t)(s.Get(ctx, first))
}
