package redis

import (
	"testing"

	"go.uber.org/goleak"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func build(edit func(*Config)) func(testing.TB) decoy.Service {
	return func(t testing.TB) decoy.Service {
		c := Default()
		if edit != nil {
			edit(&c)
		}
		v, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestSuite(t *testing.T) {
	decoytest.Run(t, build(nil), decoytest.Hello("*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\nINFO server\r\nDEL nokey\r\n"), decoytest.Dialogues(20))
}
