package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/safe/porttest"
)

// mcpFolder is where the protocol's own SDK and reference server are installed.
func mcpFolder(t *testing.T) string {
	t.Helper()
	npm, err := filepath.Abs("npm")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"@modelcontextprotocol/sdk", "@modelcontextprotocol/server-everything"} {
		if _, err := os.Stat(filepath.Join(npm, "node_modules", dir)); err != nil {
			lack(t, "%s is not there: npm ci --prefix e2e/npm", dir)
		}
	}
	return npm
}

// mcpSaid is one line of what mcp.mjs reports.
type mcpSaid struct {
	What  string          `json:"what"`
	Value json.RawMessage `json:"value"`
}

// runMCP lets the client do a plan and returns what it got.
func runMCP(t *testing.T, npm, plan string, args ...string) []mcpSaid {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{filepath.Join(npm, "mcp.mjs")}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "MCP_PLAN=" + plan, `MCP_HEADERS={"Bartizan-Agent-Key":"key-of-the-agent"}`,
		"MCP_SECOND=" + os.Getenv("MCP_SECOND"), "MCP_ROGUE=" + os.Getenv("MCP_ROGUE")}
	cmd.WaitDelay = 5 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", plan, err, out, stderr.String())
	}
	var got []mcpSaid
	for in := json.NewDecoder(bytes.NewReader(out)); ; {
		var s mcpSaid
		if err := in.Decode(&s); err == io.EOF {
			return got
		} else if err != nil {
			t.Fatalf("%v\n%.500s", err, out)
		}
		got = append(got, s)
	}
}

// mcpGate writes a configuration of the gateway.
type mcpGate struct{ config, state string }

func newMCPGate(t *testing.T, servers string) mcpGate {
	t.Helper()
	dir := t.TempDir()
	g := mcpGate{filepath.Join(dir, "mcp.yaml"), filepath.Join(dir, "state")}
	text := fmt.Sprintf(`state: %s
agents: {coder: {else: pass, key: key-of-the-agent}}
decoys: [{name: read_vault, description: Reads a secret from the vault., answer: the vault is sealed}]
methods: {sampling: pass, elicitation: pass, roots: pass}
guard: {secret: {canaries: [zq7-canary-4411]}}
%s`, g.state, servers)
	if err := os.WriteFile(g.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

// listen starts the gateway for servers that are reached over HTTP.
func (g mcpGate) listen(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(program(), "guard", "mcp", "--config", g.config, "--listen", "127.0.0.1:0")
	line := startAndRead(t, cmd, func() (io.ReadCloser, error) { return cmd.StderrPipe() })
	_, rest, ok := strings.Cut(line, "http://")
	if !ok {
		t.Fatalf("the gateway says %q", line)
	}
	return "http://" + strings.TrimSuffix(rest, "/NAME")
}

// startAndRead starts a server and returns its first line; it is ended with the test.
func startAndRead(t *testing.T, cmd *exec.Cmd, pipe func() (io.ReadCloser, error)) string {
	t.Helper()
	out, err := pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	line, err := in.ReadString('\n')
	drained := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, in); close(drained) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		<-drained
		_ = cmd.Wait() // it was told to end
		kill.Stop()
	})
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return strings.TrimSpace(line)
}

// everythingHTTP starts the reference server and waits until it listens.
func everythingHTTP(t *testing.T, npm string) string {
	return everythingAt(t, npm, "streamableHttp", "/mcp")
}

