package abuse

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"

	"bartizan/internal/safe"
)

// maxFile bounds what is read back, in bytes.
const maxFile = 64 << 20

type stored struct {
	Version int               `json:"version"`
	Habits  map[string]*habit `json:"habits"` // by key id
}

// Open reads what was learned of keys from a folder; "" keeps nothing. What is only
// counted over minutes and hours begins anew.
func Open(dir string, c Config) (*Watch, error) {
	w := &Watch{conf: c, seed: maphash.MakeSeed(), habits: map[string]*habit{}, actors: map[string]*actor{}, open: map[string]int{}}
	w.shared.bands = map[uint16][]uint16{}
	if dir == "" {
		return w, nil
	}
	w.path = filepath.Join(dir, "habits.json")
	f, err := os.Open(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read habits of keys: %w", err)
	}
	defer f.Close()
	raw, err := safe.ReadAll(f, maxFile, w.path)
	if err != nil {
		return nil, fmt.Errorf("read habits of keys: %w", err)
	}
	var s stored
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("read habits of keys: %s is damaged: remove it to learn anew: %w", w.path, err)
	}
	if s.Version != 1 {
		return nil, fmt.Errorf("read habits of keys: %s is of version %d, which this program does not know: remove it to learn anew", w.path, s.Version)
	}
	for k, h := range s.Habits {
		if h == nil || h.N < 0 || h.NewP < 0 || h.NewA < 0 || len(h.Prefixes) > maxPrefixes || len(h.Agents) > maxAgents || len(w.habits) >= maxKeys {
			return nil, fmt.Errorf("read habits of keys: %s is damaged: remove it to learn anew", w.path)
		}
		w.habits[k] = h
	}
	return w, nil
}

// Save writes what was learned since the last time.
func (w *Watch) Save() error {
	w.mu.Lock()
	if w.path == "" || !w.changed {
		w.mu.Unlock()
		return nil
	}
	raw, err := json.Marshal(stored{Version: 1, Habits: w.habits})
	w.changed = false
	w.mu.Unlock()
	if err == nil {
		err = safe.AtomicWrite(w.path, raw, 0o600)
	}
	if err != nil {
		w.mu.Lock()
		w.changed = true
		w.mu.Unlock()
		return fmt.Errorf("write habits of keys: %w", err)
	}
	return nil
}
