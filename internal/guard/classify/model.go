package classify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
)

// Role says who wrote a text.
type Role uint8

// Roles. Unknown texts are documents when they look like one.
const (
	Unknown  Role = iota
	User          // also system and assistant: what they say is addressed to the model
	Document      // tool results, retrieved pages, attachments
)

// StrongWeight is what one strong feature counts, whatever the length.
const StrongWeight = 0.25

// A text has as many chances to look like an attack as it has spans; each
// doubling of their number costs the best of them this much.
const (
	windowCost   = 0.4
	sentenceCost = 0.2
)

// Linear is one head: score = bias + scale · (Σ weights / √features + StrongWeight · Σ strong weights).
type Linear struct {
	Bias   float32
	Scale  float32        // of the stored weights
	Cut    [kinds]float32 // score from which a text of a kind is flagged
	Spread float32        // score that is one unit of the logistic curve above Cut
	W      []int8         // 1<<Bits
}

// Model is the heads and the table of letter triples.
type Model struct {
	Version string // a name, at most 60 bytes
	Heads   [heads]Linear
	Triples [27 * 27 * 27]int8 // log probability in units of -1/16 nat
}

// Score of a text.
type Score struct {
	P        float64 // 0 to 1; from 0.5 on it is flagged
	Direct   float64 // the same for each question; 0 when it was not asked
	Indirect float64 // of Indirect or Mixed
	From, To int     // the bytes that decided, in the text that was scored
	Cut      bool    // the text was longer than MaxText: the rest was not looked at
}

// raw is the margin of a list of features.
func (l *Linear) raw(f *Features) float64 {
	sum, strong := 0, 0
	for _, i := range f.List {
		sum += int(l.W[i])
	}
	for _, i := range f.Strong {
		strong += int(l.W[i])
	}
	return float64(l.Bias) + float64(l.Scale)*(float64(sum)/math.Sqrt(float64(len(f.List))+1)+StrongWeight*float64(strong))
}

func (l *Linear) p(x float64, k Kind) float64 {
	return 1 / (1 + math.Exp(-(x-float64(l.Cut[k]))/float64(l.Spread)))
}

// Margins is what the heads say of a text before their cuts.
type Margins struct {
	Raw   [heads]float64
	At    [heads]Segment
	Asked [heads]bool
	Kind  Kind
}

const wholeText = 6000 // bytes of a text that are also judged as one

// Margins asks the heads.
func (m *Model) Margins(text string, role Role, f *Features) (s Margins) {
	if len(text) > MaxText {
		text = text[:MaxText]
	}
	t := lower(text)
	segs := Segments(t)
	s.Kind = KindOf(text)
	if len(segs) == 0 {
		return s
	}
	s.Asked[Direct] = true
	f.DirectFeatures(t[:min(len(t), wholeText)])
	s.Raw[Direct], s.At[Direct] = m.Heads[Direct].raw(f), Segment{0, min(len(t), wholeText)}
	if len(segs) > 1 {
		windows := Windows(segs)
		cost := windowCost * math.Log2(float64(len(windows)))
		for _, w := range windows {
			f.DirectFeatures(t[w.From:w.To])
			if x := m.Heads[Direct].raw(f) - cost; x > s.Raw[Direct] {
				s.Raw[Direct], s.At[Direct] = x, w
			}
		}
	}
	kind := s.Kind
	if role == User || role == Unknown && kind != Mail && kind != Table && kind != Markup && kind != Code {
		return s
	}
	h := Indirect
	if role == Unknown {
		h = Mixed
	}
	s.Raw[h] = math.Inf(-1)
	sentences := Sentences(t, kind)
	cost := sentenceCost * math.Log2(float64(max(1, len(sentences))))
	for _, g := range sentences {
		f.IndirectFeatures(t[g.From:g.To], g.Place)
		if x := m.Heads[h].raw(f) - cost; x > s.Raw[h] {
			s.Raw[h], s.At[h], s.Asked[h] = x, g.Segment, true
		}
	}
	return s
}

