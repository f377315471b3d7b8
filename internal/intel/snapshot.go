package intel

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"unique"

	"bartizan/internal/model"
)

// ErrSnapshot is what Restore wraps when bytes are not a snapshot that this
// store can continue from: damaged, of another version, or folded with other
// settings. The store is unchanged then, and folding everything again is right.
var ErrSnapshot = errors.New("not a usable snapshot")

// foldVersion grows whenever the same signals would fold to a different state.
const foldVersion = 1

const snapshotMagic = "bartizan-intel\n"

// Snapshot writes the whole state as bytes that Restore reads back to a store
// that behaves the same from then on. Folding a stream up to a point, writing,
// restoring, and folding the rest gives what folding all of it gives.
//
// The form is a fixed head (magic, version, hash of the settings), a table of
// term keys, the records, and a SHA-256 over all of it. It is meant for the
// same program on the same machine, not for exchange.
func (st *Store) Snapshot() []byte {
	st.mu.RLock()
	defer st.mu.RUnlock()
	w := snapWriter{keys: map[unique.Handle[termKey]]uint64{}}
	var body snapWriter
	for _, r := range st.by {
		w.record(&body, r)
	}
	out := []byte(snapshotMagic)
	out = binary.AppendUvarint(out, foldVersion)
	out = append(out, st.conf.hash()...)
	out = binary.AppendVarint(out, st.newest)
	out = binary.AppendUvarint(out, uint64(len(w.order)))
	head := snapWriter{b: out}
	for _, k := range w.order {
		head.text(k.kind)
		head.text(string(k.class))
		head.text(k.sensor)
		head.b = append(head.b, byte(k.how))
	}
	head.b = binary.AppendUvarint(head.b, uint64(len(st.by)))
	out = append(head.b, body.b...)
	sum := sha256.Sum256(out)
	return append(out, sum[:]...)
}

