package gateway

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"bartizan/internal/conf"
	"bartizan/internal/gateway/keys"
	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
	"bartizan/internal/guard/wire"
)

// beside is an inspector with something that runs beside it.
type beside struct {
	needle
	began, ended chan struct{}
}

func (b *beside) Run(ctx context.Context, _ *slog.Logger) {
	b.began <- struct{}{}
	<-ctx.Done()
	b.ended <- struct{}{}
}

// TestRunners: what an inspector needs beside it runs for as long as the gateway serves, where a route asks it.
func TestRunners(t *testing.T) {
	for _, asked := range []bool{true, false} {
		in := &beside{began: make(chan struct{}, 9), ended: make(chan struct{}, 9)}
		c, r := DefaultConfig(), Route{Service: Service{Upstream: "http://127.0.0.1:9", Format: "toy"}}
		if !asked {
			for _, d := range r.directions() {
				d.Inspectors = []string{}
			}
		}
		c.Routes = map[string]Route{"toy": r}
		if bad := c.Complete(Catalogue{Formats: []string{"toy"}, Inspectors: []string{"needle"}}); len(bad) > 0 {
			t.Fatal(bad)
		}
		book, err := keys.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		g, err := New(Options{Config: c, Keys: book, Denied: NewDenied(), Log: slog.New(slog.DiscardHandler),
			Format: func(string) (wire.Format, error) { return toy{}, nil },
			Inspectors: func(map[string]conf.Raw) ([]guard.Named, decode.Likeness, error) {
				return []guard.Named{{Name: "needle", Inspector: in}}, nil, nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- g.Serve(ctx, l, nil) }()
		if asked {
			<-in.began
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if len(in.began) != 0 || asked != (len(in.ended) == 1) {
			t.Errorf("asked %t: began %d times more, ended %d times", asked, len(in.began), len(in.ended))
		}
	}
}
