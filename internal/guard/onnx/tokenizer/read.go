package tokenizer

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a file.
const (
	maxVocabulary = 2 << 20
	maxSteps      = 32 // normalizers, pre-tokenizers or post-processors
	maxDepth      = 4
	maxText       = 64 // of a replacement, a prefix, a marker
	maxMarkers    = 16
)

// file is what tokenizer.json has. Members that do not change what a text is cut into are
// not read, nor is its truncation: whoever calls makes windows.
type file struct {
	Added      []addedToken `json:"added_tokens"`
	Normalizer *node        `json:"normalizer"`
	Splitter   *node        `json:"pre_tokenizer"`
	Processor  *node        `json:"post_processor"`
	Model      modelFile    `json:"model"`
}

type addedToken struct {
	ID         int64  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// node is one step of any kind; each kind reads its own members.
type node struct {
	Type         string    `json:"type"`
	Normalizers  []node    `json:"normalizers"`
	Splitters    []node    `json:"pretokenizers"`
	Processors   []node    `json:"processors"`
	CleanText    *bool     `json:"clean_text"`
	Chinese      *bool     `json:"handle_chinese_chars"`
	StripAccents *bool     `json:"strip_accents"`
	Lowercase    *bool     `json:"lowercase"`
	StripLeft    *bool     `json:"strip_left"`
	StripRight   *bool     `json:"strip_right"`
	Prepend      string    `json:"prepend"`
	Pattern      *pattern  `json:"pattern"`
	Content      string    `json:"content"`
	Charsmap     *string   `json:"precompiled_charsmap"`
	Behavior     string    `json:"behavior"`
	Invert       bool      `json:"invert"`
	AddPrefix    *bool     `json:"add_prefix_space"`
	UseRegex     *bool     `json:"use_regex"`
	Replacement  string    `json:"replacement"`
	Scheme       string    `json:"prepend_scheme"`
	Split        *bool     `json:"split"`
	Individual   bool      `json:"individual_digits"`
	Sep          *marker   `json:"sep"`
	Cls          *marker   `json:"cls"`
	Single       []part    `json:"single"`
	Special      templates `json:"special_tokens"`
}

type pattern struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

// marker is ["[SEP]", 102].
type marker struct{ id int64 }

// UnmarshalJSON reads the pair.
func (m *marker) UnmarshalJSON(raw []byte) error {
	var pair []jsontext.Value
	if err := json.Unmarshal(raw, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return errors.New("a marker is a pair of a text and a number")
	}
	return json.Unmarshal(pair[1], &m.id)
}

type part struct {
	Special  *partOf `json:"SpecialToken"`
	Sequence *partOf `json:"Sequence"`
}

type partOf struct {
	ID   string `json:"id"`
	Type int    `json:"type_id"`
}

type templates map[string]struct {
	IDs []int64 `json:"ids"`
}

type modelFile struct {
	Type     string         `json:"type"`
	Vocab    jsontext.Value `json:"vocab"` // an object, or of Unigram an array
	Merges   jsontext.Value `json:"merges"`
	Unknown  *string        `json:"unk_token"`
	UnkID    *int64         `json:"unk_id"`
	Prefix   *string        `json:"continuing_subword_prefix"`
	Suffix   *string        `json:"end_of_word_suffix"`
	Longest  *int           `json:"max_input_chars_per_word"`
	Fuse     bool           `json:"fuse_unk"`
	Fallback bool           `json:"byte_fallback"`
	Whole    bool           `json:"ignore_merges"`
	Dropout  *float64       `json:"dropout"`
}

// Read reads tokenizer.json. Errors say what of it cannot be used.
func Read(raw []byte) (*Tokenizer, error) {
	t, err := read(raw)
	if err != nil {
		return nil, fmt.Errorf("read tokenizer.json: %w", err)
	}
	return t, nil
}

func read(raw []byte) (*Tokenizer, error) {
	if len(raw) > MaxFile {
		return nil, fmt.Errorf("%d bytes, at most %d", len(raw), MaxFile)
	}
	var f file
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("no JSON of a tokenizer: %w", err)
	}
	t := &Tokenizer{unknown: -1}
	steps := 0
	var err error
	if t.steps, err = normalizers(f.Normalizer, nil, 0, &steps); err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	steps = 0
	if t.splits, err = splitters(f.Splitter, nil, 0, &steps); err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	if err := t.readModel(&f); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := t.readAdded(f.Added); err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	if err := t.process(f.Processor, 0); err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	for _, id := range append(append([]int64{}, t.Before...), t.After...) {
		if id < 0 || id > maxVocabulary {
			return nil, fmt.Errorf("post_processor: %d is no token", id)
		}
		t.Size = max(t.Size, id+1)
	}
	return t, nil
}

