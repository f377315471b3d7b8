package jail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestServes hands over listeners, a low port among them, and visits them.
func TestServes(t *testing.T) {
	var files []*os.File
	var addrs []string
	listen := func(network, addr string) bool {
		l, err := net.Listen(network, addr)
		if err != nil {
			return false
		}
		defer l.Close()
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files, addrs = append(files, f), append(addrs, l.Addr().String())
		return true
	}
	listen("tcp4", "127.0.0.1:0")
	listen("tcp6", "[::1]:0")
	if os.Getuid() == 0 {
		for port := 1023; port > 600 && !listen("tcp4", "127.0.0.1:"+strconv.Itoa(port)); port-- {
		}
		if len(files) < 2 {
			t.Fatal("no low port free")
		}
	}
	c := start(t, "serve", Spec{Files: files})
	r := NewFrameReader(c.Conn(), maxFrame)
	if p, err := r.Read(); err != nil || string(p) != "ready" {
		t.Fatalf("%q, %v", p, err)
	}
	for round := range 20 {
		for _, addr := range addrs {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			msg := []byte("visit " + strconv.Itoa(round))
			if _, err := conn.Write(msg); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(msg))
			if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("%s answered %q, %v", addr, got, err)
			}
			p, err := r.Read()
			if err != nil || string(p) != conn.LocalAddr().String() {
				t.Fatalf("child says %q came, %v; want %s", p, err, conn.LocalAddr())
			}
			conn.Close()
		}
	}
	if n := c.Tripped(); n != 0 {
		t.Errorf("honest work raised %d alarms", n)
	}
}

func ask(t *testing.T, c *Child) []byte {
	t.Helper()
	_ = c.Conn().SetReadDeadline(time.Now().Add(20 * time.Second))
	p, err := ReadFrame(c.Conn(), maxFrame)
	if err != nil {
		t.Fatalf("no answer: %v (%v)", err, c.Wait())
	}
	return p
}

func TestStress(t *testing.T) {
	t.Setenv("TZ", "Asia/Tokyo")
	c := start(t, "stress", Spec{OpenFiles: 512, MemoryLimit: 512 << 20})
	if zone := string(ask(t, c)); zone != "JST" {
		t.Errorf("time zone in the jail is %q", zone)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	if n := c.Tripped(); n != 0 {
		t.Errorf("honest work raised %d alarms", n)
	}
	r := c.Report()
	if r.OpenFiles != 512 || r.MemoryBytes != 512<<21+256<<20 {
		t.Errorf("limits are %d files, %d bytes", r.OpenFiles, r.MemoryBytes)
	}
}

func TestMemoryLimit(t *testing.T) {
	if raceBuild {
		t.Skip("the race detector's own memory does not fit a small limit")
	}
	var out lockedBuffer
	c := start(t, "eat", Spec{MemoryLimit: 32 << 20, Stderr: &out})
	if p, err := ReadFrame(c.Conn(), maxFrame); err == nil {
		t.Errorf("child %s", p)
	}
	if err := c.Wait(); err == nil || !strings.Contains(out.String(), "out of memory") {
		t.Errorf("ended with %v: %.200s", err, out.String())
	}
}

func TestOtherTableKills(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("only this machine has a second table")
	}
	c := start(t, "other-table", Spec{})
	if err := WriteFrame(c.Conn(), []byte("go"), maxFrame); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil || !strings.Contains(err.Error(), "system call filter") {
		t.Errorf("ended with %v", err)
	}
}

func TestForgedArguments(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got struct {
		Tried   int
		Through map[string]int
	}
	if err := json.Unmarshal(ask(t, start(t, "forge", Spec{Files: []*os.File{f}})), &got); err != nil {
		t.Fatal(err)
	}
	if got.Tried < 400 || len(got.Through) != 0 {
		t.Errorf("of %d calls went through: %v", got.Tried, got.Through)
	}
}

func TestDataDoesNotRun(t *testing.T) {
	c := start(t, "shellcode", Spec{Stderr: io.Discard})
	if p, err := ReadFrame(c.Conn(), maxFrame); err == nil {
		t.Error(string(p))
	}
	if err := c.Wait(); err == nil {
		t.Error("child ended well")
	}
}

