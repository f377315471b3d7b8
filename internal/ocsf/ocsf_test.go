package ocsf_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"bartizan/internal/model"
	"bartizan/internal/observe"
	"bartizan/internal/ocsf"
	"bartizan/internal/ocsf/ocsftest"
)

var (
	typeTime     = reflect.TypeFor[time.Time]()
	typeAddrPort = reflect.TypeFor[netip.AddrPort]()
	typeULID     = reflect.TypeFor[model.ULID]()
	typeEntity   = reflect.TypeFor[model.Entity]()
	typeBlob     = reflect.TypeFor[observe.Blob]()
)

// someText is what attackers and protocols send.
func someText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.SampledFrom([]string{"", "root", "GET", "basic", "/a?b=c", "/a?", "http://h:8080/x?y#z", "*", "a:80", "[::1]:443", "x\x00y",
		"\"'\\<>&\u2028", "T1110.001", "AML.T0051.000", "🦠", "https://[::1]/", "?", "://"}), rapid.String())
}

func someEntity() *rapid.Generator[model.Entity] {
	return rapid.Custom(func(t *rapid.T) model.Entity {
		pick := rapid.SampledFrom([][2]string{{"ip", "192.0.2.1"}, {"ip", "2001:db8::/64"}, {"ip", "198.51.100.0/24"}, {"domain", "evil.example"}, {"url", "http://evil.example/a?b"},
			{"sha256", strings.Repeat("ab", 32)}, {"ja3", strings.Repeat("0", 32)}, {"ja4", "t13d1516h2_8daaf6152771_e5627efa2ab1"}, {"hassh", strings.Repeat("f", 32)},
			{"access-key", "AKIA..."}, {"prompt", strings.Repeat("1", 16)}}).Draw(t, "entity")
		e, err := model.ParseEntity(model.EntityType(pick[0]), pick[1])
		if err != nil {
			t.Fatal(err)
		}
		return e
	})
}

// fill draws a value for everything that can be set.
func fill(t *rapid.T, v reflect.Value) {
	switch v.Type() {
	case typeTime:
		if rapid.Bool().Draw(t, "has time") {
			v.Set(reflect.ValueOf(time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()))
		}
		return
	case typeAddrPort:
		text := rapid.SampledFrom([]string{"192.0.2.7:4000", "[2001:db8::1]:65535", "[fe80::1%eth0]:22", "[::ffff:192.0.2.1]:80", "203.0.113.9:0"}).Draw(t, "addr")
		v.Set(reflect.ValueOf(netip.MustParseAddrPort(text)))
		return
	case typeULID:
		if rapid.Bool().Draw(t, "has id") {
			v.Set(reflect.ValueOf(model.ULID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))))
		}
		return
	case typeEntity:
		v.Set(reflect.ValueOf(someEntity().Draw(t, "entity")))
		return
	case typeBlob:
		b := observe.Blob{What: "payload", SHA256: strings.Repeat("a", 64), Size: rapid.IntRange(0, 1<<30).Draw(t, "size"), Data: rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "data")}
		v.Set(reflect.ValueOf(b))
		return
	}
	switch x := v.Addr().Interface().(type) {
	case *model.Severity:
		*x = model.Severity(rapid.IntRange(0, 4).Draw(t, "severity"))
		return
	case *model.Action:
		*x = model.Action(rapid.IntRange(0, 4).Draw(t, "action"))
		return
	case *model.Verdict:
		*x = model.Verdict(rapid.IntRange(0, 4).Draw(t, "verdict"))
		return
	}
	fillKind(t, v)
}

func fillKind(t *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(someText().Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "flag"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64Range(0, 1<<40).Draw(t, "n"))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64Range(0, 1<<40).Draw(t, "n"))
	case reflect.Uint16, reflect.Uint32:
		v.SetUint(rapid.Uint64Range(0, 1<<16-1).Draw(t, "n"))
	case reflect.Array:
	case reflect.Float64:
		v.SetFloat(rapid.Float64Range(0, 1).Draw(t, "f"))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "has") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem())
		}
	case reflect.Slice:
		if n := rapid.IntRange(0, 3).Draw(t, "len"); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(t, v.Index(i))
			}
		}
	case reflect.Uint8:
		v.SetUint(rapid.Uint64Range(0, 255).Draw(t, "byte"))
	default:
		t.Fatalf("no values for %s", v.Type())
	}
}

