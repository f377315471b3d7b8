package decode

import (
	"encoding/base64"
	"strings"
	"testing"
)

// FuzzFile: whatever a file is, reading it ends, gives valid text, and knows what was made from text.
func FuzzFile(f *testing.F) {
	f.Add([]byte("some words of a file, more than thirty-two bytes"), "text/plain")
	f.Add([]byte("\x89PNG\r\n\x1a\n"), "image/png")
	f.Add([]byte("caf\xe9"), "txt")
	f.Fuzz(func(t *testing.T, b []byte, mime string) {
		for _, coded := range []bool{true, false} {
			if text, err := File(b, mime, coded); err == nil && strings.ToValidUTF8(text, "") != text {
				t.Fatalf("%q", text)
			}
		}
		text, err := File([]byte(base64.URLEncoding.EncodeToString(b)), mime, true)
		if err != nil || text != "" && text != strings.ToValidUTF8(string(b), "\uFFFD") || text == "" && len(b) >= leastRaw && plain(b) {
			t.Fatalf("%q of %q: %v", text, b, err)
		}
	})
}
