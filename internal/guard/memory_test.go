package guard

import (
	"sync/atomic"
	"testing"
)

// counter follows conversations and counts who reads what.
type counter struct{ followed, plain atomic.Int32 }

func (c *counter) Inspect(t *Text) ([]Finding, error) {
	if !t.Followed {
		c.plain.Add(1)
	}
	return nil, nil
}

func (c *counter) Remember() Recall     { return c }
func (c *counter) Follow(Recall) Follow { return c }
func (c *counter) Size() int            { return 0 }
func (c *counter) Snapshot() func(bool) { return func(bool) {} }
func (c *counter) End() []Finding       { return nil }

func (c *counter) Write(string) ([]Finding, int) {
	c.followed.Add(1)
	return nil, 0
}

// TestReadOnce: what a Follower reads as a part of a conversation or of a stream, its
// Inspect need not read too. A text that comes again is followed again: "a" twice
// can be two letters of a secret.
func TestReadOnce(t *testing.T) {
	c := &counter{}
	e := NewEngine([]Named{{Name: "counter", Inspector: c}}, nil, true)
	m := e.NewMemory()
	for range 2 {
		if _, err := e.InspectIn(m, "a", User); err != nil {
			t.Fatal(err)
		}
	}
	l := e.NewLive(nil, User, nil)
	if _, err := l.Write("a stream"); err != nil {
		t.Fatal(err)
	}
	before := c.followed.Load()
	if _, _, err := l.End(); err != nil {
		t.Fatal(err)
	}
	if before != 3 || c.plain.Load() != 0 {
		t.Errorf("followed %d times, want 3; read besides %d times", before, c.plain.Load())
	}
	// The same text by itself, after it was part of a conversation.
	if _, err := e.Inspect("a", User); err != nil || c.plain.Load() != 1 {
		t.Errorf("%v, read %d times where nobody follows", err, c.plain.Load())
	}
}
