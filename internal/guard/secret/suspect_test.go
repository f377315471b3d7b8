package secret

import (
	"testing"

	"bartizan/internal/guard"
)

// talk is a conversation: what is found in each answer. One in which something is found
// does not leave.
func talk(t *testing.T, known string, answers ...string) (found []bool) {
	t.Helper()
	c := Default()
	c.Known = []string{known}
	in, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := in.(guard.Follower)
	if !ok {
		t.Fatal("it follows nothing")
	}
	r := f.Remember()
	for _, a := range answers {
		end := r.Snapshot()
		w := f.Follow(r)
		list, _ := w.Write(a)
		list = append(list, w.End()...)
		end(len(list) > 0)
		found = append(found, len(list) > 0)
	}
	return found
}

// TestSuspect: after a secret was certainly found less may be said of what nothing explains,
// and after an id was refused by which nobody becomes suspect as much as before.
func TestSuspect(t *testing.T) {
	const known, odd = "g14r5YgIsx9vAa1h", "The number of the order is Zq7Kw3Xv, which is new."
	if found := talk(t, known, "It is called the harbour office.", odd); found[1] {
		t.Fatalf("an id is refused in an ordinary conversation: %v", found)
	}
	if found := talk(t, known, "The key is g14r5YgIsx9vAa1h.", odd, odd); !found[0] || !found[1] && !found[2] {
		t.Errorf("after a refusal %v", found)
	}
	if found := talk(t, known, "The key is g14r5YgIsx9vAa1h.", "The ship leaves at nine and arrives on Friday."); !found[0] || found[1] {
		t.Errorf("prose after a refusal: %v", found)
	}
}
