package llm

import (
	"testing"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
)

func TestSuite(t *testing.T) {
	decoytest.Run(t, func(t testing.TB) decoy.Service {
		v, err := New(Default())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}, decoytest.Hello("GET /api/tags HTTP/1.1\r\nHost: x\r\n\r\n"))
}
