package rule

import (
	"fmt"
	"strings"

	"bartizan/internal/detect/normal"
	"bartizan/internal/observe"
)

// Field is a set of places in an observation where a text can be.
type Field uint32

// The fields. Each group of rules knows some of them.
const (
	FieldLine Field = 1 << iota
	FieldMethod
	FieldPath
	FieldQuery
	FieldHost
	FieldUA
	FieldReferer
	FieldCookie
	FieldHeader
	FieldBody
	FieldService
	FieldOp
	FieldArgs
	FieldDetail
	FieldPrompt
	FieldSystem
	FieldModel
	FieldRoute
	FieldKey
	FieldFirst
	FieldClient
	FieldProtocol
	FieldProto
)

// fieldNames in the order used by errors.
var fieldNames = [...]struct {
	name  string
	field Field
}{
	{"line", FieldLine}, {"method", FieldMethod}, {"path", FieldPath}, {"query", FieldQuery},
	{"host", FieldHost}, {"ua", FieldUA}, {"referer", FieldReferer}, {"cookie", FieldCookie},
	{"header", FieldHeader}, {"body", FieldBody}, {"service", FieldService}, {"op", FieldOp},
	{"args", FieldArgs}, {"detail", FieldDetail}, {"prompt", FieldPrompt}, {"system", FieldSystem},
	{"model", FieldModel}, {"route", FieldRoute}, {"key", FieldKey}, {"first", FieldFirst},
	{"client", FieldClient}, {"protocol", FieldProtocol}, {"proto", FieldProto},
}

// Group is a family of rules: which observations they see and by which fields.
type Group string

// The groups; each is a folder of content/rules.
const (
	Command Group = "command"
	Web     Group = "web"
	Service Group = "service"
	Prompt  Group = "prompt"
	Probe   Group = "probe"
)

// webInputs are the fields a payload can be in.
const webInputs = FieldPath | FieldQuery | FieldCookie | FieldHeader | FieldBody | FieldUA | FieldReferer

var groupFields = map[Group]Field{
	Command: FieldLine,
	Web:     webInputs | FieldMethod | FieldHost | FieldProto | FieldService,
	Service: FieldService | FieldOp | FieldArgs | FieldDetail,
	Prompt:  FieldPrompt | FieldSystem | FieldModel | FieldRoute | FieldKey,
	Probe:   FieldFirst | FieldClient | FieldProtocol | FieldService | FieldMethod | FieldPath | FieldQuery | FieldUA | FieldHeader | FieldHost | FieldProto,
}

// field resolves a name as written in a rule of group g; "any" means every
// field of a request that can carry a payload.
func (g Group) field(name string) (Field, error) {
	if g == Web && name == "any" {
		return webInputs, nil
	}
	var known []string
	for _, f := range fieldNames {
		if f.field&groupFields[g] == 0 {
			continue
		}
		if f.name == name {
			return f.field, nil
		}
		known = append(known, f.name)
	}
	return 0, fmt.Errorf("unknown field %.32q in a %s rule: one of %s", name, g, strings.Join(known, ", "))
}

// Texts fills sc.Texts with the readings of o that rules of group g look at;
// none when the group does not concern itself with such an observation.
func (g Group) Texts(o *observe.Observation, sc *Scratch) []Text {
	sc.Texts = sc.Texts[:0]
	switch {
	case g == Command && o.Command != nil:
		sc.Strings = normal.Command(sc.Strings[:0], o.Command.Line)
		sc.addAll(FieldLine)
	case g == Web && o.HTTP != nil:
		sc.web(o)
	case g == Service && o.Call != nil:
		sc.call(o)
	case g == Prompt && o.Exchange != nil:
		x := o.Exchange
		sc.add(FieldPrompt, normal.Prompt(x.Prompt))
		sc.add(FieldSystem, normal.Prompt(x.System))
		sc.add(FieldModel, normal.Lower(x.Model))
		sc.add(FieldRoute, normal.Lower(x.Route))
		sc.add(FieldKey, normal.Lower(x.Key))
	case g == Probe && o.Interaction != nil:
		i := o.Interaction
		sc.add(FieldFirst, normal.Bytes(i.First[:min(len(i.First), 2048)]))
		sc.add(FieldClient, normal.Lower(i.Client))
		sc.add(FieldProtocol, normal.Lower(i.Protocol))
		sc.add(FieldService, normal.Lower(o.Service))
	case g == Probe && o.HTTP != nil:
		sc.probe(o)
	}
	return sc.Texts
}

func (sc *Scratch) add(f Field, s string) {
	if s != "" {
		sc.Texts = append(sc.Texts, Text{f, s})
	}
}

func (sc *Scratch) addAll(f Field) {
	for _, s := range sc.Strings {
		sc.add(f, s)
	}
}

