package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"bartizan/internal/credential"
	"bartizan/internal/mcp"
	"bartizan/internal/safe"
)

// Line is one message in the trace.
type Line struct {
	Time    time.Time `json:"time"`
	Session string    `json:"session"`
	Agent   string    `json:"agent"`
	Server  string    `json:"server"`
	From    string    `json:"from"` // client, server, gateway
	Kind    string    `json:"kind"` // request, notification, answer, batch, malformed
	Method  string    `json:"method,omitempty"`
	ID      string    `json:"id,omitempty"`
	Tool    string    `json:"tool,omitempty"`
	Bytes   int       `json:"bytes"`
	Done    string    `json:"done"` // passed, flagged, masked, held, released, refused, dropped, decoyed
	Why     []string  `json:"why,omitempty"`
	Args    string    `json:"args,omitempty"` // secrets masked, cut
	Hash    string    `json:"hash,omitempty"` // of the message as it came, SHA-256: to compare with other records
	TookMS  float64   `json:"took_ms,omitempty"`
}

const maxArgs = 2048

// maskedArgs is what of arguments goes into trace and held calls.
func maskedArgs(args []byte) string {
	return safe.Clean(credential.Mask(string(args)), maxArgs)
}

// Log appends JSON lines to a file and begins a new one when it is large. Only its
// owner reads it. A line that cannot be written is an error of who wrote it.
type Log struct {
	name   string
	rotate int64
	mu     sync.Mutex
	file   *os.File
	size   int64
}

// OpenLog opens or makes the file.
func OpenLog(name string, rotate int64) (*Log, error) {
	l := &Log{name: name, rotate: rotate}
	return l, l.open()
}

func (l *Log) open() error {
	f, err := os.OpenFile(l.name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open log: %w", err), f.Close())
	}
	l.file, l.size = f, st.Size()
	return nil
}

func (l *Log) write(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(l.name), err)
	}
	data = append(data, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(data)) > l.rotate {
		if err := errors.Join(l.file.Close(), os.Rename(l.name, l.name+".1")); err != nil && !errors.Is(err, fs.ErrNotExist) { // another gateway may have been first
			return fmt.Errorf("begin a new %s: %w", filepath.Base(l.name), err)
		}
		if err := l.open(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(data)
	l.size += int64(n)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(l.name), err)
	}
	return nil
}

// Close ends the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

func hashOf(raw []byte) string { return mcp.Hash(raw) }
