package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"bartizan/internal/gateway/approval"
	"bartizan/internal/guard/hold"
	"bartizan/internal/guard/wire"
)

// readStep is how much of a stream is read at once, in bytes; maxEvent bounds one event.
const (
	readStep = 4 << 10
	maxEvent = 8 << 20
)

// tap watches the events of a stream on their way into the session: calls of tools
// have budgets, and what nobody looks into is counted.
type tap struct {
	wire.Stream
	x      *exchange
	called map[string]bool // channels whose call was counted
	over   error
	said   map[string]*strings.Builder // what a person may be shown, by channel; nil: nobody is asked
	kept   int
}

// maxKept bounds what is kept of a stream to show a person.
const maxKept = 64 << 10

// textOf is what a channel has said, as far as it was kept.
func (t *tap) textOf(channel string) string {
	if b := t.said[channel]; b != nil {
		return b.String()
	}
	return ""
}

func (t *tap) keep(channel, text string) {
	if t.said == nil || text == "" || t.kept >= maxKept {
		return
	}
	b := t.said[channel]
	if b == nil {
		b = &strings.Builder{}
		t.said[channel] = b
	}
	text = text[:min(len(text), maxKept-t.kept)]
	t.kept += len(text)
	b.WriteString(text)
}

// Event reads one event.
func (t *tap) Event(raw []byte) (wire.Event, error) {
	e, err := t.Stream.Event(raw)
	for i := range e.Deltas {
		d := &e.Deltas[i]
		t.x.heardMore(d)
		t.keep(d.Channel, d.Text)
		switch {
		case d.Kind == wire.Media:
			t.x.rec.Media++
		case d.Kind == wire.ToolCall && d.Name != "" && !t.called[d.Channel]:
			t.called[d.Channel] = true
			if t.over = t.x.call(d.Name); t.over != nil {
				return wire.Event{}, t.over
			}
		}
	}
	return e, err
}

// Rewrite implements wire.Rewriter with what the format knows of its events.
func (t *tap) Rewrite(raw []byte, edits []wire.Edit) ([]byte, error) {
	return wire.RewriteEvent(t.Stream, raw, edits)
}

// stream looks at an answer that comes in events, and lets it out as far as it may go.
func (x *exchange) stream(ctx context.Context, head wire.Head, resp *http.Response) error {
	f, err := x.route.format.Stream(head)
	if err != nil {
		x.rec.Unknown = append(x.rec.Unknown, x.repeatable(err.Error()))
		return x.unknownAnswer(err.Error()) // also where the unknown is forwarded: it could be cut anywhere
	}
	x.rec.Stream = true
	x.recall()
	t := &tap{Stream: f, x: x, called: map[string]bool{}}
	if x.route.asks {
		t.said = map[string]*strings.Builder{}
	}
	s := hold.NewSession(x.config(true), t)
	x.left = s.Left
	err = x.pump(ctx, resp, s, t)
	r := s.Result()
	if r.Usage != nil {
		x.rec.Usage = r.Usage
	}
	return err
}

// pump moves a stream until it ends on either side.
func (x *exchange) pump(ctx context.Context, resp *http.Response, s *hold.Session, t *tap) error {
	buf, _ := x.g.buffers.Get().(*[]byte)
	defer x.g.buffers.Put(buf)
	read := int64(0)
	var kept []byte
	for {
		n, err := resp.Body.Read(*buf)
		if read += int64(n); read > int64(x.route.Answer) {
			return x.cutOff(t, x.tooLong())
		}
		out, stopped := s.Feed((*buf)[:n])
		if stopped != nil {
			return x.stopped(resp, s, t, out, stopped)
		}
		if x.route.asks { // nothing leaves before a person was asked, or need not be
			kept = append(kept, out...)
			out = nil
		}
		if len(out) > 0 {
			if err := x.send(resp, out); err != nil {
				return &refusal{status: 499, code: "client_gone", message: "the client went away or took nothing for too long", outcome: Abandoned}
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			if out, stopped = s.Close(); stopped != nil {
				return x.stopped(resp, s, t, out, stopped)
			}
			x.took(s.Result(), t.textOf, true, nil)
			x.rec.Usage = s.Result().Usage
			if err := x.consult(x.r.Context(), approval.Reply, nil); err != nil {
				return err
			}
			return x.last(resp, append(kept, out...))
		case err != nil:
			return x.cutOff(t, x.unanswered(ctx, err))
		}
	}
}

// stopped ends a stream that the guard or its own form ended. While nothing has been
// said yet, the client gets an ordinary refusal.
func (x *exchange) stopped(resp *http.Response, s *hold.Session, t *tap, out []byte, err error) error {
	r := s.Result()
	x.took(r, t.textOf, true, err)
	x.rec.Usage = r.Usage
	var no *refusal
	var blocked *hold.Blocked
	switch {
	case t.over != nil && errors.As(t.over, &no):
	case errors.As(err, &blocked) && len(r.Unknown) > 0 && x.route.Unknown != Forward:
		errors.As(x.unknownAnswer(r.Unknown[0]), &no)
	case errors.As(err, &blocked):
		no = x.blocked()
	default:
		no = &refusal{status: 502, code: "unknown_answer", message: "the upstream's stream is not of its format, or ended early: " + x.repeatable(err.Error()), outcome: Failed}
	}
	if !x.begun {
		return no
	}
	x.note(no)
	return x.last(resp, out)
}

// cutOff ends a stream that cannot go on.
func (x *exchange) cutOff(t *tap, err error) error {
	var no *refusal
	if !x.begun || !errors.As(err, &no) {
		return err
	}
	x.note(no)
	return x.last(nil, t.End(wire.Refusal{Message: no.message, Code: no.code, ID: x.rec.ID.String()}))
}

// send gives a piece of a stream to the client.
func (x *exchange) send(resp *http.Response, out []byte) error {
	if !x.begun {
		answerable(x.w.Header(), resp.Header)
		x.rec.Status, x.begun = resp.StatusCode, true
		x.w.WriteHeader(resp.StatusCode)
	}
	_ = x.rc.SetWriteDeadline(time.Now().Add(x.route.Timeouts.Idle.D()))
	n, err := x.w.Write(out)
	x.rec.Answer += int64(n)
	if err != nil {
		return err
	}
	return x.rc.Flush()
}

// last gives the client the end, after it was written down.
func (x *exchange) last(resp *http.Response, out []byte) error {
	if !x.begun {
		x.rec.Status = resp.StatusCode
	}
	x.rec.Answer += int64(len(out))
	x.finish()
	x.rec.Answer -= int64(len(out))
	_ = x.send(resp, out) // a client that is gone gets nothing
	return nil
}

// newBuffers makes the pool of what streams are read into.
func newBuffers() *sync.Pool {
	return &sync.Pool{New: func() any { b := make([]byte, readStep); return &b }}
}
