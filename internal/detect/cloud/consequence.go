package cloud

import (
	"strings"

	"bartizan/internal/detect"
	"bartizan/internal/model"

	"github.com/valyala/fastjson"
)

// consequence is a call that is told whoever makes it.
type consequence struct {
	calls      string // "service:Operation …"; the service may be *
	rule       string
	title      string
	severity   model.Severity
	class      model.Class
	techniques []string
	when       func(*call) bool // what it must ask for; nil: anything
	attempt    bool             // told when it is refused as well
}

// index is the tables by service and operation.
func index() map[string][]*consequence {
	out := map[string][]*consequence{}
	for _, table := range [...][]consequence{defences(), sharing(), identity(), machines(), destruction()} {
		for i := range table {
			if table[i].class == "" {
				table[i].class = model.ClassCommand
			}
			for name := range strings.FieldsSeq(table[i].calls) {
				out[name] = append(out[name], &table[i])
			}
		}
	}
	return out
}

// consequences tells what the call did.
func (d *detector) consequences(c *call, emit detect.Emit) {
	told := false
	for _, key := range [...]string{c.service + ":" + c.name, "*:" + c.name} {
		for _, q := range d.calls[key] {
			refused := c.f[fError] != ""
			if told || refused && !q.attempt || q.when != nil && !q.when(c) {
				continue
			}
			told = true // the first of the table is the most precise
			request := c.request()
			most := 1
			if q.severity >= model.Medium {
				most = 3 // again is news, always is a habit
			}
			if !d.atMost(most, c.at, "call", q.rule, c.who(), request) {
				continue
			}
			f := finding{rule: q.rule, title: q.title, severity: q.severity, class: q.class, techniques: q.techniques, excerpt: request}
			if refused {
				f.severity, f.title = min(f.severity, model.Medium), q.title+" (refused: "+c.f[fError]+")"
			}
			d.say(c, f, emit)
		}
	}
	if !told && c.f[fType] == "Root" && c.f[fError] == "" && c.f[fReadOnly] != "true" && c.service != "signin" && changes(c.name) && d.atMost(3, c.at, "root", c.account(), c.name) {
		d.say(c, finding{rule: "cloud.root-used", title: "changed something as root", severity: model.Medium, class: model.ClassAccess, techniques: []string{"T1078.004"}, excerpt: c.request()}, emit)
	}
}

// changes reports an operation that does not only read, by its name.
func changes(name string) bool {
	for _, p := range [...]string{"Get", "List", "Describe", "Head", "Lookup", "Search", "Query", "Scan", "Check", "BatchGet", "Select", "View", "CreateServiceLinkedRole"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	return true
}

// maxRequest is how much of a request is quoted and compared.
const maxRequest = 4096

// request is what the call asked for, as text.
func (c *call) request() string {
	v := c.doc.JSON().Get("requestParameters")
	if v == nil || v.Type() == fastjson.TypeNull {
		return ""
	}
	s := string(v.MarshalTo(nil))
	return s[:min(len(s), maxRequest)]
}

// req is a part of the request; nil when there is none.
func (c *call) req(path ...string) *fastjson.Value {
	return c.doc.JSON().Get(append([]string{"requestParameters"}, path...)...)
}

// text is a text of the request.
func (c *call) text(path ...string) string {
	return string(c.req(path...).GetStringBytes())
}

// is reports a flag of the request, however it is written.
func (c *call) is(want bool, path ...string) bool {
	v := c.req(path...)
	if v == nil {
		return false
	}
	switch v.Type() {
	case fastjson.TypeTrue:
		return want
	case fastjson.TypeFalse:
		return !want
	case fastjson.TypeString:
		return strings.EqualFold(string(v.GetStringBytes()), map[bool]string{true: "true", false: "false"}[want])
	case fastjson.TypeObject: // EC2 writes {"value": true}
		return c.is(want, append(path, "value")...)
	}
	return false
}

// maxNested bounds how deep a request is searched.
const maxNested = 12

// any reports whether a text somewhere under v, with the name it stands under, is wanted.
func anyText(v *fastjson.Value, wanted func(name, text string) bool) bool {
	return search("", v, 0, wanted)
}

func search(name string, v *fastjson.Value, deep int, wanted func(name, text string) bool) (found bool) {
	if v == nil || deep > maxNested {
		return false
	}
	switch v.Type() {
	case fastjson.TypeString:
		return wanted(name, string(v.GetStringBytes()))
	case fastjson.TypeObject:
		o, err := v.Object()
		if err != nil {
			return false
		}
		o.Visit(func(k []byte, v *fastjson.Value) {
			found = found || search(string(k), v, deep+1, wanted)
		})
	case fastjson.TypeArray:
		for _, e := range v.GetArray() {
			if search(name, e, deep+1, wanted) {
				return true
			}
		}
	}
	return found
}

// has reports whether the request has a text with one of the words in it.
func has(words ...string) func(*call) bool {
	return func(c *call) bool {
		return anyText(c.req(), func(_, t string) bool {
			for _, w := range words {
				if strings.Contains(t, w) {
					return true
				}
			}
			return false
		})
	}
}

// stranger reports an account that is not the one the call is made in.
func (c *call) stranger(id string) bool {
	own := c.account()
	return isAccount(id) && own != "" && id != own && id != c.f[fAccount]
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

// accountOf is the account of an ARN, or of what is nothing but an account.
func accountOf(s string) string {
	if isAccount(s) {
		return s
	}
	if p := strings.SplitN(s, ":", 6); len(p) == 6 && p[0] == "arn" {
		return p[4]
	}
	return ""
}

// policy is an access policy of the request, which may stand there as text.
func (c *call) policy(path ...string) *fastjson.Value {
	v := c.req(path...)
	if v == nil || v.Type() != fastjson.TypeString {
		return v
	}
	p, err := c.d.policies.ParseBytes(v.GetStringBytes())
	if err != nil {
		return nil
	}
	return p
}

// statements calls f for each statement of a policy that allows something, until it says true.
func statements(policy *fastjson.Value, f func(*fastjson.Value) bool) bool {
	if policy == nil {
		return false
	}
	list := policy.GetArray("Statement")
	if one := policy.Get("Statement"); one != nil && one.Type() == fastjson.TypeObject {
		list = []*fastjson.Value{one}
	}
	for _, s := range list {
		if string(s.GetStringBytes("Effect")) == "Allow" && f(s) {
			return true
		}
	}
	return false
}

// opens reports a policy that lets everybody in, or another account, without a condition.
func (c *call) opens(policy *fastjson.Value) bool {
	return statements(policy, func(s *fastjson.Value) bool {
		conditional := s.Exists("Condition")
		return anyText(s.Get("Principal"), func(name, t string) bool {
			if name == "Service" || name == "Federated" {
				return false
			}
			return t == "*" && !conditional || c.stranger(accountOf(t))
		})
	})
}

// rules reports a policy that allows everything.
func allowsAll(policy *fastjson.Value) bool {
	star := func(v *fastjson.Value) bool {
		return anyText(v, func(_, t string) bool { return t == "*" || t == "*:*" })
	}
	return statements(policy, func(s *fastjson.Value) bool {
		return star(s.Get("Action")) && star(s.Get("Resource")) && !s.Exists("Condition")
	})
}
