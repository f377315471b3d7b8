package shell

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/system"
	"bartizan/internal/decoy/shell/tools"
)

// Every command with the arguments that code forgets: empty ones, lone dashes, names
// without an end. A command that panics ends the visit and gives the decoy away.
func TestEdgeArguments(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, set := range []map[string]interp.CommandFunc{tools.FileCommands(), tools.TextCommands(), system.NetworkCommands(), system.AdminCommands(), system.DevCommands(), system.SystemCommands()} {
		for name := range set {
			names[name] = true
		}
	}
	if len(names) < 100 {
		t.Fatalf("%d commands", len(names))
	}
	edges := []string{"", "''", "' '", "-", "--", "-z", "-n", "-1", "0", "/", ".", ":", "=", "%", "'\\'", "@", "show"}
	limits := interp.Limits{Steps: 5_000, Output: 16 << 10, FSBytes: 1 << 20, FileBytes: 256 << 10, Files: 100, Forks: 16}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		s, _ := testShell(t, limits)
		for _, a := range edges {
			for _, b := range edges {
				line := strings.TrimSpace(name + " " + a + " " + b)
				func() {
					defer func() {
						if r := recover(); r != nil {
							t.Errorf("%s: %v", line, r)
							s, _ = testShell(t, limits)
						}
					}()
					var out counter
					s.Run(context.Background(), line, strings.NewReader("x\n"), &out, &out)
				}()
			}
		}
	}
}
