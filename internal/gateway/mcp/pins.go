package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"bartizan/internal/mcp"
	"bartizan/internal/safe"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	pinsFile     = "pins.json"
	maxPinsFile  = 256 << 20
	maxPinned    = 2000 // tools of one server
	maxDiffLines = 1000
)

// Pin is a tool's definition as it was accepted, and as it is offered when that
// differs.
type Pin struct {
	Hash       string    `json:"hash"`                 // SHA-256 of the canonical form (RFC 8785); "" while nothing is accepted
	Definition string    `json:"definition,omitempty"` // canonical
	Since      time.Time `json:"since"`
	By         string    `json:"by"` // "first use" or "pin"
	Offered    string    `json:"offered,omitempty"`
	OfferedAt  time.Time `json:"offered_at,omitzero"`
}

// Changed says whether something else is offered than was accepted.
func (p Pin) Changed() bool { return p.Offered != "" }

// Pins are the accepted definitions of all servers, in a file that several gateways
// share. Its methods may be called from any goroutine and process.
type Pins struct {
	dir string
	mu  sync.Mutex
}

type pinned map[string]map[string]Pin // server → tool

// OpenPins checks that the file in the folder can be read.
func OpenPins(dir string) (*Pins, error) {
	p := &Pins{dir: dir}
	_, err := p.read()
	return p, err
}

func (p *Pins) read() (pinned, error) {
	name := filepath.Join(p.dir, pinsFile)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return pinned{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read pins: %w", err)
	}
	defer f.Close()
	data, err := safe.ReadAll(f, maxPinsFile, "file of pins")
	if err != nil {
		return nil, err
	}
	out := pinned{}
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("read pins: %s is damaged: put back a copy, or remove it and accept every definition anew", name)
	}
	return out, nil
}

// change runs f over the pins and writes them, alone among all processes.
func (p *Pins) change(f func(pinned) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	lock, err := os.OpenFile(filepath.Join(p.dir, "pins.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock pins: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock pins: %w", err)
	}
	all, err := p.read()
	if err != nil {
		return err
	}
	if err := f(all); err != nil {
		return err
	}
	data, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return fmt.Errorf("write pins: %w", err)
	}
	return safe.AtomicWrite(filepath.Join(p.dir, pinsFile), data, 0o600)
}

// verdict on one offered definition.
type pinVerdict struct {
	ok    bool
	known bool   // something was accepted before
	diff  string // of a changed one
}

// compare looks at what a server offers. With firstUse an unknown tool is accepted;
// otherwise it waits for a person.
func (p *Pins) compare(server string, tools []mcp.Tool, firstUse bool, now time.Time) (map[string]pinVerdict, error) {
	out := map[string]pinVerdict{}
	look := func(all pinned) (dirty bool, err error) {
		known := all[server]
		if known == nil {
			known = map[string]Pin{}
		}
		for _, t := range tools {
			c, err := t.Canonical()
			if err != nil {
				return false, err
			}
			hash := mcp.Hash(c)
			pin, seen := known[t.Name]
			switch {
			case seen && pin.Hash == hash:
				if pin.Offered != "" { // it is as it was again
					pin.Offered, pin.OfferedAt = "", time.Time{}
					known[t.Name], dirty = pin, true
				}
				out[t.Name] = pinVerdict{ok: true}
				continue
			case !seen && len(known) >= maxPinned:
				return false, fmt.Errorf("server %s has more than %d tools", server, maxPinned)
			case !seen && firstUse:
				known[t.Name] = Pin{Hash: hash, Definition: string(c), Since: now, By: "first use"}
				out[t.Name] = pinVerdict{ok: true}
			default:
				out[t.Name] = pinVerdict{known: pin.Hash != "", diff: Diff(pin.Definition, string(c))}
				if pin.Offered == string(c) {
					continue
				}
				pin.Offered, pin.OfferedAt = string(c), now
				known[t.Name] = pin
			}
			dirty = true
		}
		if dirty {
			all[server] = known
		}
		return dirty, nil
	}
	all, err := p.read() // most listings change nothing: no lock, no write
	if err != nil {
		return nil, err
	}
	dirty, err := look(all)
	if err != nil || !dirty {
		return out, err
	}
	clear(out)
	return out, p.change(func(all pinned) error { _, err := look(all); return err })
}

