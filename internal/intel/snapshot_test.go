package intel

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"bartizan/internal/model"

	"pgregory.net/rapid"
)

// Folding to a cut, writing, restoring and folding the rest gives what folding
// everything gives, wherever the cut is, with repeats and out of order.
func TestSnapshotContinues(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		signals := genSignals(r, t)
		for range rapid.IntRange(0, 10).Draw(r, "repeats") {
			signals = append(signals, rapid.SampledFrom(signals).Draw(r, "repeat"))
		}
		for _, s := range signals {
			if rapid.Bool().Draw(r, "more") {
				s.Techniques = []string{"T1110", "AML.T0040"}[:rapid.IntRange(1, 2).Draw(r, "techniques")]
				s.Related = []model.Entity{entity(t, model.TypeURL, "http://198.51.100.7/a"), ip(t, "203.0.113.9")}
			}
		}
		signals = rapid.Permutation(signals).Draw(r, "order")
		cut := rapid.IntRange(0, len(signals)).Draw(r, "cut")
		// Compare through eviction and expiry, too.
		conf := Default()
		conf.MaxIndicators = rapid.IntRange(2, 6).Draw(r, "room")
		whole, first := New(conf), New(conf)
		for i, s := range signals {
			whole.Fold(s)
			if i < cut {
				first.Fold(s)
			}
		}
		second := New(conf)
		if err := second.Restore(first.Snapshot()); err != nil {
			t.Fatal(err)
		}
		same(t, first, second)
		for _, s := range signals[cut:] {
			second.Fold(s)
		}
		same(t, whole, second)
		later := t0.Add(time.Duration(rapid.IntRange(-200_000, 200_000).Draw(r, "later")) * time.Second)
		if a, b := whole.Expire(later), second.Expire(later); !reflect.DeepEqual(a, b) {
			t.Fatalf("expired %v and %v", a, b)
		}
		same(t, whole, second)
	})
}

// same compares everything that can be asked of two stores.
func same(t *testing.T, a, b *Store) {
	t.Helper()
	for _, at := range []time.Time{t0.Add(-3 * time.Hour), t0, t0.Add(5 * time.Hour)} {
		if x, y := dump(a, at), dump(b, at); !reflect.DeepEqual(x, y) {
			t.Fatalf("at %v:\n%+v\n%+v", at, x, y)
		}
	}
	if a.newest != b.newest || a.wide != b.wide || len(a.order) != len(b.order) {
		t.Fatalf("newest %d and %d, %d and %d in the heap", a.newest, b.newest, len(a.order), len(b.order))
	}
	for i, r := range b.order {
		if int(r.pos) != i || i > 0 && b.order.Less(i, (i-1)/2) {
			t.Fatalf("the heap is out of order at %d", i)
		}
	}
}

func filled(t testing.TB, n int) *Store {
	t.Helper()
	st := New(Default())
	for i := range n {
		s := signal(t, i+1, fmt.Sprintf("203.%d.%d.%d", i>>16&255, i>>8&255, i&255), "auth.brute-force", model.ClassAuth, "edge", 0.9, t0.Add(time.Duration(i)*time.Millisecond))
		s.Techniques = []string{"T1110.001"}
		st.Fold(s)
	}
	return st
}

// Whatever is not exactly what was written is refused, and changes nothing.
func TestSnapshotRefused(t *testing.T) {
	good := filled(t, 20).Snapshot()
	st := filled(t, 3)
	before := dump(st, t0)
	refuse := func(what string, b []byte) {
		t.Helper()
		if err := st.Restore(b); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%s: %v", what, err)
		}
		if !reflect.DeepEqual(before, dump(st, t0)) {
			t.Fatalf("%s: changed the store", what)
		}
	}
	for i := range good {
		b := append([]byte{}, good...)
		b[i] ^= 0x40
		refuse(fmt.Sprintf("bit flipped at %d", i), b)
	}
	for n := range good {
		refuse(fmt.Sprintf("cut to %d bytes", n), good[:n])
	}
	other := Default()
	other.Prior = 0.1
	if err := New(other).Restore(good); !errors.Is(err, ErrSnapshot) {
		t.Errorf("other settings: %v", err)
	}
	if err := st.Restore(good); err != nil || st.Len() != 20 {
		t.Errorf("the good one: %v, %d indicators", err, st.Len())
	}
}

// FuzzRestore gives bytes with a right checksum, so that everything behind it is reached.
func FuzzRestore(f *testing.F) {
	for _, n := range []int{0, 1, 3} {
		b := filled(f, n).Snapshot()
		f.Add(b[:len(b)-sha256.Size])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := sha256.Sum256(b)
		st := New(Default())
		if err := st.Restore(append(b, sum[:]...)); err != nil {
			if !errors.Is(err, ErrSnapshot) || st.Len() != 0 {
				t.Fatalf("%v, %d indicators", err, st.Len())
			}
			return
		}
		// What is accepted can be used and written again.
		dump(st, t0)
		again := New(Default())
		if err := again.Restore(st.Snapshot()); err != nil {
			t.Fatal(err)
		}
		same(t, st, again)
	})
}

func BenchmarkSnapshot(b *testing.B) {
	st := filled(b, 200_000)
	for b.Loop() {
		b.SetBytes(int64(len(st.Snapshot())))
	}
}

func BenchmarkRestore(b *testing.B) {
	snap := filled(b, 200_000).Snapshot()
	st := New(Default())
	b.SetBytes(int64(len(snap)))
	for b.Loop() {
		if err := st.Restore(snap); err != nil {
			b.Fatal(err)
		}
	}
}
