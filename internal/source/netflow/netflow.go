// Package netflow reads what routers and probes export about flows: NetFlow v5
// and v9, IPFIX (RFC 7011) and sFlow v5, with the decoders of goflow2. They come
// live over UDP, in packet captures, in files of datagrams each behind its
// length, or as IPFIX files (RFC 5655).
//
// A record is a datagram. Templates are kept per exporter, with caps.
package netflow

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/capture"
)

// Config of the format.
type Config struct {
	// Exporters is how many are known at the same time; the one silent for
	// longest makes room, and sends its templates again.
	Exporters int `yaml:"exporters"`
}

// Default configuration.
func Default() Config { return Config{Exporters: 1024} }

// New makes the format.
func New(c Config) (source.Format, error) {
	if c.Exporters < 1 || c.Exporters > 1<<16 {
		return nil, errors.New("netflow: exporters must be between 1 and 65,536")
	}
	return format{c}, nil
}

type format struct{ conf Config }

// Decoder implements source.Format: no line of text is a datagram.
func (format) Decoder() source.Decoder { return none{} }

type none struct{}

func (none) Decode([]byte, uint64, *observe.LogBatch) error { return source.ErrFormat }

// Datagrams implements source.Datagrams.
func (f format) Datagrams() source.DatagramDecoder { return newDecoder(f.conf) }

// frames is how the datagrams of a file are told apart.
type frames uint8

const (
	behindLength frames = iota // four bytes, big-endian
	messages                   // IPFIX and NetFlow 5, which say their own length
	packets                    // a packet capture
)

// Open implements source.Container.
func (f format) Open(in *source.Input) (source.Records, error) {
	r := &records{d: newDecoder(f.conf), in: in.Stream}
	h := in.Head
	switch {
	case capture.Begins(h):
		file, err := capture.Open(in.Stream)
		if err != nil {
			return nil, err
		}
		r.kind, r.file = packets, file
	case len(h) > 8 && binary.BigEndian.Uint32(h) <= maxDatagram && begins(h[4:], int(binary.BigEndian.Uint32(h))):
		r.kind = behindLength
	case len(h) > 16 && binary.BigEndian.Uint16(h) == 10 && begins(h, int(binary.BigEndian.Uint16(h[2:]))):
		r.kind = messages
	case fives(h):
		r.kind = messages
	default:
		return nil, source.ErrFormat
	}
	return r, nil
}

const maxDatagram = 65535

// fives reports datagrams of NetFlow 5 one behind the other: at most 30 records
// each, and behind the first another one, or nothing.
func fives(h []byte) bool {
	n := length5(h)
	return n > 24 && n <= 24+48*30 && (len(h) == n || len(h) > n+1 && binary.BigEndian.Uint16(h[n:]) == 5)
}

// length5 is the length of a datagram of NetFlow 5; 0 for what is none.
func length5(h []byte) int {
	if len(h) < 4 || binary.BigEndian.Uint16(h) != 5 {
		return 0
	}
	return 24 + 48*int(binary.BigEndian.Uint16(h[2:]))
}

// begins reports whether a datagram of n bytes, of which b is the beginning, is
// an export: by its version, and by a second thing that must fit.
func begins(b []byte, n int) bool {
	if len(b) < 16 || n < 16 {
		return false
	}
	switch binary.BigEndian.Uint16(b) {
	case 5:
		return n == 24+48*int(binary.BigEndian.Uint16(b[2:]))
	case 9:
		return n >= 20 && (len(b) < 24 || set(b[20:], n-20, 0, 1))
	case 10:
		return int(binary.BigEndian.Uint16(b[2:])) == n && (len(b) < 20 || n == 16 || set(b[16:], n-16, 2, 3))
	case 0:
		ip := binary.BigEndian.Uint32(b[4:])
		return b[2] == 0 && b[3] == 5 && (ip == 1 || ip == 2) && n >= 28
	}
	return false
}

// set reports whether a set of templates or data begins here.
func set(b []byte, n int, template, options uint16) bool {
	id, length := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
	return (id == template || id == options || id >= 256) && length >= 4 && length <= n
}

// records reads the datagrams of a file.
type records struct {
	d    *decoder
	kind frames
	in   io.Reader
	file *capture.File
	buf  [maxDatagram]byte
	some bool // one was read
	end  error
}

// Close implements source.Records.
func (r *records) Close() {}

// Errors of a file.
var (
	errCut    = errors.New("the file ends inside a datagram")
	errLength = errors.New("the length of a datagram cannot be")
	errNone   = errors.New("none of its packets is NetFlow, IPFIX or sFlow; --type pcap reads the packets themselves")
)

// Next implements source.Records.
func (r *records) Next(at uint64, b *observe.LogBatch) (n int, err error) {
	for n < source.BatchLen && b.Len() < source.BatchLen {
		if r.kind == packets {
			err = r.packet(at+uint64(n), b)
		} else {
			err = r.datagram(at+uint64(n), b)
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (r *records) packet(at uint64, b *observe.LogBatch) error {
	fr, err := r.file.Next()
	if errors.Is(err, io.EOF) && !r.some && at > 0 {
		return errNone
	}
	if err != nil {
		return err
	}
	p, ok := capture.Parse(fr.Link, fr.Data)
	if !ok || p.Proto != observe.ProtoUDP || p.More || p.Missing > 0 || !begins(p.Payload, len(p.Payload)) {
		return nil
	}
	r.some = true
	if err := r.d.Decode(netip.AddrPortFrom(p.Src.Netip(), p.SrcPort), fr.Time, p.Payload, at, b); err != nil {
		return &source.RecordError{Why: err, Record: p.Payload[:min(len(p.Payload), 256)]}
	}
	return nil
}

// datagram reads the next one of a stream.
func (r *records) datagram(at uint64, b *observe.LogBatch) error {
	if r.end != nil {
		return r.end
	}
	var head [4]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return r.stop(err)
	}
	n, have := binary.BigEndian.Uint32(head[:]), 0
	if r.kind == messages {
		n, have = uint32(binary.BigEndian.Uint16(head[2:])), copy(r.buf[:], head[:])
		if five := length5(head[:]); five > 0 {
			n = uint32(five)
		}
	}
	if n > maxDatagram || int(n) < 16 {
		r.end = io.EOF // where the next one begins is not known
		return &source.RecordError{Why: errLength}
	}
	if _, err := io.ReadFull(r.in, r.buf[have:n]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return r.stop(err)
	}
	if err := r.d.Decode(netip.AddrPort{}, time.Time{}, r.buf[:n], at, b); err != nil {
		return &source.RecordError{Why: err, Record: r.buf[:min(n, 256)]}
	}
	return nil
}

func (r *records) stop(err error) error {
	r.end = io.EOF
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &source.RecordError{Why: errCut}
	case !errors.Is(err, io.EOF):
		r.end = err
	}
	return r.end
}
