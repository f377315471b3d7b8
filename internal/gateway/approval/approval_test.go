package approval

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bartizan/internal/model"
)

func folder(t *testing.T, l Limits) (*Folder, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var steps []string
	f, err := Open(filepath.Join(t.TempDir(), "held"), l, func(c Change) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, c.Change)
	})
	if err != nil {
		t.Fatal(err)
	}
	return f, func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(steps) }
}

func held() Held {
	return Held{ID: model.NewULID(time.Now()).String(), Kind: Call, Agent: "a", Server: "s", Tool: "t", Why: "policy"}
}

func TestFirstAnswerCounts(t *testing.T) {
	f, steps := folder(t, Limits{Held: 5, Timeout: time.Minute})
	h, err := f.Put(held())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := f.Put(Held{ID: h.ID, Tool: "other"}); err != nil || again.Tool != "t" {
		t.Errorf("the same id again became another thing: %+v %v", again, err)
	}
	if _, err := f.Look(h); !errors.Is(err, ErrWaits) {
		t.Errorf("before the answer: %v", err)
	}
	var all sync.WaitGroup
	won := make(chan bool, 20)
	for i := range 20 {
		all.Go(func() {
			_, err := f.Decide(h.ID, i%2 == 0, "uid=7", "", time.Now())
			won <- err == nil
		})
	}
	all.Wait()
	close(won)
	n := 0
	for w := range won {
		if w {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of 20 answers counted", n)
	}
	if got := steps(); len(got) != 2 || got[0] != ChangeHeld {
		t.Errorf("%v", got)
	}
	if list, err := f.List(time.Now()); err != nil || len(list) != 0 {
		t.Errorf("an answered thing is listed: %v %v", list, err)
	}
	left, err := filepath.Glob(filepath.Join(f.dir, "*.said"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, steps := folder(t, Limits{Held: 5, Timeout: time.Minute})
		h := held()
		_, err := f.Wait(t.Context(), h)
		var no *NotApproved
		if !errors.As(err, &no) || no.Answer != nil || !strings.Contains(err.Error(), "within 1m") {
			t.Errorf("%v", err)
		}
		if _, err := f.Decide(h.ID, true, "uid=7", "", time.Now()); !errors.Is(err, ErrNothing) {
			t.Errorf("answered after its time: %v", err)
		}
		if got := steps(); !slices.Equal(got, []string{ChangeHeld, ChangeLapsed}) {
			t.Errorf("%v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := f.Wait(ctx, held()); !errors.Is(err, ErrCancelled) {
			t.Errorf("%v", err)
		}
		// What a killed process left behind goes away.
		dead, err := f.Put(held())
		if err != nil {
			t.Fatal(err)
		}
		if list, err := f.List(time.Now().Add(time.Hour)); err != nil || len(list) != 0 {
			t.Errorf("%v %v", list, err)
		}
		if _, err := os.Stat(f.file(dead.ID, ".json")); err == nil {
			t.Error("it is still there")
		}
	})
}

func TestBounds(t *testing.T) {
	f, _ := folder(t, Limits{Held: 2, Timeout: time.Minute})
	for range 2 {
		if _, err := f.Put(held()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Put(held()); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
	for _, id := range []string{"", "../x", "01ARZ3NDEKTSV4RRFFQ69G5FA", "01ARZ3NDEKTSV4RRFFQ69G5FAV/../x"} {
		if _, err := f.Put(Held{ID: id}); err == nil {
			t.Errorf("%q is taken", id)
		}
		if _, err := f.Decide(id, true, "x", "", time.Now()); !errors.Is(err, ErrNothing) {
			t.Errorf("%q: %v", id, err)
		}
	}
	info, err := os.Stat(f.dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// A file that is damaged or larger than anything of ours is an error, not a yes.
func TestDamaged(t *testing.T) {
	f, _ := folder(t, Limits{Held: 5, Timeout: time.Minute})
	h, err := f.Put(held())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"no JSON": `{"approved":tr`, "too large": `{"approved":true,"by":"` + strings.Repeat("x", maxFile) + `"}`} {
		if err := os.WriteFile(f.file(h.ID, ".answer"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if a, err := f.Await(t.Context(), h); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