func everythingAt(t *testing.T, npm, transport, path string) string {
	t.Helper()
	port := porttest.Free(t, "tcp", 1)[0]
	cmd := exec.Command("node", filepath.Join(npm, "node_modules/@modelcontextprotocol/server-everything/dist/index.js"), transport)
	cmd.Env = append(os.Environ(), "PORT="+port)
	startAndRead(t, cmd, func() (io.ReadCloser, error) {
		if transport == "sse" {
			return cmd.StderrPipe()
		}
		return cmd.StdoutPipe()
	})
	if err := until(30*time.Second, func() error {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			err = c.Close()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return "http://127.0.0.1:" + port + path
}

var (
	clockTime = regexp.MustCompile(`\d{1,2}:\d\d:\d\d(?:\.\d+)?( [AP]M)?|\d{4}-\d\d-\d\dT[0-9:.]+Z`)
	resources = regexp.MustCompile(`session/[^"]*`)
)

// comparable is what must be the same in two runs: without the times that the server
// writes, and without the call of a tool that does not exist, which is refused.
func comparable(all []mcpSaid) (out []string) {
	for _, s := range all {
		if s.What == "no-such-tool" || s.What == "progress" { // how many of the latter come in time is chance
			continue
		}
		v := resources.ReplaceAllString(clockTime.ReplaceAllString(string(s.Value), "TIME"), "session/X")
		out = append(out, s.What+" "+v)
	}
	return out
}

func same(t *testing.T, direct, through []mcpSaid) {
	t.Helper()
	a, b := comparable(direct), comparable(through)
	if len(a) < 27 {
		t.Fatalf("the direct client did only %d things", len(a))
	}
	// The decoy stands at the end of the list of tools, and is the only difference.
	for i := range b {
		if strings.HasPrefix(b[i], "tools ") {
			k := strings.Index(b[i], `,{"name":"read_vault"`)
			if k < 0 {
				t.Error("the list has no decoy")
				continue
			}
			j := strings.Index(b[i][k:], `"inputSchema":{"type":"object"}}`)
			b[i] = b[i][:k] + b[i][k+j+len(`"inputSchema":{"type":"object"}}`):]
		}
	}
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			t.Fatalf("the %d. thing differs:\ndirect  %.600s\nthrough %.600s", i+1, at(a, i), at(b, i))
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "(nothing)"
}

// TestMCPConformance: the SDK's client and the reference server see the same through the
// gateway as without it.
func TestMCPConformance(t *testing.T) {
	npm := mcpFolder(t)
	server := []string{"node", filepath.Join(npm, "node_modules/@modelcontextprotocol/server-everything/dist/index.js"), "stdio"}
	t.Run("stdio", func(t *testing.T) {
		g := newMCPGate(t, "")
		direct := runMCP(t, npm, "everything", append([]string{"stdio"}, server...)...)
		through := runMCP(t, npm, "everything", append([]string{"stdio", program(), "guard", "mcp", "--config", g.config, "--"}, server...)...)
		same(t, direct, through)
		g.traced(t, 50)
	})
	t.Run("http", func(t *testing.T) {
		url := everythingHTTP(t, npm)
		g := newMCPGate(t, "servers: {all: {url: "+url+"}}")
		front := g.listen(t)
		same(t, runMCP(t, npm, "everything", "http", url), runMCP(t, npm, "everything", "http", front+"/all"))
		g.traced(t, 50)
	})
}

// TestMCPTransports: the same over every way from a client to a server whose transports differ, and
// the older one of two addresses.
func TestMCPTransports(t *testing.T) {
	npm := mcpFolder(t)
	command := []string{"node", filepath.Join(npm, "node_modules/@modelcontextprotocol/server-everything/dist/index.js"), "stdio"}
	web, old := everythingHTTP(t, npm), everythingAt(t, npm, "sse", "/sse")
	direct := map[string][]mcpSaid{
		"cmd": runMCP(t, npm, "everything", append([]string{"stdio"}, command...)...),
		"web": runMCP(t, npm, "everything", "http", web),
		"old": runMCP(t, npm, "everything", "sse", old),
	}
	g := newMCPGate(t, fmt.Sprintf("servers: {cmd: {command: [%q, %q, %q]}, web: {url: %q}, old: {url: %q, transport: sse}}\nshadowing: flag # they have the same tools", command[0], command[1], command[2], web, old))
	front := g.listen(t)
	for server, want := range direct {
		for client, args := range map[string][]string{
			"stdio": {"stdio", program(), "guard", "mcp", "--config", g.config, "--server", server},
			"http":  {"http", front + "/" + server},
			"sse":   {"sse", front + "/" + server + "/sse"},
		} {
			t.Run(client+" to "+server, func(t *testing.T) { same(t, want, runMCP(t, npm, "everything", args...)) })
		}
	}
	g.traced(t, 450)
}

// traced: every message has its line, and no line has a secret.
func (g mcpGate) traced(t *testing.T, least int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.state, "trace.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n < least {
		t.Errorf("the trace has %d lines, want at least %d", n, least)
	}
	if bytes.Contains(text, []byte("zq7-canary-4411")) {
		t.Error("the trace has the canary")
	}
}

func (g mcpGate) signals(t *testing.T) (kinds []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.state, "signals.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for in := json.NewDecoder(bytes.NewReader(text)); ; {
		var s struct{ Kind string }
		if err := in.Decode(&s); err == io.EOF {
			return kinds
		} else if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, s.Kind)
	}
}

