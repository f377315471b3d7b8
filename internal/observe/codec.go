package observe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"bartizan/internal/model"
)

// The compact form of a batch, for the pipe between the decoys' process and the
// node, both of one build: nothing stores it. A million visits a minute would
// spend more time in a text format than in the decoys.
//
//	batch       = magic version count *observation
//	observation = length ( kind flags time session local remote names body ) count *blob
//	blob        = length ( what hash size ) length data
//
// Numbers are variable-length (encoding/binary), texts are a length and bytes,
// times are nanoseconds since 1970. The reader trusts nothing: every length is
// checked against what is there before memory is taken.
const (
	codecMagic   = 0xB7 // cannot begin JSON
	codecVersion = 1
)

// kinds in the order of their number on the wire.
var kinds = [...]Kind{KindInteraction, KindAuth, KindCommand, KindHTTP, KindFile, KindFetch, KindForward, KindCall, KindExchange}

// AppendBatch appends the compact form of observations to b. Each must have the
// body that its Kind names; others are left out.
func AppendBatch(b []byte, list []Observation) []byte {
	b = append(b, codecMagic, codecVersion)
	n := 0
	for i := range list {
		if list[i].has(list[i].Kind) {
			n++
		}
	}
	b = binary.AppendUvarint(b, uint64(n))
	var w encoder
	for i := range list {
		if !list[i].has(list[i].Kind) {
			continue
		}
		w.b = w.b[:0]
		w.observation(&list[i])
		b = w.part(b)
		b = binary.AppendUvarint(b, uint64(len(list[i].Evidence)))
		for j := range list[i].Evidence {
			e := &list[i].Evidence[j]
			w.b = w.b[:0]
			w.text(e.What, e.SHA256)
			w.int(int64(e.Size))
			b = w.part(b)
			b = binary.AppendUvarint(b, uint64(len(e.Data)))
			b = append(b, e.Data...)
		}
	}
	return b
}

// part appends what was encoded with its length.
func (w *encoder) part(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(w.b)))
	return append(b, w.b...)
}

// DecodeBatch reads a batch in its compact form, or in JSON. Texts that are not
// UTF-8 are repaired as a JSON encoder does. What a decoded observation says is
// not checked; Observation.Check is for that. The result shares no memory with b.
func DecodeBatch(b []byte) (Batch, error) {
	var out Batch
	if len(b) == 0 || b[0] != codecMagic {
		err := json.Unmarshal(b, &out)
		return out, err
	}
	if len(b) < 2 || b[1] != codecVersion {
		return out, errors.New("decode batch: written by another release")
	}
	r := frame{b: b[2:]}
	n := r.uint()
	if r.bad || n > MaxBatch || n > uint64(len(r.b)) {
		return out, fmt.Errorf("decode batch: %d observations, at most %d", n, MaxBatch)
	}
	out.Observations = make([]Observation, n)
	var names nameCache
	for i := range out.Observations {
		if !r.observation(&out.Observations[i], &names) {
			return Batch{}, fmt.Errorf("decode batch: observation %d is damaged", i)
		}
	}
	if len(r.b) > 0 {
		return Batch{}, errors.New("decode batch: more bytes than observations")
	}
	return out, nil
}

// frame is the rest of a batch.
type frame struct {
	b   []byte
	bad bool
}

func (r *frame) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// part takes bytes that say how many they are.
func (r *frame) part() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

// observation reads one. Its texts share a copy of their own, so that whoever
// keeps one of them keeps neither the batch nor the evidence.
func (r *frame) observation(o *Observation, names *nameCache) bool {
	d := decoder{b: string(r.part()), names: names}
	d.observation(o)
	n := r.uint()
	if d.bad || len(d.b) > 0 || r.bad || n > MaxBlobs {
		return false
	}
	for range n {
		var e Blob
		d = decoder{b: string(r.part())}
		d.texts(&e.What, &e.SHA256)
		e.Size = int(d.int())
		if data := r.part(); len(data) > 0 {
			e.Data = bytes.Clone(data)
		}
		if d.bad || len(d.b) > 0 || r.bad {
			return false
		}
		o.Evidence = append(o.Evidence, e)
	}
	return true
}

type encoder struct{ b []byte }

func (w *encoder) uint(n uint64) { w.b = binary.AppendUvarint(w.b, n) }
func (w *encoder) int(n int64)   { w.b = binary.AppendVarint(w.b, n) }

func (w *encoder) text(list ...string) {
	for _, s := range list {
		w.uint(uint64(len(s)))
		w.b = append(w.b, s...)
	}
}

