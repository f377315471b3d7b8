// Package porttest finds ports for tests of what can only be told a number, such as
// another program or a configuration file.
package porttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"testing"
)

// lowest is above the ports of well-known services.
const lowest = 10_000

// Free is n ports of the loopback, no two the same, on which nobody listened a moment
// ago; network is tcp or udp. None is one that the kernel gives away for port 0 or to a
// connection that goes out: another test would get it before it is used, now and then,
// and a client that tries such a port until somebody listens may reach itself.
func Free(t testing.TB, network string, n int) (ports []string) {
	t.Helper()
	below := ephemeral(t)
	var held []io.Closer
	defer func() {
		for _, l := range held {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	var err error
	for tries := 0; len(ports) < n; tries++ {
		if tries > 100*n {
			t.Fatalf("no port between %d and %d is free: %v", lowest, below, err)
		}
		port := strconv.Itoa(lowest + rand.IntN(below-lowest))
		var l io.Closer
		if l, err = listen(t.Context(), network, "127.0.0.1:"+port); err == nil {
			held, ports = append(held, l), append(ports, port)
		}
	}
	return ports
}

func listen(ctx context.Context, network, addr string) (io.Closer, error) {
	var c net.ListenConfig
	if network == "udp" {
		return c.ListenPacket(ctx, network, addr)
	}
	return c.Listen(ctx, network, addr)
}

// ephemeral is the first port that the kernel chooses itself.
func ephemeral(t testing.TB) int {
	t.Helper()
	const file = "/proc/sys/net/ipv4/ip_local_port_range"
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return 32768
	}
	first := 0
	if err == nil {
		_, err = fmt.Sscan(string(text), &first)
	}
	if err == nil && first < lowest+1000 {
		err = fmt.Errorf("begins with %d: too little is left below", first)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return first
}
