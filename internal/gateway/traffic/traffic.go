// Package traffic makes what was said in an exchange fit to be kept: personal data,
// credentials and known secrets are replaced by placeholders before anything is written, and a
// text in which that cannot be done safely is not kept at all. It writes nothing itself.
package traffic

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"bartizan/internal/credential"
	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
	"bartizan/internal/guard/hold"
	"bartizan/internal/model"
	"bartizan/internal/safe"
)

// Bounds of one record.
const (
	MaxBytes    = 256 << 10 // of all texts together
	MaxMessages = 200
	minValue    = 4 // a shorter value is replaced where it was found, and not everywhere else
)

// Draft is what was said in one exchange, in memory. It is not safe for concurrent use. A
// nil Draft takes nothing.
type Draft struct {
	texts    []text
	channels map[string]int // of a stream → index
	size     int
	more     int
}

type text struct {
	direction, kind, tool string
	size                  int
	said                  []byte
	left                  string // why it is left out
}

const tooLarge = "larger than a record has room for"

// Add takes a whole text.
func (d *Draft) Add(direction, kind, tool, said string) {
	if d == nil {
		return
	}
	if len(d.texts) >= MaxMessages {
		d.more++
		return
	}
	d.texts = append(d.texts, text{direction: direction, kind: kind, tool: tool})
	d.put(len(d.texts)-1, said)
}

// Continue takes the next piece of a streamed text. A whole one that repeats what came in
// pieces is taken only when no piece came.
func (d *Draft) Continue(channel, direction, kind, tool, piece string, whole bool) {
	if d == nil {
		return
	}
	i, ok := d.channels[channel]
	if !ok {
		if len(d.texts) >= MaxMessages {
			d.more++
			return
		}
		if d.channels == nil {
			d.channels = map[string]int{}
		}
		i = len(d.texts)
		d.channels[channel] = i
		d.texts = append(d.texts, text{direction: direction, kind: kind, tool: tool})
	} else if whole && d.texts[i].size > 0 {
		return
	}
	d.put(i, piece)
}

func (d *Draft) put(i int, s string) {
	t := &d.texts[i]
	t.size += len(s)
	if t.left != "" {
		return
	}
	if d.size+len(s) > MaxBytes { // not cut: the end of what is cut could be the beginning of a number
		d.size -= len(t.said)
		t.said = nil
		t.left = tooLarge
		return
	}
	d.size += len(s)
	t.said = append(t.said, s...)
}

// Size in bytes, for the accounts of who keeps it.
func (d *Draft) Size() int { return d.size + 128*len(d.texts) }

// Withhold leaves every text of a direction out.
func (d *Draft) Withhold(why string, directions ...string) {
	if d == nil {
		return
	}
	for i := range d.texts {
		if slices.Contains(directions, d.texts[i].direction) && d.texts[i].left == "" {
			d.texts[i].left = why
		}
	}
}

// Masker replaces what must not be kept. It is safe for concurrent use.
type Masker struct {
	engine *guard.Engine
	known  []string
}

// New makes a masker that looks with these inspectors, which must report everything that must not
// be kept, and replaces the known texts as they are written. like is that of guard.NewEngine.
func New(inspectors []guard.Named, like decode.Likeness, known []string) *Masker {
	known = slices.DeleteFunc(slices.Clone(known), func(s string) bool { return s == "" })
	slices.SortFunc(known, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return &Masker{guard.NewEngine(inspectors, like, true), known}
}

// work is the masking of one exchange.
type work struct {
	*Masker
	vault  *hold.Vault
	values []value // longest first
	masked int
}

type value struct{ text, mark string }

// Mask fills in the messages of a record. It takes the time of a few inspections of every text.
func (m *Masker) Mask(d *Draft, out *model.LLMTraffic) {
	w := &work{Masker: m, vault: hold.NewVault()}
	for _, s := range m.known {
		w.add("SECRET", s)
	}
	why := make([]string, len(d.texts))
	for i := range d.texts { // what one text gives away, others may only repeat
		if t := &d.texts[i]; t.left == "" {
			why[i] = w.collect(string(t.said))
		} else {
			why[i] = t.left
		}
	}
	slices.SortStableFunc(w.values, func(a, b value) int { return cmp.Compare(len(b.text), len(a.text)) })
	out.Messages = []model.LLMMessage{}
	for i := range d.texts {
		t := &d.texts[i]
		x := model.LLMMessage{Direction: t.direction, Kind: t.kind, Size: t.size, Withheld: why[i]}
		if x.Withheld == "" {
			x.Text, x.Withheld = w.mask(string(t.said))
		}
		if name, bad := w.mask(safe.Clean(t.tool, 100)); bad == "" {
			x.Tool = name
		}
		if x.Withheld != "" {
			x.Text = ""
			out.Withheld++
		}
		out.Messages = append(out.Messages, x)
	}
	out.Masked, out.More = w.masked, d.more
}

func (w *work) add(label, s string) bool {
	mark, ok := w.vault.Hide(label, s)
	if ok && !slices.ContainsFunc(w.values, func(v value) bool { return v.text == s }) {
		w.values = append(w.values, value{s, mark})
	}
	return ok
}

// collect notes every value of a text that must be replaced. It says why the text cannot
// be kept; "": it can.
func (w *work) collect(s string) string {
	v, err := w.engine.Inspect(s, guard.Unknown)
	if err != nil {
		return tooLarge
	}
	for _, r := range v.Reports {
		if r.State == guard.Failed {
			return "an inspector could not look at it: " + safe.Clean(r.Name, 40)
		}
		for _, f := range r.Findings {
			for _, span := range f.Spans {
				if !w.add(cmp.Or(f.Label, "REMOVED"), s[span.From:span.To]) {
					return "more to replace than a record has room for"
				}
			}
			if f.Deep || len(f.Spans) == 0 && !w.holdsKnown(s) {
				return fmt.Sprintf("%s in a form that cannot be replaced", category(f.Category))
			}
		}
	}
	for _, list := range [][]credential.Match{credential.Find(s), credential.Assigned(s)} {
		for _, c := range list {
			if !w.add("CREDENTIAL", s[c.From:c.To]) {
				return "more to replace than a record has room for"
			}
		}
	}
	return ""
}

func category(c guard.Category) string {
	if c == guard.PII {
		return "personal data"
	}
	return "a secret"
}

// holdsKnown says that a text has a known secret as it is written: it will be replaced, and
// what is found after that is another matter.
func (w *work) holdsKnown(s string) bool {
	return slices.ContainsFunc(w.known, func(k string) bool { return strings.Contains(s, k) })
}

// mask replaces every value, and looks again.
func (w *work) mask(s string) (masked, why string) {
	out := s
	for _, v := range w.values {
		if len(v.text) < minValue && v.text != s {
			continue
		}
		if n := strings.Count(out, v.text); n > 0 {
			out = strings.ReplaceAll(out, v.text, v.mark)
			w.masked += n
		}
	}
	v, err := w.engine.Inspect(out, guard.Unknown)
	if err != nil {
		return "", tooLarge
	}
	for _, r := range v.Reports {
		switch {
		case r.State == guard.Failed:
			return "", "an inspector could not look at it: " + safe.Clean(r.Name, 40)
		case len(r.Findings) > 0:
			return "", fmt.Sprintf("%s in a form that cannot be replaced", category(r.Findings[0].Category))
		}
	}
	if len(credential.Find(out)) > 0 {
		return "", "a secret in a form that cannot be replaced"
	}
	return strings.ToValidUTF8(out, "\uFFFD"), ""
}
