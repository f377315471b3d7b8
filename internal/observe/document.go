package observe

import (
	"errors"

	"github.com/valyala/fastjson"
)

// Document is a record written as one JSON object, for detectors that look at
// fields by name (rules). Its memory belongs to the batch it is in.
type Document struct {
	Record                     uint64 // index of the record in its input, from 0
	Product, Category, Service string // log source in the words of Sigma, where the format knows it

	parser fastjson.Parser
	value  *fastjson.Value
}

// JSON is the object; valid until the batch is filled again. It is nil before Set.
func (d *Document) JSON() *fastjson.Value { return d.value }

// errDocument says no more: what a parser says may quote the record.
var errDocument = errors.New("not one valid JSON object")

// AddDocument parses raw, which it does not keep, and appends the document. It
// is not in the batch when there is an error.
func (b *LogBatch) AddDocument(record uint64, raw []byte) (*Document, error) {
	n := len(b.Documents)
	if n < cap(b.Documents) {
		b.Documents = b.Documents[:n+1]
	} else {
		b.Documents = append(b.Documents, Document{})
	}
	d := &b.Documents[n]
	v, err := d.parser.ParseBytes(raw)
	if err != nil || v.Type() != fastjson.TypeObject {
		b.Documents = b.Documents[:n]
		return nil, errDocument
	}
	d.Record, d.value = record, v
	d.Product, d.Category, d.Service = "", "", ""
	return d, nil
}

// Narrow makes the document the object at path inside it, as an envelope has
// one; false when there is none.
func (d *Document) Narrow(path ...string) bool {
	v := d.value.Get(path...)
	if v == nil || v.Type() != fastjson.TypeObject {
		return false
	}
	d.value = v
	return true
}
