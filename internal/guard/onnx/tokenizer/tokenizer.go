// Package tokenizer reads the tokenizer.json of a model in the layout of Hugging Face and
// cuts texts into the numbers that the model was trained on: WordPiece (BERT), byte-level
// BPE (RoBERTa, ModernBERT) and Unigram (DeBERTa-v3, XLM-R), with their normalizers and
// pre-tokenizers. What it does not know is an error and never a guess: a model that is fed
// with other numbers than it learned does not fail, it judges nonsense.
//
// File and texts are hostile. Every step takes time in proportion to the text, or to the
// text times a constant of this package, whatever the file says.
//
// It differs from the reference on purpose in one thing: the tokens by which a model
// marks beginnings, ends and gaps ("[SEP]", "</s>") are never read out of a text, so that
// nobody can write them into one.
package tokenizer

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxFile is the largest tokenizer.json that is read, in bytes (that of XLM-R has 17 MB).
const MaxFile = 64 << 20

// ErrLong says that a text has more tokens than were asked for.
var ErrLong = errors.New("the text has too many tokens")

// Tokenizer cuts texts. It is safe for concurrent use.
type Tokenizer struct {
	raw     *added // found before the text is normalized
	folded  *added // and after
	steps   []normalizer
	splits  []splitter
	model   model
	unknown int64 // id of what the vocabulary does not have, -1: none
	// Before and After stand around every sequence.
	Before, After []int64
	// Size is one more than the highest id.
	Size int64
}

// model cuts one word.
type model interface {
	encode(word string, ids []int64) []int64
}

// piece of a text on its way to the model.
type piece struct {
	text  string
	first bool // it begins where the text begins
}

type normalizer func(string) string

type splitter func(p piece, out []piece) []piece

// most is how many times longer normalizers may make a text (NFKC alone does it eleven times).
const most = 16

// Encode cuts a text into at most limit tokens and says how many of them are unknown to
// the vocabulary. Tokens around the sequence are not added. The error is ErrLong, or the file's.
func (t *Tokenizer) Encode(text string, limit int) (ids []int64, unknown int, err error) {
	if !utf8.ValidString(text) {
		return nil, 0, errors.New("the text is no UTF-8")
	}
	first := true
	err = t.raw.cut(text, func(id int64, part string) error {
		if id >= 0 {
			ids, first = append(ids, id), false
			return over(ids, limit)
		}
		part, err := t.normalize(part)
		if err != nil {
			return err
		}
		return t.folded.cut(part, func(id int64, part string) error {
			if id >= 0 {
				ids = append(ids, id)
			} else if ids, err = t.words(piece{part, first}, ids, limit); err != nil {
				return err
			}
			first = false
			return over(ids, limit)
		})
	})
	if err != nil {
		return nil, 0, err
	}
	for _, id := range ids {
		if id == t.unknown {
			unknown++
		}
	}
	return ids, unknown, nil
}

func over(ids []int64, limit int) error {
	if len(ids) > limit {
		return ErrLong
	}
	return nil
}

func (t *Tokenizer) normalize(s string) (string, error) {
	bound := most*len(s) + 1024
	for _, step := range t.steps {
		if s = step(s); len(s) > bound {
			return "", fmt.Errorf("tokenizer.json: its normalizers make a text more than %d times longer", most)
		}
	}
	return s, nil
}

func (t *Tokenizer) words(p piece, ids []int64, limit int) ([]int64, error) {
	pieces := []piece{p}
	for _, split := range t.splits {
		var next []piece
		for _, p := range pieces {
			if p.text != "" {
				next = split(p, next)
			}
		}
		pieces = next
	}
	for _, p := range pieces {
		if p.text == "" {
			continue
		}
		if ids = t.model.encode(p.text, ids); len(ids) > limit {
			return nil, ErrLong
		}
	}
	return ids, nil
}
