package shell

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decoy/shell/interp"
)

// testdata/snippets.txt runs through a real bash and through the emulation;
// what it prints and its status must be the same. The lines are harmless and
// use nothing of the machine beyond a temporary folder; @NL is a line end.
func TestDifferentialBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash on this machine to compare with")
	}
	raw, err := os.ReadFile("testdata/snippets.txt")
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Split(strings.TrimSpace(string(raw)), "\n")
	if len(list) < 100 {
		t.Fatalf("only %d snippets, want at least 100", len(list))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, src := range list {
		src = strings.ReplaceAll(src, "@NL", "\n")
		cmd := exec.CommandContext(ctx, bash, "--norc", "--noprofile", "-c", src)
		cmd.Dir = t.TempDir()
		cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
		var real bytes.Buffer
		cmd.Stdout = &real
		cmd.Run() // its status is compared below
		s, _ := testShell(t, interp.Limits{})
		run(s, "mkdir -p /tmp/work; cd /tmp/work")
		var out, errs bytes.Buffer
		code, _ := s.Run(ctx, src, nil, &out, &errs)
		if out.String() != real.String() || code != cmd.ProcessState.ExitCode() {
			t.Errorf("%s\n--- bash (%d)\n%s--- emulation (%d)\n%s--- its errors\n%s", src, cmd.ProcessState.ExitCode(), real.String(), code, out.String(), errs.String())
		}
	}
}
