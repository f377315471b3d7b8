// Package ssh is a honeypot that looks like the OpenSSH of the persona's
// distribution: real key exchanges and host keys, every way of logging in
// captured, and after some guessing a shell on an emulated host with exec, SCP
// and SFTP. Wishes to use the host as a relay are recorded and refused.
//
// It decides nothing about who is let in (package login does) and runs nothing
// (package shell pretends to).
package ssh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/login"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/decoy/shell"
)

// Config of the decoy.
type Config struct {
	// Version overrides the identification string of the persona, such as
	// "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3".
	Version string       `yaml:"version"`
	Login   login.Policy `yaml:"login"`
	// AcceptKeys lets in whoever holds the private half of any public key.
	AcceptKeys bool `yaml:"accept_keys"`
	// Interactive also offers keyboard-interactive, as sshd with PAM prompts does.
	Interactive bool `yaml:"keyboard_interactive"`
	MaxAuth     int  `yaml:"max_auth_tries"` // failed attempts of one connection
	// FailDelay is how long a wrong password takes; up to half as much again is added.
	FailDelay  time.Duration `yaml:"fail_delay"`
	LoginGrace time.Duration `yaml:"login_grace_time"` // until a visitor must have logged in
	Channels   int           `yaml:"max_sessions"`     // at once per connection
	Shell      ShellLimits   `yaml:"shell"`
}

// ShellLimits are the limits of the emulated host that depend on the memory
// of the sensor; 0 is the shell's default.
type ShellLimits struct {
	FSBytes   int64         `yaml:"fs_bytes"`   // of all files a visitor may write
	FileBytes int64         `yaml:"file_bytes"` // of one file
	Time      time.Duration `yaml:"time"`       // of one command, uploads through it included
}

// Default is what sshd_config(5) gives: MaxAuthTries 6, LoginGraceTime 120,
// MaxSessions 10.
func Default() Config {
	return Config{
		Login: login.Default(), Interactive: true, MaxAuth: 6, FailDelay: 40 * time.Millisecond, LoginGrace: 2 * time.Minute,
		Channels: 10, Shell: ShellLimits{Time: time.Minute},
	}
}

// New makes the decoy.
func New(c Config) (decoy.Service, error) {
	gate, err := login.New(c.Login)
	if err != nil {
		return nil, err
	}
	switch {
	case c.MaxAuth < 1 || c.MaxAuth > 100:
		return nil, errors.New("check ssh decoy: max_auth_tries must be 1 to 100")
	case c.Channels < 1 || c.Channels > 100:
		return nil, errors.New("check ssh decoy: max_sessions must be 1 to 100")
	case c.LoginGrace <= 0 || c.FailDelay < 0:
		return nil, errors.New("check ssh decoy: login_grace_time must be positive and fail_delay not negative")
	case c.Version != "" && !validVersion(c.Version):
		return nil, fmt.Errorf("check ssh decoy: version %q must start with SSH-2.0- and be at most 253 printable characters", c.Version)
	}
	return &service{conf: c, gate: gate}, nil
}

func validVersion(v string) bool {
	if len(v) > 253 || len(v) < 9 || v[:8] != "SSH-2.0-" {
		return false
	}
	for _, c := range []byte(v) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

type service struct {
	conf Config
	gate *login.Gate
}

// identity is what all visitors of a persona share.
type identity struct {
	version string
	algos   algorithms
	keys    []ssh.Signer
	err     error
}

func (v *service) identity(p *persona.Persona) *identity {
	return p.Shared("ssh identity "+v.conf.Version, func() any {
		id := &identity{version: v.conf.Version}
		if id.version == "" {
			id.version = p.SSH.Banner
		}
		id.algos = algorithmsOf(id.version)
		id.keys, id.err = hostKeys(p, id.algos)
		return id
	}).(*identity)
}

// Serve implements decoy.Service.
func (v *service) Serve(ctx context.Context, s *decoy.Session) error {
	id := v.identity(s.Persona())
	if id.err != nil {
		return id.err
	}
	w, err := takeWire(s)
	if err != nil {
		return err
	}
	defer w.shut()
	if !w.greet(id.version) {
		return nil
	}
	c := newConn(ctx, v, s, w, id)
	w.handed = true
	grace := time.AfterFunc(v.conf.LoginGrace, w.hangUp)
	server, channels, requests, err := ssh.NewServerConn(w, c.config(id))
	grace.Stop()
	if err != nil {
		return nil // the visitor left, failed to log in, or speaks something else
	}
	c.serve(server, channels, requests)
	return nil
}

func (v *service) limits() shell.Limits {
	return shell.Limits{FSBytes: v.conf.Shell.FSBytes, FileBytes: v.conf.Shell.FileBytes, Time: v.conf.Shell.Time}
}
