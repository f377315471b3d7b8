package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// positions remembers how far each stream had got, in a file beside the store. JetStream drops a torn tail silently
// when it opens a stream; only with a record of its own can the bus say that acknowledged messages are missing. The
// record may be up to one SyncInterval behind, so after a kill the reported loss is a lower bound.
type positions struct {
	mu    sync.Mutex
	last  map[string]position
	dirty bool
}

type position struct {
	Last uint64 `json:"last"`
	Gaps uint64 `json:"gaps,omitempty"` // numbers missing inside the stream that have been reported
}

func (p *positions) saw(stream string, seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if was := p.last[stream]; seq > was.Last {
		p.last[stream] = position{seq, was.Gaps}
		p.dirty = true
	}
}

func positionsFile(dir string) string { return filepath.Join(dir, "POSITIONS") }

// save writes the file when something has changed; a failure is not fatal to anything but a later report.
func (p *positions) save(dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.dirty {
		return nil
	}
	data, err := json.Marshal(p.last)
	if err != nil {
		return err
	}
	tmp := positionsFile(dir) + ".tmp"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("save stream positions: %w", err)
	}
	if err := os.Rename(tmp, positionsFile(dir)); err != nil {
		return fmt.Errorf("save stream positions: %w", err)
	}
	p.dirty = false
	return nil
}

// loadPositions reads the file; a missing or broken one means that nothing is known.
func loadPositions(dir string) map[string]position {
	m := map[string]position{}
	f, err := os.Open(positionsFile(dir))
	if err != nil {
		return m
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil || json.Unmarshal(data, &m) != nil {
		return map[string]position{}
	}
	return m
}

// keepPositions saves now and then until the bus closes.
func (b *Bus) keepPositions() {
	tick := time.NewTicker(b.conf.SyncInterval)
	defer tick.Stop()
	for {
		select {
		case <-b.done:
			if err := b.pos.save(b.conf.Dir); err != nil && !errors.Is(err, os.ErrNotExist) {
				b.log.Warn("close bus", "err", err)
			}
			return
		case <-tick.C:
			if err := b.pos.save(b.conf.Dir); err != nil {
				b.log.Debug("keep stream positions", "err", err)
			}
		}
	}
}
