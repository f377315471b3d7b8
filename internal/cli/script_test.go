package cli_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/api"
	"bartizan/internal/cli"
	"bartizan/internal/lake"
	"bartizan/internal/lake/bucket/buckettest"
	"bartizan/internal/lake/query"
	"bartizan/internal/ocsf"
	"bartizan/internal/ocsf/ocsftest"
	"bartizan/internal/safe/porttest"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this test binary the bartizan that the scripts call, also as
// the decoys' process that a node starts from itself.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"fakemodel": func() { os.Exit(fakeModel()) },
		"bartizan": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(cli.Main(ctx, cli.Env{Version: "v0-script", Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}, os.Args[1:]))
		},
		"mcpserver": mcpServer,
	})
}

// mcpServer is a server for the gateway, whose tool describes itself as DESCRIPTION says.
func mcpServer() {
	s := sdk.NewServer(&sdk.Implementation{Name: "hello", Version: "1"}, nil)
	for _, name := range []string{"hello", "other"} {
		s.AddTool(&sdk.Tool{Name: name, Description: os.Getenv("DESCRIPTION"), InputSchema: json.RawMessage(`{"type":"object"}`)},
			func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
				return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: name}}}, nil
			})
	}
	if err := s.Run(context.Background(), &sdk.StdioTransport{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// minScripts is how many verbs' scripts there are at least.
const minScripts = 9

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) < minScripts {
		t.Fatalf("%d scripts (%v), want at least %d", len(files), err, minScripts)
	}
	s3 := ""
	if buckettest.Available() {
		s3 = buckettest.Start(t, "", "").Addr // one for all scripts; each writes below a prefix of its own
	}
	const each = 3
	var script atomic.Int64
	ports := porttest.Free(t, "tcp", each*len(files)) // at once, so that no two scripts have the same
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			from := int(script.Add(1)-1) * each
			for i, p := range ports[from : from+each] {
				e.Setenv("PORT"+strconv.Itoa(i+1), p)
			}
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("GORACE", os.Getenv("GORACE"))
			e.Setenv("S3", s3)
			e.Setenv("S3KEY", buckettest.AccessKey)
			e.Setenv("S3SECRET", buckettest.SecretKey)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "hunt":
				return query.Available(), nil
			case "bucket":
				return s3 != "", nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"makelake": makeLake, "treesum": treeSum,
			"ready": ready, "expand": expand, "get": get, "keys": keys, "pick": pick, "codes": codes, "signalled": signalled, "checked": checked, "damage": damage, "events": events, "written": written, "say": say, "live": live, "listed": listed, "during": during, "nowhere": nowhere,
		},
	})
}

// makelake DIR FILE writes what a file of JSON lines says into a lake.
func makeLake(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: makelake DIR FILE")
	}
	l, err := lake.Open(ts.MkAbs(args[0]), lake.Options{})
	ts.Check(err)
	var sum lake.Imported
	ts.Check(l.Import(context.Background(), args[1], strings.NewReader(ts.ReadFile(args[1])), &sum))
	ts.Check(l.Flush())
	if sum.BadLines > 0 {
		ts.Fatalf("%+v", sum)
	}
}

// treesum NAME DIR puts a hash of every name and byte below a folder into a variable; when it has a value already, the
// two must be the same.
func treeSum(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: treesum NAME DIR")
	}
	h := sha256.New()
	ts.Check(filepath.WalkDir(ts.MkAbs(args[1]), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintln(h, p, d.Type())
		if d.Type().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			h.Write(b)
		}
		return nil
	}))
	sum := hex.EncodeToString(h.Sum(nil))
	if old := ts.Getenv(args[0]); old != "" && old != sum {
		ts.Fatalf("%s has changed", args[1])
	}
	ts.Setenv(args[0], sum)
}

// ready DATA waits for the node with that data folder.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready DATA")
	}
	c := api.NewClient(ts.MkAbs(args[0]))
	defer c.Close()
	poll(ts, "the node to be ready", func() error {
		st, err := c.Status(context.Background())
		if err == nil && st.Decoys.PID == 0 {
			err = errors.New("no decoys yet")
		}
		return err
	})
}

func poll(ts *testscript.TestScript, what string, ask func() error) {
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("waiting for %s: %v", what, err)
		}
		<-tick.C
	}
}

// expand FILE… replaces $NAME in files by the script's variables.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: expand FILE…")
	}
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), func(v string) string { return ts.Getenv(v) })
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}

