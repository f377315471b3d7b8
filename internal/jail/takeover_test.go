package jail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	supervisorEnv = "JAIL_TEST_SUPERVISOR"
	leastAttacks  = 70 // a shorter list is a broken test
)

// aim makes what the attacker goes for, reachable for any user.
func aim(t *testing.T) target {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "jail") // not t.TempDir: its parents are closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	to := target{Parent: os.Getpid(), Secret: dir + "/secret", Public: dir + "/public", Folder: dir + "/free", Listener: -1,
		Unix: dir + "/socket", Abstract: "@jail-test-" + filepath.Base(dir)}
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	must(os.Chmod(dir, 0o755))
	must(os.Mkdir(to.Folder, 0o777))
	must(os.Chmod(to.Folder, 0o777))
	must(os.WriteFile(to.Secret, []byte("state"), 0o600))
	must(os.WriteFile(to.Public, []byte("hello"), 0o644))
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	t.Cleanup(func() { tcp.Close() })
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(err)
	t.Cleanup(func() { udp.Close() })
	to.TCP, to.UDP = tcp.Addr().(*net.TCPAddr).Port, udp.LocalAddr().(*net.UDPAddr).Port
	for _, name := range []string{to.Unix, to.Abstract} {
		l, err := net.Listen("unix", name)
		must(err)
		t.Cleanup(func() { l.Close() })
	}
	must(os.Chmod(to.Unix, 0o777))
	return to
}

// assault starts a child, lets it attack, and returns what came of each attack.
func assault(ctx context.Context, to target, spec Spec) (*Child, map[string]string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	spec.Args, spec.Files = []string{"attack"}, []*os.File{f}
	c, err := Start(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	defer c.Conn().Close()
	defer c.Kill()
	to.Listener = firstFile
	raw, err := json.Marshal(to)
	if err != nil {
		return nil, nil, err
	}
	if err := WriteFrame(c.Conn(), raw, maxFrame); err != nil {
		return nil, nil, err
	}
	if raw, err = ReadFrame(c.Conn(), maxFrame); err != nil {
		return nil, nil, fmt.Errorf("the child did not survive its attacks: %w, %v", err, c.Wait())
	}
	got := map[string]string{}
	if err := json.Unmarshal(raw, &got); err != nil {
		return nil, nil, err
	}
	return c, got, c.Wait()
}

// judge compares with what must come.
func judgeAttacks(t *testing.T, got map[string]string) {
	t.Helper()
	list := attacks()
	if len(list) < leastAttacks || len(got) != len(list) {
		t.Fatalf("%d attacks listed, %d done, want at least %d", len(list), len(got), leastAttacks)
	}
	for _, a := range list {
		if got[a.name] != a.want {
			t.Errorf("%s: %s, want %s", a.name, got[a.name], a.want)
		}
	}
}

// TestTakeOver gives an intruder the child's position: nothing on the list may work.
func TestTakeOver(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the variant with an own user needs root; TestTakeOverSameUser covers the other")
	}
	var mu sync.Mutex
	var trips []Trip
	c, got, err := assault(t.Context(), aim(t), Spec{Require: true, Stderr: &logWriter{t: t}, Tripped: func(x Trip) {
		mu.Lock()
		defer mu.Unlock()
		trips = append(trips, x)
	}})
	if err != nil {
		t.Fatal(err)
	}
	judgeAttacks(t, got)
	r := c.Report()
	t.Log(r)
	if err := r.Strict(); err != nil {
		t.Error(err)
	}
	if !r.OwnUser || !r.EmptyBounding || !r.Verified || r.UID == 0 {
		t.Errorf("report: %+v", r)
	}
	if !r.SeccompTripwire {
		t.Fatal("no trip wire on this kernel")
	}
	mu.Lock()
	defer mu.Unlock()
	if c.Tripped() < 30 || len(trips) == 0 || trips[0].Count == 0 {
		t.Errorf("%d calls announced, %d reports: %+v", c.Tripped(), len(trips), trips)
	}
}

// supervised runs this binary as a supervisor of a jail, as another user or from another file.
func supervised(t *testing.T, path, mode string, to target, cred *syscall.Credential) *exec.Cmd {
	t.Helper()
	raw, err := json.Marshal(to)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = []string{supervisorEnv + "=" + mode, targetEnv + "=" + string(raw)}
	cmd.Stderr = &logWriter{t: t}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	cmd.Dir = "/"
	return cmd
}

type supervisorSays struct {
	Report Report
	Got    map[string]string
}

// supervisor is the parent of a jail in a process of its own.
func supervisor() int {
	var to target
	if err := json.Unmarshal([]byte(os.Getenv(targetEnv)), &to); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if os.Getenv(supervisorEnv) == "orphan" {
		c, err := Start(context.Background(), Spec{Args: []string{"hang"}, Stderr: os.Stderr})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(c.Pid())
		_ = c.Wait()
		return 0
	}
	to.Parent = os.Getpid()
	c, got, err := assault(context.Background(), to, Spec{Stderr: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(supervisorSays{c.Report(), got}); err != nil {
		return 1
	}
	return 0
}

func runSupervisor(t *testing.T, cmd *exec.Cmd) supervisorSays {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var s supervisorSays
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTakeOverSameUser is a node that was not started as root: parent and child are the same user, and still nothing works.
func TestTakeOverSameUser(t *testing.T) {
	var cred *syscall.Credential
	if os.Getuid() == 0 {
		cred = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	s := runSupervisor(t, supervised(t, "/proc/self/exe", "attack", aim(t), cred))
	judgeAttacks(t, s.Got)
	r := s.Report
	if r.OwnUser || !r.NoNewPrivs || !r.NoCapabilities || !r.Seccomp || !r.Landlock.FS || !r.Landlock.Net || !r.Landlock.Scope {
		t.Errorf("report: %+v", r)
	}
	if err := r.Strict(); err == nil || !strings.Contains(err.Error(), "own user") {
		t.Errorf("strict says %v, want the missing own user", err)
	}
}

// TestClosedProgram starts from a program file that only root may execute, in a folder only root may enter.
func TestClosedProgram(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	raw, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "closed")
	if err := os.WriteFile(path, raw, 0o700); err != nil {
		t.Fatal(err)
	}
	s := runSupervisor(t, supervised(t, path, "attack", aim(t), nil))
	judgeAttacks(t, s.Got)
	if !s.Report.OwnUser {
		t.Errorf("report: %+v", s.Report)
	}
}

// TestControls makes the same attempts outside the jail: each must work there, or its failure inside proves nothing.
func TestControls(t *testing.T) {
	to := aim(t)
	raw, err := json.Marshal(to)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 4)
	for _, a := range attacks() {
		if os.Getuid() != 0 && !a.user {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var out bytes.Buffer
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = []string{controlEnv + "=" + a.name, targetEnv + "=" + string(raw)}
			cmd.Stdout, cmd.Stderr = &out, &out
			if os.Getuid() == 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS} // what is mounted goes with it
			}
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != succeeded {
				t.Errorf("%s does not work outside the jail either: %v %s", a.name, err, out.String())
			}
		})
	}
	wg.Wait()
}

// TestDiesWithParent kills the parent: nothing may stay behind.
func TestDiesWithParent(t *testing.T) {
	cmd := supervised(t, "/proc/self/exe", "orphan", aim(t), nil)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	handle, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(handle)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	deadline := time.Now().Add(5 * time.Second)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, 100)
		if n == 1 {
			return
		}
		if (err != nil && err != unix.EINTR) || time.Now().After(deadline) {
			t.Fatalf("the child %d outlives its parent: %v", pid, err)
		}
	}
}
