//go:build cgo

package onnx

import (
	"errors"
	"fmt"
	"strings"
	"time"

	ort "github.com/yalue/onnxruntime_go"
)

// openLibrary loads the runtime. It is called before the process locks itself in, because a library is code, and no
// memory becomes code in the jail.
func openLibrary(path string) error {
	ort.SetSharedLibraryPath(path)
	err := ort.InitializeEnvironment(ort.WithLogLevelError())
	if err == nil {
		return nil
	}
	if strings.Contains(err.Error(), "ORT API base: 2") {
		return fmt.Errorf("library %s is older than 1.24 (%s)", path, where)
	}
	return fmt.Errorf("load library %s: %w", path, err)
}

// session is a model in the runtime.
type session struct {
	*graph
	labels int
	pad    int64
	to     *ort.DynamicAdvancedSession
}

func newSession(model []byte, g *graph, s *setup) (*session, error) {
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer func() { _ = o.Destroy() }()
	err = errors.Join(o.SetIntraOpNumThreads(s.Threads), o.SetInterOpNumThreads(1), o.SetMemPattern(false), o.SetCpuMemArena(false),
		o.SetLogSeverityLevel(ort.LoggingLevelError),
		o.AddSessionConfigEntry("session.intra_op.allow_spinning", "0")) // threads that wait take no processor time
	if err != nil {
		return nil, err
	}
	to, err := ort.NewDynamicAdvancedSessionWithONNXData(model, g.inputs, []string{g.output}, o)
	if err != nil {
		return nil, err
	}
	return &session{g, s.Labels, s.Pad, to}, nil
}

// run gives what the model says of each row.
func (s *session) run(rows [][]int64, until time.Time) (out [][]float32, err error) {
	if s.batch == 0 {
		return s.ask(rows, len(rows), until)
	}
	for len(rows) > 0 { // a model that wants a certain number of rows
		n := min(s.batch, len(rows))
		got, err := s.ask(rows[:n], s.batch, until)
		if err != nil {
			return nil, err
		}
		out, rows = append(out, got...), rows[n:]
	}
	return out, nil
}

func (s *session) ask(rows [][]int64, height int, until time.Time) ([][]float32, error) {
	left := time.Until(until)
	if left <= 0 {
		return nil, errLate
	}
	width := s.length
	for _, r := range rows {
		width = max(width, len(r))
	}
	ids, mask := make([]int64, height*width), make([]int64, height*width)
	for i := range ids {
		ids[i] = s.pad
	}
	for i, r := range rows {
		copy(ids[i*width:], r)
		for j := range r {
			mask[i*width+j] = 1
		}
	}
	for i := len(rows); i < height; i++ {
		mask[i*width] = 1 // a row in which nothing counts is no number in some models
	}
	inputs := make([]ort.Value, 0, len(s.inputs))
	defer func() {
		for _, v := range inputs {
			_ = v.Destroy()
		}
	}()
	for _, name := range s.inputs {
		data := map[string][]int64{inputIDs: ids, attentionMask: mask, tokenTypes: make([]int64, height*width)}[name]
		v, err := ort.NewTensor(ort.NewShape(int64(height), int64(width)), data)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, v)
	}
	o, err := ort.NewRunOptions()
	if err != nil {
		return nil, err
	}
	defer func() { _ = o.Destroy() }()
	fired := make(chan struct{})
	timer := time.AfterFunc(left, func() {
		_ = o.Terminate()
		close(fired)
	})
	outputs := []ort.Value{nil}
	err = s.to.RunWithOptions(inputs, outputs, o)
	if !timer.Stop() {
		<-fired // it must not touch o any more
		if err != nil {
			return nil, errLate
		}
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = outputs[0].Destroy() }()
	return s.table(outputs[0], rows, height)
}

func (s *session) table(v ort.Value, rows [][]int64, height int) ([][]float32, error) {
	t, ok := v.(*ort.Tensor[float32])
	shape := v.GetShape()
	if !ok || len(shape) != 2 || shape[0] != int64(height) || shape[1] != int64(s.labels) {
		return nil, fmt.Errorf("its output %s is %v and not a number for each of the %d labels of config.json", s.output, shape, s.labels)
	}
	data := t.GetData()
	if len(data) != height*s.labels {
		return nil, errors.New("its output has another size than it says")
	}
	out := make([][]float32, len(rows))
	for i := range out {
		out[i] = append(out[i], data[i*s.labels:(i+1)*s.labels]...) // the memory is the runtime's
	}
	return out, nil
}