// drawObservation draws an observation of a kind.
func drawObservation(t *rapid.T, kind observe.Kind) observe.Observation {
	o := observe.Observation{Kind: kind}
	v := reflect.ValueOf(&o).Elem()
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Tag.Get("json")
		switch {
		case v.Type().Field(i).Name == "Kind":
		case f.Kind() != reflect.Pointer:
			fill(t, f)
		case strings.HasPrefix(name, string(kind)+","):
			f.Set(reflect.New(f.Type().Elem()))
			fill(t, f.Elem())
		}
	}
	if f := o.File; f != nil && (f.SHA256 == "" || f.SHA1 == "" || f.MD5 == "") {
		f.SHA1, f.MD5 = "", "" // only beside SHA-256, and both
	}
	return o
}

func mapper() *ocsf.Mapper { return &ocsf.Mapper{Product: "v1.2.3", MaxEvidence: 1 << 20} }

func event(t testing.TB, row any) []byte {
	b, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stored writes rows to Parquet and reads them back.
func stored(t testing.TB, row any) any {
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[any](&buf, parquet.SchemaOf(row))
	if _, err := w.Write([]any{row}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := parquet.NewReader(bytes.NewReader(buf.Bytes()), parquet.SchemaOf(row))
	got := reflect.New(reflect.TypeOf(row).Elem()).Interface()
	if err := r.Read(got); err != nil {
		t.Fatal(err)
	}
	return got
}

// back turns a row into what it was made of.
func back(t testing.TB, row any) any {
	var v any
	var err error
	switch r := row.(type) {
	case ocsf.ObservationRow:
		v, err = r.Observation()
	case *ocsf.Signal:
		v, err = r.Signal()
	case *ocsf.Decision:
		_, v, err = r.Entry()
	case *ocsf.Receipt:
		v, err = r.Receipt()
	case *ocsf.LLMCall:
		v, err = r.LLMCall()
	case *ocsf.LLMTraffic:
		v, err = r.LLMTraffic()
	case *ocsf.Flow:
		v, err = r.Flow()
	case *ocsf.Query:
		v, err = r.AsQuery()
	case *ocsf.Record:
		v = r.AsRecord()
	case *ocsf.Message:
		v = r.AsMessage()
	case *ocsf.CloudCall:
		v = r.AsRecord()
	default:
		t.Fatalf("no way back from %T", row)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// draw fills a row with something drawn and returns what that was.
func draw(t *rapid.T, m *ocsf.Mapper, c ocsf.Class, row any) any {
	switch r := row.(type) {
	case ocsf.ObservationRow:
		o := drawObservation(t, c.Kind)
		r.FromObservation(m, &o)
		return o
	case *ocsf.Signal:
		var s model.Signal
		fill(t, reflect.ValueOf(&s).Elem())
		r.FromSignal(m, &s)
		return s
	case *ocsf.Decision:
		var e model.Entry
		fill(t, reflect.ValueOf(&e).Elem())
		e.Change = rapid.SampledFrom([]model.Change{"decide", "hold", "approve", "reject", "remove", "expire", "lease", "unlease", "other"}).Draw(t, "change")
		r.FromEntry(m, 7, &e)
		return e
	case *ocsf.Receipt:
		var x model.Receipt
		fill(t, reflect.ValueOf(&x).Elem())
		x.Status = rapid.SampledFrom([]model.ReceiptStatus{"delivered", "applied", "refused", "expired", "verified", ""}).Draw(t, "status")
		r.FromReceipt(m, &x)
		return x
	case *ocsf.LLMCall:
		var c model.LLMCall
		fill(t, reflect.ValueOf(&c).Elem())
		c.Outcome = rapid.SampledFrom([]string{"forwarded", "refused", "failed", "abandoned"}).Draw(t, "outcome")
		c.Action = rapid.SampledFrom([]string{"allow", "flag", "throttle", "mask", "rewrite", "block"}).Draw(t, "action")
		r.FromLLMCall(m, &c)
		return c
	case *ocsf.LLMTraffic:
		var x model.LLMTraffic
		fill(t, reflect.ValueOf(&x).Elem())
		r.FromLLMTraffic(m, &x)
		return x
	}
	return drawLog(t, m, row)
}

// drawLog is draw for the classes of what logs say.
func drawLog(t *rapid.T, m *ocsf.Mapper, row any) any {
	from := ocsf.From{Sensor: someText().Draw(t, "sensor"), Format: "auto", Input: someText().Draw(t, "input"), Now: time.Unix(1<<33, 0)}
	record := func(call bool) observe.LogRecord {
		var d observe.LogRecord
		fill(t, reflect.ValueOf(&d).Elem())
		d.Raw = nil
		if s := someText().Draw(t, "raw"); s != "" {
			d.Raw = []byte(s)
		}
		d.Call = nil
		if call {
			d.Call = new(observe.CloudCall)
			fill(t, reflect.ValueOf(d.Call).Elem())
		}
		return d
	}
	addr := func() observe.Addr {
		return observe.AddrOf(netip.MustParseAddr(rapid.SampledFrom([]string{"192.0.2.7", "2001:db8::1", "::1", "198.51.100.200", "::"}).Draw(t, "addr")))
	}
	switch r := row.(type) {
	case *ocsf.Flow:
		var f observe.Flow
		fill(t, reflect.ValueOf(&f).Elem())
		f.Src, f.Dst, f.Action = addr(), addr(), observe.FlowAction(rapid.IntRange(0, 2).Draw(t, "action"))
		f.Start, f.End = rapid.Int64Range(0, 1<<33).Draw(t, "start"), rapid.Int64Range(0, 1<<33).Draw(t, "end")
		r.FromFlow(m, &from, &f)
		return f
	case *ocsf.Query:
		var q observe.Query
		fill(t, reflect.ValueOf(&q).Elem())
		q.Client, q.Server, q.Time = addr(), addr(), rapid.Int64Range(0, 1<<33).Draw(t, "time")
		q.RCode = rapid.SampledFrom([]string{"", "NOERROR", "NXDOMAIN", "REFUSED", "RCODE12"}).Draw(t, "rcode")
		r.FromQuery(m, &from, &q)
		return q
	case *ocsf.Message:
		var x observe.Message
		fill(t, reflect.ValueOf(&x).Elem())
		r.FromMessage(m, &from, &x)
		return x
	case *ocsf.Record:
		d := record(false)
		r.FromRecord(m, &from, &d)
		return d
	case *ocsf.CloudCall:
		d := record(true)
		r.FromRecord(m, &from, &d)
		return d
	}
	t.Fatalf("nothing makes a %T", row)
	return nil
}

// TestRowsLoseNothing: what went into a row comes out of it, straight, after
// Parquet, after JSON, and from a row that was used before; and each row is a
// valid event.
func TestRowsLoseNothing(t *testing.T) {
	schema := ocsftest.Load(t)
	same := cmp.Options{cmp.Comparer(func(a, b model.Entity) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })}
	for _, c := range ocsf.Classes() {
		t.Run(c.Name, func(t *testing.T) {
			m, used := mapper(), c.New()
			rapid.Check(t, func(rt *rapid.T) {
				want := draw(rt, m, c, used)
				text := event(t, used)
				if err := schema.Validate(text); err != nil {
					rt.Fatalf("not valid OCSF: %v\n%s", err, text)
				}
				reread := c.New()
				if err := json.Unmarshal(text, reread); err != nil {
					rt.Fatal(err)
				}
				for how, row := range map[string]any{"straight": used, "parquet": stored(t, used), "json": reread} {
					if diff := cmp.Diff(want, back(t, row), same); diff != "" {
						rt.Fatalf("%s: lost (-in +out):\n%s", how, diff)
					}
				}
				if diff := cmp.Diff(used, stored(t, used), cmpopts.EquateEmpty()); diff != "" {
					rt.Fatalf("parquet changes the row:\n%s", diff)
				}
			})
		})
	}
}

// TestEmptyAndFull: the least and the most of each class is a valid event.
func TestEmptyAndFull(t *testing.T) {
	schema := ocsftest.Load(t)
	long := strings.Repeat("ä", observe.MaxText/2)
	m := mapper()
	for _, c := range ocsf.Classes() {
		if c.Kind == "" {
			continue
		}
		for _, s := range []string{"", long, "\xff\xfe", "a\x00b\nc"} {
			o := observe.Observation{Kind: c.Kind, Decoy: "d", Remote: netip.MustParseAddrPort("[fe80::1111:2222:3333:4444%averylonginterfacename]:1"), Session: model.ULID{1}}
			v := reflect.ValueOf(&o).Elem()
			for i := range v.NumField() {
				if strings.HasPrefix(v.Type().Field(i).Tag.Get("json"), string(c.Kind)+",") {
					v.Field(i).Set(reflect.New(v.Field(i).Type().Elem()))
					for j := range v.Field(i).Elem().NumField() {
						if f := v.Field(i).Elem().Field(j); f.Kind() == reflect.String {
							f.SetString(s)
						}
					}
				}
			}
			row := c.New().(ocsf.ObservationRow)
			row.FromObservation(m, &o)
			schema.Check(t, event(t, row))
			stored(t, row)
		}
	}
	for _, row := range []any{new(ocsf.Signal), new(ocsf.Decision), new(ocsf.Receipt), new(ocsf.LLMCall), new(ocsf.LLMTraffic), new(ocsf.Flow), new(ocsf.Query), new(ocsf.Record), new(ocsf.CloudCall), new(ocsf.Message)} {
		var from ocsf.From
		switch r := row.(type) {
		case *ocsf.LLMCall:
			r.FromLLMCall(m, &model.LLMCall{})
		case *ocsf.LLMTraffic:
			r.FromLLMTraffic(m, &model.LLMTraffic{})
		case *ocsf.Flow:
			r.FromFlow(m, &from, &observe.Flow{})
		case *ocsf.Query:
			r.FromQuery(m, &from, &observe.Query{})
		case *ocsf.Record:
			r.FromRecord(m, &from, &observe.LogRecord{})
		case *ocsf.Message:
			r.FromMessage(m, &from, &observe.Message{})
		case *ocsf.CloudCall:
			r.FromRecord(m, &from, &observe.LogRecord{Call: &observe.CloudCall{}})
		case *ocsf.Signal:
			r.FromSignal(m, &model.Signal{})
		case *ocsf.Decision:
			r.FromEntry(m, 0, &model.Entry{Change: model.ChangeDecide})
		case *ocsf.Receipt:
			r.FromReceipt(m, &model.Receipt{})
		}
		schema.Check(t, event(t, row))
	}
}

// TestEvidenceCap: bytes are cut, sizes and hashes are not.
func TestEvidenceCap(t *testing.T) {
	o := observe.Observation{Kind: observe.KindCommand, Command: &observe.Command{Line: "id"}, Decoy: "d", Session: model.ULID{1}, Remote: netip.MustParseAddrPort("192.0.2.1:1"),
		Evidence: []observe.Blob{{What: "transcript", Size: 8, Data: []byte("12345678")}, {What: "request", Size: 8, SHA256: "given", Data: []byte("abcdefgh")}, {What: "file", Size: 9, SHA256: "kept"}}}
	for limit, want := range map[int]string{0: "/", 3: "123/", 10: "12345678/ab", 100: "12345678/abcdefgh"} {
		m := &ocsf.Mapper{MaxEvidence: limit}
		var row ocsf.Command
		row.FromObservation(m, &o)
		e := row.Unmapped.Evidence
		if got := string(e[0].Data) + "/" + string(e[1].Data); got != want {
			t.Errorf("limit %d keeps %q, want %q", limit, got, want)
		}
		if e[0].Size != 8 || e[0].SHA256 != "ef797c8118f02dfb649607dd5d3f8c7623048c9c063d532cc95c5ed7a898a64f" || e[1].SHA256 != "given" || e[2].SHA256 != "kept" {
			t.Errorf("limit %d: %+v", limit, e)
		}
	}
}

// TestClassesFitSchema: the numbers are those of the schema, and every kind of
// observation has one class.
func TestClassesFitSchema(t *testing.T) {
	schema := ocsftest.Load(t)
	kinds := map[observe.Kind]int{}
	for _, c := range ocsf.Classes() {
		kinds[c.Kind]++
		if name, ok := schema.HasClass(int64(c.UID)); !ok || name != c.OCSF {
			t.Errorf("%s: class_uid %d is %q in the schema, want %q", c.Name, c.UID, name, c.OCSF)
		}
		if got, ok := ocsf.ClassOf(c.Name); !ok || got.UID != c.UID {
			t.Errorf("ClassOf(%q) = %v, %v", c.Name, got.UID, ok)
		}
	}
	if kinds[""] != 10 || len(kinds) != 10 {
		t.Errorf("classes by kind: %v", kinds)
	}
}

func TestTimes(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(0, 1).UTC(), time.Date(1700, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(2261, 12, 31, 0, 0, 0, 5, time.UTC)} {
		if got := ocsf.NanosOf(at).At(); !got.Equal(at) {
			t.Errorf("%v became %v", at, got)
		}
	}
	for _, at := range []time.Time{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if y := ocsf.NanosOf(at).At().Year(); y != 2262 && y != 1677 {
			t.Errorf("%v became year %d", at, y)
		}
	}
}

func BenchmarkFromObservation(b *testing.B) {
	at := time.Unix(1790000000, 123456789).UTC()
	o := observe.Observation{Kind: observe.KindInteraction, Time: at, Session: model.NewULID(at), Sensor: "s", Decoy: "d", Service: "tcp",
		Local: netip.MustParseAddrPort("192.0.2.7:22"), Remote: netip.MustParseAddrPort("198.51.100.7:4000"),
		Interaction: &observe.Interaction{Ended: true, Duration: 0.3, BytesIn: 10, First: []byte("GET / HTTP/1.0"), Protocol: "http"}}
	m, row := mapper(), new(ocsf.Interaction)
	b.ReportAllocs()
	for b.Loop() {
		row.FromObservation(m, &o)
	}
	_ = fmt.Sprint(row.ClassUID)
}
