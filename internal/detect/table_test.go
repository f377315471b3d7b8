package detect

import (
	"container/list"
	"testing"

	"pgregory.net/rapid"
)

// TestTableModel compares a Table with a list that does the same slowly.
func TestTableModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		max := rapid.IntRange(1, 600).Draw(t, "max")
		table := NewTable[int, int](max)
		var gone, wantGone []int
		table.OnEvict(func(k int, v *int) {
			if *v != k*3 {
				t.Fatalf("evicted %d with value %d", k, *v)
			}
			gone = append(gone, k)
		})
		model := list.New() // front = most recent
		find := func(k int) *list.Element {
			for e := model.Front(); e != nil; e = e.Next() {
				if e.Value.(int) == k {
					return e
				}
			}
			return nil
		}
		for range rapid.IntRange(1, 1500).Draw(t, "steps") {
			k := rapid.IntRange(0, 700).Draw(t, "key")
			if k == 700 { // now and then
				if table.DropOldest() {
					wantGone = append(wantGone, model.Remove(model.Back()).(int))
				}
				continue
			}
			e := find(k)
			v, fresh := table.Get(k)
			if fresh != (e == nil) || fresh && *v != 0 || !fresh && *v != k*3 {
				t.Fatalf("key %d: fresh %v, value %d", k, fresh, *v)
			}
			*v = k * 3
			if e != nil {
				model.MoveToFront(e)
				continue
			}
			if model.Len() == max {
				wantGone = append(wantGone, model.Remove(model.Back()).(int))
			}
			model.PushFront(k)
		}
		if table.Len() != model.Len() || len(gone) != len(wantGone) || table.Evicted() != uint64(len(gone)) {
			t.Fatalf("len %d, want %d; evicted %d, want %d", table.Len(), model.Len(), len(gone), len(wantGone))
		}
		for i := range gone {
			if gone[i] != wantGone[i] {
				t.Fatalf("evicted %v, want %v", gone, wantGone)
			}
		}
		for e := model.Front(); e != nil; e = e.Next() {
			if v := table.Peek(e.Value.(int)); v == nil || *v != e.Value.(int)*3 {
				t.Fatalf("key %v lost", e.Value)
			}
		}
	})
}
