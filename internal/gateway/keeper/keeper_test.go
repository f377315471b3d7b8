package keeper

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/conf"
)

const secret = "sk-proj-0123456789-of-the-test-abcdefghij"

// helperArg makes the test binary a gateway that another process looks into.
const helperArg = "gateway-of-the-test"

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 2 && os.Args[1] == ChildVerb:
		if err := RunChild(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case len(os.Args) > 1 && os.Args[1] == helperArg:
		if err := helper(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// keyFile writes a secret as an operator does.
func keyFile(t *testing.T, text string) conf.Sealed {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := conf.ParseSealed("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// trusted makes the keeper believe a server's certificate.
func trusted(t *testing.T, s *httptest.Server) {
	t.Helper()
	f, err := os.CreateTemp("", "roots-*.pem") // another user reads it: not below t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	path := f.Name()
	t.Cleanup(func() { os.Remove(path) })
	if err := errors.Join(pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), f.Chmod(0o644), f.Close()); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", path)
	t.Setenv("SSL_CERT_DIR", "/nonexistent")
}

func route(t *testing.T, at string, key conf.Sealed) Route {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	return Route{Name: "x", Upstream: u, Key: key, Header: "Authorization", Connect: 10 * time.Second}
}

func start(t *testing.T, routes ...Route) *Keeper {
	t.Helper()
	k, err := Start(t.Context(), routes, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// client asks through a keeper.
func client(t *testing.T, k *Keeper) *http.Client {
	through := func(ctx context.Context, _, _ string) (net.Conn, error) { return k.Dial(ctx, "x") }
	tr := &http.Transport{DialContext: through, DialTLSContext: through, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

func TestKeyArrives(t *testing.T) {
	var conns = map[string]bool{}
	up := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		conns[r.RemoteAddr] = true // one request at a time
		sum := sha256.Sum256(body)
		fmt.Fprintf(w, "%q %s %x", r.Header.Values("Authorization"), r.URL.RequestURI(), sum)
	}))
	defer up.Close()
	trusted(t, up)
	c := client(t, start(t, route(t, up.URL, keyFile(t, secret))))
	for _, size := range []int{0, 10, chunk - 100, chunk, 3 * chunk, 1 << 20, 5} {
		body := bytes.Repeat([]byte("abc\r\n\r\n"), size/7+1)[:size]
		req, err := http.NewRequest(http.MethodPost, up.URL+"/v1/chat?n="+strconv.Itoa(size), bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer of-the-client")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		want := fmt.Sprintf("%q /v1/chat?n=%d %x", []string{"Bearer " + secret}, size, sha256.Sum256(body))
		if string(got) != want {
			t.Errorf("%d bytes: the upstream saw %s, want %s", size, got, want)
		}
	}
	if len(conns) != 1 {
		t.Errorf("%d connections were used for requests one after the other", len(conns))
	}
}

// TestOnlyTheUpstream: a connection that leads elsewhere gets nothing.
func TestOnlyTheUpstream(t *testing.T) {
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked with %q", r.Header) }))
	defer plain.Close()
	t.Setenv("SSL_CERT_FILE", "/dev/null")
	t.Setenv("SSL_CERT_DIR", "/nonexistent")
	k := start(t, route(t, other.URL, keyFile(t, secret)))
	if _, err := k.Dial(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "TLS with 127.0.0.1: ") || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server whose certificate nobody vouches for: %v", err)
	}
	// A gateway that was taken over hands over a connection to a place of its choice.
	k = start(t, route(t, "http://127.0.0.1:9", keyFile(t, secret)))
	up, err := net.Dial("tcp", plain.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	mine, theirs := pair(t)
	if err := k.hand(0, up.(*net.TCPConn), int(theirs.Fd())); err != nil {
		t.Fatal(err)
	}
	if err := readAnswer(mine); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("a connection to another port: %v", err)
	}
}

func pair(t *testing.T) (net.Conn, *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := connection(fds[0], "mine")
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "theirs")
	t.Cleanup(func() { mine.Close(); theirs.Close() })
	return mine, theirs
}

func TestMalformedRequestsEnd(t *testing.T) {
	var asked []string
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.Method) }))
	defer up.Close()
	k := start(t, route(t, up.URL, keyFile(t, secret)))
	host := up.Listener.Addr().String()
	for _, req := range []string{
		"TRACE / HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"GET http://evil.example/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"GET / HTTP/1.1\nHost: " + host + "\n\n",
		"GET / HTTP/1.1\r\nHost: " + host + "\r\nA: " + strings.Repeat("a", maxHead) + "\r\n\r\n",
	} {
		c, err := k.Dial(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = c.Write([]byte(req))
		if got, err := io.ReadAll(c); len(got) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%.40q: answered %q, %v", req, got, err)
		}
		c.Close()
	}
	up.Close() // waits for the handlers
	if len(asked) > 0 {
		t.Errorf("the upstream was asked: %v", asked)
	}
}

