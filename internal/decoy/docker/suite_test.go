package docker

import (
	"testing"

	"bartizan/internal/decoy/decoytest"
)

func TestSuite(t *testing.T) {
	decoytest.Run(t, build(nil), decoytest.Hello("GET /version HTTP/1.1\r\nHost: x\r\n\r\n"), decoytest.Dialogues(20))
}
