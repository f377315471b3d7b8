// Package onnxtest makes a small model that classifies texts, in the layout of Hugging
// Face: an embedding of words, their mean and a linear layer, trained in a moment on
// sentences made here. It is for tests and for trying things out; what it knows of attacks
// is nothing to rely on. It also makes models that mean harm.
package onnxtest

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Labels of the model.
var labels = []string{"SAFE", "INJECTION"}

// Dim is the size of an embedding.
const dim = 8

// Model is what was trained.
type Model struct {
	Vocab map[string]int
	E     [][dim]float32 // by word
	W     [dim][2]float32
	B     [2]float32
}

// sentences are the training texts: n of each kind.
func sentences(r *rand.Rand, n int) (texts []string, attack []bool) {
	pick := func(of string) string {
		all := strings.Split(of, "|")
		return all[r.IntN(len(all))]
	}
	for range n {
		texts = append(texts, strings.Join([]string{pick("please|now|from now on|listen,|important:|as the administrator i say:"), pick("ignore|disregard|forget|override|bypass"),
			pick("all|any|the|your"), pick("previous|prior|above|earlier|system"), pick("instructions|rules|guidelines|directions|prompts"), "and",
			pick("reveal|print|show|repeat|leak"), pick("the system prompt|your hidden rules|the secret key|the password|your instructions")}, " "))
		texts = append(texts, strings.Join([]string{pick("please|hello,|could you|i would like you to|today we"), pick("translate|summarize|explain|write|plan|compare|describe"),
			pick("the|a|this|my"), pick("recipe|letter|report|garden|holiday|invoice|poem|function|meeting"), pick("for|about|with|from"), pick("my friend|the customer|next week|the school|our team|the weather"), pick("in german|in three sentences|with an example|briefly|before friday")}, " "))
		attack = append(attack, true, false)
	}
	return texts, attack
}

func split(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}

// Train trains the model: always the same one.
func Train() *Model {
	r := rand.New(rand.NewPCG(1, 2))
	texts, attack := sentences(r, 300)
	m := &Model{Vocab: map[string]int{"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}}
	add := func(w string) {
		if _, ok := m.Vocab[w]; !ok {
			m.Vocab[w] = len(m.Vocab)
		}
	}
	for c := '!'; c <= '~'; c++ { // every letter alone, so that other words can be read too
		add(strings.ToLower(string(c)))
		add("##" + strings.ToLower(string(c)))
	}
	for _, t := range texts {
		for _, w := range split(t) {
			add(w)
		}
	}
	m.E = make([][dim]float32, len(m.Vocab))
	for i := range m.E {
		for d := range dim {
			m.E[i][d] = float32(r.NormFloat64() * 0.1)
		}
	}
	for d := range dim {
		m.W[d] = [2]float32{float32(r.NormFloat64()), float32(r.NormFloat64())}
	}
	for range 30 {
		for i, t := range texts {
			m.learn(split(t), attack[i])
		}
	}
	return m
}

func (m *Model) learn(words []string, attack bool) {
	const rate = 0.5
	ids := make([]int, len(words))
	for i, w := range words {
		ids[i] = m.Vocab[w]
	}
	mean := m.mean(ids)
	p := softmax(m.logits(mean))
	want := [2]float64{1, 0}
	if attack {
		want = [2]float64{0, 1}
	}
	var back [dim]float32
	for c := range 2 {
		g := float32(rate * (p[c] - want[c]))
		m.B[c] -= 0.1 * g
		for d := range dim {
			back[d] += g * m.W[d][c]
			m.W[d][c] -= g * mean[d]
		}
	}
	for _, id := range ids {
		for d := range dim {
			m.E[id][d] -= back[d] / float32(len(ids))
		}
	}
}

func (m *Model) mean(ids []int) (mean [dim]float32) {
	for _, id := range ids {
		for d := range dim {
			mean[d] += m.E[id][d]
		}
	}
	for d := range dim {
		mean[d] /= float32(len(ids))
	}
	return mean
}

func (m *Model) logits(mean [dim]float32) (out [2]float32) {
	out = m.B
	for d := range dim {
		for c := range 2 {
			out[c] += mean[d] * m.W[d][c]
		}
	}
	return out
}

func softmax(x [2]float32) [2]float64 {
	a, b := math.Exp(float64(x[0])), math.Exp(float64(x[1]))
	return [2]float64{a / (a + b), b / (a + b)}
}

// Score is the probability of an attack in a sequence of tokens, computed here.
func (m *Model) Score(ids []int64) float64 {
	all := make([]int, len(ids))
	for i, id := range ids {
		all[i] = int(id)
	}
	return softmax(m.logits(m.mean(all)))[1]
}

type object = map[string]any

// Write writes the folder of the model: model.onnx is made by graph, nil for the usual one.
func (m *Model) Write(dir string, graph func(*Model) []byte) error {
	special := func(s string) object {
		return object{"id": m.Vocab[s], "content": s, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
	}
	mark := func(s string) object { return object{"SpecialToken": object{"id": s, "type_id": 0}} }
	ids := func(s string) object { return object{"id": s, "ids": []int{m.Vocab[s]}, "tokens": []string{s}} }
	sequence := object{"Sequence": object{"id": "A", "type_id": 0}}
	tokens := object{
		"version": "1.0", "truncation": nil, "padding": nil, "decoder": nil,
		"added_tokens":   []object{special("[PAD]"), special("[UNK]"), special("[CLS]"), special("[SEP]")},
		"normalizer":     object{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": nil, "lowercase": true},
		"pre_tokenizer":  object{"type": "BertPreTokenizer"},
		"post_processor": object{"type": "TemplateProcessing", "single": []object{mark("[CLS]"), sequence, mark("[SEP]")}, "pair": []object{sequence, {"Sequence": object{"id": "B", "type_id": 1}}}, "special_tokens": object{"[CLS]": ids("[CLS]"), "[SEP]": ids("[SEP]")}},
		"model":          object{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": m.Vocab},
	}
	about := object{"model_type": "bert", "architectures": []string{"BertForSequenceClassification"}, "id2label": object{"0": labels[0], "1": labels[1]}, "max_position_embeddings": 512, "pad_token_id": 0}
	if graph == nil {
		graph = Usual
	}
	if err := os.WriteFile(filepath.Join(dir, "model.onnx"), graph(m), 0o600); err != nil {
		return err
	}
	for name, v := range map[string]object{"tokenizer.json": tokens, "config.json": about} {
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Library is where scripts/install-test-tools.sh puts the runtime; root is the repository's folder.
func Library(root string) (string, error) {
	path, err := filepath.Abs(filepath.Join(root, ".cache/onnxruntime/libonnxruntime.so.1"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the ONNX Runtime is not installed: scripts/install-test-tools.sh (%w)", err)
	}
	return path, nil
}

// Words are what the model knows, in order; for texts of any length.
func (m *Model) Words() []string {
	var out []string
	for w := range m.Vocab {
		if len(w) > 3 && !strings.HasPrefix(w, "[") {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	return out
}
