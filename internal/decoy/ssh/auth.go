package ssh

import (
	"errors"
	"math/rand/v2"
	"time"

	"golang.org/x/crypto/ssh"

	"bartizan/internal/observe"
)

// errDenied is all a visitor whose credential is refused causes.
var errDenied = errors.New("permission denied")

// config is how the library talks to this visitor.
func (c *conn) config(id *identity) *ssh.ServerConfig {
	conf := &ssh.ServerConfig{
		Config:            ssh.Config{KeyExchanges: id.algos.kex, Ciphers: id.algos.ciphers, MACs: id.algos.macs},
		ServerVersion:     id.version,
		MaxAuthTries:      c.conf.MaxAuth,
		PasswordCallback:  c.password,
		PublicKeyCallback: c.publicKey,
		AuthLogCallback: func(m ssh.ConnMetadata, method string, _ error) {
			if method == "none" {
				c.saw(c.s.Auth(observe.AuthAttempt{Method: method, User: m.User()}))
			}
		},
	}
	if c.conf.AcceptKeys {
		conf.VerifiedPublicKeyCallback = c.verifiedKey
	}
	if c.conf.Interactive {
		conf.KeyboardInteractiveCallback = c.interactive
	}
	for _, k := range id.keys {
		conf.AddHostKey(k)
	}
	return conf
}

func (c *conn) password(m ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	return c.decide("password", m.User(), string(password))
}

func (c *conn) interactive(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	answers, err := ask("", "", []string{"Password: "}, []bool{false})
	if err != nil || len(answers) != 1 {
		return nil, errDenied
	}
	return c.decide("keyboard-interactive", m.User(), answers[0])
}

// decide asks the gate, reports, and takes its time when the answer is no.
func (c *conn) decide(method, user, password string) (*ssh.Permissions, error) {
	ok := c.gate.Try(c.s.Persona(), c.s.Remote().Addr(), user, password, c.s.Now())
	c.saw(c.s.Auth(observe.AuthAttempt{Method: method, User: user, Password: password, Accepted: ok}))
	if ok {
		return nil, nil
	}
	if d := c.conf.FailDelay; d > 0 {
		t := time.NewTimer(d + rand.N(d/2+1))
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.ctx.Done():
		}
	}
	return nil, errDenied
}

// publicKey is asked for every key a client offers, before it signs.
func (c *conn) publicKey(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	if c.conf.AcceptKeys {
		return nil, nil // what is reported depends on the signature
	}
	c.reportKey(m.User(), key, false)
	return nil, errDenied
}

func (c *conn) verifiedKey(m ssh.ConnMetadata, key ssh.PublicKey, p *ssh.Permissions, _ string) (*ssh.Permissions, error) {
	c.reportKey(m.User(), key, true)
	return p, nil
}

func (c *conn) reportKey(user string, key ssh.PublicKey, accepted bool) {
	what := "offered key " + key.Type() + " " + ssh.FingerprintSHA256(key)
	if cert, ok := key.(*ssh.Certificate); ok {
		what += " certificate id " + cert.KeyId
		key = cert.Key
	}
	c.s.Note('<', []byte(clean(what)+"\n"))
	c.saw(c.s.Auth(observe.AuthAttempt{Method: "publickey", User: user, Key: ssh.FingerprintSHA256(key), Accepted: accepted}))
}