// Score judges one reading of a text.
func (m *Model) Score(text string, role Role, f *Features) Score {
	s := m.Margins(text, role, f)
	out := Score{Cut: len(text) > MaxText}
	if !s.Asked[Direct] {
		return out
	}
	out.Direct = m.Heads[Direct].p(s.Raw[Direct], s.Kind)
	out.P, out.From, out.To = out.Direct, s.At[Direct].From, s.At[Direct].To
	for _, h := range [...]Head{Indirect, Mixed} {
		if !s.Asked[h] {
			continue
		}
		out.Indirect = m.Heads[h].p(s.Raw[h], s.Kind)
		if out.Indirect > out.P {
			out.P, out.From, out.To = out.Indirect, s.At[h].From, s.At[h].To
		}
	}
	return out
}

// Likeness is the mean log probability of a text's letter triples.
func (m *Model) Likeness(text string) float64 {
	sum, n := 0, 0
	a, b := 0, 0
	for i := 0; i < len(text); i++ {
		c := 0
		if x := text[i] | 0x20; x >= 'a' && x <= 'z' {
			c = int(x-'a') + 1
		} else if text[i] == '\'' {
			continue
		}
		if c == 0 && b == 0 {
			continue // one space is as good as many
		}
		sum += int(m.Triples[(a*27+b)*27+c])
		n++
		a, b = b, c
	}
	if b != 0 {
		sum += int(m.Triples[(a*27+b)*27])
		n++
	}
	if n == 0 {
		return -8
	}
	return -float64(sum) / 16 / float64(n)
}

const (
	magic      = "BZGUARD2"
	maxVersion = 60
)

type header struct {
	Magic   [8]byte
	Version [maxVersion]byte
	Bits    uint32
	Heads   [heads]struct {
		Bias, Scale, Spread float32
		Cut                 [kinds]float32
	}
}

// Encode writes the model file: header, triples, weights, CRC-32 of it all.
func (m *Model) Encode() []byte {
	var h header
	copy(h.Magic[:], magic)
	copy(h.Version[:], m.Version)
	h.Bits = Bits
	for i, l := range m.Heads {
		h.Heads[i].Bias, h.Heads[i].Scale, h.Heads[i].Cut, h.Heads[i].Spread = l.Bias, l.Scale, l.Cut, l.Spread
	}
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, h)         // a buffer does not fail
	_ = binary.Write(&b, binary.LittleEndian, m.Triples) // likewise
	for _, l := range m.Heads {
		_ = binary.Write(&b, binary.LittleEndian, l.W)
	}
	return binary.LittleEndian.AppendUint32(b.Bytes(), crc32.ChecksumIEEE(b.Bytes()))
}

// Decode reads a model file and refuses one that is damaged or of another layout.
func Decode(data []byte) (*Model, error) {
	size := binary.Size(header{}) + 27*27*27 + int(heads)<<Bits + 4
	if len(data) != size {
		return nil, fmt.Errorf("read guard model: %d bytes, this version reads %d", len(data), size)
	}
	body := data[:len(data)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(data[len(body):]) {
		return nil, errors.New("read guard model: the checksum does not match, the file is damaged")
	}
	r := bytes.NewReader(body)
	var h header
	m := &Model{}
	if err := binary.Read(r, binary.LittleEndian, &h); err != nil {
		return nil, fmt.Errorf("read guard model: %w", err)
	}
	if string(h.Magic[:]) != magic || h.Bits != Bits {
		return nil, errors.New("read guard model: not a model of this version")
	}
	if err := binary.Read(r, binary.LittleEndian, &m.Triples); err != nil {
		return nil, fmt.Errorf("read guard model: %w", err)
	}
	m.Version = strings.TrimRight(string(h.Version[:]), "\x00")
	for i := range m.Heads {
		p := h.Heads[i]
		for _, x := range append([]float32{p.Bias, p.Scale, p.Spread}, p.Cut[:]...) {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return nil, errors.New("read guard model: a parameter is no number")
			}
		}
		if p.Spread <= 0 {
			return nil, errors.New("read guard model: a spread is not above zero")
		}
		m.Heads[i] = Linear{Bias: p.Bias, Scale: p.Scale, Cut: p.Cut, Spread: p.Spread, W: make([]int8, 1<<Bits)}
		if err := binary.Read(r, binary.LittleEndian, m.Heads[i].W); err != nil {
			return nil, fmt.Errorf("read guard model: %w", err)
		}
	}
	return m, nil
}
