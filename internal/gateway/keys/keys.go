// Package keys makes, stores and checks the keys a gateway gives to its
// clients. A key is 256 random bits, of which only the SHA-256 is kept: a stolen
// file opens no door, and a provider's key never leaves the gateway.
//
// The keys are one small file, so that they can be made and revoked while a
// gateway runs, and without one. It is written by whoever holds its lock.
package keys

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"bartizan/internal/credential"
	"bartizan/internal/observe"
	"bartizan/internal/safe"
)

// Prefix starts every key, so that scanners find one that was committed or
// pasted by mistake (pattern: bzg_[a-z2-7]{10}_[a-z2-7]{52}).
const Prefix = "bzg_"

const form credential.Own = Prefix

// Bounds.
const (
	maxKeys     = 10_000
	maxFile     = 8 << 20
	maxName     = 64
	MaxLifetime = 2 * 366 * 24 * time.Hour
	lookEvery   = 500 * time.Millisecond // at the file, when somebody comes
)

// Key is what is kept about one: everything but the secret.
type Key struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	User    string    `json:"user,omitempty"` // whom budgets of users count it under
	Hash    string    `json:"hash"`           // SHA-256 of the whole text, hex
	Routes  []string  `json:"routes,omitempty"`
	Models  []string  `json:"models,omitempty"`
	Canary  bool      `json:"canary,omitempty"` // bait: nobody has business using it
	Like    string    `json:"like,omitempty"`   // of bait: the provider whose keys it looks like; "": ours
	Hint    string    `json:"hint,omitempty"`   // of bait like a provider's: how decoys report it, never more than a third of it
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Revoked time.Time `json:"revoked,omitzero"`
}

// State is one word for people: valid, expired, revoked or canary.
func (k *Key) State(now time.Time) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked"
	case !now.Before(k.Expires):
		return "expired"
	case k.Canary:
		return "canary"
	}
	return "valid"
}

// Errors of Check. The client is told none of the differences.
var (
	ErrMissing   = errors.New("no key")
	ErrMalformed = errors.New("not a key of this gateway")
	ErrUnknown   = errors.New("unknown key")
	ErrExpired   = errors.New("key has expired")
	ErrRevoked   = errors.New("key was revoked")
	ErrCanary    = errors.New("key is a canary")
)

// ErrInput is wrapped by what the caller asked for wrongly.
var ErrInput = errors.New("bad key request")

type file struct {
	Version int   `json:"version"`
	Keys    []Key `json:"keys"`
}

// Book is the keys of a file. It may be used concurrently.
type Book struct {
	path string

	mu     sync.RWMutex
	by     map[string]*Key
	baits  map[string]*Key // bait that looks like a provider's key, by hash
	lures  map[string]*Key // bait of others, by hash
	stamp  stamp
	looked time.Time
	err    error // of the last look; the keys before stay in force
}

type stamp struct {
	at   time.Time
	size int64
}

// Open reads the keys in a folder; none is no mistake.
func Open(dir string) (*Book, error) {
	b := &Book{path: filepath.Join(dir, "keys.json"), by: map[string]*Key{}}
	b.look(time.Now(), true)
	return b, b.err
}

// look reads the file again when it has changed.
func (b *Book) look(now time.Time, must bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := now.Sub(b.looked); !must && d >= 0 && d < lookEvery {
		return
	}
	b.looked = now
	info, err := os.Stat(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		b.by, b.baits, b.stamp, b.err = map[string]*Key{}, nil, stamp{}, nil
		return
	}
	if err != nil {
		b.err = fmt.Errorf("read keys: %w", err)
		return
	}
	if s := (stamp{info.ModTime(), info.Size()}); s != b.stamp || b.err != nil {
		all, err := read(b.path)
		if b.err = err; err != nil {
			return
		}
		b.by, b.baits, b.stamp = make(map[string]*Key, len(all)), map[string]*Key{}, s
		for i := range all {
			b.by[all[i].ID] = &all[i]
			if all[i].Like != "" {
				b.baits[all[i].Hash] = &all[i]
			}
		}
	}
}

func read(path string) ([]Key, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	defer f.Close()
	data, err := safe.ReadAll(f, maxFile, path)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	var x file
	if err := json.Unmarshal(data, &x); err != nil || x.Version != 1 {
		return nil, fmt.Errorf("read keys: %s is no file of keys of this version (%w); restore it from a backup or remove it and make new keys", path, errors.Join(err, fmt.Errorf("version %d", x.Version)))
	}
	return x.Keys, nil
}

// Check tells whose a key is. A key whose text is right and that may not be
// used any more comes with its error.
func (b *Book) Check(text string, now time.Time) (*Key, error) {
	if text == "" {
		return nil, ErrMissing
	}
	id, ok := form.ID(text)
	if !ok {
		return b.bait(text, now)
	}
	k := b.find(id, now)
	sum := credential.Hash(text)
	if k == nil {
		return nil, ErrUnknown
	}
	if subtle.ConstantTimeCompare([]byte(sum), []byte(k.Hash)) != 1 {
		return nil, ErrUnknown
	}
	switch k.State(now) {
	case "revoked":
		return k, ErrRevoked
	case "expired":
		return k, ErrExpired
	case "canary":
		return k, ErrCanary
	}
	return k, nil
}

// Public is what a key is called where others read it, bzg_ID: made of its whole
// text, its id, or that name. Anything else stays as it is.
func Public(s string) string {
	if id, ok := form.ID(s); ok {
		return Prefix + id
	}
	if len(s) == credential.OwnID && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == "" {
		return Prefix + s
	}
	return s
}