// TestInherited gives the parent a descriptor without close-on-exec, as a careless starter would.
func TestInherited(t *testing.T) {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	leak, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	if flags, _ := unix.FcntlInt(uintptr(leak), unix.F_GETFD, 0); flags != 0 {
		t.Fatal("the descriptor is not inheritable to begin with")
	}
	c := start(t, "wait", Spec{})
	dir := "/proc/" + strconv.Itoa(c.Pid()) + "/fd/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Skip("cannot look into the child: " + err.Error())
	}
	seen := 0
	for _, e := range entries {
		if to, err := os.Readlink(dir + e.Name()); err == nil {
			seen++
			if strings.Contains(to, "passwd") || (strings.HasPrefix(to, "/") && to != "/dev/null" && !strings.HasPrefix(to, "/sys/fs/cgroup")) {
				t.Errorf("child holds %s", to)
			}
		}
	}
	if seen < 4 {
		t.Errorf("only %d descriptors seen", seen)
	}
	if notes := c.Report().Notes; len(notes) != 0 {
		t.Errorf("notes: %v", notes)
	}
}

func TestStartFailures(t *testing.T) {
	t.Run("dies", func(t *testing.T) {
		_, err := Start(t.Context(), Spec{Args: []string{"dies"}})
		if err == nil || !strings.Contains(err.Error(), "exit status 7") {
			t.Error(err)
		}
	})
	t.Run("never enters", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := Start(ctx, Spec{Args: []string{"never-enters"}}); err == nil {
			t.Error("started")
		}
	})
	t.Run("bad user", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("needs root")
		}
		if _, err := Start(t.Context(), Spec{Args: []string{"wait"}, UID: -5}); err == nil {
			t.Error("started")
		}
	})
	t.Run("not a child", func(t *testing.T) {
		if _, err := Enter(Options{}); err == nil {
			t.Error("entered")
		}
	})
}

func TestContextEndsChild(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, err := Start(ctx, Spec{Args: []string{"wait"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Conn().Close()
	cancel()
	if err := c.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("ended with %v", err)
	}
}

// TestParentKeepsPrivileges: what the child's thread gave up must not leak into the parent's other threads.
func TestParentKeepsPrivileges(t *testing.T) {
	main, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if parseStatus(string(main)).noNewPrivs {
		t.Skip("the test itself runs under no_new_privs")
	}
	c := start(t, "wait", Spec{})
	if n := threadsOf(t); n < 1 {
		t.Fatalf("%d lowered threads while a child runs", n)
	}
	c.Kill()
	_ = c.Wait()
	deadline := time.Now().Add(5 * time.Second)
	for threadsOf(t) != 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d threads stay lowered", threadsOf(t))
		}
		runtime.Gosched()
	}
}

// threadsOf counts this process' threads that gave up something.
func threadsOf(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if raw, err := os.ReadFile("/proc/self/task/" + e.Name() + "/status"); err == nil && parseStatus(string(raw)).noNewPrivs {
			n++
		}
	}
	return n
}

func TestReportSaysWhatToDo(t *testing.T) {
	var r Report
	r.judge()
	err := r.Strict()
	if err == nil || len(r.Missing) < 6 {
		t.Fatalf("nothing in force, and only %v is missing", r.Missing)
	}
	for _, want := range []string{"start the node as root", "Linux 5.13", "CONFIG_SECCOMP_FILTER"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if !strings.Contains(r.String(), "MISSING") {
		t.Error(r.String())
	}
}

func TestRelay(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var out lockedBuffer
	var wg sync.WaitGroup
	wg.Go(func() { relay(r, &out) })
	_, err1 := w.WriteString("plain\tline\n\x1b[2Jclear\x00\n" + strings.Repeat("x", 10*lineMax) + "\nafter\n" + strings.Repeat("flood\n", 5000) + "no end")
	if err := errors.Join(err1, w.Close()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	s := out.String()
	if !strings.HasPrefix(s, "plain\tline\n\\x1b[2Jclear\\x00\nxxxx") || strings.ContainsAny(s, "\x1b\x00") {
		t.Errorf("%.100q", s)
	}
	for line := range strings.Lines(s) {
		if len(line) > lineMax+1 {
			t.Errorf("line of %d bytes", len(line))
		}
	}
	if !strings.Contains(s, "x\nafter\n") {
		t.Error("what follows a long line is lost")
	}
	if n := strings.Count(s, "flood"); n < 100 || n > 2*relayBurst {
		t.Errorf("%d lines of a flood went through", n)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
