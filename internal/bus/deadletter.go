package bus

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	deadStream  = "DEADLETTER"
	deadSubject = "deadletter"

	hdrReason = "Bz-Reason"
	hdrTime   = "Bz-Time"
	hdrFrom   = "Bz-Subject"
)

// DeadLetter is a message that its consumer could not decode.
type DeadLetter struct {
	Seq      uint64    // in the dead-letter stream
	Stream   string    // where it was
	Durable  string    // who could not read it
	Original uint64    // its sequence number there
	Time     time.Time // when it was stored there
	Subject  string    // its subject there
	Reason   string    // at most 500 bytes, printable ASCII
	Data     []byte    // the body as it was
}

func (b *Bus) deadConfig() jetstream.StreamConfig {
	return b.streamConfig(deadStream, deadSubject+".*.*", Limits{MaxBytes: 64 << 20, DiscardOld: true})
}

// deadLetter stores a copy. The id makes a repeat after a kill harmless.
func (b *Bus) deadLetter(ctx context.Context, stream, durable string, m jetstream.Msg, seq uint64, at time.Time, why error) error {
	if _, err := b.ensure(ctx, b.deadConfig()); err != nil {
		return err
	}
	d := &nats.Msg{Subject: deadSubject + "." + stream + "." + durable, Data: m.Data(), Header: nats.Header{
		hdrReason: []string{printable(why.Error(), 500)},
		hdrTime:   []string{at.UTC().Format(time.RFC3339Nano)},
		hdrFrom:   []string{printable(m.Subject(), 500)},
		"Bz-Seq":  []string{strconv.FormatUint(seq, 10)},
	}}
	if room := int(b.nc.MaxPayload()) - headerRoom; len(d.Data) > room {
		d.Data = d.Data[:room] // a foreign writer's message of full size: keep what fits beside our headers
	}
	_, err := b.publish(ctx, d, fmt.Sprintf("%s/%s/%d", stream, durable, seq))
	if err == nil {
		b.deadLettered.Add(1)
	}
	return err
}

// printable caps hostile text and keeps line ends out of headers.
func printable(s string, limit int) string {
	s = s[:min(len(s), limit)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// DeadLettered counts the messages this process has moved to the dead-letter stream.
func (b *Bus) DeadLettered() uint64 { return b.deadLettered.Load() }

// ReadDeadLetters calls fn for every dead letter, oldest first. Data is hostile.
func ReadDeadLetters(ctx context.Context, b *Bus, fn func(DeadLetter) error) error {
	if _, err := b.ensure(ctx, b.deadConfig()); err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	_, err := b.scan(ctx, scanOptions{stream: deadStream, filter: deadSubject + ".*.*"}, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		parts := strings.Split(m.Subject(), ".")
		h := m.Headers()
		d := DeadLetter{Seq: meta.Sequence.Stream, Stream: parts[1], Durable: parts[2], Subject: h.Get(hdrFrom),
			Reason: h.Get(hdrReason), Data: m.Data()}
		d.Original, _ = strconv.ParseUint(h.Get("Bz-Seq"), 10, 64) // ours; zero says unknown
		d.Time, _ = time.Parse(time.RFC3339Nano, h.Get(hdrTime))
		return fn(d)
	})
	return err
}
