package jail

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestFrames(t *testing.T) {
	var stream bytes.Buffer
	w := NewFrameWriter(&stream, 200<<10)
	want := [][]byte{[]byte("a"), bytes.Repeat([]byte("b"), 5000), bytes.Repeat([]byte("c"), 200<<10), []byte("d")}
	for _, p := range want {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	raw := stream.Bytes()
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(raw), "one byte": iotest.OneByteReader(bytes.NewReader(raw)), "half": iotest.HalfReader(bytes.NewReader(raw)), "data with end": iotest.DataErrReader(bytes.NewReader(raw))} {
		fr := NewFrameReader(r, 200<<10)
		for i, p := range want {
			got, err := fr.Read()
			if err != nil || !bytes.Equal(got, p) {
				t.Fatalf("%s: frame %d: %d bytes, %v", name, i, len(got), err)
			}
		}
		if _, err := fr.Read(); err != io.EOF {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}

func TestFramesHostile(t *testing.T) {
	head := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"too long":   {head(1001), ErrFrame},
		"huge":       {head(1<<32 - 1), ErrFrame},
		"empty":      {head(0), ErrFrame},
		"cut header": {head(5)[:2], io.ErrUnexpectedEOF},
		"cut":        {append(head(5), 1, 2), io.ErrUnexpectedEOF},
		"end":        {nil, io.EOF},
		"only head":  {head(5), io.ErrUnexpectedEOF},
	} {
		if _, err := NewFrameReader(bytes.NewReader(c.raw), 1000).Read(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if _, err := ReadFrame(bytes.NewReader(c.raw), 1000); !errors.Is(err, c.want) && name != "only head" {
			t.Errorf("ReadFrame %s: %v, want %v", name, err, c.want)
		}
	}
	for _, n := range []int{0, 1001} {
		if err := WriteFrame(io.Discard, make([]byte, n), 1000); !errors.Is(err, ErrFrame) {
			t.Errorf("write of %d bytes: %v", n, err)
		}
	}
}

// TestFrameClaim: a header that claims the cap must not cost the cap.
func TestFrameClaim(t *testing.T) {
	raw := append(binary.LittleEndian.AppendUint32(nil, 1<<30), 1, 2, 3)
	r := NewFrameReader(bytes.NewReader(raw), 1<<30)
	if _, err := r.Read(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if cap(r.buf) > 2*frameStep {
		t.Errorf("buffer of %d bytes for 3", cap(r.buf))
	}
}

func TestFrameAllocations(t *testing.T) {
	raw := new(bytes.Buffer)
	w := NewFrameWriter(raw, 1000)
	p := make([]byte, 300)
	if n := testing.AllocsPerRun(100, func() { raw.Reset(); _, _ = w.Write(p) }); n > 0 {
		t.Errorf("%v allocations per frame written", n)
	}
	one := bytes.Clone(raw.Bytes())
	src := bytes.NewReader(nil)
	r := NewFrameReader(src, 1000)
	if n := testing.AllocsPerRun(100, func() { src.Reset(one); _, _ = r.Read() }); n > 0 {
		t.Errorf("%v allocations per frame read", n)
	}
}

// FuzzFrames: whatever comes, both readers agree, stay within the cap, and end.
func FuzzFrames(f *testing.F) {
	var ok bytes.Buffer
	for _, s := range []string{"a", "hello", "{}"} {
		_ = WriteFrame(&ok, []byte(s), 100)
	}
	f.Add(ok.Bytes())
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 1})
	f.Add([]byte{100, 0, 0, 0, 1})
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		const most = 10000
		plain := bytes.NewReader(raw)
		fr := NewFrameReader(iotest.HalfReader(bytes.NewReader(raw)), most)
		for range len(raw) + 1 {
			a, errA := fr.Read()
			b, errB := ReadFrame(plain, most)
			if (errA == nil) != (errB == nil) {
				t.Fatalf("%v but %v", errA, errB)
			}
			if errA != nil {
				return
			}
			if !bytes.Equal(a, b) || len(a) == 0 || len(a) > most {
				t.Fatalf("%d bytes but %d", len(a), len(b))
			}
		}
		t.Fatal("more frames than bytes")
	})
}

func BenchmarkFrameWrite(b *testing.B) {
	w := NewFrameWriter(io.Discard, 1<<20)
	p := make([]byte, 400)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = w.Write(p)
	}
}