// codes N ARG… runs bartizan and checks its exit code.
func codes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: codes N ARG…")
	}
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec("bartizan", args[1:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("bartizan %v: %v", args[1:], err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("bartizan %v: exit code %d, want %s\nstdout: %s\nstderr: %s", args[1:], got, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// damage DIR flips a bit in the middle of the first Parquet file below it.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: damage DIR")
	}
	files, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*", "*", "*.parquet"))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("no Parquet file in %s", args[0])
	}
	b, err := os.ReadFile(files[0])
	ts.Check(err)
	b[len(b)/2] ^= 4
	ts.Check(os.WriteFile(files[0], b, 0o600))
}

// signalled DATA ADDRESS KIND waits for a signal.
func signalled(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: signalled DATA ADDRESS KIND")
	}
	c := api.NewClient(ts.MkAbs(args[0]))
	defer c.Close()
	poll(ts, "signal "+args[2], func() error {
		list, err := c.Signals(context.Background(), api.SignalQuery{Actor: args[1], Kind: args[2]})
		if err == nil && len(list) == 0 {
			err = errors.New("none yet")
		}
		return err
	})
}

// checked DATA CHECK TEXT waits until a check of the node's status says it.
func checked(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: checked DATA CHECK TEXT")
	}
	c := api.NewClient(ts.MkAbs(args[0]))
	defer c.Close()
	poll(ts, args[1]+" to say "+args[2], func() error {
		s, err := c.Status(context.Background())
		if err != nil {
			return err
		}
		for _, k := range s.Checks {
			if k.Name == args[1] && strings.Contains(k.Detail, args[2]) {
				return nil
			}
		}
		return fmt.Errorf("%+v", s.Checks)
	})
}

// get PORT PATH sends a request to a decoy on the loopback.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: get PORT PATH")
	}
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+args[0], 2*time.Second)
	if err == nil {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err = fmt.Fprintf(c, "GET %s HTTP/1.0\r\n\r\n", args[1]); err == nil {
			_, err = c.Read(make([]byte, 1))
		}
	}
	if (err != nil) != neg {
		ts.Fatalf("get %s: %v", args[1], err)
	}
}

// events FILE CLASS… waits until a file has an event of each class, and checks
// every line against the OCSF schema.
func events(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: events FILE CLASS…")
	}
	var lines []string
	poll(ts, "events in "+args[0], func() error {
		text := ts.ReadFile(args[0])
		lines = strings.Split(text[:max(strings.LastIndexByte(text, '\n'), 0)], "\n") // one may be half written
		for _, name := range args[1:] {
			c, ok := ocsf.ClassOf(name)
			if !ok {
				return fmt.Errorf("no class %s", name)
			}
			want := fmt.Sprintf(`"class_uid":%d,`, c.UID)
			if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, want) }) {
				return fmt.Errorf("no event of class %s in %d lines", name, len(lines))
			}
		}
		return nil
	})
	schema, err := ocsftest.Open(filepath.Join(ocsftest.Shared(), "data", "standards", "ocsf-schema.tar.gz"))
	if errors.Is(err, os.ErrNotExist) {
		ts.Logf("NOT CHECKED against the OCSF schema: %v", err)
		return
	}
	ts.Check(err)
	for _, l := range lines {
		if err := schema.Validate([]byte(l)); err != nil {
			ts.Fatalf("%s: not valid OCSF: %v\n%s", args[0], err, l)
		}
	}
}

// written FILE TEXT waits until a file has a text.
func written(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: written FILE TEXT")
	}
	poll(ts, args[1]+" in "+args[0], func() error {
		if text := ts.ReadFile(args[0]); !strings.Contains(text, args[1]) {
			return fmt.Errorf("not in %d bytes", len(text))
		}
		return nil
	})
}

// value follows a dotted path (numbers index lists) into the JSON that the last
// program printed.
func value(ts *testscript.TestScript, path string) any {
	var v any
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	d.UseNumber()
	ts.Check(d.Decode(&v))
	if path == "." {
		return v
	}
	for step := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[step]
			if !ok {
				ts.Fatalf("no %s in %v", step, x)
			}
			v = next
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(x) {
				ts.Fatalf("no element %s in a list of %d", step, len(x))
			}
			v = x[i]
		default:
			ts.Fatalf("%s: nothing below %v", step, v)
		}
	}
	return v
}

// keys PATH NAME… checks that the JSON printed last has these keys there.
func keys(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: keys PATH NAME…")
	}
	m, ok := value(ts, args[0]).(map[string]any)
	if !ok {
		ts.Fatalf("%s is no object", args[0])
	}
	for _, k := range args[1:] {
		if _, ok := m[k]; !ok {
			ts.Fatalf("%s has no key %s", args[0], k)
		}
	}
}

// pick NAME PATH puts a value of the JSON printed last into a variable.
func pick(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pick NAME PATH")
	}
	ts.Setenv(args[0], fmt.Sprint(value(ts, args[1])))
}
