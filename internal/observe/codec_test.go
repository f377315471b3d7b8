package observe

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"bartizan/internal/model"
)

// fill sets every field of a value that can be set to something.
func fill(gen *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.Repeat("tä", gen.IntN(4)+1))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(gen.Int64N(1<<40) - 1<<39)
	case reflect.Float64:
		v.SetFloat(gen.Float64())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(gen, v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{0, 0xff, byte(gen.Uint32())})
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(gen, v.Index(0))
		fill(gen, v.Index(1))
	}
}

// samples are observations of every kind with every field set.
func samples() (out []Observation) {
	gen := rand.New(rand.NewPCG(1, 2))
	addr := []string{"192.0.2.7:4000", "[2001:db8::1]:65535"}
	for i, k := range kinds {
		o := Observation{Kind: k, Time: time.Unix(1790000000, int64(gen.Uint32())).UTC(), Session: model.NewULID(time.Unix(1790000000, 0)),
			Sensor: "s", Decoy: "d" + string(k), Service: "x", Local: netip.MustParseAddrPort(addr[i%2]), Remote: netip.MustParseAddrPort(addr[(i+1)%2]), Spoofable: i%2 == 0}
		v := reflect.ValueOf(&o).Elem()
		for j := range v.NumField() {
			if f := v.Field(j); f.Kind() == reflect.Pointer {
				body := reflect.New(f.Type().Elem())
				fill(gen, body.Elem())
				before := o.has(k)
				f.Set(body)
				if before || !o.has(k) {
					f.SetZero()
				}
			}
		}
		for range i % (MaxBlobs + 1) {
			o.Evidence = append(o.Evidence, Blob{What: "payload", SHA256: strings.Repeat("a", 64), Size: 3, Data: []byte{0, 1, 0xff}})
		}
		out = append(out, o)
	}
	return out
}

// TestCodecKeepsEverything: a field that the codec forgets fails here, because
// every field of every kind is set.
func TestCodecKeepsEverything(t *testing.T) {
	want := samples()
	for i := range want {
		if want[i].bodies() != 1 {
			t.Fatalf("sample %d has %d bodies", i, want[i].bodies())
		}
	}
	b := AppendBatch(nil, want)
	got, err := DecodeBatch(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Observations, want) {
		for i := range want {
			x, _ := json.Marshal(want[i])
			y, _ := json.Marshal(got.Observations[i])
			if !bytes.Equal(x, y) {
				t.Errorf("%s:\n got %s\nwant %s", want[i].Kind, y, x)
			}
		}
	}
}

// TestCodecIsJSON: both forms of a batch say the same.
func TestCodecIsJSON(t *testing.T) {
	want := samples()
	text, err := json.Marshal(Batch{Observations: want})
	if err != nil {
		t.Fatal(err)
	}
	a, err := DecodeBatch(text)
	if err != nil {
		t.Fatal(err)
	}
	b, err := DecodeBatch(AppendBatch(nil, want))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Error("JSON and the compact form differ")
	}
}

func TestCodecRepairsText(t *testing.T) {
	o := samples()[2]
	o.Command.Line = "a\xffb"
	got, err := DecodeBatch(AppendBatch(nil, []Observation{o, {Kind: KindAuth}}))
	if err != nil || len(got.Observations) != 1 || got.Observations[0].Command.Line != "a\uFFFDb" {
		t.Errorf("%+v, %v", got.Observations, err)
	}
}

// TestCodecDamage: no cut and no changed byte makes it panic or invent
// observations that cannot be told again.
func TestCodecDamage(t *testing.T) {
	b := AppendBatch(nil, samples())
	for i := range b {
		if _, err := DecodeBatch(b[:i]); err == nil {
			t.Fatalf("cut at %d of %d is accepted", i, len(b))
		}
		c := bytes.Clone(b)
		c[i] ^= 0x81
		_, _ = DecodeBatch(c) // may well be another batch
	}
	for _, bad := range [][]byte{nil, {codecMagic}, {codecMagic, 9, 0}, {codecMagic, codecVersion, 0xff, 0xff, 0xff, 0x7f}, append(bytes.Clone(b), 0)} {
		if _, err := DecodeBatch(bad); err == nil {
			t.Errorf("%x is accepted", bad[:min(len(bad), 8)])
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	for _, o := range samples() {
		f.Add(AppendBatch(nil, []Observation{o}))
	}
	f.Add([]byte(`{"observations":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := DecodeBatch(data)
		if err != nil || len(data) == 0 || data[0] != codecMagic {
			return
		}
		again, err := DecodeBatch(AppendBatch(nil, got.Observations))
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	list := samples()[:1]
	list = append(list, samples()[3])
	b.Run("compact", func(b *testing.B) {
		for b.Loop() {
			if _, err := DecodeBatch(AppendBatch(nil, list)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("json", func(b *testing.B) {
		for b.Loop() {
			text, err := json.Marshal(Batch{Observations: list})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := DecodeBatch(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
