package cursor

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Place{Seq: rapid.Uint64().Draw(t, "seq"), Time: rapid.Int64().Draw(t, "time"), Score: rapid.Float64Range(-1e300, 1e300).Draw(t, "score"),
			Key: rapid.StringN(0, 100, 1000).Draw(t, "key")}
		filters := rapid.SliceOf(rapid.String()).Draw(t, "filters")
		text := p.Encode("list", filters...)
		if got, err := Decode(text, "list", filters...); err != nil || got != p {
			t.Fatalf("%+v came back as %+v, %v", p, got, err)
		}
		if _, err := Decode(text, "other", filters...); !errors.Is(err, ErrBad) {
			t.Fatalf("another list: %v", err)
		}
		if _, err := Decode(text, "list", append(filters, "x")...); !errors.Is(err, ErrBad) {
			t.Fatalf("other filters: %v", err)
		}
	})
}

func TestBadCursors(t *testing.T) {
	good := Place{Seq: 1}.Encode("l")
	for _, s := range []string{"x", "====", good[:len(good)-2], good + "=", " " + good, good[:9] + "\n" + good[9:], good + "\r\n", strings.Repeat("A", MaxLen+1)} {
		if _, err := Decode(s, "l"); !errors.Is(err, ErrBad) {
			t.Errorf("%.40q: %v", s, err)
		}
	}
	if p, err := Decode("", "l"); err != nil || p != (Place{}) {
		t.Errorf("the beginning: %+v, %v", p, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Place{Seq: 7, Time: 9, Score: 0.5, Key: "ip:192.0.2.1"}.Encode("l", "a"))
	f.Add("AQ")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Decode(s, "l", "a")
		if err == nil && s != "" && p.Encode("l", "a") != s {
			t.Fatalf("%q is read as %+v", s, p)
		}
	})
}
