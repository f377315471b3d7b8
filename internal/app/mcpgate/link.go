package mcpgate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/gateway/approval"
	"bartizan/internal/gateway/mcp"
	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// link joins a gateway with its node: alarms go there, calls that wait are shown
// there too, and who is refused by decision comes back. Without the node everything
// goes on by the gateway's own policy, and it says so once on standard error.
type link struct {
	client *api.Client
	folder *approval.Folder
	file   *mcp.AlarmFile
	orders *mcp.Orders
	log    *slog.Logger
	unsent string // file of alarms that an earlier run could not hand over
	names  api.MCPSync
	teller *teller

	wake   chan struct{}
	ended  context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	wait   []mcp.Alarm // not handed over yet, the oldest first
	lost   int         // left out because too many waited
	inside map[string]bool
	seen   map[string]string // decision → what was refused for it, not told yet
	told   map[string]bool   // decisions whose effect was told
	down   bool              // as said last
}

const (
	syncEvery  = 500 * time.Millisecond // who is refused is known within a second
	slowest    = 10 * time.Second       // while the node does not answer
	syncTime   = 10 * time.Second       // one exchange may take
	partTime   = 2 * time.Second        // the last one
	maxWaiting = 1000                   // alarms
	maxBatch   = 50
)

// dial makes the client for a configuration's node.
func dial(n mcp.Node) (*api.Client, error) {
	if n.Data != "" {
		return api.NewClient(n.Data), nil
	}
	c, err := api.NewRemote(api.Remote{URL: n.Server, Token: n.Token.Reveal(), Pin: n.Pin})
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	return c, nil
}

// join opens the link; close ends it.
func join(c mcp.Config, servers []string, log *slog.Logger) (*link, error) {
	client, err := dial(c.Node)
	if err != nil {
		return nil, err
	}
	l := &link{client: client, log: log, orders: &mcp.Orders{}, unsent: filepath.Join(c.State, "unsent.jsonl"), teller: newTeller(c), wake: make(chan struct{}, 1),
		inside: map[string]bool{}, seen: map[string]string{}, told: map[string]bool{}}
	l.orders.Seen = l.refusedFor
	l.names.Agents, l.names.Servers = slices.Sorted(maps.Keys(c.Agents)), servers
	if len(l.names.Agents) == 0 {
		l.names.Agents = []string{"default"}
	}
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	if l.folder, err = mcp.OpenHeld(c); err != nil {
		return nil, err
	}
	if l.file, err = mcp.OpenAlarms(c, log); err != nil {
		return nil, err
	}
	l.wait = l.takeUnsent()
	ctx, cancel := context.WithCancel(context.Background())
	l.ended = cancel
	l.done.Go(func() { l.run(ctx) })
	return l, nil
}

// Alarm implements mcp.Alarms: the file has it at once, the node soon.
func (l *link) Alarm(a mcp.Alarm) {
	l.file.Alarm(a)
	l.mu.Lock()
	if l.wait = append(l.wait, a); len(l.wait) > maxWaiting {
		l.wait = slices.Delete(l.wait, 0, len(l.wait)-maxWaiting)
		l.lost++
	}
	l.mu.Unlock()
	l.poke()
}

func (l *link) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// refusedFor notes that something was refused for a decision.
func (l *link) refusedFor(decision, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.told[decision] && len(l.seen) < maxBatch {
		l.seen[decision] = what
		l.poke()
	}
}

func (l *link) run(ctx context.Context) {
	pause := syncEvery
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.wake:
			if l.down { // only the clock asks a node that does not answer
				continue
			}
		}
		if l.sync(ctx, syncTime) == nil {
			pause = syncEvery
			if err := l.teller.tell(ctx, l.client, time.Now()); err != nil && ctx.Err() == nil {
				l.log.Debug("the node cannot be told which agents and tools there are; it is tried again", "error", err)
			}
		} else {
			pause = min(2*pause, slowest)
		}
		timer.Reset(pause)
	}
}

// sync is one exchange with the node.
func (l *link) sync(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	q := l.names
	l.mu.Lock()
	q.Alarms = slices.Clone(l.wait[:min(len(l.wait), maxBatch)])
	q.Applied = append(q.Applied, slices.Sorted(maps.Keys(l.inside))...)
	for _, id := range slices.Sorted(maps.Keys(l.seen)) {
		q.Verified = append(q.Verified, api.MCPVerified{Decision: id, Detail: safe.Clean(l.seen[id], 100)})
	}
	l.mu.Unlock()
	o, err := l.client.SyncMCP(ctx, q)
	bad := errors.Is(err, api.ErrInput) && len(q.Alarms) > 0
	if err != nil && !bad {
		if ctx.Err() == nil || within == syncTime && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			l.unreachable(err)
		}
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wait = slices.Delete(l.wait, 0, min(len(q.Alarms), len(l.wait)))
	if len(l.wait) > 0 {
		l.poke()
	}
	if bad {
		l.log.Error("the node takes these alarms from nobody; they are in signals.jsonl only", "alarms", len(q.Alarms), "error", err)
		return err
	}
	for _, v := range q.Verified {
		delete(l.seen, v.Decision)
		l.told[v.Decision] = true
	}
	l.orders.Set(o.Refused)
	inside := map[string]bool{}
	for _, x := range o.Refused {
		inside[x.Decision] = true
	}
	if !maps.Equal(inside, l.inside) {
		l.inside = inside
		maps.DeleteFunc(l.told, func(id string, _ bool) bool { return !inside[id] })
		l.poke() // the node is told that they are carried out
	}
	if l.down {
		l.down = false
		l.log.Warn("the node answers again; it has the alarms that waited", "left_out", l.lost)
		l.lost = 0
	}
	return nil
}

