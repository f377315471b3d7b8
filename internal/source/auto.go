package source

import "bartizan/internal/observe"

// Named is a format with its name in the table.
type Named struct {
	Name   string
	Format Format
}

// Auto recognises formats by the content of each record: the one that read the
// last record is asked first, the others in the order given.
type Auto struct{ formats []Named }

// NewAuto makes the format "auto" of the formats given.
func NewAuto(formats []Named) *Auto { return &Auto{formats} }

// Decoder implements Format.
func (a *Auto) Decoder() Decoder {
	d := &autoDecoder{}
	for _, f := range a.formats {
		d.all = append(d.all, f.Format.Decoder())
	}
	return d
}

type autoDecoder struct {
	all  []Decoder
	last int
}

// Decode implements Decoder.
func (d *autoDecoder) Decode(record []byte, at uint64, b *observe.LogBatch) error {
	if len(d.all) == 0 {
		return ErrFormat
	}
	flows, events, queries, documents := len(b.Flows), len(b.Events), len(b.Queries), len(b.Documents)
	best := error(ErrFormat)
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