// others are the accepted tools of every server but one: name → servers.
func (p *Pins) others(server string) (map[string][]string, error) {
	all, err := p.read()
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for s, tools := range all {
		if s == server {
			continue
		}
		for name, pin := range tools {
			if pin.Hash != "" {
				out[name] = append(out[name], s)
			}
		}
	}
	return out, nil
}

// Accept makes what a server offers the accepted definition; without names, of all
// its tools. It returns the names of those that changed.
func (p *Pins) Accept(server string, names []string, now time.Time) (accepted []string, err error) {
	err = p.change(func(all pinned) error {
		known, ok := all[server]
		if !ok {
			return fmt.Errorf("nothing is known of a server %q: it has to be asked for its tools through the gateway once", safe.Clean(server, 60))
		}
		for _, n := range names {
			if _, ok := known[n]; !ok {
				return fmt.Errorf("server %s has never offered a tool %q", server, safe.Clean(n, 60))
			}
		}
		if len(names) == 0 {
			for n := range known {
				names = append(names, n)
			}
		}
		for _, n := range names {
			if pin := known[n]; pin.Offered != "" {
				known[n] = Pin{Hash: mcp.Hash([]byte(pin.Offered)), Definition: pin.Offered, Since: now, By: "pin"}
				accepted = append(accepted, n)
			}
		}
		return nil
	})
	sort.Strings(accepted)
	return accepted, err
}

// Listed is one pin for people and programs.
type Listed struct {
	Server string `json:"server"`
	Tool   string `json:"tool"`
	Pin
	Diff string `json:"diff,omitempty"` // from what was accepted to what is offered
}

// List returns every pin, by server and tool.
func (p *Pins) List() ([]Listed, error) {
	all, err := p.read()
	if err != nil {
		return nil, err
	}
	var out []Listed
	for server, tools := range all {
		for tool, pin := range tools {
			l := Listed{Server: server, Tool: tool, Pin: pin}
			if pin.Offered != "" {
				l.Diff = Diff(pin.Definition, pin.Offered)
			}
			out = append(out, l)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Server != out[j].Server {
			return out[i].Server < out[j].Server
		}
		return out[i].Tool < out[j].Tool
	})
	return out, nil
}

// Diff shows two definitions line by line: "-" was, "+" is. Characters that do not
// show are written as escapes.
func Diff(was, is string) string {
	a, b := lines(was), lines(is)
	if len(a) > maxDiffLines || len(b) > maxDiffLines {
		return fmt.Sprintf("%d lines became %d: too many to compare", len(a), len(b))
	}
	// The longest common subsequence, from the end.
	long := make([][]int16, len(a)+1)
	for i := range long {
		long[i] = make([]int16, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for k := len(b) - 1; k >= 0; k-- {
			if a[i] == b[k] {
				long[i][k] = long[i+1][k+1] + 1
			} else {
				long[i][k] = max(long[i+1][k], long[i][k+1])
			}
		}
	}
	var out strings.Builder
	for i, k := 0, 0; i < len(a) || k < len(b); {
		switch {
		case i < len(a) && k < len(b) && a[i] == b[k]:
			i, k = i+1, k+1
		case i < len(a) && (k == len(b) || long[i+1][k] >= long[i][k+1]):
			out.WriteString("-" + a[i] + "\n")
			i++
		default:
			out.WriteString("+" + b[k] + "\n")
			k++
		}
	}
	return out.String()
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	c := jsontext.Value(s)
	if c.Indent() != nil {
		return []string{"what is no JSON"}
	}
	return strings.Split(visible(string(c)), "\n")
}

// visible escapes what a terminal would not show, or would obey.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '\n' {
			b.WriteRune(r)
		} else if r == '\t' {
			b.WriteString("  ")
		} else if r < ' ' || r == 0x7f || mcp.Invisible(string(r)) > 0 {
			fmt.Fprintf(&b, "\\u{%x}", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
