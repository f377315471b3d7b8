package query

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bartizan/internal/jail"
)

// RunChild is the main of the engine's process: it reads its order, locks itself in, and only then starts the engine.
func RunChild(ctx context.Context, in io.Reader, out io.Writer) error {
	var o order
	from := json.NewDecoder(in)
	if err := from.Decode(&o); err != nil {
		return fmt.Errorf("read order: %w (this is an internal command)", err)
	}
	w := &answer{to: jail.NewFrameWriter(out, frameMax), from: from}
	// The engine keeps its own limit; the kernel's is for what it does not count (its code, threads, a bug).
	bounds := jail.Bounds{Read: append([]string{o.Lake}, ownLimits()...), Address: uint64(o.Limits.Memory)*3/2 + 512<<20, Heap: 128 << 20}
	bounds.CPU = uint64(o.Limits.Time.Seconds()+1)*uint64(o.Limits.Threads) + 1
	if err := jail.EnterReader(bounds); err != nil {
		return w.send(reply{Failed: err.Error()})
	}
	return w.send(serve(ctx, o, w))
}

// ownLimits are the files about this process's own share of the machine, as far as they exist: the engine asks for them at
// its start, and does not survive that they exist and cannot be read.
func ownLimits() []string {
	const groups = "/proc/self/cgroup"
	raw, err := os.ReadFile(groups)
	if err != nil {
		return nil
	}
	out := []string{groups}
	for line := range strings.Lines(string(raw)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // number:controllers:path, see cgroups(7)
		if len(parts) < 3 {
			continue
		}
		for _, at := range []string{"", "/memory", "/cpu"} {
			for _, name := range []string{"memory.max", "cpu.max", "memory.limit_in_bytes", "cpu.cfs_quota_us", "cpu.cfs_period_us"} {
				file := filepath.Join("/sys/fs/cgroup", at, parts[2], name)
				if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && !slices.Contains(out, file) {
					out = append(out, file)
				}
			}
		}
	}
	return out
}

var errLargeRow = fmt.Errorf("a row of more than %d bytes: select less of it, for instance with left(column, 1000)", frameMax)

// answer writes replies; rows are gathered into larger frames.
type answer struct {
	to    *jail.FrameWriter
	from  *json.Decoder
	rows  [][]json.RawMessage
	size  int
	total int
	bytes int64
}

func (a *answer) send(r reply) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	_, err = a.to.Write(raw)
	return err
}

// want asks for the files that some references read, and waits for their names.
func (a *answer) want(refs []reference) (map[string][]string, error) {
	if err := a.send(reply{Wanted: &wanted{spans(refs), needs(refs)}}); err != nil {
		return nil, err
	}
	var s supply
	if err := a.from.Decode(&s); err != nil {
		return nil, fmt.Errorf("read names of files: %w", err)
	}
	return s.Files, nil
}

// row adds a row; more reports whether another is wanted.
func (a *answer) row(cells []json.RawMessage, l Limits) (more bool, err error) {
	size := 0
	for _, c := range cells {
		size += len(c) + 1
	}
	if size > frameMax-1024 {
		return false, errLargeRow
	}
	if a.size+size > frameMax-1024 {
		if err := a.flush(); err != nil {
			return false, err
		}
	}
	a.size += size
	a.bytes += int64(size)
	a.rows = append(a.rows, cells)
	a.total++
	if a.total >= l.Rows || a.bytes >= l.Bytes {
		return false, nil
	}
	if a.size >= frameAim {
		return true, a.flush()
	}
	return true, nil
}

func (a *answer) flush() error {
	if len(a.rows) == 0 {
		return nil
	}
	err := a.send(reply{Rows: a.rows})
	a.rows, a.size = nil, 0
	return err
}

func (a *answer) reset() error {
	a.rows, a.size, a.total, a.bytes = nil, 0, 0, 0
	return a.send(reply{Reset: true})
}
