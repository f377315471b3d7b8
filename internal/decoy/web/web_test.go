package web

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
)

func build(c Config) func(testing.TB) decoy.Service {
	return func(t testing.TB) decoy.Service {
		t.Helper()
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// keyed makes a persona with a certificate.
func keyed(t *testing.T) *persona.Persona {
	t.Helper()
	st, err := persona.Create(decoytest.Born)
	if err != nil {
		t.Fatal(err)
	}
	p, err := persona.FromState(st)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// of makes a persona with the wanted web server.
func of(t *testing.T, server string) *persona.Persona {
	t.Helper()
	for i := range 200 {
		if p := persona.New([32]byte{byte(i), 9}, decoytest.Born); p.Web.Server == server {
			return p
		}
	}
	t.Fatalf("no persona with %s", server)
	return nil
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{{}, {MaxBody: 1 << 30}, {MaxBody: 1 << 20, AcceptLogins: -1}, {MaxBody: 1 << 20, AcceptLogins: 101}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

// TestHeads: both servers send what they really send, in their order.
func TestHeads(t *testing.T) {
	const date = `Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT`
	for _, c := range []struct{ server, request, want string }{
		{"nginx", "GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n", `Server: nginx/[^|]*\|` + date + `\|Content-Type: text/plain\|Content-Length: \d+\|Last-Modified: [^|]*\|Connection: keep-alive\|ETag: "[0-9a-f]+-[0-9a-f]+"\|Accept-Ranges: bytes`},
		{"nginx", "GET /x HTTP/1.0\r\n\r\n", `Server: nginx/[^|]*\|` + date + `\|Content-Type: text/html\|Content-Length: \d+\|Connection: close`},
		{"nginx", "GET /wp-admin/ HTTP/1.0\r\n\r\n", `Server: [^|]*\|` + date + `\|Content-Type: text/html\|Content-Length: \d+\|Location: [^|]*\|Connection: close\|Cache-Control: [^|]*`},
		{"apache2", "GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n", date + `\|Server: Apache/[^|]*\|Last-Modified: [^|]*\|ETag: "[0-9a-f]+-[0-9a-f]+"\|Accept-Ranges: bytes\|Content-Length: \d+\|Vary: Accept-Encoding\|Content-Type: text/plain`},
		{"apache2", "GET /x HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", date + `\|Server: Apache/[^|]*\|Content-Length: \d+\|Keep-Alive: timeout=5, max=100\|Connection: Keep-Alive\|Content-Type: text/html; charset=iso-8859-1`},
		{"apache2", "GET /.env HTTP/1.0\r\n\r\n", date + `\|Server: Apache/[^|]*\|Last-Modified: [^|]*\|ETag: [^|]*\|Accept-Ranges: bytes\|Content-Length: \d+\|Connection: close`},
		{"apache2", "OPTIONS / HTTP/1.0\r\n\r\n", date + `\|Server: [^|]*\|Allow: GET,POST,OPTIONS,HEAD\|Content-Length: 0\|Connection: close\|Content-Type: text/html`},
	} {
		r := decoytest.Start(t, build(Default())(t), of(t, c.server), decoytest.Limits())
		head, _, _ := strings.Cut(string(r.Visit([]byte(c.request))), "\r\n\r\n")
		_, head, _ = strings.Cut(head, "\r\n")
		if got := strings.ReplaceAll(head, "\r\n", "|"); !regexp.MustCompile("^" + c.want + "$").MatchString(got) {
			t.Errorf("%s %q:\n got %s\nwant %s", c.server, c.request, got, c.want)
		}
	}
}

// TestAnswersParse: a strict client understands every kind of answer.
func TestAnswersParse(t *testing.T) {
	for _, server := range []string{"nginx", "apache2"} {
		r := decoytest.Start(t, build(Default())(t), of(t, server), decoytest.Limits())
		client := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		n := 0
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "DELETE", "PUT", "PROPFIND"} {
			for _, path := range []string{"/", "/.env", "/wp-login.php", "/wp-admin/", "/nope", "/server-status", "/nginx_status", "/actuator/env", "/solr/", "/api/v1/users", "/manager/html", "/xmlrpc.php", "/upload", "/phpmyadmin/", "/favicon.ico", "/cgi-bin/luci", "/wp-json/wp/v2/users", "/eval-stdin.php", "/backup.tar.gz"} {
				q, err := http.NewRequest(method, "http://"+r.Addr+path, strings.NewReader(strings.Repeat("x", n%3)))
				if err != nil {
					t.Fatal(err)
				}
				a, err := client.Do(q)
				if err != nil {
					t.Fatalf("%s %s: %v", method, path, err)
				}
				if _, err := io.Copy(io.Discard, a.Body); err != nil {
					t.Errorf("%s %s: %v", method, path, err)
				}
				a.Body.Close()
				if a.Header.Get("Server") == "" || a.StatusCode < 200 || a.StatusCode > 505 {
					t.Errorf("%s %s: %s %v", method, path, a.Status, a.Header)
				}
				n++
			}
		}
		client.CloseIdleConnections()
	}
}

// TestLuresAreOurs: what a lure says belongs to one install.
func TestLuresAreOurs(t *testing.T) {
	a, b := persona.New([32]byte{1}, decoytest.Born), persona.New([32]byte{2}, decoytest.Born)
	secrets := 0
	for i := range baits {
		x, y := baits[i].body(a), baits[i].body(b)
		if x == "" || x != baits[i].body(a) {
			t.Errorf("%s is empty or changes", baits[i].path)
		}
		s := a.Secrets
		for _, v := range []string{s.AWSSecretAccessKey, s.DBPassword, s.GitHubToken, s.JWTSecret, s.BackupPassword} {
			if strings.Contains(x, v) {
				secrets++
				if x == y {
					t.Errorf("%s is the same for two installs", baits[i].path)
				}
			}
			if strings.Contains(y, v) {
				t.Errorf("%s of one install has a secret of the other", baits[i].path)
			}
		}
	}
	if secrets < 30 {
		t.Errorf("only %d secrets in %d lures", secrets, len(baits))
	}
	if strings.Contains(heapdump(a), a.Secrets.DBPassword) == false || !strings.HasPrefix(heapdump(a), "JAVA PROFILE") {
		t.Error("the heap dump has nothing to find")
	}
}

// TestEveryBaitIsServed: a bait that no request reaches is dead code.
func TestEveryBaitIsServed(t *testing.T) {
	r := decoytest.Start(t, build(Default())(t), decoytest.Persona(), decoytest.Limits())
	for i := range baits {
		b := &baits[i]
		out := string(r.Visit([]byte("GET /sub" + b.path + " HTTP/1.0\r\n\r\n")))
		if !strings.HasPrefix(out, "HTTP/1.1 200") || !strings.Contains(out, b.body(decoytest.Persona())) {
			t.Errorf("%s: %.80q", b.path, out)
		}
	}
	lures := map[string]bool{}
	for _, o := range r.Quiet(len(baits)) {
		if o.HTTP != nil {
			lures[o.HTTP.Lure] = true
			if len(o.Evidence) != 1 || o.Evidence[0].What != "request" {
				t.Errorf("no evidence of %s", o.HTTP.Target)
			}
		}
	}
	for i := range baits {
		if !lures[baits[i].lure] {
			t.Errorf("lure %s of %s was not reported", baits[i].lure, baits[i].path)
		}
	}
}

// TestDullRequestsLeaveNoEvidence: the raw request is kept only when it says
// more than its parts.
func TestDullRequestsLeaveNoEvidence(t *testing.T) {
	r := decoytest.Start(t, build(Default())(t), decoytest.Persona(), decoytest.Limits())
	for _, q := range []string{"GET / HTTP/1.0", "GET /favicon.ico HTTP/1.0", "HEAD /nothing HTTP/1.0"} {
		r.Visit([]byte(q + "\r\n\r\n"))
	}
	r.Visit([]byte("GET / HTTP/1.0\r\nX-Api-Version: ${jndi:ldap://x/a}\r\n\r\n"))
	n := 0
	for _, o := range r.Quiet(4) {
		if o.HTTP != nil {
			n += len(o.Evidence)
		}
	}
	if n != 1 {
		t.Errorf("%d raw requests were kept, want 1", n)
	}
}

// TestAccept: the share is kept, fixed, and different elsewhere.
func TestAccept(t *testing.T) {
	c := Default()
	c.AcceptLogins = 20
	v := &service{conf: c}
	count := func(p *persona.Persona) (n int, which string) {
		x := &visit{svc: v, site: &site{p: p}}
		for i := range 1000 {
			pass := fmt.Sprintf("password%d", i)
			if x.accepts("admin", pass) {
				n++
				which += pass
			}
			if again := x.accepts("admin", pass); again != x.accepts("admin", pass) {
				t.Fatal("the same credential is judged differently")
			}
		}
		return n, which
	}
	n, one := count(persona.New([32]byte{1}, decoytest.Born))
	_, two := count(persona.New([32]byte{2}, decoytest.Born))
	if n < 140 || n > 260 || one == two {
		t.Errorf("%d of 1000 accepted, want about 200, and others for another persona", n)
	}
	c.AcceptLogins = 100
	r := decoytest.Start(t, build(c)(t), decoytest.Persona(), decoytest.Limits())
	body := "log=admin&pwd=x"
	out := string(r.Visit([]byte(fmt.Sprintf("POST /wp-login.php HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", len(body), body))))
	if !strings.HasPrefix(out, "HTTP/1.1 302") || !strings.Contains(out, "Location: /wp-admin/\r\n") {
		t.Errorf("accepted: %q", out)
	}
	all := r.Quiet(1)
	for _, o := range all {
		if o.Auth != nil && !o.Auth.Accepted {
			t.Errorf("reported as refused: %+v", o.Auth)
		}
	}
}

// TestTLS: the client's stack is identified, the clear text is recorded, and
// what fails before a handshake ends is identified too.
func TestTLS(t *testing.T) {
	p := keyed(t)
	r := decoytest.Start(t, build(DefaultTLS())(t), p, decoytest.Limits())
	ask := func(conf *tls.Config) string {
		conf.InsecureSkipVerify = true // the persona's certificate is its own
		c := tls.Client(r.Dial(), conf)
		defer c.Close()
		if _, err := c.Write([]byte("GET /.env HTTP/1.0\r\nX-Filler: " + strings.Repeat("y", 600) + "\r\n\r\n")); err != nil {
			return err.Error()
		}
		out, _ := io.ReadAll(c) // the decoy ends without close_notify when it was cut short
		return string(out)
	}
	if out := ask(&tls.Config{ServerName: "shop.example", NextProtos: []string{"http/1.1"}}); !strings.Contains(out, p.Secrets.DBPassword) {
		t.Errorf("over TLS 1.3: %.200q", out)
	}
	r.Quiet(1)
	if out := ask(&tls.Config{MaxVersion: tls.VersionTLS12}); !strings.Contains(out, p.Secrets.DBPassword) {
		t.Errorf("over TLS 1.2: %.200q", out)
	}
	r.Quiet(2)
	ask(&tls.Config{NextProtos: []string{"h2"}}) // nothing in common
	all := r.Quiet(3)
	var prints []observe.Fingerprints
	for _, o := range decoytest.Ends(all) {
		prints = append(prints, o.Interaction.Prints)
		if o.Interaction.Protocol != "tls" {
			t.Errorf("the wire is taken for %q", o.Interaction.Protocol)
		}
		if len(prints) < 3 && !strings.Contains(string(o.Evidence[0].Data), "GET /.env") {
			t.Errorf("the transcript is not in clear text: %.100q", o.Evidence[0].Data)
		}
	}
	if prints[0].SNI != "shop.example" || prints[0].ALPN != "http/1.1" || !strings.HasPrefix(prints[0].JA4, "t13d") || !strings.Contains(prints[0].JA4, "h1_") {
		t.Errorf("TLS 1.3 client: %+v", prints[0])
	}
	if !strings.HasPrefix(prints[1].JA4, "t12i") || prints[1].JA3 == prints[0].JA3 {
		t.Errorf("TLS 1.2 client: %+v", prints[1])
	}
	if prints[2].ALPN != "h2" || prints[2].JA3 == "" {
		t.Errorf("client without a common protocol: %+v", prints[2])
	}
	n := 0
	for _, o := range all {
		if o.HTTP != nil {
			n++
			if !o.HTTP.TLS {
				t.Errorf("not told to be over TLS: %+v", o.HTTP)
			}
		}
	}
	if n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

// TestNoCertificate is our mistake and is counted as one.
func TestNoCertificate(t *testing.T) {
	r := decoytest.Start(t, build(DefaultTLS())(t), decoytest.Persona(), decoytest.Limits())
	r.Visit([]byte{0x16, 3, 1, 0, 1})
	r.Quiet(1)
	if st := r.Runner.Stats(); st.Errors != 1 {
		t.Errorf("%+v, want one error", st)
	}
}

// TestTooLarge: an endless upload is cut, kept in part, and answered.
func TestTooLarge(t *testing.T) {
	c := Default()
	c.MaxBody = 4 << 10
	r := decoytest.Start(t, build(c)(t), decoytest.Persona(), decoytest.Limits())
	q, err := http.NewRequest("PUT", "http://"+r.Addr+"/x.bin", io.LimitReader(zeros{}, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	q.ContentLength = 1 << 20
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	a, err := client.Do(q)
	if err != nil {
		t.Fatalf("the answer got lost: %v", err)
	}
	a.Body.Close()
	if a.StatusCode != 413 {
		t.Errorf("status %s", a.Status)
	}
	for _, o := range r.Quiet(1) {
		if o.File != nil && (o.File.Size != 32<<10 || !o.File.Capped || len(o.Evidence[0].Data) != 4<<10) {
			t.Errorf("file %+v", o.File)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
