// Package auditd reads the files of the Linux audit daemon: one record per line,
// several of which make one event ("type=EXECVE msg=audit(1700000000.123:45): …",
// audit.rules(7), auparse(3)). Every record becomes a document with the record's
// fields by their own names, for rules; what the kernel writes in hexadecimal,
// because it could not be quoted, is text again. Records of one event share
// audit.id. Refused and failed sign-ins that name an address are attempts.
package auditd

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/text"
)

// Config of the format; there is nothing to set.
type Config struct{}

// Default configuration.
func Default() Config { return Config{} }

// New makes the format.
func New(Config) (source.Format, error) { return format{}, nil }

type format struct{}

// Decoder implements source.Format.
func (format) Decoder() source.Decoder { return &decoder{} }

// Caps on a record.
const (
	maxFields = 512
	maxValue  = 8192
)

// field is a name and a value, as they are written to the document.
type field struct{ name, value string }

type decoder struct {
	fields []field
	text   []byte
}

// Decode implements source.Decoder.
func (d *decoder) Decode(line []byte, at uint64, b *observe.LogBatch) error {
	kind, stamp, rest, node, ok := head(line)
	if !ok {
		return source.ErrFormat
	}
	when, id, ok := moment(stamp)
	if !ok {
		return source.ErrFormat
	}
	d.fields = append(d.fields[:0], field{"type", kind}, field{"audit.id", id}, field{"audit.time", when.Format(time.RFC3339Nano)})
	if node != "" {
		d.fields = append(d.fields, field{"audit.node", node})
	}
	d.pairs(kind, rest, 0)
	doc, err := b.AddDocument(at, d.document())
	if err != nil {
		return err
	}
	doc.Product, doc.Service = "linux", "auditd"
	d.attempt(kind, when, at, b)
	return nil
}

// head reads "[node=N ]type=T msg=audit(S): ".
func head(line []byte) (kind, stamp, rest, node string, ok bool) {
	s := string(line[:min(len(line), source.MaxRecord)])
	if after, found := strings.CutPrefix(s, "node="); found {
		if node, s, ok = strings.Cut(after, " "); !ok {
			return
		}
	}
	if s, ok = strings.CutPrefix(s, "type="); !ok {
		return
	}
	if kind, s, ok = strings.Cut(s, " msg=audit("); !ok || kind == "" || len(kind) > 64 || strings.ContainsAny(kind, " =") {
		return "", "", "", "", false
	}
	stamp, rest, ok = strings.Cut(s, "):")
	return kind, stamp, strings.TrimLeft(rest, " "), node, ok && len(node) <= 256
}

// moment reads "1700000000.123:45".
func moment(stamp string) (t time.Time, id string, ok bool) {
	clock, serial, ok := strings.Cut(stamp, ":")
	seconds, millis, dot := strings.Cut(clock, ".")
	if !ok || !dot || len(millis) != 3 || len(serial) == 0 || len(serial) > 20 {
		return t, "", false
	}
	sec, err := strconv.ParseInt(seconds, 10, 64)
	ms, ok := text.Int([]byte(millis))
	if _, serr := strconv.ParseUint(serial, 10, 64); err != nil || serr != nil || !ok || sec < 0 || sec > 1<<36 {
		return t, "", false
	}
	return time.Unix(sec, int64(ms)*1e6).UTC(), stamp, true
}

// encoded are the fields that the kernel and user space write in hexadecimal when
// they hold blanks, quotes or controls (auparse's table of escaped fields).
func encoded(kind, name string) bool {
	switch name {
	case "path", "comm", "exe", "file", "name", "watch", "cwd", "cmd", "acct", "dir", "key", "vm", "new-chardev", "old-chardev", "device", "cgroup", "proctitle", "data", "device_name", "unit", "root_dir", "saddr-text":
		return true
	}
	return kind == "EXECVE" && len(name) > 1 && name[0] == 'a' && name[1] >= '0' && name[1] <= '9'
}

