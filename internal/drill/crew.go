package drill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// crew is the attackers' process as the drill sees it.
type crew struct {
	in   io.WriteCloser
	kill func() error
	wait func() error
	read sync.WaitGroup

	mu    sync.Mutex
	enc   *json.Encoder
	ears  map[string]chan news
	ended error
	gone  chan struct{}
}

// hire starts the attackers inside their namespace.
func hire(at *space) (*crew, error) {
	cmd := exec.Command("/proc/self/exe", AttackerVerb)
	cmd.Args[0] = "bartizan"
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c := &crew{in: in, enc: json.NewEncoder(in), ears: map[string]chan news{}, gone: make(chan struct{})}
	if c.wait, err = at.start(cmd); err != nil {
		return nil, fmt.Errorf("start attackers: %w", err)
	}
	c.kill = cmd.Process.Kill
	c.read.Go(func() { c.listen(out) })
	return c, nil
}

func (c *crew) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var n news
		if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
			c.end(fmt.Errorf("attackers said something strange: %w", err))
			return
		}
		c.mu.Lock()
		ear := c.ears[n.ID]
		c.mu.Unlock()
		if ear != nil {
			select {
			case ear <- n:
			default: // far more news than any story makes
			}
		}
	}
	c.end(errors.New("the attackers' process has ended"))
}

func (c *crew) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = err
		close(c.gone)
	}
}

// tell sends an order and returns where its news arrive.
func (c *crew) tell(o order) (<-chan news, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return nil, c.ended
	}
	ear := c.ears[o.ID]
	if ear == nil {
		ear = make(chan news, 1024)
		c.ears[o.ID] = ear
	}
	if err := c.enc.Encode(o); err != nil {
		return nil, fmt.Errorf("order the attackers: %w", err)
	}
	return ear, nil
}

// forget closes the ears for an order.
func (c *crew) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ears, id)
}

// dismissWithin is how long attackers may take to go; they have nothing to lose.
const dismissWithin = 3 * time.Second

// dismiss ends the attackers and waits for them. One who is stuck in the
// middle of a blocked conversation is not waited for.
func (c *crew) dismiss() error {
	err := c.in.Close()
	killed := make(chan struct{})
	timer := time.AfterFunc(dismissWithin, func() {
		close(killed)
		_ = c.kill() // gone already when this fails
	})
	c.read.Wait()
	werr := c.wait()
	if !timer.Stop() {
		<-killed
		werr = nil // that it was killed is what we wanted
	}
	return errors.Join(err, werr)
}

// await returns the first news of one kind.
func (c *crew) await(ctx context.Context, ear <-chan news, what string, within time.Duration, each func(news)) (news, error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		select {
		case n := <-ear:
			if each != nil {
				each(n)
			}
			if n.What == what {
				return n, nil
			}
			if n.What == "fault" {
				return n, errors.New(n.Error)
			}
		case <-timer.C:
			return news{}, fmt.Errorf("no %q within %v", what, within)
		case <-c.gone:
			return news{}, c.ended
		case <-ctx.Done():
			return news{}, ctx.Err()
		}
	}
}
