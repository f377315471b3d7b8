package onnx

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bartizan/internal/guard"
	"bartizan/internal/guard/guardtest"
	"bartizan/internal/guard/onnx/onnxtest"
)

func TestOff(t *testing.T) {
	in, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Inspect(guardtest.Text("x", guard.User)); err == nil || !strings.Contains(err.Error(), "no folder") {
		t.Error(err)
	}
	in.(guard.Runner).Run(t.Context(), nil)
}

// TestRefused: what cannot work is said when the policy is read.
func TestRefused(t *testing.T) {
	m := onnxtest.Train()
	for want, change := range map[string]func(*Config){
		"absolute path":         func(c *Config) { c.Folder = "x" },
		"a file in the folder":  func(c *Config) { c.Model = "../model.onnx" },
		"no such file":          func(c *Config) { c.Model = "other.onnx" },
		"which has SAFE, INJ":   func(c *Config) { c.Labels = []string{"BAD"} },
		"say which of":          func(c *Config) { c.Labels = nil },
		"category":              func(c *Config) { c.Category = "x" },
		"threshold":             func(c *Config) { c.Threshold = 0 },
		"block":                 func(c *Config) { c.Block = 0.1 },
		"window 4":              func(c *Config) { c.Window = 4 },
		"512 tokens at most":    func(c *Config) { c.Window = 600 },
		"less than half":        func(c *Config) { c.Window, c.Overlap = 20, 10 },
		"max":                   func(c *Config) { c.Max = 0 },
		"unknown":               func(c *Config) { c.Unknown = 0 },
		"output":                func(c *Config) { c.Output = "x" },
		"batch":                 func(c *Config) { c.Batch = 0 },
		"threads":               func(c *Config) { c.Threads = 0 },
		"memory":                func(c *Config) { c.Memory = 1 << 20 },
		"timeout":               func(c *Config) { c.Timeout = 0 },
		"fail":                  func(c *Config) { c.Fail = "maybe" },
		"64 hexadecimal":        func(c *Config) { c.SHA.Model = "abc" },
		"another file":          func(c *Config) { c.SHA.Config = strings.Repeat("0", 64) },
		"library":               func(c *Config) { c.Library = "libonnxruntime.so" },
		"is a link":             func(c *Config) { link(t, c.Folder, "tokenizer.json") },
		"is no file":            func(c *Config) { c.Model = "sub" },
		"between 1 and":         func(c *Config) { empty(t, c.Folder, "model.onnx") },
		"no JSON of a model":    func(c *Config) { put(t, c.Folder, "[") },
		"no model that classif": func(c *Config) { put(t, c.Folder, "{}") },
		"no label 1":            func(c *Config) { put(t, c.Folder, `{"id2label":{"0":"a","2":"b"}}`) },
		"max_position":          func(c *Config) { put(t, c.Folder, `{"id2label":{"0":"a"},"max_position_embeddings":4}`) },
	} {
		dir := t.TempDir()
		if err := m.Write(dir, nil); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		c := Default()
		c.Folder, c.Labels = dir, []string{"INJECTION"}
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func link(t *testing.T, dir, name string) {
	t.Helper()
	from := filepath.Join(dir, name)
	if err := os.Rename(from, from+".real"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(name+".real", from); err != nil {
		t.Fatal(err)
	}
}

func empty(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Truncate(filepath.Join(dir, name), 0); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLacks: a machine without the runtime, or a program that cannot load it, says so and where to get it.
func TestLacks(t *testing.T) {
	dir := t.TempDir()
	if err := onnxtest.Train().Write(dir, nil); err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Folder, c.Labels, c.Library = dir, []string{"INJECTION"}, "/nowhere/libonnxruntime.so"
	want := "onnxruntime-node"
	if !native {
		want = "make build"
	}
	if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	c.Fail = opened
	in, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Inspect(guardtest.Text("x", guard.User)); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "did not run") {
		t.Errorf("%v, want %q", err, want)
	}
	// A library that others can change is not loaded.
	lib := filepath.Join(dir, "lib.so")
	if err := os.WriteFile(lib, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(lib, 0o622); err != nil {
		t.Fatal(err)
	}
	if _, err := findLibrary(lib); err == nil || !strings.Contains(err.Error(), "by others") {
		t.Error(err)
	}
}

func TestAbout(t *testing.T) {
	labels, multi, window, pad, err := readAbout([]byte(`{"model_type":"xlm-roberta","id2label":{"1":"b","0":"a"},"max_position_embeddings":514,"pad_token_id":1,"problem_type":"multi_label_classification"}`))
	if err != nil || !slices.Equal(labels, []string{"a", "b"}) || !multi || window != 512 || pad != 1 {
		t.Error(labels, multi, window, pad, err)
	}
	_, multi, window, _, err = readAbout([]byte(`{"id2label":{"0":"a"},"max_position_embeddings":65536}`))
	if err != nil || !multi || window != maxWindow {
		t.Error(multi, window, err)
	}
}

func TestWindows(t *testing.T) {
	for n := range 200 {
		for _, body := range []int{1, 2, 5, 17, 64} {
			for overlap := 0; 2*overlap < body; overlap++ {
				all := windows(n, body, overlap)
				seen := 0
				for k, w := range all {
					if w[0] > seen || w[1]-w[0] > body || k > 0 && w[0] > all[k-1][1]-overlap || w[0] < 0 {
						t.Fatalf("%d tokens, body %d, overlap %d: %v", n, body, overlap, all)
					}
					seen = w[1]
				}
				if seen != n {
					t.Fatalf("%d tokens, body %d, overlap %d: %v", n, body, overlap, all)
				}
			}
		}
	}
}

func TestScore(t *testing.T) {
	i := &inspector{conf: Config{Threshold: 0.3, Block: 0.8}}
	last := 0.0
	for p := 0.3; p <= 1; p += 0.01 {
		s := i.score(p)
		if s < last || s < guard.FlagScore || s > 1 || (s >= guard.BlockScore) != (p >= 0.8) {
			t.Errorf("%g: %g", p, s)
		}
		last = s
	}
}

func FuzzGraph(f *testing.F) {
	m := onnxtest.Train()
	m.E, m.Vocab = m.E[:4], nil
	for _, g := range []func(*onnxtest.Model) []byte{onnxtest.Usual, onnxtest.Endless, (&onnxtest.Graph{External: true}).Bytes, (&onnxtest.Graph{Domain: "x", Batch: 2, Length: 32}).Bytes} {
		f.Add(g(m))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		g, err := readGraph(raw)
		if err != nil {
			return
		}
		if len(g.inputs) < 1 || len(g.inputs) > 3 || g.batch < 0 || g.batch > maxBatch || g.length < 0 || g.length > maxWindow {
			t.Errorf("%+v", g)
		}
	})
}

func FuzzAbout(f *testing.F) {
	f.Add([]byte(`{"id2label":{"0":"SAFE","1":"INJECTION"},"max_position_embeddings":514,"model_type":"roberta","pad_token_id":1}`))
	f.Add([]byte(`{"id2label":{"0":""},"problem_type":null,"max_position_embeddings":-1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		labels, _, window, pad, err := readAbout(raw)
		if err == nil && (len(labels) < 1 || len(labels) > maxLabels || window < 16 || window > maxWindow || pad < 0) {
			t.Errorf("%v %d %d", labels, window, pad)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"number":3,"scores":[0.5,1],"windows":1,"tokens":9}`))
	f.Add([]byte(`{"number":3,"why":"it did not"}`))
	f.Add([]byte(`{"number":3,"scores":[1e999,-1]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := readAnswer(raw, 3, 2)
		if err != nil || a.Why != "" {
			return
		}
		for _, s := range a.Scores {
			if !(s >= 0 && s <= 1) {
				t.Error(a.Scores)
			}
		}
		if len(a.Scores) != 2 {
			t.Error(a.Scores)
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add(request(7, time.Second, "text"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		number, left, text, err := readRequest(raw)
		if err != nil {
			return
		}
		n, l, s, err := readRequest(request(number, left, text))
		if err != nil || n != number || l > left || s != text {
			t.Errorf("%d %v %q, then %d %v %q %v", number, left, text, n, l, s, err)
		}
	})
}
