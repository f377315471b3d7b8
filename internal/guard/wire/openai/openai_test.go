package openai

import (
	"strings"
	"testing"

	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/wiretest"
)

func suite(t testing.TB) wiretest.Suite {
	f, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	return wiretest.Suite{Format: f, Dir: "testdata", LeastBodies: 11, LeastStreams: 4}
}

func TestConformance(t *testing.T) { wiretest.Run(t, suite(t)) }

func FuzzRequest(f *testing.F) { wiretest.FuzzBody(f, suite(f), "request") }
func FuzzAnswer(f *testing.F)  { wiretest.FuzzBody(f, suite(f), "answer") }
func FuzzStream(f *testing.F)  { wiretest.FuzzStream(f, suite(f)) }

// BenchmarkRequest and BenchmarkEvent are what reading adds to a proxied request of 2 KB and to one event of a stream.
func BenchmarkRequest(b *testing.B) {
	f, err := New(Default())
	if err != nil {
		b.Fatal(err)
	}
	body := []byte(`{"model":"m","messages":[` + strings.Repeat(`{"role":"user","content":"`+strings.Repeat("some words ", 20)+`"},`, 7) + `{"role":"user","content":"x"}]}`)
	h := wire.Head{Method: "POST", Path: "/v1/chat/completions", ContentType: "application/json"}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Request(h, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEvent(b *testing.B) {
	f, err := New(Default())
	if err != nil {
		b.Fatal(err)
	}
	s, err := f.Stream(wire.Head{Method: "POST", Path: "/v1/chat/completions", ContentType: "text/event-stream"})
	if err != nil {
		b.Fatal(err)
	}
	event := []byte(`data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[{"index":0,"delta":{"content":"some words"},"finish_reason":null}]}` + "\n\n")
	b.ReportAllocs()
	for b.Loop() {
		if n, err := s.Split(event); n != len(event) || err != nil {
			b.Fatal(n, err)
		}
		if _, err := s.Event(event); err != nil {
			b.Fatal(err)
		}
	}
}
