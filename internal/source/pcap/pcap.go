// Package pcap reads packet captures (pcap, pcapng) and makes of them what
// sensors on the wire would: flows, one per direction of a conversation;
// questions to name servers with their answers; HTTP requests with the status
// that they got; and the fingerprints of TLS clients.
//
// A record is a packet. The memory is bounded: conversations, the bytes kept of
// their beginnings, questions without an answer and fragments all have caps.
package pcap

import (
	"errors"
	"fmt"
	"io"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/capture"
)

// Config of the format.
type Config struct {
	// Idle is how long a conversation may be silent before its flow ends.
	Idle time.Duration `yaml:"idle"`
	// Active is how long a flow lasts at most; a longer conversation becomes several.
	Active time.Duration `yaml:"active"`
	// Conversations is how many are followed at the same time (about 400 bytes
	// each); the one silent for longest makes room.
	Conversations int `yaml:"conversations"`
}

// Default configuration: the times are those by which exporters of flows are
// set up most often (RFC 7011 leaves them open; AWS aggregates over 10 minutes).
func Default() Config {
	return Config{Idle: time.Minute, Active: 10 * time.Minute, Conversations: 1 << 17}
}

// New makes the format.
func New(c Config) (source.Format, error) {
	if c.Idle < time.Second || c.Active < c.Idle || c.Conversations < 16 || c.Conversations > 1<<22 {
		return nil, errors.New("pcap: idle must be at least 1s and not longer than active, conversations between 16 and 4,194,304")
	}
	return format{c}, nil
}

type format struct{ conf Config }

// Decoder implements source.Format: no line of text is a packet.
func (format) Decoder() source.Decoder { return none{} }

type none struct{}

func (none) Decode([]byte, uint64, *observe.LogBatch) error { return source.ErrFormat }

// Open implements source.Container.
func (f format) Open(in *source.Input) (source.Records, error) {
	if !capture.Begins(in.Head) {
		return nil, source.ErrFormat
	}
	file, err := capture.Open(in.Stream)
	if err != nil {
		return nil, err
	}
	return &records{file: file, table: newTable(f.conf)}, nil
}

// records reads packets into the table of conversations.
type records struct {
	file  *capture.File
	table *table
	links bool  // a packet of a link type that is read
	other error // about the first of another one
}

// Close implements source.Records.
func (r *records) Close() { r.table = nil }

// Next implements source.Records.
func (r *records) Next(at uint64, b *observe.LogBatch) (n int, err error) {
	for n < source.BatchLen && b.Len() < source.BatchLen {
		fr, err := r.file.Next()
		if errors.Is(err, io.EOF) {
			return n, r.end(at+uint64(n), b)
		}
		if err != nil {
			return n, err
		}
		r.frame(fr, at+uint64(n), b)
		n++
	}
	return n, nil
}

// end hands out what the table still holds, a batch at a time.
func (r *records) end(at uint64, b *observe.LogBatch) error {
	if !r.links && r.other != nil {
		return r.other
	}
	if r.table.flush(b, source.BatchLen) {
		return nil
	}
	return io.EOF
}

func (r *records) frame(fr capture.Frame, at uint64, b *observe.LogBatch) {
	if !capture.Links(fr.Link) {
		if r.other == nil {
			r.other = fmt.Errorf("packets of link type %d are not read: capture on Ethernet, or on any interface", fr.Link)
		}
		return
	}
	r.links = true
	p, ok := capture.Parse(fr.Link, fr.Data)
	if ok {
		r.table.packet(&p, fr.Time, at, b)
	}
}
