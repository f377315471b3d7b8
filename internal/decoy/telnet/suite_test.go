package telnet

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
	}, decoytest.Hello("root\r\nroot\r\nexit\r\n"), decoytest.As(must(host())))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
