package observe

import (
	"errors"

	"bartizan/internal/observe/jsonview"

	"github.com/valyala/fastjson"
)

// Document is a record written as one JSON object, for detectors that look at
// fields by name (rules). Its memory belongs to the batch it is in.
type Document struct {
	Record                     uint64 // index of the record in its input, from 0
	Product, Category, Service string // log source in the words of Sigma, where the format knows it

	view jsonview.Doc
}

// JSON is the object; valid until the batch is filled again. It is parsed when
// first asked for: who needs a few fields asks View. It is nil before Set.
func (d *Document) JSON() *fastjson.Value { return d.view.JSON() }

// View finds fields without parsing the whole; valid as JSON is.
func (d *Document) View() *jsonview.Doc { return &d.view }

// errDocument says no more: what a parser says may quote the record.
var errDocument = errors.New("not one valid JSON object")

// AddDocument reads raw, which it does not keep, and appends the document. It
// is not in the batch when there is an error.
func (b *LogBatch) AddDocument(record uint64, raw []byte) (*Document, error) {
	n := len(b.Documents)
	if n < cap(b.Documents) {
		b.Documents = b.Documents[:n+1]
	} else {
		b.Documents = append(b.Documents, Document{})
	}
	if b.wanted == nil {
		b.wanted = &jsonview.Wanted{}
	}
	d := &b.Documents[n]
	if d.view.Read(raw, b.wanted) != nil {
		b.Documents = b.Documents[:n]
		return nil, errDocument
	}
	d.Record = record
	d.Product, d.Category, d.Service = "", "", ""
	return d, nil
}

// Narrow makes the document the object at path inside it, as an envelope has
// one; false when there is none.
func (d *Document) Narrow(path ...string) bool { return d.view.Narrow(path...) }
