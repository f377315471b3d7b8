package token

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"bartizan/internal/bus"
	"bartizan/internal/credential"
)

// Bounds of a book.
const (
	maxTokens   = 1000
	maxName     = 64
	MaxLifetime = 366 * 24 * time.Hour // no token lives longer
	flushEvery  = time.Minute          // between writes of last-used times
)

// ErrInput is wrapped by what the caller asked for wrongly; ErrNotFound says
// that there is no such token.
var (
	ErrInput    = errors.New("bad token request")
	ErrNotFound = errors.New("no such token")
)

// Store is where tokens survive a restart; *bus.KV[Token] is one.
type Store interface {
	Put(ctx context.Context, key string, t Token) (uint64, error)
	Delete(ctx context.Context, key string) error
	All(ctx context.Context, fn func(bus.Entry[Token]) error) error
}

// Book knows every token. It may be used concurrently; it is the only writer
// of its store.
type Book struct {
	store Store
	log   *slog.Logger

	mu sync.Mutex
	by map[string]*entry
}

type entry struct {
	t     Token
	gone  chan struct{} // closed by revocation
	dirty bool          // used since it was last written
}

// Open reads what the store has.
func Open(ctx context.Context, s Store, log *slog.Logger) (*Book, error) {
	b := &Book{store: s, log: log, by: map[string]*entry{}}
	err := s.All(ctx, func(e bus.Entry[Token]) error {
		x := &entry{t: e.Value, gone: make(chan struct{})}
		if !x.t.Revoked.IsZero() {
			close(x.gone)
		}
		b.by[e.Key] = x
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	return b, nil
}

// Create makes a token and returns its text, which is known to nobody
// afterwards.
func (b *Book) Create(ctx context.Context, now time.Time, name string, scope Scope, life time.Duration, by string) (Token, string, error) {
	if _, err := ParseScope(string(scope)); err != nil {
		return Token{}, "", fmt.Errorf("%w: scope %.32q: one of report, read, operate, admin", ErrInput, string(scope))
	}
	if life < time.Second || life > MaxLifetime {
		return Token{}, "", fmt.Errorf("%w: lifetime %v: between 1s and %v", ErrInput, life, MaxLifetime)
	}
	if err := checkName(name); err != nil {
		return Token{}, "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.by {
		if e.t.Name == name && e.t.State(now) == "valid" {
			return Token{}, "", fmt.Errorf("%w: a valid token is named %q (%s); choose another name or revoke it first", ErrInput, name, e.t.ID)
		}
	}
	if err := b.room(ctx, now); err != nil {
		return Token{}, "", err
	}
	id, text := form.Mint()
	t := Token{ID: id, Name: name, Scope: scope, Hash: credential.Hash(text), Created: now.UTC(), Expires: now.Add(life).UTC(), By: by}
	if _, err := b.store.Put(ctx, id, t); err != nil {
		return Token{}, "", fmt.Errorf("store token: %w", err)
	}
	b.by[id] = &entry{t: t, gone: make(chan struct{})}
	return t, text, nil
}

func checkName(s string) error {
	if s == "" || len(s) > maxName {
		return fmt.Errorf("%w: the name must have 1 to %d characters", ErrInput, maxName)
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return fmt.Errorf("%w: the name may have letters, digits, '-', '_' and '.' only", ErrInput)
		}
	}
	return nil
}

// room forgets the token that has been dead the longest when there are too many.
func (b *Book) room(ctx context.Context, now time.Time) error {
	if len(b.by) < maxTokens {
		return nil
	}
	var oldest *entry
	for _, e := range b.by {
		if e.t.State(now) != "valid" && (oldest == nil || e.t.Created.Before(oldest.t.Created)) {
			oldest = e
		}
	}
	if oldest == nil {
		return fmt.Errorf("%w: there are %d valid tokens; revoke some first", ErrInput, len(b.by))
	}
	if err := b.store.Delete(ctx, oldest.t.ID); err != nil {
		return fmt.Errorf("forget an old token: %w", err)
	}
	delete(b.by, oldest.t.ID)
	return nil
}

// Revoke ends a token, by id or by the name of a valid one. It is refused from
// this moment; an error of the store means that it would come back at the next
// start.
func (b *Book) Revoke(ctx context.Context, now time.Time, idOrName string) (Token, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.by[idOrName]
	if e == nil {
		for _, x := range b.by {
			if x.t.Name == idOrName && x.t.State(now) == "valid" {
				e = x
			}
		}
	}
	if e == nil {
		return Token{}, fmt.Errorf("%w: %.64q is neither a token's id nor the name of a valid one", ErrNotFound, idOrName)
	}
	if e.t.Revoked.IsZero() {
		e.t.Revoked = now.UTC()
		close(e.gone)
	}
	if _, err := b.store.Put(ctx, e.t.ID, e.t); err != nil {
		return e.t, fmt.Errorf("refused from now on, but the revocation could not be stored and would be forgotten at a restart; revoke it again: %w", err)
	}
	e.dirty = false
	return e.t, nil
}

// List returns all tokens, the newest first, without their hashes.
func (b *Book) List() []Token {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Token, 0, len(b.by))
	for _, e := range b.by {
		t := e.t
		t.Hash = ""
		out = append(out, t)
	}
	slices.SortFunc(out, func(x, y Token) int { return cmp.Or(y.Created.Compare(x.Created), cmp.Compare(x.ID, y.ID)) })
	return out
}

// Grant is a checked token.
type Grant struct {
	ID, Name string
	Scope    Scope
	Expires  time.Time
	Gone     <-chan struct{} // closed when it is revoked
}

// Check tells who a token's text belongs to. Its time tells nothing about
// stored tokens: an unknown id is compared too.
func (b *Book) Check(text string, now time.Time) (Grant, error) {
	id, ok := form.ID(text)
	if !ok {
		return Grant{}, ErrMalformed
	}
	sum := credential.Hash(text)
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.by[id]
	if e == nil {
		same(sum, credential.Hash(""))
		return Grant{}, ErrUnknown
	}
	if !same(sum, e.t.Hash) {
		return Grant{}, ErrUnknown
	}
	switch e.t.State(now) {
	case "revoked":
		return Grant{}, ErrRevoked
	case "expired":
		return Grant{}, ErrExpired
	}
	if now.Sub(e.t.LastUsed) >= time.Second {
		e.t.LastUsed, e.dirty = now.UTC(), true
	}
	return Grant{ID: id, Name: e.t.Name, Scope: e.t.Scope, Expires: e.t.Expires, Gone: e.gone}, nil
}

// Run writes down when tokens were last used, once a minute and at the end.
func (b *Book) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			b.flush(last)
			return nil
		case <-tick.C:
			b.flush(ctx)
		}
	}
}

// flush holds the lock while it writes, so that no write undoes a revocation;
// a write takes microseconds and there are at most maxTokens.
func (b *Book) flush(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, e := range b.by {
		if !e.dirty {
			continue
		}
		if _, err := b.store.Put(ctx, id, e.t); err != nil {
			b.log.Warn("cannot write when a token was last used; trying again", "token", id, "error", err)
			return
		}
		e.dirty = false
	}
}
