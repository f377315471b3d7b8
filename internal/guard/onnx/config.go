package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/guard"
	"bartizan/internal/safe"

	"github.com/go-json-experiment/json"
)

// Config of the inspector.
type Config struct {
	// Folder with model.onnx, tokenizer.json and config.json. Empty: no model is asked.
	Folder string `yaml:"folder"`
	// Model is the file of the model in the folder: model.onnx, onnx/model_quantized.onnx.
	Model string `yaml:"model"`
	SHA   Sums   `yaml:"sha256"`
	// Library is the runtime, a file such as /usr/local/lib/libonnxruntime.so. Empty: the usual places.
	Library string `yaml:"library"`
	// Labels of the model that are findings, as its config.json names them, and of which category.
	Labels   []string `yaml:"labels"`
	Category string   `yaml:"category"`
	// Threshold is the probability from which a text is flagged, Block from which it is blocked.
	Threshold float64 `yaml:"threshold"`
	Block     float64 `yaml:"block"`
	// Window is how many tokens the model sees at once, 0 for as many as it can, Overlap how many of them two windows
	// share, Max the longest text in tokens. Longer ones are not judged.
	Window  int `yaml:"window"`
	Overlap int `yaml:"overlap"`
	Max     int `yaml:"max"`
	// Unknown is the share of tokens that the model's vocabulary lacks from which it has not seen the text.
	Unknown  float64 `yaml:"unknown"`
	Readings bool    `yaml:"readings"` // what a text says in codes and without invisible characters is judged too
	// Output says what the model gives: logits or probabilities.
	Output  string        `yaml:"output"`
	Batch   int           `yaml:"batch"` // windows at once
	Threads int           `yaml:"threads"`
	Memory  conf.Bytes    `yaml:"memory"`  // of the model's process
	Timeout conf.Duration `yaml:"timeout"` // for one text
	// Fail says what happens to a text that could not be judged: closed (it is flagged) or open (it passes, and the
	// report says that the model did not run).
	Fail string `yaml:"fail"`
}

// Sums are the SHA-256 of the files as they must be, in hexadecimal; empty ones are not checked.
type Sums struct {
	Model     string `yaml:"model"`
	Tokenizer string `yaml:"tokenizer"`
	Config    string `yaml:"config"`
}

// Default configuration: no model is asked.
func Default() Config {
	return Config{Model: "model.onnx", Category: string(guard.Injection), Threshold: 0.5, Block: 0.9, Overlap: 64, Max: 8192, Unknown: 0.5, Readings: true,
		Output: logits, Batch: 4, Threads: 1, Memory: 2 << 30, Timeout: conf.Duration(5 * time.Second), Fail: closed}
}

const (
	logits        = "logits"
	probabilities = "probabilities"
	opened        = "open"
	closed        = "closed"
)

// Bounds of files and options.
const (
	maxModel   = 2<<30 - 1 // ONNX keeps what is larger in files beside it
	maxConfig  = 1 << 20
	maxLabels  = 1000
	maxWindow  = 8192
	maxTokens  = 1 << 17
	maxBatch   = 64
	maxThreads = 64
)

var categories = []guard.Category{guard.Injection, guard.Secret, guard.PII, guard.Exfil, guard.Hidden, guard.Link, guard.Policy, guard.Shape}

