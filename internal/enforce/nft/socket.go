package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	sendBuffer    = 64 << 20 // two families of 100,000 ranges are about 15 MB in one message
	receiveBuffer = 8 << 20
	kernelWait    = 20 * time.Second // no commit of a sane size takes longer
	readSize      = 1 << 16          // the kernel fills at most 32 KB of one dump message
)

// errDumpInterrupted says that the set changed while it was read.
var errDumpInterrupted = errors.New("the kernel's rules changed while they were read")

// socket is one nf_tables netlink socket. It is used by one goroutine at a
// time; decisions and read-backs have one each, so that they never wait for
// each other's answers.
type socket struct {
	fd  int
	seq uint32
	buf []byte
}

// dial opens a socket in the network namespace at path ("" is our own).
func dial(path string) (*socket, error) {
	if path == "" {
		return open()
	}
	ns, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	defer ns.Close()
	type result struct {
		s   *socket
		err error
	}
	done := make(chan result, 1)
	go func() {
		// The thread is never unlocked: it ends with this goroutine, so no
		// other goroutine can wake up in the wrong namespace.
		runtime.LockOSThread()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{nil, fmt.Errorf("enter network namespace %s: %w (this needs CAP_SYS_ADMIN)", path, err)}
			return
		}
		s, err := open()
		done <- result{s, err}
	}()
	r := <-done
	return r.s, r.err
}

func open() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open netfilter socket: %w (the kernel needs CONFIG_NETFILTER_NETLINK; try modprobe nfnetlink)", err)
	}
	s := &socket{fd: fd, seq: uint32(time.Now().UnixNano()), buf: make([]byte, readSize)}
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer},
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer},
		{unix.SOL_NETLINK, netlinkCapAck, 1},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			s.close()
			return nil, hint("prepare netfilter socket", err)
		}
	}
	wait := unix.NsecToTimeval(int64(kernelWait))
	if err := errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
	); err != nil {
		s.close()
		return nil, hint("bind netfilter socket", err)
	}
	return s, nil
}

func (s *socket) close() { unix.Close(s.fd) }

// commit sends a transaction and waits until the kernel has done all of it or
// refused all of it.
func (s *socket) commit(t *batch) error {
	ack := t.finish()
	s.seq = t.seq
	to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	for {
		err := unix.Sendto(s.fd, t.b, 0, to)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return hint("send transaction", err)
		}
		break
	}
	for done := false; !done; {
		err := s.receive(func(m message) error {
			if m.kind != unix.NLMSG_ERROR || m.seq-t.first > t.seq-t.first {
				return nil // the answer to something older
			}
			if no := m.errno(); no != 0 {
				return hint(t.describe(m.seq), no)
			}
			done = done || m.seq == ack
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// message is one netlink message received.
type message struct {
	kind, flags uint16
	seq         uint32
	body        []byte
}

func (m message) errno() unix.Errno {
	if len(m.body) < 4 {
		return unix.EBADMSG
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(m.body)))
}

// receive reads one datagram and calls each for every message in it.
func (s *socket) receive(each func(message) error) error {
	n, _, err := unix.Recvfrom(s.fd, s.buf, 0)
	switch {
	case err == unix.EINTR:
		return nil
	case err == unix.EAGAIN:
		return fmt.Errorf("wait for the kernel: no answer within %s", kernelWait)
	case err != nil:
		return fmt.Errorf("read from netfilter socket: %w", err)
	}
	return splitMessages(s.buf[:n], each)
}

// splitMessages calls each for every netlink message of a datagram.
func splitMessages(b []byte, each func(message) error) error {
	for len(b) >= headerLen {
		size := int(binary.NativeEndian.Uint32(b))
		if size < headerLen || size > len(b) {
			return errors.New("read from netfilter socket: message with an impossible length")
		}
		err := each(message{
			kind:  binary.NativeEndian.Uint16(b[4:]),
			flags: binary.NativeEndian.Uint16(b[6:]),
			seq:   binary.NativeEndian.Uint32(b[8:]),
			body:  b[headerLen:size],
		})
		if err != nil {
			return err
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil
}

// query sends one request and calls each with the attributes of every answer.
// A dump ends by itself; a single get ends with its acknowledgement.
func (s *socket) query(ctx context.Context, kind, flags uint16, what string, body func(*batch), each func(attrs []byte) error) error {
	s.seq++
	t := &batch{seq: s.seq, first: s.seq}
	if flags&unix.NLM_F_DUMP != unix.NLM_F_DUMP {
		flags |= unix.NLM_F_ACK
	}
	t.message(kind, flags, what, func() { body(t) })
	if err := unix.Sendto(s.fd, t.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return hint(what, err)
	}
	interrupted := false
	for done := false; !done; {
		if err := ctx.Err(); err != nil {
			return err // the caller drops the socket: more answers are on their way
		}
		err := s.receive(func(m message) error {
			if m.seq != t.first {
				return nil
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch m.kind {
			case unix.NLMSG_DONE:
				done = true
			case unix.NLMSG_ERROR:
				done = true
				if no := m.errno(); no != 0 {
					return hint(what, no)
				}
			default:
				if len(m.body) < genMsgLen {
					return errors.New("read from netfilter socket: message without a header")
				}
				return each(m.body[genMsgLen:])
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if interrupted {
		return errDumpInterrupted
	}
	return nil
}

// hint adds to an error of the kernel what can be done about it.
func hint(what string, err error) error {
	var advice string
	switch {
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES):
		advice = " (run as root or grant CAP_NET_ADMIN, for example AmbientCapabilities=CAP_NET_ADMIN in the unit)"
	case errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT):
		advice = " (the kernel lacks nf_tables for family inet: try modprobe nf_tables; CONFIG_NF_TABLES_INET)"
	case errors.Is(err, unix.EOPNOTSUPP):
		advice = " (the kernel cannot do this: Linux 5.11 or newer with CONFIG_NF_TABLES, CONFIG_NFT_COUNTER and CONFIG_NFT_LIMIT is needed)"
	case errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS):
		advice = " (the socket buffer is too small for the transaction: CAP_NET_ADMIN lets it grow)"
	case errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM):
		advice = " (the kernel has no memory for this many ranges)"
	}
	return fmt.Errorf("%s: %w%s", what, err, advice)
}
