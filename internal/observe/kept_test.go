package observe

import (
	"testing"
	"time"
	"unicode/utf8"
)

func TestKept(t *testing.T) {
	at := time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		`{"eventTime":"2026-11-20T07:00:00Z"}`:            at,
		`{"@timestamp":"2026-11-20T08:00:00+01:00"}`:      at,
		`{"timestamp":"2026-11-20T07:00:00.250000+0000"}`: at.Add(250 * time.Millisecond),
		`{"UtcTime":"2026-11-20 07:00:00.000"}`:           at,
		`{"ts":1795158000.5}`:                             at.Add(500 * time.Millisecond),
		`{"ts":"1795158000"}`:                             at,
		`{"Event":{"System":{"TimeCreated":{"#attributes":{"SystemTime":"2026-11-20T07:00:00Z"}}}}}`: at,
		`{"time":"yesterday"}`: {},
		`{"ts":1e300}`:         {},
		`{}`:                   {},
	} {
		var b LogBatch
		d, err := b.AddDocument(3, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		k := d.Kept()
		if !k.Time.Equal(want) || k.Call != nil || string(k.Raw) != text || k.Size != len(text) || k.Record != 3 {
			t.Errorf("%s: %+v", text, k)
		}
	}
}

// TestKeptEnvelope: of a record in an envelope the whole is kept, and the call is that inside.
func TestKeptEnvelope(t *testing.T) {
	const text = `{"detail-type":"AWS API Call via CloudTrail","detail":{"eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com","eventTime":"2026-11-20T07:00:00Z","userIdentity":{"type":"Root"}}}`
	var b LogBatch
	d, err := b.AddDocument(0, []byte(text))
	if err != nil || !d.Narrow("detail") {
		t.Fatal(err)
	}
	d.Service = "cloudtrail"
	k := d.Kept()
	if k.Call == nil || k.Call.Operation != "StopLogging" || k.Call.User != "Root" || k.Time.IsZero() || string(k.Raw) != text {
		t.Errorf("%+v", k)
	}
}

// FuzzKept: whatever a record says, what is kept of it is bounded, valid and of a time that exists.
func FuzzKept(f *testing.F) {
	for _, s := range []string{`{"eventName":"a","eventTime":"2026-11-20T07:00:00Z","userIdentity":{"arn":"b","accessKeyId":7}}`, `{"ts":-1e9}`, `{"eventName":"\ud800","ts":"0x1p40"}`, `{"eventName":{"a":[]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var b LogBatch
		d, err := b.AddDocument(0, text)
		if err != nil {
			return
		}
		d.Service = "cloudtrail"
		k := d.Kept()
		if len(k.Raw) > MaxRecord || k.Size != len(text) {
			t.Fatalf("%d bytes kept of %d, said to be %d", len(k.Raw), len(text), k.Size)
		}
		if y := k.Time.Year(); !k.Time.IsZero() && (y < 0 || y > 9999) {
			t.Fatalf("year %d", y)
		}
		if c := k.Call; c != nil {
			for _, s := range []string{c.ID, c.Operation, c.Service, c.Region, c.Account, c.User, c.Key, c.Agent, c.Source, c.Error} {
				if !utf8.ValidString(s) || len(s) > 3*MaxCallText {
					t.Fatalf("%q", s)
				}
			}
		}
	})
}
