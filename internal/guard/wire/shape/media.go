package shape

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

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
		if text, err := said(data, kind, coded); err != nil {
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
	} else if text, err := said(b, r.mime, true); err != nil {
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

const (
	sniffed  = 1 << 10 // base64 of a file's beginning that tells whether it may be text
	leastRaw = 32      // bytes of a file of no textual type that are no accident
)

// said is the text of a file; "" when it is none. What claims to be text and cannot be read is an error.
func said(data []byte, mime string, coded bool) (string, error) {
	claims := textual(mime)
	if !coded {
		text, err := url.PathUnescape(string(data))
		if err != nil && claims {
			return "", err
		}
		return strings.ToValidUTF8(text, "\uFFFD"), nil
	}
	if !claims {
		head, err := unbase64(data[:min(len(data), sniffed)])
		if err != nil && len(data) <= sniffed || len(head) < leastRaw || !plain(head[:len(head)-tail(head)]) {
			return "", nil
		}
	}
	all, err := unbase64(data)
	switch {
	case claims && err != nil:
		return "", err
	case claims:
		return strings.ToValidUTF8(string(all), "\uFFFD"), nil
	case err != nil || !plain(all):
		return "", nil
	}
	return string(all), nil
}

// textual tells whether a media type, or the name that Bedrock has for one, is of text.
func textual(mime string) bool {
	mime, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(mime)), ";")
	switch mime = strings.TrimSpace(mime); {
	case strings.HasPrefix(mime, "text/"), strings.HasSuffix(mime, "+xml"), strings.HasSuffix(mime, "+json"):
		return true
	}
	switch mime {
	case "txt", "md", "html", "csv", "application/json", "application/xml", "application/yaml", "application/x-yaml", "application/javascript",
		"application/x-javascript", "application/x-python", "application/sql", "application/csv", "application/rtf", "application/x-sh":
		return true
	}
	return false
}

// plain tells whether bytes are text and no program, picture or sound.
func plain(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != '\v' && c != 0x1b || c == 0x7f {
			return false
		}
	}
	return true
}

// tail is how many bytes at the end are the beginning of a character.
func tail(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// unbase64 reads both alphabets, with padding or without, and blanks in between. A part of it is cut to whole groups.
func unbase64(b []byte) ([]byte, error) {
	clean := make([]byte, 0, len(b))
	for _, c := range b {
		switch c {
		case ' ', '\n', '\r', '\t', '=':
		case '-':
			clean = append(clean, '+')
		case '_':
			clean = append(clean, '/')
		default:
			clean = append(clean, c)
		}
	}
	if len(clean)%4 == 1 { // of a part: six bits say nothing
		clean = clean[:len(clean)-1]
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, err := base64.RawStdEncoding.Decode(out, clean)
	return out[:n], err
}