// TestMCPHostile: a rug-pulled tool is stopped, blocked content never arrives, and a
// decoy is an alarm, over both transports.
func TestMCPHostile(t *testing.T) {
	npm := mcpFolder(t)
	server := filepath.Join(npm, "mcp_server.mjs")
	check := func(t *testing.T, g mcpGate, direct, through []mcpSaid) {
		t.Helper()
		for k, part := range map[int]string{3: "4411", 4: "Ignore all previous", 7: "two is a word", 9: "three is a word"} {
			if !strings.Contains(string(direct[k].Value), part) {
				t.Errorf("without the gateway, the %d. thing is %s %s", k+1, direct[k].What, direct[k].Value)
			}
		}
		var all strings.Builder
		for _, s := range through {
			fmt.Fprintf(&all, "%s %s\n", s.What, s.Value)
		}
		for _, never := range []string{"zq7-canary-4411", "Ignore all previous", "needs your files", "two is a word", "three is a word"} {
			if strings.Contains(all.String(), never) {
				t.Errorf("%q arrived", never)
			}
		}
		for _, must := range []string{"one is a word", "the vault is sealed", "pulled", "changed after it was accepted", "the gateway stopped the answer"} {
			if !strings.Contains(all.String(), must) {
				t.Errorf("%q did not arrive", must)
			}
		}
		kinds := g.signals(t)
		for _, k := range []string{"mcp.decoy-tool", "mcp.rug-pull", "mcp.hostile-result"} {
			if !slices.Contains(kinds, k) {
				t.Errorf("no signal %s among %v", k, kinds)
			}
		}
		g.traced(t, 15)
		if t.Failed() {
			t.Log(all.String())
		}
		out, err := exec.Command(program(), "guard", "mcp", "pins", "--config", g.config, "--changed").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "needs your files") {
			t.Errorf("pins: %v\n%s", err, out)
		}
	}
	t.Run("stdio", func(t *testing.T) {
		g := newMCPGate(t, "")
		check(t, g, runMCP(t, npm, "hostile", "stdio", "node", server, "stdio"),
			runMCP(t, npm, "hostile", "stdio", program(), "guard", "mcp", "--config", g.config, "--", "node", server, "stdio"))
	})
	serve := func(t *testing.T, transport, path string) string {
		t.Helper()
		cmd := exec.Command("node", server, transport)
		return "http://127.0.0.1:" + startAndRead(t, cmd, func() (io.ReadCloser, error) { return cmd.StdoutPipe() }) + path
	}
	t.Run("http", func(t *testing.T) {
		url := serve(t, "http", "/mcp")
		g := newMCPGate(t, "servers: {bad: {url: "+url+"}}")
		front := g.listen(t)
		check(t, g, runMCP(t, npm, "hostile", "http", url), runMCP(t, npm, "hostile", "http", front+"/bad"))
	})
	t.Run("sse", func(t *testing.T) {
		url := serve(t, "sse", "/sse")
		g := newMCPGate(t, "servers: {bad: {url: "+url+", transport: sse}}")
		front := g.listen(t)
		check(t, g, runMCP(t, npm, "hostile", "sse", url), runMCP(t, npm, "hostile", "sse", front+"/bad/sse"))
	})
	for name, args := range map[string][]string{"stdio to http": {"stdio"}, "stdio to sse": {"stdio"}, "http to sse": {"http"}, "sse to http": {"sse"}, "http to stdio": {"http"}, "sse to stdio": {"sse"}} {
		t.Run(name, func(t *testing.T) {
			text := fmt.Sprintf("servers: {bad: {command: [node, %q, stdio]}}", server)
			direct := []string{"stdio", "node", server, "stdio"}
			if !strings.HasSuffix(name, "stdio") {
				url := serve(t, strings.Fields(name)[2], "/"+strings.Fields(name)[2])
				direct = []string{strings.Fields(name)[2], url}
				text = "servers: {bad: {url: " + url + "}}"
				if strings.HasSuffix(name, "sse") {
					text = "servers: {bad: {url: " + url + ", transport: sse}}"
				}
			}
			g := newMCPGate(t, text)
			switch args[0] {
			case "stdio":
				args = append(args, program(), "guard", "mcp", "--config", g.config, "--server", "bad")
			case "http":
				args = append(args, g.listen(t)+"/bad")
			case "sse":
				args = append(args, g.listen(t)+"/bad/sse")
			}
			check(t, g, runMCP(t, npm, "hostile", direct...), runMCP(t, npm, "hostile", args...))
		})
	}
}

