package ollama

import (
	"testing"

	"bartizan/internal/guard/wire/wiretest"
)

func suite(t testing.TB) wiretest.Suite {
	f, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	return wiretest.Suite{Format: f, Dir: "testdata", LeastBodies: 6, LeastStreams: 2}
}

func TestConformance(t *testing.T) { wiretest.Run(t, suite(t)) }

func FuzzRequest(f *testing.F) { wiretest.FuzzBody(f, suite(f), "request") }
func FuzzAnswer(f *testing.F)  { wiretest.FuzzBody(f, suite(f), "answer") }
func FuzzStream(f *testing.F)  { wiretest.FuzzStream(f, suite(f)) }
