// Package syslog reads system logs: RFC 3164 and RFC 5424 messages, the files
// that rsyslog and syslog-ng write, and journald's JSON export. Of the messages
// it understands offered credentials (OpenSSH in detail, other services by what
// they have in common) and packets logged by the Linux firewall; each one is also
// handed on as it is, for rules that look for words.
package syslog

import (
	"strings"
	"time"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/text"

	"github.com/valyala/fastjson"
)

// Config of the format.
type Config struct {
	// Zone is where the clock of messages stands that name no zone ("UTC").
	Zone string `yaml:"zone"`
	// Year of the first message whose time names none; 0: the latest that does
	// not put it into the future.
	Year int `yaml:"year"`
}

// Default configuration.
func Default() Config { return Config{Zone: "UTC"} }

// New makes the format.
func New(c Config) (source.Format, error) {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return nil, err
	}
	return format{zone: zone, year: c.Year, now: time.Now}, nil
}

type format struct {
	zone *time.Location
	year int
	now  func() time.Time
}

// Decoder implements source.Format.
func (f format) Decoder() source.Decoder { return &decoder{format: f} }

type decoder struct {
	format
	json   fastjson.Parser
	last   time.Time // of the last message whose time named no year
	failed [recent]failure
	next   int
}

// message is one entry of a system log.
type message struct {
	time    time.Time
	host    string
	program string
	text    string
}

// Decode implements source.Decoder.
func (d *decoder) Decode(line []byte, at uint64, b *observe.LogBatch) error {
	var m message
	ok := false
	if line[0] == '{' {
		m, ok = d.journal(line)
	} else {
		m, ok = d.parse(string(line))
	}
	if !ok {
		return source.ErrFormat
	}
	d.read(&m, at, b)
	if m.text != "" {
		b.Messages = append(b.Messages, observe.Message{Record: at, Time: m.time, Host: clip(m.host), Program: clip(m.program), Text: m.text})
	}
	return nil
}

// journal reads an entry of "journalctl -o json" (systemd.journal-fields(7)).
func (d *decoder) journal(line []byte) (m message, ok bool) {
	v, err := d.json.ParseBytes(line)
	if err != nil {
		return m, false
	}
	stamp := v.GetStringBytes("__REALTIME_TIMESTAMP")
	if len(stamp) == 0 || len(stamp) > 17 {
		return m, false
	}
	var us int64
	for _, c := range stamp {
		if c < '0' || c > '9' {
			return m, false
		}
		us = us*10 + int64(c-'0')
	}
	if m.time, ok = text.Unix(float64(us)); !ok {
		return m, false
	}
	m.host = string(v.GetStringBytes("_HOSTNAME"))
	m.program = string(v.GetStringBytes("SYSLOG_IDENTIFIER"))
	if m.program == "" {
		m.program = string(v.GetStringBytes("_COMM"))
	}
	switch f := v.Get("MESSAGE"); {
	case f == nil:
	case f.Type() == fastjson.TypeArray: // bytes that are no UTF-8
		raw := make([]byte, 0, len(f.GetArray()))
		for _, c := range f.GetArray() {
			raw = append(raw, byte(c.GetInt()))
		}
		m.text = string(raw)
	default:
		m.text = string(f.GetStringBytes())
	}
	return m, true
}

// parse reads a message as text.
func (d *decoder) parse(s string) (m message, ok bool) {
	if len(s) > 4 && s[0] == '<' {
		i := strings.IndexByte(s[:min(len(s), 6)], '>')
		if i < 2 {
			return m, false
		}
		if n, ok := text.Int([]byte(s[1:i])); !ok || n > 191 {
			return m, false
		}
		s = s[i+1:]
		if rest, five := strings.CutPrefix(s, "1 "); five {
			return rfc5424(rest)
		}
	}
	s = counted(s)
	if len(s) < 16 {
		return m, false
	}
	switch {
	case s[0] >= 'A' && s[0] <= 'Z':
		if m.time, s, ok = d.bsd(s); !ok {
			return m, false
		}
	case s[0] >= '0' && s[0] <= '9':
		stamp, rest, _ := strings.Cut(s, " ")
		if m.time, ok = text.RFC3339(stamp); !ok {
			return m, false
		}
		s = rest
	default:
		return m, false
	}
	// HOST PROGRAM[PID]: text. Devices leave out host or program.
	host, rest, _ := strings.Cut(s, " ")
	tag, body, found := strings.Cut(rest, ": ")
	if !found || len(tag) > 128 || strings.ContainsAny(tag, " \t") && !strings.HasPrefix(tag, "kernel") {
		m.text = s
		return m, true
	}
	if i := strings.IndexByte(tag, '['); i > 0 {
		tag = tag[:i]
	}
	m.host, m.program, m.text = host, tag, body
	return m, true
}

