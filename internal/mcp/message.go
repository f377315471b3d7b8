package mcp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of messages.
const (
	MaxBatch = 100
	maxID    = 256
)

// Kind of a message (JSON-RPC 2.0).
type Kind uint8

// Kinds. The zero value is none of them.
const (
	Request Kind = iota + 1
	Notification
	Response
)

// Message is one JSON-RPC message; its parts are bytes of the sender.
type Message struct {
	Raw    jsontext.Value
	Kind   Kind
	ID     string // as JSON, "1" or "\"a\""; "" for a notification and for an error about no request
	Method string
	Params jsontext.Value
	Result jsontext.Value // of a Response; nil when it is an error
	Error  jsontext.Value
	More   bool // it has members that JSON-RPC does not know
}

// Body is what the message says: its params, result or error; all of it when it says more.
func (m *Message) Body() jsontext.Value {
	for _, v := range []jsontext.Value{m.Params, m.Result, m.Error} {
		if v != nil && !m.More {
			return v
		}
	}
	if m.More {
		return m.Raw
	}
	return nil
}

// Codes of JSON-RPC errors.
const (
	CodeParse    = -32700
	CodeRequest  = -32600
	CodeMethod   = -32601
	CodeParams   = -32602
	CodeInternal = -32603
	CodeRefused  = -32050 // of ours: the policy of the gateway; -32001 and its neighbours have meanings in SDKs
)

var integer = regexp.MustCompile(`^(?:0|-?[1-9][0-9]{0,18})$`)

// topNames are the members of a message; one written with other letters' case is
// refused, because readers exist that take both.
func topNames() []string {
	return []string{"jsonrpc", "id", "method", "params", "result", "error"}
}

// ParseMessage reads one message that is no batch. What two readers could take for
// two things is an error: names twice, names in another case, an id that is neither a
// text nor a whole number, a request with a result.
func ParseMessage(raw []byte) (Message, error) {
	m := Message{Raw: raw}
	version := ""
	hasID, nullID := false, false
	err := Members(raw, func(name string, v jsontext.Value, _ int) (err error) {
		switch name {
		case "jsonrpc":
			version, err = Text(v)
		case "id":
			hasID, nullID = true, v.Kind() == 'n'
			if !nullID {
				m.ID, err = idOf(v)
			}
		case "method":
			if m.Method, err = Text(v); err == nil && (m.Method == "" || len(m.Method) > 200) {
				err = errors.New("empty or too long")
			}
		case "params":
			if m.Params = v; v.Kind() != '{' {
				err = errors.New("not an object")
			}
		case "result":
			m.Result = v
		case "error":
			if m.Error = v; v.Kind() != '{' {
				err = errors.New("not an object")
			}
		default:
			m.More, err = true, likeOne(name, topNames())
		}
		if err != nil {
			err = fmt.Errorf("%.20q: %w", name, err)
		}
		return err
	})
	if err != nil {
		return m, err
	}
	switch answer := m.Result != nil || m.Error != nil; {
	case version != "2.0":
		return m, errors.New("not JSON-RPC 2.0")
	case m.Method != "" && answer, m.Result != nil && m.Error != nil:
		return m, errors.New("more than one of method, result and error")
	case m.Method != "" && nullID:
		return m, errors.New("a request with the id null")
	case m.Method != "" && hasID:
		m.Kind = Request
	case m.Method != "":
		m.Kind = Notification
	case answer && (m.ID != "" || m.Error != nil):
		m.Kind = Response
	default:
		return m, errors.New("neither a request nor an answer")
	}
	return m, nil
}

func idOf(v jsontext.Value) (string, error) {
	switch v.Kind() {
	case '"':
		s, err := Text(v)
		if err != nil || len(s) > maxID {
			return "", errors.New("too long or malformed")
		}
		return string(Quote(s)), nil // one spelling for one text
	case '0':
		if s := string(v); integer.MatchString(s) {
			return s, nil
		}
	}
	return "", errors.New("neither a text nor a whole number")
}

// likeOne refuses a name that differs from one of the known only by case.
func likeOne(name string, known []string) error {
	if slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) }) {
		return errors.New("differs from a known name by case only")
	}
	return nil
}

// Call is the params of tools/call.
type Call struct {
	Name string
	Args jsontext.Value // an object; nil when there are none
	Meta jsontext.Value // _meta; since 2026-07-28 every request says there who asks, in which version
}

// ParseCall reads the params of tools/call.
func ParseCall(params jsontext.Value) (c Call, err error) {
	if params == nil {
		return c, errors.New("no params")
	}
	err = Members(params, func(name string, v jsontext.Value, _ int) (err error) {
		switch name {
		case "name":
			c.Name, err = Text(v)
		case "arguments":
			if v.Kind() == 'n' {
				return nil
			}
			if c.Args = v; v.Kind() != '{' {
				err = errors.New("not an object")
			}
		case "_meta":
			c.Meta = v
		default:
			err = likeOne(name, []string{"name", "arguments", "_meta"})
		}
		if err != nil {
			err = fmt.Errorf("%.20q: %w", name, err)
		}
		return err
	})
	if err == nil && (c.Name == "" || len(c.Name) > MaxToolName) {
		err = errors.New("no name of a tool")
	}
	return c, err
}

