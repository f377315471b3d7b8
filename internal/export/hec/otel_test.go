package hec_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/export/exporttest"
	"bartizan/internal/export/hec"
	"bartizan/internal/safe/porttest"
)

// otel is a receiver of somebody else's: that of the OpenTelemetry Collector.
type otel struct {
	t    *testing.T
	addr string
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex
	got  []otelEvent
	news chan struct{}
}

// otelEvent is an event as the receiver understood it.
type otelEvent struct {
	Resource, Attributes map[string]any
	Time                 uint64
	Body                 any
}

func startOTel(t *testing.T) *otel {
	t.Helper()
	program := receiverProgram()
	if program == "" {
		if os.Getenv("BARTIZAN_HEC") != "" {
			t.Fatal("hecreceiver is missing: BARTIZAN_HEC=1 scripts/install-test-tools.sh")
		}
		t.Skip("the OpenTelemetry receiver, which make soak runs, is not here: BARTIZAN_HEC=1 scripts/install-test-tools.sh")
	}
	o := &otel{t: t, addr: net.JoinHostPort("127.0.0.1", porttest.Free(t, "tcp", 1)[0]), news: make(chan struct{}, 1)}
	o.up(program)
	t.Cleanup(o.down)
	return o
}

// receiverProgram is where scripts/install-test-tools.sh puts it.
func receiverProgram() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if path := filepath.Join(dir, ".cache", "bin", "hecreceiver"); exists(path) {
			return path
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (o *otel) up(program string) {
	o.t.Helper()
	o.cmd = exec.Command(program, o.addr)
	var log bytes.Buffer
	o.cmd.Stderr = &log
	out, err := o.cmd.StdoutPipe()
	if err == nil {
		err = o.cmd.Start()
	}
	if err != nil {
		o.t.Fatal(err)
	}
	o.done = make(chan struct{})
	go o.read(out)
	tick, late := time.NewTicker(20*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", o.addr); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-late:
			o.t.Fatalf("the receiver does not listen: %s", log.String())
		case <-tick.C:
		}
	}
}

func (o *otel) read(r io.Reader) {
	defer close(o.done)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e otelEvent
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		o.mu.Lock()
		o.got = append(o.got, e)
		o.mu.Unlock()
		select {
		case o.news <- struct{}{}:
		default:
		}
	}
}

// down kills it; what it printed before counts.
func (o *otel) down() {
	if o.cmd != nil {
		_ = o.cmd.Process.Kill()
		<-o.done
		_ = o.cmd.Wait()
		o.cmd = nil
	}
}

// want waits for n events.
func (o *otel) want(n int) []otelEvent {
	o.t.Helper()
	late := time.After(30 * time.Second)
	for {
		o.mu.Lock()
		got := append([]otelEvent(nil), o.got...)
		o.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-o.news:
		case <-late:
			o.t.Fatalf("%d events arrived, want %d", len(got), n)
		}
	}
}

// TestOpenTelemetry: the Splunk HEC receiver of the OpenTelemetry Collector
// understands what is sent: every event whole and in order, with its envelope,
// packed or not, and after it was killed in between.
func TestOpenTelemetry(t *testing.T) {
	for _, zip := range []bool{true, false} {
		o := startOTel(t)
		k := hec.Default()
		k.URL, k.Token, k.Host, k.Index, k.Gzip, k.Batch = "http://"+o.addr, conf.NewSecret(token), "node1", "honey", zip, 64<<10
		s, err := hec.New(k)
		if err != nil {
			t.Fatal(err)
		}
		events := exporttest.Events(300)
		if left, err := s.Send(t.Context(), events[:200]); err != nil || left != 0 {
			t.Fatalf("gzip %v: %d left, %v", zip, left, err)
		}
		o.want(200)
		o.down()
		if _, err := s.Send(t.Context(), events[200:]); err == nil {
			t.Fatal("a receiver that is gone took events")
		}
		o.up(receiverProgram())
		if left, err := s.Send(t.Context(), events[200:]); err != nil || left != 0 {
			t.Fatalf("gzip %v: %d left, %v", zip, left, err)
		}
		got := o.want(300)
		if len(got) != 300 {
			t.Fatalf("%d events", len(got))
		}
		for i := range events {
			var sent any
			if err := json.Unmarshal(events[i].JSON, &sent); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got[i].Body, sent) {
				t.Fatalf("event %d: got %v, sent %v", i, got[i].Body, sent)
			}
		}
		e := got[0]
		for name, want := range map[string]any{"host.name": "node1", "com.splunk.source": "bartizan", "com.splunk.sourcetype": "ocsf:signal", "com.splunk.index": "honey"} {
			if e.Resource[name] != want && e.Attributes[name] != want {
				t.Errorf("%s is not %v in %v %v", name, want, e.Resource, e.Attributes)
			}
		}
		if e.Time/1e6 != 1795741323456 {
			t.Errorf("time %d", e.Time)
		}
		o.down()
	}
}
