package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// What linux/netfilter/nf_tables.h defines and x/sys/unix does not.
const (
	nftaSetExpressions  = 18
	nftaSetElemExprs    = 11
	nftSetExpr          = 0x100 // set flag: elements carry several expressions
	nftLimitUnitSecond  = 1     // NFTA_LIMIT_UNIT is in seconds
	netlinkCapAck       = 10    // NETLINK_CAP_ACK: do not send the request back with an error
	nlaTypeMask         = 0x3fff
	protoINet           = 1 // NFPROTO_INET
	headerLen           = unix.SizeofNlMsghdr
	genMsgLen           = 4 // struct nfgenmsg
	attrHeaderLen       = 4
	maxElementsPerChunk = 500 // two elements each of at most 80 bytes: well under the 64 KB one attribute can hold
)

// batch is one nf_tables transaction in its wire form: the kernel applies all
// of it or nothing. Netlink headers are in host order, nf_tables values in
// network order.
type batch struct {
	b     []byte
	seq   uint32
	first uint32
	what  []string // what message first+i does, for errors
	last  int      // offset of the newest message inside the batch
}

func newBatch(seq uint32) *batch {
	t := &batch{seq: seq, first: seq}
	t.control(unix.NFNL_MSG_BATCH_BEGIN, "begin transaction")
	return t
}

func (t *batch) control(kind uint16, what string) {
	at := t.header(kind, unix.NLM_F_REQUEST, what)
	t.b = append(t.b, unix.AF_UNSPEC, 0)
	t.b = binary.BigEndian.AppendUint16(t.b, unix.NFNL_SUBSYS_NFTABLES)
	t.close(at)
}

func (t *batch) header(kind, flags uint16, what string) int {
	at := len(t.b)
	t.b = append(t.b, 0, 0, 0, 0)
	t.b = binary.NativeEndian.AppendUint16(t.b, kind)
	t.b = binary.NativeEndian.AppendUint16(t.b, flags)
	t.b = binary.NativeEndian.AppendUint32(t.b, t.seq)
	t.b = binary.NativeEndian.AppendUint32(t.b, 0)
	t.seq++
	t.what = append(t.what, what)
	return at
}

func (t *batch) close(at int) { binary.NativeEndian.PutUint32(t.b[at:], uint32(len(t.b)-at)) }

// message appends one nf_tables message whose attributes body writes.
func (t *batch) message(kind, flags uint16, what string, body func()) {
	at := t.header(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_REQUEST|flags, what)
	t.last = at
	t.b = append(t.b, protoINet, 0, 0, 0)
	body()
	t.close(at)
}

// empty reports whether the transaction would change nothing.
func (t *batch) empty() bool { return t.last == 0 }

// finish asks for an acknowledgement of the last message, which the kernel
// sends after the commit, and ends the transaction. One acknowledgement
// instead of one per message cannot overflow the receive buffer.
func (t *batch) finish() (ackSeq uint32) {
	flags := binary.NativeEndian.Uint16(t.b[t.last+6:])
	binary.NativeEndian.PutUint16(t.b[t.last+6:], flags|unix.NLM_F_ACK)
	ackSeq = binary.NativeEndian.Uint32(t.b[t.last+8:])
	t.control(unix.NFNL_MSG_BATCH_END, "end transaction")
	return ackSeq
}

// describe names the message with the given sequence number.
func (t *batch) describe(seq uint32) string {
	if i := int(seq - t.first); i < len(t.what) {
		return t.what[i]
	}
	return "transaction"
}

func (t *batch) attr(kind uint16, value []byte) {
	t.b = binary.NativeEndian.AppendUint16(t.b, uint16(attrHeaderLen+len(value)))
	t.b = binary.NativeEndian.AppendUint16(t.b, kind)
	t.b = append(t.b, value...)
	for len(t.b)%4 != 0 {
		t.b = append(t.b, 0)
	}
}

func (t *batch) str(kind uint16, s string) {
	t.b = binary.NativeEndian.AppendUint16(t.b, uint16(attrHeaderLen+len(s)+1))
	t.b = binary.NativeEndian.AppendUint16(t.b, kind)
	t.b = append(t.b, s...)
	t.b = append(t.b, 0)
	for len(t.b)%4 != 0 {
		t.b = append(t.b, 0)
	}
}

func (t *batch) u32(kind uint16, v uint32) {
	t.b = binary.NativeEndian.AppendUint16(t.b, attrHeaderLen+4)
	t.b = binary.NativeEndian.AppendUint16(t.b, kind)
	t.b = binary.BigEndian.AppendUint32(t.b, v)
}

func (t *batch) u64(kind uint16, v uint64) {
	t.b = binary.NativeEndian.AppendUint16(t.b, attrHeaderLen+8)
	t.b = binary.NativeEndian.AppendUint16(t.b, kind)
	t.b = binary.BigEndian.AppendUint64(t.b, v)
}

func (t *batch) nest(kind uint16, body func()) {
	at := t.open(kind)
	body()
	t.shut(at)
}

// open and shut are nest without a closure, for the element loop.
func (t *batch) open(kind uint16) int {
	at := len(t.b)
	t.b = binary.NativeEndian.AppendUint16(t.b, 0)
	t.b = binary.NativeEndian.AppendUint16(t.b, kind|unix.NLA_F_NESTED)
	return at
}

func (t *batch) shut(at int) { binary.NativeEndian.PutUint16(t.b[at:], uint16(len(t.b)-at)) }

// expr appends one expression of a rule or set.
func (t *batch) expr(list uint16, name string, body func()) {
	t.nest(list, func() {
		t.str(unix.NFTA_EXPR_NAME, name)
		t.nest(unix.NFTA_EXPR_DATA, body)
	})
}
