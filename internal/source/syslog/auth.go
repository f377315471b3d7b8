package syslog

import (
	"net/netip"
	"strings"

	"bartizan/internal/observe"
	"bartizan/internal/source/text"
)

// recent is how many connections with a failed attempt are remembered, to
// count an attempt once although sshd logs it twice.
const recent = 256

// failure is a connection that failed an attempt.
type failure struct {
	from    netip.AddrPort
	pending bool // only "Invalid user" so far: the attempt itself is still to come
}

// maxRepeats is how many repeats one message can stand for.
const maxRepeats = 1000

// read makes observations of a message.
func (d *decoder) read(m *message, at uint64, b *observe.LogBatch) {
	s, n := m.text, 1
	// rsyslog: message repeated 5 times: [ Failed password for … ]
	if rest, ok := strings.CutPrefix(s, "message repeated "); ok {
		count, rest, _ := strings.Cut(rest, " times: [ ")
		if k, ok := text.Int([]byte(count)); ok && k > 0 {
			s, n = strings.TrimSuffix(rest, "]"), min(k, maxRepeats)
		}
	}
	switch {
	case m.program == "sshd", m.program == "sshd-session", m.program == "sshd-auth", m.program == "dropbear":
		d.sshd(m, s, n, at, b)
	case m.program == "kernel":
		packet(m, s, at, b)
	default:
		generic(m, s, n, at, b)
	}
}

func attempt(m *message, at uint64, n int, b *observe.LogBatch, service string, from netip.AddrPort, a observe.AuthAttempt) {
	for range n {
		o := b.Add(at, m.time, observe.KindAuth, service, from.Addr(), from.Port())
		o.Auth = &a
	}
}

// sshd reads what OpenSSH's auth.c and packet.c log. A client chooses its user
// name, so "from" is searched from the end.
func (d *decoder) sshd(m *message, s string, n int, at uint64, b *observe.LogBatch) {
	s = strings.TrimPrefix(s, "error: ")
	verb, rest, _ := strings.Cut(s, " ")
	switch verb {
	case "Failed", "Accepted":
		method, rest, _ := strings.Cut(rest, " for ")
		user, from, ok := userFrom(rest)
		if !ok || method == "none" {
			return
		}
		method = strings.TrimSuffix(strings.TrimSuffix(method, "/pam"), "(publickey)")
		accepted := verb == "Accepted"
		if !accepted && d.seen(from, true) {
			n-- // counted as "Invalid user" already
		}
		attempt(m, at, n, b, "ssh", from, observe.AuthAttempt{Method: method, User: user, Accepted: accepted})
	case "Invalid", "Illegal":
		user, from, ok := userFrom(strings.TrimPrefix(rest, "user "))
		if ok && !d.seen(from, false) {
			d.note(from, true)
			attempt(m, at, n, b, "ssh", from, observe.AuthAttempt{Method: "password", User: user})
		}
	case "PAM:": // PAM: Authentication failure for root from 192.0.2.1
		_, rest, ok := strings.Cut(rest, " for ")
		if user, from, found := userFrom(rest); ok && found {
			attempt(m, at, n, b, "ssh", from, observe.AuthAttempt{Method: "keyboard-interactive", User: user})
		}
	case "Connection", "Disconnected", "Disconnecting":
		d.preauth(m, rest, at, b)
	case "Bad", "Login": // dropbear: Bad password attempt for 'root' from 192.0.2.1:4711
		_, rest, ok := strings.Cut(rest, " for ")
		if user, from, found := userFrom(rest); ok && found {
			attempt(m, at, n, b, "ssh", from, observe.AuthAttempt{Method: "password", User: strings.Trim(user, "'")})
		}
	}
}

// preauth reads "closed by authenticating user root 192.0.2.1 port 4711
// [preauth]": an attempt, unless the connection has failed one already.
func (d *decoder) preauth(m *message, rest string, at uint64, b *observe.LogBatch) {
	rest, ok := strings.CutSuffix(rest, " [preauth]")
	if !ok {
		return
	}
	for _, mark := range [...]string{"authenticating user ", "invalid user "} {
		_, who, ok := strings.Cut(rest, mark)
		if !ok {
			continue
		}
		w := strings.Split(who, " ")
		if len(w) < 4 || w[len(w)-2] != "port" {
			return
		}
		a, ok1 := text.Addr(w[len(w)-3])
		port, ok2 := text.Int([]byte(w[len(w)-1]))
		if !ok1 || !ok2 || port > 0xffff {
			return
		}
		from := netip.AddrPortFrom(a, uint16(port))
		if d.seen(from, false) {
			return
		}
		d.note(from, false)
		attempt(m, at, 1, b, "ssh", from, observe.AuthAttempt{Method: "password", User: clip(strings.Join(w[:len(w)-3], " "))})
		return
	}
}

// userFrom reads "[invalid user ]NAME from ADDR[ port N][ …]".
func userFrom(s string) (user string, from netip.AddrPort, ok bool) {
	i := strings.LastIndex(s, " from ")
	if i < 0 {
		if s, ok = strings.CutPrefix(s, "from "); !ok { // an empty user name
			return "", from, false
		}
		s, i = " from "+s, 0
	}
	user = s[:i]
	for _, p := range [...]string{"invalid user ", "illegal user ", "user "} {
		user = strings.TrimPrefix(user, p)
	}
	w := strings.Fields(s[i+len(" from "):])
	if len(w) == 0 {
		return "", from, false
	}
	a, ok := text.Addr(w[0])
	if !ok {
		ap, err := netip.ParseAddrPort(w[0]) // dropbear
		if err != nil {
			return "", from, false
		}
		return clip(user), netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), true
	}
	port := 0
	if len(w) >= 3 && w[1] == "port" {
		if port, ok = text.Int([]byte(w[2])); !ok || port > 0xffff {
			port = 0
		}
	}
	return clip(user), netip.AddrPortFrom(a, uint16(port)), true
}

// seen reports whether a connection has failed before; consume says that the
// caller reports the attempt that was announced.
func (d *decoder) seen(from netip.AddrPort, consume bool) bool {
	if from.Port() == 0 {
		return false
	}
	for i := range d.failed {
		f := &d.failed[i]
		if f.from != from {
			continue
		}
		if !consume {
			return true
		}
		pending := f.pending
		f.pending = false
		return pending
	}
	if consume {
		d.note(from, false)
	}
	return false
}

func (d *decoder) note(from netip.AddrPort, pending bool) {
	d.failed[d.next] = failure{from, pending}
	d.next = (d.next + 1) % recent
}

func clip(s string) string { return s[:min(len(s), 256)] }
