package auth

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/detect/detecttest"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

func attempt(addr, user, password string, after time.Duration) observe.Observation {
	return detecttest.Observation(observe.Observation{Service: "ssh", Time: detecttest.Start.Add(after),
		Remote: netip.AddrPortFrom(netip.MustParseAddr(addr), 1), Auth: &observe.AuthAttempt{Method: "password", User: user, Password: password}})
}

// kinds counts what a detector concludes from a sequence.
func kinds(t *testing.T, d detect.Detector, os ...observe.Observation) map[string]int {
	t.Helper()
	n := map[string]int{}
	for i := range os {
		d.Detect(&os[i], func(s *model.Signal) { n[s.Kind]++ })
	}
	return n
}

func TestBruteForce(t *testing.T) {
	var os []observe.Observation
	for i := range 5 {
		os = append(os, attempt("198.51.100.1", "root", fmt.Sprint(i), time.Duration(i)*time.Minute))
	}
	if n := kinds(t, fresh(t)(), os[:4]...); n["auth.brute-force"] != 0 || n["auth.attempt"] != 4 {
		t.Errorf("four attempts: %v", n)
	}
	if n := kinds(t, fresh(t)(), os...); n["auth.brute-force"] != 1 || n["auth.spray"] != 0 {
		t.Errorf("five attempts: %v", n)
	}
	os[4].Time = os[4].Time.Add(time.Hour)
	if n := kinds(t, fresh(t)(), os...); n["auth.brute-force"] != 0 {
		t.Errorf("the fifth an hour later: %v", n)
	}
	os[4] = attempt("2001:db8::5", "root", "x", 0)
	if n := kinds(t, fresh(t)(), os...); n["auth.brute-force"] != 0 {
		t.Errorf("the fifth by another: %v", n)
	}
}

// TestForgedAttemptsDoNotRipen: what could have been forged never brings an
// innocent address nearer to a threshold.
func TestForgedAttemptsDoNotRipen(t *testing.T) {
	var os []observe.Observation
	for i := range 20 {
		o := attempt("198.51.100.1", "root", fmt.Sprint(i), 0)
		o.Spoofable = true
		os = append(os, o)
	}
	d := fresh(t)()
	kinds(t, d, os...)
	if n := kinds(t, d, attempt("198.51.100.1", "alice", "mine", 0)); n["auth.brute-force"] != 0 {
		t.Errorf("one real attempt after forged ones: %v", n)
	}
}

func TestSixtyFourIsOneActor(t *testing.T) {
	var os []observe.Observation
	for i := range 5 {
		os = append(os, attempt(fmt.Sprintf("2001:db8:0:1::%d", i+1), "root", fmt.Sprint(i), 0))
	}
	if n := kinds(t, fresh(t)(), os...); n["auth.brute-force"] != 1 {
		t.Errorf("%v", n)
	}
}

func TestSprayAndDistributed(t *testing.T) {
	var spray, many []observe.Observation
	for i := range 4 {
		spray = append(spray, attempt("198.51.100.1", fmt.Sprintf("user%d", i), "Summer2026", 0))
		many = append(many, attempt(fmt.Sprintf("198.51.100.%d", i+1), "svc", "Tr0ub4dor", 0))
	}
	if n := kinds(t, fresh(t)(), spray...); n["auth.spray"] != 1 {
		t.Errorf("spray: %v", n)
	}
	if n := kinds(t, fresh(t)(), many...); n["auth.distributed"] != 1 {
		t.Errorf("distributed: %v", n)
	}
	for i := range many {
		many[i].Auth.Password = "root"
	}
	if n := kinds(t, fresh(t)(), many...); n["auth.distributed"] != 0 {
		t.Errorf("everybody tries short ones: %v", n)
	}
}

func TestKeysAreNotGuesses(t *testing.T) {
	var os []observe.Observation
	for i := range 11 {
		o := attempt("198.51.100.1", "alice", "", 0)
		o.Auth.Method, o.Auth.Key = "publickey", fmt.Sprintf("SHA256:%d", i)
		os = append(os, o)
	}
	if n := kinds(t, fresh(t)(), os...); n["auth.brute-force"] != 0 {
		t.Errorf("an agent with eleven keys: %v", n)
	}
}

func TestLureKey(t *testing.T) {
	c := Default()
	c.Lures = []string{"AKIAIOSFODNN7EXAMPLE"}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	h := detecttest.Request("/", "aws-cli/2.0", "")
	h.HTTP.Headers = append(h.HTTP.Headers, observe.Field{Name: "Authorization", Value: "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260301/us-east-1/s3/aws4_request"})
	h = detecttest.Observation(h)
	var got model.Signal
	d.Detect(&h, func(s *model.Signal) { got = *s })
	if got.Kind != "access.lure-key" || len(got.Related) != 1 || got.Related[0].String() != "access-key:AKIAIOSFODNN7EXAMPLE" {
		t.Errorf("%+v", got)
	}
	h.HTTP.Headers[3].Value = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLF/2026"
	if n := kinds(t, d, h); len(n) != 0 {
		t.Errorf("another key: %v", n)
	}
}

func TestPasswordStaysOut(t *testing.T) {
	e := detect.NewEngine([]detect.Named{{Name: "auth", Detector: fresh(t)()}}, detect.Options{})
	e.Process([]observe.Observation{attempt("198.51.100.1", "alice", "my-real-password", 0)}, func(s model.Signal) {
		if text := fmt.Sprintf("%+v", s); strings.Contains(text, "my-real-password") {
			t.Errorf("password in signal: %s", text)
		}
	})
}

func TestNewRefusesNonsense(t *testing.T) {
	c := Default()
	c.Attempts = 0
	if _, err := New(c); err == nil {
		t.Error("a threshold of zero passed")
	}
}
