package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"bartizan/internal/guard/wire"
)

// readStep is how much of a stream is read at once, in bytes; maxEvent bounds one event.
const (
	readStep = 8 << 10
	maxEvent = 8 << 20
)

// events cuts a stream into events.
type events struct {
	body  io.Reader
	fmt   wire.Stream
	buf   []byte
	ended bool
	read  int64
	limit int64
}

// errTooLong says that a stream is longer than the route allows.
var errTooLong = errors.New("the stream is longer than this route allows")

// next returns one event and its bytes, which are valid until the next call; io.EOF
// after the last.
func (s *events) next() (raw []byte, e wire.Event, err error) {
	for {
		if len(s.buf) > 0 {
			n, err := s.fmt.Split(s.buf)
			if err != nil {
				return nil, e, &brokenStream{err}
			}
			if n > 0 {
				raw, s.buf = s.buf[:n:n], s.buf[n:]
				if e, err = s.fmt.Event(raw); err != nil {
					return raw, e, &brokenStream{err}
				}
				return raw, e, nil
			}
		}
		switch {
		case s.ended && len(s.buf) > 0:
			return nil, e, &brokenStream{errors.New("it ends within an event")}
		case s.ended:
			return nil, e, io.EOF
		case len(s.buf) > maxEvent || s.read > s.limit:
			return nil, e, errTooLong
		}
		if err := s.fill(); err != nil {
			return nil, e, err
		}
	}
}

func (s *events) fill() error {
	if cap(s.buf)-len(s.buf) < 512 { // what was handed out is not written over
		s.buf = slices.Grow(append([]byte(nil), s.buf...), max(readStep, len(s.buf)))
	}
	n, err := s.body.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	s.read += int64(n)
	if errors.Is(err, io.EOF) {
		s.ended = true
		return nil
	}
	return err
}

// brokenStream says that a stream is none of its format.
type brokenStream struct{ err error }

func (e *brokenStream) Error() string { return e.err.Error() }

// stream looks at an answer that comes in events.
func (x *exchange) stream(ctx context.Context, head wire.Head, resp *http.Response) error {
	f, err := x.route.format.Stream(head)
	if err != nil {
		x.rec.Unknown = append(x.rec.Unknown, clean(err.Error(), 200))
		return x.unknownAnswer(err.Error()) // also where the unknown is forwarded: its text would be cut anywhere
	}
	return x.buffered(ctx, resp, &events{body: resp.Body, fmt: f, limit: int64(x.route.Answer)})
}

// channels collects what a stream says, by channel, in the order they began.
type channels struct {
	order []string
	by    map[string]*channel
}

type channel struct {
	part wire.Part
	text strings.Builder
}

func (c *channels) add(d wire.Delta) {
	key := string(d.Kind) + "\x00" + d.Channel
	ch := c.by[key]
	if ch == nil {
		ch = &channel{part: d.Part}
		c.by[key], c.order = ch, append(c.order, key)
	}
	if d.Name != "" {
		ch.part.Name = d.Name
	}
	if d.Whole {
		if d.Text == ch.text.String() {
			return
		}
		key += "\x00whole" // says something else than the pieces did: both are looked at
		ch = &channel{part: d.Part}
		if c.by[key] == nil {
			c.order = append(c.order, key)
		}
		c.by[key] = ch
	}
	ch.text.WriteString(d.Text)
}

func (c *channels) parts() []wire.Part {
	out := make([]wire.Part, 0, len(c.order))
	for _, key := range c.order {
		ch := c.by[key]
		p := ch.part
		p.Text = ch.text.String()
		out = append(out, p)
	}
	return out
}

// buffered reads the whole stream, looks at it, and only then begins to answer.
func (x *exchange) buffered(ctx context.Context, resp *http.Response, s *events) error {
	said := channels{by: map[string]*channel{}}
	var all []byte
	last := false
	for {
		raw, e, err := s.next()
		if errors.Is(err, io.EOF) && !last {
			err = &brokenStream{io.ErrUnexpectedEOF}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return x.streamFailed(ctx, err)
		}
		all, last = append(all, raw...), last || e.Last
		if e.Usage != nil {
			x.rec.Usage = e.Usage
		}
		if err := x.unknownParts(e.Unknown); err != nil {
			return err
		}
		for _, d := range e.Deltas {
			said.add(d)
		}
	}
	parts := said.parts()
	if x.lookAll(parts, true) == Block {
		return x.blocked()
	}
	if err := x.callAll(parts); err != nil {
		return err
	}
	answerable(x.w.Header(), resp.Header)
	x.rec.Status, x.begun, x.rec.Answer = resp.StatusCode, true, int64(len(all))
	x.finish()
	_ = x.rc.SetWriteDeadline(time.Now().Add(x.route.Timeouts.Idle.D()))
	x.w.WriteHeader(resp.StatusCode)
	_, _ = x.w.Write(all)
	return nil
}

func (x *exchange) streamFailed(ctx context.Context, err error) error {
	var broken *brokenStream
	switch {
	case errors.As(err, &broken):
		return &refusal{status: 502, code: "unknown_answer", message: "the upstream's stream is not of its format: " + clean(broken.Error(), 200), outcome: Failed}
	case errors.Is(err, errTooLong):
		return &refusal{status: 502, code: "answer_too_large", message: fmt.Sprintf("the answer is larger than this route allows (%s)", x.route.Answer), outcome: Failed}
	}
	return x.unanswered(ctx, err)
}
