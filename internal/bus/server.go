package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"
)

// local is the embedded server. It can be replaced while clients stay: nats.go asks InProcessConn for a new
// connection whenever it reconnects.
type local struct {
	opts    server.Options
	log     *slog.Logger
	minFree int64
	repair  chan struct{} // capacity 1: the store has met a write error

	mu     sync.Mutex
	srv    *server.Server
	broken chan struct{} // closed while the store cannot be written
	full   bool          // the write error was a lack of space
	closed bool
}

func newLocal(c Config, log *slog.Logger) *local {
	return &local{
		log: log, minFree: c.MinFree, repair: make(chan struct{}, 1), broken: make(chan struct{}),
		opts: server.Options{
			ServerName: "bartizan", DontListen: true, NoSigs: true, MaxPayload: maxPayload,
			JetStream: true, StoreDir: c.Dir, JetStreamMaxMemory: c.MaxMemory, JetStreamMaxStore: c.MaxBytes,
			SyncInterval: c.SyncInterval, SyncAlways: c.SyncAlways,
			DisableJetStreamBanner: true, NoSystemAccount: false, MaxTracedMsgLen: 256,
		},
	}
}

// start brings a server up. It fails when JetStream did not come up, because without it nothing here works.
func (l *local) start() error {
	o := l.opts
	srv, err := server.NewServer(&o)
	if err != nil {
		return fmt.Errorf("make embedded server: %w", err)
	}
	srv.SetLoggerV2(&logger{l: l}, false, false, false)
	srv.Start()
	if !srv.ReadyForConnections(20*time.Second) || !srv.JetStreamEnabled() {
		srv.Shutdown()
		srv.WaitForShutdown()
		return fmt.Errorf("start embedded server: store in %s did not open; the log above says why", l.opts.StoreDir)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		go srv.Shutdown()
		return ErrClosed
	}
	l.srv = srv
	return nil
}

func (l *local) stop() {
	l.mu.Lock()
	srv := l.srv
	l.srv, l.closed = nil, true
	l.mu.Unlock()
	if srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

// InProcessConn implements nats.go's provider.
func (l *local) InProcessConn() (net.Conn, error) {
	l.mu.Lock()
	srv := l.srv
	l.mu.Unlock()
	if srv == nil {
		return nil, errors.New("embedded server is not running")
	}
	return srv.InProcessConn()
}

// failing is closed while the store cannot be written.
func (l *local) failing() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// writable says why a publish must not be tried now, or nil.
func (l *local) writable() error {
	if free, ok := freeBytes(l.opts.StoreDir); ok && free < l.minFree {
		return fmt.Errorf("%w: %s has %d MiB free, %d MiB are kept in reserve; free space, no restart is needed",
			ErrNoSpace, l.opts.StoreDir, free>>20, l.minFree>>20)
	}
	select {
	case <-l.failing():
		return l.why()
	default:
		return nil
	}
}

func (l *local) why() error {
	l.mu.Lock()
	full := l.full
	l.mu.Unlock()
	if full || !l.room() {
		return fmt.Errorf("%w: %s; free space, no restart is needed", ErrNoSpace, l.opts.StoreDir)
	}
	return fmt.Errorf("%w: %s; it is being reopened", ErrStore, l.opts.StoreDir)
}

// room says whether it makes sense to write again: more than one message must fit.
func (l *local) room() bool {
	free, ok := freeBytes(l.opts.StoreDir)
	return !ok || free >= max(l.minFree, 2*maxPayload)
}

// mend is the owner of recovery. JetStream marks a stream as broken for good after one failed write; only reopening
// the store clears that. So once there is room again the server is replaced. Reading works until then.
func (l *local) mend(done <-chan struct{}) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-l.repair:
		}
		l.mu.Lock()
		close(l.broken)
		l.mu.Unlock()
		l.log.Error("event store cannot be written; publishing pauses until there is space", "dir", l.opts.StoreDir)
		for again := true; again; {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			again = !l.room() || !l.replace()
		}
	}
}

func (l *local) replace() bool {
	l.mu.Lock()
	old := l.srv
	l.srv = nil
	l.mu.Unlock()
	if old != nil {
		old.Shutdown()
		old.WaitForShutdown()
	}
	select { // what the old one complained about is over
	case <-l.repair:
	default:
	}
	if err := l.start(); err != nil {
		l.log.Error("reopen event store", "err", err)
		return errors.Is(err, ErrClosed)
	}
	l.mu.Lock()
	l.broken, l.full = make(chan struct{}), false
	l.mu.Unlock()
	l.log.Warn("event store reopened; publishing works again", "dir", l.opts.StoreDir)
	return true
}

func freeBytes(dir string) (int64, bool) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0, false
	}
	return int64(st.Bavail) * st.Bsize, true
}

// logger passes the server's warnings and errors to slog and watches for write errors, which JetStream reports
// nowhere else on a single node (the publisher just gets no answer).
type logger struct{ l *local }

func (g *logger) Noticef(string, ...any) {}
func (g *logger) Debugf(string, ...any)  {}
func (g *logger) Tracef(string, ...any)  {}

func (g *logger) Warnf(format string, v ...any) {
	msg := fmt.Sprintf(format, v...)
	// Recovery of a store that was not closed says so at warn level: that is a kill, and expected.
	g.l.log.Warn("event store: "+msg, "part", "nats")
	g.watch(msg)
}

func (g *logger) Errorf(format string, v ...any) {
	msg := fmt.Sprintf(format, v...)
	g.l.log.Error("event store: "+msg, "part", "nats")
	g.watch(msg)
}

func (g *logger) Fatalf(format string, v ...any) { g.Errorf(format, v...) }

func (g *logger) watch(msg string) {
	m := strings.ToLower(msg)
	if strings.Contains(m, "critical write error") || strings.Contains(m, "no space left") ||
		strings.Contains(m, "will be disabled") || strings.Contains(m, "disabling jetstream") {
		if strings.Contains(m, "no space left") {
			g.l.mu.Lock()
			g.l.full = true
			g.l.mu.Unlock()
		}
		select {
		case g.l.repair <- struct{}{}:
		default:
		}
	}
}

func fsSize(dir string) (size, free int64) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0, 0
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize
}
