package ioc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"bartizan/internal/model"
)

// readJSON reads a STIX bundle, or MISP's events in the forms its exports have.
func (l *List) readJSON(raw []byte) error {
	if err := depth(raw); err != nil {
		return err
	}
	lines := newLines(raw)
	var syntax *json.SyntaxError
	err := l.document(raw, 0, lines)
	if errors.Is(err, errPlain) {
		err = l.plain(raw, lines)
	}
	if errors.As(err, &syntax) {
		return fmt.Errorf("line %d: %w", lines.at(int(syntax.Offset)), err)
	}
	return err
}

// document looks at the outermost names, then reads what is below them one object at a time.
func (l *List) document(raw []byte, base int, lines *lineIndex) error {
	if first := bytes.TrimLeft(raw, " \t\r\n"); len(first) > 0 && first[0] == '[' {
		if element := bytes.TrimLeft(first[1:], " \t\r\n"); len(element) > 0 && element[0] == '"' {
			return errPlain
		}
		return each(raw, base, func(o []byte, at int) error { return l.document(o, at, lines) })
	}
	var top struct {
		Type     string          `json:"type"`
		Objects  json.RawMessage `json:"objects"`
		Event    json.RawMessage `json:"Event"`
		Response json.RawMessage `json:"response"`
	}
	if err := json.Unmarshal(raw, &top); err != nil {
		if base == 0 && json.NewDecoder(bytes.NewReader(raw)).Decode(&top) == nil {
			return errPlain // one object per line
		}
		return err
	}
	within := func(part []byte) int { return base + max(bytes.Index(raw, part), 0) }
	switch {
	case top.Objects != nil:
		l.Format = "stix"
		return l.stix(top.Objects, within(top.Objects), lines)
	case top.Event != nil:
		l.Format = "misp"
		return l.event(top.Event, within(top.Event), lines)
	case top.Response != nil:
		return l.document(top.Response, within(top.Response), lines)
	}
	return errPlain
}

// each calls fn for every element of an array, with its place.
func each(raw []byte, base int, fn func(o []byte, at int) error) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('[') {
		return errors.New("a list is expected")
	}
	for d.More() {
		var o json.RawMessage
		if err := d.Decode(&o); err != nil {
			return err
		}
		if err := fn(o, base+int(d.InputOffset())-len(o)); err != nil {
			return err
		}
	}
	return nil
}

// stix reads the indicators of a bundle. Observables in it are usually what was seen around them, or at victims; they are
// taken only where there is no indicator at all.
func (l *List) stix(raw []byte, base int, lines *lineIndex) error {
	indicators := 0
	err := each(raw, base, func(o []byte, at int) error {
		var x struct {
			Type    string `json:"type"`
			Name    string `json:"name"`
			Pattern string `json:"pattern"`
			Kind    string `json:"pattern_type"`
			Revoked bool   `json:"revoked"`
			Sure    *int   `json:"confidence"` // STIX 2.1 §3.2: 0 to 100
			Until   string `json:"valid_until"`
		}
		line := lines.at(at)
		if err := json.Unmarshal(o, &x); err != nil {
			l.problem(line, string(o[:min(len(o), 120)]), err.Error())
			return nil
		}
		if x.Type != "indicator" {
			return nil
		}
		indicators++
		switch {
		case x.Revoked:
			l.problem(line, x.Pattern, "revoked by who published it")
			return nil
		case x.Kind != "" && x.Kind != "stix":
			l.problem(line, x.Pattern, "a pattern in the language "+cutText(x.Kind, 20))
			return nil
		}
		var ok bool
		if l.terms, ok = l.parseTerms(line, "", x.Until); !ok {
			return nil
		}
		if x.Sure != nil {
			l.terms.Confidence = float64(min(max(*x.Sure, 0), 100)) / 100
		}
		return l.pattern(line, x.Pattern, x.Name)
	})
	l.terms = Terms{}
	if err != nil || indicators > 0 {
		return err
	}
	return each(raw, base, func(o []byte, at int) error { return l.observable(o, lines.at(at)) })
}

