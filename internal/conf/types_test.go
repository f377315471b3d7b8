package conf

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func logger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func TestDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "7d": 168 * time.Hour, "2w": 336 * time.Hour, "1d12h": 36 * time.Hour,
		"1.5h": 90 * time.Minute, "250ms": 250 * time.Millisecond, "0": 0, " 5m ": 5 * time.Minute,
	} {
		if got, err := ParseDuration(in); err != nil || got.D() != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "5", "-5s", "s", "5 s", "1y", "1..5s", "9999999999999w", "5s5"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("%q accepted as %v", in, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64Range(0, int64(100*365*24*time.Hour)).Draw(t, "d"))
		back, err := ParseDuration(d.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := back - d; diff < -1024 || diff > 1024 { // floats carry 53 bits
			t.Fatalf("%d -> %s -> %d", d, d, back)
		}
	})
}

func TestBytes(t *testing.T) {
	for in, want := range map[string]Bytes{
		"10MiB": 10 << 20, "64 KiB": 64 << 10, "1GB": 1e9, "1024": 1024, "1.5KiB": 1536, "7B": 7, "2mib": 2 << 20, "0": 0,
	} {
		if got, err := ParseBytes(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "MiB", "-1", "1.5B", "1XB", "99999999TiB", "1e3"} {
		if got, err := ParseBytes(in); err == nil {
			t.Errorf("%q accepted as %v", in, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		b := Bytes(rapid.Int64Range(0, 1<<52).Draw(t, "b"))
		if back, err := ParseBytes(b.String()); err != nil || back != b {
			t.Fatalf("%d -> %s -> %d, %v", b, b, back, err)
		}
	})
}

func TestDumpReadsBack(t *testing.T) {
	first, err := Decode("f", []byte(strings.Replace(good, "token: hunter2\n", "", 1)), defaults())
	if err != nil {
		t.Fatal(err)
	}
	first.Decoys, first.Svc = nil, nil // undecoded parts show as positions only
	out, err := Dump(first)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Decode("dump", out, node{})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if diff := cmp.Diff(first, second, cmp.AllowUnexported(node{}, Secret{}), cmp.Comparer(prefixEqual)); diff != "" {
		t.Errorf("%s\n%s", diff, out)
	}
}

func prefixEqual(a, b fmt.Stringer) bool { return a.String() == b.String() }

func TestDumpHidesUndecoded(t *testing.T) {
	got, err := Decode("f.yaml", []byte("decoys:\n  ssh: {password: hunter2}"), defaults())
	if err != nil {
		t.Fatal(err)
	}
	out, err := Dump(got)
	if err != nil {
		t.Fatal(err)
	}
	printed := string(out) + fmt.Sprintf("%v %+v %#v", got, got, got.Decoys["ssh"])
	if strings.Contains(printed, "hunter2") {
		t.Errorf("leaked: %s", printed)
	}
	if !strings.Contains(string(out), "ssh: <undecoded configuration at f.yaml:2>") {
		t.Errorf("position missing:\n%s", out)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"listen", "limits", "version"}
	for in, want := range map[string]string{"lissten": "listen", "LISTEN": "listen", "limit": "limits", "lsiten": "listen", "qqqqqqq": ""} {
		if got, _ := Nearest(in, known); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestSnake(t *testing.T) {
	for in, want := range map[string]string{"Version": "version", "MaxConns": "max_conns", "HTTPPort": "http_port", "ID": "id", "SSHKeyID": "ssh_key_id"} {
		if got := snake(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// FuzzDecode: no input panics, hangs or decodes into something that cannot
// be dumped; every refusal names the file.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(good))
	for _, s := range []string{"", "a", "- a\n- b", "a: &x [*x]", "a: {b: [c, {d: e}]}", "? a\n: b", "a: |\n  x\n", "%YAML 1.2\n---\na: b",
		"a:\n\t- b", "'", "\"\\x", "!!binary x", "<<: *a", "limits: {conns: 0x7f, idle: 1e9s}", "\xff\xfe", "a: b: c", "[[[[", "- - - -"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Decode("f", in, defaults())
		if err != nil {
			if !strings.Contains(err.Error(), "f:") {
				t.Errorf("no position: %v", err)
			}
			return
		}
		if _, err := Dump(got); err != nil {
			t.Errorf("dump: %v", err)
		}
	})
}

func TestLoadReadsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n.yaml")
	if err := os.WriteFile(path, []byte("name: x\nlimts: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path, defaults())
	if want := path + `:2: unknown key "limts" (nearest known: "limits")`; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
