package drill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// AttackerVerb is the hidden command line word under which the binary runs as
// the drill's attackers, inside their namespace.
const AttackerVerb = "__attackers"

// order tells the attackers' process what to do.
type order struct {
	ID     string            `json:"id"`
	Op     string            `json:"op"` // play, watch, unwatch, hold
	Story  string            `json:"story,omitempty"`
	Source netip.Addr        `json:"source"`
	Target netip.Addr        `json:"target"`
	Port   uint16            `json:"port,omitempty"` // watch, hold: what to knock at
	Ports  map[string]uint16 `json:"ports,omitempty"`
}

// news is what the attackers' process says.
type news struct {
	ID    string    `json:"id"`
	What  string    `json:"what"` // step, done, open, shut, cut, fault
	Time  time.Time `json:"time"`
	Text  string    `json:"text,omitempty"`
	Error string    `json:"error,omitempty"`
}

// Attackers reads orders from in and writes news to out until in ends.
func Attackers(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	say := newSpeaker(out)
	found := newLoot()
	watches := map[string]context.CancelFunc{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return fmt.Errorf("read order: %w", err)
		}
		switch o.Op {
		case "play":
			work.Go(func() { play(ctx, o, found, say) })
		case "watch":
			wctx, stop := context.WithCancel(ctx)
			watches[o.ID] = stop
			work.Go(func() { watch(wctx, o, say) })
		case "hold":
			work.Go(func() { hold(ctx, o, say) })
		case "unwatch":
			if stop := watches[o.ID]; stop != nil {
				stop()
				delete(watches, o.ID)
			}
		default:
			return fmt.Errorf("read order: unknown operation %q", o.Op)
		}
	}
	return lines.Err()
}

func newSpeaker(out io.Writer) func(news) {
	var mu sync.Mutex
	e := json.NewEncoder(out)
	return func(n news) {
		mu.Lock()
		defer mu.Unlock()
		_ = e.Encode(n) // when nobody listens the orders end too
	}
}

func play(ctx context.Context, o order, found *loot, say func(news)) {
	a := &attack{ctx: ctx, loot: found, src: o.Source, target: o.Target, ports: o.Ports,
		mark: func(step string) { say(news{ID: o.ID, What: "step", Time: time.Now(), Text: step}) }}
	n := news{ID: o.ID, What: "done"}
	tell, ok := stories()[o.Story]
	if !ok {
		n.Error = "no such story"
	} else if err := tell(a); err != nil {
		n.Error = err.Error()
	}
	n.Time = time.Now()
	say(n)
}

// probeEvery is the time between two knocks; the issue of how late a change is
// seen is bounded by it.
const (
	probeEvery = 8 * time.Millisecond
	probeWait  = 400 * time.Millisecond
)

// watch knocks at a port without pause and reports when the door shuts (the
// start of the first of at least three knocks in a row that nobody answered)
// and when it opens (an answer).
func watch(ctx context.Context, o order, say func(news)) {
	w := &watcher{o: o, say: say}
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	var knocks sync.WaitGroup
	defer knocks.Wait()
	for n := uint64(1); ; n++ {
		began := time.Now()
		knocks.Go(func() {
			err := knock(ctx, o)
			if ctx.Err() == nil {
				w.result(n, began, err)
			}
		})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func knock(ctx context.Context, o order) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: o.Source.AsSlice()}, Timeout: probeWait}
	c, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(o.Target, o.Port).String())
	if err != nil {
		return err
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // no TIME_WAIT: thousands of knocks must not use up the ports
	}
	return c.Close()
}

// watcher orders results by the start of their knocks. A knock that is
// answered is known at once, one that is not only after probeWait.
type watcher struct {
	o   order
	say func(news)

	mu      sync.Mutex
	open    bool      // as reported
	known   bool      // something was reported
	lastYes uint64    // newest answered knock
	missed  int       // unanswered knocks since then
	first   uint64    // of them
	since   time.Time // when that one began
}

func (w *watcher) result(n uint64, began time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		if n > w.lastYes {
			w.lastYes = n
		}
		if w.missed > 0 && w.first < n {
			w.missed = 0
		}
		if !w.open || !w.known {
			w.open, w.known = true, true
			w.say(news{ID: w.o.ID, What: "open", Time: began})
		}
		return
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) && !isTimeout(err) {
		w.say(news{ID: w.o.ID, What: "fault", Time: began, Error: err.Error()})
		return
	}
	if n < w.lastYes {
		return // one lost knock between answered ones is not a shut door
	}
	if w.missed == 0 || n < w.first {
		w.first, w.since = n, began
	}
	w.missed++
	if w.missed >= 3 && (w.open || !w.known) {
		w.open, w.known = false, true
		w.say(news{ID: w.o.ID, What: "shut", Time: w.since})
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// hold opens one connection, talks on it, and reports when it no longer gets
// through: what happens to connections that were there before the block.
func hold(ctx context.Context, o order, say func(news)) {
	a := &attack{ctx: ctx, src: o.Source, target: o.Target, mark: func(string) {}}
	c, err := a.dialPort(o.Port)
	if err != nil {
		say(news{ID: o.ID, What: "fault", Time: time.Now(), Error: err.Error()})
		return
	}
	defer c.Close()
	say(news{ID: o.ID, What: "open", Time: time.Now()})
	var buf [256]byte
	for {
		asked := time.Now()
		_ = c.SetDeadline(asked.Add(probeWait))
		_, err := io.WriteString(c, "*1\r\n$4\r\nPING\r\n")
		if err == nil {
			_, err = c.Read(buf[:])
		}
		if err != nil {
			say(news{ID: o.ID, What: "cut", Time: asked, Error: err.Error()})
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
