package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	maxPayload     = 1 << 20          // bytes of one message; larger values belong into Blobs
	ackTimeout     = 10 * time.Second // after which a publish without an answer is an error
	apiTimeout     = 5 * time.Second  // of one management request
	defaultMaxMem  = 64 << 20
	defaultMinFree = 128 << 20
	defaultSync    = 5 * time.Second
)

// Config says where the bus lives. Either Dir (embedded) or Servers (an existing deployment), not both.
type Config struct {
	// Dir is the data folder of the embedded server; made with mode 0700. One process at a time may have it open.
	Dir string
	// MaxBytes caps what all streams together may reserve on disk (a stream reserves its Limits.MaxBytes).
	// 0: the size of the file system.
	MaxBytes int64
	// MaxMemory caps memory-backed state of the embedded server (reading positions of Read, Follow and Watch).
	// 0: 64 MiB. It is not a cap on the process.
	MaxMemory int64
	// MinFree is how much of the file system stays free: below it publishing returns ErrNoSpace, while reading and
	// acknowledging go on. 0: 128 MiB, but at most a twentieth of the file system.
	MinFree int64
	// SyncInterval is the time between fsyncs: what a power cut (not a kill) may take. 0: 5 s. JetStream's own
	// default is two minutes; each fsync costs a disk flush per stream written to since the last.
	SyncInterval time.Duration
	// SyncAlways makes each acknowledgement wait for an fsync.
	SyncAlways bool

	// Servers are URLs of an existing NATS deployment with JetStream, version 2.14 or newer.
	Servers []string
	// Credentials is a NATS .creds file for Servers; empty for none.
	Credentials string
	// TLS is used with Servers when not nil.
	TLS *tls.Config
	// Replicas of every stream made on Servers: 1, 3 or 5. 0: 1.
	Replicas int
}

// Bus is an open connection to the streams. All methods and functions taking it may be used concurrently.
type Bus struct {
	conf  Config
	log   *slog.Logger
	local *local // nil with external servers
	lock  *os.File
	nc    *nats.Conn
	js    jetstream.JetStream

	done  chan struct{} // closed by Close
	owned sync.WaitGroup

	mu       sync.Mutex
	closing  bool
	inflight sync.WaitGroup  // publishes that have begun
	durables map[string]bool // consumers running in this process
	epoch    chan struct{}   // closed and replaced at each reconnect

	handles      sync.Map // stream name to jetstream.Stream
	deadLettered atomic.Uint64
	pos          positions
	lost         []Loss
}

// Open starts the embedded server, or connects to Config.Servers, and waits until streams can be used.
// It fails when another process uses the same folder (ErrLocked).
func Open(ctx context.Context, c Config, log *slog.Logger) (*Bus, error) {
	if (c.Dir == "") == (len(c.Servers) == 0) {
		return nil, errors.New("open bus: set either a data folder or servers")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	b := &Bus{conf: c, log: log, done: make(chan struct{}), durables: map[string]bool{}, epoch: make(chan struct{})}
	if err := b.open(ctx); err != nil {
		b.release()
		return nil, fmt.Errorf("open bus: %w", err)
	}
	return b, nil
}

func (b *Bus) open(ctx context.Context) (err error) {
	if b.conf.Dir != "" {
		if err := b.openLocal(); err != nil {
			return err
		}
	}
	if b.nc, err = b.connect(); err != nil {
		return err
	}
	b.js, err = jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(1<<20),
		jetstream.WithPublishAsyncTimeout(ackTimeout), jetstream.WithDefaultTimeout(apiTimeout))
	if err != nil {
		return fmt.Errorf("use jetstream: %w", err)
	}
	if err := b.ready(ctx); err != nil {
		return err
	}
	if b.local != nil {
		if err := b.findLosses(ctx); err != nil {
			return err
		}
		b.owned.Go(b.keepPositions)
	}
	return nil
}

func (b *Bus) openLocal() (err error) {
	c := &b.conf
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return fmt.Errorf("find data folder: %w", err)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	if b.lock, err = lockDir(c.Dir); err != nil {
		return err
	}
	size, free := fsSize(c.Dir)
	if c.MaxBytes <= 0 {
		c.MaxBytes = max(size, 64<<20)
	}
	if c.MaxMemory <= 0 {
		c.MaxMemory = defaultMaxMem
	}
	if c.MinFree <= 0 {
		c.MinFree = min(defaultMinFree, size/20)
	}
	if c.SyncInterval <= 0 {
		c.SyncInterval = defaultSync
	}
	if free < c.MinFree {
		b.log.Warn("disk below the event store is nearly full; publishing waits for space", "dir", c.Dir, "free_mib", free>>20)
	}
	l := newLocal(*c, b.log)
	if err := l.start(); err != nil {
		return err
	}
	b.local = l
	b.owned.Go(func() { l.mend(b.done) })
	return nil
}

func (b *Bus) connect() (*nats.Conn, error) {
	c := b.conf
	opts := []nats.Option{
		nats.Name("bartizan"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(false),
		nats.ReconnectHandler(func(*nats.Conn) { b.nextEpoch() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("bus connection", "err", err)
		}),
	}
	url := ""
	if b.local != nil {
		opts = append(opts, nats.InProcessServer(b.local), nats.ReconnectWait(10*time.Millisecond))
	} else {
		url = strings.Join(c.Servers, ",")
		opts = append(opts, nats.ReconnectWait(250*time.Millisecond))
		if c.Credentials != "" {
			opts = append(opts, nats.UserCredentials(c.Credentials))
		}
		if c.TLS != nil {
			opts = append(opts, nats.Secure(c.TLS))
		}
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to servers: %w", err)
	}
	return nc, nil
}

// ready waits for JetStream. Calls made before a cluster has a leader would block until their context ends, so short
// tries are made instead of one long one.
func (b *Bus) ready(ctx context.Context) error {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := b.js.AccountInfo(try)
		cancel()
		if err == nil {
			return nil
		}
		if errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			return fmt.Errorf("use jetstream: %w; enable JetStream for this account on the servers", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for a jetstream leader: %w (last answer: %w)", ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

// Close waits for publishes that have begun (until ctx ends), then closes the connection and stops the embedded
// server. Consumers and followers must have been ended through their own contexts; those left get errors.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	if b.closing {
		b.mu.Unlock()
		return nil
	}
	b.closing = true
	b.mu.Unlock()

	flushed := make(chan struct{})
	b.owned.Go(func() { b.inflight.Wait(); close(flushed) })
	var err error
	select {
	case <-flushed:
	case <-ctx.Done():
		err = fmt.Errorf("close bus: publishes still unacknowledged: %w", ctx.Err())
	}
	b.release()
	return err
}

// release undoes whatever part of open has happened. Closing the connection ends publishes that hang.
func (b *Bus) release() {
	close(b.done)
	if b.nc != nil {
		b.nc.Close()
	}
	if b.local != nil {
		b.local.stop()
	}
	b.owned.Wait()
	if b.lock != nil {
		b.lock.Close()
	}
}

// begin registers one publish; end with b.inflight.Done.
func (b *Bus) begin() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return ErrClosed
	}
	b.inflight.Add(1)
	return nil
}

func (b *Bus) nextEpoch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.epoch)
	b.epoch = make(chan struct{})
}

func (b *Bus) thisEpoch() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.epoch
}
