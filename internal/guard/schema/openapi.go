package schema

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// openAPI is a schema as OpenAPI 3.0 has it and Gemini takes it: types may be in capitals,
// numbers may be strings, keys may have underscores.
type openAPI struct {
	Type, Format, Pattern string
	Nullable              bool
	Enum                  []any
	Properties            map[string]*openAPI
	Items                 *openAPI
	AnyOf                 []*openAPI
	AnyOf2                []*openAPI `json:"any_of"`
	Required              []string
	Minimum, Maximum      *float64
	MinItems, MaxItems    *count
	MinItems2             *count `json:"min_items"`
	MaxItems2             *count `json:"max_items"`
	MinLength, MaxLength  *count
	MinLength2            *count `json:"min_length"`
	MaxLength2            *count `json:"max_length"`
	MinProperties         *count
	MaxProperties         *count
	AdditionalProperties  json.RawMessage
	Defs                  map[string]*openAPI `json:"$defs"`
	Ref                   string              `json:"$ref"`
}

// count is a number that protocol buffers write as a string.
type count int

// UnmarshalJSON takes 3 and "3".
func (c *count) UnmarshalJSON(b []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(b), `"`))
	*c = count(n)
	return err
}

func either(a, b *count) *int {
	if a == nil {
		a = b
	}
	if a == nil {
		return nil
	}
	n := int(*a)
	return &n
}

// schema is the same as JSON Schema.
func (o *openAPI) schema() *jsonschema.Schema {
	if o == nil {
		return nil
	}
	s := &jsonschema.Schema{Ref: o.Ref, Pattern: o.Pattern, Enum: o.Enum, Required: o.Required, Items: o.Items.schema(), Minimum: o.Minimum, Maximum: o.Maximum,
		MinItems: either(o.MinItems, o.MinItems2), MaxItems: either(o.MaxItems, o.MaxItems2), MinLength: either(o.MinLength, o.MinLength2),
		MaxLength: either(o.MaxLength, o.MaxLength2), MinProperties: either(o.MinProperties, nil), MaxProperties: either(o.MaxProperties, nil)}
	kind := strings.ToLower(o.Type)
	switch {
	case kind == "" || kind == "type_unspecified":
	case o.Nullable:
		s.Types = []string{kind, "null"}
	default:
		s.Type = kind
	}
	if o.Nullable && s.Enum != nil {
		s.Enum = append(s.Enum, nil)
	}
	for _, one := range append(o.AnyOf, o.AnyOf2...) {
		s.AnyOf = append(s.AnyOf, one.schema())
	}
	s.Properties, s.Defs = each(o.Properties), each(o.Defs)
	switch more := strings.TrimSpace(string(o.AdditionalProperties)); {
	case more == "false":
		s.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}}
	case strings.HasPrefix(more, "{"):
		var of openAPI
		if json.Unmarshal(o.AdditionalProperties, &of) == nil {
			s.AdditionalProperties = of.schema()
		}
	}
	return s
}

func each(all map[string]*openAPI) map[string]*jsonschema.Schema {
	if all == nil {
		return nil
	}
	out := make(map[string]*jsonschema.Schema, len(all))
	for name, o := range all {
		out[name] = o.schema()
	}
	return out
}
