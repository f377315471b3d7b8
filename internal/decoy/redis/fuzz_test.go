package redis

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decoy/decoytest"
)

// seeds are what the dialogues send.
func seeds(f *testing.F) (out [][]byte) {
	f.Helper()
	text, err := os.ReadFile("testdata/dialogues.txtar")
	if err != nil {
		f.Fatal(err)
	}
	var one bytes.Buffer
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "-- "):
			out = append(out, bytes.Clone(one.Bytes()))
			one.Reset()
		case strings.HasPrefix(line, "> "):
			one.WriteString(line[2:] + "\r\n")
		case strings.HasPrefix(line, ">= "):
			s, err := strconv.Unquote(line[3:])
			if err != nil {
				f.Fatal(err)
			}
			one.WriteString(s)
		}
	}
	if len(out) < 20 {
		f.Fatalf("only %d seeds", len(out))
	}
	return out
}

// FuzzVisit sends bytes as a visitor would, through the real runner: nothing
// may panic, count as our mistake, or keep the visit from ending; observations
// are checked by the rig's sink.
func FuzzVisit(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	limits := decoytest.Limits()
	limits.Idle = time.Second
	rig := decoytest.Start(f, build(nil)(f), decoytest.Persona(), limits)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := net.Dial("tcp", rig.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		defer rig.Sink.Forget()
		_ = c.SetDeadline(time.Now().Add(decoytest.Patience))
		go func() { // ends when the connection is closed at the latest
			_, _ = c.Write(data) // the decoy may hang up in the middle
			_ = c.(*net.TCPConn).CloseWrite()
		}()
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the visit does not end")
		}
		if st := rig.Runner.Stats(); st.Panics+st.Errors > 0 {
			t.Fatalf("%+v", st)
		}
	})
}

func FuzzWords(f *testing.F) {
	for _, s := range []string{"SET a b", `SET a "b\x41\n" 'it\'s'`, `"`, `'a'b`, `a"b"`, "\x00 a", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		list, err := words(line)
		if err != nil {
			return
		}
		total := 0
		for _, w := range list {
			total += len(w)
		}
		if total > len(line) {
			t.Errorf("%d bytes of words from %d", total, len(line))
		}
		// Words without anything special are those of strings.Fields.
		if !strings.ContainsAny(line, "\"'\\") && len(list) < maxWordsKept {
			want := strings.FieldsFunc(line, func(r rune) bool { return r < 0x80 && space(byte(r)) })
			if strings.Join(list, "|") != strings.Join(want, "|") {
				t.Errorf("%q is split into %q, want %q", line, list, want)
			}
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("*a?[b-d]", "xxaqc")
	f.Add(`\*[^a]`, "*b")
	f.Add("[", "[")
	f.Add("a[", "a")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		got := match(pattern, s)
		if !strings.ContainsAny(pattern, `*?[\`) && len(pattern) < maxGlob && len(s) < maxGlob && got != (pattern == s) {
			t.Errorf("match(%q, %q) = %v", pattern, s, got)
		}
		if !strings.ContainsAny(pattern, `[\`) && len(pattern) < maxGlob-2 && got && !match("*"+pattern+"*", s) {
			t.Errorf("%q matches %q, with stars around it does not", pattern, s)
		}
	})
}
