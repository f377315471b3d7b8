package alb

import (
	"testing"

	"bartizan/internal/observe"
	"bartizan/internal/source"
	"bartizan/internal/source/sourcetest"
)

func newFormat(t testing.TB) source.Format {
	t.Helper()
	f, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Lines in the shape of the examples of the user guides.
const (
	secure  = `https 2026-07-02T22:23:00.186641Z app/my-lb/50dc6c495c0c9188 192.0.2.9:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/a?b=%27 HTTP/1.1" "curl/7.46 \x22x\x22" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/t/73e2d6bc24d8a067 "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" "arn:aws:acm:us-east-2:123456789012:certificate/1" 1 2026-07-02T22:22:48.364000Z "authenticate,forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1234abcd5678ef90 "-" "-" "-"`
	plain   = `http 2026-07-02T22:23:00.186641Z app/my-lb/50dc6c495c0c9188 [2001:db8::9]:2817 - -1 -1 -1 403 - 34 366 "POST http://www.example.com:80/wp-login.php HTTP/1.1" "-" - - - "Root=1-5" "-" "-" 0 2026-07-02T22:22:48.364000Z "waf" "-" "-" "-" "-" "Ambiguous" "UndefinedContentLengthSemantics"`
	broken  = `http 2026-07-02T22:23:00.186641Z app/my-lb/50dc6c495c0c9188 192.0.2.9:2817 - -1 -1 -1 400 - 34 366 "- http://www.example.com:80- -" "-" - - - "-" "-" "-" - 2026-07-02T22:22:48.364000Z "-" "-" "-" "-" "-"`
	h2      = `h2 2026-07-02T22:23:00.186641Z app/my-lb/50dc6c495c0c9188 192.0.2.9:48160 10.0.1.252:9000 0.000 0.002 0.000 200 200 5 257 "GET https://10.0.2.105:773/ HTTP/2.0" "agent" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:x "Root=1-58337327-72bd00b0343d75b906739c42" "-" "-" 1 2026-07-02T22:22:48.364000Z "redirect" "https://example.com:80/" "-" "10.0.1.252:9000" "200" "-" "-"`
	first   = `https 2016-08-10T23:39:43.065466Z app/my-lb/50dc6c495c0c9188 192.0.2.9:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/ HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:x "Root=1-58337281-1d84f3d73c47ec4e58577259"`
	classic = `2026-05-13T23:39:43.945958Z my-loadbalancer 192.0.2.9:2817 10.0.0.1:80 0.000086 0.001048 0.001337 401 401 0 57 "GET https://www.example.com:443/ HTTP/1.1" "curl/7.38.0" DHE-RSA-AES128-SHA TLSv1.2`
	tcp     = `2026-05-13T23:39:43.945958Z my-loadbalancer 192.0.2.9:2817 10.0.0.1:80 0.001069 0.000028 0.000041 - - 82 305 "- - - " "-" - -`
	nlb     = `tls 2.0 2026-04-01T08:51:42 net/my-nlb/c6e77e28c25b2234 g3d4b5e8bb8464cd 192.0.2.9:51341 172.100.100.185:443 5 2 98 246 - arn:aws:acm:us-east-2:671290407336:certificate/2 - ECDHE-RSA-AES128-SHA tlsv12 - my-nlb.example.com h2 - "h2","http/1.1" 2026-04-01T08:51:20`
)

func TestSuite(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{Format: newFormat(t), Records: []string{secure, plain, broken, h2, first, classic, nlb}, Foreign: []string{
		`192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2326`,
		"2 123456789010 eni-1 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK",
		"2026-05-13T23:39:43.945958Z host sshd[1]: Invalid user a from 192.0.2.1 port 1",
		"https is not a log",
		`http 2026-07-02T22:23:00.186641Z app/my-lb/50 nobody:2817 - -1 -1 -1 403 - 34 366 "GET http://x/ HTTP/1.1" "-" - - - "Root=1-5"`,
		`http 2026-07-02 app/my-lb/50 192.0.2.1:2817 - -1 -1 -1 403 - 34 366 "GET http://x/ HTTP/1.1" "-" - - - "Root=1-5"`,
		`http 2026-07-02T22:23:00.186641Z app/my-lb/50 192.0.2.1:2817 - -1 -1 -1 twohundred - 34 366 "GET http://x/ HTTP/1.1" "-" - - - "Root=1-5"`,
		`http 2026-07-02T22:23:00.186641Z app/my-lb/50 192.0.2.1:2817 - -1 -1 -1 200 - 34 366 "GET http://x/ HTTP/1.1`,
	}})
}

func decode(t *testing.T, line string) []observe.LogEvent {
	t.Helper()
	var b observe.LogBatch
	if err := newFormat(t).Decoder().Decode([]byte(line), 7, &b); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return b.Events
}

func TestFields(t *testing.T) {
	e := decode(t, secure)[0]
	h := e.HTTP
	if e.Record != 7 || e.Remote.String() != "192.0.2.9:2817" || e.Local.String() != "10.0.0.1:80" || e.Time.Unix() != 1783030980 || e.Spoofable {
		t.Errorf("%+v", e)
	}
	if h.Method != "GET" || h.Target != "/a?b=%27" || h.Proto != "HTTP/1.1" || h.Status != 200 || h.Host != "www.example.com" || !h.TLS ||
		h.Header("User-Agent") != `curl/7.46 "x"` {
		t.Errorf("%+v", h)
	}
	e = decode(t, plain)[0]
	if h := e.HTTP; e.Remote.String() != "[2001:db8::9]:2817" || h.Method != "POST" || h.Target != "/wp-login.php" || h.Status != 403 || h.TLS ||
		h.Host != "www.example.com:80" || h.Header("User-Agent") != "" || e.Local.IsValid() {
		t.Errorf("%+v %+v", e, h)
	}
	if h := decode(t, broken)[0].HTTP; h.Method != "" || h.Status != 400 {
		t.Errorf("%+v", h)
	}
	if h := decode(t, classic)[0].HTTP; h.Status != 401 || h.Target != "/" || !h.TLS {
		t.Errorf("%+v", h)
	}
	if n := len(decode(t, tcp)); n != 0 {
		t.Errorf("a connection without a request gave %d events", n)
	}
	e = decode(t, nlb)[0]
	if i := e.Interaction; i == nil || i.Prints.SNI != "my-nlb.example.com" || i.Prints.ALPN != "h2" || i.BytesIn != 98 || i.BytesOut != 246 || e.Time.Unix() != 1775033480 {
		t.Errorf("%+v", e)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{secure, plain, broken, h2, first, classic, tcp, nlb, `ws "`, `tls 2.0 "\x`, "2026-05-13T23:39:43.945958Z"} {
		f.Add([]byte(s))
	}
	format := newFormat(f)
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) == 0 {
			return
		}
		var b observe.LogBatch
		err := format.Decoder().Decode(line, 3, &b)
		if err != nil && b.Len() != 0 {
			t.Fatalf("%d observations with %v", b.Len(), err)
		}
		for i := range b.Events {
			e := &b.Events[i]
			if e.Record != 3 || !e.Remote.Addr().IsValid() || e.Time.IsZero() || (e.HTTP == nil) == (e.Interaction == nil) {
				t.Fatalf("%+v", e)
			}
			if h := e.HTTP; h != nil && (len(h.Target) > observe.MaxText || len(h.Host) > observe.MaxText || h.Status > 999) {
				t.Fatalf("%+v", h)
			}
		}
	})
}
