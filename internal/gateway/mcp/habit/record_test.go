package habit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func newRecord(t testing.TB) *record {
	return &record{file: filepath.Join(t.TempDir(), "recent"), idle: time.Hour}
}

func (r *record) last(t testing.TB, who string, now time.Time) string {
	t.Helper()
	last := ""
	if err := r.with(who, now, func(t *talk, _ *marks) { last = t.Last }); err != nil {
		t.Fatal(err)
	}
	return last
}

func TestRecord(t *testing.T) {
	a := newRecord(t)
	b := &record{file: a.file, idle: time.Hour}
	now := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	set := func(r *record, who, tool string) {
		t.Helper()
		if err := r.with(who, now, func(t *talk, _ *marks) { t.took(&Call{Server: "s", Tool: tool, Time: now}) }); err != nil {
			t.Fatal(err)
		}
	}
	set(a, "x", "one")
	set(b, "x", "two")
	set(b, "y", "three")
	if got := a.last(t, "x", now) + a.last(t, "y", now) + a.last(t, "z", now); got != "s/twos/three^" {
		t.Errorf("%q", got)
	}
	if got := b.last(t, "x", now.Add(2*time.Hour)); got != startName {
		t.Errorf("after two hours %q", got)
	}
}

// TestRecordTorn: whatever of a write a crash has left, the file is as it was before, or
// after.
func TestRecordTorn(t *testing.T) {
	r := newRecord(t)
	now := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	for i := range 3 {
		if err := r.with("x", now, func(t *talk, _ *marks) { t.took(&Call{Server: "s", Tool: fmt.Sprint(i), Time: now}) }); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.with("x", now, func(t *talk, _ *marks) { t.took(&Call{Server: "s", Tool: "4", Time: now}) }); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	first := 0
	for first < len(before) && before[first] == after[first] {
		first++
	}
	tried := 0
	for cut := first; cut <= min(len(after), first+400); cut++ {
		torn := bytes.Clone(before)
		torn = append(torn, make([]byte, max(0, len(after)-len(torn)))...)
		copy(torn[first:], after[first:cut])
		if err := os.WriteFile(r.file, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := (&record{file: r.file}).last(t, "x", now); got != "s/2" && got != "s/4" {
			t.Fatalf("cut at %d: %q", cut, got)
		}
		tried++
	}
	if tried < 50 {
		t.Errorf("only %d places tried", tried)
	}
	for _, text := range []string{"x", strings.Repeat("\xff", 100), strings.Repeat("\x00", 3<<20)} {
		if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		one := &record{file: r.file}
		if err := one.with("x", now, func(*talk, *marks) {}); err == nil || !strings.Contains(err.Error(), "begun anew") {
			t.Errorf("%v", err)
		}
		if got := one.last(t, "x", now); got != startName {
			t.Errorf("%q", got)
		}
	}
}

// TestRecordHeld: a process that has the file and does not run is not waited for, and calls
// are judged by what this one knows.
func TestRecordHeld(t *testing.T) {
	r := newRecord(t)
	now := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	l, err := lock(r.file, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	call := func(at time.Time) (n int, err error) {
		err = r.with("x", at, func(t *talk, _ *marks) { t.took(&Call{Server: "s", Tool: "t", Time: at}); n = t.N })
		return n, err
	}
	if n, err := call(now); err == nil || n != 1 {
		t.Errorf("%d %v", n, err)
	}
	if n, err := call(now.Add(time.Second)); err != nil || n != 2 {
		t.Errorf("%d %v: it is not tried again at once", n, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := call(now.Add(time.Minute)); err != nil {
		t.Errorf("%v: it can be had again", err)
	}
}

func TestFeatures(t *testing.T) {
	for text, want := range map[string]string{
		`"/srv/project/a/b.go"`: "path folder:", `"/srv/project/.env"`: "path folder: hidden", `"../../x"`: "path above", `"a/b.go"`: "path here", `"~/.ssh/id"`: "path home hidden",
		`"file:///etc/x/y"`: "path folder:", `"https://a.b.example.com/x?y"`: "address host:", `"http://127.0.0.1:8/"`: "address loopback", `"169.254.169.254"`: "address link-local",
		`"http://[fe80::1]/"`: "address link-local", `"10.1.2.3"`: "address private", `"9.9.9.9"`: "address ip", `"ann@example.com"`: "address host:", `"localhost"`: "word ",
		`"two words"`: "text ", `""`: "empty text ", `"-1.5"`: "digits ", `5`: "number ", `true`: "truth ", `null`: "nothing ", `{}`: "object ", `[]`: "list ",
		`"` + strings.Repeat("Zm9v", 20) + `"`: "coded ", `"` + strings.Repeat("x/", 3000) + `"`: "coded ", `"user/repo"`: "word ",
	} {
		all := features(jsontext.Value(`{"x":` + text + `}`))
		if len(all) != 1 || regexp.MustCompile(`:[0-9a-f]{4}`).ReplaceAllString(all[0].kind+" "+all[0].place, ":") != want {
			t.Errorf("%s: %+v, want %s", text, all, want)
		}
	}
	if a, b := hostClass("www.example.co.uk"), hostClass("mail.example.co.uk."); a != b || a == hostClass("example2.co.uk") {
		t.Errorf("%s %s", a, b)
	}
}

// FuzzFeatures: a bounded number, of few classes, and nothing of a value in them.
func FuzzFeatures(f *testing.F) {
	for _, s := range []string{`{"a":"/srv/x/y","b":{"c":[1,"https://x.example/",{"d":null}]}}`, `{"":""}`, `[1]`, `{"u":"http://[::1%25x]:99/"}`, `{"p":"////"}`, `{"p":"file:"}`, `{"m":"a@b.c"}`, `{"a":"~"}`} {
		f.Add([]byte(s))
	}
	places := regexp.MustCompile(`^(?:|loopback|link-local|private|ip|host:[0-9a-f]{4}|(?:home|above|here|folder:[0-9a-f]{4})(?: hidden)?)$`)
	kinds := regexp.MustCompile(`^(?:empty text|digits|text|coded|address|path|word|object|list|number|truth|nothing)$`)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !jsontext.Value(raw).IsValid() {
			return
		}
		all := features(raw)
		if len(all) > maxLeaves {
			t.Fatalf("%d features", len(all))
		}
		for _, x := range all {
			if !places.MatchString(x.place) || !kinds.MatchString(x.kind) || len(x.slot) > maxSlotName || x.size < 0 || x.size > 32 {
				t.Fatalf("%+v", x)
			}
		}
		sh := &shape{Slots: map[string]*slot{}}
		for range wellKnown + 1 {
			sh.take(all, maxAllSlots-len(sh.Slots))
		}
		if news := sh.news(all); len(news) > 0 && !sh.Wide {
			t.Fatalf("what came again is new: %v", news)
		}
	})
}

// FuzzRecord: a file of any content is read as what it was, or said to be damaged.
func FuzzRecord(f *testing.F) {
	r := newRecord(f)
	_ = r.last(f, "x", time.Unix(1e9, 0))
	good, err := os.ReadFile(r.file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(t.TempDir(), "recent")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		one := &record{file: name}
		_ = one.with("x", time.Unix(1e9, 0), func(*talk, *marks) {}) // damaged, or not
		_ = one.last(t, "x", time.Unix(1e9, 0))
		if len(one.own.Talks) > maxTalks || len(one.own.Said) > maxMarks && len(data) < 1000 {
			t.Fatalf("%+v", one.own)
		}
	})
}
