package shell

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
)

// FuzzRun feeds whole sessions to the parser, the interpreter and all
// commands: nothing may panic, hang, or outgrow its limits.
func FuzzRun(f *testing.F) {
	raw, err := os.ReadFile("testdata/snippets.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, l := range strings.Split(string(raw), "\n") {
		f.Add(strings.ReplaceAll(l, "@NL", "\n"))
	}
	for _, text := range archive(f, "testdata/dialogues.txtar") {
		var in []string
		for _, l := range strings.Split(text, "\n") {
			if c, ok := strings.CutPrefix(l, "$ "); ok {
				in = append(in, c)
			}
		}
		f.Add(strings.Join(in, "\n"))
	}
	for _, src := range hostile() {
		if len(src) < 4096 {
			f.Add(src)
		}
	}
	limits := interp.Limits{Steps: 20_000, Output: 64 << 10, FSBytes: 1 << 20, FileBytes: 512 << 10, Files: 100, Forks: 64, Time: 2 * time.Second}
	f.Fuzz(func(t *testing.T, src string) {
		s, _ := testShell(t, limits)
		var out counter
		start := cpuTime(t)
		s.Run(context.Background(), src, strings.NewReader(src), &out, &out)
		s.Run(context.Background(), "echo a; ls; cat /tmp/*", nil, &out, &out)
		if took := cpuTime(t) - start; took > 5*time.Second {
			t.Errorf("took %s", took)
		}
		if s.Fs.Bytes > s.Limits.FSBytes || s.Fs.Files > s.Limits.Files || out.n > 2*s.Limits.Output+1024 {
			t.Errorf("grew: %d bytes, %d files, %d printed", s.Fs.Bytes, s.Fs.Files, out.n)
		}
	})
}

// FuzzInteractive feeds raw terminal bytes to the line editor.
func FuzzInteractive(f *testing.F) {
	for _, k := range []string{"ls\r", "\x1b[A\x1b[B\x1b[C\x1b[D\x7f\x7f", "cat\rhello\r\x04\x04", "echo 'a\rb'\r", "pa\t\r", "abc\x15\x17\x01x\x05y\x0b\r\n", "ü\x7f\x1b[3~", "\x03\x04", "cat <<E\ra\rE\r", "passwd\rx\rx\r"} {
		f.Add([]byte(k))
	}
	limits := interp.Limits{Steps: 20_000, Output: 64 << 10, SessionOutput: 256 << 10, Time: 2 * time.Second}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 4096 {
			return
		}
		for _, pty := range []bool{true, false} {
			s, _ := testShell(t, limits)
			start := cpuTime(t)
			s.Interactive(context.Background(), rw{bytes.NewReader(in), io.Discard}, pty)
			if took := cpuTime(t) - start; took > 10*time.Second {
				t.Errorf("took %s", took)
			}
		}
	})
}

// FuzzArith evaluates expressions on their own.
func FuzzArith(f *testing.F) {
	for _, e := range []string{"1+2*3", "a=b=3", "x++ + --y", "1?2:3", "0x1f|010", "2**63", "1/0", "((((1", "16#ff", "a,b", "!~-+1", "1<<99"} {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > 4096 {
			return
		}
		vars := map[string]string{"a": "a+1", "b": "3"}
		a := &syntax.Arith{Src: src, Get: func(n string) string { return vars[n] }, Set: func(n, v string) error { vars[interp.Clip(n, 8)] = v; return nil }}
		a.Eval()
	})
}
