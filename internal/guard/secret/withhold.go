package secret

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"bartizan/internal/guard"
	"bartizan/internal/guard/decode"
)

// A model that does not know a secret cannot be talked into telling it, in whatever
// code. What the operator has named as a secret that must not come out is of no use to
// a model either: it may say it in no answer and in no call. So known secrets are taken
// out of the application's words before those reach the model. Canaries are not: that
// they come out is what they are for.

// Bounds of what is looked at word by word.
const (
	maxWords    = 4000 // of one request
	minCodeWord = 8    // bytes: nothing shorter holds half a secret in a code
)

// Withholds implements guard.Withholder.
func (i *inspector) Withholds() bool {
	return i.index != nil && i.conf.Withhold && slices.ContainsFunc(i.index.needles, func(n needle) bool { return !n.canary })
}

// Withhold implements guard.Withholder.
func (i *inspector) Withhold(texts []string) (out [][]guard.Span, kept guard.Kept) {
	out = make([][]guard.Span, len(texts))
	for k, text := range texts {
		out[k] = i.verbatim(text, &kept)
	}
	if i.shows(i.rest(texts, out)) {
		left := maxWords
		for k, text := range texts {
			out[k] = i.words(text, out[k], &kept, &left)
		}
		if i.shows(i.rest(texts, out)) {
			return out, guard.Kept{}
		}
	}
	return out, kept
}

// verbatim finds secrets as they are written, with any signs in between and in any case.
func (i *inspector) verbatim(text string, kept *guard.Kept) (out []guard.Span) {
	syms := symbolsOf(text)
	var at []int // where each symbol begins, made when it is needed: few texts have a secret
	for k := range i.index.needles {
		n := &i.index.needles[k]
		if n.canary {
			continue
		}
		for _, want := range [][]byte{n.text, n.back} {
			for from := 0; ; {
				j := bytes.Index(syms[from:], want)
				if j < 0 {
					break
				}
				if at == nil {
					at = places(text)
				}
				from += j
				last := at[from+len(want)-1]
				_, size := utf8.DecodeRuneInString(text[last:])
				out = append(out, guard.Span{From: at[from], To: last + size})
				kept.Add(k)
				from += len(want)
			}
		}
	}
	return merged(out)
}

// places is where each symbol of a text begins, see symbolsOf.
func places(text string) (at []int) {
	for p, r := range text {
		if symbol(r) != noSymbol {
			at = append(at, p)
		}
	}
	return at
}

// words adds the words that hold something of a secret in a code. What a word says in a
// reading is known to be all of it; of other codes the secret is not kept for sure.
func (i *inspector) words(text string, out []guard.Span, kept *guard.Kept, most *int) []guard.Span {
	left := taken(text, out)
	for at := 0; at < len(left) && *most > 0; {
		from := at + len(left[at:]) - len(strings.TrimLeft(left[at:], blanks))
		to := from + strings.IndexAny(left[from:], blanks)
		if to < from {
			to = len(left)
		}
		if word := left[from:to]; len(word) >= minCodeWord {
			if *most--; i.shows(word) {
				out = append(out, guard.Span{From: from, To: to})
				views, _ := decode.Views(word, nil)
				for _, v := range views {
					i.verbatim(v.Text, kept)
				}
			}
		}
		at = to
	}
	return merged(out)
}

const blanks = " \t\r\n"

// taken is a text of the same length with blanks where spans were.
func taken(text string, spans []guard.Span) string {
	b := []byte(text)
	for _, s := range spans {
		for k := s.From; k < s.To; k++ {
			b[k] = ' '
		}
	}
	return string(b)
}

// rest is what is left of all texts together: one may begin what the next ends.
func (i *inspector) rest(texts []string, spans [][]guard.Span) string {
	var b strings.Builder
	for k, text := range texts {
		b.WriteString(taken(text, spans[k]))
		b.WriteByte('\n')
	}
	return b.String()
}

// shows says whether a text tells something of a known secret.
func (i *inspector) shows(text string) bool {
	tells := func(f guard.Finding) bool { return strings.Contains(f.Note, knownSecret) }
	views, _ := decode.Views(text, nil)
	for _, v := range views {
		if slices.ContainsFunc(i.marked(v.Text, true), tells) {
			return true
		}
	}
	return slices.ContainsFunc(i.marked(text, true), tells)
}

// merged puts spans in order and joins those that overlap.
func merged(spans []guard.Span) (out []guard.Span) {
	slices.SortFunc(spans, func(a, b guard.Span) int { return a.From - b.From })
	for _, s := range spans {
		if k := len(out) - 1; k >= 0 && s.From <= out[k].To {
			out[k].To = max(out[k].To, s.To)
			continue
		}
		out = append(out, s)
	}
	return out
}
