package exec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	osexec "os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// call is one run of the program; its JSON form is what the program reads.
type call struct {
	Change   string       `json:"change"` // add or remove
	Prefix   netip.Prefix `json:"prefix"`
	Action   model.Action `json:"action"`
	Until    time.Time    `json:"until"`
	Seconds  int64        `json:"seconds"` // until then, rounded up; 0 for a removal
	Decision model.ULID   `json:"decision"`

	update bool // the device may hold the prefix already
}

// values are the placeholders, which are also the environment.
func (c call) values() map[string]string {
	family := "ipv4"
	if c.Prefix.Addr().Is6() {
		family = "ipv6"
	}
	return map[string]string{
		"change": c.Change, "prefix": c.Prefix.String(), "address": c.Prefix.Addr().String(),
		"bits": strconv.Itoa(c.Prefix.Bits()), "family": family, "action": c.Action.String(),
		"until": c.Until.UTC().Format(time.RFC3339), "seconds": strconv.FormatInt(c.Seconds, 10), "decision": c.Decision.String(),
	}
}

func joinNames(m map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), "}, {")
}

// outcome of one run; the zero value is that it did not happen.
type outcome uint8

const (
	failure outcome = iota
	done
	refused
)

type result struct {
	outcome outcome
	detail  string
}

// runAll runs the program for every call, removals of the list before what
// follows them because of their place, at most Parallel at a time.
func (e *Enforcer) runAll(ctx context.Context, todo []call) []result {
	results := make([]result, len(todo))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(e.conf.Parallel, len(todo)) {
		wg.Go(func() {
			for i := range next {
				results[i] = e.run(ctx, todo[i])
			}
		})
	}
	for i := range todo {
		if ctx.Err() != nil {
			results[i] = result{failure, "not run: " + ctx.Err().Error()}
			continue
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return results
}

// run runs the program once.
func (e *Enforcer) run(ctx context.Context, c call) result {
	ctx, cancel := context.WithTimeout(ctx, e.conf.Timeout)
	defer cancel()
	values := c.values()
	args := make([]string, len(e.conf.Program)-1)
	for i, a := range e.conf.Program[1:] {
		args[i] = placeholder.ReplaceAllStringFunc(a, func(p string) string { return values[p[1:len(p)-1]] })
	}
	input, err := json.Marshal(c)
	if err != nil {
		return result{failure, fmt.Sprintf("write input: %v", err)}
	}
	cmd := osexec.CommandContext(ctx, e.conf.Program[0], args...)
	cmd.Dir = e.conf.Dir
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"} // nothing of ours leaks
	for _, k := range slices.Sorted(maps.Keys(values)) {
		cmd.Env = append(cmd.Env, "BARTIZAN_"+strings.ToUpper(k)+"="+values[k])
	}
	cmd.Stdin = bytes.NewReader(append(input, '\n'))
	out := &capped{limit: e.conf.Output}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// The whole group: a child that outlives its parent would hold the
	// output open and go on changing the device.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	if err == nil || errors.Is(err, osexec.ErrWaitDelay) {
		return result{outcome: done}
	}
	said := safe.Clean(strings.TrimSpace(out.String()), 300)
	if said != "" {
		said = ": " + said
	}
	if ctx.Err() != nil {
		return result{failure, fmt.Sprintf("ended after %s without an answer%s", e.conf.Timeout, said)}
	}
	exit, ok := errors.AsType[*osexec.ExitError](err)
	if !ok {
		return result{failure, fmt.Sprintf("start program: %v (it must exist and be executable)", err)}
	}
	detail := fmt.Sprintf("program ended with %s%s", exit.ProcessState, said)
	if c.Change == "add" && slices.Contains(e.conf.RefuseCodes, exit.ExitCode()) {
		return result{refused, detail}
	}
	return result{failure, detail}
}

// capped keeps the first bytes written to it and swallows the rest, so that a
// chatty program neither blocks nor fills memory.
type capped struct {
	mu    sync.Mutex
	b     []byte
	limit int
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.b = append(c.b, p[:min(len(p), c.limit-len(c.b))]...)
	return len(p), nil
}

func (c *capped) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.b)
}
