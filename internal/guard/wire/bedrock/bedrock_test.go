package bedrock

import (
	"encoding/base64"
	"errors"
	"testing"

	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/wiretest"
)

func suite(t testing.TB) wiretest.Suite {
	f, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	return wiretest.Suite{Format: f, Dir: "testdata", LeastBodies: 12, LeastStreams: 4, Unframe: unframe}
}

// unframe takes the JSON out of a frame, and out of the base64 in it.
func unframe(raw []byte) ([]byte, func([]byte) []byte) {
	f, err := open(raw)
	if err != nil {
		return nil, nil
	}
	again := func(text []byte) []byte {
		m := f.Message
		m.Payload = text
		out, err := seal(m)
		if err != nil {
			panic(err)
		}
		return out
	}
	if f.name != "chunk" {
		return f.Payload, again
	}
	text, at, err := inside(f.Payload)
	if err != nil {
		return nil, nil
	}
	return text, func(text []byte) []byte {
		out, err := wire.Rewrite(f.Payload, []wire.Edit{{Span: at, Text: base64.StdEncoding.EncodeToString(text)}})
		if err != nil {
			panic(err)
		}
		return again(out)
	}
}

func TestConformance(t *testing.T) { wiretest.Run(t, suite(t)) }

// TestDamaged: a frame with any bit turned is refused, and so are frames that are not what they say.
func TestDamaged(t *testing.T) {
	s := suite(t)
	for _, c := range wiretest.Cases(t, s.Dir) {
		data, ok := c.Files["stream"]
		if !ok {
			continue
		}
		st, err := s.Format.Stream(c.StreamHead())
		if err != nil {
			t.Fatal(err)
		}
		n, err := st.Split(data)
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		for bit := range 8 * n {
			bad := append([]byte(nil), data[:n]...)
			bad[bit/8] ^= 1 << (bit % 8)
			k, err := st.Split(bad)
			if err == nil && k == n {
				_, err = st.Event(bad)
			}
			if err == nil && k == n {
				t.Fatalf("bit %d turned: the frame was taken", bit)
			}
			var u *wire.Unknown
			if err != nil && !errors.As(err, &u) {
				t.Fatalf("bit %d turned: error %v", bit, err)
			}
		}
	}
}

func FuzzRequest(f *testing.F) { wiretest.FuzzBody(f, suite(f), "request") }
func FuzzAnswer(f *testing.F)  { wiretest.FuzzBody(f, suite(f), "answer") }
func FuzzStream(f *testing.F)  { wiretest.FuzzStream(f, suite(f)) }
