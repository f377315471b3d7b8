package netflow

import (
	"container/list"
	"net/netip"

	goflow "github.com/netsampler/goflow2/v2/decoders/netflow"
)

// Caps on what one exporter may make the reader hold.
const (
	maxTemplates = 512
	maxFields    = 256
)

// exporter is where templates are from: an address, and a process there.
type exporter struct {
	addr   netip.Addr
	domain uint32
}

// exporters holds their templates, the one silent for longest first.
type exporters struct {
	most  int
	all   map[exporter]*list.Element
	order list.List
}

type known struct {
	exporter
	templates templates
}

// of returns the templates of an exporter.
func (e *exporters) of(x exporter) *templates {
	if el, ok := e.all[x]; ok {
		e.order.MoveToBack(el)
		return &el.Value.(*known).templates //nolint:forcetypeassert // the list holds nothing else
	}
	if len(e.all) >= e.most {
		oldest := e.order.Front()
		delete(e.all, oldest.Value.(*known).exporter) //nolint:forcetypeassert // as above
		e.order.Remove(oldest)
	}
	k := &known{exporter: x, templates: templates{all: map[templateKey]any{}}}
	e.all[x] = e.order.PushBack(k)
	return &k.templates
}

type templateKey struct {
	version uint16
	id      uint16
}

// templates implements the library's store, which has no caps.
type templates struct {
	all     map[templateKey]any
	started int64 // when the exporter began, in Unix milliseconds; 0: not said
}

// options reads what an exporter of IPFIX says about itself: times in records
// may count from its start.
func (t *templates) options(set *goflow.OptionsDataFlowSet) {
	for i := range set.Records {
		for _, v := range set.Records[i].OptionsValues {
			if b, ok := v.Value.([]byte); ok && v.Type == initTime && !v.PenProvided {
				if n := number(b); n < 1<<50 {
					t.started = int64(n)
				}
			}
		}
	}
}

// AddTemplate implements netflow.NetFlowTemplateSystem. A template that is too
// large, or whose records would have no length so that reading them never ends,
// is left out: its data counts as data without a template.
func (t *templates) AddTemplate(version uint16, _ uint32, id uint16, template any) error {
	var fields []goflow.Field
	switch x := template.(type) {
	case goflow.TemplateRecord:
		fields = x.Fields
	case goflow.NFv9OptionsTemplateRecord:
		fields = append(append(fields, x.Scopes...), x.Options...)
	case goflow.IPFIXOptionsTemplateRecord:
		fields = append(append(fields, x.Scopes...), x.Options...)
	}
	length := 0
	for _, f := range fields {
		length += int(f.Length)
	}
	k := templateKey{version, id}
	delete(t.all, k)
	if length > 0 && len(fields) <= maxFields && len(t.all) < maxTemplates {
		t.all[k] = template
	}
	return nil
}

// GetTemplate implements netflow.NetFlowTemplateSystem.
func (t *templates) GetTemplate(version uint16, _ uint32, id uint16) (any, error) {
	if x, ok := t.all[templateKey{version, id}]; ok {
		return x, nil
	}
	return nil, goflow.ErrorTemplateNotFound
}

// RemoveTemplate implements netflow.NetFlowTemplateSystem.
func (t *templates) RemoveTemplate(version uint16, domain uint32, id uint16) (any, error) {
	x, err := t.GetTemplate(version, domain, id)
	delete(t.all, templateKey{version, id})
	return x, err
}

// GetTemplates implements netflow.NetFlowTemplateSystem; nothing here asks for
// all of them.
func (t *templates) GetTemplates() goflow.FlowBaseTemplateSet { return nil }
