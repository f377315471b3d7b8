package mcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"bartizan/internal/mcp"
)

// backend is a server as the gateway reaches it: a process, or an address.
type backend interface {
	writer
	// next is the server's next message. A *mcp.TooLong is about that one; any other error is the end.
	next() ([]byte, error)
	hangUp()    // the client has nothing more to say; the server may
	end() error // ends it, and says how it ended; more than once is fine
}

// writer takes messages for one side, one at a time or from several goroutines.
type writer interface{ write(raw []byte) error }

// conversation is one client and one server, each on a way of its own.
type conversation struct {
	session *Session
	client  writer
	server  backend
	prefix  string // of the gateway's own ids
	late    sync.WaitGroup

	mu   sync.Mutex
	n    int
	own  map[string]chan mcp.Message // the gateway's own questions, by id
	over bool                        // the server is gone: no more questions
}

func newConversation(s *Session, client writer, server backend) *conversation {
	return &conversation{session: s, client: client, server: server, prefix: "bartizan-" + s.id + "-", own: map[string]chan mcp.Message{}}
}

// settle lets calls that wait for the server's tools go out, and answers come in, before
// the server's input is closed: a client that writes and hangs up is still answered.
func (c *conversation) settle() {
	done := make(chan struct{})
	go func() { c.late.Wait(); close(done) }()
	timeout := time.After(graceful)
	select {
	case <-done:
	case <-timeout:
		return
	}
	poll := time.NewTicker(graceful / 300)
	defer poll.Stop()
	for c.session.busy() {
		select {
		case <-poll.C:
		case <-timeout:
			return
		}
	}
}

// end answers what is under way: nobody waits for a server that is gone.
func (c *conversation) end() {
	for _, m := range c.session.Ended("the server ended") {
		c.send(c.client, m)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for id, ch := range c.own {
		close(ch)
		delete(c.own, id)
	}
}

// fromClient passes on what a client says on its pipe.
func (c *conversation) fromClient(ctx context.Context, lines *mcp.Lines) error {
	for {
		raw, err := lines.Next()
		if tooLong, ok := errors.AsType[*mcp.TooLong](err); ok {
			c.send(c.client, mcp.Failure(mcp.GuessID(tooLong.Head), mcp.CodeRequest, "refused by the gateway: "+err.Error()))
			continue
		}
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from the client: %w", err)
		}
		out, later := c.session.FromClient(raw)
		if later == nil {
			if err := c.deliver(out); err != nil {
				return err
			}
			continue
		}
		c.late.Add(1)
		go func() {
			defer c.late.Done()
			if err := c.deliver(later(ctx, c.ask)); err != nil && ctx.Err() == nil {
				c.session.gate.log.Error("forward to the server", "server", c.session.server, "error", err)
			}
		}()
	}
}

// deliver sends what became of a message of the client.
func (c *conversation) deliver(o Outcome) error {
	if o.Answer != nil {
		c.send(c.client, o.Answer)
	}
	if o.Forward == nil {
		return nil
	}
	return c.server.write(o.Forward)
}

// send writes to the client; when it is gone the conversation ends by its input.
func (c *conversation) send(w writer, raw []byte) {
	if err := w.write(raw); err != nil {
		c.session.gate.log.Debug("write", "error", err)
	}
}

// fromServer passes on what the server says until it is gone.
func (c *conversation) fromServer() error {
	for {
		raw, err := c.server.next()
		var o Outcome
		if tooLong, ok := errors.AsType[*mcp.TooLong](err); ok {
			o = c.session.TooLong(tooLong.Head)
		} else if err != nil {
			return err
		} else if c.mine(raw) {
			continue
		} else {
			o = c.session.FromServer(raw)
		}
		if o.Answer != nil {
			if err := c.server.write(o.Answer); err != nil {
				return err
			}
		}
		if o.Forward == nil {
			continue
		}
		for _, m := range append([][]byte{o.Forward}, o.Extra...) {
			if err := c.client.write(m); err != nil {
				return err
			}
		}
	}
}

// mine takes the answers to the gateway's own questions.
func (c *conversation) mine(raw []byte) bool {
	m, err := mcp.ParseMessage(raw)
	if err != nil || m.Kind != mcp.Response || !strings.HasPrefix(m.ID, `"`+c.prefix) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.own[m.ID]; ch != nil {
		ch <- m // it has room for one
		delete(c.own, m.ID)
	}
	return true
}

// ask is the Asker of a conversation.
func (c *conversation) ask(ctx context.Context, method string, params []byte) (mcp.Message, error) {
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return mcp.Message{}, errors.New("the server is gone")
	}
	c.n++
	id := string(mcp.Quote(fmt.Sprint(c.prefix, c.n)))
	ch := make(chan mcp.Message, 1)
	c.own[id] = ch
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.own, id)
		c.mu.Unlock()
	}()
	if err := c.server.write(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"method":%s,"params":%s}`, id, mcp.Quote(method), params)); err != nil {
		return mcp.Message{}, err
	}
	select {
	case m, ok := <-ch:
		if !ok {
			return m, errors.New("the server is gone")
		}
		return m, nil
	case <-ctx.Done():
		return mcp.Message{}, fmt.Errorf("no answer: %w", ctx.Err())
	}
}
