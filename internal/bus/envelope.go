package bus

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
)

// Headers of every message this program writes.
const (
	hdrSchema  = "Bz-Schema"
	hdrVersion = "Bz-Version"
	hdrKey     = "Bz-Key" // the escaped key, when it was too long to be a subject token
	hdrOp      = "Bz-Op"  // "del" on a key-value tombstone
)

// Limits bound a stream. The zero value of a field means: no bound (MaxBytes, MaxAge) or the default (Dedup).
type Limits struct {
	MaxBytes int64         // bytes on disk; reserved against Config.MaxBytes
	MaxAge   time.Duration // messages older than this are removed
	Dedup    time.Duration // how long a message id is remembered; default two minutes, at most MaxAge
	// DiscardOld removes the oldest message when the stream is full. Without it a full stream refuses new ones
	// (ErrNoSpace): right for a ledger, wrong for a log.
	DiscardOld bool
}

// Topic is a typed stream: where its messages live and what they look like.
type Topic[T any] struct {
	Stream  string // name of the stream, for instance SIGNALS
	Subject string // subject prefix; a message's subject is Subject.<key>
	Schema  string // name of T's schema, for instance "signal"
	Version int    // version of the schema this program writes, from 1
	// Old converts bodies of older versions. A version that is missing here cannot be read (VersionError).
	Old    map[int]func([]byte) (T, error)
	Limits Limits
}

// Message is one stored message.
type Message[T any] struct {
	Seq         uint64    // position in the stream, from 1; not reused, except after a loss on disk (see Losses)
	Time        time.Time // server's wall clock at arrival
	Key         string
	Value       T
	Redelivered bool // it may have been handled before
}

func (t *Topic[T]) check() error {
	if err := checkName("stream", t.Stream); err != nil {
		return err
	}
	if err := checkSubject(t.Subject); err != nil {
		return err
	}
	if err := checkName("schema", t.Schema); err != nil {
		return err
	}
	if t.Version < 1 {
		return fmt.Errorf("check topic %s: version %d; versions start at 1", t.Stream, t.Version)
	}
	return nil
}

func (t *Topic[T]) codec() codec[T] {
	return codec[T]{stream: t.Stream, prefix: t.Subject + ".", schema: t.Schema, version: t.Version, old: t.Old}
}

// codec turns values into messages and back, for topics and key-value buckets alike.
type codec[T any] struct {
	stream, prefix, schema string
	version                int
	old                    map[int]func([]byte) (T, error)
}

// encode builds the message. Bytes that are not UTF-8 (attackers send them) are replaced, not refused: a signal must
// not be lost because of a user name.
func (c *codec[T]) encode(key string, v T) (*nats.Msg, error) {
	m, err := c.empty(key)
	if err != nil {
		return nil, err
	}
	if m.Data, err = json.Marshal(v, jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, fmt.Errorf("encode %s: %w", c.schema, err)
	}
	return m, nil
}

func (c *codec[T]) empty(key string) (*nats.Msg, error) {
	tok, full, err := token(key)
	if err != nil {
		return nil, err
	}
	m := &nats.Msg{Subject: c.prefix + tok, Header: nats.Header{
		hdrSchema:  []string{c.schema},
		hdrVersion: []string{strconv.Itoa(c.version)},
	}}
	if full != "" {
		m.Header[hdrKey] = []string{full}
	}
	return m, nil
}

// key gives back the key of a stored message.
func (c *codec[T]) key(subject string, h nats.Header) (string, error) {
	tok, ok := strings.CutPrefix(subject, c.prefix)
	if !ok {
		return "", fmt.Errorf("subject %q is not below %q", subject, c.prefix)
	}
	if strings.HasPrefix(tok, "==") {
		k, err := unescape(h.Get(hdrKey))
		if err != nil {
			return "", err
		}
		if again, _, err := token(k); err != nil || again != tok {
			return "", fmt.Errorf("%w: header does not match the subject", errKey)
		}
		return k, nil
	}
	return unescape(tok)
}

// decode fills m.Key and m.Value. Errors are *VersionError or *DecodeError.
func (c *codec[T]) decode(m *Message[T], subject string, h nats.Header, data []byte) (err error) {
	bad := func(err error) error { return &DecodeError{Stream: c.stream, Seq: m.Seq, Err: err} }
	if m.Key, err = c.key(subject, h); err != nil {
		return bad(err)
	}
	if s := h.Get(hdrSchema); s != c.schema {
		return bad(fmt.Errorf("schema is %.64q, want %q", s, c.schema))
	}
	v, err := strconv.Atoi(h.Get(hdrVersion))
	if err != nil || v < 1 {
		return bad(errors.New("no schema version"))
	}
	switch {
	case v > c.version:
		return &VersionError{Schema: c.schema, Got: v, Known: c.version, Stream: c.stream, Seq: m.Seq}
	case v == c.version:
		if err := json.Unmarshal(data, &m.Value, jsontext.AllowInvalidUTF8(true)); err != nil {
			return bad(err)
		}
		return nil
	}
	up := c.old[v]
	if up == nil {
		return &VersionError{Schema: c.schema, Got: v, Known: c.version, Stream: c.stream, Seq: m.Seq, NoConversion: true}
	}
	if m.Value, err = up(data); err != nil {
		return bad(fmt.Errorf("convert version %d: %w", v, err))
	}
	return nil
}
