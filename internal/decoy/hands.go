package decoy

import "sync"

// maxResting is how many goroutines wait for the next visitor.
const maxResting = 64

// hands are the goroutines that look after visitors of one listener. A
// goroutine that has seen a visit through takes the next one: its stack has
// grown to what a visit needs, and growing it anew costs a tenth of a short
// visit.
type hands struct {
	visit func(*Session)

	mu      sync.Mutex
	resting []chan *Session
	gone    bool
	wg      sync.WaitGroup
}

// take starts a visit.
func (h *hands) take(s *Session) {
	h.mu.Lock()
	if n := len(h.resting); n > 0 {
		c := h.resting[n-1] // the one that rests shortest is the warmest
		h.resting = h.resting[:n-1]
		h.mu.Unlock()
		c <- s
		return
	}
	h.mu.Unlock()
	h.wg.Go(func() { h.work(s) })
}

func (h *hands) work(s *Session) {
	next := make(chan *Session, 1)
	for s != nil {
		h.visit(s)
		h.mu.Lock()
		if h.gone || len(h.resting) >= maxResting {
			h.mu.Unlock()
			return
		}
		h.resting = append(h.resting, next)
		h.mu.Unlock()
		s = <-next
	}
}

// dismiss waits until the last visit is over. No visit may begin any more.
func (h *hands) dismiss() {
	h.mu.Lock()
	h.gone = true
	for _, c := range h.resting {
		c <- nil
	}
	h.resting = nil
	h.mu.Unlock()
	h.wg.Wait()
}