// readModel reads the vocabulary and what cuts with it.
func (t *Tokenizer) readModel(f *file) error {
	m := &f.Model
	if m.Dropout != nil && *m.Dropout != 0 {
		return errors.New("dropout cuts the same text another way each time; export the tokenizer without it")
	}
	kind := m.Type
	if kind == "" { // files of old versions do not say
		switch {
		case len(m.Merges) > 0:
			kind = "BPE"
		case m.UnkID != nil:
			kind = "Unigram"
		default:
			kind = "WordPiece"
		}
	}
	if kind == "Unigram" {
		return t.readUnigram(m, f.Added)
	}
	vocab := map[string]int64{}
	if err := json.Unmarshal(m.Vocab, &vocab); err != nil {
		return fmt.Errorf("vocab: %w", err)
	}
	if err := t.sized(vocab); err != nil {
		return err
	}
	switch kind {
	case "WordPiece":
		return t.readWordPiece(m, vocab)
	case "BPE":
		return t.readBPE(m, vocab)
	}
	return fmt.Errorf("type %.40q: WordPiece, BPE and Unigram can be used", m.Type)
}

func (t *Tokenizer) sized(vocab map[string]int64) error {
	if len(vocab) == 0 || len(vocab) > maxVocabulary {
		return fmt.Errorf("a vocabulary of %d, between 1 and %d", len(vocab), maxVocabulary)
	}
	for _, id := range vocab {
		if id < 0 || id > maxVocabulary {
			return fmt.Errorf("vocab: %d is no number of a token", id)
		}
		t.Size = max(t.Size, id+1)
	}
	return nil
}

func short(s *string, what, usual string) (string, error) {
	if s == nil {
		return usual, nil
	}
	if len(*s) > maxText {
		return "", fmt.Errorf("%s is longer than %d bytes", what, maxText)
	}
	return *s, nil
}

func (t *Tokenizer) readWordPiece(m *modelFile, vocab map[string]int64) (err error) {
	w := &wordPiece{vocab: vocab, longest: 100}
	if w.prefix, err = short(m.Prefix, "continuing_subword_prefix", "##"); err != nil {
		return err
	}
	if m.Longest != nil {
		if w.longest = *m.Longest; w.longest < 1 || w.longest > 1000 {
			return fmt.Errorf("max_input_chars_per_word %d, between 1 and 1000", w.longest)
		}
	}
	token, err := short(m.Unknown, "unk_token", "[UNK]")
	if err != nil {
		return err
	}
	id, ok := vocab[token]
	if !ok {
		return fmt.Errorf("unk_token %.40q is not in the vocabulary", token)
	}
	w.unknown, t.unknown, t.model = id, id, w
	return nil
}

func (t *Tokenizer) readBPE(m *modelFile, vocab map[string]int64) (err error) {
	b := &bpe{vocab: vocab, unknown: -1, fuse: m.Fuse, whole: m.Whole, merges: map[[2]int64]merge{}}
	if b.prefix, err = short(m.Prefix, "continuing_subword_prefix", ""); err != nil {
		return err
	}
	if b.suffix, err = short(m.Suffix, "end_of_word_suffix", ""); err != nil {
		return err
	}
	if m.Unknown != nil {
		if id, ok := vocab[*m.Unknown]; ok {
			b.unknown, t.unknown = id, id
		}
	}
	if m.Fallback {
		b.bytes = newFallback(vocab)
	}
	pairs, err := readMerges(m.Merges)
	if err != nil {
		return fmt.Errorf("merges: %w", err)
	}
	for rank, p := range pairs {
		left, ok1 := vocab[p[0]]
		right, ok2 := vocab[p[1]]
		id, ok3 := vocab[p[0]+strings.TrimPrefix(p[1], b.prefix)]
		if !ok1 || !ok2 || !ok3 {
			return fmt.Errorf("merges: number %d joins %.40q and %.40q, and the vocabulary does not have them all", rank, p[0], p[1])
		}
		b.merges[[2]int64{left, right}] = merge{rank, id}
	}
	t.model = b
	return nil
}

// readMerges reads ["a b", …] or, of newer versions, [["a", "b"], …].
func readMerges(raw jsontext.Value) ([][2]string, error) {
	if len(raw) == 0 || raw.Kind() == 'n' {
		return nil, nil
	}
	var pairs [][]string
	if err := json.Unmarshal(raw, &pairs); err != nil {
		pairs = nil // of old versions
		var lines []string
		if json.Unmarshal(raw, &lines) != nil {
			return nil, err
		}
		for _, l := range lines {
			if strings.HasPrefix(l, "#version") {
				continue
			}
			pairs = append(pairs, strings.Split(l, " "))
		}
	}
	if len(pairs) > maxVocabulary {
		return nil, fmt.Errorf("%d of them, at most %d", len(pairs), maxVocabulary)
	}
	out := make([][2]string, len(pairs))
	for i, p := range pairs {
		if len(p) != 2 {
			return nil, fmt.Errorf("number %d has %d parts and not two", i, len(p))
		}
		out[i] = [2]string{p[0], p[1]}
	}
	return out, nil
}