func (w *encoder) bytes(p []byte) {
	w.uint(uint64(len(p)))
	w.b = append(w.b, p...)
}

func (w *encoder) flags(list ...bool) {
	var f byte
	for i, set := range list {
		if set {
			f |= 1 << i
		}
	}
	w.b = append(w.b, f)
}

func (w *encoder) addr(a netip.AddrPort) {
	switch ip := a.Addr(); {
	case ip.Is4():
		v := ip.As4()
		w.b = append(append(w.b, 4), v[:]...)
	case ip.Is6():
		v := ip.As16()
		w.b = append(append(w.b, 16), v[:]...)
	default:
		w.b = append(w.b, 0)
	}
	w.b = binary.BigEndian.AppendUint16(w.b, a.Port())
}

func (w *encoder) observation(o *Observation) {
	for i, k := range kinds {
		if k == o.Kind {
			w.b = append(w.b, byte(i))
		}
	}
	w.flags(o.Spoofable, o.Time.IsZero())
	if !o.Time.IsZero() {
		w.int(o.Time.UnixNano())
	}
	w.b = append(w.b, o.Session[:]...)
	w.addr(o.Local)
	w.addr(o.Remote)
	w.text(o.Sensor, o.Decoy, o.Service)
	w.body(o)
}

func (w *encoder) body(o *Observation) {
	switch o.Kind {
	case KindInteraction:
		i := o.Interaction
		w.flags(i.Ended)
		w.uint(math.Float64bits(i.Duration))
		w.int(i.BytesIn)
		w.int(i.BytesOut)
		w.int(int64(i.Shed))
		w.bytes(i.First)
		w.text(i.Protocol, i.Client, i.Prints.JA3, i.Prints.JA4, i.Prints.HASSH, i.Prints.SNI, i.Prints.ALPN, i.Persona, i.CloseError)
	case KindAuth:
		w.flags(o.Auth.Accepted)
		w.text(o.Auth.Method, o.Auth.User, o.Auth.Password, o.Auth.Key)
	case KindCommand:
		w.text(o.Command.Line, o.Command.User)
	case KindHTTP:
		w.http(o.HTTP)
	case KindFile:
		f := o.File
		w.flags(f.Capped)
		w.int(f.Size)
		w.text(f.Path, f.How, f.SHA256, f.SHA1, f.MD5, f.Type)
	case KindFetch:
		w.text(o.Fetch.URL, o.Fetch.Tool)
	case KindForward:
		w.text(o.Forward.Kind, o.Forward.Target)
	case KindCall:
		c := o.Call
		w.flags(c.Failed)
		w.text(c.Operation, c.Detail)
		w.uint(uint64(len(c.Args)))
		w.text(c.Args...)
	case KindExchange:
		e := o.Exchange
		w.flags(e.Stream)
		w.int(int64(e.Turns))
		w.text(e.API, e.Route, e.Model, e.System, e.Prompt, e.Key, e.Answer, e.Options)
	}
}

func (w *encoder) http(h *HTTPRequest) {
	w.flags(h.TLS)
	w.int(int64(h.Status))
	w.int(h.BodyLen)
	w.text(h.Method, h.Target, h.Proto, h.Host, h.Lure)
	w.bytes(h.Body)
	w.uint(uint64(len(h.Headers)))
	for i := range h.Headers {
		w.text(h.Headers[i].Name, h.Headers[i].Value)
	}
}

// nameCache remembers the names of the observation before: nearly always they
// are the same again.
type nameCache struct{ sensor, decoy, service string }

// decoder reads texts as parts of b, which it owns.
type decoder struct {
	b     string
	names *nameCache
	bad   bool
}

func (r *decoder) fail() { r.bad, r.b = true, "" }

func (r *decoder) uint() uint64 {
	var v uint64
	for shift := uint(0); shift < 64; shift += 7 {
		if len(r.b) == 0 {
			break
		}
		c := r.b[0]
		r.b = r.b[1:]
		if c < 0x80 {
			return v | uint64(c)<<shift
		}
		v |= uint64(c&0x7f) << shift
	}
	r.fail()
	return 0
}

func (r *decoder) int() int64 {
	u := r.uint()
	return int64(u>>1) ^ -int64(u&1)
}

// raw takes n bytes.
func (r *decoder) raw(n uint64) string {
	if n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}

