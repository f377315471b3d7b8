package mcp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// event is one server-sent event (WHATWG HTML, 9.2).
type event struct {
	raw  []byte // as it came, with its empty line
	data []byte // its data lines, joined
	name string // of its event line; "" means message
	rest []byte // its other lines (id, retry), for an event that is written anew

	beside []byte // words that are no message: comments, ids
}

// events reads a stream of events. An event above the limit is an error: what follows
// could not be told from its rest.
type events struct {
	r     *bufio.Reader
	limit int
}

func newEvents(r io.Reader, limit int) *events { return &events{bufio.NewReaderSize(r, 64<<10), limit} }

// next returns one event. Lines that end the stream without an empty line are no event.
func (e *events) next() (*event, error) {
	ev := &event{}
	var data [][]byte
	for {
		line, err := e.line(len(ev.raw))
		ev.raw = append(ev.raw, line...)
		if err != nil {
			if errors.Is(err, io.EOF) && len(bytes.TrimSpace(ev.raw)) > 0 {
				err = errors.New("the stream ended in the middle of an event")
			}
			return nil, err
		}
		text := bytes.TrimRight(line, "\r\n")
		if len(text) == 0 {
			ev.data = bytes.Join(data, []byte("\n"))
			return ev, nil
		}
		name, value, _ := bytes.Cut(text, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "data":
			data = append(data, bytes.Clone(value))
		case "event":
			ev.name = string(value)
		case "id", "retry":
			ev.rest = append(append(ev.rest, text...), '\n')
			ev.beside = append(append(ev.beside, value...), '\n')
		case "":
			ev.beside = append(append(ev.beside, value...), '\n')
		default: // readers ignore it, and strip a byte order mark that would make it data
			return nil, errors.New("a line of no known field")
		}
	}
}

// line ends with \n; a lone \r, which the format allows, is refused: it would be a line
// end to the client and not to us.
func (e *events) line(have int) ([]byte, error) {
	var line []byte
	for {
		part, err := e.r.ReadSlice('\n')
		if have+len(line)+len(part) > e.limit {
			return nil, fmt.Errorf("an event of more than %d bytes", e.limit)
		}
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return line, err
		}
		if k := bytes.IndexByte(line, '\r'); k >= 0 && k < len(line)-2 {
			return nil, errors.New("a line break that only some readers take for one")
		}
		return line, nil
	}
}

// writeEvent makes an event anew.
func writeEvent(w io.Writer, e *event, message []byte) error {
	var b bytes.Buffer
	b.Write(e.rest)
	b.WriteString("event: message\ndata: ")
	b.Write(oneLine(message))
	b.WriteString("\n\n")
	_, err := w.Write(b.Bytes())
	return err
}
