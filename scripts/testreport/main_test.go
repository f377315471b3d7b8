package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const stream = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"    a_test.go:3: chatter\n"}
{"Action":"pass","Package":"p","Test":"TestGood"}
{"Action":"run","Package":"p","Test":"TestAway"}
{"Action":"output","Package":"p","Test":"TestAway","Output":"    a_test.go:9: nmap is not installed\n"}
{"Action":"output","Package":"p","Test":"TestAway","Output":"--- SKIP: TestAway (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestAway"}
{"Action":"run","Package":"p","Test":"TestGolden"}
{"Action":"output","Package":"p","Test":"TestGolden","Output":"    a_test.go:9: run with -update to write it\n"}
{"Action":"skip","Package":"p","Test":"TestGolden"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`

const broken = `{"Action":"run","Package":"q","Test":"TestBad"}
{"Action":"output","Package":"q","Test":"TestBad","Output":"    q_test.go:1: it broke\n"}
{"Action":"output","Package":"q","Test":"TestBad","Output":"--- FAIL: TestBad (0.00s)\n"}
{"Action":"fail","Package":"q","Test":"TestBad"}
{"Action":"run","Package":"q","Test":"TestDies"}
{"Action":"output","Package":"q","Test":"TestDies","Output":"panic: out of time\n"}
{"Action":"output","Package":"q","Output":"FAIL\tq\t0.1s\n"}
{"Action":"fail","Package":"q"}
{"Action":"build-output","ImportPath":"r","Output":"r.go:1: no such thing\n"}
{"Action":"output","Package":"r","Output":"FAIL\tr [build failed]\n"}
{"Action":"fail","Package":"r"}
not json
`

func run(t *testing.T, in string, strict bool) (string, bool, counts) {
	t.Helper()
	var out strings.Builder
	r := newReport(&out, strict)
	if err := r.read(strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	ok := r.finish()
	return out.String(), ok, r.total
}

func TestPassing(t *testing.T) {
	out, ok, n := run(t, stream, false)
	want := "ok  \tp\t0.1s\nskipped p TestAway: a_test.go:9: nmap is not installed\n1 passed, 0 failed, 2 skipped\n"
	if out != want || !ok || n != (counts{1, 0, 2}) {
		t.Errorf("ok=%v %+v\n%s", ok, n, out)
	}
}

func TestStrictRefusesSkips(t *testing.T) {
	out, ok, _ := run(t, stream, true)
	if ok || !strings.Contains(out, "FAIL: skipped, although everything must run here: p TestAway") || strings.Contains(out, "TestGolden") {
		t.Errorf("ok=%v\n%s", ok, out)
	}
}

func TestFailing(t *testing.T) {
	out, ok, n := run(t, broken, false)
	if ok || n.Failed != 3 {
		t.Errorf("ok=%v %+v", ok, n)
	}
	for _, want := range []string{"it broke", "--- FAIL: TestBad", "panic: out of time", "FAIL\tq\t0.1s", "r.go:1: no such thing", "not json", "FAIL\tr [build failed]", "0 passed, 3 failed"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

func TestTotals(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sum")
	for range 2 {
		if err := (counts{3, 1, 2}).addTo(file); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != `{"Passed":6,"Failed":2,"Skipped":4}` {
		t.Errorf("%s %v", b, err)
	}
}
