package plug_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"bartizan/internal/conf"
	"bartizan/internal/plug"
	"bartizan/internal/safe"
)

type greeter interface{ Greet() string }

type config struct {
	Word  string
	Times int
}

func (c config) Validate() error {
	if c.Times > 5 {
		return errors.New("times: 5 is enough")
	}
	return nil
}

func defaults() config { return config{Word: "hello", Times: 1} }

type hello struct{ config }

func (h hello) Greet() string { return strings.Repeat(h.Word, h.Times) }

func build(c config) (greeter, error) {
	if c.Word == "boom" {
		panic("boom")
	}
	if c.Word == "" {
		return nil, errors.New("no word")
	}
	return hello{c}, nil
}

func table() plug.Table[greeter] {
	return plug.NewTable("greeter", plug.Of("hello", defaults, build), plug.Of("hi-there", defaults, build))
}

func raw(t *testing.T, text string) conf.Raw {
	t.Helper()
	r, err := conf.Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestBuild(t *testing.T) {
	tab := table()
	g, err := tab.Build("hello", nil)
	if err != nil || g.Greet() != "hello" {
		t.Fatalf("defaults: %v %v", g, err)
	}
	g, err = tab.Build("hi-there", raw(t, "times: 2\nword: a"))
	if err != nil || g.Greet() != "aa" {
		t.Fatalf("configured: %v %v", g, err)
	}
	if names := tab.Names(); !slices.Equal(names, []string{"hello", "hi-there"}) {
		t.Errorf("names %v", names)
	}
	if d, ok := tab.Default("hello").(config); !ok || d != defaults() {
		t.Errorf("default %#v", tab.Default("hello"))
	}
	if tab.Default("nobody") != nil || tab.Has("nobody") || !tab.Has("hello") {
		t.Error("lookup of names is wrong")
	}
	if eff, err := tab.Effective("hello", raw(t, "times: 2")); err != nil || eff != any(config{"hello", 2}) {
		t.Errorf("effective %v %v", eff, err)
	}
}

func TestBuildMistakes(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"hello", "wrod: x", `f.yaml:1: unknown key "wrod" (nearest known: "word")`},
		{"hello", "times: x", `f.yaml:1: "times" must be a whole number`},
		{"hello", "times: 6", "f.yaml:1: times: 5 is enough"},
		{"helo", "", `f.yaml:1: unknown greeter "helo" (nearest known: "hello"; all: hello, hi-there)`},
		{"qqqqqqqqqq", "", `unknown greeter "qqqqqqqqqq" (known: hello, hi-there)`},
	}
	for _, c := range cases {
		tab := table()
		r := raw(t, c.text)
		got, err := tab.Build(c.name, r)
		if err == nil || !strings.Contains(err.Error(), c.want) || got != nil {
			t.Errorf("build: got %v, %v\nwant %s", got, err, c.want)
		}
		if err := tab.Check(c.name, r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("check: got %v\nwant %s", err, c.want)
		}
	}
	if _, err := table().Build("helo", nil); err == nil || !strings.Contains(err.Error(), "unknown greeter") {
		t.Errorf("nil raw: %v", err)
	}
}

func TestConstructorFailures(t *testing.T) {
	_, err := table().Build("hello", raw(t, `word: ""`))
	if want := `build greeter "hello": no word`; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	got, err := table().Build("hello", raw(t, "word: boom"))
	if _, ok := errors.AsType[*safe.PanicError](err); !ok || got != nil {
		t.Errorf("a panic must become an error: %v %v", got, err)
	}
}

func TestBadTablesPanic(t *testing.T) {
	for _, names := range [][]string{{"a", "a"}, {"A"}, {""}, {"1a"}, {"a_b"}, {"a b"}} {
		func() {
			defer func() {
				if v := recover(); v == nil || !strings.HasPrefix(fmt.Sprint(v), "BUG:") {
					t.Errorf("%v: %v", names, v)
				}
			}()
			var specs []plug.Spec[greeter]
			for _, n := range names {
				specs = append(specs, plug.Of(n, defaults, build))
			}
			plug.NewTable("greeter", specs...)
		}()
	}
}