// TestDescriptorsCutOff: a message whose descriptors did not fit ends one connection, not
// the keeper.
func TestDescriptorsCutOff(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer up.Close()
	k := start(t, route(t, up.URL, keyFile(t, secret)))
	before, _ := k.Report()
	mine, theirs := pair(t)
	if _, _, err := k.control.WriteMsgUnix([]byte{opening, 0, 0}, syscall.UnixRights(int(theirs.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if err := readAnswer(mine); err == nil {
		t.Error("a connection without an upstream was opened")
	}
	resp, err := client(t, k).Get(up.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if after, ok := k.Report(); !ok || after.PID != before.PID {
		t.Error("the keeper ended")
	}
}

func TestBadKeys(t *testing.T) {
	for _, c := range []struct{ key, region, want string }{
		{"a\nX-Evil: b", "", "line break"},
		{"only-one", "us-east-1", "aws_access_key_id"},
		{"aws_access_key_id=a\naws_secret_access_key=b\naws_access_key_id=c", "us-east-1", "twice"},
	} {
		r := route(t, "http://127.0.0.1:9", keyFile(t, c.key))
		r.Region = c.region
		k, err := Start(t.Context(), []Route{r}, slog.New(slog.DiscardHandler))
		if err == nil {
			k.Close()
			t.Errorf("%q was taken", c.key)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "route x") || strings.Contains(err.Error(), "Evil") {
			t.Errorf("%q: %v", c.key, err)
		}
	}
}

// TestStartedAgain: a keeper that is killed is replaced, and what hangs on it ends.
func TestStartedAgain(t *testing.T) {
	release := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			_, _ = w.Write([]byte("begun"))
			_ = http.NewResponseController(w).Flush()
			<-release
		}
	}))
	defer up.Close()
	defer close(release)
	k := start(t, route(t, up.URL, keyFile(t, secret)))
	c := client(t, k)
	resp, err := c.Get(up.URL + "/hang")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first, _ := k.Report()
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("an answer that was under way ended as if it were whole: %q", got)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		resp, err := c.Get(up.URL + "/")
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no new keeper: %v", err)
		}
	}
	if second, ok := k.Report(); !ok || second.PID == first.PID {
		t.Errorf("report %v of process %d, the first was %d", ok, second.PID, first.PID)
	}
}

// helper is a gateway process: it starts a keeper (mode "apart") or reads the key itself,
// asks the upstream once, and waits.
func helper(mode, at, key string) error {
	u, err := url.Parse(at)
	if err != nil {
		return err
	}
	s, err := conf.ParseSealed("file:" + key)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	tr, pid := &http.Transport{}, 0
	if mode == "apart" {
		k, err := Start(context.Background(), []Route{{Name: "x", Upstream: u, Key: s, Header: "Authorization", Connect: time.Minute}}, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		r, _ := k.Report()
		pid = r.PID
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return k.Dial(ctx, "x") }
	} else {
		text, err := s.Read()
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+text.Reveal())
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return err
	}
	fmt.Println(resp.StatusCode, pid)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// TestNotInTheGateway looks for the key in everything that the gateway process has.
func TestNotInTheGateway(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+secret {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer up.Close()
	path := keyFile(t, secret).Path()
	for _, mode := range []string{"apart", "inside"} {
		cmd := exec.Command("/proc/self/exe", helperArg, mode, up.URL, path)
		cmd.Stderr = t.Output()
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		var status, keeper int
		if _, err := fmt.Fscan(out, &status, &keeper); err != nil || status != http.StatusOK {
			t.Fatalf("%s: status %d, %v", mode, status, err)
		}
		found := holds(t, cmd.Process.Pid)
		if found != (mode == "inside") {
			t.Errorf("key %s: found in the gateway's process: %v", mode, found)
		}
		if mode == "apart" && os.Geteuid() == 0 && !holds(t, keeper) {
			t.Error("the key is not in the keeper either: the test cannot see it")
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if mode == "apart" {
			gone(t, keeper)
		}
	}
}

// gone waits until a process has ended with the gateway that was killed.
func gone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(status, []byte(") Z ")) {
			return
		}
	}
	t.Errorf("the keeper %d lives on after its gateway was killed", pid)
}

