package syslog

import (
	"net/netip"
	"strings"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/text"

	"github.com/valyala/fastjson"
)

// Application makes the format of logs that applications write in forms of their
// own, as text or JSON: of them failed logins are read, which say the same thing
// in nearly every one. Every other line is none of this format.
func Application(c Config) (source.Format, error) {
	f, err := New(c)
	if err != nil {
		return nil, err
	}
	return application{f}, nil
}

type application struct{ source.Format }

// Decoder implements source.Format.
func (a application) Decoder() source.Decoder {
	return &applicationDecoder{inner: a.Format.Decoder().(*decoder)} // New makes these
}

type applicationDecoder struct {
	inner *decoder
	json  fastjson.Parser
}

// Decode implements source.Decoder.
func (d *applicationDecoder) Decode(line []byte, at uint64, b *observe.LogBatch) error {
	s := string(line[:min(len(line), maxMessage)])
	if line[0] == '{' {
		v, err := d.json.ParseBytes(line)
		if err != nil {
			return source.ErrFormat
		}
		var flat strings.Builder
		flatten(&flat, "", v, 0)
		s = flat.String()
	}
	if !d.inner.application(s, at, b) {
		return source.ErrFormat
	}
	return nil
}

// maxFlat is how deep an object is looked into.
const maxFlat = 8

// flatten writes the members of an object as name=value, which is how text has them.
func flatten(out *strings.Builder, name string, v *fastjson.Value, deep int) {
	if v == nil || deep > maxFlat || out.Len() > maxMessage {
		return
	}
	switch v.Type() {
	case fastjson.TypeObject:
		o, err := v.Object()
		if err != nil {
			return
		}
		o.Visit(func(k []byte, v *fastjson.Value) { flatten(out, string(k), v, deep+1) })
	case fastjson.TypeString:
		out.WriteString(name + "=" + string(v.GetStringBytes()) + " ")
	case fastjson.TypeNumber, fastjson.TypeTrue, fastjson.TypeFalse:
		out.WriteString(name + "=" + v.String() + " ")
	}
}

// application reads a failed login out of a line in no form that is known.
func (d *decoder) application(s string, at uint64, b *observe.LogBatch) bool {
	low := text.Lower(s)
	if !failed(low) {
		return false
	}
	when, ok := d.anyTime(s)
	if !ok {
		return false
	}
	m := message{time: when, program: "login", text: s}
	a, ok := client(s, low)
	if !ok {
		return false
	}
	attempt(&m, at, 1, b, "login", netip.AddrPortFrom(a, 0), observe.AuthAttempt{Method: "password", User: user(s, low)})
	return true
}

// Words that together say that a credential was wrong: what happened, and to what.
var (
	outcomes = [...]string{"fail", "invalid", "incorrect", "wrong ", "unsuccessful", "denied", "unauthorized", "not found", "no such user", "not exist", "_error", "-error", "rate-limited", "false", "reject"}
	subjects = [...]string{"login", "log in", "logon", "log-in", "signin", "sign-in", "sign in", "authenticat", "password", "credential", "auth failure", "auth-error", "2fa", "passcode", "usernotfound"}
)

// failed reports a failed login in lower-case text.
func failed(low string) bool {
	if strings.Contains(low, "successful") && !strings.Contains(low, "unsuccessful") || strings.Contains(low, "succeeded") {
		return false
	}
	for _, f := range failures {
		if strings.Contains(low, f) {
			return true
		}
	}
	for _, w := range outcomes {
		for i := 0; ; i++ {
			k := strings.Index(low[i:], w)
			if k < 0 {
				break
			}
			i += k
			if subject(low, i, i+len(w)) {
				return true
			}
		}
	}
	return false
}

// near is how many letters may stand between what happened and to what it did:
// "invalid user name or password", but not "invalid cookie, back to the page for the login".
const near = 16

// subject reports one near the outcome that stands from a to b.
func subject(low string, a, b int) bool {
	for _, w := range subjects {
		from, to := max(0, a-near-len(w)), min(len(low), b+near+len(w))
		if strings.Contains(low[from:to], w) {
			return true
		}
	}
	return false
}

// maxTime is how far into a line its time is looked for.
const maxTime = 400

// anyTime finds a time near the beginning of a line.
func (d *decoder) anyTime(s string) (time.Time, bool) {
	s = s[:min(len(s), maxTime)]
	for i := range len(s) {
		if i > 0 && (hexDigit(s[i-1]) || s[i-1]|0x20 >= 'a' && s[i-1]|0x20 <= 'z' && s[i-1] != 'T') {
			continue // inside a word
		}
		rest := s[i:]
		if len(rest) < 15 {
			break
		}
		switch c := rest[0]; {
		case c >= '0' && c <= '9' && len(rest) >= 19:
			if t, ok := d.numericTime(rest); ok {
				return t, true
			}
		case c >= 'A' && c <= 'S':
			if t, _, ok := d.bsd(rest); ok && text.Month([]byte(rest[:3])) != 0 {
				if y, ok := yearBehind(rest); ok {
					t = time.Date(y, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
				}
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// numericTime reads 2006-01-02T15:04:05, with a blank or " - " in the middle or
// with slashes, a fraction behind a point or a comma, and a zone; and the time of
// access logs.
func (d *decoder) numericTime(s string) (time.Time, bool) {
	if len(s) >= 26 && s[2] == '/' && s[6] == '/' {
		t, err := time.Parse("02/Jan/2006:15:04:05 -0700", s[:26])
		return t.UTC(), err == nil
	}
	if s[4] != '-' && s[4] != '/' || s[7] != s[4] {
		return time.Time{}, false
	}
	day := strings.ReplaceAll(s[:10], "/", "-")
	clock := strings.TrimPrefix(strings.TrimLeft(s[10:], " T"), "- ")
	if len(clock) < 8 {
		return time.Time{}, false
	}
	t, err := time.ParseInLocation("2006-01-02 15:04:05", day+" "+clock[:8], d.zone)
	if err != nil {
		return time.Time{}, false
	}
	rest := strings.TrimLeft(strings.TrimLeft(clock[8:], ".,"), "0123456789")
	for _, layout := range [...]string{"Z07:00", "-0700", " -07:00", " -0700"} {
		n := min(len(rest), len(layout))
		if z, err := time.Parse(layout, rest[:n]); err == nil && layout != "" {
			if _, off := z.Zone(); off != 0 || n > 0 && rest[0] != ' ' {
				wall := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.FixedZone("", off))
				return wall.UTC(), true
			}
		}
	}
	return t.UTC(), true
}

// yearBehind reads the year in "Jun  8 12:08:53 2020".
func yearBehind(s string) (int, bool) {
	f := strings.Fields(s[:min(len(s), 24)])
	if len(f) < 4 || len(f[3]) != 4 {
		return 0, false
	}
	y, ok := text.Int([]byte(f[3]))
	return y, ok && y > 1969 && y < 2200
}
