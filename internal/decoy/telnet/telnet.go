// Package telnet is a honeypot that looks like the telnetd of the persona's
// distribution in front of login(1): option negotiation, a login prompt, and
// after some guessing a shell on an emulated host. The loaders of Mirai and
// its relatives find what they expect.
//
// It decides nothing about who is let in (package login does) and runs nothing
// (package shell pretends to).
package telnet

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/login"
	"bartizan/internal/decoy/shell"
	"bartizan/internal/observe"
)

// Config of the decoy.
type Config struct {
	Login login.Policy `yaml:"login"`
	// Environ plays CVE-2026-24061: a client whose USER variable is "-f root" is
	// root without a password. It is what some scanners come for.
	Environ bool `yaml:"environ_login"`
	// MaxTries failed logins end the conversation.
	MaxTries int `yaml:"max_tries"`
	// FailDelay is how long a wrong password takes; up to half as much again is added.
	FailDelay time.Duration `yaml:"fail_delay"`
	// Negotiate is how long a silent client is given to answer options before
	// it gets its prompt.
	Negotiate time.Duration `yaml:"negotiate"`
	// LoginGrace is how long a visitor may take to log in.
	LoginGrace time.Duration `yaml:"login_grace_time"`
	Shell      ShellLimits   `yaml:"shell"`
}

// ShellLimits are the limits of the emulated host that depend on the memory
// of the sensor; 0 is the shell's default.
type ShellLimits struct {
	FSBytes   int64         `yaml:"fs_bytes"`   // of all files a visitor may write
	FileBytes int64         `yaml:"file_bytes"` // of one file
	Time      time.Duration `yaml:"time"`       // of one command
}

// Default is what login(1) does (LOGIN_RETRIES 5, LOGIN_TIMEOUT 60), in less time.
func Default() Config {
	return Config{
		Login: login.Default(), Environ: true, MaxTries: 5, FailDelay: 40 * time.Millisecond, Negotiate: 250 * time.Millisecond,
		LoginGrace: time.Minute,
	}
}

// New makes the decoy.
func New(c Config) (decoy.Service, error) {
	gate, err := login.New(c.Login)
	if err != nil {
		return nil, err
	}
	switch {
	case c.MaxTries < 1 || c.MaxTries > 100:
		return nil, errors.New("check telnet decoy: max_tries must be 1 to 100")
	case c.LoginGrace <= 0 || c.FailDelay < 0 || c.Negotiate < 0:
		return nil, errors.New("check telnet decoy: login_grace_time must be positive, fail_delay and negotiate not negative")
	}
	return &service{conf: c, gate: gate}, nil
}

type service struct {
	conf Config
	gate *login.Gate
}

// Serve implements decoy.Service.
func (v *service) Serve(ctx context.Context, s *decoy.Session) error {
	t := newTerminal(s)
	c := &conversation{service: v, ctx: ctx, s: s, t: t, until: time.Now().Add(v.conf.LoginGrace)}
	t.start()
	if !c.negotiate() {
		return nil
	}
	user, ok := c.login()
	if ok {
		c.shell(user)
	}
	return nil // whatever ended it was the visitor's doing
}

// conversation is one visitor.
type conversation struct {
	*service
	ctx   context.Context
	s     *decoy.Session
	t     *terminal
	until time.Time // by then the visitor must have logged in
}

// negotiate waits until the client has answered our options, has begun to
// type, or has had its time; false when it has left.
func (c *conversation) negotiate() bool {
	end := time.Now().Add(c.conf.Negotiate)
	for !c.t.settled() {
		left := time.Until(end)
		if left <= 0 {
			break
		}
		c.s.Pause(left)
		err := c.t.fill()
		if timedOut(err) && c.ctx.Err() == nil {
			break
		}
		if err != nil {
			return false
		}
	}
	c.s.Pause(c.conf.LoginGrace)
	return true
}

// timedOut says that nothing came, as opposed to nothing can come.
func timedOut(err error) bool {
	var ne interface{ Timeout() bool }
	return errors.As(err, &ne) && ne.Timeout()
}

