package shell

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"bartizan/internal/decoy/persona"
)

func TestSmoke(t *testing.T) {
	b, err := os.ReadFile("/tmp/smoke.txt")
	if err != nil {
		t.Skip()
	}
	p := persona.New([32]byte{1}, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	s := New(p, "root", Limits{Sleep: 1}, nil, func() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) })
	for _, l := range bytes.Split(b, []byte("\n")) {
		var out bytes.Buffer
		st := time.Now()
		code, ended := s.Run(context.Background(), string(l), nil, &out, &out)
		fmt.Printf("$ %s\n%s[%d %v %v]\n", l, clip(out.String(), 1500), code, ended, time.Since(st).Round(time.Microsecond))
	}
}