// pairs reads name=value, with values bare, in quotes, or, of what user space
// says, as a list of their own: msg='op=login acct="root" res=failed'.
func (d *decoder) pairs(kind, s string, deep int) {
	for s != "" && len(d.fields) < maxFields {
		s = strings.TrimLeft(s, " \x1d,") // \x1d: behind it stands what auditd translated
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			return
		}
		if i := strings.LastIndexByte(name, ' '); i >= 0 {
			name = name[i+1:] // words without a value
		}
		var value string
		quoted := false
		switch {
		case strings.HasPrefix(rest, `"`):
			value, s, _ = strings.Cut(rest[1:], `"`)
			quoted = true
		case strings.HasPrefix(rest, "'") && name == "msg" && deep == 0:
			inner, after, _ := strings.Cut(rest[1:], "'")
			d.pairs(kind, inner, 1)
			s = after
			continue
		case strings.HasPrefix(rest, "'"):
			value, s, _ = strings.Cut(rest[1:], "'")
			quoted = true
		default:
			i := strings.IndexAny(rest, " \x1d")
			if i < 0 {
				i = len(rest)
			}
			value, s = rest[:i], rest[i:]
		}
		if name == "" || len(name) > 64 || value == "(null)" || value == "?" {
			continue
		}
		if !quoted && encoded(kind, name) {
			value = decode(name, value)
		}
		d.fields = append(d.fields, field{name, value[:min(len(value), maxValue)]})
	}
}

// decode makes text of hexadecimal digits; what is none stays as it is.
func decode(name, value string) string {
	if len(value)%2 != 0 || len(value) < 2 || strings.Trim(value, "0123456789ABCDEF") != "" {
		return value
	}
	raw, err := hex.DecodeString(value)
	if err != nil {
		return value
	}
	if name == "proctitle" { // arguments, each with an end
		raw = bytes.ReplaceAll(bytes.TrimRight(raw, "\x00"), []byte{0}, []byte{' '})
	}
	if !utf8.Valid(raw) {
		return strings.ToValidUTF8(string(raw), "\uFFFD")
	}
	return string(raw)
}

// document writes the fields as an object; of those of one name the first stays.
func (d *decoder) document() []byte {
	d.text = append(d.text[:0], '{')
	for i, f := range d.fields {
		if d.has(f.name, i) {
			continue
		}
		if len(d.text) > 1 {
			d.text = append(d.text, ',')
		}
		for k, s := range [2]string{f.name, f.value} {
			b, err := json.Marshal(strings.ToValidUTF8(s, "\uFFFD"))
			if err != nil {
				panic("BUG: text that is no JSON: " + err.Error())
			}
			d.text = append(d.text, b...)
			if k == 0 {
				d.text = append(d.text, ':')
			}
		}
	}
	d.text = append(d.text, '}')
	return d.text
}

func (d *decoder) has(name string, before int) bool {
	for _, f := range d.fields[:before] {
		if f.name == name {
			return true
		}
	}
	return false
}

func (d *decoder) value(name string) string {
	for _, f := range d.fields {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

// attempt reads the outcome of PAM's authentication, which names the client.
func (d *decoder) attempt(kind string, when time.Time, at uint64, b *observe.LogBatch) {
	if kind != "USER_AUTH" {
		return
	}
	res := d.value("res")
	a, ok := text.Addr(d.value("addr"))
	if !ok || res != "failed" && res != "success" {
		return
	}
	exe := d.value("exe")
	service := exe[strings.LastIndexByte(exe, '/')+1:]
	if service == "" {
		service = "login"
	}
	o := b.Add(at, when, observe.KindAuth, "audit-"+service[:min(len(service), 26)], a, 0)
	o.Auth = &observe.AuthAttempt{Method: "password", User: d.value("acct")[:min(len(d.value("acct")), 256)], Accepted: res == "success"}
}
