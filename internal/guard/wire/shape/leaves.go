package shape

import (
	"bytes"
	"strconv"
	"strings"

	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/tape"
)

// plainWords are what schemas are full of; they say nothing.
const plainWords = " type properties description required items enum title default additionalProperties anyOf oneOf allOf format const " +
	"$defs $ref definitions object string number integer boolean array null "

// spec reads a JSON schema, or what stands in its place.
func (r *Reader) spec(s *Shape, n int) {
	if s.leaf == spec && r.tape.Nodes[n].Kind == tape.String && !bytes.HasPrefix(r.tape.Bytes(n), []byte("data:")) {
		r.emit(wire.Part{Kind: s.kind, Text: r.tape.String(n), Span: r.span(n)}, s.as, s.whole)
		return
	}
	var all []string
	seen := map[string]bool{}
	add := func(k int) {
		t := r.tape.String(k)
		switch {
		case len(t) > 64 && s.leaf == spec || !word([]byte(t)):
			r.emit(wire.Part{Kind: s.kind, Text: t, Span: r.span(k)}, s.as, s.whole)
		case !seen[t] && !strings.Contains(plainWords, " "+strings.ToLower(t)+" "):
			seen[t] = true
			all = append(all, t)
		}
	}
	r.strings(n, nil, func(k int, under []byte) {
		b := r.tape.Bytes(k)
		switch {
		case bytes.HasPrefix(b, []byte("data:")) && bytes.Contains(b[:min(len(b), 100)], []byte(";base64,")):
			r.media(k)
		case (bytes.HasPrefix(under, []byte("encrypted_")) || string(under) == "signature") && allBase64(b):
		default:
			add(k)
		}
	}, add)
	if len(all) > 0 && s.leaf == spec {
		r.emit(wire.Part{Kind: s.kind, Text: strings.Join(all, " ")}, s.as, s.whole)
	}
}

// strings visits every string at and below n, each with the key it or its array stands under, and every key.
func (r *Reader) strings(n int, under []byte, visit func(n int, under []byte), key func(n int)) {
	switch node := r.tape.Nodes[n]; node.Kind {
	case tape.String:
		visit(n, under)
	case tape.Array:
		where, i := len(r.where), 0
		for k := n + 1; k < int(node.Next); k = int(r.tape.Nodes[k].Next) {
			r.where = strconv.AppendInt(append(r.where, '/'), int64(i), 10)
			r.strings(k, under, visit, key)
			r.where = r.where[:where]
			i++
		}
	case tape.Object:
		where := len(r.where)
		for k := n + 1; k < int(node.Next); k = int(r.tape.Nodes[k+1].Next) {
			name := r.tape.Bytes(k)
			r.where = appendKey(r.where, name)
			key(k)
			if string(under) == "top_logprobs" || string(under) == "topCandidates" {
				name = under
			}
			r.strings(k+1, name, visit, key)
			r.where = r.where[:where]
		}
	}
}

const oddsKeys = " chosenCandidates topCandidates candidates tokenId logProbability logProbabilitySum content refusal token tokens logprob logprobs token_logprobs top_logprobs text_offset bytes "

// odds reads log probabilities, which repeat the text token by token.
func (r *Reader) odds(s *Shape, n int) {
	var chosen, others strings.Builder
	r.strings(n, nil, func(k int, under []byte) {
		if string(under) == "token" || string(under) == "tokens" {
			chosen.WriteString(r.tape.String(k))
			return
		}
		others.WriteString(r.tape.String(k))
		others.WriteByte(' ')
	}, func(k int) {
		if t := r.tape.String(k); !strings.Contains(oddsKeys, " "+t+" ") {
			others.WriteString(t)
			others.WriteByte(' ')
		}
	})
	r.emit(wire.Part{Kind: wire.Answer, Text: chosen.String()}, "logprobs", s.whole)
	r.emit(wire.Part{Kind: wire.Answer, Text: others.String()}, "alternatives", s.whole)
}
