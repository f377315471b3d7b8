// Package token makes, stores and checks the keys of the HTTP API. A token is
// 256 random bits; only its SHA-256 is kept, so a stolen data folder opens no
// door. A slow password hash would add nothing: there is no dictionary of
// 256-bit random numbers, and it would let strangers spend this node's CPU.
//
// It does not speak HTTP and knows no operation; it answers one question: who
// is this, and how much may they do.
package token

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	"bartizan/internal/credential"
)

// Prefix starts every token, so that scanners find one that was committed or
// pasted by mistake (pattern: bzt_[a-z2-7]{10}_[a-z2-7]{52}).
const Prefix = "bzt_"

const form credential.Own = Prefix

// Scope is how much a token allows. A larger one includes the smaller.
type Scope string

// The scopes, smallest first.
const (
	Read    Scope = "read"    // see everything the node knows, evidence included
	Operate Scope = "operate" // also change decisions
	Admin   Scope = "admin"   // also tokens and the audit log
	// Report is for gateways beside a node: it can tell what it has found and ask a
	// person, and can see and decide nothing. It is no part of read.
	Report Scope = "report"
)

// ParseScope reads a scope's name.
func ParseScope(s string) (Scope, error) {
	if rank(Scope(s)) == 0 && Scope(s) != Report {
		return "", fmt.Errorf("scope %.32q: one of report, read, operate, admin", s)
	}
	return Scope(s), nil
}

func rank(s Scope) int {
	switch s {
	case Read:
		return 1
	case Operate:
		return 2
	case Admin:
		return 3
	}
	return 0
}

// Allows tells whether a token with this scope may do what needs another.
// Unknown scopes, on either side, allow nothing.
func (s Scope) Allows(need Scope) bool {
	if need == Report {
		return s == Report || rank(s) >= rank(Operate)
	}
	return rank(need) > 0 && rank(s) >= rank(need)
}

// Token is what is kept about one: everything but the secret.
type Token struct {
	ID       string    `json:"id"` // the part after the prefix; safe to show and log
	Name     string    `json:"name"`
	Scope    Scope     `json:"scope"`
	Hash     string    `json:"hash"` // SHA-256 of the whole text, hex
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires"`
	Revoked  time.Time `json:"revoked,omitzero"`
	By       string    `json:"by"` // who made it
	LastUsed time.Time `json:"last_used,omitzero"`
}

// State is one word for people: valid, expired or revoked.
func (t *Token) State(now time.Time) string {
	switch {
	case !t.Revoked.IsZero():
		return "revoked"
	case !now.Before(t.Expires):
		return "expired"
	}
	return "valid"
}

// Errors of Check. The caller tells a stranger none of the differences.
var (
	ErrMalformed = errors.New("not a token")
	ErrUnknown   = errors.New("unknown token")
	ErrExpired   = errors.New("token has expired")
	ErrRevoked   = errors.New("token was revoked")
)

// Bearer returns the token in an Authorization header (RFC 6750 §2.1). The
// scheme's case does not matter; anything else but one space and the token is
// refused.
func Bearer(header string) (string, error) {
	scheme, text, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return "", ErrMalformed
	}
	if _, ok := form.ID(text); !ok {
		return "", ErrMalformed
	}
	return text, nil
}

// same compares two hashes without telling by its time where they differ.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
