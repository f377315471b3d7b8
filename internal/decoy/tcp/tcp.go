// Package tcp is a decoy for ports nothing else plays: it listens to what a
// visitor says first, names the protocol, and gives the shortest answer that a
// server of that protocol might give to a stranger.
//
// It reports the interaction and nothing more; whoever wants to know what an
// attacker does with a protocol needs a decoy that speaks it.
package tcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/persona"
)

// Config of the decoy.
type Config struct {
	// Banner is sent before the visitor says anything; empty for services that
	// wait. {host} stands for the persona's host name, \r\n are written as such.
	Banner string `yaml:"banner"`
	// Answer replies to the first bytes as their protocol suggests.
	Answer bool `yaml:"answer"`
	// Answers replaces the built-in reply to a protocol (http, tls, redis, …),
	// with the same placeholders as Banner.
	Answers map[string]string `yaml:"answers"`
	// Wait is how long a visitor may stay silent before the first byte.
	Wait time.Duration `yaml:"wait"`
	// Pause between bytes ends the conversation.
	Pause time.Duration `yaml:"pause"`
}

// Default answers what it recognises and says nothing by itself.
func Default() Config {
	return Config{Answer: true, Wait: 30 * time.Second, Pause: time.Second}
}

// maxHeard is how many bytes of a visitor are listened to.
const maxHeard = 4 << 10

// maxGuess is how many of them the guess is made from.
const maxGuess = 64

const maxText = 4 << 10 // of a configured reply

// New makes the decoy.
func New(c Config) (decoy.Service, error) {
	if c.Wait <= 0 || c.Pause <= 0 {
		return nil, errors.New("check tcp decoy: wait and pause must be longer than 0")
	}
	if len(c.Banner) > maxText {
		return nil, fmt.Errorf("check tcp decoy: banner of %d bytes, at most %d", len(c.Banner), maxText)
	}
	for name, text := range c.Answers {
		if !slices.Contains(decoy.Protocols(), name) {
			return nil, fmt.Errorf("check tcp decoy: answers: unknown protocol %q; known are %s", name, strings.Join(decoy.Protocols(), ", "))
		}
		if len(text) > maxText {
			return nil, fmt.Errorf("check tcp decoy: answers: %s has %d bytes, at most %d", name, len(text), maxText)
		}
	}
	return &service{conf: c}, nil
}

type service struct {
	conf Config
	made atomic.Pointer[replies]
}

// replies are those of one persona, made for its first visitor.
type replies struct {
	persona *persona.Persona
	banner  string
	answers map[string]string
}

func (v *service) replies(p *persona.Persona) *replies {
	if r := v.made.Load(); r != nil && r.persona == p {
		return r
	}
	r := &replies{persona: p, banner: fill(p, v.conf.Banner), answers: map[string]string{}}
	if v.conf.Answer {
		for name, text := range plausible(p) {
			r.answers[name] = text
		}
	}
	for name, text := range v.conf.Answers {
		r.answers[name] = fill(p, text)
	}
	v.made.Store(r)
	return r
}

// to is the reply to a visitor's first bytes, if there is one.
func (r *replies) to(head []byte) (string, bool) {
	text, ok := r.answers[decoy.GuessProtocol(head)]
	return text, ok && text != ""
}

// fill replaces the placeholders a configuration may use.
func fill(p *persona.Persona, text string) string {
	return strings.NewReplacer("{host}", p.Hostname, `\r`, "\r", `\n`, "\n").Replace(text)
}

// Serve implements decoy.Service.
func (v *service) Serve(_ context.Context, s *decoy.Session) error {
	said := v.replies(s.Persona())
	if said.banner != "" {
		_, _ = s.WriteString(said.banner) // a visitor that is gone is found out by the read
		if s.Flush() != nil {
			return nil
		}
	}
	s.Pause(v.conf.Wait)
	var head [maxGuess]byte
	seen, guessing := 0, true
	for heard := 0; heard < maxHeard; {
		r, err := s.Reader()
		if err != nil {
			return nil // silence, or the end
		}
		n := r.Buffered()
		if guessing {
			bytes, _ := r.Peek(min(n, maxGuess-seen)) // no error: they are there
			seen += copy(head[seen:], bytes)
			if text, ok := said.to(head[:seen]); ok {
				_, _ = s.WriteString(text)
				guessing = false
			}
			if guessing = guessing && seen < maxGuess; heard == 0 {
				s.Pause(v.conf.Pause)
			}
		}
		heard += n
		_, _ = r.Discard(n)
		if s.Flush() != nil {
			return nil
		}
	}
	s.Linger() // it has more to say; hanging up on it would take our answer back
	return nil
}