// Lure adds bait that others have laid out, such as the keys in the decoys' files:
// text → what it is. Call it before Check.
func (b *Book) Lure(texts map[string]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lures = make(map[string]*Key, len(texts))
	for text, what := range texts {
		b.lures[credential.Hash(text)] = &Key{Name: what, Canary: true, Hint: observe.KeyID(text)}
	}
}

// bait tells whether a key that is none of ours is bait that looks like a
// provider's. Like find, it looks at the file once more before it says no: bait
// counts from the moment it is made.
func (b *Book) bait(text string, now time.Time) (*Key, error) {
	sum := credential.Hash(text)
	b.mu.RLock()
	k, age := b.laid(sum, now), now.Sub(b.looked)
	b.mu.RUnlock()
	if k == nil || age < 0 || age >= lookEvery {
		b.look(now, k == nil)
		b.mu.RLock()
		k = b.laid(sum, now)
		b.mu.RUnlock()
	}
	if k != nil {
		return k, ErrCanary
	}
	return nil, ErrMalformed
}

// laid is the bait with a hash; the caller holds the lock.
func (b *Book) laid(sum string, now time.Time) *Key {
	if k := b.baits[sum]; k != nil && k.State(now) == "canary" {
		return k
	}
	return b.lures[sum]
}

// find is the key with an id. One that is not known may have been made just now.
func (b *Book) find(id string, now time.Time) *Key {
	b.mu.RLock()
	k, age := b.by[id], now.Sub(b.looked)
	b.mu.RUnlock()
	if k != nil && age >= 0 && age < lookEvery {
		return k
	}
	b.look(now, k == nil)
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.by[id]
}

// Err is why the file cannot be read; the keys that were read before stay in force.
func (b *Book) Err() error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.err
}

// Create makes a key in the folder and returns its text, which is known to
// nobody afterwards. k has what the caller chooses; the rest is filled in.
func Create(dir string, k Key, life time.Duration, now time.Time) (Key, string, error) {
	if life < time.Second || life > MaxLifetime {
		return k, "", fmt.Errorf("%w: lifetime %v: between 1s and %v", ErrInput, life, MaxLifetime)
	}
	for what, s := range map[string]string{"name": k.Name, "user": k.User} {
		if len(s) > maxName || what == "name" && s == "" || strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-_.@") != "" {
			return k, "", fmt.Errorf("%w: %s: 1 to %d letters, digits and - _ . @", ErrInput, what, maxName)
		}
	}
	id, text := form.Mint()
	if k.Like != "" {
		var err error
		if text, err = mintLike(k.Like); err != nil {
			return k, "", err
		}
		if !k.Canary {
			return k, "", fmt.Errorf("%w: only bait looks like a provider's key", ErrInput)
		}
		k.Hint = observe.KeyID(text)
	}
	k.ID, k.Hash, k.Created, k.Expires, k.Revoked = id, credential.Hash(text), now.UTC().Truncate(time.Second), now.Add(life).UTC().Truncate(time.Second), time.Time{}
	err := change(dir, func(all []Key) ([]Key, error) {
		for i := range all {
			if all[i].Name == k.Name && (all[i].State(now) == "valid" || all[i].State(now) == "canary") {
				return nil, fmt.Errorf("%w: a valid key is named %q (%s); choose another name or revoke it first", ErrInput, k.Name, all[i].ID)
			}
		}
		if len(all) >= maxKeys {
			all = slices.DeleteFunc(all, func(x Key) bool { s := x.State(now); return s == "expired" || s == "revoked" })
		}
		if len(all) >= maxKeys {
			return nil, fmt.Errorf("%w: there are %d valid keys; revoke some first", ErrInput, len(all))
		}
		return append(all, k), nil
	})
	return k, dressed(k.Like, text), err
}

// Revoke ends a key, by id or by the name of a valid one. Gateways refuse it
// within a second.
func Revoke(dir, idOrName string, now time.Time) (k Key, err error) {
	err = change(dir, func(all []Key) ([]Key, error) {
		at := slices.IndexFunc(all, func(x Key) bool { return x.ID == idOrName })
		if at < 0 {
			at = slices.IndexFunc(all, func(x Key) bool {
				return x.Name == idOrName && (x.State(now) == "valid" || x.State(now) == "canary")
			})
		}
		if at < 0 {
			return nil, fmt.Errorf("%w: %.64q is neither a key's id nor the name of a valid one", ErrInput, idOrName)
		}
		if all[at].Revoked.IsZero() {
			all[at].Revoked = now.UTC().Truncate(time.Second)
		}
		k = all[at]
		return all, nil
	})
	return k, err
}

// List returns the keys of a folder, the newest first, without their hashes.
func List(dir string) ([]Key, error) {
	all, err := read(filepath.Join(dir, "keys.json"))
	slices.Reverse(all)
	for i := range all {
		all[i].Hash = ""
	}
	return all, err
}

// change reads, changes and writes the file under its lock.
func change(dir string, fn func([]Key) ([]Key, error)) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "keys.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock keys: %w", err)
	}
	defer lock.Close() // releases it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock keys: %w", err)
	}
	path := filepath.Join(dir, "keys.json")
	all, err := read(path)
	if err != nil {
		return err
	}
	if all, err = fn(all); err != nil {
		return err
	}
	data, err := json.MarshalIndent(file{1, all}, "", " ")
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	if err := safe.AtomicWrite(path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	return nil
}
