package conf

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jsonx "github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

type limits struct {
	Conns int32    `yaml:"conns"`
	Idle  Duration `yaml:"idle"`
	Size  Bytes    `yaml:"size"`
	Rate  float64  `yaml:"rate"`
}

func (l limits) Validate() error {
	if l.Conns < 0 {
		return errors.New("conns must not be negative")
	}
	return nil
}

type instance struct {
	Listen  []string `yaml:"listen"`
	Enabled bool     `yaml:"enabled"`
	Own     Raw      `yaml:",rest"`
}

type common struct {
	Name string `yaml:"name"`
}

type node struct {
	common  `yaml:",inline"`
	Limits  limits              `yaml:"limits"`
	Pointer *limits             `yaml:"pointer"`
	Token   Secret              `yaml:"token"`
	Never   []netip.Prefix      `yaml:"never"`
	Decoys  map[string]Raw      `yaml:"decoys"`
	Svc     map[string]instance `yaml:"svc"`
	Labels  map[string]string   `yaml:"labels"`
	HTTPUrl string              // untagged on purpose: http_url
	Wait    time.Duration       `yaml:"wait"`
	Hidden  string              `yaml:"-"`
}

type ssh struct {
	Listen  string `yaml:"listen"`
	Version string `yaml:"version"`
}

func defaults() node {
	return node{
		common: common{"node"}, Limits: limits{Conns: 10, Idle: Duration(time.Minute)},
		Labels: map[string]string{"a": "1"}, Svc: map[string]instance{"x": {Listen: []string{":1"}}},
	}
}

const good = `
name: turret
limits: {conns: 5, size: 10MiB, rate: 2}
pointer:
  idle: 7d
token: hunter2
never: [192.0.2.0/24, "2001:db8::/32"]
labels:
  b: "2"
http_url: http://x
wait: 1m30s
decoys:
  ssh:
    listen: ":22"
  redis:
svc:
  x:
    enabled: true
    version: "7"
`

func TestDecodeOverDefaults(t *testing.T) {
	got, err := Decode("n.yaml", []byte(good), defaults())
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "turret" || got.HTTPUrl != "http://x" || got.Wait != 90*time.Second {
		t.Errorf("scalars: %+v", got)
	}
	if want := (limits{Conns: 5, Idle: Duration(time.Minute), Size: 10 << 20, Rate: 2}); got.Limits != want {
		t.Errorf("limits %+v, want %+v", got.Limits, want)
	}
	if got.Pointer == nil || got.Pointer.Idle.D() != 7*24*time.Hour {
		t.Errorf("pointer %+v", got.Pointer)
	}
	if got.Token.Reveal() != "hunter2" {
		t.Error("secret not read")
	}
	if len(got.Never) != 2 || got.Never[0] != netip.MustParsePrefix("192.0.2.0/24") {
		t.Errorf("never %v", got.Never)
	}
	if diff := cmp.Diff(map[string]string{"b": "2"}, got.Labels); diff != "" {
		t.Errorf("a map is replaced as a whole: %s", diff)
	}
	if r, ok := got.Decoys["redis"]; !ok || r != nil {
		t.Errorf("an empty entry is a present nil Raw, got %v %v", r, ok)
	}
	s := ssh{Version: "9"}
	if err := got.Decoys["ssh"].Into(&s); err != nil || s != (ssh{":22", "9"}) {
		t.Errorf("raw: %+v, %v", s, err)
	}
	x := got.Svc["x"]
	if !x.Enabled || len(x.Listen) != 1 || x.Own == nil {
		t.Fatalf("an entry starts from the default of its name: %+v", x)
	}
	if err := x.Own.Into(&s); err != nil || s.Version != "7" {
		t.Errorf("rest: %+v, %v", s, err)
	}
}

