package pcap

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source/capture"

	"golang.org/x/net/dns/dnsmessage"
)

// question waits for its answer.
type question struct {
	id    uint16
	query observe.Query
}

// How many questions wait, of one conversation and of all.
const (
	maxQuestions = 16
	maxAsked     = 1 << 16
)

// nameServer reports whether a datagram is to or from a name server (RFC 1035
// §4.2, RFC 6762 §3).
func nameServer(p *capture.Packet) bool {
	return p.SrcPort == 53 || p.DstPort == 53 || p.SrcPort == 5353 || p.DstPort == 5353
}

// answers is the memory of a parser.
type answers struct{ p dnsmessage.Parser }

// datagram reads a message of DNS over UDP.
func (t *table) datagram(c *conversation, way int, p *capture.Packet, now time.Time, at uint64, b *observe.LogBatch) {
	t.message(c, way, p.Payload, now, at, b)
}

// messages reads messages of DNS over TCP (RFC 1035 §4.2.2); what is left of an
// unfinished one is returned.
func (t *table) messages(c *conversation, way int, buf []byte, now time.Time, at uint64, b *observe.LogBatch) []byte {
	for len(buf) >= 2 {
		n := int(binary.BigEndian.Uint16(buf))
		if len(buf) < 2+n {
			return buf
		}
		t.message(c, way, buf[2:2+n], now, at, b)
		buf = buf[2+n:]
	}
	return buf
}

// message reads a question or an answer. What is no message of DNS is left out.
func (t *table) message(c *conversation, way int, msg []byte, now time.Time, at uint64, b *observe.LogBatch) {
	h, err := t.dns.p.Start(msg)
	if err != nil {
		return
	}
	asked, err := t.dns.p.Question()
	if err != nil {
		return
	}
	client, server := c.ends()
	q := observe.Query{Client: observe.AddrOf(client.Addr()), Server: observe.AddrOf(server.Addr()), ClientPort: client.Port(), ServerPort: server.Port(),
		Proto: c.key.proto, Spoofable: c.key.proto != observe.ProtoTCP || !c.proven, Time: unix(now), Record: at,
		Name: name(asked.Name), Type: observe.RecordType(uint16(asked.Type))}
	if !h.Response {
		if way == 1 && client.Port() != server.Port() {
			return // only clients ask
		}
		if t.asked >= maxAsked && len(c.questions) < maxQuestions {
			b.Queries = append(b.Queries, q)
			return
		}
		if len(c.questions) >= maxQuestions {
			b.Queries = append(b.Queries, c.questions[0].query)
			c.questions = append(c.questions[:0], c.questions[1:]...)
			t.asked--
		}
		t.asked++
		c.questions = append(c.questions, question{h.ID, q})
		return
	}
	for i := range c.questions {
		if w := &c.questions[i]; w.id == h.ID && w.query.Name == q.Name && w.query.Type == q.Type {
			q.Time = w.query.Time
			c.questions = append(c.questions[:i], c.questions[i+1:]...)
			t.asked--
			break
		}
	}
	q.Answered, q.RCode = true, observe.ResponseCode(uint8(h.RCode&15))
	if t.dns.p.SkipAllQuestions() == nil {
		t.dns.read(&q)
	}
	b.Queries = append(b.Queries, q)
}

// read appends the data of the answer section.
func (a *answers) read(q *observe.Query) {
	for len(q.Answers) < observe.MaxAnswers {
		h, err := a.p.AnswerHeader()
		if err != nil {
			return
		}
		if h.TTL > 0 && (q.TTL == 0 || h.TTL < q.TTL) {
			q.TTL = h.TTL
		}
		data, err := a.data(h.Type)
		if err != nil {
			return
		}
		q.Answers = append(q.Answers, data[:min(len(data), observe.MaxAnswer)])
	}
}

// data reads one record as text.
func (a *answers) data(kind dnsmessage.Type) (string, error) {
	switch kind {
	case dnsmessage.TypeA:
		r, err := a.p.AResource()
		return netip.AddrFrom4(r.A).String(), err
	case dnsmessage.TypeAAAA:
		r, err := a.p.AAAAResource()
		return netip.AddrFrom16(r.AAAA).String(), err
	case dnsmessage.TypeCNAME:
		r, err := a.p.CNAMEResource()
		return name(r.CNAME), err
	case dnsmessage.TypeNS:
		r, err := a.p.NSResource()
		return name(r.NS), err
	case dnsmessage.TypePTR:
		r, err := a.p.PTRResource()
		return name(r.PTR), err
	case dnsmessage.TypeMX:
		r, err := a.p.MXResource()
		return fmt.Sprintf("%d %s", r.Pref, name(r.MX)), err
	case dnsmessage.TypeSRV:
		r, err := a.p.SRVResource()
		return fmt.Sprintf("%d %d %d %s", r.Priority, r.Weight, r.Port, name(r.Target)), err
	case dnsmessage.TypeTXT:
		r, err := a.p.TXTResource()
		return escape(strings.Join(r.TXT, "")), err
	}
	r, err := a.p.UnknownResource()
	return escape(string(r.Data)), err
}

// name writes a name in the form of observe.Query.
func name(n dnsmessage.Name) string {
	b := n.Data[:min(int(n.Length), len(n.Data))]
	if len(b) > 1 && b[len(b)-1] == '.' {
		b = b[:len(b)-1]
	}
	s := escape(string(b))
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r | 0x20
		}
		return r
	}, s)
}

// escape writes bytes that are not printable as \DDD (RFC 1035 §5.1).
func escape(s string) string {
	plain := true
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	b := make([]byte, 0, len(s)+16)
	for i := range min(len(s), observe.MaxAnswer) {
		if c := s[i]; c < ' ' || c > '~' {
			b = append(b, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}
