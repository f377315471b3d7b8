// Package verify looks at an enforcement from the attacker's side: it opens
// TCP connections from a given source address, inside a network namespace if
// need be, and tells whether they are accepted, refused or dropped. It proves
// what a read of the device cannot: that packets really stop, and since when.
// It sends nothing but connection attempts and closes what it opens at once.
package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Outcome is what became of a connection attempt. The zero value says that
// nobody looked.
type Outcome uint8

// The outcomes.
const (
	Unknown  Outcome = iota
	Accepted         // the handshake completed
	Refused          // answered with a reset or an ICMP error
	Dropped          // no answer within the time given
)

var outcomeNames = [...]string{"unknown", "accepted", "refused", "dropped"}

// String returns the word used in output.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return outcomeNames[0]
}

// MarshalText implements encoding.TextMarshaler.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Blocked reports whether the attempt was seen not to come through.
func (o Outcome) Blocked() bool { return o == Refused || o == Dropped }

// Result is one attempt.
type Result struct {
	Outcome Outcome
	Start   time.Time // when the attempt was made, with a monotonic reading
	Took    time.Duration
}

// Target says how to connect.
type Target struct {
	Netns  string         // path of the network namespace to connect from; "" is our own
	Source netip.Addr     // address to connect from; the zero Addr lets the kernel choose
	Dest   netip.AddrPort // where to
}

// defaultTimeout is far above any round trip worth probing and below the
// kernel's one second before it sends a second SYN, so that every attempt is
// one packet and tells about one moment.
const defaultTimeout = 250 * time.Millisecond

// Probe makes one attempt and waits at most timeout (250 ms when 0) for an
// answer. An error means that it could not look, which is no outcome.
func Probe(ctx context.Context, t Target, timeout time.Duration) (Result, error) {
	var r Result
	p, err := newLoop(t, Options{Timeout: timeout})
	if err != nil {
		return r, err
	}
	err = p.onThread(func() error {
		if err := p.connect(time.Now()); err != nil {
			return err
		}
		for len(p.flying) > 0 && p.flying[0].fd >= 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			p.wait(time.Now().Add(20 * time.Millisecond)) // so that ctx is looked at now and then
			p.overdue(time.Now())
		}
		if r = p.flying[0].Result; r.Outcome == Unknown {
			return errors.New("the attempt failed in a way that says nothing about the block")
		}
		return nil
	})
	if err != nil {
		return Result{}, fmt.Errorf("probe %s: %w", t.Dest, err)
	}
	return r, nil
}

// attempt is a connection under way.
type attempt struct {
	Result
	fd int
}

// loop opens connections without blocking and collects what becomes of them,
// all on one thread: a probe every few milliseconds must not cost a goroutine,
// a timer and a poller entry of the runtime each.
type loop struct {
	target Target
	opts   Options
	epoll  int
	flying []*attempt // in the order they were started
	byFD   map[int]*attempt
	events [64]unix.EpollEvent
}

func newLoop(t Target, o Options) (*loop, error) {
	t.Source, t.Dest = t.Source.Unmap(), netip.AddrPortFrom(t.Dest.Addr().Unmap(), t.Dest.Port())
	switch {
	case !t.Dest.IsValid() || t.Dest.Port() == 0:
		return nil, errors.New("probe: no destination")
	case t.Source.IsValid() && t.Source.Is4() != t.Dest.Addr().Is4():
		return nil, fmt.Errorf("probe %s: source %s is of the other address family", t.Dest, t.Source)
	}
	return &loop{target: t, opts: o.withDefaults(), epoll: -1, byFD: make(map[int]*attempt)}, nil
}

// onThread runs f inside the target's namespace and cleans up after it.
func (p *loop) onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, so nothing
		// else wakes up in the namespace.
		runtime.LockOSThread()
		done <- p.inside(f)
	}()
	return <-done
}

func (p *loop) inside(f func() error) (err error) {
	if p.target.Netns != "" {
		ns, err := os.Open(p.target.Netns)
		if err != nil {
			return fmt.Errorf("open network namespace: %w", err)
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w (this needs CAP_SYS_ADMIN)", p.target.Netns, err)
		}
	}
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	defer func() {
		for _, a := range p.flying {
			p.drop(a)
		}
		unix.Close(p.epoll)
	}()
	return f()
}

// connect starts an attempt. An error is a reason not to go on; that nothing
// can be reached is an outcome.
func (p *loop) connect(now time.Time) error {
	family := unix.AF_INET
	if p.target.Dest.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	a := &attempt{Result: Result{Start: now}, fd: fd}
	// Close with a reset: a finished probe leaves no TIME_WAIT behind.
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	if p.target.Source.IsValid() {
		// Do not spend a port per address pair before the peer is known.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(p.target.Source, 0))); err != nil {
			unix.Close(fd)
			return fmt.Errorf("connect from %s: %w (is it an address of this namespace?)", p.target.Source, err)
		}
	}
	p.flying = append(p.flying, a)
	switch err := unix.Connect(fd, sockaddr(p.target.Dest)); err {
	case nil, unix.EINPROGRESS:
	default:
		return p.finish(a, err, time.Now())
	}
	p.byFD[fd] = a
	ev := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLERR | unix.EPOLLHUP, Fd: int32(fd)}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("watch socket: %w", err)
	}
	return nil
}

// wait collects answers until the moment given.
func (p *loop) wait(until time.Time) {
	left := time.Until(until)
	n, err := unix.EpollWait(p.epoll, p.events[:], int(max((left+time.Millisecond-1).Milliseconds(), 0)))
	if err != nil {
		return // interrupted: the caller comes again
	}
	now := time.Now()
	for _, ev := range p.events[:n] {
		a := p.byFD[int(ev.Fd)]
		if a == nil {
			continue
		}
		code, err := unix.GetsockoptInt(a.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		_ = p.finish(a, err, now) // what it cannot tell stays unknown and is counted as such
	}
}

// finish records what became of an attempt.
func (p *loop) finish(a *attempt, err error, now time.Time) error {
	a.Took = now.Sub(a.Start)
	switch {
	case err == nil:
		a.Outcome = Accepted
	case errors.Is(err, unix.ETIMEDOUT):
		a.Outcome = Dropped
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EHOSTUNREACH),
		errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		a.Outcome = Refused
	default:
		p.drop(a)
		return fmt.Errorf("connect: %w", err)
	}
	p.drop(a)
	return nil
}

// overdue gives up attempts that had no answer in time.
func (p *loop) overdue(now time.Time) {
	for _, a := range p.flying {
		if now.Sub(a.Start) < p.opts.Timeout {
			return
		}
		if a.Outcome == Unknown && a.fd >= 0 {
			a.Outcome, a.Took = Dropped, now.Sub(a.Start)
			p.drop(a)
		}
	}
}

func (p *loop) drop(a *attempt) {
	if a.fd >= 0 {
		delete(p.byFD, a.fd)
		unix.Close(a.fd)
		a.fd = -1
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
