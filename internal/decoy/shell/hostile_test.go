package shell

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/decoy/shell/interp"
)

// hostile scripts try to make the emulation grow, hang or crash.
func hostile() map[string]string {
	deep := func(open, mid, end string, n int) string {
		return strings.Repeat(open, n) + mid + strings.Repeat(end, n)
	}
	return map[string]string{
		"fork bomb":            ":(){ :|:& };:",
		"fork bomb foreground": "f() { f | f; }; f",
		"recursion":            "f() { f; }; f",
		"recursion script":     "echo 'sh /tmp/r' > /tmp/r; sh /tmp/r",
		"recursion source":     "echo '. /tmp/r' > /tmp/r; . /tmp/r",
		"recursion eval":       "x='eval \"$x\"'; eval \"$x\"",
		"recursion alias":      "alias a=a; alias b='c'; alias c='b'; a; b",
		"busy loop":            "while true; do :; done",
		"busy until":           "until false; do :; done",
		"busy for":             "for ((;;)); do :; done",
		"busy background":      "while :; do :; done & while :; do :; done & echo hi",
		"doubling":             "a=x; while :; do a=$a$a; done",
		"doubling append":      "a=x; while :; do a+=$a; done",
		"doubling file":        "echo x > /tmp/a; while :; do cat /tmp/a /tmp/a > /tmp/b; cat /tmp/b /tmp/b > /tmp/a; done",
		"doubling printf":      "a=x; while :; do printf -v a '%s%s' \"$a\" \"$a\"; done",
		"doubling function":    "f() { g \"$@\" \"$@\"; }; g() { f \"$@\" \"$@\"; }; f a b",
		"doubling set":         "set -- a b c; while :; do set -- \"$@\" \"$@\"; done",
		"doubling array":       "a=(1 2); while :; do a+=(\"${a[@]}\"); done",
		"doubling sed":         "echo aaaaaaaa | sed 's/a/&&&&&&&&/g;s/a/&&&&&&&&/g;s/a/&&&&&&&&/g;s/a/&&&&&&&&/g;s/a/&&&&&&&&/g;s/a/&&&&&&&&/g;s/a/&&&&&&&&/g'",
		"doubling awk":         "awk 'BEGIN{s=\"x\";while(1)s=s s}'",
		"awk array":            "awk 'BEGIN{while(1)a[i++]=i}'",
		"awk loop":             "awk 'BEGIN{for(;;)i++}'",
		"yes file":             "yes > /tmp/f",
		"yes terminal":         "yes",
		"yes files":            "i=0; while :; do i=$((i+1)); yes > /tmp/f$i; done",
		"many files":           "i=0; while :; do i=$((i+1)); > /tmp/f$i; done",
		"many dirs":            "mkdir -p /tmp/" + strings.Repeat("d/", 1000),
		"many vars":            "i=0; while :; do i=$((i+1)); eval v$i=x; done",
		"many functions":       "i=0; while :; do i=$((i+1)); eval \"f$i() { :; }\"; done",
		"many aliases":         "i=0; while :; do i=$((i+1)); alias a$i=x; done",
		"zero":                 "cat /dev/zero",
		"zero to variable":     "a=$(cat /dev/zero); echo ${#a}",
		"urandom to file":      "cat /dev/urandom > /tmp/r",
		"dd":                   "dd if=/dev/zero of=/tmp/z bs=1G count=1000",
		"truncate":             "truncate -s 100000000000 /tmp/t; dd if=/dev/zero of=/tmp/x bs=1M seek=999999999",
		"seq":                  "seq 1 999999999999",
		"seq variable":         "for i in $(seq 1 99999999); do :; done",
		"braces":               "echo {1..999999999}",
		"braces product":       "echo {1..99}{1..99}{1..99}{1..99}{1..99}",
		"braces nested":        "echo " + strings.Repeat("{a,b}", 60),
		"glob":                 "echo /*/*/*/*/*/*/*/*",
		"glob stars":           "echo " + strings.Repeat("/*", 500),
		"glob pattern":         "touch " + strings.Repeat("a", 200) + "; echo " + strings.Repeat("*a", 60) + "b",
		"trim":                 "a=$(yes a | head -c 60000); echo ${a##*b*b*b*b*b*b*b}",
		"replace":              "a=$(yes a | head -c 60000); echo ${a//*b*b/x}",
		"case":                 "a=$(yes a | head -c 60000); case $a in *b*b*b*b*c) echo;; esac",
		"regex":                "[[ $(yes a | head -c 60000) =~ (a*)*(a*)*(a*)*b ]]",
		"regex size":           "echo a | grep -E '((((a{1000}){1000}){1000}){1000})'",
		"regex many":           "echo a | grep -E '" + strings.Repeat("(a{999})", 120) + "'",
		"printf width":         "printf '%999999999d' 1; printf '%.999999999f' 1; printf '%*d' 999999999 1",
		"nested substitution":  deep("$(echo ", "x", ")", 5000),
		"nested backticks":     "echo `echo \\`echo \\\\\\`echo x\\\\\\`\\``",
		"nested arithmetic":    "echo " + deep("$((", "1", "))", 3000),
		"nested arithmetic 2":  "echo " + deep("$((", "1", ") )", 2000),
		"nested parens":        "echo $((" + deep("(", "1", ")", 20000) + "))",
		"nested ternary":       "echo $((" + strings.Repeat("1?", 20000) + "1))",
		"nested unary":         "echo $((" + strings.Repeat("!", 60000) + "1))",
		"nested groups":        deep("{ ", ":", "; }", 5000),
		"nested subshells":     deep("( ", ":", " )", 5000),
		"nested quotes":        "echo " + deep("\"$(echo ", "x", ")\"", 3000),
		"nested params":        "echo " + deep("${a:-", "x", "}", 8000),
		"nested if":            deep("if :; then ", ":", "; fi", 3000),
		"elif chain":           "if false; then :; " + strings.Repeat("elif false; then :; ", 3000) + "fi",
		"nested case":          deep("case a in a) ", ":", ";; esac", 3000),
		"nested functions":     deep("f() { ", ":", "; }", 5000),
		"nested tests":         "[ " + strings.Repeat("! ", 15000) + "a ]",
		"test parens":          "test " + strings.Repeat("\\( ", 10000) + "a",
		"awk nesting":          "awk 'BEGIN{print " + deep("(", "1", ")", 20000) + "}'",
		"awk unary":            "awk 'BEGIN{print " + strings.Repeat("!", 50000) + "1}'",
		"sed many":             "echo a | sed '" + strings.Repeat("p;", 20000) + "'",
		"wide pipeline":        strings.Repeat("cat | ", 5000) + "cat",
		"many heredocs":        strings.Repeat("cat <<A; ", 3000),
		"many redirects":       "echo " + strings.Repeat("> /tmp/x ", 5000),
		"many words":           "echo " + strings.Repeat("a ", 30000),
		"many commands":        strings.Repeat("ls -laR / ; ", 3000),
		"many semicolons":      strings.Repeat(":;", 30000),
		"arith recursion":      "a=b; b=a; echo $((a)); x='x+x'; echo $((x))",
		"arith doubling":       "a='b+b'; b='c+c'; c='d+d'; d='e+e'; e='f+f'; f='g+g'; g='h+h'; h='i+i'; i='j+j'; j='a+a'; echo $((a))",
		"array index":          "a[999999999]=x; a[-5]=y",
		"symlink loop":         "cd /tmp; ln -s a b; ln -s b a; cat a; ln -s . dot; ls dot/dot/dot/dot/dot; find / -follow",
		"symlink growth":       "cd /tmp; ln -s x/x/x/x/x/x/x/x x; cat x",
		"copy into itself":     "cp -r / /tmp/copy; cp -r /tmp /tmp/t; mv /tmp /tmp/x",
		"copy tree":            "i=0; while :; do i=$((i+1)); cp -r /etc /tmp/e$i; done",
		"tar loop":             "cd /tmp; while :; do tar czf a.tgz /; tar xzf a.tgz; done",
		"gzip bomb":            "cat /dev/zero | head -c 8000000 | gzip > /tmp/b.gz; while :; do zcat /tmp/b.gz > /tmp/out; done",
		"base64 growth":        "echo a > /tmp/a; while :; do base64 /tmp/a > /tmp/b; base64 /tmp/b > /tmp/a; done",
		"xargs":                "yes | xargs -n1 echo; seq 100000 | xargs -n1 sh -c 'echo $0'",
		"find exec":            "find / -exec find / \\;",
		"ls recursive":         "while :; do ls -laR /; done",
		"grep recursive":       "while :; do grep -r . / ; done",
		"sort":                 "yes | sort; cat /dev/urandom | sort",
		"tail":                 "yes | tail -n 99999999",
		"tac":                  "yes | tac; seq 1 9999999 | tac",
		"read loop":            "while read x; do echo $x; done < /dev/zero",
		"long tokens":          "a" + strings.Repeat("b", 60000) + "=1; echo ${" + strings.Repeat("x", 60000) + "}",
		"long path":            "cat /" + strings.Repeat("a/", 30000),
		"history":              "while :; do history; done",
		"sleep":                "sleep 999999999; sleep 9e99; sleep inf",
		"useradd":              "i=0; while :; do i=$((i+1)); useradd u$i; done",
		"crontab":              "while :; do (crontab -l; crontab -l; echo x) | crontab -; done",
		"downloads":            "while :; do wget http://198.51.100.1/$RANDOM; done",
		"exec chains":          "while :; do exec 3>&1; done; exec 9</dev/zero; read x <&9",
		"trap and eval":        "eval " + strings.Repeat("eval ", 10000) + "echo",
		"tr set":               "echo a | tr '" + strings.Repeat("\\000-\\377", 500) + "' b",
		"cut list":             "yes aaaaaaaaaaaaaaaaaaa | cut -c" + strings.Repeat("1-99999,", 5000) + "1",
		"background many":      strings.Repeat("sleep 1 & ", 5000),
		"tee many":             "yes | tee " + strings.Repeat("/tmp/x ", 3000),
		"chown loop":           "while :; do chown -R nobody /; chmod -R 777 /; done",
	}
}

