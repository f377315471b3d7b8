package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// Held is a call that waits for a person.
type Held struct {
	ID     string    `json:"id"`
	Agent  string    `json:"agent"`
	Server string    `json:"server"`
	Tool   string    `json:"tool"`
	Args   string    `json:"args"` // with secrets masked, cut
	Why    string    `json:"why"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"` // then it is refused
}

// Holds are the calls that wait, as files in a folder that only its owner reads: a
// gateway writes <id>.json, a person's answer is <id>.yes or <id>.no. Files, because
// gateways of several clients and the command line meet here without a server.
type Holds struct {
	dir  string
	conf Approval
	open atomic.Int64
}

const (
	pollHeld    = 100 * time.Millisecond
	maxHeldFile = 64 << 10
)

// OpenHolds makes the folder.
func OpenHolds(state string, conf Approval) (*Holds, error) {
	dir := filepath.Join(state, "held")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of held calls: %w", err)
	}
	return &Holds{dir: dir, conf: conf}, nil
}

// errTooMany says that no more calls may wait.
var errTooMany = errors.New("too many calls wait for a person already")

// wait asks a person. The error says why the call is refused; nil: it was released.
func (h *Holds) wait(ctx context.Context, call Held) error {
	if h.open.Add(1) > int64(h.conf.Held) {
		h.open.Add(-1)
		return errTooMany
	}
	defer h.open.Add(-1)
	call.Since = time.Now().UTC()
	call.Until = call.Since.Add(h.conf.Timeout.D())
	data, err := json.Marshal(call)
	if err != nil {
		return fmt.Errorf("hold call: %w", err)
	}
	file := h.file(call.ID, ".json")
	if err := safe.AtomicWrite(file, data, 0o600); err != nil {
		return fmt.Errorf("hold call: %w", err)
	}
	defer func() {
		for _, end := range []string{".json", ".yes", ".no"} {
			_ = os.Remove(h.file(call.ID, end)) // two of the three are not there
		}
	}()
	timeout := time.NewTimer(time.Until(call.Until))
	defer timeout.Stop()
	poll := time.NewTicker(pollHeld)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return errors.New("it was cancelled while it waited for a person")
		case <-timeout.C:
			return fmt.Errorf("no person answered within %s", h.conf.Timeout)
		case <-poll.C:
		}
		if _, err := os.Stat(h.file(call.ID, ".no")); err == nil {
			return errors.New("a person refused it")
		}
		if _, err := os.Stat(h.file(call.ID, ".yes")); err == nil {
			return nil
		}
	}
}

func (h *Holds) file(id, end string) string { return filepath.Join(h.dir, id+end) }

// List returns the calls that wait, oldest first. One that a killed gateway left
// behind is past its time and is removed.
func (h *Holds) List(now time.Time) ([]Held, error) {
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return nil, fmt.Errorf("list held calls: %w", err)
	}
	var out []Held
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		call, err := h.read(id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // answered in this moment
		}
		if err != nil {
			return nil, err
		}
		if now.After(call.Until.Add(time.Minute)) {
			_ = os.Remove(h.file(id, ".json")) // another command may have done it
			continue
		}
		out = append(out, call)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Since.Before(out[j].Since) })
	return out, nil
}

func (h *Holds) read(id string) (c Held, err error) {
	f, err := os.Open(h.file(id, ".json"))
	if err != nil {
		return c, err
	}
	defer f.Close()
	data, err := safe.ReadAll(f, maxHeldFile, "held call")
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		return c, fmt.Errorf("read held call %s: %w", id, err)
	}
	return c, nil
}

// Answer releases or refuses a call. A person's first answer counts.
func (h *Holds) Answer(id string, release bool) error {
	if _, err := model.ParseULID(id); err != nil {
		return fmt.Errorf("%q is no id of a held call", safe.Clean(id, 40))
	}
	if _, err := h.read(id); err != nil {
		return fmt.Errorf("no call %s waits: it was answered, or its time is over", id)
	}
	for _, end := range []string{".yes", ".no"} {
		if _, err := os.Stat(h.file(id, end)); err == nil {
			return fmt.Errorf("call %s is answered already", id)
		}
	}
	end := ".no"
	if release {
		end = ".yes"
	}
	return safe.AtomicWrite(h.file(id, end), nil, 0o600)
}
