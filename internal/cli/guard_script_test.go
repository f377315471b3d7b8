package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/api"

	"github.com/rogpeppe/go-internal/testscript"
)

// fakeModel is the program of that name: a server that answers as OpenAI's chat API
// does, with what the last message says after "repeat: ", else with a greeting. It
// stands where the provider is, and no further than what the scripts need.
func fakeModel() int {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Model    string `json:"model"`
			Stream   bool   `json:"stream"`
			Messages []struct {
				Content string `json:"content"`
			} `json:"messages"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Header.Get("Authorization") != "Bearer sk-provider" {
			http.Error(w, `{"error":{"message":"wrong key or body","type":"invalid_request_error","code":null,"param":null}}`, http.StatusUnauthorized)
			return
		}
		said := "hello from the model"
		if n := len(q.Messages); n > 0 {
			if _, rest, ok := strings.Cut(q.Messages[n-1].Content, "repeat: "); ok {
				said = rest
			}
		}
		if !q.Stream {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}`, q.Model, said)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for word := range strings.SplitAfterSeq(said, " ") {
			fmt.Fprintf(w, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":%q,\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":null}]}\n\n", q.Model, word)
		}
		fmt.Fprintf(w, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":%q,\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n", q.Model)
	})
	s := &http.Server{Addr: "127.0.0.1:" + os.Args[1], Handler: handler, ReadHeaderTimeout: time.Minute}
	fmt.Fprintln(os.Stderr, s.ListenAndServe())
	return 1
}

// live DATA KIND=N… FILE follows the event stream of a node from its beginning until it has had N
// events of each kind, and writes what came to the file.
func live(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: live DATA KIND=N… FILE")
	}
	want := map[string]int{}
	for _, a := range args[1 : len(args)-1] {
		kind, n, _ := strings.Cut(a, "=")
		k, err := strconv.Atoi(n)
		ts.Check(err)
		want[kind] = k
	}
	socket := filepath.Join(ts.MkAbs(args[0]), api.SocketName)
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer c.CloseIdleConnections()
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node/v1/events?types="+strings.Join(slices.Sorted(maps.Keys(want)), ","), nil)
	ts.Check(err)
	req.Header.Set("Last-Event-ID", "s0.d0.r0")
	resp, err := c.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	var got strings.Builder
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for last := ""; len(want) > 0; {
		if !lines.Scan() {
			ts.Fatalf("the events ended (%v); missing: %v; had:\n%s", lines.Err(), want, got.String())
		}
		got.WriteString(lines.Text() + "\n")
		if kind, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			last = kind
		} else if strings.HasPrefix(lines.Text(), "data: ") {
			if want[last]--; want[last] <= 0 {
				delete(want, last)
			}
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[len(args)-1]), []byte(got.String()), 0o600))
}

// during runs a program with a file as the beginning of its input, and while it waits for more another
// one again and again, until that says what is looked for. Then the input ends, and both must be fine.
func during(ts *testscript.TestScript, neg bool, args []string) {
	one := slices.Index(args, "--")
	two := len(args) - 1 - slices.Index(reversed(args), "--")
	if neg || one < 2 || two <= one+1 || two == len(args)-1 {
		ts.Fatalf("usage: during FILE PROGRAM ARG… -- PROGRAM ARG… -- PATTERN…")
	}
	program := func(args []string) *exec.Cmd {
		for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
			if name := filepath.Join(dir, args[0]); isFile(name) {
				cmd := exec.Command(name, args[1:]...)
				cmd.Dir = ts.MkAbs(".")
				for _, name := range []string{"PATH", "HOME", "TMPDIR", "DESCRIPTION"} {
					cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
				}
				return cmd
			}
		}
		ts.Fatalf("no program %s", args[0])
		return nil
	}
	cmd := program(args[1:one])
	in, err := cmd.StdinPipe()
	ts.Check(err)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	ts.Check(cmd.Start())
	defer func() {
		ts.Check(in.Close())
		if err := cmd.Wait(); err != nil {
			ts.Fatalf("%v: %v\n%s", args[1:one], err, errs.String())
		}
	}()
	_, err = io.WriteString(in, ts.ReadFile(args[0]))
	ts.Check(err)
	for deadline := time.Now().Add(20 * time.Second); ; {
		out, err := program(args[one+1 : two]).Output()
		if err == nil && !slices.ContainsFunc(args[two+1:], func(p string) bool { return !regexp.MustCompile(p).Match(out) }) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%v: %v\n%s", args[one+1:two], err, out)
		}
	}
}

func reversed(list []string) []string {
	out := slices.Clone(list)
	slices.Reverse(out)
	return out
}

func isFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}

// listed is say, again and again until it is refused; the log says after how long.
func listed(ts *testscript.TestScript, neg bool, args []string) {
	begin := time.Now()
	for {
		say(ts, neg, args)
		took := time.Since(begin)
		switch {
		case ts.Getenv("STATUS") == "403":
			ts.Logf("refused after %v", took.Round(time.Millisecond))
			return
		case took > 20*time.Second:
			ts.Fatalf("status %s after %v: %s", ts.Getenv("STATUS"), took, ts.Getenv("ANSWER"))
		}
	}
}

// nowhere DIR TEXT… looks through every file of a folder: none of the texts is there.
func nowhere(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: nowhere DIR TEXT…")
	}
	files := 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, s := range args[1:] {
			if bytes.Contains(b, []byte(s)) {
				return fmt.Errorf("%s has %q", path, s)
			}
		}
		return nil
	}))
	if files < 10 {
		ts.Fatalf("only %d files in %s", files, args[0])
	}
}

// say PORT PATH KEY BODY posts a body as a client of the gateway does, once it can be
// reached, and puts status and answer into the variables STATUS and ANSWER.
func say(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: say PORT PATH KEY BODY")
	}
	poll(ts, "an answer of "+args[0], func() error {
		req, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+args[0]+args[1], bytes.NewReader([]byte(args[3])))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+args[2])
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		ts.Setenv("STATUS", fmt.Sprint(resp.StatusCode))
		ts.Setenv("ANSWER", string(text))
		if resp.StatusCode == http.StatusBadGateway {
			return fmt.Errorf("%s", text) // the model is not up yet
		}
		return err
	})
}
