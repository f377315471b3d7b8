package hold

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"bartizan/internal/guard"
	"bartizan/internal/guard/wire"
)

// Session takes one streamed answer and gives out what may leave. It is not
// safe for concurrent use.
type Session struct {
	c       Config
	stream  wire.Stream
	pending []byte // of an event that is not complete
	queue   []*event
	queued  int // bytes
	open    map[string]*channel
	all     []*channel
	formed  []*channel  // that the request names a schema for
	joined  *guard.Live // every channel in the order of arrival, once there are two
	spoken  int         // bytes of text of all channels
	last    bool
	closed  bool
	err     error
	result  Result
}

// event waits for its text to be safe.
type event struct {
	raw    []byte
	pieces []piece
	edits  []wire.Edit // of texts that repeat a whole channel
}

// piece is the text of one delta: a range of its channel and of the joined text.
type piece struct {
	ch       *channel
	from, to int
	joined   int // end in the joined text
	span     wire.Span
}

// NewSession starts an answer.
func NewSession(c Config, s wire.Stream) *Session {
	c.Policy.Unknown = cmp.Or(c.Policy.Unknown, Block)
	c.Policy.Wait = cmp.Or(c.Policy.Wait, Rules)
	c.Policy.MaxStream = cmp.Or(c.Policy.MaxStream, DefaultMaxStream)
	c.Policy.MaxEvent = cmp.Or(c.Policy.MaxEvent, DefaultMaxEvent)
	return &Session{c: c, stream: s, open: map[string]*channel{}, result: Result{Action: Allow}}
}

// Feed takes the next bytes of the answer, cut anywhere, and returns what may
// leave now. The error is a *Blocked or a *Broken; then out ends with the
// format's own end, and nothing more comes. out is the caller's.
func (s *Session) Feed(raw []byte) (out []byte, err error) {
	if s.err != nil || s.closed {
		return nil, s.err
	}
	s.pending = append(s.pending, raw...)
	at := 0
	for s.err == nil {
		n, err := s.stream.Split(s.pending[at:])
		if err != nil || n < 0 || n > len(s.pending)-at {
			return s.end(out, &Broken{cmp.Or(err, errSplit)})
		}
		if n == 0 {
			break
		}
		if err := s.take(bytes.Clone(s.pending[at : at+n])); err != nil {
			return s.end(out, err)
		}
		at += n
		if out, err = s.release(out); err != nil {
			return s.end(out, err)
		}
	}
	s.pending = append(s.pending[:0], s.pending[at:]...)
	if len(s.pending) > s.c.Policy.MaxEvent {
		return s.end(out, &Broken{fmt.Errorf("an event of more than %d bytes", s.c.Policy.MaxEvent)})
	}
	if s.queued > maxQueued {
		return s.end(out, &Broken{fmt.Errorf("more than %d bytes wait to be inspected", maxQueued)})
	}
	return out, nil
}

var errKept = errors.New("events were kept back although nothing was found in them")

var errSplit = errors.New("the format's reader asked for bytes that are not there")

// Close says that nothing follows and returns the rest, or the format's end
// when the stream was not complete or is stopped. Calling it again does nothing.
func (s *Session) Close() (out []byte, err error) {
	if s.err != nil || s.closed {
		return nil, s.err
	}
	s.closed = true
	if err := s.finish(); err != nil {
		return s.end(nil, err)
	}
	if out, err = s.release(nil); err != nil {
		return s.end(out, err)
	}
	if len(bytes.TrimSpace(s.pending)) > 0 || !s.last {
		return s.end(out, &Broken{io.ErrUnexpectedEOF})
	}
	if len(s.queue) > 0 { // a mistake of ours must not look like a whole answer
		return s.end(out, &Broken{errKept})
	}
	return append(out, s.pending...), nil
}

// Result of the session so far; complete after Close. The caller does not
// change it.
func (s *Session) Result() *Result { return &s.result }

// Left is what has been let out of each channel.
func (s *Session) Left() (out []string) {
	for _, ch := range s.all {
		if ch.left > 0 {
			out = append(out, ch.live.Text()[:ch.left])
		}
	}
	return out
}

// end stops the stream: what waits is dropped.
func (s *Session) end(out []byte, err error) ([]byte, error) {
	s.err = err
	s.queue, s.pending = nil, nil
	code := "answer_broke_off"
	var blocked *Blocked
	if errors.As(err, &blocked) {
		code = ""
		s.result.Action = Block
	}
	r := s.c.refusal(code)
	if code != "" {
		r.Message = "The answer ended before it was complete."
	}
	return append(out, s.stream.End(r)...), err
}

// take reads one event, inspects its text and queues it.
func (s *Session) take(raw []byte) error {
	e, err := s.stream.Event(raw)
	if err != nil {
		return &Broken{err}
	}
	s.result.Events++
	if e.Usage != nil {
		s.result.Usage = e.Usage
	}
	if err := s.result.unknown(&s.c.Policy, e.Unknown); err != nil {
		return err
	}
	ev := &event{raw: raw}
	s.queue = append(s.queue, ev)
	s.queued += len(raw)
	for _, d := range e.Deltas {
		if d.Kind == wire.Media || d.Text == "" {
			continue
		}
		if d.Whole {
			err = s.whole(ev, d)
		} else {
			err = s.delta(ev, d)
		}
		if err != nil {
			return err
		}
	}
	if e.Last {
		s.last = true
		return s.finish()
	}
	return nil
}