func (sc *Scratch) addWeb(f Field, s string, plus bool) {
	if s == "" {
		return
	}
	sc.Strings = normal.Web(sc.Strings[:0], s, plus)
	sc.addAll(f)
}

// maxParams bounds how many parameters are looked into for base64.
const maxParams = 64

// addParams reads a query or form, and once more what its values hold in base64.
func (sc *Scratch) addParams(f Field, s string) {
	sc.addWeb(f, s, true)
	normal.Params(s, maxParams, func(v string) {
		if text, ok := normal.Base64(normal.Percent(v, false)); ok {
			sc.addWeb(f, text, false)
		}
	})
}

func (sc *Scratch) web(o *observe.Observation) {
	h := o.HTTP
	sc.add(FieldMethod, normal.Lower(h.Method))
	sc.add(FieldProto, normal.Lower(h.Proto))
	sc.add(FieldService, normal.Lower(o.Service))
	path, query, _ := strings.Cut(h.Target, "?")
	sc.addWeb(FieldPath, path, false)
	sc.addParams(FieldQuery, query)
	sc.addWeb(FieldHost, h.Host, false)
	form := true
	for i := range h.Headers {
		name, value := h.Headers[i].Name, h.Headers[i].Value
		switch {
		case strings.EqualFold(name, "user-agent"):
			sc.addWeb(FieldUA, value, false)
		case strings.EqualFold(name, "referer"):
			sc.addWeb(FieldReferer, value, false)
		case strings.EqualFold(name, "cookie"):
			sc.addWeb(FieldCookie, value, false)
			sc.cookies(value)
		case strings.EqualFold(name, "host"), dull(name, value):
		default:
			if strings.EqualFold(name, "content-type") {
				form = len(value) < 4 || !strings.Contains(normal.Lower(value), "json")
			}
			sc.addWeb(FieldHeader, name+": "+value, false)
			_, cred, _ := strings.Cut(value, " ")
			if text, ok := normal.Base64(cred); ok {
				sc.addWeb(FieldHeader, text, false)
			}
		}
	}
	if len(h.Body) > 0 {
		body := string(h.Body)
		if form {
			sc.addParams(FieldBody, body)
		} else {
			sc.addWeb(FieldBody, body, false)
		}
	}
}

func (sc *Scratch) cookies(value string) {
	for range maxParams {
		var kv string
		var more bool
		kv, value, more = strings.Cut(value, ";")
		if _, v, ok := strings.Cut(kv, "="); ok {
			if text, ok := normal.Base64(normal.Percent(v, false)); ok {
				sc.addWeb(FieldCookie, text, false)
			}
		}
		if !more {
			return
		}
	}
}

// dull reports whether a header says what nearly every request says, so that
// it is not worth a pass. Only exact values count.
func dull(name, value string) bool {
	switch len(name) {
	case 6:
		return strings.EqualFold(name, "accept") && value == "*/*"
	case 10:
		return strings.EqualFold(name, "connection") && (value == "close" || value == "keep-alive" || value == "Keep-Alive")
	case 15:
		return strings.EqualFold(name, "accept-encoding") && (value == "gzip" || value == "gzip, deflate" || value == "gzip, deflate, br")
	}
	return false
}

func (sc *Scratch) call(o *observe.Observation) {
	c := o.Call
	sc.add(FieldService, normal.Lower(o.Service))
	sc.add(FieldOp, normal.Lower(c.Operation))
	args := strings.Join(c.Args, " ")
	sc.Strings = append(sc.Strings[:0], normal.Lower(args))
	if esc := normal.Escapes(args); esc != args {
		sc.Strings = append(sc.Strings, normal.Lower(esc))
	}
	sc.addAll(FieldArgs)
	sc.addWeb(FieldDetail, c.Detail, false)
}

func (sc *Scratch) probe(o *observe.Observation) {
	h := o.HTTP
	sc.add(FieldService, normal.Lower(o.Service))
	sc.add(FieldMethod, normal.Lower(h.Method))
	sc.add(FieldProto, normal.Lower(h.Proto))
	sc.add(FieldHost, normal.Lower(h.Host))
	path, query, _ := strings.Cut(h.Target, "?")
	sc.add(FieldPath, normal.Lower(path))
	sc.add(FieldQuery, normal.Lower(query))
	for i := range h.Headers {
		f := FieldHeader
		text := h.Headers[i].Value
		if strings.EqualFold(h.Headers[i].Name, "user-agent") {
			f = FieldUA
		} else if dull(h.Headers[i].Name, text) || strings.EqualFold(h.Headers[i].Name, "host") {
			continue
		} else {
			text = h.Headers[i].Name + ": " + text
		}
		sc.add(f, normal.Lower(text))
	}
}