func TestDecodeMistakes(t *testing.T) {
	cases := []struct{ name, in, want string }{
		{"unknown key", "limits:\n  cons: 1", `f:2: unknown key "cons" in "limits" (nearest known: "conns")`},
		{"unknown at top", "zzzzzzzz: 1", `f:1: unknown key "zzzzzzzz" (known: decoys, http_url, labels, limits, name, never, pointer, svc, token, wait)`},
		{"in raw", "decoys:\n  ssh:\n    version: x\n    lissten: x", `f:4: unknown key "lissten" in "decoys.ssh" (nearest known: "listen")`},
		{"text for number", "limits:\n  conns: many", `f:2: "limits.conns" must be a whole number, found the text "many"`},
		{"overflow", "limits: {conns: 3000000000}", `f:1: "limits.conns" must be a whole number from -2147483648 to 2147483647, found the number 3000000000`},
		{"float for int", "limits: {conns: 1.5}", `f:1: "limits.conns" must be a whole number, found the number 1.5`},
		{"number for text", "\nname: 7.10", `f:2: "name" must be text (write it in quotes: "7.10"), found the number 7.10`},
		{"list for mapping", "limits: [1]", `f:1: "limits" must be a mapping (key: value), found a list`},
		{"text for list", "never: 192.0.2.0/24", `f:1: "never" must be a list, found the text "192.0.2.0/24"`},
		{"list at top", "- 1", `f:1: the file must be a mapping (key: value), found a list`},
		{"bad prefix", "never:\n- 192.0.2.0/24\n- nonsense", `f:3: "never[1]": netip.ParsePrefix("nonsense"): no '/'`},
		{"empty entry", "never:\n- 192.0.2.0/24\n-", `f:3: "never[1]" is empty: give a value or remove the entry`},
		{"bare duration", "limits: {idle: 5}", `f:1: "limits.idle": "5" is not a duration: write a number with a unit, such as 90s, 15m, 12h or 7d`},
		{"duplicate", "name: a\nlabels:\n  x: a\n  x: b", `f:4: duplicate key "x" in "labels": it is already set in line 3`},
		{"duplicate in raw", "decoys:\n  ssh: {a: 1, a: 2}", `f:2: duplicate key "a" in "decoys.ssh": it is already set in line 2`},
		{"anchor", "name: &a x", `f:1: anchors, aliases and merge keys are not supported: write the value out in "name"`},
		{"alias", "labels: {a: &a x, b: *a}", `anchors, aliases and merge keys are not supported: write the value out in "labels.b"`},
		{"merge", "limits:\n  <<: {conns: 1}", `f:2: anchors, aliases and merge keys are not supported: write the value out in "limits"`},
		{"tag", "name: !!str x", `f:1: the tag !!str is not supported: remove it in "name"`},
		{"two documents", "name: x\n---\nname: y", "more than one document"},
		{"syntax", "name: [x", "f:1: not valid YAML:"},
		{"validate", "name: x\nlimits:\n  conns: -1", `f:2: "limits": conns must not be negative`},
		{"hidden field", "hidden: x", `f:1: unknown key "hidden"`},
		{"secret number", "token: 123456", `f:1: "token" must be text in quotes, or file:`},
		{"placeholder", "token: <secret>", `f:1: "token": the placeholder <secret> is not a secret`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := Decode("f", []byte(c.in), defaults())
			if err == nil {
				err = got.Decoys["ssh"].Into(&ssh{})
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got  %v\nwant %s", err, c.want)
			}
			var at *Error
			if !errors.As(err, &at) || at.File != "f" {
				t.Errorf("no position in %#v", err)
			}
		})
	}
}

func TestAllMistakesAreReported(t *testing.T) {
	_, err := Decode("f", []byte("nam: x\nlimits:\n  conns: x\n  idel: 1s\n"), defaults())
	if n := strings.Count(fmt.Sprint(err), "f:"); n != 3 {
		t.Errorf("%d of 3 mistakes reported: %v", n, err)
	}
}

