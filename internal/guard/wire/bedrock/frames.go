package bedrock

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/shape"
	"bartizan/internal/guard/wire/tape"
)

// maxFrame is the longest frame, as AWS has it: 16 MiB of payload and 128 KiB of headers.
const maxFrame = 16<<20 + 128<<10 + 16

// stream is one of AWS frames. Spans are those of the payload, and where that is
// base64 of a model's own event, of that event.
type stream struct {
	*shape.Events
	named map[string]*shape.Shape // by event name
	inner *shape.Shape            // of what chunks have inside
}

func frames(named map[string]*shape.Shape, inner *shape.Shape) shape.Frame {
	return func(e *shape.Events, media string) wire.Stream {
		if media != "application/vnd.amazon.eventstream" {
			return nil
		}
		return &stream{Events: e, named: named, inner: inner}
	}
}

// Split takes the length from the frame's prelude.
func (s *stream) Split(data []byte) (int, error) {
	if len(data) < 12 {
		return 0, nil
	}
	n := binary.BigEndian.Uint32(data)
	if binary.BigEndian.Uint32(data[8:]) != crc32.ChecksumIEEE(data[:8]) || n < 16 || n > maxFrame {
		return 0, &wire.Unknown{What: "the prelude of a frame"}
	}
	if int(n) > len(data) {
		return 0, nil
	}
	return int(n), nil
}

// frame is one that was read.
type frame struct {
	eventstream.Message
	kind, name string
}

func open(raw []byte) (f frame, err error) {
	r := bytes.NewReader(raw)
	if f.Message, err = eventstream.NewDecoder().Decode(r, nil); err != nil || r.Len() > 0 {
		return f, &wire.Unknown{What: "a frame with a wrong length or check sum"}
	}
	seen := map[string]bool{}
	for _, h := range f.Headers {
		v, ok := h.Value.(eventstream.StringValue)
		if !ok || seen[h.Name] {
			return f, &wire.Unknown{What: fmt.Sprintf("the header %.50q of a frame", h.Name)}
		}
		seen[h.Name] = true
		switch h.Name {
		case ":message-type":
			f.kind = string(v)
		case ":event-type", ":exception-type", ":error-code":
			if f.name != "" {
				return f, &wire.Unknown{What: "a frame with two names"}
			}
			f.name = string(v)
		case ":error-message":
			f.Payload = append(wire.AppendString([]byte(`{"message":`), string(v)), '}')
		case ":content-type":
			if v != "application/json" {
				return f, &wire.Unknown{What: fmt.Sprintf("a frame of the content type %.50q", string(v))}
			}
		default:
			return f, &wire.Unknown{What: fmt.Sprintf("the header %.50q of a frame", h.Name)}
		}
	}
	return f, nil
}

// Event reads one frame.
func (s *stream) Event(raw []byte) (wire.Event, error) {
	f, err := open(raw)
	if err != nil {
		return wire.Event{}, err
	}
	switch {
	case f.kind == "exception" || f.kind == "error":
		ev, err := s.ReadAs(failure(), f.Payload, 0)
		for i := range ev.Deltas {
			if f.kind == "error" {
				ev.Deltas[i].Span = wire.Span{} // it stands in a header
			}
		}
		return ev, err
	case f.kind != "event":
		return wire.Event{}, &wire.Unknown{What: fmt.Sprintf("a frame of the message type %.50q", f.kind)}
	case s.inner != nil && f.name == "chunk":
		text, _, err := inside(f.Payload)
		if err != nil {
			return wire.Event{}, err
		}
		return s.ReadAs(s.inner, text, 0)
	}
	if sh := s.named[f.name]; sh != nil {
		return s.ReadAs(sh, f.Payload, 0)
	}
	return wire.Event{}, &wire.Unknown{What: fmt.Sprintf("an event named %.50q", f.name)}
}

func failure() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("originalStatusCode p"), fields{"message": shape.Text(wire.Answer), "originalMessage": shape.Text(wire.Answer)})).Last()
}

// inside takes a model's own event out of a chunk's payload, with the place where it stands in base64.
func inside(payload []byte) (text []byte, at wire.Span, err error) {
	var t tape.Tape
	if err := t.Read(payload); err != nil {
		return nil, at, &wire.Unknown{What: err.Error()}
	}
	v := t.Get(0, "bytes")
	if v < 0 || t.Nodes[v].Kind != tape.String {
		return nil, at, &wire.Unknown{What: "a chunk without bytes"}
	}
	for k := 1; k < len(t.Nodes); k = int(t.Nodes[k+1].Next) {
		if name := t.String(k); name != "bytes" && (name != "p" || !padding(&t, k+1)) {
			return nil, at, &wire.Unknown{What: "a chunk with more than bytes"}
		}
	}
	text, err = base64.StdEncoding.Strict().DecodeString(t.String(v))
	if err != nil {
		return nil, at, &wire.Unknown{What: "a chunk whose bytes are no base64"}
	}
	return text, wire.Span{From: int(t.Nodes[v].From), To: int(t.Nodes[v].To)}, nil
}

// padding says whether a value is what AWS pads events with: letters and digits.
func padding(t *tape.Tape, n int) bool {
	return t.Nodes[n].Kind == tape.String && !bytes.ContainsFunc(t.Bytes(n), func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9')
	})
}

// Rewrite is wire.Rewriter's.
func (s *stream) Rewrite(raw []byte, edits []wire.Edit) ([]byte, error) {
	if len(edits) == 0 {
		return bytes.Clone(raw), nil
	}
	f, err := open(raw)
	if err != nil {
		return nil, err
	}
	if f.kind == "event" && s.inner != nil && f.name == "chunk" {
		text, at, err := inside(f.Payload)
		if err != nil {
			return nil, err
		}
		if text, err = wire.Rewrite(text, edits); err != nil {
			return nil, err
		}
		edits = []wire.Edit{{Span: at, Text: base64.StdEncoding.EncodeToString(text)}}
	}
	if f.Payload, err = wire.Rewrite(f.Payload, edits); err != nil {
		return nil, err
	}
	return seal(f.Message)
}

func seal(m eventstream.Message) ([]byte, error) {
	var out bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&out, m); err != nil {
		return nil, fmt.Errorf("rewrite a frame: %w", err)
	}
	return out.Bytes(), nil
}

// end is an exception, which clients raise.
func end(_ *shape.Events, r wire.Refusal) []byte {
	text := append(wire.AppendString([]byte(`{"message":`), shape.Said(r)), '}')
	out, err := seal(eventstream.Message{Payload: text, Headers: eventstream.Headers{
		{Name: ":exception-type", Value: eventstream.StringValue("validationException")},
		{Name: ":content-type", Value: eventstream.StringValue("application/json")},
		{Name: ":message-type", Value: eventstream.StringValue("exception")},
	}})
	if err != nil {
		panic("BUG: bedrock: " + err.Error()) // short strings of our own always fit
	}
	return out
}
