package keeper

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// connect opens the TCP connection to a route's upstream, through a proxy where the
// environment names one (HTTPS_PROXY, NO_PROXY): it carries TLS that only the keeper and
// the upstream understand.
func connect(ctx context.Context, r *Route) (*net.TCPConn, error) {
	host := net.JoinHostPort(r.Upstream.Hostname(), port(r.Upstream))
	if r.Upstream.Scheme == "http" {
		return dial(ctx, host) // on this machine; nothing is between
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: r.Upstream})
	if err != nil {
		return nil, fmt.Errorf("read the proxy of the environment: %w", err)
	}
	if proxy == nil {
		return dial(ctx, host)
	}
	if proxy.Scheme != "http" {
		return nil, fmt.Errorf("a proxy %s:// cannot be used with a key that is kept apart: use an http:// proxy, or NO_PROXY", proxy.Scheme)
	}
	conn, err := dial(ctx, net.JoinHostPort(proxy.Hostname(), port(proxy)))
	if err != nil {
		return nil, fmt.Errorf("connect to proxy: %w", err)
	}
	if err := tunnel(ctx, conn, proxy, host); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect through proxy: %w", err)
	}
	return conn, nil
}

func dial(ctx context.Context, host string) (*net.TCPConn, error) {
	d := &net.Dialer{KeepAlive: 30 * time.Second}
	c, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	t, ok := c.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(errors.New("the connection is not TCP"), c.Close())
	}
	return t, nil
}

// tunnel asks a proxy for a way to host (CONNECT, RFC 9110 §9.3.6).
func tunnel(ctx context.Context, conn net.Conn, proxy *url.URL, host string) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: host}, Host: host, Header: http.Header{"User-Agent": {""}}}
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
		req.Header["Proxy-Authorization"] = req.Header["Authorization"]
		req.Header.Del("Authorization")
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	// Byte by byte: what follows the head belongs to the upstream.
	var head strings.Builder
	var one [1]byte
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		if head.Len() > maxHead {
			return errors.New("its answer has no end")
		}
		if _, err := io.ReadFull(conn, one[:]); err != nil {
			return err
		}
		head.Write(one[:])
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(head.String())), req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answered with status %d", resp.StatusCode)
	}
	return nil
}
