// Package onnx judges texts with a model of the operator's own: one that classifies
// texts, as an ONNX file in the layout of Hugging Face (model.onnx, tokenizer.json,
// config.json). It is optional; nothing of the runtime is loaded until a policy names a
// model.
//
// A model is a program by a stranger, and the runtime is a large C++ program that
// interprets it. Both live in a process of their own, which has read its files before it
// gives up files, network, programs and privileges, and has a limit of memory and time.
// What it says is believed as little as anything else from outside. A text that it did
// not judge, for whatever reason, "did not run": never "clean".
package onnx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"bartizan/internal/guard"
	"bartizan/internal/guard/onnx/tokenizer"
	"bartizan/internal/safe"
)

const (
	tokenizerFile = "tokenizer.json" //nolint:gosec // a name of a file
	configFile    = "config.json"
	without       = "this program was built without cgo (CGO_ENABLED=0) and cannot load the ONNX Runtime: use the one that \"make build\" makes with a C compiler"
)

// New makes the inspector. The model is loaded by Run, or when the first text comes.
func New(c Config) (guard.Inspector, error) {
	if c.Folder == "" {
		return (*inspector)(nil), nil
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	i := &inspector{conf: c, name: c.Labels}
	err := i.open()
	if err == nil {
		return i, nil
	}
	var missing *missingError
	if c.Fail == opened && errors.As(err, &missing) {
		i.missing = err // the policy says that texts pass; the report says why
		return i, nil
	}
	return nil, err
}

// missingError is what this machine or program lacks.
type missingError struct{ why string }

func (e *missingError) Error() string { return e.why }

type inspector struct {
	conf    Config
	name    []string // of the labels that are findings
	at      []int    // their numbers
	missing error
	process *process
}

// open looks at the folder, not yet at the model.
func (i *inspector) open() error {
	c := &i.conf
	root, err := os.OpenRoot(c.Folder)
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	defer root.Close()
	raw, err := read(root, configFile, maxConfig, c.SHA.Config)
	if err != nil {
		return fmt.Errorf("folder %s: %w", c.Folder, err)
	}
	labels, multi, window, pad, err := readAbout(raw)
	if err != nil {
		return fmt.Errorf("folder %s: %w", c.Folder, err)
	}
	for name, most := range map[string]int64{c.Model: maxModel, tokenizerFile: tokenizer.MaxFile} {
		f, err := open(root, name, most)
		if err != nil {
			return fmt.Errorf("folder %s: %w", c.Folder, err)
		}
		f.Close()
	}
	for _, l := range c.Labels {
		n := slices.Index(labels, l)
		if n < 0 {
			return fmt.Errorf("labels: %.60q is none of the model, which has %s", l, shown(labels))
		}
		i.at = append(i.at, n)
	}
	if len(i.at) == 0 {
		return fmt.Errorf("labels: say which of the model's labels are findings; it has %s", shown(labels))
	}
	if c.Window > window {
		return fmt.Errorf("window %d: the model sees %d tokens at most", c.Window, window)
	}
	if c.Window != 0 {
		window = c.Window
	}
	if 2*c.Overlap >= window {
		return fmt.Errorf("overlap %d: less than half of the window, which has %d", c.Overlap, window)
	}
	s := setup{Folder: c.Folder, Model: c.Model, ModelSum: c.SHA.Model, TokensSum: c.SHA.Tokenizer, Labels: len(labels), Multi: multi,
		Ready: c.Output == probabilities, Window: window, Overlap: c.Overlap, Max: c.Max, Batch: c.Batch, Threads: c.Threads, Pad: pad, Unknown: c.Unknown, Memory: int64(c.Memory)}
	if !native {
		return &missingError{without}
	}
	if s.Library, err = findLibrary(c.Library); err != nil {
		return &missingError{err.Error()}
	}
	i.process = newProcess(s)
	return nil
}

func shown(labels []string) string {
	var b strings.Builder
	for n, l := range labels {
		if n == 20 {
			return b.String() + ", …"
		}
		if n > 0 {
			b.WriteString(", ")
		}
		b.WriteString(safe.Clean(l, 40))
	}
	return b.String()
}

// Run implements guard.Runner: it has the model loaded, and again when its process ended, until ctx ends.
func (i *inspector) Run(ctx context.Context, log *slog.Logger) {
	switch {
	case i == nil:
	case i.missing != nil:
		log.Warn("the policy names a model that cannot be asked; texts pass it (fail: open)", "folder", i.conf.Folder, "error", i.missing)
	default:
		i.process.run(ctx, log)
	}
}

// Inspect implements guard.Inspector.
func (i *inspector) Inspect(t *guard.Text) ([]guard.Finding, error) {
	if i == nil {
		return nil, &guard.NothingToDo{Why: "no folder with a model is configured"}
	}
	if strings.TrimSpace(t.Raw) == "" {
		return nil, nil
	}
	found, err := i.judge(t)
	if err == nil || len(found) > 0 {
		return found, nil
	}
	if i.conf.Fail == opened {
		return nil, &guard.NothingToDo{Why: "did not run: " + err.Error(), Passing: true}
	}
	return nil, fmt.Errorf("did not run: %w", err)
}

// judge asks about the text as it is and about its readings. What was found before something went wrong is found.
func (i *inspector) judge(t *guard.Text) (found []guard.Finding, err error) {
	if i.missing != nil {
		return nil, i.missing
	}
	if _, err := i.process.current(); err != nil { // loading is no part of the time limit
		return nil, err
	}
	until := time.Now().Add(i.conf.Timeout.D())
	texts := []string{strings.ToValidUTF8(t.Raw, "\uFFFD")}
	for _, v := range t.Views {
		if i.conf.Readings && !slices.Contains(texts, v.Text) {
			texts = append(texts, strings.ToValidUTF8(v.Text, "\uFFFD"))
		}
	}
	best := make([]float64, len(i.at))
	for _, text := range texts {
		if strings.TrimSpace(text) == "" {
			continue
		}
		a, failed := i.process.ask(text, until)
		if failed != nil {
			err = failed
			break
		}
		for k, n := range i.at {
			best[k] = max(best[k], a.Scores[n])
		}
	}
	for k, p := range best {
		if p >= i.conf.Threshold {
			found = append(found, guard.Finding{Category: guard.Category(i.conf.Category), Score: i.score(p), Note: "the model takes it for " + safe.Clean(i.name[k], 60)})
		}
	}
	return found, err
}

// score maps a probability to what the engine flags and blocks from.
func (i *inspector) score(p float64) float64 {
	low, high := i.conf.Threshold, i.conf.Block
	switch {
	case p >= high:
		return guard.BlockScore + (1-guard.BlockScore)*part(p, high, 1)
	default:
		return guard.FlagScore + (guard.BlockScore-guard.FlagScore-0.001)*part(p, low, high)
	}
}

// part says how far p is from low to high.
func part(p, low, high float64) float64 {
	if high <= low {
		return 0
	}
	return min(max((p-low)/(high-low), 0), 1)
}
