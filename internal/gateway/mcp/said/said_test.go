package said

import (
	"testing"

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
