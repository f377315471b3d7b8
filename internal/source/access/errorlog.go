package access

import (
	"strings"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/text"
)

// errorLog reads a line of nginx's or Apache's error log. Failed logins become
// observations; every other message is in the format and of no interest.
func (d *decoder) errorLog(s string, at uint64, b *observe.LogBatch) error {
	if len(s) > 30 && s[4] == '/' && s[7] == '/' && s[19] == ' ' && s[20] == '[' {
		t, err := time.ParseInLocation("2006/01/02 15:04:05", s[:19], d.zone)
		if err != nil {
			return source.ErrFormat
		}
		return d.nginxError(s[20:], t.UTC(), at, b)
	}
	if len(s) > 30 && s[0] == '[' {
		return d.apacheError(s, at, b)
	}
	return source.ErrFormat
}

// nginxError: user "foo" was not found in "/etc/x", client: 192.0.2.1, server: …
func (d *decoder) nginxError(s string, t time.Time, at uint64, b *observe.LogBatch) error {
	// What a client wrote stands behind "request: " at the end; the message and
	// the client's address come first.
	i := strings.LastIndex(cutAt(s, ", server: "), ", client: ")
	if i < 0 {
		return nil
	}
	message := s[:i]
	addr, ok := text.Addr(cutAt(s[i+len(", client: "):], ","))
	if !ok {
		return nil
	}
	_, q, ok := strings.Cut(message, `user "`)
	if !ok {
		return nil
	}
	user, why, _ := text.Quoted(q)
	if !strings.Contains(why, "was not found in") && !strings.Contains(why, "password mismatch") {
		return nil
	}
	o := b.Add(at, t, observe.KindAuth, "http", addr, 0)
	o.Auth = &observe.AuthAttempt{Method: "basic", User: clip(user)}
	return nil
}

// apacheError: [Wed Oct 11 14:32:52.123456 2000] [auth_basic:error] [pid 1] [client 192.0.2.1:1] AH01617: user foo: …
func (d *decoder) apacheError(s string, at uint64, b *observe.LogBatch) error {
	stamp, rest, ok := strings.Cut(s[1:], "] [")
	if !ok {
		return source.ErrFormat
	}
	t, err := time.ParseInLocation("Mon Jan _2 15:04:05.999999 2006", stamp, d.zone)
	if err != nil {
		return source.ErrFormat
	}
	_, client, ok := strings.Cut(rest, "[client ")
	if !ok {
		return nil
	}
	who, message, _ := strings.Cut(client, "] ")
	if i := strings.LastIndexByte(who, ':'); i > 0 && strings.Count(who, ":") != 7 {
		if _, bare := text.Addr(who); !bare {
			who = who[:i]
		}
	}
	addr, ok := text.Addr(who)
	if !ok {
		return nil
	}
	// AH01617: wrong password, AH01618: unknown user, AH01788..01790: digest (server/mpm documentation of Apache 2.4).
	code, m, ok := strings.Cut(message, ": ")
	switch {
	case !ok:
		return nil
	case code != "AH01617" && code != "AH01618" && code != "AH01788" && code != "AH01790":
		return nil
	}
	user := cutAt(cutAt(strings.TrimPrefix(m, "user "), ": "), " not found")
	o := b.Add(at, t.UTC(), observe.KindAuth, "http", addr, 0)
	o.Auth = &observe.AuthAttempt{Method: "basic", User: clip(user)}
	return nil
}

func cutAt(s, sep string) string {
	s, _, _ = strings.Cut(s, sep)
	return s
}

func clip(s string) string { return s[:min(len(s), 256)] }
