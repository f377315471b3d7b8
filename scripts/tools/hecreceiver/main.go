// Command hecreceiver is the Splunk HEC receiver of the OpenTelemetry Collector,
// with what it takes printed as JSON lines: the other side of the wire for the
// tests of the sink hec. Usage: hecreceiver ADDRESS
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/splunkhecreceiver"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "hecreceiver:", err)
		os.Exit(1)
	}
}

// line is one event as the receiver understood it.
type line struct {
	Resource   any    `json:"resource"`
	Time       uint64 `json:"time"` // nanoseconds since 1970
	Attributes any    `json:"attributes"`
	Body       any    `json:"body"`
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: hecreceiver ADDRESS")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	factory := splunkhecreceiver.NewFactory()
	c, ok := factory.CreateDefaultConfig().(*splunkhecreceiver.Config)
	if !ok {
		return fmt.Errorf("its configuration is a %T", factory.CreateDefaultConfig())
	}
	c.Endpoint = os.Args[1]
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	sink, err := consumer.NewLogs(func(_ context.Context, all plog.Logs) error {
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range all.ResourceLogs().All() {
			for _, scope := range resource.ScopeLogs().All() {
				for _, x := range scope.LogRecords().All() {
					if err := out.Encode(line{resource.Resource().Attributes().AsRaw(), uint64(x.Timestamp()), x.Attributes().AsRaw(), x.Body().AsRaw()}); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r, err := factory.CreateLogs(ctx, receivertest.NewNopSettings(factory.Type()), c, sink)
	if err != nil {
		return err
	}
	if err := r.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	<-ctx.Done()
	return r.Shutdown(context.Background())
}
