package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// TestMain builds the binary under test once; BARTIZAN_BIN carries its path to
// the tests.
func TestMain(m *testing.M) {
	os.Exit(withBinary(m.Run))
}

func withBinary(run func() int) int {
	if os.Getenv("BARTIZAN_BIN") != "" {
		return run()
	}
	dir, err := os.MkdirTemp("", "bz-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // also users without rights start it
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	bin := filepath.Join(dir, "bartizan")
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "bartizan/cmd/bartizan")
	build.Env = append(os.Environ(), "GOTOOLCHAIN=local")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: build bartizan: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv("BARTIZAN_BIN", bin); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return run()
}

func program() string { return os.Getenv("BARTIZAN_BIN") }

// strict is true where a missing tool or privilege is a failure.
func strict() bool {
	return os.Getenv("BARTIZAN_REQUIRE_TOOLS") == "1" || os.Getenv("CI") == "true"
}

// soak is true for the long forms.
func soak() bool { return os.Getenv("BARTIZAN_SOAK") == "1" }

// lack skips a test for something that the machine has not got, or fails it
// where everything must be there.
func lack(t *testing.T, format string, args ...any) {
	t.Helper()
	if strict() {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// need says that the test uses programs, and finds them.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			lack(t, "%s is not installed: scripts/install-test-tools.sh brings it", tool)
		}
	}
}

// times is a number from the environment, or one by the length of the run.
func times(t *testing.T, name string, short, full int) int {
	t.Helper()
	if s := os.Getenv(name); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q is not a positive number", name, s)
		}
		return n
	}
	if testing.Short() {
		return short
	}
	return full
}
