//go:build cgo

package onnx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"bartizan/internal/guard/onnx/tokenizer"
	"bartizan/internal/jail"
	"bartizan/internal/safe"

	"github.com/go-json-experiment/json"
)

// native says whether this program can load the runtime.
const native = true

// RunChild is the main of the model's process. It loads the runtime, reads the files and locks itself in; only then
// it looks at what is in them. The process has no files, no network and no way to start anything from then on.
func RunChild(_ context.Context, in io.Reader, out io.Writer) error {
	raw, err := jail.ReadFrame(in, maxSetup)
	if err != nil {
		return fmt.Errorf("read setup: %w (this is an internal command)", err)
	}
	var s setup
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("read setup: %w (this is an internal command)", err)
	}
	to := jail.NewFrameWriter(out, maxAnswer)
	m, err := load(&s)
	if err != nil {
		return say(to, &answer{Why: safe.Clean(err.Error(), maxWhy)})
	}
	if err := say(to, &answer{Scores: make([]float64, s.Labels)}); err != nil {
		return err
	}
	frames := jail.NewFrameReader(in, maxRequest)
	for {
		raw, err := frames.Read()
		if errors.Is(err, io.EOF) {
			return nil // the gateway is gone
		}
		if err != nil {
			return err
		}
		number, left, text, err := readRequest(raw)
		if err != nil {
			return err
		}
		a, err := m.judge(text, time.Now().Add(left))
		if err != nil {
			a = &answer{Why: safe.Clean(err.Error(), maxWhy)}
		}
		a.Number = number
		if err := say(to, a); err != nil {
			return err
		}
	}
}

func say(to *jail.FrameWriter, a *answer) error {
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = to.Write(raw)
	return err
}

// loaded is a model that answers.
type loaded struct {
	*setup
	tokens  *tokenizer.Tokenizer
	session *session
	body    int // tokens of a window without the markers
}

func load(s *setup) (*loaded, error) {
	root, err := os.OpenRoot(s.Folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	words, err := read(root, tokenizerFile, tokenizer.MaxFile, s.TokensSum)
	if err != nil {
		return nil, err
	}
	model, err := read(root, s.Model, maxModel, s.ModelSum)
	if err != nil {
		return nil, err
	}
	if err := openLibrary(s.Library); err != nil {
		return nil, err
	}
	if err := jail.EnterReader(jail.Bounds{Address: uint64(s.Memory)}); err != nil {
		return nil, err
	}
	m := &loaded{setup: s}
	if m.tokens, err = tokenizer.Read(words); err != nil {
		return nil, err
	}
	g, err := readGraph(model)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.Model, err)
	}
	if g.length != 0 {
		s.Window = min(s.Window, g.length)
	}
	if m.body = s.Window - len(m.tokens.Before) - len(m.tokens.After); m.body < 1 || s.Overlap >= (m.body+1)/2 {
		return nil, fmt.Errorf("windows of %d tokens, of which %d are markers, with an overlap of %d: the overlap must be less than half", s.Window, s.Window-m.body, s.Overlap)
	}
	if m.session, err = newSession(model, g, s); err != nil {
		return nil, fmt.Errorf("load %s: %w", s.Model, err)
	}
	words, model = nil, nil
	_, _ = words, model
	debug.FreeOSMemory() // the file's bytes; the runtime has its own copy
	if _, err := m.judge("a text that is there to see whether the model answers", time.Now().Add(loadLimit)); err != nil {
		return nil, fmt.Errorf("try %s: %w", s.Model, err)
	}
	return m, nil
}

var (
	errLate    = errors.New("it did not answer in time")
	errUnknown = errors.New("the model's vocabulary does not have most of the text")
)

// bytesPerToken bounds the bytes of a text before it is cut: no text has fewer tokens, apart from white space.
const bytesPerToken = 64

func (m *loaded) judge(text string, until time.Time) (*answer, error) {
	long := fmt.Errorf("the text is longer than %d tokens (max)", m.Max)
	if len(text) > bytesPerToken*m.Max {
		return nil, long
	}
	ids, unknown, err := m.tokens.Encode(text, m.Max)
	switch {
	case errors.Is(err, tokenizer.ErrLong):
		return nil, long
	case err != nil:
		return nil, err
	case float64(unknown) > m.Unknown*float64(len(ids)):
		return nil, errUnknown
	}
	a := &answer{Scores: make([]float64, m.Labels), Tokens: len(ids)}
	all := windows(len(ids), m.body, m.Overlap)
	for len(all) > 0 {
		n := min(m.Batch, len(all))
		rows := make([][]int64, n)
		for i, w := range all[:n] {
			rows[i] = append(append(append(rows[i], m.tokens.Before...), ids[w[0]:w[1]]...), m.tokens.After...)
		}
		got, err := m.session.run(rows, until)
		if err != nil {
			return nil, err
		}
		for _, row := range got {
			p, err := chances(row, m.Multi, m.Ready)
			if err != nil {
				return nil, err
			}
			for i := range p {
				a.Scores[i] = max(a.Scores[i], p[i])
			}
		}
		a.Windows += n
		all = all[n:]
	}
	return a, nil
}
