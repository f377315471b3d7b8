package pcap

import (
	"bytes"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source/capture"
)

// key names a conversation: the smaller end first.
type key struct {
	a, b         observe.Addr
	aPort, bPort uint16
	proto        uint8
}

// side is what was seen of one direction.
type side struct {
	packets, bytes uint64
	flags          uint8 // as flow logs have them: ACK only with SYN
	payload        bool
	next           uint32 // sequence number of the next byte
	started        bool   // next is known
	stream         stream
}

// conversation is what two ends say to each other. Its sides are 0: who began,
// 1: who answered.
type conversation struct {
	key         key
	flip        bool // who began is b of the key
	first, last time.Time
	start       time.Time // of the flow, which Active may have cut
	record      uint64    // of the last packet
	sides       [2]side
	isn         uint32 // of who answered
	synAck      bool
	proven      bool // a handshake, or talk in both directions: both ends are real
	closed      bool
	refused     bool // an ICMP error says so
	fins        uint8
	hello       *quicHello // what the client said first over QUIC; nil when nothing waits
	heard       bool       // no more of it is to be read
	questions   []question
	requests    []request
	prev, next  *conversation
	list        *list
}

// list holds conversations, the one silent for longest first.
type list struct{ head, tail *conversation }

func (l *list) push(c *conversation) {
	c.prev, c.next, c.list = l.tail, nil, l
	if l.tail != nil {
		l.tail.next = c
	} else {
		l.head = c
	}
	l.tail = c
}

func (l *list) remove(c *conversation) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.head = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.tail = c.prev
	}
	c.prev, c.next, c.list = nil, nil, nil
}

// table holds the conversations.
type table struct {
	conf      Config
	all       map[key]*conversation
	open      list
	closed    list // ended; they wait for late packets only
	now       time.Time
	kept      int // bytes in streams and requests
	asked     int // questions that wait
	fragments map[fragment]ports
	order     []fragment // of fragments, the oldest at place
	place     int
	dns       answers
	pieces    pieces
}

// fragment names the pieces of a packet (RFC 791 §3.2, RFC 8200 §4.5).
type fragment struct {
	src, dst observe.Addr
	id       uint32
	proto    uint8
}

type ports struct{ src, dst uint16 }

const (
	linger       = 5 * time.Second // for late packets of what has ended
	maxFragments = 1024
)

func newTable(c Config) *table {
	return &table{conf: c, all: map[key]*conversation{}, fragments: map[fragment]ports{}, order: make([]fragment, maxFragments)}
}

// keyOf names the conversation of a packet; flip: its source is b.
func keyOf(p *capture.Packet) (k key, flip bool) {
	c := bytes.Compare(p.Src[:], p.Dst[:])
	if c > 0 || c == 0 && p.SrcPort > p.DstPort {
		return key{p.Dst, p.Src, p.DstPort, p.SrcPort, p.Proto}, true
	}
	return key{p.Src, p.Dst, p.SrcPort, p.DstPort, p.Proto}, false
}

// packet counts a packet and reads on in what it belongs to.
func (t *table) packet(p *capture.Packet, now time.Time, at uint64, b *observe.LogBatch) {
	if now.After(t.now) {
		t.now = now
	}
	t.expire(b)
	t.fragment(p)
	content := t.content(p, now)
	if about, ok := p.Unreachable(); ok {
		if k, _ := keyOf(&about); t.all[k] != nil && !t.all[k].proven {
			t.all[k].refused = true
		}
	}
	k, flip := keyOf(p)
	c := t.all[k]
	syn := p.HasFlags && p.Flags&(observe.FlagSYN|observe.FlagACK) == observe.FlagSYN
	if c != nil && syn && (c.closed || c.proven) {
		t.end(c, b) // the port is used again
		c = nil
	}
	if c != nil && now.Sub(c.start) > t.conf.Active {
		t.flows(c, b)
		c.start = now
		for i := range c.sides {
			s := &c.sides[i]
			s.packets, s.bytes, s.flags = 0, 0, 0
		}
	}
	if c == nil {
		c = t.begin(k, flip, p, now, b)
	}
	way := 0
	if flip != c.flip {
		way = 1
	}
	c.list.remove(c)
	if now.After(c.last) {
		c.last = now
	}
	c.record = at
	s := &c.sides[way]
	s.packets++
	s.bytes += uint64(max(p.Length, 0))
	t.read(c, way, content, now, at, b)
	if c.closed {
		t.closed.push(c)
	} else {
		t.open.push(c)
	}
}

