package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Admin is who administers this machine right now, as far as can be seen.
type Admin struct {
	Ports   []uint16     `json:"ports"`   // on which a shell server listens
	Remotes []netip.Addr `json:"remotes"` // connected to such a port, or where this process' own session comes from
	Unknown []string     `json:"unknown"` // what could not be looked at; then the list may lack the administrator
}

// shellServers are the names (/proc/PID/comm) of programs people administer machines through.
var shellServers = []string{"sshd", "sshd-session", "dropbear", "tinysshd", "sshd-auth"}

// Administration finds the ports of shell servers and who is connected to them, and follows SSH_CONNECTION up this
// process' own ancestors. More ports can be given, for servers it cannot recognise.
func Administration(ctx context.Context, more ...uint16) (Admin, error) {
	return administration(ctx, "/proc", os.Getpid(), more)
}

func administration(ctx context.Context, proc string, self int, more []uint16) (Admin, error) {
	a := Admin{Ports: slices.Clone(more), Unknown: []string{}}
	unknown := func(what string, err error) {
		if err != nil {
			a.Unknown = append(a.Unknown, what+": "+err.Error())
		}
	}
	ports, err := adminPorts(ctx, proc)
	a.Ports = append(a.Ports, ports...)
	unknown("ports of shell servers", err)
	slices.Sort(a.Ports)
	a.Ports = slices.Compact(a.Ports)
	for c, err := range Connections(ctx) {
		if err != nil {
			unknown("connections", err)
			break
		}
		if _, ok := slices.BinarySearch(a.Ports, c.Local.Port()); ok {
			a.Remotes = append(a.Remotes, c.Remote.Addr())
		}
	}
	own, err := ancestorRemotes(proc, self)
	a.Remotes = append(a.Remotes, own...)
	unknown("own session", err)
	slices.SortFunc(a.Remotes, netip.Addr.Compare)
	a.Remotes = slices.Compact(a.Remotes)
	if err := ctx.Err(); err != nil {
		return a, fmt.Errorf("look for administrators: %w", err)
	}
	return a, nil
}

// adminPorts finds the listening sockets of shell servers through their descriptors, and port 22 when the service manager
// holds it.
func adminPorts(ctx context.Context, proc string) ([]uint16, error) {
	listening := map[uint32]uint16{} // inode → port
	err := dump(ctx, 1<<stateListen, func(c Conn, _ uint8, _ diagID) bool {
		listening[c.Inode] = c.Local.Port()
		return true
	})
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	var ports []uint16
	var errs error
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		comm, err := os.ReadFile(filepath.Join(proc, e.Name(), "comm"))
		if err != nil {
			continue // ended meanwhile
		}
		name := strings.TrimSpace(string(comm))
		manager := name == "systemd" && e.Name() == "1"
		if !manager && !slices.Contains(shellServers, name) {
			continue
		}
		inodes, err := socketsOf(filepath.Join(proc, e.Name(), "fd"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = errors.Join(errs, fmt.Errorf("descriptors of %s (process %s): %w", name, e.Name(), err))
		}
		for _, inode := range inodes {
			if port, ok := listening[inode]; ok && (!manager || port == 22) {
				ports = append(ports, port)
			}
		}
	}
	return ports, errs
}

// socketsOf lists the inodes of the sockets behind a folder of descriptors.
func socketsOf(dir string) ([]uint32, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []uint32
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		text, ok := strings.CutPrefix(to, "socket:[")
		if !ok {
			continue
		}
		if inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 32); err == nil {
			out = append(out, uint32(inode))
		}
	}
	return out, nil
}

const (
	ancestorsMax = 64
	environMax   = 1 << 20
)

// ancestorRemotes reads SSH_CONNECTION of a process and all above it.
func ancestorRemotes(proc string, pid int) ([]netip.Addr, error) {
	var out []netip.Addr
	var errs error
	for range ancestorsMax {
		if pid <= 0 {
			return out, errs
		}
		dir := filepath.Join(proc, strconv.Itoa(pid))
		raw, err := readCapped(filepath.Join(dir, "environ"), environMax)
		if err != nil && !errors.Is(err, os.ErrNotExist) && pid != 1 { // nobody's session is the first process
			errs = errors.Join(errs, err)
		}
		if a, ok := sshConnection(string(raw)); ok {
			out = append(out, a)
		}
		stat, err := readCapped(filepath.Join(dir, "stat"), 4096)
		if err != nil {
			return out, errors.Join(errs, err)
		}
		pid = parentOf(string(stat))
	}
	return out, errs
}

func readCapped(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// sshConnection finds the client's address in an environment (sshd(8): "client port server port").
func sshConnection(environ string) (netip.Addr, bool) {
	for kv := range strings.SplitSeq(environ, "\x00") {
		if val, ok := strings.CutPrefix(kv, "SSH_CONNECTION="); ok {
			word, _, _ := strings.Cut(val, " ")
			if a, err := netip.ParseAddr(word); err == nil {
				return a.WithZone("").Unmap(), true
			}
		}
	}
	return netip.Addr{}, false
}

// parentOf reads proc(5) stat, where the name in brackets may contain anything.
func parentOf(stat string) int {
	_, rest, ok := cutLast(stat, ")")
	words := strings.Fields(rest)
	if !ok || len(words) < 2 {
		return 0
	}
	pid, _ := strconv.Atoi(words[1])
	return pid
}

func cutLast(s, sep string) (string, string, bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
