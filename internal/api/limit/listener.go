package limit

import (
	"net"
	"net/netip"
	"sync"
)

// Listen bounds the connections of a listener, in all and from one address
// (IPv6: from one /64). What exceeds them is closed at once and counted
// through refused. Loopback has only the bound in all: everybody behind a
// local proxy has the same address.
func Listen(l net.Listener, total, perAddress int, refused func()) net.Listener {
	return &listener{Listener: l, total: total, per: perAddress, refused: refused, by: map[string]int{}}
}

type listener struct {
	net.Listener
	total, per int
	refused    func()

	mu  sync.Mutex
	all int
	by  map[string]int
}

// Accept returns the next connection that is within bounds.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		key := ""
		if ap, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil && !ap.Addr().Unmap().IsLoopback() {
			key = AddressKey(ap.Addr())
		}
		if l.enter(key) {
			return &conn{Conn: c, leave: sync.OnceFunc(func() { l.leave(key) })}, nil
		}
		c.Close()
		l.refused()
	}
}

func (l *listener) enter(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.total || key != "" && l.by[key] >= l.per {
		return false
	}
	l.all++
	if key != "" {
		l.by[key]++
	}
	return true
}

func (l *listener) leave(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if key == "" {
		return
	}
	if l.by[key]--; l.by[key] <= 0 {
		delete(l.by, key)
	}
}

type conn struct {
	net.Conn
	leave func()
}

// Close closes the connection and gives its place back.
func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}