// check says what is wrong with the options, apart from the folder.
func (c *Config) check() error {
	var bad []error
	say := func(wrong bool, format string, args ...any) {
		if wrong {
			bad = append(bad, fmt.Errorf(format, args...))
		}
	}
	say(!filepath.IsAbs(c.Folder), "folder %.80q: an absolute path", c.Folder)
	say(!filepath.IsLocal(c.Model), "model %.80q: a file in the folder", c.Model)
	say(c.Library != "" && !filepath.IsAbs(c.Library), "library %.80q: an absolute path", c.Library)
	say(!slices.Contains(categories, guard.Category(c.Category)), "category %.40q: one of %v", c.Category, categories)
	say(!(c.Threshold > 0 && c.Threshold <= c.Block && c.Block <= 1), "threshold %g and block %g: above 0, at most 1, and the first not above the second", c.Threshold, c.Block)
	say(c.Window != 0 && c.Window < 16 || c.Window > maxWindow, "window %d: 0, or 16 to %d tokens", c.Window, maxWindow)
	say(c.Overlap < 0 || c.Overlap > maxWindow, "overlap %d: less than half a window", c.Overlap)
	say(c.Max < 1 || c.Max > maxTokens, "max %d: 1 to %d tokens", c.Max, maxTokens)
	say(!(c.Unknown > 0 && c.Unknown <= 1), "unknown %g: above 0, at most 1", c.Unknown)
	say(c.Output != logits && c.Output != probabilities, "output %.20q: %s or %s", c.Output, logits, probabilities)
	say(c.Batch < 1 || c.Batch > maxBatch, "batch %d: 1 to %d", c.Batch, maxBatch)
	say(c.Threads < 1 || c.Threads > maxThreads, "threads %d: 1 to %d", c.Threads, maxThreads)
	say(c.Memory < 256<<20 || c.Memory > 1<<40, "memory %s: 256MiB or more", c.Memory)
	say(c.Timeout <= 0, "timeout %s: above 0", c.Timeout)
	say(c.Fail != opened && c.Fail != closed, "fail %.20q: open or closed", c.Fail)
	for name, sum := range map[string]string{"model": c.SHA.Model, "tokenizer": c.SHA.Tokenizer, "config": c.SHA.Config} {
		say(sum != "" && (len(sum) != 64 || strings.Trim(strings.ToLower(sum), "0123456789abcdef") != ""), "sha256.%s: 64 hexadecimal digits", name)
	}
	return errors.Join(bad...)
}

// about is what config.json says of a model.
type about struct {
	Labels map[string]string `json:"id2label"`
	Task   *string           `json:"problem_type"`
	Type   string            `json:"model_type"`
	Most   *int              `json:"max_position_embeddings"`
	Pad    *int64            `json:"pad_token_id"`
}

// readAbout reads config.json: the labels in order, and how many tokens the model can see.
func readAbout(raw []byte) (labels []string, multi bool, window int, pad int64, err error) {
	var a about
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, false, 0, 0, fmt.Errorf("config.json is no JSON of a model: %w", err)
	}
	if len(a.Labels) < 1 || len(a.Labels) > maxLabels {
		return nil, false, 0, 0, fmt.Errorf("config.json: id2label has %d labels, 1 to %d can be used: it is no model that classifies texts", len(a.Labels), maxLabels)
	}
	for i := range len(a.Labels) {
		l, ok := a.Labels[fmt.Sprint(i)]
		if !ok {
			return nil, false, 0, 0, fmt.Errorf("config.json: id2label has no label %d", i)
		}
		labels = append(labels, l)
	}
	multi = len(labels) == 1 || a.Task != nil && *a.Task == "multi_label_classification"
	window = 512
	if a.Pad != nil {
		pad = *a.Pad
	}
	if a.Most != nil {
		window = *a.Most
		if strings.Contains(a.Type, "roberta") || a.Type == "camembert" { // these count from behind the number of padding on
			window -= int(min(max(pad, -1), 16)) + 1
		}
	}
	if window < 16 || window > 1<<20 || pad < 0 || pad > 1<<21 {
		return nil, false, 0, 0, errors.New("config.json: max_position_embeddings or pad_token_id is none of a model")
	}
	return labels, multi, min(window, maxWindow), pad, nil
}

// open opens a file of the model's folder: a regular one, no link, and nothing outside.
func open(root *os.Root, name string, most int64) (*os.File, error) {
	st, err := root.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case st.Mode()&os.ModeSymlink != 0:
		return nil, fmt.Errorf("%s is a link: copy the file itself into the folder (cp -L)", name)
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", name)
	case st.Size() == 0 || st.Size() > most:
		return nil, fmt.Errorf("%s has %d bytes, between 1 and %d can be used", name, st.Size(), most)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	if now, err := f.Stat(); err != nil || !os.SameFile(st, now) {
		f.Close()
		return nil, fmt.Errorf("%s was changed while it was opened", name)
	}
	return f, nil
}

// read reads a file of the folder and checks its sum.
func read(root *os.Root, name string, most int64, want string) ([]byte, error) {
	f, err := open(root, name, most)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := readSized(f, most, name)
	if err != nil {
		return nil, err
	}
	if want != "" {
		if got := sum(raw); !strings.EqualFold(got, want) {
			return nil, fmt.Errorf("%s has the SHA-256 %s, and the policy says %s: it is another file", name, got, safe.Clean(want, 64))
		}
	}
	return raw, nil
}
