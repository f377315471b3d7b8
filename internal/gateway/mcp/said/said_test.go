package said

import (
	"runtime"
	"strings"
	"testing"

	"bartizan/internal/mcp"

	"github.com/go-json-experiment/json/jsontext"
)

// TestBytesCount: what is not looked at is told, and what is read is not.
func TestBytesCount(t *testing.T) {
	for body, unread := range map[string]bool{
		`{"content":[{"type":"audio","data":"AAECAwQFBgcICQ=="}]}`:                                                    true,
		`{"uri":"a:b","mimeType":"text/csv","blob":"YSxi"}`:                                                           false,
		`{"content":[{"type":"text","text":"x"}],"data":"AAECAwQFBgcICQ==","blob":"AAECAwQFBgcICQ=="}`:                false,
		`{"content":[{"type":"resource","resource":{"uri":"a:b","mimeType":"image/png","blob":"AAECAwQFBgcICQ=="}}]}`: true,
	} {
		if got := In(jsontext.Value(body)); got.Unread != unread {
			t.Errorf("%s: unread %v", body, got.Unread)
		}
	}
}

// TestOrderOfMembers: an object may say last what its first member is.
func TestOrderOfMembers(t *testing.T) {
	for body, want := range map[string]string{
		`{"data":"AAECAwQFBgcICQ==","mimeType":"image/png","type":"image"}`:       "image/png\nimage",
		`{"blob":"YSxi","mimeType":"text/csv","uri":"a:b"}`:                       "text/csv\na:b\na,b",
		`{"data":"one","in":{"type":"image","data":["two"],"x":{"data":"3"}}}`:    "image\ntwo\n3\none",
		`[{"type":"image"},{"data":"one"},"two",{"uri":1,"blob":"three"},"four"]`: "image\none\ntwo\nthree\nfour",
	} {
		if got := In(jsontext.Value(body)).Text; got != want {
			t.Errorf("%s says %q, want %q", body, got, want)
		}
	}
}

// TestNestedCostsOnce: what is kept in memory of a nested message is not a copy for each level.
func TestNestedCostsOnce(t *testing.T) {
	list := strings.Repeat("1,", 20_000) + "1"
	flat := jsontext.Value(`{"a":[` + list + `]}`)
	deep := jsontext.Value(strings.Repeat(`[{"a":`, 45) + `[` + list + `]` + strings.Repeat("}]", 45))
	size := func(v jsontext.Value) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		In(v)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if a, b := size(flat), size(deep); b > 2*a+256<<10 {
		t.Errorf("%d bytes flat, %d nested", a, b)
	}
}

func FuzzIn(f *testing.F) {
	for _, s := range []string{`{}`, `[]`, `"a"`, `{"type":"image","data":"AAAA","x":[{"uri":"u","blob":"YQ=="}]}`, `{"a b c":"d"}`, `{`, `[{"data":{"type":"image"}}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !jsontext.Value(raw).IsValid() {
			return
		}
		got := In(raw)
		if got.Media {
			return
		}
		for line := range strings.SplitSeq(mcp.Strings(raw, false, nil), "\n") { // without media every text is in it
			if !strings.Contains(got.Text, line) {
				t.Errorf("%q is lost of %s", line, raw)
			}
		}
	})
}
