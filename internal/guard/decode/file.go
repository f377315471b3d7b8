package decode

import (
	"encoding/base64"
	"net/url"
	"strings"
	"unicode/utf8"
)

const (
	sniffed  = 1 << 10 // base64 of a file's beginning that tells whether it may be text
	leastRaw = 32      // bytes of a file of no textual type that are no accident
)

// File is the text of a file as it is sent beside its media type, in base64 or in a URL's percents; "" when it is a picture, a
// sound or a program. What claims to be text and cannot be read is an error.
func File(data []byte, mime string, coded bool) (string, error) {
	claims := textual(mime)
	if !coded {
		text, err := url.PathUnescape(string(data))
		if err != nil && claims {
			return "", err
		}
		return strings.ToValidUTF8(text, "\uFFFD"), nil
	}
	if !claims {
		head, err := Base64(data[:min(len(data), sniffed)])
		if err != nil && len(data) <= sniffed || len(head) < leastRaw || !plain(head[:len(head)-tail(head)]) {
			return "", nil
		}
	}
	all, err := Base64(data)
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

// Base64 reads both alphabets, with padding or without, and blanks in between. A part of it is cut to whole groups.
func Base64(b []byte) ([]byte, error) {
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
