// Package vpcflow reads AWS VPC Flow Logs as text, version 2 to 10, with any
// custom order of fields (Amazon VPC User Guide, "Flow log records"). Files
// that AWS writes to S3 begin with a line that names the fields; records
// without one are read in the default format of version 2, or in the order that
// the configuration gives.
package vpcflow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"net/netip"
	"strings"

	"bartizan/internal/observe"
	"bartizan/internal/source"
)

// Config of the format.
type Config struct {
	// Fields is the custom format of the flow log, as given to AWS, for records
	// that come without a header line; empty: the default of version 2.
	Fields string `yaml:"fields"`
}

// Default configuration.
func Default() Config { return Config{} }

const defaultFields = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"

// New makes the format.
func New(c Config) (source.Format, error) {
	f := format{custom: c.Fields != ""}
	if c.Fields == "" {
		c.Fields = defaultFields
	}
	if f.columns = header([]byte(c.Fields)); f.columns == nil {
		return nil, errors.New("vpcflow: fields must name srcaddr and dstaddr (or pkt-srcaddr and pkt-dstaddr), separated by blanks")
	}
	return f, nil
}

type format struct {
	columns []column
	custom  bool
}

// Decoder implements source.Format.
func (f format) Decoder() source.Decoder {
	return &decoder{columns: f.columns, known: f.custom}
}

// column is what a field means to us.
type column uint8

const (
	skip column = iota
	version
	srcAddr
	dstAddr
	srcPort
	dstPort
	protocol
	packets
	octets
	start
	end
	action
	status
	flags
	pktSrc
	pktDst
)

// columnOf reads a field's name; known says whether AWS has it at all.
func columnOf(name string) (c column, known bool) {
	name = strings.Trim(name, `"`)
	// Athena and other exports write names in their own way.
	switch strings.ToLower(strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(name, "${"), "}"), "_", "-")) {
	case "version":
		return version, true
	case "srcaddr":
		return srcAddr, true
	case "dstaddr":
		return dstAddr, true
	case "srcport":
		return srcPort, true
	case "dstport":
		return dstPort, true
	case "protocol":
		return protocol, true
	case "packets":
		return packets, true
	case "bytes":
		return octets, true
	case "start":
		return start, true
	case "end":
		return end, true
	case "action":
		return action, true
	case "log-status":
		return status, true
	case "tcp-flags":
		return flags, true
	case "pkt-srcaddr":
		return pktSrc, true
	case "pkt-dstaddr":
		return pktDst, true
	case "account-id", "interface-id", "vpc-id", "subnet-id", "instance-id", "type", "region", "az-id",
		"sublocation-type", "sublocation-id", "pkt-src-aws-service", "pkt-dst-aws-service", "flow-direction",
		"traffic-path", "ecs-cluster-arn", "ecs-cluster-name", "ecs-container-instance-arn",
		"ecs-container-instance-id", "ecs-container-id", "ecs-second-container-id", "ecs-service-name",
		"ecs-task-definition-arn", "ecs-task-arn", "ecs-task-id", "reject-reason", "resource-id", "encryption-status":
		return skip, true
	}
	return skip, false
}

// maxColumns is more than AWS has fields.
const maxColumns = 128

