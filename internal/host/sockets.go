package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Conn is a TCP socket of this machine's. v4-mapped addresses are unmapped and zones dropped, so that one peer has one
// name.
type Conn struct {
	Local  netip.AddrPort
	Remote netip.AddrPort
	UID    uint32
	Inode  uint32
}

// Session is how many connections a remote address has to a local port.
type Session struct {
	LocalPort uint16     `json:"local_port"`
	Remote    netip.Addr `json:"remote"`
	Count     int        `json:"count"`
}

// TCP states (include/net/tcp_states.h).
const (
	stateEstablished = 1
	stateTimeWait    = 6
	stateListen      = 10
)

// diagID is struct inet_diag_sockid as the kernel sent it, so that it can be sent back.
type diagID [48]byte

// diagRequest is struct inet_diag_req_v2 (linux/inet_diag.h).
type diagRequest struct {
	family uint8
	states uint32
	id     diagID
}

func (r *diagRequest) Len() int { return 8 + len(r.id) }

func (r *diagRequest) Serialize() []byte {
	b := make([]byte, 0, r.Len())
	b = append(b, r.family, unix.IPPROTO_TCP, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, r.states)
	return append(b, r.id[:]...)
}

const diagMsgLen = 4 + 48 + 20 // struct inet_diag_msg

// parseDiag reads struct inet_diag_msg.
func parseDiag(b []byte) (c Conn, family uint8, id diagID, ok bool) {
	if len(b) < diagMsgLen {
		return c, 0, id, false
	}
	family = b[0]
	copy(id[:], b[4:52])
	addr := func(raw []byte) netip.Addr {
		if family == unix.AF_INET {
			return netip.AddrFrom4([4]byte(raw[:4]))
		}
		return netip.AddrFrom16([16]byte(raw[:16])).Unmap()
	}
	c = Conn{
		Local:  netip.AddrPortFrom(addr(id[4:20]), binary.BigEndian.Uint16(id[0:])),
		Remote: netip.AddrPortFrom(addr(id[20:36]), binary.BigEndian.Uint16(id[2:])),
		UID:    binary.NativeEndian.Uint32(b[64:]),
		Inode:  binary.NativeEndian.Uint32(b[68:]),
	}
	return c, family, id, family == unix.AF_INET || family == unix.AF_INET6
}

// dump calls fn for every TCP socket in one of the states, until fn returns false.
func dump(ctx context.Context, states uint32, fn func(c Conn, family uint8, id diagID) bool) error {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := ctx.Err(); err != nil {
			return err
		}
		req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
		req.AddData(&diagRequest{family: family, states: states})
		more, bad := true, 0
		err := req.ExecuteIter(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY, func(m []byte) bool {
			c, fam, id, ok := parseDiag(m)
			if !ok {
				bad++
				return true
			}
			more = ctx.Err() == nil && fn(c, fam, id)
			return more
		})
		switch {
		case errors.Is(err, unix.ENOENT):
			return fmt.Errorf("list tcp sockets: the kernel has no inet_diag (load the modules inet_diag and tcp_diag): %w", err)
		case err != nil && !errors.Is(err, netlink.ErrDumpInterrupted): // sockets come and go; the ones that stayed are all there
			return fmt.Errorf("list tcp sockets: %w", err)
		case bad > 0:
			return fmt.Errorf("list tcp sockets: %d answers of the kernel not understood", bad)
		case !more:
			return ctx.Err()
		}
	}
	return nil
}

// Connections yields the established TCP connections. A second value that is not nil is the last: the list is incomplete.
func Connections(ctx context.Context) iter.Seq2[Conn, error] {
	return func(yield func(Conn, error) bool) {
		stopped := false
		err := dump(ctx, 1<<stateEstablished, func(c Conn, _ uint8, _ diagID) bool {
			stopped = !yield(c, nil)
			return !stopped
		})
		if err != nil && !stopped {
			yield(Conn{}, err)
		}
	}
}

// Sessions groups the established connections by local port and remote address, most connections first.
func Sessions(ctx context.Context) ([]Session, error) {
	type key struct {
		port   uint16
		remote netip.Addr
	}
	count := map[key]int{}
	for c, err := range Connections(ctx) {
		if err != nil {
			return nil, err
		}
		count[key{c.Local.Port(), c.Remote.Addr()}]++
	}
	out := make([]Session, 0, len(count))
	for k, n := range count {
		out = append(out, Session{LocalPort: k.port, Remote: k.remote, Count: n})
	}
	slices.SortFunc(out, func(a, b Session) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		if a.LocalPort != b.LocalPort {
			return int(a.LocalPort) - int(b.LocalPort)
		}
		return a.Remote.Compare(b.Remote)
	})
	return out, nil
}

