package ioc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// errPlain: JSON that is neither STIX nor MISP. It is read as a list of values
// or of objects with a value, in an array, under a name, or one per line.
var errPlain = errors.New("no STIX bundle and no MISP event")

// plainEntry has the names that lists use for the same things.
type plainEntry struct {
	Type      string     `json:"type"`
	Kind      string     `json:"indicator_type"`
	IOCType   string     `json:"ioc_type"`
	Value     string     `json:"value"`
	Indicator string     `json:"indicator"`
	IOC       string     `json:"ioc"`
	IOCValue  string     `json:"ioc_value"`
	IP        string     `json:"ip"`
	Domain    string     `json:"domain"`
	URL       string     `json:"url"`
	SHA256    string     `json:"sha256"`
	SHA1      string     `json:"sha1"`
	MD5       string     `json:"md5"`
	JA3       string     `json:"ja3"`
	JA4       string     `json:"ja4"`
	Key       string     `json:"access_key"`
	Note      string     `json:"note"`
	Comment   string     `json:"comment"`
	About     string     `json:"description"`
	Threat    string     `json:"threat"`
	Malware   string     `json:"malware"`
	Sure      plainValue `json:"confidence"`
	Until     plainValue `json:"valid_until"`
	Expires   plainValue `json:"expires"`
	Expiry    plainValue `json:"expiration"`
}

// plainValue is a number or a text.
type plainValue string

// UnmarshalJSON takes both.
func (v *plainValue) UnmarshalJSON(b []byte) error {
	var s string
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*v = plainValue(s)
		return nil
	}
	if string(b) != "null" {
		*v = plainValue(b)
	}
	return nil
}

// plain reads a list that somebody made himself.
func (l *List) plain(raw []byte, lines *lineIndex) error {
	l.Format = "json"
	d := json.NewDecoder(bytes.NewReader(raw))
	for {
		var o json.RawMessage
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", lines.at(int(d.InputOffset())), err)
		}
		if err := l.plainAny(o, int(d.InputOffset())-len(o), lines, 0); err != nil {
			return err
		}
	}
	if !l.taken {
		return errors.New("this JSON is neither a STIX bundle (objects), a MISP event (Event, response), nor a list of values or of objects with type and value")
	}
	return nil
}

// plainAny reads a value, an object with one, a list of either, or an object
// with a list under a name.
func (l *List) plainAny(o json.RawMessage, at int, lines *lineIndex, deep int) error {
	line := lines.at(at)
	switch {
	case len(o) == 0:
		return nil
	case o[0] == '[':
		return each(o, at, func(e []byte, at int) error { return l.plainAny(e, at, lines, deep+1) })
	case o[0] == '"':
		var s string
		if err := json.Unmarshal(o, &s); err != nil {
			return err
		}
		return l.untyped(line, s, "")
	case o[0] != '{':
		l.problem(line, string(o), "no text")
		return nil
	}
	if deep == 0 {
		var top struct {
			Indicators json.RawMessage `json:"indicators"`
			IOCs       json.RawMessage `json:"iocs"`
			Data       json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(o, &top); err == nil {
			for _, part := range []json.RawMessage{top.Indicators, top.IOCs, top.Data} {
				if len(part) > 0 && part[0] == '[' {
					return l.plainAny(part, at+max(bytes.Index(o, part), 0), lines, 1)
				}
			}
		}
	}
	var x plainEntry
	if err := json.Unmarshal(o, &x); err != nil {
		l.problem(line, string(o[:min(len(o), 120)]), err.Error())
		return nil
	}
	return l.plainObject(line, &x)
}

func (l *List) plainObject(line int, x *plainEntry) (err error) {
	var ok bool
	if l.terms, ok = l.parseTerms(line, string(x.Sure), first(string(x.Until), string(x.Expires), string(x.Expiry))); !ok {
		return nil
	}
	defer func() { l.terms = Terms{} }()
	note := first(x.Note, x.Comment, x.About, x.Threat, x.Malware)
	if value := first(x.Value, x.Indicator, x.IOC, x.IOCValue); value != "" {
		if kind := first(x.Type, x.Kind, x.IOCType); kind != "" && !strings.EqualFold(kind, "indicator") {
			return l.misp(line, kind, value, note)
		}
		return l.untyped(line, value, note)
	}
	found := false
	for _, e := range [...]struct{ kind, value string }{{"ip", x.IP}, {"domain", x.Domain}, {"url", x.URL}, {"sha256", x.SHA256}, {"sha1", x.SHA1}, {"md5", x.MD5}, {"ja3", x.JA3}, {"ja4", x.JA4}, {"access-key", x.Key}} {
		if e.value != "" {
			found = true
			err = errors.Join(err, l.misp(line, e.kind, e.value, note))
		}
	}
	if !found {
		l.problem(line, "an object", "without value, indicator, ioc, ip, domain, url, sha256, sha1, md5, ja3, ja4 or access_key")
	}
	return err
}

func first(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