// TestMCPBaseline: an agent's client starts a gateway for each of two servers. What it usually does
// is no alarm; a mail after a file, each at a server of its own, and a file from elsewhere are.
func TestMCPBaseline(t *testing.T) {
	npm := mcpFolder(t)
	for name, rogue := range map[string]bool{"usual": false, "rogue": true} {
		t.Run(name, func(t *testing.T) {
			server := filepath.Join(npm, "mcp_server.mjs")
			g := newMCPGate(t, fmt.Sprintf("servers: {files: {command: [node, %q, stdio]}, mail: {command: [node, %q, stdio]}}\nbaseline: {learn: 120}\nshadowing: flag # both have the same tools", server, server))
			second, err := json.Marshal([]string{program(), "guard", "mcp", "--config", g.config, "--server", "mail"})
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("MCP_SECOND", string(second))
			t.Setenv("MCP_ROGUE", map[bool]string{true: "1"}[rogue])
			if said := runMCP(t, npm, "habit", "stdio", program(), "guard", "mcp", "--config", g.config, "--server", "files"); len(said) != 3 {
				t.Fatalf("%+v", said)
			}
			alarms := 0
			for _, k := range g.signals(t) {
				if k == "mcp.rogue-agent" {
					alarms++
				}
			}
			if want := map[bool]int{true: 2}[rogue]; alarms != want {
				text, _ := os.ReadFile(filepath.Join(g.state, "signals.jsonl"))
				t.Errorf("%d alarms, want %d\n%s", alarms, want, text)
			}
		})
	}
}

// TestMCPKilled: a gateway that is killed leaves no server behind, and its client gets an
// end.
func TestMCPKilled(t *testing.T) {
	npm := mcpFolder(t)
	g := newMCPGate(t, "")
	cmd := exec.Command(program(), "guard", "mcp", "--config", g.config, "--", "node", filepath.Join(npm, "mcp_server.mjs"), "stdio")
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
	r := bufio.NewReader(out)
	fmt.Fprintln(in, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, `"id":1`) {
		t.Fatalf("%s %v", line, err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Errorf("the client's pipe: %v", err)
	}
	_ = cmd.Wait() // it was killed
	for _, pid := range strings.Fields(string(children)) {
		if err := until(20*time.Second, func() error {
			if _, err := os.Stat("/proc/" + pid); err == nil {
				return fmt.Errorf("server %s lives on", pid)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}
