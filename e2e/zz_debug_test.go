package e2e

import (
	"os"
	"testing"
	"time"
)

// TestZZ is scratch.
func TestZZ(t *testing.T) {
	if os.Getenv("ZZ") == "" {
		t.Skip()
	}
	l := newLab(t)
	n := l.up(t)
	a := l.attacker(t)
	at := a.space
	if os.Getenv("ZZNODE") != "" {
		at = l.node
	}
	r := at.runWith(t, 5*time.Minute, nil, []string{"DATA=" + n.data, "NODE=" + node4, "IP=" + a.ip}, "bash", "-c", os.Getenv("ZZ"))
	t.Log(r)
	if os.Getenv("ZZLOG") != "" {
		t.Log(n.err.String())
	}
}