func (l *List) observable(o []byte, line int) error {
	var x struct {
		Type   string            `json:"type"`
		Value  string            `json:"value"`
		Hashes map[string]string `json:"hashes"`
	}
	if err := json.Unmarshal(o, &x); err != nil {
		l.problem(line, string(o[:min(len(o), 120)]), err.Error())
		return nil
	}
	switch x.Type {
	case "ipv4-addr", "ipv6-addr":
		return l.add(line, model.TypeIP, x.Value, "")
	case "domain-name":
		return l.add(line, model.TypeDomain, x.Value, "")
	case "url":
		return l.add(line, model.TypeURL, x.Value, "")
	case "file":
		return l.file(line, x.Hashes)
	}
	return nil
}

// file takes the surest of a file's hashes (STIX 2.1 §6.7, names of §10.6).
func (l *List) file(line int, hashes map[string]string) error {
	for _, h := range [...]struct {
		name string
		kind model.EntityType
	}{{"SHA-256", model.TypeSHA256}, {"SHA-1", model.TypeSHA1}, {"MD5", model.TypeMD5}} {
		if v := hashes[h.name]; v != "" {
			return l.add(line, h.kind, v, "")
		}
	}
	l.problem(line, "file", "without SHA-256, SHA-1 and MD5, the hashes that are kept")
	return nil
}

type mispAttribute struct {
	Type    string `json:"type"`
	Value   string `json:"value"`
	Comment string `json:"comment"`
}

// event reads a MISP event with its attributes and objects.
func (l *List) event(raw []byte, base int, lines *lineIndex) error {
	var e struct {
		Attribute json.RawMessage `json:"Attribute"`
		Object    json.RawMessage `json:"Object"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	within := func(part []byte) int { return base + max(bytes.Index(raw, part), 0) }
	attributes := func(part json.RawMessage, at int) error {
		if part == nil || string(part) == "null" {
			return nil
		}
		return each(part, at, func(o []byte, at int) error {
			var a mispAttribute
			line := lines.at(at)
			if err := json.Unmarshal(o, &a); err != nil {
				l.problem(line, string(o[:min(len(o), 120)]), err.Error())
				return nil
			}
			return l.misp(line, a.Type, a.Value, a.Comment)
		})
	}
	if err := attributes(e.Attribute, within(e.Attribute)); err != nil {
		return err
	}
	if e.Object == nil || string(e.Object) == "null" {
		return nil
	}
	return each(e.Object, within(e.Object), func(o []byte, at int) error {
		var x struct {
			Attribute json.RawMessage `json:"Attribute"`
		}
		if err := json.Unmarshal(o, &x); err != nil {
			l.problem(lines.at(at), string(o[:min(len(o), 120)]), err.Error())
			return nil
		}
		return attributes(x.Attribute, at+max(bytes.Index(o, x.Attribute), 0))
	})
}

// misp adds an attribute. Types of two parts, such as ip-dst|port, have both in the value.
func (l *List) misp(line int, kind, value, note string) error {
	kinds, values := strings.Split(kind, "|"), strings.Split(value, "|")
	if len(kinds) == 1 || len(kinds) != len(values) {
		kinds, values = []string{kind}, []string{value}
	}
	known := false
	for i, k := range kinds {
		t, ok := typeNamed(k)
		if !ok {
			continue
		}
		known = true
		if err := l.add(line, t, values[i], note); err != nil {
			return err
		}
	}
	if !known {
		l.problem(line, value, "the type "+cutText(kind, 40)+" is not in what is kept")
	}
	return nil
}

// depth refuses documents nested so deep that reading them would be expensive.
func depth(raw []byte) error {
	level, quoted, escaped := 0, false, false
	for _, c := range raw {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if level++; level > maxDepth {
				return fmt.Errorf("nested deeper than %d levels", maxDepth)
			}
		case c == '}' || c == ']':
			level--
		}
	}
	return nil
}

// lineIndex turns places into lines; places must not go back.
type lineIndex struct {
	raw  []byte
	pos  int
	line int
}

func newLines(raw []byte) *lineIndex { return &lineIndex{raw: raw, line: 1} }

func (x *lineIndex) at(pos int) int {
	pos = min(max(pos, 0), len(x.raw))
	if pos < x.pos {
		x.pos, x.line = 0, 1
	}
	x.line += bytes.Count(x.raw[x.pos:pos], []byte("\n"))
	x.pos = pos
	return x.line
}
