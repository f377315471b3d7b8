package export

import (
	"context"
	"errors"
	"fmt"

	"bartizan/internal/bus"
)

// Places keeps how far a sink has come in the stream of each class. The bus keeps the place of a reader, too, but forgets
// it when the stream lets go of what stands there: only this tells that events were lost while nobody was reading. It is
// for one goroutine at a time.
type Places struct {
	kv   *bus.KV[place]
	sink string
	by   map[string]place // class
}

type place struct {
	Seq  uint64 `json:"seq"`  // last sequence number sent
	Lost uint64 `json:"lost"` // left the stream before they could be sent, ever
}

// OpenPlaces opens what is kept for a sink.
func OpenPlaces(b *bus.Bus, sink string) (*Places, error) {
	kv, err := bus.OpenKV[place](context.Background(), b, "EXPORTS", "export-place", 1, bus.KVOptions[place]{MaxBytes: 4 << 20})
	if err != nil {
		return nil, fmt.Errorf("open places of exports: %w", err)
	}
	return &Places{kv, sink, map[string]place{}}, nil
}

func (p *Places) key(class string) string { return p.sink + "_" + class }

// Begin says that what is sent next begins at first, and tells how many events are missing before it, once. With an
// error the place is not known, and none count.
func (p *Places) Begin(ctx context.Context, class string, first uint64) (lost uint64, err error) {
	at, known := p.by[class]
	if !known {
		e, gerr := p.kv.Get(ctx, p.key(class))
		if gerr != nil && !errors.Is(gerr, bus.ErrNotFound) {
			err = gerr
		}
		at = e.Value
	}
	if at.Seq > 0 && first > at.Seq+1 {
		lost = first - at.Seq - 1
		at = place{first - 1, at.Lost + lost}
	}
	p.by[class] = at
	return lost, err
}

// Sent says how far the sink has come.
func (p *Places) Sent(ctx context.Context, class string, last uint64) error {
	at := place{last, p.by[class].Lost}
	p.by[class] = at
	_, err := p.kv.Put(ctx, p.key(class), at)
	return err
}

// Lost is how many events are known to be lost, of all classes and ever.
func (p *Places) Lost() (n uint64) {
	for _, at := range p.by {
		n += at.Lost
	}
	return n
}