func (r *decoder) text() string {
	s := r.raw(r.uint())
	if !utf8.ValidString(s) {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return s
}

func (r *decoder) texts(list ...*string) {
	for _, p := range list {
		*p = r.text()
	}
}

func (r *decoder) name(last *string) string {
	s := r.text()
	if s != *last {
		*last = strings.Clone(s)
	}
	return *last
}

func (r *decoder) bytes() []byte {
	s := r.raw(r.uint())
	if s == "" {
		return nil
	}
	return []byte(s)
}

func (r *decoder) flags() byte {
	s := r.raw(1)
	if s == "" {
		return 0
	}
	return s[0]
}

func (r *decoder) addr() netip.AddrPort {
	var ip netip.Addr
	switch r.flags() {
	case 4:
		if s := r.raw(4); s != "" {
			ip = netip.AddrFrom4([4]byte([]byte(s)))
		}
	case 16:
		if s := r.raw(16); s != "" {
			ip = netip.AddrFrom16([16]byte([]byte(s)))
		}
	case 0:
	default:
		r.fail()
	}
	s := r.raw(2)
	if s == "" {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, uint16(s[0])<<8|uint16(s[1]))
}

func (r *decoder) observation(o *Observation) {
	k := int(r.flags())
	if k >= len(kinds) {
		r.fail()
		return
	}
	o.Kind = kinds[k]
	f := r.flags()
	o.Spoofable = f&1 != 0
	if f&2 == 0 {
		o.Time = time.Unix(0, r.int()).UTC()
	}
	if s := r.raw(uint64(len(model.ULID{}))); s != "" {
		o.Session = model.ULID([]byte(s))
	}
	o.Local, o.Remote = r.addr(), r.addr()
	o.Sensor, o.Decoy, o.Service = r.name(&r.names.sensor), r.name(&r.names.decoy), r.name(&r.names.service)
	r.body(o)
}

func (r *decoder) body(o *Observation) {
	switch o.Kind {
	case KindInteraction:
		i := &Interaction{Ended: r.flags()&1 != 0, Duration: math.Float64frombits(r.uint()), BytesIn: r.int(), BytesOut: r.int(), Shed: int(r.int()), First: r.bytes()}
		if math.IsNaN(i.Duration) || math.IsInf(i.Duration, 0) {
			r.fail() // no text format can say it
		}
		r.texts(&i.Protocol, &i.Client, &i.Prints.JA3, &i.Prints.JA4, &i.Prints.HASSH, &i.Prints.SNI, &i.Prints.ALPN, &i.Persona, &i.CloseError)
		o.Interaction = i
	case KindAuth:
		o.Auth = &AuthAttempt{Accepted: r.flags()&1 != 0}
		r.texts(&o.Auth.Method, &o.Auth.User, &o.Auth.Password, &o.Auth.Key)
	case KindCommand:
		o.Command = &Command{}
		r.texts(&o.Command.Line, &o.Command.User)
	case KindHTTP:
		o.HTTP = r.http()
	case KindFile:
		o.File = &FileEvent{Capped: r.flags()&1 != 0, Size: r.int()}
		r.texts(&o.File.Path, &o.File.How, &o.File.SHA256, &o.File.SHA1, &o.File.MD5, &o.File.Type)
	case KindFetch:
		o.Fetch = &Fetch{}
		r.texts(&o.Fetch.URL, &o.Fetch.Tool)
	case KindForward:
		o.Forward = &Forward{}
		r.texts(&o.Forward.Kind, &o.Forward.Target)
	case KindCall:
		o.Call = &APICall{Failed: r.flags()&1 != 0}
		r.texts(&o.Call.Operation, &o.Call.Detail)
		for range r.count() {
			o.Call.Args = append(o.Call.Args, r.text())
		}
	case KindExchange:
		e := &Exchange{Stream: r.flags()&1 != 0, Turns: int(r.int())}
		r.texts(&e.API, &e.Route, &e.Model, &e.System, &e.Prompt, &e.Key, &e.Answer, &e.Options)
		o.Exchange = e
	}
}

func (r *decoder) http() *HTTPRequest {
	h := &HTTPRequest{TLS: r.flags()&1 != 0, Status: int(r.int()), BodyLen: r.int()}
	r.texts(&h.Method, &h.Target, &h.Proto, &h.Host, &h.Lure)
	h.Body = r.bytes()
	if n := r.count(); n > 0 {
		h.Headers = make([]Field, n)
		for i := range h.Headers {
			r.texts(&h.Headers[i].Name, &h.Headers[i].Value)
		}
	}
	return h
}

// count reads how many of something small there are.
func (r *decoder) count() int {
	n := r.uint()
	if n > MaxFields || n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}
