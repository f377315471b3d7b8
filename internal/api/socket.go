package api

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// SocketName is the administration socket inside the data folder.
const SocketName = "admin.sock"

// CheckSocketPath says when no administration socket can have a name in this data folder:
// a unix socket's holds about 100 bytes (sun_path of unix(7)).
func CheckSocketPath(data string) error {
	if path := filepath.Join(data, SocketName); len(path) > 100 {
		return fmt.Errorf("the administration socket %s has a longer name than a unix socket allows (100 bytes): use a shorter data folder", path)
	}
	return nil
}

// ListenAdmin opens the administration socket: mode 0600, and every connection
// is checked against the peer's user id as well, because file modes alone do
// not survive a careless chmod.
func ListenAdmin(data string) (net.Listener, error) {
	if err := CheckSocketPath(data); err != nil {
		return nil, err
	}
	path := filepath.Join(data, SocketName)
	// The bus holds a lock on the data folder, so a socket found here is a dead one.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open administration socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open administration socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("open administration socket: %w", err)
	}
	return &checked{UnixListener: l, uid: os.Geteuid()}, nil
}

// checked accepts only the node's own user and root.
type checked struct {
	*net.UnixListener
	uid int
}

func (c *checked) Accept() (net.Conn, error) {
	for {
		conn, err := c.UnixListener.AcceptUnix()
		if err != nil {
			return nil, err
		}
		cred, err := peer(conn)
		if err == nil && (int(cred.Uid) == c.uid || cred.Uid == 0) {
			return conn, nil
		}
		conn.Close()
	}
}

func peer(c *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	if cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil {
		return nil, cerr
	}
	return cred, err
}
