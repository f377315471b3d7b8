package app

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"bartizan/internal/bus"
	"bartizan/internal/intel"
	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// A snapshot of the intelligence fold saves a node with a long history from
// folding a week of signals at every start. It is a cache: without it, or with
// one that does not fit, everything is folded again.

// snapshotFile lies in the data folder.
const snapshotFile = "intel.snapshot"

const (
	snapshotHead  = 8 + 16 // sequence and id of the last signal in it
	snapshotMost  = 1 << 30
	snapshotEvery = time.Minute
	// snapshotAfter is how many signals make a new snapshot worth its cost; so
	// many are folded again after a kill, at about 50 µs each.
	snapshotAfter = 5_000
)

// place is a signal's position in the stream, with the id that proves that the
// stream is still the one the snapshot was folded from.
type place struct {
	seq uint64
	id  model.ULID
}

// loadSnapshot restores the fold and says up to where it goes; zero: nowhere.
func (h *hub) loadSnapshot(ctx context.Context) (place, error) {
	file := filepath.Join(h.conf.Data, snapshotFile)
	st, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return place{}, nil
	case err != nil:
		return place{}, err
	case st.Size() > snapshotMost:
		return place{}, fmt.Errorf("it has %d bytes", st.Size())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return place{}, err
	}
	if len(b) < snapshotHead {
		return place{}, errors.New("it ends too early")
	}
	p := place{seq: binary.LittleEndian.Uint64(b)}
	copy(p.id[:], b[8:])
	if err := h.anchored(ctx, p); err != nil {
		return place{}, err
	}
	return p, h.store.Restore(b[snapshotHead:])
}

// anchored tells whether the stream holds the signal the snapshot ends with.
// One that was discarded for its age proves nothing, and then the snapshot is
// older than the horizon anyway.
func (h *hub) anchored(ctx context.Context, p place) error {
	found := false
	_, err := bus.Read(ctx, h.bus, signalTopic(h.conf), bus.From{Seq: p.seq}, func(m bus.Message[model.Signal]) error {
		found = m.Seq == p.seq && m.Value.ID == p.id
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) {
		return err
	}
	if !found {
		return fmt.Errorf("the stream of signals does not hold the one it ends with (number %d)", p.seq)
	}
	return nil
}

// snapshot writes the fold down when enough has happened since the last time.
func (h *hub) snapshot(after uint64) error {
	h.mu.Lock()
	p := h.folded
	// With a clock that was set back evidence is forgotten that folding again
	// under a right clock brings back; a snapshot would make that last.
	h.astray = h.astray || time.Until(p.id.Time()) > intel.Default().MaxSkew
	if p.seq < h.snapped+after || p.seq == h.snapped || h.astray {
		h.mu.Unlock()
		return nil
	}
	// Under the lock: the bytes and the place must belong together.
	body := h.store.Snapshot()
	h.mu.Unlock()
	var b bytes.Buffer
	b.Grow(snapshotHead + len(body))
	b.Write(binary.LittleEndian.AppendUint64(nil, p.seq))
	b.Write(p.id[:])
	b.Write(body)
	if err := safe.AtomicWrite(filepath.Join(h.conf.Data, snapshotFile), b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write snapshot of the intelligence: %w", err)
	}
	h.mu.Lock()
	h.snapped = p.seq
	h.mu.Unlock()
	return nil
}

// saveSnapshot is snapshot for those who can do nothing about a failure.
func (h *hub) saveSnapshot(after uint64) {
	if err := h.snapshot(after); err != nil {
		h.log.Warn("the next start will take longer", "error", err)
	}
}

// keepSnapshots writes one from time to time and at the end; a failure costs
// the next start time and nothing else.
func (h *hub) keepSnapshots(ctx context.Context) error {
	tick := time.NewTicker(snapshotEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			h.saveSnapshot(snapshotAfter)
		}
	}
}

// foldSignals brings the intelligence up to the end of the stream.
func (h *hub) foldSignals(ctx context.Context, now time.Time) (n int, err error) {
	from := bus.From{Time: now.Add(-horizon)}
	p, err := h.loadSnapshot(ctx)
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil:
		h.store = intel.New(intel.Default())
		h.log.Warn("everything is folded again, which takes longer", "file", filepath.Join(h.conf.Data, snapshotFile), "reason", err)
	case p.seq > 0:
		from = bus.From{Seq: p.seq + 1}
		h.folded, h.snapped = p, p.seq
	}
	_, err = bus.Read(ctx, h.bus, signalTopic(h.conf), from, func(m bus.Message[model.Signal]) error {
		n++
		h.store.Fold(&m.Value)
		h.folded = place{m.Seq, m.Value.ID}
		return nil
	})
	return n, err
}
