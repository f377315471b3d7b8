package exec

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/safe"
)

const (
	journalName = "journal.jsonl"
	maxJournal  = 256 << 20 // bytes accepted at start
	compactAt   = 4096      // lines beyond what is held after which the journal is rewritten
)

// holding is what the device holds for a prefix, as far as we know.
type holding struct {
	Action   model.Action
	Until    time.Time
	Decision model.ULID
	unsure   bool // a run was begun and its end is not known
}

func (h holding) same(o holding) bool { return h.Action == o.Action && h.Until.Equal(o.Until) }

// line is one entry of the journal. "begin" is written before a run and "done"
// or "none" after it, so that whatever moment the program dies at, every
// prefix that may be on the device is in the journal.
type line struct {
	What string `json:"what"` // begin, done, none
	call
}

// journal is the memory of what was done. Begins are flushed to the disk
// before anything is run; ends are not, because a lost end only means that
// something is done a second time.
type journal struct {
	path  string
	file  *os.File
	held  map[netip.Prefix]holding
	lines int
}

func openJournal(dir string) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make journal folder: %w", err)
	}
	j := &journal{path: filepath.Join(dir, journalName), held: make(map[netip.Prefix]holding)}
	f, err := os.Open(j.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("open journal: %w", err)
	default:
		data, err := safe.ReadAll(f, maxJournal, "journal "+j.path)
		f.Close()
		if err == nil {
			err = j.replay(data)
		}
		if err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
	}
	return j, j.compact()
}

// replay reads the lines. Only the last may be cut short, by the crash.
func (j *journal) replay(data []byte) error {
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, 1<<16)
	for n := 1; s.Scan(); n++ {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil || !l.Prefix.IsValid() {
			if end := bytes.LastIndexByte(data, '\n'); end+1 < len(data) && bytes.Equal(data[end+1:], s.Bytes()) {
				return nil
			}
			return fmt.Errorf("%s line %d is damaged: remove what the program has added by hand, then the file", j.path, n)
		}
		j.apply(l)
	}
	return s.Err()
}

func (j *journal) apply(l line) {
	j.lines++
	switch {
	case l.What == "begin" && l.Change == "add":
		j.held[l.Prefix] = holding{l.Action, l.Until, l.Decision, true}
	case l.What == "begin": // a removal: still there until it is done
		h := j.held[l.Prefix]
		h.unsure = true
		j.held[l.Prefix] = h
	case l.What == "done" && l.Change == "add":
		j.held[l.Prefix] = holding{l.Action, l.Until, l.Decision, false}
	case l.What == "done", l.What == "none":
		delete(j.held, l.Prefix)
	}
}

// compact rewrites the journal to what is held and opens it for appending.
func (j *journal) compact() error {
	var b bytes.Buffer
	for _, p := range slices.SortedFunc(maps.Keys(j.held), netip.Prefix.Compare) {
		h := j.held[p]
		l := line{"done", call{Change: "add", Prefix: p, Action: h.Action, Until: h.Until, Decision: h.Decision}}
		if h.unsure {
			l.What = "begin"
		}
		if err := writeLine(&b, l); err != nil {
			return err
		}
	}
	if err := safe.AtomicWrite(j.path, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("rewrite journal: %w", err)
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.lines = f, len(j.held)
	return nil
}

func writeLine(b *bytes.Buffer, l line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	b.Write(text)
	b.WriteByte('\n')
	return nil
}

// begin notes all runs that are about to be made.
func (j *journal) begin(todo []call) error {
	if len(todo) == 0 {
		return nil
	}
	if j.lines > compactAt+2*len(j.held) {
		if err := j.compact(); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	for _, c := range todo {
		l := line{"begin", c}
		if err := writeLine(&b, l); err != nil {
			return err
		}
		j.apply(l)
	}
	if _, err := j.file.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("flush journal: %w", err)
	}
	return nil
}

// end notes one run that was made; ok is false when the device does not hold
// the prefix because the program refused to add it.
func (j *journal) end(c call, ok bool) error {
	l := line{"done", c}
	if !ok {
		l.What = "none"
	}
	j.apply(l)
	var b bytes.Buffer
	if err := writeLine(&b, l); err != nil {
		return err
	}
	if _, err := j.file.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func (j *journal) close() error { return j.file.Close() }