// Cutting says what Cut did.
type Cutting struct {
	Sockets int `json:"sockets"` // connections of this machine that were closed
	Flows   int `json:"flows"`   // connections tracked by the firewall that were forgotten, forwarded ones too
}

// ErrCannotCut is wrapped when the kernel cannot close sockets of others; established connections then live until they
// end, unless a firewall rule drops their packets.
var ErrCannotCut = errors.New("kernel cannot cut connections")

// Cut closes the TCP connections with a remote address in the prefix, and makes connection tracking forget its flows. It
// refuses prefixes wider than /8 (v4) and /32 (v6): no decision about an attacker is that wide. Needs CAP_NET_ADMIN.
func Cut(ctx context.Context, prefix netip.Prefix) (Cutting, error) {
	var cut Cutting
	prefix = prefix.Masked()
	least := 8
	if prefix.Addr().Is6() {
		least = 32
	}
	if !prefix.IsValid() || prefix.Addr().Is4In6() || prefix.Bits() < least {
		return cut, fmt.Errorf("cut connections of %s: must be a prefix of at least /%d", prefix, least)
	}
	type victim struct {
		family uint8
		id     diagID
	}
	var victims []victim
	// All states of a connection but listening, which has no remote address, and the wait after the end.
	const all = 0xfff &^ (1<<stateListen | 1<<stateTimeWait)
	err := dump(ctx, all, func(c Conn, family uint8, id diagID) bool {
		if prefix.Contains(c.Remote.Addr()) {
			victims = append(victims, victim{family, id})
		}
		return true
	})
	if err != nil {
		return cut, fmt.Errorf("cut connections of %s: %w", prefix, err)
	}
	for _, v := range victims {
		if err := ctx.Err(); err != nil {
			return cut, fmt.Errorf("cut connections of %s: %w", prefix, err)
		}
		ok, err := destroy(v.family, v.id)
		if err != nil {
			return cut, fmt.Errorf("cut connections of %s: %w", prefix, err)
		}
		if ok {
			cut.Sockets++
		}
	}
	if cut.Flows, err = forget(prefix); err != nil {
		return cut, fmt.Errorf("cut connections of %s: %w", prefix, err)
	}
	return cut, nil
}

// destroy closes one socket; false when it had gone already.
func destroy(family uint8, id diagID) (bool, error) {
	req := nl.NewNetlinkRequest(nl.SOCK_DESTROY, unix.NLM_F_ACK)
	req.AddData(&diagRequest{family: family, states: 0xffffffff, id: id})
	_, err := req.Execute(unix.NETLINK_INET_DIAG, 0)
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESTALE): // ended, or another one has its addresses now
		return false, nil
	case errors.Is(err, unix.EOPNOTSUPP):
		return false, fmt.Errorf("%w: it is built without CONFIG_INET_DIAG_DESTROY", ErrCannotCut)
	case errors.Is(err, unix.EPERM):
		return false, fmt.Errorf("%w: the node needs CAP_NET_ADMIN", ErrCannotCut)
	case err != nil:
		return false, fmt.Errorf("destroy socket: %w", err)
	}
	return true, nil
}

// flowsOf matches tracked connections from or to a prefix.
type flowsOf netip.Prefix

func (p flowsOf) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	for _, ip := range [][]byte{f.Forward.SrcIP, f.Forward.DstIP, f.Reverse.SrcIP} { // the last: the real peer behind a translation
		if a, ok := netip.AddrFromSlice(ip); ok && netip.Prefix(p).Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

// forget deletes the tracked flows of the prefix. A kernel without connection tracking has none to forget.
func forget(prefix netip.Prefix) (int, error) {
	family := netlink.InetFamily(unix.AF_INET)
	if prefix.Addr().Is6() {
		family = unix.AF_INET6
	}
	n, err := again(func() (uint, error) {
		return netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, flowsOf(prefix))
	})
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return int(n), nil
	}
	if err != nil {
		return int(n), fmt.Errorf("forget tracked connections: %w", err)
	}
	return int(n), nil
}