// IsBatch says whether a line is an array of messages.
func IsBatch(raw []byte) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	return len(raw) > 0 && raw[0] == '['
}

// ParseBatch reads an array of messages (JSON-RPC 2.0, MCP of 2025-03-26).
func ParseBatch(raw []byte) (out []Message, err error) {
	if err := checkDepth(raw); err != nil {
		return nil, err
	}
	if err := Elements(raw, func(v jsontext.Value) error {
		if len(out) >= MaxBatch {
			return fmt.Errorf("a batch of more than %d messages", MaxBatch)
		}
		m, err := ParseMessage(v)
		out = append(out, m)
		return err
	}); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, errors.New("an empty batch")
	}
	return out, nil
}

// GuessID looks for the id of a message that is malformed or was cut, so that who
// waits for it can be told. It proves nothing; "" when there is none.
func GuessID(head []byte) string {
	d := jsontext.NewDecoder(bytes.NewReader(head), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if tok, err := d.ReadToken(); err != nil || tok.Kind() != '{' {
		return ""
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return ""
		}
		isID := name.String() == "id"
		v, err := d.ReadValue()
		if err != nil {
			return ""
		}
		if isID {
			id, err := idOf(v)
			if err != nil {
				return ""
			}
			return id
		}
	}
	return ""
}

// Quote is a text as JSON.
func Quote(s string) jsontext.Value {
	b, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil {
		return jsontext.Value(`""`) // only invalid UTF-8 fails, and there is none
	}
	return b
}

// Failure is the answer that a request failed. An id of "" becomes null.
func Failure(id string, code int, message string) []byte {
	if id == "" {
		id = "null"
	}
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%s}}`, id, code, Quote(message))
}

// Success is the answer to a request.
func Success(id string, result []byte) []byte {
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result)
}

// With is the object with one member's value replaced; every other byte of a
// member stays. A member that is not there is added.
func With(object jsontext.Value, name string, value []byte) (jsontext.Value, error) {
	var b bytes.Buffer
	found := false
	b.WriteByte('{')
	err := Members(object, func(n string, v jsontext.Value, _ int) error {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		if n == name {
			v, found = value, true
		}
		b.Write(Quote(n))
		b.WriteByte(':')
		b.Write(v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !found {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(Quote(name))
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Rewrite replaces string values: change gets each text and returns the one to put in
// its place. Names of members, numbers and spaces keep their bytes. changed says
// whether anything is different.
func Rewrite(raw []byte, change func(string) string) (out []byte, changed bool, err error) {
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	at := 0
	for {
		kind, n := d.StackIndex(d.StackDepth())
		isName := kind == '{' && n%2 == 0
		tok, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			return append(out, raw[at:]...), changed, nil
		}
		if err != nil {
			return nil, false, syntax(err)
		}
		if tok.Kind() != '"' || isName {
			continue
		}
		s := tok.String()
		to := change(s)
		if to == s {
			continue
		}
		end := int(d.InputOffset())
		begin := literalStart(raw, end)
		out = append(append(out, raw[at:begin]...), Quote(to)...)
		at, changed = end, true
	}
}

// literalStart finds the opening quote of the string literal that ends at end.
func literalStart(raw []byte, end int) int {
	for i := end - 2; i >= 0; i-- {
		if raw[i] != '"' {
			continue
		}
		slashes := 0
		for k := i - 1; k >= 0 && raw[k] == '\\'; k-- {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
	}
	return 0
}

// TooLong is a line above the limit; the rest of it was skipped.
type TooLong struct {
	Max  int
	Head []byte // how it begins
}

func (e *TooLong) Error() string { return fmt.Sprintf("a message of more than %d bytes", e.Max) }

// Lines reads messages of the stdio transport, one per line.
type Lines struct {
	r   *bufio.Reader
	max int
}

// NewLines makes a reader of lines of at most limit bytes.
func NewLines(r io.Reader, limit int) *Lines { return &Lines{bufio.NewReaderSize(r, 64<<10), limit} }

const keptHead = 64 << 10

// Next returns one line without its end; empty lines are skipped. A *TooLong is
// about that line only. The last line need not have an end.
func (l *Lines) Next() ([]byte, error) {
	for {
		line, err := l.line()
		if err != nil && len(line) == 0 {
			return nil, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(bytes.TrimSpace(line)) > 0 {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (l *Lines) line() ([]byte, error) {
	var line []byte
	for {
		part, err := l.r.ReadSlice('\n')
		if len(line)+len(part) > l.max+1 {
			head := append(line, part...)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = l.r.ReadSlice('\n')
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, err
			}
			return nil, &TooLong{l.max, bytes.Clone(head[:min(len(head), keptHead)])}
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}