func (t *Tokenizer) readUnigram(m *modelFile, added []addedToken) error {
	var rows [][2]jsontext.Value
	if err := json.Unmarshal(m.Vocab, &rows); err != nil {
		return fmt.Errorf("vocab: %w", err)
	}
	vocab := make(map[string]int64, len(rows))
	u := &unigram{scores: make([]float64, len(rows)), vocab: vocab, unknown: -1, least: math.Inf(1)}
	for i, r := range rows {
		var token string
		if err := errors.Join(json.Unmarshal(r[0], &token), json.Unmarshal(r[1], &u.scores[i])); err != nil {
			return fmt.Errorf("vocab: number %d: %w", i, err)
		}
		if len(token) > longest {
			return fmt.Errorf("vocab: number %d is longer than %d bytes", i, longest)
		}
		vocab[token] = int64(i)
		u.least = min(u.least, u.scores[i])
	}
	if err := t.sized(vocab); err != nil {
		return err
	}
	t.Size = int64(len(rows))
	u.least -= unknownPenalty
	if m.UnkID == nil || *m.UnkID < 0 || *m.UnkID >= int64(len(rows)) {
		return errors.New("unk_id is no token of the vocabulary")
	}
	u.unknown, t.unknown = *m.UnkID, *m.UnkID
	for _, a := range added {
		if id, ok := vocab[a.Content]; ok && a.Special && id == a.ID && id != u.unknown {
			delete(vocab, a.Content) // nobody can write it into a text
		}
	}
	u.words = newLexicon(vocab)
	if m.Fallback {
		u.bytes = newFallback(vocab)
	}
	t.model = u
	return nil
}

// readAdded reads the tokens that are found in texts. Those that mark something for the model are not.
func (t *Tokenizer) readAdded(tokens []addedToken) error {
	if len(tokens) > maxVocabulary {
		return fmt.Errorf("%d of them, at most %d", len(tokens), maxVocabulary)
	}
	raw, folded := map[string]int64{}, map[string]int64{}
	how := map[int64]addedToken{}
	for _, a := range tokens {
		if a.ID < 0 || a.ID > maxVocabulary {
			return fmt.Errorf("%d is no number of a token", a.ID)
		}
		t.Size = max(t.Size, a.ID+1)
		switch {
		case a.Special:
			continue
		case a.Content == "" || len(a.Content) > longest:
			return fmt.Errorf("token %d has %d bytes, between 1 and %d", a.ID, len(a.Content), longest)
		case a.Normalized:
			text, err := t.normalize(a.Content)
			if err != nil {
				return err
			}
			if text == "" || len(text) > longest {
				continue
			}
			folded[text] = a.ID
		default:
			raw[a.Content] = a.ID
		}
		how[a.ID] = a
	}
	if len(raw) > 0 {
		t.raw = &added{newLexicon(raw), how}
	}
	if len(folded) > 0 {
		t.folded = &added{newLexicon(folded), maps.Clone(how)}
	}
	return nil
}

// process reads what stands around a sequence.
func (t *Tokenizer) process(n *node, depth int) error {
	if n == nil {
		return nil
	}
	switch n.Type {
	case "Sequence":
		if depth > maxDepth || len(n.Processors) > maxSteps {
			return errors.New("too many steps")
		}
		for i := range n.Processors {
			if err := t.process(&n.Processors[i], depth+1); err != nil {
				return err
			}
		}
	case "ByteLevel": // changes where tokens stand, not what they are
	case "BertProcessing", "RobertaProcessing":
		if n.Sep == nil || n.Cls == nil {
			return fmt.Errorf("%s without its two markers", n.Type)
		}
		t.Before, t.After = []int64{n.Cls.id}, []int64{n.Sep.id}
	case "TemplateProcessing":
		return t.template(n)
	default:
		return fmt.Errorf("type %.40q is not known", n.Type)
	}
	return nil
}

func (t *Tokenizer) template(n *node) error {
	var before, after []int64
	sequence := false
	for _, p := range n.Single {
		switch {
		case p.Sequence != nil && p.Special == nil && !sequence && p.Sequence.Type == 0:
			sequence = true
		case p.Special != nil && p.Sequence == nil && p.Special.Type == 0:
			ids := n.Special[p.Special.ID].IDs
			if len(ids) == 0 {
				return fmt.Errorf("template: special token %.40q has no number", p.Special.ID)
			}
			if sequence {
				after = append(after, ids...)
			} else {
				before = append(before, ids...)
			}
		default:
			return errors.New("template: of one text, markers before and after it and types of 0 can be used")
		}
	}
	if !sequence || len(before)+len(after) > maxMarkers {
		return fmt.Errorf("template: the text once, and at most %d markers", maxMarkers)
	}
	t.Before, t.After = before, after
	return nil
}

func charsmapOf(n *node) (*charsmap, error) {
	raw, err := base64.StdEncoding.DecodeString(*n.Charsmap)
	if err != nil {
		return nil, fmt.Errorf("precompiled_charsmap: %w", err)
	}
	return readCharsmap(raw)
}