// login asks for names and passwords; the prompts are those of login(1).
func (c *conversation) login() (user string, ok bool) {
	p := c.s.Persona()
	c.t.offer()
	issue := p.Distro.Name + " " + p.Distro.Version
	if p.Distro.ID == "ubuntu" {
		issue = p.Distro.PrettyName
	}
	c.t.say(issue + "\r\n")
	user = c.t.user
	if c.conf.Environ && strings.HasPrefix(user, "-f") {
		return c.forced(user)
	}
	for tries := 0; ; {
		if user == "" {
			c.t.say(p.Hostname + " login: ")
			if user, ok = c.ask(true); !ok {
				return "", false
			}
			if user = strings.TrimSpace(user); user == "" {
				continue
			}
		}
		c.t.say("Password: ")
		password, ok := c.ask(false)
		if !ok {
			return "", false
		}
		if c.opens(user, password) {
			return user, true
		}
		if tries++; tries >= c.conf.MaxTries {
			c.t.say("\r\nLogin incorrect\r\n\r\nMaximum number of tries exceeded (" + itoa(tries) + ")\r\n")
			c.s.Linger()
			return "", false
		}
		c.t.say("\r\nLogin incorrect\r\n")
		user = ""
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

// forced is the login that needs no password.
func (c *conversation) forced(arg string) (user string, ok bool) {
	user = strings.TrimSpace(strings.TrimPrefix(arg, "-f"))
	ok = user == "root" // anything else makes login(1) ask
	if err := c.s.Auth(observe.AuthAttempt{Method: "environ", User: arg, Accepted: ok}); err != nil {
		return "", false
	}
	c.s.Pause(0)
	return user, ok
}

// opens asks the gate, reports, and takes its time when the answer is no.
func (c *conversation) opens(user, password string) bool {
	ok := c.gate.Try(c.s.Persona(), c.s.Remote().Addr(), user, password, c.s.Now())
	err := c.s.Auth(observe.AuthAttempt{Method: "password", User: user, Password: password, Accepted: ok})
	if err != nil {
		c.hangUp()
		return false
	}
	if ok {
		c.t.say("\r\n")
		c.s.Pause(0)
		return true
	}
	if d := c.conf.FailDelay; d > 0 {
		t := time.NewTimer(d + rand.N(d/2+1))
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.ctx.Done():
		}
	}
	return false
}

// maxAnswer is the longest name or password that is kept.
const maxAnswer = 512

// ask reads one line; false when the visitor leaves or takes too long.
func (c *conversation) ask(echo bool) (string, bool) {
	var b []byte
	for {
		if time.Now().After(c.until) {
			c.t.say("\r\nLogin timed out after " + itoa(int(c.conf.LoginGrace.Seconds())) + " seconds.\r\n")
			return "", false
		}
		key, err := c.t.key()
		if err != nil {
			return "", false
		}
		switch key {
		case '\r', '\n':
			if echo {
				c.t.say("\r\n")
			}
			return string(b), true
		case 3, 4: // ^C, ^D
			return "", false
		case 8, 127:
			if len(b) > 0 {
				b = b[:len(b)-1]
				if echo {
					c.t.say("\b \b")
				}
			}
		case 21: // ^U
			if echo {
				c.t.say(strings.Repeat("\b \b", len(b)))
			}
			b = b[:0]
		case 0:
		default:
			if len(b) < maxAnswer {
				b = append(b, key)
				if echo {
					c.t.say(string(key))
				}
			}
		}
	}
}

// shell gives the visitor a prompt until it leaves.
func (c *conversation) shell(user string) {
	guest := login.NewVisitor(c.s, user, c.hangUp)
	limits := shell.Limits{FSBytes: c.conf.Shell.FSBytes, FileBytes: c.conf.Shell.FileBytes, Time: c.conf.Shell.Time}
	sh := shell.New(c.s.Persona(), user, limits, guest, c.s.Now)
	defer sh.Close()
	remote := c.s.Remote()
	sh.SetRemote(remote.Addr().String(), int(remote.Port()), c.t.term)
	c.t.resize = sh.SetWindow
	if c.t.columns > 0 {
		sh.SetWindow(c.t.columns)
	}
	_ = sh.Interactive(c.ctx, c.t, true) // an error only says that the visitor left
}

func (c *conversation) hangUp() { _ = c.s.Conn().Close() } // reads and writes then fail
