package app

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"bartizan/internal/decoy/persona"
	"bartizan/internal/safe"
)

// identity is what a node is across restarts: the persona its decoys play and
// the key it signs leases with. Both are made at the first start.
type identity struct {
	persona persona.State
	key     ed25519.PrivateKey
	first   bool // made just now
}

func loadIdentity(data string, now time.Time) (id identity, err error) {
	file := filepath.Join(data, "persona.json")
	switch err = readJSON(file, &id.persona); {
	case errors.Is(err, fs.ErrNotExist):
		id.first = true
		if id.persona, err = persona.Create(now); err != nil {
			return id, fmt.Errorf("make persona: %w", err)
		}
		if err = writeJSON(file, id.persona); err != nil {
			return id, err
		}
	case err != nil:
		return id, fmt.Errorf("%w; restore it from a backup, or remove it to become a different host to attackers", err)
	}
	file = filepath.Join(data, "node.key")
	seed, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, id.key, err = ed25519.GenerateKey(nil); err != nil {
			return id, fmt.Errorf("make node key: %w", err)
		}
		if err = safe.AtomicWrite(file, id.key.Seed(), 0o600); err != nil {
			return id, fmt.Errorf("write node key: %w", err)
		}
	case err != nil:
		return id, fmt.Errorf("read node key: %w", err)
	case len(seed) != ed25519.SeedSize:
		return id, fmt.Errorf("read node key: %s has %d bytes instead of %d; remove it to make a new one", file, len(seed), ed25519.SeedSize)
	default:
		id.key = ed25519.NewKeyFromSeed(seed)
	}
	return id, nil
}

func readJSON(file string, v any) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := safe.ReadAll(f, 1<<20, file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

func writeJSON(file string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	if err := safe.AtomicWrite(file, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

func (id *identity) publicKey() ed25519.PublicKey {
	pub, ok := id.key.Public().(ed25519.PublicKey)
	if !ok {
		panic("BUG: an Ed25519 key has no Ed25519 public key")
	}
	return pub
}
