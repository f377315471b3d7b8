package budget

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bartizan/internal/safe"
)

// Kinds of lines in the journal.
const (
	opAccount = "account" // how an account stood when the journal was written anew
	opReserve = "reserve"
	opSettle  = "settle"
	opTool    = "tool"
	opKey     = "key" // baseline of a key
)

// entry is one line.
type entry struct {
	Op       string    `json:"op"`
	ID       uint64    `json:"id,omitempty"`
	At       int64     `json:"at,omitempty"` // Unix milliseconds
	Who      Who       `json:"who,omitzero"`
	Spend    Spend     `json:"spend,omitzero"`
	Account  *Used     `json:"account,omitempty"`
	Baseline *baseline `json:"baseline,omitempty"`
}

// journal is the file behind a book.
type journal struct {
	file  *os.File
	lines int
	buf   bytes.Buffer
}

// rewriteAfter is how many lines the journal grows by before it is written anew.
const rewriteAfter = 50_000

// maxLine bounds one line that is read back.
const maxLine = 64 << 10

func (j *journal) write(e entry) error {
	if j.file == nil {
		return errors.New("write budget: the journal is closed")
	}
	j.buf.Reset()
	if err := json.NewEncoder(&j.buf).Encode(e); err != nil {
		return fmt.Errorf("write budget: %w", err)
	}
	if _, err := j.file.Write(j.buf.Bytes()); err != nil {
		return fmt.Errorf("write budget: %w", err)
	}
	j.lines++
	return nil
}

// Open reads the journal in a folder. Exchanges that were under way when it ended
// count as they were reserved.
func Open(dir string, limits []Limit, now time.Time) (*Book, error) {
	b := &Book{limits: slices.Clone(limits), path: filepath.Join(dir, "budget.jsonl"), accounts: map[accountKey]*account{}, open: map[uint64]*Hold{}, alarms: map[string]*baseline{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open budgets: %w", err)
	}
	f, err := os.Open(b.path)
	switch {
	case err == nil:
		err = b.replay(f)
		f.Close()
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("read budgets: %w", err)
	}
	for id, h := range b.open { // nothing runs any more
		b.charge(&h.who, Spend{}, h.at, 0, -1)
		delete(b.open, id)
	}
	for _, a := range b.accounts {
		a.running = 0
	}
	return b, b.rewrite(now)
}

// replay folds what a journal says.
func (b *Book) replay(r io.Reader) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), maxLine)
	bad := 0
	for s.Scan() {
		var e entry
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			bad++ // the last line, cut off by the end of the process
			continue
		}
		b.apply(e)
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("%s: %w", b.path, err)
	}
	if bad > 1 {
		return fmt.Errorf("%d lines of %s are damaged; repair them, or remove the file to begin anew", bad, b.path)
	}
	return nil
}

func (b *Book) apply(e entry) {
	at := time.UnixMilli(e.At)
	switch e.Op {
	case opAccount:
		if u := e.Account; u != nil {
			per, err := time.ParseDuration(u.Per)
			if err == nil {
				b.accounts[accountKey{u.By, u.Name, per}] = &account{label: u.Label, from: u.From, requests: u.Requests, tokens: u.Tokens, micros: int64(u.Dollars * 1e6)}
			}
		}
	case opReserve:
		h := &Hold{id: e.ID, who: e.Who, reserved: e.Spend, at: at, book: b}
		b.open[e.ID], b.nextID = h, max(b.nextID, e.ID)
		b.charge(&h.who, e.Spend, at, 1, 1)
		b.observe(e.Who.Key, at, 0)
	case opSettle:
		h := b.open[e.ID]
		if h == nil {
			return
		}
		delete(b.open, e.ID)
		b.charge(&h.who, Spend{Tokens: e.Spend.Tokens - h.reserved.Tokens, Micros: e.Spend.Micros - h.reserved.Micros, Priced: e.Spend.Priced}, h.at, 0, -1)
		b.observe(h.who.Key, h.at, e.Spend.Tokens)
	case opTool:
		b.charge(&e.Who, Spend{}, at, 1, 0)
	case opKey:
		if e.Baseline != nil && e.Who.Key != "" {
			b.alarms[e.Who.Key] = e.Baseline
		}
	}
}

// tidy writes the journal anew when it has grown. The caller holds mu.
func (b *Book) tidy(now time.Time) error {
	if b.log.lines < rewriteAfter && len(b.accounts) <= maxAccounts {
		return nil
	}
	return b.rewrite(now)
}

// rewrite replaces the journal by how things stand.
func (b *Book) rewrite(now time.Time) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for k, a := range b.accounts {
		if a.running == 0 && !a.from.Add(k.per).After(now) {
			delete(b.accounts, k)
			continue
		}
		u := used(k, a)
		for _, h := range b.open { // they are written below
			if h.who.name(k.by) == k.name && !h.at.Truncate(k.per).Before(a.from) {
				u.Requests--
				u.Tokens -= h.reserved.Tokens
				if h.reserved.Priced {
					u.Dollars -= float64(h.reserved.Micros) / 1e6
				}
			}
		}
		if err := enc.Encode(entry{Op: opAccount, Account: &u}); err != nil {
			return fmt.Errorf("write budgets: %w", err)
		}
	}
	for key, base := range b.alarms {
		if err := enc.Encode(entry{Op: opKey, Who: Who{Key: key}, Baseline: base}); err != nil {
			return fmt.Errorf("write budgets: %w", err)
		}
	}
	for id, h := range b.open {
		if err := enc.Encode(entry{Op: opReserve, ID: id, At: h.at.UnixMilli(), Who: h.who, Spend: h.reserved}); err != nil {
			return fmt.Errorf("write budgets: %w", err)
		}
	}
	if err := safe.AtomicWrite(b.path, out.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write budgets: %w", err)
	}
	f, err := os.OpenFile(b.path, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open budgets: %w", err)
	}
	if b.log.file != nil {
		b.log.file.Close()
	}
	b.log.file, b.log.lines = f, 0
	return nil
}

func used(k accountKey, a *account) Used {
	return Used{By: k.by, Name: k.name, Label: a.label, Per: k.per.String(), From: a.from, Requests: a.requests, Tokens: a.tokens, Dollars: float64(a.micros) / 1e6, Running: a.running, Window: k.per}
}

// List returns the accounts of windows that are not over.
func (b *Book) List(now time.Time) []Used {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []Used{}
	for k, a := range b.accounts {
		if a.running > 0 || a.from.Add(k.per).After(now) {
			u := used(k, a)
			for i := range b.limits {
				if l := &b.limits[i]; l.By == k.by && l.Per.D() == k.per && l.names(k.name, a.label) {
					u.Limit = l
					break
				}
			}
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(x, y Used) int { return strings.Compare(x.By+"\x00"+x.Name+x.Per, y.By+"\x00"+y.Name+y.Per) })
	return out
}

// Close writes what the system still holds to the disk.
func (b *Book) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.log.file == nil {
		return nil
	}
	again := b.rewrite(time.Now())
	f := b.log.file
	b.log.file = nil
	return errors.Join(again, f.Sync(), f.Close())
}
