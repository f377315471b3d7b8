package ssh

import (
	"context"
	"net"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"

	"bartizan/internal/decoy"
)

// conn is one visitor.
type conn struct {
	*service
	s    *decoy.Session
	wire *wire
	id   *identity

	// ctx ends with the visit or the node, whichever comes first.
	ctx    context.Context
	cancel context.CancelFunc

	server *ssh.ServerConn
	user   string
	files  *visit
	work   sync.WaitGroup

	mu       sync.Mutex
	sessions int
}

func newConn(ctx context.Context, v *service, s *decoy.Session, w *wire, id *identity) *conn {
	c := &conn{service: v, s: s, wire: w, id: id}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

// saw ends the visit when it has used up what it may make us report.
func (c *conn) saw(err error) {
	if err != nil {
		c.wire.hangUp()
	}
}

// serve runs the connection after login until it ends and everything that
// works for it has returned.
func (c *conn) serve(server *ssh.ServerConn, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	c.server, c.user = server, server.User()
	c.files = newVisit(c)
	defer c.files.close()
	defer c.work.Wait()
	defer c.cancel()
	c.work.Go(func() { c.guard(func() { c.globals(requests) }) })
	c.announceKeys()
	for n := range channels {
		c.open(n)
	}
	c.wire.hangUp()
	_ = server.Wait() // says why it ended, which the visitor decides
}

// guard keeps a mistake of ours in one visit; the runner counts panics only of
// its own goroutine, so it is raised again there.
func (c *conn) guard(do func()) {
	defer func() {
		if v := recover(); v != nil {
			c.mu.Lock()
			if c.files.fault == nil {
				c.files.fault = v
			}
			c.mu.Unlock()
			c.wire.hangUp()
		}
	}()
	do()
}

// globals answers requests that belong to no channel.
func (c *conn) globals(requests <-chan *ssh.Request) {
	for r := range requests {
		var answer []byte
		ok := false
		switch r.Type {
		case "tcpip-forward":
			var m struct {
				Host string
				Port uint32
			}
			if ssh.Unmarshal(r.Payload, &m) == nil {
				c.saw(c.s.Forward(r.Type, target(m.Host, m.Port)))
			}
		case "streamlocal-forward@openssh.com":
			var m struct{ Path string }
			if ssh.Unmarshal(r.Payload, &m) == nil {
				c.saw(c.s.Forward(r.Type, m.Path))
			}
		case "no-more-sessions@openssh.com":
			// Not enforced: the library does not keep the order between this and the
			// session that was opened just before it.
			ok = true
		case "hostkeys-prove-00@openssh.com":
			answer, ok = c.proveKeys(r.Payload)
		}
		// Everything else, keepalive@openssh.com included, is refused: sshd does the
		// same, and the client only wants an answer.
		if r.WantReply {
			_ = r.Reply(ok, answer) // fails only when the connection does
		}
	}
}

// open answers a wish for a channel.
func (c *conn) open(n ssh.NewChannel) {
	reason, kind := ssh.Prohibited, n.ChannelType()
	switch kind {
	case "session":
		if c.take() {
			ch, requests, err := n.Accept()
			if err != nil {
				return // the connection has failed
			}
			c.work.Go(func() {
				defer c.give()
				c.guard(func() { newChannel(c, ch).serve(requests) })
			})
			return
		}
		reason = ssh.ConnectionFailed
	case "direct-tcpip":
		var m struct {
			Host       string
			Port       uint32
			Origin     string
			OriginPort uint32
		}
		if ssh.Unmarshal(n.ExtraData(), &m) == nil {
			c.saw(c.s.Forward(kind, target(m.Host, m.Port)))
		}
	case "direct-streamlocal@openssh.com":
		var m struct {
			Path, Reserved0 string
			Reserved1       uint32
		}
		if ssh.Unmarshal(n.ExtraData(), &m) == nil {
			c.saw(c.s.Forward(kind, m.Path))
		}
	case "tun@openssh.com":
		c.saw(c.s.Forward(kind, "tun"))
	default:
		reason = ssh.ConnectionFailed
	}
	_ = n.Reject(reason, "open failed") // sshd's text; fails only when the connection does
}

func (c *conn) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions >= c.conf.Channels {
		return false
	}
	c.sessions++
	return true
}

func (c *conn) give() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions--
}

func target(host string, port uint32) string {
	return net.JoinHostPort(host, strconv.FormatUint(uint64(port), 10))
}

// announceKeys tells the client all host keys, as sshd does after login
// (PROTOCOL of OpenSSH, section 2.5).
func (c *conn) announceKeys() {
	var payload []byte
	last := ""
	for _, k := range c.id.keys {
		blob := k.PublicKey().Marshal()
		if string(blob) != last { // the RSA key is there once per algorithm
			payload = append(payload, ssh.Marshal(struct{ Key []byte }{blob})...)
		}
		last = string(blob)
	}
	_, _, _ = c.server.SendRequest("hostkeys-00@openssh.com", false, payload)
}

// proveKeys signs for the host keys a client asks about.
func (c *conn) proveKeys(payload []byte) (answer []byte, ok bool) {
	const name = "hostkeys-prove-00@openssh.com"
	for asked := 0; len(payload) > 0; asked++ {
		var m struct {
			Key  []byte
			Rest []byte `ssh:"rest"`
		}
		if ssh.Unmarshal(payload, &m) != nil || asked >= len(c.id.keys) {
			return nil, false
		}
		payload = m.Rest
		signer := c.keyOf(string(m.Key))
		if signer == nil {
			return nil, false
		}
		signed := ssh.Marshal(struct {
			Name         string
			Session, Key []byte
		}{name, c.server.SessionID(), m.Key})
		sig, err := signer.Sign(nil, signed)
		if err != nil {
			return nil, false
		}
		answer = append(answer, ssh.Marshal(struct{ Sig []byte }{ssh.Marshal(sig)})...)
	}
	return answer, len(answer) > 0
}

func (c *conn) keyOf(blob string) ssh.Signer {
	for _, k := range c.id.keys {
		if string(k.PublicKey().Marshal()) == blob {
			return k
		}
	}
	return nil
}