// holds looks for the key in a process: memory, environment, command line.
func holds(t *testing.T, pid int) bool {
	t.Helper()
	for _, name := range []string{"environ", "cmdline"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(secret)) {
			return true
		}
	}
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	read := 0
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		var mode, rest string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s %s", &from, &to, &mode, &rest); err != nil || !strings.HasPrefix(mode, "rw") {
			continue // a read-only page of the binary has the test's own constant
		}
		const step = 1 << 20
		for at := from; at < to; at += step {
			b := make([]byte, min(step+int64(len(secret)), to-at))
			n, _ := mem.ReadAt(b, at) // what was never touched cannot be read
			read += n
			if bytes.Contains(b[:n], []byte(secret)) {
				return true
			}
		}
	}
	if read < 1<<20 {
		t.Fatalf("only %d bytes of process %d could be read", read, pid)
	}
	return false
}

// TestSigned checks AWS signatures with the arithmetic of its documentation.
func TestSigned(t *testing.T) {
	const id, key, token = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "tok/en=="
	path := ""
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		path = r.URL.RequestURI()
		auth, date := r.Header.Get("Authorization"), r.Header.Get("X-Amz-Date")
		scope := date[:8] + "/eu-west-1/bedrock/aws4_request"
		names := "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
		escaped := strings.ReplaceAll(path, ":", "%3A")
		canonical := fmt.Sprintf("POST\n%s\n\nhost:%s\nx-amz-content-sha256:%x\nx-amz-date:%s\nx-amz-security-token:%s\n\n%s\n%x", escaped, r.Host, sha256.Sum256(body), date, token, names, sha256.Sum256(body))
		sum := sha256.Sum256([]byte(canonical))
		k := []byte("AWS4" + key)
		for _, s := range []string{date[:8], "eu-west-1", "bedrock", "aws4_request", "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + hex.EncodeToString(sum[:])} {
			h := hmac.New(sha256.New, k)
			h.Write([]byte(s))
			k = h.Sum(nil)
		}
		if want := fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", id, scope, names, k); auth != want {
			t.Errorf("signed\n%s, want\n%s", auth, want)
		}
	}))
	defer up.Close()
	r := route(t, up.URL, keyFile(t, "[default]\naws_access_key_id = "+id+"\naws_secret_access_key = "+key+"\naws_session_token = "+token))
	r.Region = "eu-west-1"
	c := client(t, start(t, r))
	body := `{"messages":[]}`
	sum := sha256.Sum256([]byte(body))
	req, err := http.NewRequest(http.MethodPost, up.URL+"/model/anthropic.claude-v2:1/converse", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(hashHeader, hex.EncodeToString(sum[:]))
	req.Header.Set("X-Amz-Security-Token", "of the client")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if path != "/model/anthropic.claude-v2:1/converse" {
		t.Errorf("the upstream was asked for %q", path)
	}
}

func TestThroughProxy(t *testing.T) {
	up := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("X-Api-Key")) }))
	defer up.Close()
	trusted(t, up)
	u, _ := url.Parse(up.URL)
	var seen string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Method + " " + r.Host + " " + r.Header.Get("Proxy-Authorization")
		c, err := net.Dial("tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		mine, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer mine.Close()
		_, _ = io.WriteString(mine, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(c, mine); c.Close() }()
		_, _ = io.Copy(mine, c)
	}))
	defer proxy.Close()
	p, _ := url.Parse(proxy.URL)
	p.User = url.UserPassword("ann", "pw")
	conn, err := net.Dial("tcp", p.Host)
	if err != nil {
		t.Fatal(err)
	}
	k := start(t, Route{Name: "x", Upstream: u, Key: keyFile(t, secret), Header: "X-Api-Key", Connect: 10 * time.Second})
	if err := tunnel(t.Context(), conn, p, u.Host); err != nil {
		t.Fatal(err)
	}
	mine, theirs := pair(t)
	if err := errors.Join(k.hand(0, conn.(*net.TCPConn), int(theirs.Fd())), conn.Close(), readAnswer(mine)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(mine, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", u.Host)
	resp, err := http.ReadResponse(bufio.NewReader(mine), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != secret || seen != "CONNECT "+u.Host+" Basic YW5uOnB3" {
		t.Errorf("the proxy saw %q, the upstream %q", seen, body)
	}
	mine.Close()
}
