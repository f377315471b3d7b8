package mcp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of one tool definition.
const (
	MaxDefinition = 256 << 10 // bytes
	MaxToolName   = 256       // bytes; the specification of 2025-11-25 recommends 128
	MaxDepth      = 100       // levels of nesting of any message
)

// Tool is one definition as a server sent it.
type Tool struct {
	Name        string
	Title       string
	Description string
	Schema      jsontext.Value // of the arguments; nil when there is none
	Raw         jsontext.Value // the whole definition, its bytes untouched
}

// ParseTool reads a definition. Unknown members are kept in Raw and count in the hash.
func ParseTool(raw []byte) (Tool, error) {
	t := Tool{Raw: raw}
	if len(raw) > MaxDefinition {
		return t, fmt.Errorf("tool definition of %d bytes, the limit is %d", len(raw), MaxDefinition)
	}
	err := Members(raw, func(name string, v jsontext.Value, _ int) (err error) {
		switch name {
		case "name":
			t.Name, err = Text(v)
		case "title":
			t.Title, err = Text(v)
		case "description":
			t.Description, err = Text(v)
		case "inputSchema":
			t.Schema = v
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return err
	})
	switch {
	case err != nil:
		return t, fmt.Errorf("tool definition: %w", err)
	case t.Name == "" || len(t.Name) > MaxToolName:
		return t, fmt.Errorf("tool definition: a name of %d bytes; it needs 1 to %d", len(t.Name), MaxToolName)
	}
	return t, nil
}

// Canonical is the definition in the form of RFC 8785: the same for the same
// content, whatever order and spaces the server uses.
func (t Tool) Canonical() ([]byte, error) {
	v := jsontext.Value(bytes.Clone(t.Raw))
	if err := v.Canonicalize(); err != nil {
		return nil, fmt.Errorf("tool definition: %w", err)
	}
	return v, nil
}

// Hash of a canonical definition: SHA-256 in hex.
func Hash(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// Texts are all strings of a definition that a model may read, the names of
// arguments and descriptions at any depth included, one per line.
func (t Tool) Texts() string { return Strings(t.Raw, true, nil) }

// Properties are the names of the arguments in the schema.
func (t Tool) Properties() (out []string) {
	if t.Schema.Kind() != '{' {
		return nil
	}
	_ = Members(t.Schema, func(name string, v jsontext.Value, _ int) error { // what cannot be read has none
		if name != "properties" || v.Kind() != '{' {
			return nil
		}
		return Members(v, func(name string, _ jsontext.Value, _ int) error {
			out = append(out, name)
			return nil
		})
	})
	return out
}

// Strings collects the strings of a JSON value in order, one per line; with
// names also the names of members; without, only those that look like sentences.
// Members in skip are left out with all below.
func Strings(raw []byte, names bool, skip map[string]bool) string {
	var b strings.Builder
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	for {
		isName := false
		if kind, n := d.StackIndex(d.StackDepth()); kind == '{' && n%2 == 0 {
			isName = true
		}
		tok, err := d.ReadToken()
		if err != nil {
			return strings.TrimSuffix(b.String(), "\n")
		}
		if tok.Kind() != '"' {
			continue
		}
		s := tok.String()
		if isName && skip[s] {
			if d.SkipValue() != nil {
				return b.String()
			}
			continue
		}
		if s != "" && (!isName || names || strings.Count(s, " ") > 1) {
			b.WriteString(s + "\n")
		}
	}
}

// Members calls visit for each member of a JSON object with its value's bytes and
// the offset of its name. Duplicate names, invalid UTF-8, nesting deeper than
// MaxDepth and anything after the object are errors.
func Members(raw []byte, visit func(name string, v jsontext.Value, at int) error) error {
	if err := checkDepth(raw); err != nil {
		return err
	}
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	tok, err := d.ReadToken()
	if err != nil {
		return syntax(err)
	}
	if tok.Kind() != '{' {
		return errors.New("not a JSON object")
	}
	for d.PeekKind() != '}' {
		tok, err := d.ReadToken()
		if err != nil {
			return syntax(err)
		}
		name := tok.String()
		at := int(d.InputOffset()) - 1
		v, err := d.ReadValue()
		if err != nil {
			return syntax(err)
		}
		if err := visit(name, bytes.Clone(v), at); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return syntax(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// Elements calls visit for each element of a JSON array.
func Elements(raw []byte, visit func(v jsontext.Value) error) error {
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	tok, err := d.ReadToken()
	if err != nil {
		return syntax(err)
	}
	if tok.Kind() != '[' {
		return errors.New("not a JSON array")
	}
	for d.PeekKind() != ']' {
		v, err := d.ReadValue()
		if err != nil {
			return syntax(err)
		}
		if err := visit(bytes.Clone(v)); err != nil {
			return err
		}
	}
	_, err = d.ReadToken()
	return syntax(err)
}

// Text reads a JSON string.
func Text(v jsontext.Value) (string, error) {
	if v.Kind() != '"' {
		return "", fmt.Errorf("not a string")
	}
	s, err := jsontext.AppendUnquote(nil, []byte(v))
	return string(s), syntax(err)
}

// checkDepth counts brackets outside strings; it trusts nothing else of the text.
func checkDepth(raw []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("nested deeper than %d levels", MaxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// syntax keeps the reason and the place of an error and none of the text.
func syntax(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(e.Err, jsontext.ErrDuplicateName) {
			return fmt.Errorf("malformed JSON at byte %d: a name twice in one object", e.ByteOffset)
		}
		return fmt.Errorf("malformed JSON at byte %d", e.ByteOffset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("malformed JSON: it ends too early")
	}
	return errors.New("malformed JSON")
}
