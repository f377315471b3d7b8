package exec

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/enforce"
	"bartizan/internal/enforce/enforcetest"
	"bartizan/internal/model"
)

// device is a folder with one file per prefix, and a program that makes and
// removes them and writes down every run.
type device struct {
	dir  string
	conf Config
}

const script = `#!/bin/sh
dir=$1 change=$2 prefix=$3 code=0
[ "$change" = "$BARTIZAN_CHANGE" ] && [ "$prefix" = "$BARTIZAN_PREFIX" ] || exit 99
read -r input
[ -e "$dir/fail" ] && code=$(cat "$dir/fail")
if [ "$code" = 0 ]; then
	name=$(echo "$prefix" | tr / _)
	if [ "$change" = add ]; then echo "$input" > "$dir/held/$name"; else rm -f "$dir/held/$name"; fi
fi
echo "$change $prefix" >> "$dir/runs"
[ "$code" = 0 ] || echo "device said no"
exit "$code"
`

func newDevice(t testing.TB) *device {
	t.Helper()
	d := &device{dir: t.TempDir(), conf: Default()}
	program := filepath.Join(d.dir, "program")
	for _, err := range []error{
		os.Mkdir(filepath.Join(d.dir, "held"), 0o700), os.WriteFile(filepath.Join(d.dir, "foreign"), []byte("not yours\n"), 0o600),
		os.WriteFile(program, []byte(script), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d.conf.Program = []string{program, d.dir, "{change}", "{prefix}"}
	d.conf.Dir = filepath.Join(d.dir, "state")
	return d
}

func (d *device) open(t testing.TB) enforce.Enforcer {
	t.Helper()
	e, err := New(d.conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.(enforce.Closer).Close() })
	return e
}

func (d *device) holds(t testing.TB, a netip.Addr) bool {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(d.dir, "held"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		p, err := netip.ParsePrefix(strings.ReplaceAll(f.Name(), "_", "/"))
		if err != nil {
			t.Fatal(err)
		}
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func (d *device) runs(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.dir, "runs"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func (d *device) fail(t testing.TB, code int) {
	t.Helper()
	path := filepath.Join(d.dir, "fail")
	err := os.WriteFile(path, fmt.Append(nil, code), 0o600)
	if code == 0 {
		err = os.Remove(path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	enforcetest.Run(t, func(t *testing.T) enforcetest.Device {
		d := newDevice(t)
		return enforcetest.Device{
			Open: func(t testing.TB, never []netip.Prefix) enforce.Enforcer {
				d.conf.Limits.Never = never
				return d.open(t)
			},
			Holds: d.holds,
			Foreign: func(t testing.TB) string {
				b, err := os.ReadFile(filepath.Join(d.dir, "foreign"))
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			},
			Huge: 150,
		}
	})
}

type receipts map[model.ULID][]string

func (r receipts) take(rc model.Receipt) {
	r[rc.Decision] = append(r[rc.Decision], string(rc.Status)+" "+rc.Detail)
}

func block(n int, prefix string) enforce.Order {
	return enforcetest.Order(n, prefix, model.Block, time.Hour)
}

// After a crash nothing that was done is done again, what ended is undone, and
// what was begun but not finished is finished or undone.
func TestRestartRepeatsNothing(t *testing.T) {
	d := newDevice(t)
	b := enforce.NewBook()
	b.Set(block(1, "203.0.113.1/32"))
	b.Set(block(2, "203.0.113.2/32"))
	if err := d.open(t).Apply(t.Context(), b.Snapshot(), receipts{}.take); err != nil {
		t.Fatal(err)
	}
	b.Delete(enforcetest.ID(2))
	got := receipts{}
	if err := d.open(t).Apply(t.Context(), b.Snapshot(), got.take); err != nil {
		t.Fatal(err)
	}
	if runs := fmt.Sprint(d.runs(t)); runs != "[add 203.0.113.1/32 add 203.0.113.2/32 remove 203.0.113.2/32]" &&
		runs != "[add 203.0.113.2/32 add 203.0.113.1/32 remove 203.0.113.2/32]" {
		t.Errorf("runs %s", runs)
	}
	if fmt.Sprint(got[enforcetest.ID(1)]) != "[applied ]" {
		t.Errorf("receipts after restart: %v", got)
	}
	// The crash came between the run and its note: the last line is cut off.
	path := filepath.Join(d.conf.Dir, journalName)
	text := `{"what":"begin","change":"add","prefix":"203.0.113.3/32","action":"block","until":"2030-01-01T00:00:00Z","seconds":9,"decision":""}` + "\n" + `{"what":"do`
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := d.open(t).Apply(t.Context(), b.Snapshot(), got.take); err != nil {
		t.Fatal(err)
	}
	if runs := d.runs(t); len(runs) != 4 || runs[3] != "remove 203.0.113.3/32" {
		t.Errorf("what was begun and is not wanted is not undone: %v", runs)
	}
}

func TestDamagedJournalIsAnErrorAndNotEmpty(t *testing.T) {
	d := newDevice(t)
	if err := os.MkdirAll(d.conf.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.conf.Dir, journalName), []byte("garbage\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := d.open(t).Apply(t.Context(), enforce.NewBook().Snapshot(), receipts{}.take)
	if err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("error %v, want one that names the line", err)
	}
}

func TestExitCodes(t *testing.T) {
	d := newDevice(t)
	e := d.open(t)
	b := enforce.NewBook()
	b.Set(block(1, "203.0.113.1/32"))
	got := receipts{}
	d.fail(t, 1)
	err := e.Apply(t.Context(), b.Snapshot(), got.take)
	if err == nil || !strings.Contains(err.Error(), "device said no") || len(got) != 0 {
		t.Errorf("exit code 1: error %v, receipts %v; want an error with what the program said, to be tried again", err, got)
	}
	d.fail(t, 0)
	if err := e.Apply(t.Context(), b.Snapshot(), got.take); err != nil || fmt.Sprint(got[enforcetest.ID(1)]) != "[applied ]" {
		t.Errorf("second try: %v, receipts %v", err, got)
	}
	d.fail(t, 65)
	b.Set(block(2, "203.0.113.2/32"))
	if err := e.Apply(t.Context(), b.Snapshot(), got.take); err != nil {
		t.Error(err)
	}
	if r := got[enforcetest.ID(2)]; len(r) != 1 || !strings.HasPrefix(r[0], "refused ") || !strings.Contains(r[0], "device said no") {
		t.Errorf("exit code 65: receipts %q, want refused with the reason", r)
	}
	before := len(d.runs(t))
	if err := e.Apply(t.Context(), b.Snapshot(), got.take); err != nil || len(d.runs(t)) != before {
		t.Errorf("what was refused is tried again: %v, %d runs", err, len(d.runs(t))-before)
	}
}

// A prefix two decisions want stays until both have ended.
func TestSharedPrefix(t *testing.T) {
	d := newDevice(t)
	e := d.open(t)
	b := enforce.NewBook()
	b.Set(enforcetest.Order(1, "203.0.113.1/32", model.Throttle, time.Hour))
	b.Set(enforcetest.Order(2, "203.0.113.1/32", model.Block, time.Minute))
	apply := func() {
		t.Helper()
		if err := e.Apply(t.Context(), b.Snapshot(), receipts{}.take); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	read := func() (c call) {
		text, err := os.ReadFile(filepath.Join(d.dir, "held", "203.0.113.1_32"))
		if err == nil {
			err = json.Unmarshal(text, &c)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := read(); c.Action != model.Block || c.Seconds < 3500 || c.Change != "add" || c.Prefix.String() != "203.0.113.1/32" {
		t.Errorf("the program read %+v; want the strongest action until the last end", c)
	}
	b.Delete(enforcetest.ID(2))
	apply()
	if c := read(); c.Action != model.Throttle || c.Decision != enforcetest.ID(1) {
		t.Errorf("after the block ended the program read %+v, want throttle", c)
	}
	if runs := d.runs(t); len(runs) != 2 || runs[1] != "add 203.0.113.1/32" {
		t.Errorf("runs %v", runs)
	}
}

// A program that hangs, with a child that holds its output open, is ended.
func TestTimeoutKillsTheWholeGroup(t *testing.T) {
	d := newDevice(t)
	program := filepath.Join(d.dir, "hang")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nsleep 60 & echo $! > '"+d.dir+"/pid'\nwait\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.conf.Program, d.conf.Timeout = []string{program}, 3*time.Second // the shell has long begun by then, on a busy machine too
	b := enforce.NewBook()
	b.Set(block(1, "203.0.113.1/32"))
	start := time.Now()
	err := d.open(t).Apply(t.Context(), b.Snapshot(), receipts{}.take)
	if err == nil || time.Since(start) > 30*time.Second { // the child holds on for 60
		t.Fatalf("error %v after %s", err, time.Since(start))
	}
	pid, err := os.ReadFile(filepath.Join(d.dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	enforcetest.Until(t, "the child is gone", 20*time.Second, func() bool {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestCancelStopsRunning(t *testing.T) {
	d := newDevice(t)
	e := d.open(t)
	b := enforce.NewBook()
	for n := range 400 {
		b.Set(block(n, fmt.Sprintf("10.0.%d.%d/32", n/250, n%250)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	got := receipts{}
	if err := e.Apply(ctx, b.Snapshot(), got.take); err == nil || len(got) >= 400 {
		t.Fatalf("error %v, %d receipts; want it to stop half way", err, len(got))
	}
	if runs := len(d.runs(t)); runs < len(got) {
		t.Errorf("%d receipts for %d runs", len(got), runs)
	}
}

// No shell anywhere: what a shell would act on arrives as it is.
func TestArgumentsAreNotInterpreted(t *testing.T) {
	d := newDevice(t)
	program := filepath.Join(d.dir, "show")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" > '"+d.dir+"/args'\nenv > '"+d.dir+"/env'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SECRET_OF_OURS", "hunter2")
	d.conf.Program = []string{program, "$(touch x); {prefix} *", "--{action}/{family}/{bits}", "{address}"}
	b := enforce.NewBook()
	b.Set(block(1, "2001:db8:1::/64"))
	if err := d.open(t).Apply(t.Context(), b.Snapshot(), receipts{}.take); err != nil {
		t.Fatal(err)
	}
	args, err := os.ReadFile(filepath.Join(d.dir, "args"))
	if want := "$(touch x); 2001:db8:1::/64 *\n--block/ipv6/64\n2001:db8:1::\n"; err != nil || string(args) != want {
		t.Errorf("arguments %q, %v; want %q", args, err, want)
	}
	env, err := os.ReadFile(filepath.Join(d.dir, "env"))
	if err != nil || strings.Contains(string(env), "hunter2") || !strings.Contains(string(env), "BARTIZAN_PREFIX=2001:db8:1::/64") {
		t.Errorf("environment %q, %v", env, err)
	}
}

func TestConfigMistakes(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"absolute path":       func(c *Config) { c.Program = []string{"block"} },
		"{prefx}":             func(c *Config) { c.Program = []string{"/bin/true", "{prefx}"} },
		"must name a program": func(c *Config) { c.Program = nil },
		"timeout":             func(c *Config) { c.Timeout = 0 },
		"parallel":            func(c *Config) { c.Parallel = 0 },
		"refuse code":         func(c *Config) { c.RefuseCodes = []int{0} },
		"widest_v4":           func(c *Config) { c.Limits.Widest4 = 0 },
		"dir":                 func(c *Config) { c.Dir = "" },
	} {
		c := Default()
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one about %s", err, want)
		}
	}
	if _, err := New(Default()); err != nil {
		t.Error(err)
	}
	c := Default()
	c.Program, c.Dir = []string{"/does/not/exist"}, t.TempDir()
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	b := enforce.NewBook()
	b.Set(block(1, "203.0.113.1/32"))
	if err := e.Apply(t.Context(), b.Snapshot(), receipts{}.take); err == nil || !strings.Contains(err.Error(), "must exist and be executable") {
		t.Errorf("error %v, want what to do about a missing program", err)
	}
}

func FuzzReplay(f *testing.F) {
	f.Add([]byte(`{"what":"begin","change":"add","prefix":"203.0.113.3/32","action":"block","until":"2030-01-01T00:00:00Z","seconds":9,"decision":""}` + "\n"))
	f.Add([]byte("{\"what\":\"done\",\"change\":\"remove\",\"prefix\":\"::/0\"}\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := &journal{held: make(map[netip.Prefix]holding)}
		if err := j.replay(data); err == nil && len(j.held) > j.lines {
			t.Errorf("%d prefixes of %d lines", len(j.held), j.lines)
		}
	})
}
