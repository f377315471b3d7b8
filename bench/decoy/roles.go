package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"bartizan/internal/builtin"
	"bartizan/internal/decoy"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/decoy/tcp"
	"bartizan/internal/decoy/web"
	"bartizan/internal/detect"
	"bartizan/internal/jail"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// sources are the loopback addresses visitors come from, so that no server
// meets all of them as one.
const sources = 16

const maxFrame = 64 << 20

// used is the CPU time of this process, user and system.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is VmRSS in KB, after giving back what is free.
func resident() int {
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0]) // the kernel writes a number
			return n
		}
	}
	return 0
}

// profile of this process until the returned function is called.
func profile(path string) (func(), error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

// answering serves one report per byte of stdin, and returns at its end.
func answering(r func() report) error {
	var b [1]byte
	for {
		if _, err := os.Stdin.Read(b[:]); err != nil {
			return nil // io.EOF, or the orchestrator is gone
		}
		if err := tell(r()); err != nil {
			return err
		}
	}
}

func server(o options) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if o.role == "minimal" {
		return minimal(o, l)
	}
	out := jail.NewFrameWriter(os.NewFile(3, "pipe"), maxFrame)
	batch := decoy.NewBatcher(func(b []byte) error { _, err := out.Write(b); return err })
	faults := 0
	runner := decoy.NewRunner(batch, func(_ string, err error) { faults++; fmt.Fprintln(os.Stderr, err) })
	in, err := instance(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg, writers sync.WaitGroup
	errs := make(chan error, 3)
	wg.Go(func() { errs <- runner.Serve(ctx, in, l) })
	wg.Go(func() { errs <- runner.Announce(ctx) })
	writing, done := context.WithCancel(context.Background())
	defer done()
	writers.Go(func() { errs <- batch.Run(writing) })
	name := o.cpu
	if name != "" {
		name += "-" + o.role + "-server.prof"
	}
	stop, err := profile(name)
	if err != nil {
		return err
	}
	runtime.GC()
	begin := used()
	if err := tell(report{Addr: l.Addr().String()}); err != nil {
		return err
	}
	stats := func() report {
		st := runner.Stats()
		return report{CPU: used() - begin, RSS: resident(), Accepted: st.Accepted, Shed: st.Shed}
	}
	if err := answering(stats); err != nil {
		return err
	}
	for limit := time.Now().Add(10 * time.Second); runner.Stats().Active > 0 && time.Now().Before(limit); {
		time.Sleep(5 * time.Millisecond) // the last visitors have left, their reports are on the way
	}
	cancel()
	wg.Wait()
	done()
	writers.Wait()
	last := stats()
	stop()
	for range 3 {
		if err := <-errs; err != nil {
			return err
		}
	}
	if faults > 0 {
		return fmt.Errorf("%d faults of the decoy", faults)
	}
	return tell(last)
}

// instance builds the decoy under test as the program does by default, except
// for the limit that 16 sources would reach.
func instance(o options) (*decoy.Instance, error) {
	st, err := persona.Create(time.Now())
	if err != nil {
		return nil, err
	}
	p, err := persona.FromState(st)
	if err != nil {
		return nil, err
	}
	limits := decoy.DefaultLimits()
	limits.PerSource = limits.Connections
	if o.workers >= 1000 {
		limits.Connections = o.workers // the overload says how many places there are
	}
	var impl decoy.Service
	switch o.role {
	case "tcp":
		impl, err = tcp.New(tcp.Default())
	case "web":
		impl, err = web.New(web.Default())
	default:
		err = fmt.Errorf("unknown role %q", o.role)
	}
	return &decoy.Instance{Name: o.role, Service: map[string]string{"tcp": "tcp", "web": "http"}[o.role], Impl: impl, Limits: limits, Persona: p}, err
}

// minimal is what decoys are compared with.
func minimal(o options, l net.Listener) error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	type line struct {
		Time   time.Time `json:"time"`
		Remote string    `json:"remote"`
		First  string    `json:"first"`
		Bytes  int       `json:"bytes"`
	}
	var wg sync.WaitGroup
	var accepted atomic.Int64
	answer := []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			wg.Go(func() {
				defer c.Close()
				b := make([]byte, 4096)
				n, err := c.Read(b)
				if err != nil {
					return
				}
				text, err := json.Marshal(line{time.Now(), c.RemoteAddr().String(), string(b[:n]), n})
				if err != nil {
					return
				}
				_, _ = null.Write(append(text, '\n')) // /dev/null takes everything
				_, _ = c.Write(answer)                // the client has left or not
			})
		}
	})
	begin := used()
	if err := tell(report{Addr: l.Addr().String()}); err != nil {
		return err
	}
	stats := func() report { return report{CPU: used() - begin, RSS: resident(), Accepted: accepted.Load()} }
	if err := answering(stats); err != nil {
		return err
	}
	l.Close()
	wg.Wait()
	return tell(stats())
}

