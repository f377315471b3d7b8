package sigma

import (
	"strings"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/observe"
)

// DetectMessage implements detect.MessageDetector: an entry of a system log is an
// event of the product linux, of the services that its program belongs to
// (content/sigma/taxonomy.yaml). Nobody is named as the actor but the host: an
// address inside a message is whatever the one who caused it made it say.
func (d *Detector) DetectMessage(m *observe.Message, emit detect.Emit) {
	d.entry.m = m
	d.hand(d.runner.Process(&d.entry, d.out[:0]), emit)
	d.entry.m = nil
}

// logEntry is a message as an event.
type logEntry struct {
	m *observe.Message
}

// The names of an entry's fields, which no document has by accident.
const (
	entryText    = "syslog.message"
	entryProgram = "syslog.program"
	entryHost    = "syslog.host"
	entryTime    = "syslog.time"
	entryDevice  = "syslog.device" // the maker of a network device, by how its messages look
)

// device tells "cisco" by the mnemonic of IOS, NX-OS and ASA: %FACILITY-SEVERITY-NAME: (Cisco
// IOS "System message guide").
func device(s string) string {
	_, rest, ok := strings.Cut(s, "%")
	if !ok {
		return ""
	}
	name, _, ok := strings.Cut(rest, ":")
	p := strings.Split(name, "-")
	if !ok || len(name) > 80 || len(p) < 3 || p[0] == "" || p[len(p)-1] == "" || strings.ContainsAny(name, " \t") || name != strings.ToUpper(name) {
		return ""
	}
	for _, level := range p[1 : len(p)-1] {
		if len(level) == 1 && level[0] >= '0' && level[0] <= '7' {
			return "cisco"
		}
	}
	return ""
}

// Source implements Event: the shape says what it is.
func (e *logEntry) Source() Logsource { return Logsource{} }

// Field implements Event.
func (e *logEntry) Field(p Path, dst []Value) []Value {
	switch p.Name {
	case entryText:
		return e.text(dst, e.m.Text)
	case entryProgram:
		return e.text(dst, e.m.Program)
	case entryDevice:
		return e.text(dst, device(e.m.Text))
	case entryHost:
		return e.text(dst, e.m.Host)
	case entryTime:
		if e.m.Time.IsZero() {
			return dst
		}
		return e.text(dst, e.m.Time.UTC().Format(time.RFC3339Nano))
	}
	if e.m.Program == "sudo" {
		return e.sudo(p.Name, dst)
	}
	return dst
}

// text appends a value; what is empty is no value.
func (e *logEntry) text(dst []Value, s string) []Value {
	if s == "" {
		return dst
	}
	return append(dst, Value{String, []byte(s)})
}

// sudo finds a field of sudo's log lines (sudoers(5), "Event logging"):
// "user : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh".
func (e *logEntry) sudo(name string, dst []Value) []Value {
	switch name {
	case "TTY", "PWD", "USER", "COMMAND":
	default:
		return dst
	}
	_, rest, ok := strings.Cut(e.m.Text, " : ")
	for ok && rest != "" {
		key, value, _ := strings.Cut(rest, "=")
		key = strings.TrimSpace(key)
		if key == "COMMAND" { // the last, and it may hold anything
			rest = ""
		} else {
			value, _, _ = strings.Cut(value, " ; ")
			_, rest, _ = strings.Cut(rest, " ; ")
		}
		if key == name {
			return e.text(dst, value)
		}
	}
	return dst
}

// Values implements Event.
func (e *logEntry) Values(dst []Value) []Value {
	return e.text(e.text(e.text(dst, e.m.Text), e.m.Program), e.m.Host)
}