// unknown applies the policy to what the format does not know.
func (r *Result) unknown(p *Policy, list []string) error {
	if len(list) == 0 {
		return nil
	}
	r.Unknown = append(r.Unknown, list[:min(len(list), maxUnknown-len(r.Unknown))]...)
	if p.Unknown == Block || p.Unknown == "" {
		return &Blocked{guard.Shape, "a part that the format does not know"}
	}
	if p.Unknown == Flag {
		r.Action = stronger(r.Action, Flag)
	}
	return nil
}

// delta continues a channel.
func (s *Session) delta(ev *event, d wire.Delta) error {
	if s.spoken += len(d.Text); s.spoken > s.c.Policy.MaxStream {
		return &Blocked{guard.Shape, fmt.Sprintf("more than %d bytes of text", s.c.Policy.MaxStream)}
	}
	key := string(d.Kind) + "\x00" + d.Channel // answer and reasoning may share a name
	ch := s.open[key]
	if ch == nil || ch.done {
		if len(s.all) >= MaxChannels {
			return &Blocked{guard.Shape, fmt.Sprintf("more than %d channels", MaxChannels)}
		}
		ch = s.channel(d.Channel, d.Part)
		s.open[key] = ch
		s.all = append(s.all, ch)
		s.expect(ch, d.Part)
		if len(s.all) == 2 {
			if err := s.join(); err != nil {
				return err
			}
		}
	}
	from := ch.live.Len()
	if err := s.write(ch, d.Text); err != nil {
		return err
	}
	if s.joined != nil {
		found, err := s.joined.Write(d.Text)
		if err != nil {
			return unseen(err)
		}
		if err := s.across(found); err != nil {
			return err
		}
	}
	joined := ch.live.Len() // what is joined later begins with the first channel
	if s.joined != nil {
		joined = s.joined.Len()
	}
	ev.pieces = append(ev.pieces, piece{ch: ch, from: from, to: ch.live.Len(), joined: joined, span: d.Span})
	return nil
}

// join begins to read the channels as one text, in the order in which they
// arrive: a secret can be cut in two between reasoning and answer.
func (s *Session) join() error {
	if s.joined = s.c.Engine.NewJoined(s.c.Memory); s.joined == nil {
		return nil
	}
	found, err := s.joined.Write(s.all[0].live.Text())
	if err != nil {
		return unseen(err)
	}
	return s.across(found)
}

// across acts on what is found over several channels: it has no place in one.
func (s *Session) across(found []guard.Finding) error {
	for _, f := range found {
		f.Spans = nil
		a := s.c.Policy.action(f)
		if a == Mask || a == Rewrite {
			a = Block
		}
		s.result.note("channels together", "", f, a)
		if a == Block {
			return &Blocked{f.Category, f.Note}
		}
	}
	return nil
}

func unseen(err error) error {
	return &Blocked{guard.Shape, "could not be looked at: " + err.Error()}
}

// finish ends every channel: nothing follows.
func (s *Session) finish() error {
	for _, ch := range s.all {
		if err := s.finishChannel(ch); err != nil {
			return err
		}
	}
	if err := s.judgeFormed(); err != nil {
		return err
	}
	if s.joined != nil {
		found, err := s.joined.EndJoined()
		if err != nil {
			return unseen(err)
		}
		return s.across(found)
	}
	return nil
}

// release gives out the events from the head of the queue whose text is safe.
func (s *Session) release(out []byte) ([]byte, error) {
	s.result.MaxHeld = max(s.result.MaxHeld, s.queued)
	n := 0
	for ; n < len(s.queue); n++ {
		ev := s.queue[n]
		if !s.safe(ev) {
			break
		}
		raw, err := s.edited(ev)
		if err != nil {
			return out, &Blocked{guard.Policy, err.Error()}
		}
		out = append(out, raw...)
		s.queued -= len(ev.raw)
		for _, p := range ev.pieces {
			p.ch.left = p.to
		}
	}
	s.queue = append(s.queue[:0], s.queue[n:]...)
	if len(s.queue) > 0 {
		s.result.Held++
	}
	return out, nil
}

func (s *Session) safe(ev *event) bool {
	for _, p := range ev.pieces {
		if p.to > p.ch.safe || s.joined != nil && p.joined > s.joined.Safe() {
			return false
		}
	}
	return true
}

// edited returns the event's bytes with its text replaced where it must be.
func (s *Session) edited(ev *event) ([]byte, error) {
	edits := ev.edits
	for _, p := range ev.pieces {
		if len(p.ch.edits) > 0 && touched(p.ch.edits, p.from, p.to) {
			text := apply(p.ch.live.Text(), p.from, p.to, p.ch.edits, p.ch.kind == wire.ToolCall)
			edits = append(edits, wire.Edit{Span: p.span, Text: text})
		}
	}
	if len(edits) == 0 {
		return ev.raw, nil
	}
	return wire.RewriteEvent(s.stream, ev.raw, edits)
}
