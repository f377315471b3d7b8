package shape

import (
	"bytes"
	"strconv"
	"strings"

	"bartizan/internal/guard/decode"
	"bartizan/internal/guard/wire"
)

// media is a URL or the bytes themselves. An address is a text as well, and so is what a file says that is no
// picture, sound or program: a model reads it like any other text.
func (r *Reader) media(n int) {
	b := r.tape.Bytes(n)
	p := wire.Part{Kind: wire.Media, Media: r.mime, Size: len(b), Span: r.span(n)}
	if head, data, ok := bytes.Cut(b, []byte(",")); ok && len(head) <= maxWord && bytes.HasPrefix(head, []byte("data:")) {
		kind, with, _ := strings.Cut(string(head[len("data:"):]), ";")
		p.Media = kind
		coded := strings.HasSuffix(strings.ToLower(strings.TrimSpace(";"+with)), ";base64")
		if text, err := decode.File(data, kind, coded); err != nil {
			r.unknown(n)
		} else {
			r.file(text)
		}
	} else if i := bytes.Index(b[:min(len(b), 32)], []byte("://")); i > 0 {
		p.Media = string(b)
		r.address(n)
	} else if !allBase64(b) {
		r.unknown(n)
		return
	} else if text, err := decode.File(b, r.mime, true); err != nil {
		r.unknown(n)
	} else {
		r.file(text)
	}
	r.emit(p, "", true)
}

// file is what one says. It cannot be replaced in place.
func (r *Reader) file(text string) {
	k := wire.Document
	if r.answer {
		k = wire.Answer
	}
	r.emit(wire.Part{Kind: k, Text: text}, r.own("file"), false)
}

// address is where a picture or a file is. What signs a URL is meant for who fetches it, and is left out.
func (r *Reader) address(n int) {
	p := wire.Part{Kind: wire.Address, Text: r.tape.String(n)}
	if at, query, ok := strings.Cut(p.Text, "?"); ok {
		var kept []string
		for s := range strings.SplitSeq(query, "&") {
			if name, _, _ := strings.Cut(s, "="); !signs(name) {
				kept = append(kept, s)
			}
		}
		p.Text = at + "?" + strings.Join(kept, "&")
	}
	r.emit(p, r.own("address"), false)
}

// signs tells whether a parameter of a URL is its signature, in the storages of Amazon, Google and Microsoft.
func signs(name string) bool {
	switch name {
	case "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Security-Token", "X-Goog-Credential", "X-Goog-Signature", "sig", "AWSAccessKeyId", "Signature":
		return true
	}
	return false
}

// own is the last piece of a channel that nothing continues.
func (r *Reader) own(as string) string {
	if !r.streams {
		return as
	}
	return as + " " + strconv.Itoa(r.event) + string(r.where)
}
