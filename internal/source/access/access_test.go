package access

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

var foreign = []string{
	"Feb 12 14:10:21 host sshd[1]: Invalid user a from 192.0.2.1 port 1",
	"2 123456789010 eni-1 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK",
	`{"eventVersion":"1.05","eventSource":"s3.amazonaws.com","sourceIPAddress":"192.0.2.1"}`,
	`{"time":"2026-01-01T00:00:00Z","status":200,"method":"GET"}`,
	`192.0.2.1 - - [10/Okt/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2326`,
}

const (
	combined = `192.0.2.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 404 2326 "https://x.example/" "Mozilla/5.0 (\"x\") \x41"`
	caddyLog = `{"level":"info","ts":1646861401.5241024,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"127.0.0.1","remote_port":"41342","client_ip":"192.0.2.1","proto":"HTTP/2.0","method":"GET","host":"x.example","uri":"/a?b=c","headers":{"User-Agent":["curl/7.82.0"]}},"bytes_read":0,"status":200}`
	traefik  = `{"ClientHost":"192.0.2.1","DownstreamStatus":401,"RequestMethod":"POST","RequestPath":"/api","RequestProtocol":"HTTP/1.1","StartUTC":"2020-10-08T16:32:20.1Z","RequestHost":"x.example","request_User-Agent":"curl/7.82.0"}`
)

func TestSuite(t *testing.T) {
	sourcetest.Run(t, sourcetest.Case{Format: newFormat(t), Foreign: foreign, Records: []string{
		combined,
		`192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.0" 200 2326`,
		`www.example.org:443 2001:db8::1 - - [10/Oct/2000:13:55:36 +0200] "HEAD / HTTP/1.1" 200 -`,
		`Sep 15 16:13:46 web nginx[2869]: 192.0.2.7 - - [15/Sep/2021:16:13:46 +0000] "POST /wp-login.php HTTP/1.1" 200 5364 "-" "-"`,
		`192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "\x16\x03\x01\x02" 400 150 "-" "-"`,
		caddyLog, traefik,
		`{"time_iso8601":"2026-01-02T03:04:05+00:00","remote_addr":"192.0.2.1","request":"GET /x HTTP/1.1","status":"200","http_user_agent":"curl"}`,
		`2021/09/30 09:23:53 [error] 19#19: *17 user "foo" was not found in "/tmp/a.htpasswd", client: 192.0.2.1, server: _, request: "GET / HTTP/1.1", host: "localhost"`,
		`[Fri Oct 11 14:32:52.123456 2024] [auth_basic:error] [pid 7] [client 192.0.2.1:4711] AH01617: user foo: authentication failure for "/": Password Mismatch`,
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
	e := decode(t, combined)[0]
	h := e.HTTP
	if e.Record != 7 || e.Remote.Addr().String() != "192.0.2.1" || e.Time.Unix() != 971211336 || e.Spoofable {
		t.Errorf("%+v", e)
	}
	if h.Method != "GET" || h.Target != "/a?b=c" || h.Proto != "HTTP/1.1" || h.Status != 404 || h.Header("Referer") != "https://x.example/" ||
		h.Header("User-Agent") != `Mozilla/5.0 ("x") A` {
		t.Errorf("%+v", h)
	}
	e = decode(t, caddyLog)[0]
	if h := e.HTTP; e.Remote.Addr().String() != "192.0.2.1" || h.Target != "/a?b=c" || h.Host != "x.example" || h.Status != 200 || h.Header("user-agent") != "curl/7.82.0" {
		t.Errorf("caddy: %+v", h)
	}
	e = decode(t, traefik)[0]
	if h := e.HTTP; h.Method != "POST" || h.Status != 401 || e.Time.Year() != 2020 {
		t.Errorf("traefik: %+v", h)
	}
	e = decode(t, `192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "\x16\x03\x01 quit" 400 150 "-" "-"`)[0]
	if h := e.HTTP; h.Method != "" || h.Target != "\x16\x03\x01 quit" {
		t.Errorf("no HTTP: %+v", h)
	}
	e = decode(t, `2021/09/30 09:23:53 [error] 1#1: *1 user "a, client: 198.51.100.1, b": password mismatch, client: 192.0.2.1, server: _, request: "GET / HTTP/1.1"`)[0]
	if e.Remote.Addr().String() != "192.0.2.1" || e.Auth == nil || e.Auth.User != "a, client: 198.51.100.1, b" {
		t.Errorf("a user name chose the address: %+v", e)
	}
	if n := len(decode(t, `2021/09/30 09:23:53 [error] 1#1: *1 open() "/x" failed (2: No such file or directory), client: 192.0.2.1, server: _, request: "GET /x HTTP/1.1"`)); n != 0 {
		t.Errorf("an ordinary error gave %d events", n)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range append([]string{combined, caddyLog, traefik, `[x] [y] [client 1.2.3.4] AH01617: u`, "2021/09/30 09:23:53 [error] 1#1: *1 user \"\\", `{"request":{}}`}, foreign...) {
		f.Add([]byte(s))
	}
	format := newFormat(f)
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) == 0 {
			return
		}
		d := format.Decoder()
		var b observe.LogBatch
		err := d.Decode(line, 3, &b)
		if err != nil && b.Len() != 0 {
			t.Fatalf("%d observations with %v", b.Len(), err)
		}
		for i := range b.Events {
			e := &b.Events[i]
			if e.Record != 3 || !e.Remote.Addr().IsValid() || e.Time.IsZero() || (e.HTTP == nil) == (e.Auth == nil) {
				t.Fatalf("%+v", e)
			}
			if _, err := e.Time.MarshalJSON(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