// counted takes off the number that network devices put in front of a time, and
// the mark for a clock that was not set ("45: *Mar  1 18:48:50.483: …").
func counted(s string) string {
	number, rest, ok := strings.Cut(s, ": ")
	if !ok || len(number) == 0 || len(number) > 12 || strings.Trim(number, "0123456789") != "" {
		return s
	}
	return strings.TrimLeft(rest, "*. ")
}

// rfc5424 reads what follows the version: TIMESTAMP HOST APP PROCID MSGID SD MSG.
func rfc5424(s string) (m message, ok bool) {
	var f [5]string
	for i := range f {
		if f[i], s, ok = strings.Cut(s, " "); !ok {
			return m, false
		}
	}
	if m.time, ok = text.RFC3339(f[0]); !ok {
		return m, false
	}
	m.host, m.program = f[1], f[2]
	if m.host == "-" { // RFC 5424 §6: not known
		m.host = ""
	}
	for strings.HasPrefix(s, "[") { // structured data; \] inside a value is no end
		i := 1
		for i < len(s) && s[i] != ']' {
			if s[i] == '\\' {
				i++
			}
			i++
		}
		if i >= len(s) {
			return m, false
		}
		s = s[i+1:]
	}
	s = strings.TrimPrefix(strings.TrimPrefix(s, "-"), " ")
	m.text = strings.TrimPrefix(s, "\ufeff")
	return m, true
}

// bsd reads "Feb 12 14:10:21 " (RFC 3164 §4.1.2) and finds its year.
func (d *decoder) bsd(s string) (t time.Time, rest string, ok bool) {
	mon := text.Month([]byte(s[:3]))
	if mon == 0 || s[3] != ' ' {
		return t, s, false
	}
	day, rest, _ := strings.Cut(strings.TrimLeft(s[4:], " "), " ")
	dd, ok1 := text.Int([]byte(day))
	year, zoned := 0, false
	if len(rest) > 5 && rest[4] == ' ' { // some devices write the year
		if y, ok := text.Int([]byte(rest[:4])); ok && y > 1969 {
			year, rest, zoned = y, rest[5:], true
		}
	}
	clock, rest, _ := strings.Cut(rest, " ")
	if len(clock) < 8 || clock[2] != ':' || clock[5] != ':' {
		return t, s, false
	}
	hh, ok2 := text.Int([]byte(clock[:2]))
	mm, ok3 := text.Int([]byte(clock[3:5]))
	ss, ok4 := text.Int([]byte(clock[6:8]))
	if !ok1 || !ok2 || !ok3 || !ok4 || dd < 1 || dd > 31 || hh > 23 || mm > 59 || ss > 60 {
		return t, s, false
	}
	at := func(y int) time.Time { return time.Date(y, mon, dd, hh, mm, ss, 0, d.zone).UTC() }
	switch {
	case zoned:
		return at(year), rest, true
	case !d.last.IsZero():
		// The year nearest to the message before: over New Year's Eve forwards,
		// and for a message that comes late backwards.
		t = at(d.last.Year())
		if t.Sub(d.last) > 183*24*time.Hour {
			t = at(d.last.Year() - 1)
		} else if d.last.Sub(t) > 183*24*time.Hour {
			t = at(d.last.Year() + 1)
		}
	case d.year > 0:
		t = at(d.year)
	default:
		now := d.now().Add(24 * time.Hour)
		if t = at(now.Year()); t.After(now) {
			t = at(now.Year() - 1)
		}
	}
	d.last = t
	return t, rest, true
}
