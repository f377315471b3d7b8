package mcp

import (
	"slices"
	"strings"
	"testing"

	"bartizan/internal/assess"
	"bartizan/internal/model"
)

// TestRightsWrapped: what a container is given, and a key in an address, is seen wherever it stands.
func TestRightsWrapped(t *testing.T) {
	for entry, rule := range map[string]string{
		`{"command":"docker run -i --privileged mcp/x:1.0"}`:                      "mcp.privileged-container",
		`{"command":"sudo","args":["docker","run","--privileged","mcp/x:1.0"]}`:   "mcp.privileged-container",
		`{"command":"sh","args":["-c","cd /x; docker run -v /:/host mcp/x:1.0"]}`: "mcp.root-filesystem",
		`{"command":"docker","args":["run","-v/:/host","mcp/x:1.0"]}`:             "mcp.root-filesystem",
		`{"command":"srv","args":["/srv/docker","--privileged"]}`:                 "",
		`{"url":"https://` + aws + `@h.example/mcp"}`:                             "mcp.secret",
		`{"url":"https://h.example/mcp#` + aws + `"}`:                             "mcp.secret",
		`{"url":"https://ann@h.example/mcp#top"}`:                                 "",
	} {
		s, err := New(Default())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		if err := s.Scan(t.Context(), assess.Job{Target: fixture(t, "mcp.json", one(entry)), Found: func(f model.Finding) {
			if f.State == model.FindingFail && !strings.HasSuffix(f.Rule, "sudo") && !strings.HasSuffix(f.Rule, "shell") {
				got = append(got, f.Rule)
			}
		}}); err != nil {
			t.Fatal(err)
		}
		if rule == "" && len(got) > 0 || rule != "" && !slices.Contains(got, rule) {
			t.Errorf("%s: %q, want %s", entry, got, rule)
		}
	}
}

// TestLaunchWrapped: what a server is fetched as is seen behind what only runs it.
func TestLaunchWrapped(t *testing.T) {
	for _, c := range []struct {
		command string
		args    []string
	}{
		{`C:\Program Files\nodejs\npx.cmd`, []string{"some-server"}},
		{"env", []string{"-S", "npx -y some-server"}},
		{"env", []string{"-i", "PATH=/bin", "npx", "some-server"}},
		{"/usr/bin/env", []string{"-u", "X", "A=b", "npx", "some-server"}},
		{"sudo", []string{"-E", "-u", "bob", "npx", "some-server"}},
		{"timeout", []string{"30", "npx", "some-server"}},
		{"nice", []string{"-n", "5", "uvx", "some-server"}},
		{"mise", []string{"exec", "node@20", "--", "npx", "-y", "some-server"}},
		{"wsl", []string{"npx", "some-server"}},
		{"sudo", []string{"sh", "-c", "cd /x && npx some-server"}},
		{"sh", []string{"-c", "bun x some-server"}},
		{"npx", []string{"-y", "-c", "some-server --flag"}},
		{"A=b", []string{"npx", "some-server"}},
		{"npx -y some-server /srv/docker", nil},
	} {
		l := launchOf(c.command, c.args)
		if !slices.Equal(l.packages, []string{"some-server"}) || len(l.loose) != 1 {
			t.Errorf("%s %q: %+v", c.command, c.args, l)
		}
	}
	for _, c := range [][]string{{"timeout", "30", "npx", "some-server@1.2.3"}, {"env", "A=b", "/usr/bin/server", "go"}, {"npx", "-c", "srv", "-p", "a@1.0.0"}} {
		if l := launchOf(c[0], c[1:]); len(l.loose) > 1 || len(l.loose) == 1 && c[0] != "npx" {
			t.Errorf("%q: %+v", c, l)
		}
	}
}
