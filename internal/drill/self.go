package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"bartizan/internal/api"
)

// selfConfig is the throw-away node: everything as shipped, alone in its own
// namespace, so that it can have the standard ports.
const selfConfig = `name: drill
metrics: ""
api: {listen: ""}
decoys:
  listen: strict
gateway:
  routes:
    ollama: {upstream: "http://127.0.0.1:1", anonymous: true} # nobody is there; the drill brings a route of its own
`

// RunSelf starts a throw-away node in a namespace of its own, drills it, and
// takes it away again.
func RunSelf(ctx context.Context, o Options) (_ Report, err error) {
	home, err := newFolder()
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, home.close()) }()
	dir := home.path
	config := filepath.Join(dir, "config.yaml")
	text := selfConfig
	if o.Logs {
		o.logDir = dir
		flows, dns := logFiles(dir)
		text += fmt.Sprintf(logConfig, flows, dns)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return Report{}, err
	}
	room, err := newSpace()
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, room.close()) }()
	var log tail
	cmd := exec.Command("/proc/self/exe", "up", "--data", filepath.Join(dir, "data"), "--config", config)
	cmd.Args[0] = "bartizan"
	cmd.Stdout, cmd.Stderr = &log, &log
	wait, err := room.start(cmd)
	if err != nil {
		return Report{}, fmt.Errorf("start throw-away node: %w", err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // gone already when this fails; wait says so
		if werr := wait(); werr != nil {
			err = errors.Join(err, fmt.Errorf("throw-away node: %w: %s", werr, log.String()))
		}
	}()
	o.Node, o.Pid = api.NewClient(filepath.Join(dir, "data")), cmd.Process.Pid
	defer o.Node.Close()
	if err := ready(ctx, o.Node); err != nil {
		return Report{}, fmt.Errorf("%w: %s", err, log.String())
	}
	r, err := Run(ctx, o)
	if err != nil {
		return r, fmt.Errorf("%w: %s", err, log.String())
	}
	return r, nil
}

// ready waits until the decoys of a node that was just started are locked in.
func ready(ctx context.Context, c *api.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := c.Status(ctx)
		if err == nil && s.Decoys.PID != 0 && len(s.Enforcers) > 0 && !s.Enforcers[0].LastOK.IsZero() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the throw-away node did not become ready: %w", errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// tail keeps the end of what the node said, for the error message.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.b.Len() > 64<<10 {
		t.b.Next(t.b.Len() / 2)
	}
	return t.b.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(t.b.String()), "\n")
	return "the node's last words: " + strings.Join(lines[max(0, len(lines)-8):], " | ")
}