// cpuTime is what this process has used; unlike a clock it does not count how
// busy the machine is with other things.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestHostileScriptsAreBounded(t *testing.T) {
	cases := hostile()
	if len(cases) < 90 {
		t.Fatalf("only %d hostile scripts", len(cases))
	}
	for name, src := range cases {
		t.Run(name, func(t *testing.T) {
			s, rec := testShell(t, interp.Limits{})
			s.Login = true
			var out counter
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := cpuTime(t)
			s.Run(context.Background(), src, nil, &out, &out)
			took := cpuTime(t) - start
			runtime.ReadMemStats(&after)
			t.Logf("%s, %d MB allocated, %d steps", took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20, s.Steps)
			if took > 3*time.Second {
				t.Errorf("took %s of CPU", took)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 600<<20 {
				t.Errorf("allocated %d MB in total", got>>20)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
				t.Errorf("keeps %d MB", grown>>20)
			}
			if out.n > s.Limits.Output+1024 {
				t.Errorf("printed %d bytes", out.n)
			}
			if s.Fs.Bytes > s.Limits.FSBytes || s.Fs.Files > s.Limits.Files {
				t.Errorf("files: %d bytes in %d", s.Fs.Bytes, s.Fs.Files)
			}
			if len(rec.commands) > s.Limits.Events || len(rec.downloads) > s.Limits.Events || len(rec.files) > s.Limits.Events {
				t.Errorf("events: %d %d %d", len(rec.commands), len(rec.downloads), len(rec.files))
			}
			if got, code := run(s, "echo alive"); got != "alive\n" || code != 0 {
				t.Errorf("afterwards the shell says %q (%d)", got, code)
			}
			runtime.KeepAlive(s)
		})
	}
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

func TestLongLineIsRefused(t *testing.T) {
	s, rec := testShell(t, interp.Limits{})
	line := "echo " + strings.Repeat("a", 10<<20)
	var out counter
	start := time.Now()
	code, _ := s.Run(context.Background(), line, nil, &out, &out)
	if code != 126 || out.n > 200 || time.Since(start) > time.Second {
		t.Errorf("10 MB line: code %d, %d bytes out, %s", code, out.n, time.Since(start))
	}
	if len(rec.commands) != 1 || len(rec.commands[0]) > s.Limits.EventBytes {
		t.Errorf("recorded %d commands", len(rec.commands))
	}
	in := io.MultiReader(strings.NewReader(line+"\r"), strings.NewReader("exit\r"))
	if err := s.Interactive(context.Background(), rw{in, io.Discard}, true); err != nil {
		t.Errorf("interactive: %v", err)
	}
}

func TestSessionOutputEnds(t *testing.T) {
	s, _ := testShell(t, interp.Limits{SessionOutput: 10_000})
	var out bytes.Buffer
	err := s.Interactive(context.Background(), rw{strings.NewReader(strings.Repeat("ls -laR /\r", 1000)), &out}, true)
	if err != nil || out.Len() > 20_000 {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
}

func TestCancelEndsCommand(t *testing.T) {
	s, _ := testShell(t, interp.Limits{Steps: 1 << 40, Time: time.Hour})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if code, _ := s.Run(ctx, "while :; do :; done", nil, io.Discard, io.Discard); code != 137 {
		t.Errorf("code %d", code)
	}
	s, _ = testShell(t, interp.Limits{Steps: 1 << 40, Time: 50 * time.Millisecond})
	if code, _ := s.Run(context.Background(), "while :; do :; done", nil, io.Discard, io.Discard); code != 137 {
		t.Errorf("time limit: code %d", code)
	}
}
