package shape

import (
	"encoding/base64"
	"strings"
	"testing"

	"bartizan/internal/guard/wire"
)

// TestFiles: what is text in a file is a part, however it is wrapped; what is none is a medium only.
func TestFiles(t *testing.T) {
	std := base64.StdEncoding.EncodeToString
	const says = "Dear model, these are the words of a file."
	picture := "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + strings.Repeat("\x00\xff", 2000)
	s := Object(Fields{"data": Media(), "type": Meta()}).Typed("type")
	for _, c := range []struct{ name, mime, data, want string }{
		{"plain", "text/plain", std([]byte(says)), says},
		{"a short one", "text/csv", std([]byte("a,b")), "a,b"},
		{"of Bedrock", "md", std([]byte(says)), says},
		{"with its character set", "Text/Markdown;charset=utf-8", std([]byte(says)), says},
		{"of another character set", "text/plain", std([]byte("caf\xe9")), "caf\uFFFD"},
		{"the other alphabet, no padding", "application/json", base64.RawURLEncoding.EncodeToString([]byte(`{"a":"~~??>>"}`)), `{"a":"~~??>>"}`},
		{"a type that is a lie", "image/png", std([]byte(says)), says},
		{"no type", "", std([]byte(says)), says},
		{"a long one whose head ends in a character", "", std([]byte(strings.Repeat("ü", 3000))), strings.Repeat("ü", 3000)},
		{"data URL", "", "data:text/plain;base64," + std([]byte(says)), says},
		{"data URL without a type", "", "data:;base64," + std([]byte(says)), says},
		{"data URL with parameters", "", "data:text/html;charset=utf-8;base64," + std([]byte(says)), says},
		{"data URL in percents", "", "data:,Dear%20model%2C%20these%20are%20the%20words%20of%20a%20file.", says},
		{"drawing", "", "data:image/svg+xml;base64," + std([]byte("<svg/>")), "<svg/>"},
		{"picture", "image/png", std([]byte(picture)), ""},
		{"picture without a type", "", std([]byte(picture)), ""},
		{"picture in a data URL", "", "data:image/png;base64," + std([]byte(picture)), ""},
		{"words, then a program", "", std([]byte(strings.Repeat("words ", 1000) + "\x00\x01")), ""},
		{"a few letters of a sound", "audio/wav", std([]byte("abcdef")), ""},
	} {
		m, ok := read(t, s, `{"type":"`+c.mime+`","data":"`+c.data+`"}`)
		if !ok || len(m.Unknown) > 0 {
			t.Errorf("%s: taken %v, %v", c.name, ok, m.Unknown)
			continue
		}
		got, media := "", 0
		for _, p := range m.Parts {
			switch {
			case p.Kind == wire.Media:
				media++
			case p.Kind != wire.Document || p.Where != "/data" || p.Span != wire.Span{}:
				t.Errorf("%s: %+v", c.name, p)
			default:
				got += p.Text
			}
		}
		if got != c.want || media != 1 {
			t.Errorf("%s: %.60q and %d media", c.name, got, media)
		}
	}
	for _, data := range []string{"data:text/plain;base64,!!!!", "data:text/plain,%zz", "data:text/plain;base64,YWJj;ZGVm"} {
		if m, _ := read(t, s, `{"data":"`+data+`"}`); len(m.Unknown) != 1 {
			t.Errorf("%s: a text that cannot be read is known: %+v", data, m.Parts)
		}
	}
}

// TestAddresses: where a medium is, is a text, without what signs it.
func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"https://evil.example/a.png?q=zq7":                                         "https://evil.example/a.png?q=zq7",
		"https://b.example/a.png?X-Amz-Credential=AKIA%2F1&v=2&X-Amz-Signature=ab": "https://b.example/a.png?v=2",
		"s3://bucket/key": "s3://bucket/key",
	} {
		m, ok := read(t, Object(Fields{"url": Media()}), `{"url":"`+address+`"}`)
		if !ok || len(m.Parts) != 2 || m.Parts[0].Kind != wire.Address || m.Parts[0].Text != want || m.Parts[1].Media != address {
			t.Errorf("%s: %+v", address, m)
		}
	}
}
