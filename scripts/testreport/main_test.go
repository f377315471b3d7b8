package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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
	if out != want || !ok || n.Passed != 1 || n.Failed != 0 || n.Skipped != 2 {
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
		if err := (counts{Passed: 3, Failed: 1, Skipped: 2}).addTo(file); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != `{"Passed":6,"Failed":2,"Skipped":4}` {
		t.Errorf("%s %v", b, err)
	}
}

// What is run again, and what a second run must not undo.
func TestAgain(t *testing.T) {
	failing := func(test, said string) string {
		return `{"Action":"run","Package":"p","Test":"` + test + `"}
{"Action":"output","Package":"p","Test":"` + test + `","Output":"` + said + `\n"}
{"Action":"fail","Package":"p","Test":"` + test + `"}
`
	}
	const end = `{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
`
	ended := errors.New("exit status 1")
	for _, c := range []struct {
		name, in string
		err      error // of the second run
		ran      []string
		want     counts
	}{
		{"passes alone", failing("TestLate/part", "late") + failing("TestLate", "") + end, nil, []string{"go test -race -count=5 -run ^TestLate$ p"}, counts{Passed: 2, Flaky: []string{"p TestLate"}}},
		{"fails alone", failing("TestBroken", "broken") + end, ended, []string{"go test -race -count=5 -run ^TestBroken$ p"}, counts{Failed: 1}},
		{"a race", failing("TestRace", "WARNING: DATA RACE") + end, nil, nil, counts{Failed: 1}},
		{"a race told by testing", failing("TestRace", "testing.go:1: race detected during execution of test") + end, nil, nil, counts{Failed: 1}},
		{"a panic", failing("TestPanic", "panic: out of range") + end, nil, nil, counts{Failed: 1}},
		{"a leak", failing("TestLate", "late") + `{"Action":"output","Package":"p","Output":"goleak: Errors on successful test run: found unexpected goroutines\n"}` + "\n" + end, nil, nil, counts{Failed: 1}},
		{"a test without an end", failing("TestLate", "late") + `{"Action":"run","Package":"p","Test":"TestStuck"}` + "\n" + end, nil, nil, counts{Failed: 2}},
		{"no build", end, nil, nil, counts{Failed: 1}},
		{"one that is late, one package that does not build", failing("TestLate", "late") + end + strings.ReplaceAll(end, `"p"`, `"q"`), nil, nil, counts{Failed: 2}},
		{"too many", failing("TestA", "") + failing("TestB", "") + failing("TestC", "") + failing("TestD", "") + end, nil, nil, counts{Failed: 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			r := newReport(&out, false)
			if err := r.read(strings.NewReader(c.in)); err != nil {
				t.Fatal(err)
			}
			var ran []string
			r.again([]string{"go", "test", "-race"}, func(_ io.Writer, args []string) error {
				ran = append(ran, strings.Join(args, " "))
				return c.err
			})
			if !slices.Equal(ran, c.ran) || !reflect.DeepEqual(r.total, c.want) {
				t.Errorf("ran %q, counted %+v; want %q, %+v\n%s", ran, r.total, c.ran, c.want, &out)
			}
			if ok := r.finish(); ok != (c.want.Failed == 0) {
				t.Errorf("ends with %v", ok)
			}
		})
	}
}

// A name that no test has must not count as passed.
func TestNothingRun(t *testing.T) {
	var out strings.Builder
	if err := command(&out, []string{"go", "test", "-count=1", "-run", "^TestThatIsNotThere$", "."}); err == nil {
		t.Error("nothing was run, and it counts as passed")
	}
	if err := command(&out, []string{"go", "test", "-count=1", "-run", "^TestTotals$", "."}); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
}