// header reads a line that names fields; nil when it does not. Names that AWS
// adds after this was written are skipped, as long as both addresses are there.
func header(line []byte) []column {
	words := strings.FieldsFunc(string(line[:min(len(line), 8192)]), func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
	if len(words) < 2 || len(words) > maxColumns {
		return nil
	}
	var out []column
	var seen [pktDst + 1]bool
	named := 0
	for _, w := range words {
		c, known := columnOf(w)
		if known {
			named++
		}
		if c != skip && seen[c] {
			return nil
		}
		seen[c] = true
		out = append(out, c)
	}
	if named*2 < len(words) || !(seen[srcAddr] || seen[pktSrc]) || !(seen[dstAddr] || seen[pktDst]) {
		return nil
	}
	// The packet's own addresses count only where the interface's are missing.
	for i, c := range out {
		switch {
		case c == pktSrc && !seen[srcAddr]:
			out[i] = srcAddr
		case c == pktDst && !seen[dstAddr]:
			out[i] = dstAddr
		case c == pktSrc, c == pktDst:
			out[i] = skip
		}
	}
	return out
}

type decoder struct {
	columns []column
	known   bool   // columns come from a header line or the configuration
	apart   byte   // what stands between fields, when it is no blank
	flat    []byte // a record with blanks instead
}

// Decode implements source.Decoder.
func (d *decoder) Decode(line []byte, at uint64, b *observe.LogBatch) error {
	if c := line[0]; c|0x20 >= 'a' && c|0x20 <= 'z' || c == '$' || c == '"' {
		name := line
		if n := bytes.IndexAny(line, " \t,"); n >= 0 {
			name = line[:n]
		}
		if _, known := columnOf(string(name)); known {
			if h := header(line); h != nil {
				d.columns, d.known, d.apart = h, true, 0
				if c := line[min(len(name), len(line)-1)]; c == '\t' || c == ',' {
					d.apart = c
				}
				return source.ErrHeader
			}
		}
	}
	if d.apart != 0 {
		line = d.blanks(line)
	}
	n := len(b.Flows)
	if n < cap(b.Flows) {
		b.Flows = b.Flows[:n+1]
		b.Flows[n] = observe.Flow{}
	} else {
		b.Flows = append(b.Flows, observe.Flow{})
	}
	f := &b.Flows[n]
	ok, err := d.parse(line, f)
	if err == nil && ok {
		f.Record = at
		return nil
	}
	b.Flows = b.Flows[:n]
	return err
}

// blanks writes a record with blanks between its fields, and without quotes.
func (d *decoder) blanks(line []byte) []byte {
	d.flat = d.flat[:0]
	for i, c := range line {
		switch {
		case c == d.apart:
			if i == 0 || line[i-1] == d.apart {
				d.flat = append(d.flat, '-')
			}
			c = ' '
		case c == '"':
			continue
		}
		d.flat = append(d.flat, c)
	}
	if n := len(d.flat); n == 0 || d.flat[n-1] == ' ' {
		d.flat = append(d.flat, '-')
	}
	return d.flat
}

// Errors of a record; values, because a hostile file has millions.
var (
	errCount   = errors.New("number of fields does not match the header line")
	errAddress = errors.New("an address is none")
	errNumber  = errors.New("a number is none, or too large")
	errWord    = errors.New("action or log-status is unknown")
	errVersion = errors.New("a record of a custom format without a header line: set fields to the flow log's format")
)

// parse reads a record in place; ok is false for one without a flow.
func (d *decoder) parse(line []byte, f *observe.Flow) (ok bool, err error) {
	i, data := 0, true
	for k, c := range d.columns {
		if i >= len(line) && (k > 0 || i > 0) {
			return false, d.count(line)
		}
		switch c {
		case skip:
			if n := bytes.IndexByte(line[i:], ' '); n >= 0 {
				i += n + 1
			} else {
				i = len(line) + 1
			}
			continue
		case srcAddr, dstAddr:
			a := &f.Src
			if c == dstAddr {
				a = &f.Dst
			}
			if v, next, four := address4(line, i); four {
				a.Set4(v)
				i = next
				continue
			}
			tok := token(line, i)
			i += len(tok) + 1
			if len(tok) == 1 && tok[0] == '-' {
				data = false
				continue
			}
			good := false
			if *a, good = address6(tok); !good {
				return false, d.wrong(errAddress)
			}
			continue
		case action, status:
			tok := token(line, i)
			i += len(tok) + 1
			switch {
			case len(tok) == 1 && tok[0] == '-':
			case c == status:
				if string(tok) != "OK" && string(tok) != "SKIPDATA" && string(tok) != "NODATA" {
					return false, d.wrong(errWord)
				}
				data = data && tok[0] == 'O'
			case string(tok) == "ACCEPT":
				f.Action = observe.FlowAccept
			case string(tok) == "REJECT":
				f.Action = observe.FlowReject
			default:
				return false, d.wrong(errWord)
			}
			continue
		}
		v, next := numberAt(line, i)
		if next < 0 {
			if tok := token(line, i); len(tok) == 1 && tok[0] == '-' {
				i += 2
				continue
			}
			return false, d.wrong(errNumber)
		}
		i = next
		if !set(f, c, v) {
			return false, d.wrong(errNumber)
		}
		if c == version && v != 2 && !d.known {
			return false, errVersion
		}
	}
	if i < len(line) {
		return false, d.count(line)
	}
	f.HasFlags = f.HasFlags && f.Proto == observe.ProtoTCP
	return data, nil
}

// token is what begins at i, up to a blank or the end.
func token(line []byte, i int) []byte {
	tok := line[min(i, len(line)):]
	if n := bytes.IndexByte(tok, ' '); n >= 0 {
		tok = tok[:n]
	}
	return tok
}

// wrong keeps "not ours at all" apart from "ours and broken" as long as no
// header said what to expect.
func (d *decoder) wrong(err error) error {
	if !d.known {
		return source.ErrFormat
	}
	return err
}

func (d *decoder) count(line []byte) error {
	if !d.known && len(line) > 2 && line[0] >= '3' && line[0] <= '9' && line[1] == ' ' && bytes.Contains(line, []byte(" eni-")) {
		return errVersion
	}
	return d.wrong(errCount)
}

// set stores a number; false when it does not fit.
func set(f *observe.Flow, c column, v uint64) bool {
	switch c {
	case version:
		return v >= 2 && v <= 255
	case srcPort:
		f.SrcPort = uint16(v)
		return v <= 0xffff
	case dstPort:
		f.DstPort = uint16(v)
		return v <= 0xffff
	case protocol:
		f.Proto = uint8(v)
		return v <= 0xff
	case packets:
		f.Packets = v
	case octets:
		f.Bytes = v
	case start:
		f.Start = int64(v & maxSeconds)
		return v <= maxSeconds
	case end:
		f.End = int64(v & maxSeconds)
		return v <= maxSeconds
	case flags:
		f.Flags, f.HasFlags = uint8(v), true
		return v <= 0xff
	}
	return true
}

// maxSeconds is the year 10889: far enough, and no arithmetic on it overflows.
const maxSeconds = 1<<48 - 1

// numberAt reads the token at i; next is behind the blank that ends it, or
// negative when it is no number, or one of more than 19 digits. Eight bytes are
// looked at at once: how many digits a number has cannot be guessed.
func numberAt(line []byte, i int) (v uint64, next int) {
	k := i
	if i+8 <= len(line) {
		const zeros = 0x3030303030303030
		x := binary.LittleEndian.Uint64(line[i:]) ^ zeros // digits become 0 to 9
		other := (x + 0x7676767676767676 | x) & 0x8080808080808080
		n := bits.TrailingZeros64(other) >> 3
		if other != 0 && n > 0 && line[i+n] == ' ' {
			return eight(x << (64 - 8*n)), i + n + 1
		}
		if other == 0 {
			v, k = eight(x), i+8
		}
	}
	for ; k < len(line); k++ {
		c := line[k] - '0'
		if c > 9 {
			if line[k] != ' ' {
				return 0, -1
			}
			break
		}
		v = v*10 + uint64(c)
	}
	if n := k - i; n < 1 || n > 19 {
		return 0, -1
	}
	return v, k + 1
}

// eight adds up eight digits, the first in the lowest byte.
func eight(x uint64) uint64 {
	x = x * (1 + 10<<8) >> 8 & 0x00ff00ff00ff00ff
	x = x * (1 + 100<<16) >> 16 & 0x0000ffff0000ffff
	return x * (1 + 10000<<32) >> 32
}

// number reads a whole token.
func number(tok []byte) (uint64, error) {
	v, next := numberAt(tok, 0)
	if next != len(tok)+1 {
		return 0, errNumber
	}
	return v, nil
}

// address reads a whole token.
func address(tok []byte) (a observe.Addr, ok bool) {
	if v, next, four := address4(tok, 0); four && next == len(tok)+1 {
		a.Set4(v)
		return a, true
	}
	return address6(tok)
}

// address4 reads an IPv4 address at i; next is behind the blank that ends it.
func address4(line []byte, i int) (v uint32, next int, ok bool) {
	for part := 0; ; part++ {
		n, from := uint32(0), i
		for ; i < len(line); i++ {
			c := line[i] - '0'
			if c > 9 {
				break
			}
			n = n*10 + uint32(c)
		}
		if k := i - from; k < 1 || k > 3 || n > 255 {
			return 0, 0, false
		}
		v = v<<8 | n
		if part == 3 {
			return v, i + 1, i >= len(line) || line[i] == ' '
		}
		if i >= len(line) || line[i] != '.' {
			return 0, 0, false
		}
		i++
	}
}

func address6(tok []byte) (observe.Addr, bool) {
	if len(tok) > 45 || bytes.IndexByte(tok, ':') < 0 {
		return observe.Addr{}, false
	}
	a, err := netip.ParseAddr(string(tok))
	if err != nil || a.Zone() != "" {
		return observe.Addr{}, false
	}
	return observe.AddrOf(a), true
}
