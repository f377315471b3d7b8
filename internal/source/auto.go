package source

import (
	"bytes"

	"bartizan/internal/observe"
)

// Named is a format with its name in the table.
type Named struct {
	Name   string
	Format Format
}

// Auto recognises formats by the content of each record: the one that read the
// last record is asked first, the others in the order given.
type Auto struct {
	formats []Named
	// Rest, when set, is asked about what is in none of the formats, after what
	// collectors put around records was taken off.
	Rest Format
}

// NewAuto makes the format "auto" of the formats given.
func NewAuto(formats []Named) *Auto { return &Auto{formats: formats} }

// Decoder implements Format.
func (a *Auto) Decoder() Decoder {
	d := &autoDecoder{}
	for _, f := range a.formats {
		d.all = append(d.all, f.Format.Decoder())
		if f.Name != "syslog" && f.Name != "auth" { // which take nearly everything behind a time
			d.strict = append(d.strict, len(d.all)-1)
		}
	}
	if a.Rest != nil {
		d.rest = a.Rest.Decoder()
	}
	return d
}

type autoDecoder struct {
	all    []Decoder
	strict []int
	last   int
	inner  inner
	rest   Decoder // nil: none
}

// Decode implements Decoder.
func (d *autoDecoder) Decode(record []byte, at uint64, b *observe.LogBatch) error {
	err := d.decode(record, at, b)
	if err == nil || err == ErrHeader || d.rest == nil || record[0] != '{' { //nolint:errorlint // decoders return the value itself; this is per record
		return err
	}
	for _, within := range d.inner.of(record) {
		if len(within) > 0 && d.decode(within, at, b) == nil {
			return nil
		}
	}
	return d.rest.Decode(record, at, b)
}

func (d *autoDecoder) decode(record []byte, at uint64, b *observe.LogBatch) error {
	if len(d.all) == 0 {
		return ErrFormat
	}
	if carried(record) {
		for _, within := range d.inner.of(record) {
			if len(within) > 0 && d.decodeStrict(within, at, b) == nil {
				return nil
			}
		}
	}
	flows, events, queries, documents := len(b.Flows), len(b.Events), len(b.Queries), len(b.Documents)
	best := ErrFormat
	for i := -1; i < len(d.all); i++ {
		k := i
		if i < 0 {
			k = d.last
		} else if i == d.last {
			continue
		}
		err := d.all[k].Decode(record, at, b)
		if err == nil || err == ErrHeader { //nolint:errorlint // decoders return the value itself; this is per record
			d.last = k
			return err
		}
		// A decoder that failed half-way leaves nothing behind.
		b.Flows, b.Events, b.Queries, b.Documents = b.Flows[:flows], b.Events[:events], b.Queries[:queries], b.Documents[:documents]
		if best == ErrFormat { //nolint:errorlint // as above
			best = err
		}
	}
	return best
}

// carried reports a record that a time stands in front of, as CRI and "aws logs
// tail" write it: a line of syslog has the name of a host there.
func carried(record []byte) bool {
	if !stamped(record) {
		return false
	}
	_, rest, _ := bytes.Cut(record, []byte(" "))
	return len(rest) > 8 && (rest[0] >= '0' && rest[0] <= '9' || rest[0] == '{' || bytes.HasPrefix(rest, []byte("stdout ")) || bytes.HasPrefix(rest, []byte("stderr ")))
}

// decodeStrict asks the formats that know their records for sure.
func (d *autoDecoder) decodeStrict(record []byte, at uint64, b *observe.LogBatch) error {
	flows, events, queries, documents := len(b.Flows), len(b.Events), len(b.Queries), len(b.Documents)
	for _, k := range d.strict {
		if d.all[k].Decode(record, at, b) == nil {
			return nil
		}
		b.Flows, b.Events, b.Queries, b.Documents = b.Flows[:flows], b.Events[:events], b.Queries[:queries], b.Documents[:documents]
	}
	return ErrFormat
}
