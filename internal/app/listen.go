package app

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"
)

// listener is one open socket of a decoy, ready to be handed over.
type listener struct {
	instance string
	addr     netip.AddrPort
	file     *os.File
}

// Listening says where a decoy listens, for the start-up lines and status.
type Listening struct {
	Instance string `json:"instance"`
	Service  string `json:"service"`
	Address  string `json:"address"`
	Standard bool   `json:"standard"`       // on the port the service is known for
	Note     string `json:"note,omitempty"` // why not
}

// openListeners opens the sockets of every enabled instance. With strict a
// taken port is an error; otherwise the instance's fallback port is used and
// the line says so. Nothing stays open after an error.
func openListeners(c *DecoysConfig) (files []listener, lines []Listening, err error) {
	defer func() {
		if err != nil {
			for _, f := range files {
				f.file.Close()
			}
			files = nil
		}
	}()
	addrs := c.Addresses
	if len(addrs) == 0 {
		addrs = []netip.Addr{netip.IPv6Unspecified()} // both families in one socket
	}
	for _, name := range slices.Sorted(maps.Keys(c.Instances)) {
		in := c.Instances[name]
		if in.Disabled {
			continue
		}
		for _, addr := range addrs {
			l, port, why, err := openOne(addr, in, c.Listen == "strict")
			if err != nil {
				return files, nil, fmt.Errorf("decoy %s: %w", name, err)
			}
			file, err := l.File()
			l.Close()
			if err != nil {
				return files, nil, fmt.Errorf("decoy %s: hand over socket: %w", name, err)
			}
			at := netip.AddrPortFrom(addr, port)
			files = append(files, listener{instance: name, addr: at, file: file})
			lines = append(lines, Listening{Instance: name, Service: in.Service, Address: at.String(), Standard: port == in.Port, Note: why})
		}
	}
	return files, lines, nil
}

// openOne tries the standard port, then the second one.
func openOne(addr netip.Addr, in InstanceConfig, strict bool) (l *net.TCPListener, port uint16, why string, err error) {
	l, err = listenTCP(addr, in.Port)
	if err == nil {
		return l, in.Port, "", nil
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		why = fmt.Sprintf("port %d is taken by another program", in.Port)
	case errors.Is(err, syscall.EACCES):
		why = fmt.Sprintf("port %d needs root or CAP_NET_BIND_SERVICE", in.Port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, 0, "", fmt.Errorf("%w: no interface of this machine has the address (\"ip address\" lists them)", err)
	default:
		return nil, 0, "", err
	}
	if strict {
		return nil, 0, "", fmt.Errorf("%s, and decoys.listen is strict: free it, change the instance's port, or set listen: fallback", why)
	}
	if in.Fallback == 0 {
		return nil, 0, "", fmt.Errorf("%s, and no fallback port is set for the instance", why)
	}
	l, err = listenTCP(addr, in.Fallback)
	if err != nil {
		return nil, 0, "", fmt.Errorf("%s, and so is its second port: %w; set another fallback for the instance", why, err)
	}
	return l, in.Fallback, fmt.Sprintf("%s; listening on its second port", why), nil
}

func listenTCP(addr netip.Addr, port uint16) (*net.TCPListener, error) {
	network, host := "tcp", addr.String()
	if addr == netip.IPv6Unspecified() {
		host = "" // dual stack, or IPv4 alone where the kernel has no IPv6
	}
	if addr.Is4() {
		network = "tcp4"
	}
	l, err := net.Listen(network, net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", netip.AddrPortFrom(addr, port), err)
	}
	return l.(*net.TCPListener), nil
}