// unreachable says once what goes on without the node.
func (l *link) unreachable(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return
	}
	l.down = true
	l.log.Warn("the node cannot be told what happens here: calls are judged by this gateway's own policy, decisions of the node about agents are not known, "+
		"held calls are listed by \"bartizan guard mcp held\" only, and alarms wait in the state folder until it answers", "error", err)
}

// Wait implements mcp.People: a call waits in the state folder and at the node; the
// first answer counts.
func (l *link) Wait(ctx context.Context, h approval.Held) (approval.Answer, error) {
	h, err := l.folder.Put(h)
	if err != nil {
		return approval.Answer{}, err
	}
	defer l.folder.Forget(h.ID)
	asking, stop := context.WithCancel(ctx)
	var asker sync.WaitGroup
	asker.Go(func() { l.ask(asking, h) })
	a, err := l.folder.Await(ctx, h)
	stop()
	asker.Wait()
	gone, cancel := context.WithTimeout(context.WithoutCancel(ctx), partTime)
	defer cancel()
	_, _ = l.client.AskHeld(gone, api.HeldQuestion{Held: h, Withdraw: true}) // when it cannot be told, its time ends there
	return a, err
}

// ask puts the call on the node's desk until there is an answer.
func (l *link) ask(ctx context.Context, h approval.Held) {
	for pause := syncEvery; ctx.Err() == nil; {
		st, err := l.client.AskHeld(ctx, api.HeldQuestion{Held: h})
		switch {
		case err == nil && st.Answer != nil:
			// Lost against an answer in the folder: that one counts.
			_, _ = l.folder.Decide(h.ID, st.State == api.HeldApproved, "node: "+st.Answer.By, st.Answer.Reason, time.Now())
			return
		case err == nil && st.State != api.HeldWaiting:
			return
		case err == nil:
			continue
		case errors.Is(err, api.ErrRefused) && ctx.Err() == nil:
			l.log.Warn("the node does not list a held call; \"bartizan guard mcp held\" does", "call", h.ID, "error", err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			pause = min(2*pause, slowest)
		}
	}
}

// close hands over what is left, and keeps what it cannot.
func (l *link) close() error {
	l.ended()
	l.done.Wait()
	for l.left() > 0 && l.sync(context.Background(), partTime) == nil {
		continue
	}
	l.part()
	l.client.Close()
	return errors.Join(l.keepUnsent(), l.file.Close())
}

// part tells the node which tools there were at the end, for its events: a short run has no other time for it.
// Then that this process is no more.
func (l *link) part() {
	if l.down {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), partTime)
	defer cancel()
	l.teller.looked = time.Time{}
	if err := errors.Join(l.teller.tell(ctx, l.client, time.Now()), l.teller.end(ctx, l.client)); err != nil {
		l.log.Debug("the node cannot be told which agents and tools there were, or that there are none", "error", err)
	}
}

func (l *link) left() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.wait) + len(l.seen)
}

func (l *link) keepUnsent() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wait) == 0 {
		return nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for i := range l.wait {
		if err := e.Encode(l.wait[i]); err != nil {
			return fmt.Errorf("keep alarms for the node: %w", err)
		}
	}
	f, err := os.OpenFile(l.unsent, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep alarms for the node: %w", err)
	}
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("keep alarms for the node: %w", err)
	}
	return nil
}

const maxUnsent = 16 << 20

// takeUnsent takes what earlier runs have kept; of several gateways one gets it.
func (l *link) takeUnsent() (out []mcp.Alarm) {
	mine := l.unsent + "." + model.NewULID(time.Now()).String()
	if err := os.Rename(l.unsent, mine); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.log.Warn("alarms of an earlier run cannot be read", "error", err)
		}
		return nil
	}
	defer os.Remove(mine)
	data, err := readCapped(mine)
	if err != nil {
		l.log.Warn("alarms of an earlier run cannot be read", "error", err)
		return nil
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		var a mcp.Alarm
		if json.Unmarshal(lines.Bytes(), &a) == nil {
			out = append(out, a)
		}
	}
	return out[max(0, len(out)-maxWaiting):]
}

func readCapped(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return safe.ReadAll(f, maxUnsent, filepath.Base(name))
}
