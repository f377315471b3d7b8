package gateway

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"bartizan/internal/guard"
	"bartizan/internal/guard/wire"
	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// Outcome is how an exchange ended.
type Outcome string

// Outcomes.
const (
	Forwarded Outcome = "forwarded" // the answer went to the client, as it was or rewritten
	Refused   Outcome = "refused"   // by us; Code says why
	Failed    Outcome = "failed"    // the upstream did not do its part
	Abandoned Outcome = "abandoned" // the client went away
)

// Record is one audit line: what was asked for, what each inspector did or that
// it did not run, and what became of it. It holds no text of the exchange.
type Record struct {
	ID          model.ULID     `json:"id"`
	Time        time.Time      `json:"time"`
	Took        float64        `json:"took_ms"`
	Route       string         `json:"route,omitempty"`
	Peer        string         `json:"peer"` // address of the client
	Key         string         `json:"key,omitempty"`
	KeyName     string         `json:"key_name,omitempty"`
	User        string         `json:"user,omitempty"` // of the key, or as the request names its end user
	Method      string         `json:"method"`
	Path        string         `json:"path"` // without query
	Model       string         `json:"model,omitempty"`
	Stream      bool           `json:"stream,omitempty"`
	Outcome     Outcome        `json:"outcome"`
	Status      int            `json:"status"` // given to the client
	Code        string         `json:"code,omitempty"`
	Action      Action         `json:"action"`
	Category    guard.Category `json:"category,omitempty"`
	Reason      string         `json:"reason,omitempty"`
	Decision    model.ULID     `json:"decision,omitzero"` // for which the client was refused
	Person      *Person        `json:"person,omitempty"`  // who was asked about it, the last time when it was twice
	Upstream    int            `json:"upstream_status,omitempty"`
	Request     int            `json:"request_bytes"`
	Answer      int64          `json:"answer_bytes"`
	Usage       *wire.Usage    `json:"usage,omitempty"` // as the provider counted; missing: it did not say
	Dollars     *float64       `json:"dollars,omitempty"`
	Unpriced    bool           `json:"cost_unknown,omitempty"` // the price or the usage is not known: not the same as nothing
	Found       []Found        `json:"found,omitempty"`
	Masked      int            `json:"masked,omitempty"`   // pieces that were replaced
	Restored    int            `json:"restored,omitempty"` // of them, in the answer
	Untold      int            `json:"untold,omitempty"`   // places where a known secret stood that the model was not told
	Inspections []Inspection   `json:"inspections,omitempty"`
	More        int            `json:"more_inspections,omitempty"` // that found nothing and are not listed
	Media       int            `json:"media,omitempty"`            // pieces nobody looked into
	Unknown     []string       `json:"unknown,omitempty"`          // what was not understood, and so not looked at
}

// States is what every inspector did with one text: clean, found, skipped (it has
// nothing to look for), off (it is not asked in this direction), or failed with the
// reason.
type States struct {
	reports []guard.Report
	off     []string
}

// MarshalJSON writes an object of names and states.
func (s States) MarshalJSON() ([]byte, error) {
	var b line
	s.encode(&b)
	return b, nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *States) UnmarshalJSON(b []byte) error {
	var m map[string]string
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	for _, name := range sorted(m) {
		if m[name] == "off" {
			s.off = append(s.off, name)
			continue
		}
		state, why, _ := strings.Cut(m[name], ": ")
		s.reports = append(s.reports, guard.Report{Name: name, State: guard.State(state), Why: why})
	}
	return nil
}

// Of is the state of one inspector; "" when it is not listed.
func (s States) Of(name string) string {
	for i := range s.reports {
		if s.reports[i].Name == name {
			return string(s.reports[i].State)
		}
	}
	if slices.Contains(s.off, name) {
		return "off"
	}
	return ""
}

// Log is a file of audit lines. Each is written before its exchange's end is
// told to the client, and survives the end of the process.
type Log struct {
	path  string
	limit int64

	mu   sync.Mutex
	file *os.File
	size int64
	buf  []byte
}

// OpenLog opens or makes the file. When it has reached limit bytes it is renamed
// to "<path>.1", in place of the one before.
func OpenLog(path string, limit int64) (*Log, error) {
	l := &Log{path: path, limit: limit}
	return l, l.open()
}

func (l *Log) open() (err error) {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	if l.file, err = os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600); err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	l.size = info.Size()
	if l.size > 0 { // a line that a crash cut off gets its end
		var last [1]byte
		if _, err := l.file.ReadAt(last[:], l.size-1); err == nil && last[0] != '\n' {
			n, err := l.file.WriteString("\n")
			l.size += int64(n)
			return err
		}
	}
	return nil
}

// Path is where the lines are.
func (l *Log) Path() string { return l.path }

// Write appends one line.
func (l *Log) Write(r *Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return fmt.Errorf("write audit line: %s is closed", l.path)
	}
	if l.size >= l.limit {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	l.buf = append(r.encode(l.buf[:0]), '\n')
	n, err := l.file.Write(l.buf)
	l.size += int64(n)
	if err != nil {
		return fmt.Errorf("write audit line to %s: %w", l.path, err)
	}
	return nil
}

func (l *Log) rotate() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close audit log: %w", err)
	}
	l.file = nil
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		return fmt.Errorf("put the full audit log aside: %w", err)
	}
	return l.open()
}

// Close writes what the system still holds to the disk.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	if err := f.Sync(); err != nil {
		f.Close()
		return fmt.Errorf("close audit log: %w", err)
	}
	return f.Close()
}

// clean is safe.Clean, which has nothing to do for most texts. The text is a copy: it does
// not keep the request alive that it stood in.
func clean(s string, n int) string {
	if len(s) > n {
		return safe.Clean(s, n)
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return safe.Clean(s, n)
		}
	}
	return strings.Clone(s)
}