func TestRestSuggestsTheOuterKeys(t *testing.T) {
	got, err := Decode("f", []byte("svc:\n  x:\n    lissten: [a]\n"), defaults())
	if err != nil {
		t.Fatal(err)
	}
	err = got.Svc["x"].Own.Into(&struct{ Version string }{})
	if want := `f:3: unknown key "lissten" in "svc.x" (nearest known: "listen")`; fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestDefaultsAreNotChanged(t *testing.T) {
	def := defaults()
	def.Pointer = &limits{Conns: 1}
	if _, err := Decode("f", []byte("pointer: {conns: 7}\nlabels: {q: r}\nsvc: {x: {listen: [a]}}"), def); err != nil {
		t.Fatal(err)
	}
	if def.Pointer.Conns != 1 || def.Labels["q"] != "" || def.Svc["x"].Listen[0] != ":1" {
		t.Errorf("decoding wrote into the defaults: %+v %+v", def.Pointer, def)
	}
}

func TestEmptyMeansDefaults(t *testing.T) {
	for _, in := range []string{"", "\n", "# only words\n", "---\n", "limits:\nname:\n"} {
		got, err := Decode("f", []byte(in), defaults())
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		if diff := cmp.Diff(defaults(), got, cmp.AllowUnexported(node{}, Secret{})); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
	var raw Raw
	bad := limits{Conns: -1}
	if err := raw.Into(&bad); err == nil {
		t.Error("nil Raw skips Validate of the defaults")
	}
}

func TestHugeAndDeepAreRefused(t *testing.T) {
	for name, in := range map[string]string{
		"flow":    "a: " + strings.Repeat("[", 200000),
		"entries": strings.Repeat("- ", 200000) + "x",
		"keys":    strings.Repeat("? ", 200000) + "x",
		"size":    "name: " + strings.Repeat("x", MaxFile),
		"blocks":  strings.Join(nested(200), "\n"),
	} {
		if _, err := Decode("f", []byte(in), defaults()); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

func nested(n int) (lines []string) {
	for i := range n {
		lines = append(lines, strings.Repeat(" ", i)+"a:")
	}
	return lines
}

func TestLoadMissingFileSaysWhatToDo(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), defaults())
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "--config") {
		t.Error(err)
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := NewSecret("hunter2")
	type box struct {
		Pub  Secret `json:"pub"`
		priv Secret
	}
	b := box{s, s}
	j1, _ := json.Marshal(b)
	j2, _ := jsonx.Marshal(b)
	y, err := Dump(struct{ Token Secret }{s})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	logger(&log).Info("x", "s", s, "b", b)
	all := fmt.Sprintf("%v %+v %#v %s %q %x %d|%v %+v %#v|%v", s, s, s, s, s, s, s, b, b, b, &b) +
		string(j1) + string(j2) + string(y) + log.String() + fmt.Sprint(errors.New(s.String()))
	if strings.Contains(all, "hunter2") || strings.Contains(all, "68756e74657232") {
		t.Errorf("leaked: %s", all)
	}
	if !strings.Contains(string(y), "token: <secret>") || !strings.Contains(string(j1), `"pub":"`) {
		t.Errorf("not marked: %s %s", y, j1)
	}
}

func TestSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tok")
	write := func(content string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("s3cret\n", 0o600)
	got, err := Decode("f", []byte("token: file:"+path), defaults())
	if err != nil || got.Token.Reveal() != "s3cret" {
		t.Errorf("%v %q", err, got.Token.Reveal())
	}
	for _, c := range []struct {
		content string
		mode    os.FileMode
		want    string
	}{
		{"s3cret", 0o640, "chmod 600 " + path},
		{"s3cret", 0o604, "chmod 600 " + path},
		{"\n", 0o600, "empty"},
		{strings.Repeat("x", maxSecret+1), 0o600, "larger"},
	} {
		write(c.content, c.mode)
		if _, err := ParseSecret("file:" + path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%04o: %v, want %s", c.mode, err, c.want)
		}
	}
	if _, err := ParseSecret("file:tok"); err == nil {
		t.Error("relative path accepted")
	}
	if _, err := ParseSecret("file:" + t.TempDir()); err == nil {
		t.Error("folder accepted")
	}
}

// At leads to the line of a key, or to the nearest place around it.
func TestAt(t *testing.T) {
	raw, err := Parse("f.yaml", []byte("a:\n  b:\n    c: 1\n  list: [x]\nempty:\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		want string
	}{
		{"a", "f.yaml:1"}, {"a.b", "f.yaml:2"}, {"a.b.c", "f.yaml:3"}, {"a.b.c.d", "f.yaml:3"}, {"a.x.y", "f.yaml:1"},
		{"a.list.0", "f.yaml:4"}, {"empty.x", "f.yaml:5"}, {"x", "f.yaml:1"},
	} {
		if got := raw.At(strings.Split(c.path, ".")...).Pos(); got != c.want {
			t.Errorf("%s is at %s, want %s", c.path, got, c.want)
		}
	}
	if got := Raw(nil).At("a").Pos(); got != "" {
		t.Errorf("without a file: %q", got)
	}
}
