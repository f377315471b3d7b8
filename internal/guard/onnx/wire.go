package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"bartizan/internal/guard"

	"github.com/go-json-experiment/json"
)

// ChildVerb is the hidden command line word under which the binary runs as the process that has the model.
const ChildVerb = "__guard-model"

// setup is the first frame the process gets.
type setup struct {
	Library   string  `json:"library"`
	Folder    string  `json:"folder"`
	Model     string  `json:"model"`
	ModelSum  string  `json:"model_sum"`
	TokensSum string  `json:"tokens_sum"`
	Labels    int     `json:"labels"`
	Multi     bool    `json:"multi"` // each label has a probability of its own
	Ready     bool    `json:"ready"` // the model gives probabilities
	Window    int     `json:"window"`
	Overlap   int     `json:"overlap"`
	Max       int     `json:"max"`
	Batch     int     `json:"batch"`
	Threads   int     `json:"threads"`
	Pad       int64   `json:"pad"`
	Unknown   float64 `json:"unknown"`
	Memory    int64   `json:"memory"`
}

// answer is what the process says to the setup (number 0) and to each text.
type answer struct {
	Number  uint64    `json:"number"`
	Why     string    `json:"why,omitempty"` // it did not run
	Scores  []float64 `json:"scores,omitempty"`
	Windows int       `json:"windows,omitempty"`
	Tokens  int       `json:"tokens,omitempty"`
}

const (
	requestHead = 12 // number and milliseconds
	maxSetup    = 64 << 10
	maxRequest  = requestHead + guard.MaxText + guard.MaxText/2 // replaced bytes of no UTF-8 are longer
	maxAnswer   = 64 << 10
	maxWhy      = 400
	most        = time.Hour
)

// request writes a text as a frame.
func request(number uint64, left time.Duration, text string) []byte {
	b := make([]byte, 0, requestHead+len(text))
	b = binary.LittleEndian.AppendUint64(b, number)
	b = binary.LittleEndian.AppendUint32(b, uint32(max(min(left, most), 0)/time.Millisecond))
	return append(b, text...)
}

// readRequest reads what request wrote.
func readRequest(b []byte) (number uint64, left time.Duration, text string, err error) {
	if len(b) < requestHead {
		return 0, 0, "", errors.New("a request is shorter than its head")
	}
	return binary.LittleEndian.Uint64(b), time.Duration(binary.LittleEndian.Uint32(b[8:])) * time.Millisecond, string(b[requestHead:]), nil
}

// readAnswer reads what the process says, which may have been taken over by its model: only what was asked for counts.
func readAnswer(raw []byte, number uint64, labels int) (*answer, error) {
	var a answer
	if err := json.Unmarshal(raw, &a, json.RejectUnknownMembers(true)); err != nil {
		return nil, errors.New("the model's process answered nonsense")
	}
	switch {
	case a.Number != number:
		return nil, errors.New("the model's process answered another question")
	case len(a.Why) > 4*maxWhy:
		return nil, errors.New("the model's process answered too much")
	case a.Why != "":
		return &answer{Number: number, Why: a.Why}, nil
	case len(a.Scores) != labels:
		return nil, fmt.Errorf("the model's process answered %d scores for %d labels", len(a.Scores), labels)
	}
	for _, s := range a.Scores {
		if !(s >= 0 && s <= 1) {
			return nil, errors.New("the model's process answered what is no probability")
		}
	}
	return &a, nil
}
