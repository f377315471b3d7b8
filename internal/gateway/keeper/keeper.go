package keeper

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/jail"
	"bartizan/internal/safe"

	"golang.org/x/sys/unix"
)

// Route is an upstream and its key.
type Route struct {
	Name     string
	Upstream *url.URL
	Key      conf.Sealed
	Header   string        // that carries the key
	Region   string        // of AWS: requests are signed instead
	Connect  time.Duration // to the upstream, TLS included
}

// Account is the user the keeper runs as when it exists and the gateway is root.
const Account = "bartizan-keeper"

// ErrDown says that the keeper ended and is being started again.
var ErrDown = errors.New("the process that has the providers' keys is being started again")

// Keeper is the gateway's side. Use Start; Dial may be called concurrently.
type Keeper struct {
	routes map[string]int
	all    []Route
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	run    sync.WaitGroup

	mu      sync.Mutex
	current *jail.Child // nil: none, at the moment
	control *net.UnixConn
}

// Start starts a keeper and waits until it has read the keys; from then on a keeper that
// ends is started again until Close. The error is the operator's, or the machine's.
func Start(ctx context.Context, routes []Route, log *slog.Logger) (*Keeper, error) {
	k := &Keeper{routes: map[string]int{}, all: routes, log: log}
	k.ctx, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for i, r := range routes {
		k.routes[r.Name] = i
	}
	c, err := k.start()
	if err != nil {
		k.cancel()
		return nil, fmt.Errorf("start the process that keeps the providers' keys: %w", err)
	}
	k.run.Go(func() { k.supervise(c) })
	return k, nil
}

// Close ends the keeper.
func (k *Keeper) Close() {
	k.cancel()
	k.run.Wait()
}

// Report says how the keeper is locked in, and its process id; ok is false while there is none.
func (k *Keeper) Report() (r jail.Report, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil {
		return r, false
	}
	return k.current.Report(), true
}

// supervise waits for the ends of keepers and starts new ones.
func (k *Keeper) supervise(c *jail.Child) {
	const least, most = 50 * time.Millisecond, 5 * time.Second
	wait := least
	for {
		began := time.Now()
		err := c.Wait()
		k.mu.Lock()
		control := k.control
		k.current, k.control = nil, nil
		k.mu.Unlock()
		control.Close()
		if k.ctx.Err() != nil {
			return
		}
		k.log.Warn("the process that keeps the providers' keys ended; it is started again", "error", err)
		if time.Since(began) > time.Minute {
			wait = least
		}
		for {
			select {
			case <-k.ctx.Done():
				return
			case <-time.After(wait):
			}
			wait = min(2*wait, most)
			if c, err = k.start(); err == nil {
				break
			}
			k.log.Error("cannot start the process that keeps the providers' keys; it is tried again", "error", err)
		}
	}
}

// start starts one keeper.
func (k *Keeper) start() (_ *jail.Child, err error) {
	s, files, err := k.setup()
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	spec := jail.Spec{Args: []string{ChildVerb}, Files: files, Account: Account, Stderr: &lines{k.log}, OpenFiles: 32768, MemoryLimit: 512 << 20,
		Tripped: func(t jail.Trip) {
			k.log.Error("the process that keeps the providers' keys made a call that none of its code makes", "call", t.Call)
		}}
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if v, ok := os.LookupEnv(name); ok {
			spec.Env = append(spec.Env, name+"="+v)
		}
	}
	c, err := jail.Start(k.ctx, spec)
	if err != nil {
		return nil, err
	}
	control, ok := c.Conn().(*net.UnixConn)
	if !ok {
		err = errors.New("its connection is no Unix socket")
	} else if err = control.SetDeadline(time.Now().Add(handshake)); err == nil {
		if err = jail.WriteFrame(control, raw, maxSetup); err == nil {
			err = readAnswer(control)
		}
	}
	clear(raw)
	if err == nil {
		err = control.SetDeadline(time.Time{})
	}
	if err != nil {
		c.Kill()
		_ = c.Wait()
		return nil, errors.Join(err, c.Conn().Close())
	}
	k.mu.Lock()
	k.current, k.control = c, control
	k.mu.Unlock()
	k.log.Info("the providers' keys are in a process of their own", "pid", c.Pid(), "jail", c.Report().String())
	return c, nil
}

// setup is what a keeper is told, and the files it reads. The caller closes them.
func (k *Keeper) setup() (s setup, files []*os.File, err error) {
	for _, r := range k.all {
		x := setupRoute{Name: r.Name, Host: r.Upstream.Host, TLS: r.Upstream.Scheme == "https", Server: r.Upstream.Hostname(), Header: r.Header, Region: r.Region}
		port, err := strconv.ParseUint(port(r.Upstream), 10, 16)
		if err != nil {
			return s, files, fmt.Errorf("route %s: port of the upstream: %w", r.Name, err)
		}
		x.Port = uint16(port)
		f, err := r.Key.Open()
		if err != nil {
			return s, files, fmt.Errorf("route %s: %w", r.Name, err)
		}
		if f != nil {
			files, x.File = append(files, f), true
		} else {
			text, err := r.Key.Read()
			if err != nil {
				return s, files, fmt.Errorf("route %s: %w", r.Name, err)
			}
			x.Key = text.Reveal()
		}
		s.Routes = append(s.Routes, x)
	}
	return s, files, nil
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// Dial opens a connection to the upstream of a route, through the keeper. What is
// written to it is HTTP/1.1 in plain.
func (k *Keeper) Dial(ctx context.Context, route string) (net.Conn, error) {
	i, ok := k.routes[route]
	if !ok {
		return nil, fmt.Errorf("the keeper has no key for route %s", route)
	}
	r := &k.all[i]
	ctx, cancel := context.WithTimeout(ctx, r.Connect)
	defer cancel()
	up, err := connect(ctx, r)
	if err != nil {
		return nil, err
	}
	defer up.Close() // the keeper has its own descriptor then
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket pair: %w", err)
	}
	data, err := connection(fds[0], "keeper")
	if err == nil {
		err = k.hand(i, up, fds[1])
	}
	err = errors.Join(err, unix.Close(fds[1]))
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = data.SetReadDeadline(time.Unix(1, 0)) })
		err = readAnswer(data)
		if !stop() && err == nil {
			err = ctx.Err()
		}
	}
	if err != nil {
		if data != nil {
			data.Close()
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return data, nil
}

// hand gives two descriptors to the keeper.
func (k *Keeper) hand(route int, up *net.TCPConn, theirs int) error {
	raw, err := up.SyscallConn()
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.control == nil {
		return ErrDown
	}
	var sent error
	err = raw.Control(func(fd uintptr) {
		msg := binary.LittleEndian.AppendUint16([]byte{opening}, uint16(route))
		_ = k.control.SetWriteDeadline(time.Now().Add(time.Second))
		_, _, sent = k.control.WriteMsgUnix(msg, unix.UnixRights(int(fd), theirs), nil)
	})
	if sent != nil {
		k.current.Kill() // it takes nothing: dead, or stuck
		return fmt.Errorf("%w (%w)", ErrDown, sent)
	}
	return err
}

// lines logs what the keeper says.
type lines struct{ log *slog.Logger }

func (l *lines) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		l.log.Warn("keeper of the providers' keys", "says", safe.Clean(strings.TrimSpace(line), maxWhy))
	}
	return len(p), nil
}