// reader is the node's side of the pipe: decode, check, detect, count.
func reader(o options) error {
	table := builtin.Detectors()
	var detectors []detect.Named
	for _, name := range table.Names() {
		d, err := table.Build(name, nil)
		if err != nil {
			return err
		}
		detectors = append(detectors, detect.Named{Name: name, Detector: d})
	}
	engine := detect.NewEngine(detectors, detect.Options{})
	name := o.cpu
	if name != "" {
		name += "-reader.prof"
	}
	stop, err := profile(name)
	if err != nil {
		return err
	}
	runtime.GC()
	in := jail.NewFrameReader(bufio.NewReaderSize(os.NewFile(3, "pipe"), 64<<10), maxFrame)
	begin := used()
	if err := tell(report{}); err != nil {
		return err
	}
	var r report
	var batch observe.Batch
	for {
		b, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := take(b, &batch, engine, &r); err != nil {
			return err
		}
	}
	r.CPU = used() - begin
	stop()
	return tell(r)
}

func take(b []byte, batch *observe.Batch, engine *detect.Engine, r *report) error {
	var err error
	if *batch, err = observe.DecodeBatch(b); err != nil {
		return err
	}
	now := time.Now()
	for i := range batch.Observations {
		x := &batch.Observations[i]
		if err := x.Check(now); err != nil {
			return err
		}
		if x.Interaction != nil && x.Interaction.Ended {
			r.ToldShed += x.Interaction.Shed
			if x.Interaction.CloseError == "" {
				r.Ended++
			}
		}
		x.Sensor = "bench"
	}
	r.Observations += len(batch.Observations)
	engine.Process(batch.Observations, func(model.Signal) { r.Signals++ })
	return nil
}

// client visits, or holds its connections until stdin ends.
func client(o options) error {
	request := []byte(o.path)
	if !o.hold {
		request = []byte("GET " + o.path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n")
	}
	workers := o.workers
	if o.hold {
		workers = 64
	}
	var next, served, reset atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	var held []net.Conn
	begin := time.Now()
	for range workers {
		wg.Go(func() {
			b := make([]byte, 16<<10)
			for i := next.Add(1); i <= int64(o.conns); i = next.Add(1) {
				c, ok := visit(o, int(i), request, b)
				if !ok {
					reset.Add(1)
					continue
				}
				served.Add(1)
				if c != nil {
					mu.Lock()
					held = append(held, c)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	wall := time.Since(begin)
	if o.hold {
		// Those that were refused after the handshake find out by now.
		time.Sleep(time.Second)
		for _, c := range held {
			if refused(c) {
				served.Add(-1)
				reset.Add(1)
			}
		}
	}
	if err := tell(report{Served: int(served.Load()), Reset: int(reset.Load()), Wall: wall}); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // held connections end with the process
	return nil
}

// visit asks one thing and leaves without a trace, or returns the connection.
func visit(o options, i int, request, b []byte) (net.Conn, bool) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i%sources))}, Timeout: 10 * time.Second}
	c, err := d.Dial("tcp", o.addr)
	if err != nil {
		return nil, false
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	if len(request) > 0 {
		if _, err := c.Write(request); err != nil {
			c.Close()
			return nil, false
		}
	}
	if o.hold {
		return c, true
	}
	_, err = c.Read(b)
	c.Close()
	return nil, err == nil
}

// refused says whether the server has reset a connection.
func refused(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	var b [1]byte
	_, err := c.Read(b[:])
	var ne net.Error
	return err != nil && !(errors.As(err, &ne) && ne.Timeout())
}