func (t *table) begin(k key, flip bool, p *capture.Packet, now time.Time, b *observe.LogBatch) *conversation {
	if len(t.all) >= t.conf.Conversations {
		oldest := t.closed.head
		if oldest == nil {
			oldest = t.open.head
		}
		t.end(oldest, b)
	}
	c := &conversation{key: k, flip: flip, first: now, start: now, last: now}
	if p.HasFlags && p.Flags&observe.FlagSYN != 0 {
		if p.Flags&observe.FlagACK != 0 {
			c.flip = !flip // the question was not captured
		}
	} else if p.SrcPort < 1024 && p.DstPort >= 1024 {
		c.flip = !flip // services have low ports
	}
	t.all[k] = c
	t.open.push(c)
	return c
}

// fragment gives the later pieces of a packet the ports of its first, where it
// came before them.
func (t *table) fragment(p *capture.Packet) {
	if !p.Fragment && !p.More {
		return
	}
	f := fragment{p.Src, p.Dst, p.ID, p.Proto}
	if p.Fragment {
		if n, ok := t.fragments[f]; ok {
			p.SrcPort, p.DstPort = n.src, n.dst
		}
		return
	}
	if !p.HasPorts {
		return
	}
	if _, ok := t.fragments[f]; !ok {
		delete(t.fragments, t.order[t.place])
		t.order[t.place] = f
		t.place = (t.place + 1) % maxFragments
	}
	t.fragments[f] = ports{p.SrcPort, p.DstPort}
}

// tcp follows a connection.
func (t *table) tcp(c *conversation, way int, p *capture.Packet, now time.Time, at uint64, b *observe.LogBatch) {
	s := &c.sides[way]
	f := p.Flags & (observe.FlagFIN | observe.FlagSYN | observe.FlagRST | observe.FlagPSH)
	if f&observe.FlagSYN != 0 {
		f |= p.Flags & observe.FlagACK
		if way == 1 && p.Flags&observe.FlagACK != 0 {
			c.synAck, c.isn = true, p.Seq
		}
		s.next, s.started = p.Seq+1, true
	}
	s.flags |= f
	// Who knows the number that the other end chose was reached by it
	// (RFC 9293 §3.5); who is answered with content, too.
	if way == 0 && c.synAck && p.Flags&observe.FlagACK != 0 && p.Ack-c.isn-1 < 1<<30 {
		c.proven = true
	}
	if len(p.Payload) > 0 && p.Flags&observe.FlagSYN == 0 {
		s.payload = true
		c.proven = c.proven || c.sides[0].payload && c.sides[1].payload
		t.stream(c, way, p, now, at, b)
	}
	if f&observe.FlagFIN != 0 {
		c.fins |= 1 << way
	}
	if f&observe.FlagRST != 0 || c.fins == 3 {
		c.closed = true
	}
}

// expire ends what has been silent for long.
func (t *table) expire(b *observe.LogBatch) {
	for c := t.closed.head; c != nil && t.now.Sub(c.last) > linger; c = t.closed.head {
		t.end(c, b)
	}
	for c := t.open.head; c != nil && t.now.Sub(c.last) > t.conf.Idle; c = t.open.head {
		t.end(c, b)
	}
}

// flush ends up to n conversations; false when there are none.
func (t *table) flush(b *observe.LogBatch, n int) bool {
	any := false
	for range n {
		c := t.closed.head
		if c == nil {
			c = t.open.head
		}
		if c == nil {
			break
		}
		t.end(c, b)
		any = true
	}
	return any
}

// end hands out what a conversation still holds and forgets it.
func (t *table) end(c *conversation, b *observe.LogBatch) {
	for len(c.requests) > 0 {
		t.told(c, 0, c.requests[0].record, b)
	}
	for i := range c.questions {
		b.Queries = append(b.Queries, c.questions[i].query)
	}
	t.asked -= len(c.questions)
	t.flows(c, b)
	for i := range c.sides {
		t.drop(&c.sides[i].stream)
	}
	t.forget(c)
	c.list.remove(c)
	delete(t.all, c.key)
}

// flows hands out a flow per direction.
func (t *table) flows(c *conversation, b *observe.LogBatch) {
	k := c.key
	if c.flip {
		k.a, k.b, k.aPort, k.bPort = k.b, k.a, k.bPort, k.aPort
	}
	for i := range c.sides {
		s := &c.sides[i]
		if s.packets == 0 {
			continue
		}
		f := observe.Flow{Src: k.a, Dst: k.b, SrcPort: k.aPort, DstPort: k.bPort, Proto: k.proto, Flags: s.flags, HasFlags: k.proto == observe.ProtoTCP,
			Start: unix(c.start), End: unix(c.last), Packets: s.packets, Bytes: s.bytes, Record: c.record}
		if i == 1 {
			f.Src, f.Dst, f.SrcPort, f.DstPort = f.Dst, f.Src, f.DstPort, f.SrcPort
		} else if c.refused {
			f.Action = observe.FlowReject
		}
		b.Flows = append(b.Flows, f)
	}
}

// unix is a time in seconds; 0 for one that was not said.
func unix(t time.Time) int64 { return max(t.Unix(), 0) }
