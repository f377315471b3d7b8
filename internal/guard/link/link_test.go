package link

import (
	"strings"
	"testing"

	"bartizan/internal/guard"
	"bartizan/internal/guard/guardtest"
)

func TestLink(t *testing.T) {
	in, err := New(Config{Denied: []string{"evil.test", "192.0.2.0/24"}})
	if err != nil {
		t.Fatal(err)
	}
	guardtest.Run(t, in, []guardtest.Case{
		{Text: "see http://evil.test/x", Note: "denied"},
		{Text: "HTTPS://a.b.EVIL.test:8080", Note: "denied"},
		{Text: "http://user@evil.test/", Note: "denied"},
		{Text: "http://192.0.2.77/", Note: "denied"},
		{Text: "aHR0cDovL2V2aWwudGVzdC9hYmM=", Note: "denied"},
		{Text: "hxxp://evil[.]test/", Note: "denied"}, {Text: "http://3221225985/", Note: "denied"}, {Text: "http://%65vil.test/", Note: "denied"},
		{Text: "http://notevil.test/ and http://192.0.3.1/"},
	})
	only, err := New(Config{Only: []string{"example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	guardtest.Run(t, only, []guardtest.Case{{Text: "www.other.net", Note: "not on the list"}, {Text: "https://docs.example.org/a"}})
	if _, err := New(Config{Denied: []string{"///"}}); err == nil {
		t.Error("no error for a host that is none")
	}
}

// known is what a test knows.
type known struct {
	hosts, urls map[string]float64
	version     uint64
}

func (k *known) Version() uint64 { return k.version }

func (k *known) Host(name string) (guard.Word, bool) {
	c, ok := k.hosts[name]
	for up := name; !ok && strings.Contains(up, "."); {
		_, up, _ = strings.Cut(up, ".")
		if c, ok = k.hosts[up]; ok {
			name = up
		}
	}
	return guard.Word{What: "domain " + name, Confidence: c, From: "list test line 1"}, ok
}

func (k *known) URL(u string) (guard.Word, bool) {
	c, ok := k.urls[u]
	return guard.Word{What: "url " + u, Confidence: c, From: "list test line 2"}, ok
}

func TestKnown(t *testing.T) {
	in, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	k := &known{hosts: map[string]float64{"evil.test": 0.9, "198.51.100.7": 0.95, "unsure.test": 0.6, "hardly.test": 0.3, "2001:db8::7": 0.9, "xn--bcher-kva.test": 0.9, "xn--80ak6aa92e.test": 0.9}, urls: map[string]float64{"https://cdn.test/x/y?z=1": 1}, version: 1}
	in.(guard.Informed).Inform(k)
	guardtest.Run(t, in, []guardtest.Case{
		{Text: "go to http://evil.test/x", Note: "domain evil.test is known to be hostile (0.90: list test line 1)"},
		{Text: "or to EVIL.test.", Note: "domain evil.test"}, {Text: "ping 198.51.100.7!", Note: "198.51.100.7"}, {Text: "see (https://cdn.test/x/y?z=1).", Note: "url https://cdn.test"},
		{Text: "[x](https://cdn.test/x/y?z=1)", Note: "url https://cdn.test"}, {Text: "http://[2001:db8::7]:80/", Note: "2001:db8::7"}, {Text: "ZXZpbC50ZXN0IGlzIHRoZSBzaXRlIHRvIHZpc2l0", Note: "domain evil.test"},
		{Text: "http://unsure.test/ it is", Note: "domain unsure.test"},
		{Text: "hxxp://evil[.]test/x", Note: "domain evil.test"}, {Text: "visit evil(dot)test now", Note: "domain evil.test"}, {Text: "hXXps[:]//evil[dot]test", Note: "domain evil.test"},
		{Text: "evil\\.test", Note: "domain evil.test"}, {Text: "evil{.}test", Note: "domain evil.test"}, {Text: "h**p://a.evil[.test/", Note: "domain evil.test"}, {Text: "hxxps://cdn[.]test/x/y?z=1", Note: "url https://cdn.test"},
		{Text: "198[.]51[.]100[.]7", Note: "198.51.100.7"}, {Text: "http://3325256711/x", Note: "198.51.100.7"}, {Text: "http://0xc6336407:80/", Note: "198.51.100.7"}, {Text: "http://0306.063.0144.07/", Note: "198.51.100.7"},
		{Text: "http://198.51.25607/", Note: "198.51.100.7"}, {Text: "0xc6.0x33.0x64.0x7 is it", Note: "198.51.100.7"}, {Text: "http://[::ffff:198.51.100.7]/", Note: "198.51.100.7"}, {Text: "http://[2001:0db8:0:0:0:0:0:7]/", Note: "2001:db8::7"},
		{Text: "http://bank.example@evil.test/", Note: "domain evil.test"}, {Text: "http://a@b@evil.test:8080/", Note: "domain evil.test"}, {Text: `http://good.example\@evil.test/`, Note: "domain evil.test"}, {Text: `http://evil.test\@good.example/`, Note: "domain evil.test"},
		{Text: "http://%65%76il%2Etest/", Note: "domain evil.test"}, {Text: "http://ｅｖｉｌ．test/", Note: "domain evil.test"}, {Text: "http://evil。test/", Note: "domain evil.test"}, {Text: "see bücher.test today", Note: "domain xn--bcher-kva.test"},
		{Text: "see xn--bcher-kva.test today", Note: "domain xn--bcher-kva.test"}, {Text: "http://BÜCHER.test/", Note: "domain xn--bcher-kva.test"}, {Text: "аррӏе.test", Note: "domain xn--80ak6aa92e.test"},
		{Text: "arr[0].field, f(x).y, {.}, [.], (dot), 3325256711, 1.2.3.4.5, 010.020.030.040, Straße.Ende und http://a.example/%zz, v[.]1"},
		{Text: "http://hardly.test/ and https://cdn.test/x/y and 198.51.100.77 and version 1.2.3. e.g. this"},
	})
	if n := in.(guard.Holder).Hold("go to evil.te"); n != len("evil.te") {
		t.Errorf("%d bytes are held", n)
	}
	for text, want := range map[string]int{"go to evil[": 5, "go to evil(do": 7, "go to evil(dot)te": 11, "at hxxp": 4, "http://a@ev": 11, "ein bücher.te": 10, "f(x, y)": 0, "ein Wort für": 0, "a[0": 0} {
		if n := in.(guard.Holder).Hold(text); n != want {
			t.Errorf("%q: %d bytes are held, want %d", text, n, want)
		}
	}
	if n := in.(guard.Holder).Hold("a plain word"); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
	// What is known changes what is found in a text that was looked at before.
	e := guard.NewEngine([]guard.Named{{Name: "link", Inspector: in}}, nil, true)
	e.Inform(k)
	look := func() guard.Action {
		v, err := e.Inspect("is new.test all right?", guard.User)
		if err != nil {
			t.Fatal(err)
		}
		return v.Action
	}
	if look() != guard.Allow {
		t.Error("found before it is known")
	}
	k.hosts["new.test"], k.version = 0.9, 2
	if look() != guard.Block {
		t.Error("not found when it is known")
	}
	off, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	off.(guard.Informed).Inform(k)
	if v, err := guard.NewEngine([]guard.Named{{Name: "link", Inspector: off}}, nil, true).Inspect("go to http://evil.test/x", guard.User); err != nil || v.Reports[0].State != guard.Skip {
		t.Errorf("turned off: %+v %v", v, err)
	}
	if _, err := New(Config{Intelligence: 2}); err == nil {
		t.Error("no error")
	}
}

func FuzzNames(f *testing.F) {
	f.Add("see http://a.example/x?y and b.example, 192.0.2.1; [::1] ...")
	f.Add("://://[2001:db8::1]")
	f.Add("hxxps[:]//a[.]b(dot)c http://0x7f.1/ http://a@b\\@%63.example bücher.example 0xc6.0x33.0x64.0x7")
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		count := func(x string) bool {
			if n++; !strings.Contains(strings.ToLower(s), strings.ToLower(x)) || x == "" {
				t.Errorf("%q is not in %q", x, s)
			}
			return false
		}
		names(s, count)
		urls(s, count, func(x string) bool { return false })
		if n > maxNames+maxURLs {
			t.Errorf("%d look-ups", n)
		}
		disguised(s, func(h string) bool {
			if h == "" || len(h) > maxName || strings.ContainsAny(h, " /@%") {
				t.Errorf("%q of %q", h, s)
			}
			if again := canonical(h); again != "" && again != h {
				t.Errorf("%q of %q is %q in turn", h, s, again)
			}
			return false
		})
		if marks.MatchString(s) && !hinted(s) {
			t.Errorf("%q has a mark and no hint", s)
		}
		for _, m := range colons.FindAllString(s, -1) {
			if low := strings.ToLower(m); !strings.HasPrefix(low, "http") && !strings.HasPrefix(low, "ftp") && !hinted(s) {
				t.Errorf("%q has %q and no hint", s, m)
			}
		}
		refanged(s)
		if k := masked(s); k < 0 || k > len(s) {
			t.Errorf("masked %d of %q", k, s)
		}
		if k := tail(s); k < 0 || k > len(s) {
			t.Errorf("tail %d of %q", k, s)
		}
	})
}

// BenchmarkDisguised is what disguises cost a text of 2 KB without any, with links and code in it.
func BenchmarkDisguised(b *testing.B) {
	text := strings.Repeat("See https://docs.example.org/guide for f(x) and a[0]; it costs 3.50 (net). ", 28)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		refanged(text)
		disguised(text, func(string) bool { return false })
	}
}
