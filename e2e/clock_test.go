package e2e

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/model"
)

// stepFile holds by how many seconds the clock of a program built by
// steppedBinary is off. Its name is the same for every run, so that what was
// built once is found in the build cache again.
const stepFile = "/tmp/bartizan-test-clock"

// stepSource is added to package time: the wall clock is off by what stepFile
// holds at the moment, in both processes of a node, and the monotonic clock is
// not, as with a clock that somebody sets.
const stepSource = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var step = mapStep()

func mapStep() *int64 {
	fd, err := syscall.Open("` + stepFile + `", syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return new(int64)
	}
	defer syscall.Close(fd)
	b, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return new(int64)
	}
	return (*int64)(unsafe.Pointer(&b[0]))
}

func steppedBy() int64 { return atomic.LoadInt64(step) }
`

// steppedBinary builds the program with a wall clock that the test can set:
// the machine's own clock belongs to everybody.
func steppedBinary(t *testing.T) string {
	t.Helper()
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil { // the decoys' user starts it, too
		t.Fatal(err)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	b, err := os.ReadFile(filepath.Join(src, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const read = "\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(b), read) != 1 {
		t.Fatalf("package time of %s reads the clock in another way than this test knows; look for runtimeNow in %s", runtime.Version(), src)
	}
	write(t, filepath.Join(dir, "time.go"), strings.Replace(string(b), read, read+"\tsec += steppedBy()\n", 1))
	write(t, filepath.Join(dir, "step.go"), stepSource)
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(src, "time.go"): filepath.Join(dir, "time.go"), filepath.Join(src, "step.go"): filepath.Join(dir, "step.go")}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "overlay.json"), string(overlay))
	out := filepath.Join(dir, "bartizan")
	cmd := exec.Command("go", "build", "-trimpath", "-overlay", filepath.Join(dir, "overlay.json"), "-o", out, "bartizan/cmd/bartizan")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN=local")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build with a clock to set: %v\n%s", err, said)
	}
	return out
}

// clock is the clock of the node under test.
type clock struct{ f *os.File }

func newClock(t *testing.T) clock {
	t.Helper()
	_ = os.Remove(stepFile) // of a run that was killed
	f, err := os.OpenFile(stepFile, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(os.Remove(stepFile), f.Close()); err != nil {
			t.Error(err)
		}
	})
	c := clock{f}
	c.set(t, 0)
	return c
}

// set sets the clock to the right time plus d.
func (c clock) set(t *testing.T, d time.Duration) {
	t.Helper()
	if _, err := c.f.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(int64(d/time.Second))), 0); err != nil {
		t.Fatal(err)
	}
}

// TestClockJumps sets the node's clock forward and back, while blocks are in
// force, and looks at what docs/operate.md says about it.
func TestClockJumps(t *testing.T) {
	c := newClock(t)
	l := newLab(t)
	n := l.prepare(t, enforcing())
	n.binary = steppedBinary(t)
	n.start(t)
	n.awaitReady(t)
	const day = 24 * time.Hour
	serial := 0
	byHand := func(d time.Duration) model.Decision {
		t.Helper()
		serial++
		got, err := n.api.Change(t.Context(), api.DecisionChange{Op: "add", Target: fmt.Sprintf("45.9.0.%d", serial), Action: model.Block, Seconds: d.Seconds()})
		if err != nil || got.State != model.StateActive {
			t.Fatalf("block by hand: %v, %s %v", err, got.State, got.Guardrails)
		}
		inKernel(t, n, got.Decision, true)
		return got.Decision
	}
	long, short := byHand(3*time.Hour), byHand(30*time.Minute)
	works := func(when string) {
		t.Helper()
		fightsBack(t, n, l.attacker(t), when)
	}
	works("before any jump")

	c.set(t, time.Hour)
	inKernel(t, n, short, false) // its end is in the past now
	inKernel(t, n, long, true)
	works("an hour ahead")

	c.set(t, 0)
	inKernel(t, n, long, true)
	if d := n.decisions(t, "45.9.0.1")[0]; !d.Until.Equal(long.Until) || d.State != model.StateActive {
		t.Errorf("after forth and back the block is %s until %v, want %v", d.State, d.Until, long.Until)
	}
	works("back again")

	c.set(t, 31*day)
	inKernel(t, n, long, false)
	works("a month ahead")

	c.set(t, -31*day)
	early := byHand(time.Hour)
	works("a month behind")
	n.restart(t)
	inKernel(t, n, early, true)
	works("a month behind, after a restart")

	// A machine without a battery starts in 1970, until the network tells.
	now := time.Now()
	c.set(t, -now.Sub(time.Unix(86400, 0)))
	n.restart(t)
	inKernel(t, n, early, true)
	works("in 1970")
	c.set(t, 0)
	inKernel(t, n, early, false)
	works("after the network has told the time")
	settled(t, n)
	sound(t, n)
	n.stop(t)
}

// restart stops the node and starts it again.
func (n *node) restart(t *testing.T) {
	t.Helper()
	n.stop(t)
	n.start(t)
	n.awaitReady(t)
}

// inKernel waits until a decision is, or is no longer, in the kernel and in
// force for the ledger; one that ended long ago is no longer listed.
func inKernel(t *testing.T, n *node, d model.Decision, want bool) {
	t.Helper()
	eventually(t, 20*time.Second, fmt.Sprintf("block of %s in force: %v", d.Target.Value(), want), func() error {
		list, err := all(t.Context(), n)
		if err != nil {
			return err
		}
		active := slices.ContainsFunc(list, func(x api.Decision) bool { return x.ID == d.ID && x.State == model.StateActive })
		if held := covers(n.lab.kernel(t), d.Target); held != want || active != want {
			return fmt.Errorf("in the kernel: %v, in force for the ledger: %v", held, active)
		}
		return nil
	})
}

// fightsBack: an attack that begins now is blocked and released.
func fightsBack(t *testing.T, n *node, a *attacker, when string) {
	t.Helper()
	_, end, err := n.api.Lease(t.Context(), api.LeaseRequest{Addresses: []string{a.ip}, For: 60, BlockFor: 5})
	if err != nil {
		t.Fatalf("%s: lease: %v", when, err)
	}
	defer end()
	_, _ = a.attackWeb("", "80") // being cut off is the point
	d := n.awaitBlock(t, a.ip)
	if err := until(2*time.Second, func() error {
		if !covers(n.lab.kernel(t), d.Target) {
			return errors.New("not in the kernel")
		}
		return nil
	}); err != nil {
		t.Errorf("%s: %v", when, err)
	}
	if err := until(20*time.Second, func() error { return a.knock("", "80") }); err != nil {
		t.Errorf("%s: never released: %v", when, err)
	}
}