// hash identifies the settings that decide what a fold gives.
func (c *Config) hash() []byte {
	b, err := json.Marshal(c) // map keys are sorted
	if err != nil {
		panic("BUG: intel: settings cannot be written as JSON: " + err.Error()) // only numbers and strings
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

type snapWriter struct {
	b     []byte
	keys  map[unique.Handle[termKey]]uint64
	order []termKey
}

func (w *snapWriter) text(s string) {
	w.b = binary.AppendUvarint(w.b, uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *snapWriter) key(h unique.Handle[termKey]) uint64 {
	i, known := w.keys[h]
	if !known {
		i = uint64(len(w.order))
		w.keys[h] = i
		w.order = append(w.order, h.Value())
	}
	return i
}

// record appends one record to body; term keys go to the table in w.
func (w *snapWriter) record(body *snapWriter, r *record) {
	body.text(string(r.entity.Type()))
	body.text(r.entity.Value())
	body.b = append(body.b, byte(r.severity))
	body.b = binary.AppendUvarint(body.b, uint64(len(r.techniques)))
	for _, t := range r.techniques {
		body.text(t.Value())
	}
	body.b = binary.AppendUvarint(body.b, uint64(len(r.terms)))
	for i := range r.terms {
		t := &r.terms[i]
		body.b = binary.AppendUvarint(body.b, w.key(t.key))
		body.b = binary.LittleEndian.AppendUint64(body.b, math.Float64bits(t.best))
		for _, v := range [...]int64{t.bestAt, t.last, t.first, int64(t.n), int64(t.count)} {
			body.b = binary.AppendVarint(body.b, v)
		}
		body.b = append(body.b, byte(len(t.ids)))
		for _, id := range t.ids {
			body.b = append(body.b, id[:]...)
		}
	}
}

// Restore replaces the state by one that Snapshot wrote. An error wraps
// ErrSnapshot and leaves the store as it was.
func (st *Store) Restore(b []byte) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	fresh := New(st.conf)
	if err := fresh.restore(b); err != nil {
		return fmt.Errorf("restore intelligence: %w: %w", ErrSnapshot, err)
	}
	st.by, st.order, st.bytes, st.wide, st.newest = fresh.by, fresh.order, fresh.bytes, fresh.wide, fresh.newest
	return nil
}

func (st *Store) restore(b []byte) error {
	if len(b) < len(snapshotMagic)+sha256.Size || !bytes.HasPrefix(b, []byte(snapshotMagic)) {
		return errors.New("it does not begin like one")
	}
	body := b[:len(b)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], b[len(body):]) {
		return errors.New("its checksum is wrong")
	}
	r := snapReader{b: body[len(snapshotMagic):]}
	if v := r.uvarint(); v != foldVersion {
		return fmt.Errorf("it is of version %d, this program folds as version %d", v, foldVersion)
	}
	if h := r.take(sha256.Size); !bytes.Equal(h, st.conf.hash()) {
		return errors.New("it was folded with other settings")
	}
	st.newest = r.varint()
	keys := make([]unique.Handle[termKey], 0, min(r.uvarint(), uint64(len(r.b))))
	for range cap(keys) {
		k := termKey{kind: r.text(), class: model.Class(r.text()), sensor: r.text(), how: how(r.byte())}
		if k.how > related {
			r.fail("a term of unknown kind %d", k.how)
		}
		keys = append(keys, unique.Make(k))
	}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		rec := r.record(keys)
		if r.err != nil {
			break
		}
		if st.by[rec.entity] != nil {
			return fmt.Errorf("it has %s twice", rec.entity.Type())
		}
		rec.refresh(&st.conf)
		st.by[rec.entity] = rec
		st.order.Push(rec)
		st.wide.count(rec.entity, 1)
		st.bytes += rec.cost()
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	st.order.heapify()
	return r.err
}

// snapReader reads what snapWriter wrote; after a failure everything is zero.
type snapReader struct {
	b   []byte
	err error
}

func (r *snapReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.b = nil
}

func (r *snapReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("it ends too early")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *snapReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail("it ends too early")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *snapReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail("it ends too early")
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *snapReader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *snapReader) text() string { return string(r.take(r.uvarint())) }

func (r *snapReader) record(keys []unique.Handle[termKey]) *record {
	kind, value := r.text(), r.text()
	if r.err != nil {
		return nil
	}
	e, err := model.ParseEntity(model.EntityType(kind), value)
	if err != nil || e.Value() != value {
		r.fail("an entity that is none")
		return nil
	}
	rec := &record{entity: e, severity: model.Severity(r.byte())}
	if rec.severity > model.Critical {
		r.fail("severity %d", rec.severity)
	}
	n := r.uvarint()
	if n > MaxTechniques {
		r.fail("%d techniques", n)
		return nil
	}
	for range n {
		rec.techniques = append(rec.techniques, unique.Make(r.text()))
	}
	n = r.uvarint()
	if n > MaxTerms || n == 0 {
		r.fail("%d terms", n)
		return nil
	}
	rec.terms = make([]term, n)
	for i := range rec.terms {
		r.term(&rec.terms[i], keys)
		if slices.ContainsFunc(rec.terms[:i], func(t term) bool { return t.key == rec.terms[i].key }) {
			r.fail("a term twice")
		}
	}
	return rec
}

func (r *snapReader) term(t *term, keys []unique.Handle[termKey]) {
	k := r.uvarint()
	if k >= uint64(len(keys)) {
		r.fail("term key %d of %d", k, len(keys))
		return
	}
	t.key = keys[k]
	if b := r.take(8); len(b) == 8 {
		t.best = math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	t.bestAt, t.last, t.first = r.varint(), r.varint(), r.varint()
	n, count := r.varint(), r.varint()
	if !(t.best >= 0 && t.best < math.MaxFloat32) || n < 1 || n > math.MaxUint32 || count < 0 || count > math.MaxUint32 {
		r.fail("a term out of range")
	}
	t.n, t.count = uint32(n), uint32(count)
	ids := r.byte()
	if ids > MaxTermIDs {
		r.fail("%d signal ids", ids)
		return
	}
	t.ids = make([]model.ULID, ids)
	for i := range t.ids {
		copy(t.ids[i][:], r.take(16))
	}
}
