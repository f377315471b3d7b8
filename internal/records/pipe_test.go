package records

import (
	"context"
	"errors"
	"testing"

	"bartizan/internal/observe"
)

// TestPipe: batches come in their order, none is touched by the reader while it is processed, and others than of flows
// wait for those before them.
func TestPipe(t *testing.T) {
	var got []uint64
	p := newPipe(func(b *observe.LogBatch) error {
		for i := range b.Flows {
			got = append(got, b.Flows[i].Record)
		}
		for i := range b.Queries {
			got = append(got, b.Queries[i].Record)
		}
		return nil
	})
	b := observe.LogBatch{Input: "x"}
	const batches, each = 300, 7
	n := uint64(0)
	for k := range batches {
		for range each {
			if k%10 == 9 {
				b.Queries = append(b.Queries, observe.Query{Record: n})
			} else {
				b.Flows = append(b.Flows, observe.Flow{Record: n})
			}
			n++
		}
		if err := p.emit(context.Background(), &b); err != nil {
			t.Fatal(err)
		}
		b.Reset()
	}
	p.close()
	if len(got) != batches*each {
		t.Fatalf("%d of %d", len(got), batches*each)
	}
	for i, r := range got {
		if r != uint64(i) {
			t.Fatalf("record %d at place %d", r, i)
		}
	}
}

// TestPipeStops: after an error nothing more is processed, and the reader gets it.
func TestPipeStops(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	p := newPipe(func(*observe.LogBatch) error { calls++; return stop })
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = p.emit(context.Background(), &observe.LogBatch{Flows: make([]observe.Flow, 1)})
	}
	query := p.emit(context.Background(), &observe.LogBatch{Queries: make([]observe.Query, 1)})
	p.close()
	if !errors.Is(err, stop) || !errors.Is(query, stop) || calls != 1 {
		t.Errorf("%v, %v, %d calls", err, query, calls)
	}
}
