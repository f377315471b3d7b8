// Package secret finds credentials by their published form, and what the
// operator has marked: canaries, known secrets, passages of the system prompt.
// Known secrets are found in every reading, with any separators in between, in
// pieces, in the codes that a model can be asked for, over several channels of
// a stream and over several answers of a conversation (scan, recall).
//
// What no reading explains is counted, and stopped when it could be a share of a
// known secret (explain): codes inside of codes, ciphers with a key.
//
// What it cannot find: a secret that is told by answers to questions about it
// ("is the third letter after m?"), one that is described, or hidden in the choice
// of ordinary words.
package secret

import (
	"fmt"
	"sync"

	"bartizan/internal/guard"
)

// Config of the inspector.
type Config struct {
	// Canaries are strings that have no business anywhere: one is a certain leak.
	Canaries []string `yaml:"canaries"`
	// Known secrets, at least 8 letters or digits long.
	Known []string `yaml:"known"`
	// SystemPrompt whose passages must not come out.
	SystemPrompt string `yaml:"system_prompt"`
	// Share of a known secret from which its pieces are a leak, over all answers
	// of a conversation.
	Share float64 `yaml:"share"`
	// Unexplained is the share of a known secret, in bits, that answers may hold of
	// what is no text: 0 lets pass what no reading explains.
	Unexplained float64 `yaml:"unexplained"`
	// Withhold takes Known out of what the application tells the model.
	Withhold bool `yaml:"withhold"`
	// Words is how many words of the system prompt in a row are a passage.
	Words int `yaml:"words"`
	// Formats looks for credentials by their form.
	Formats bool `yaml:"formats"`
}

// Default configuration.
func Default() Config {
	return Config{Words: 8, Formats: true, Share: 0.5, Unexplained: 0.45, Withhold: true}
}

const minKnown = 8 // letters and digits of a secret

// maxKnown bounds the memory of the index: about 200 KiB for each secret.
const maxKnown = min(200, guard.MaxKept)

// New makes the inspector.
func New(c Config) (guard.Inspector, error) {
	if c.Words < 4 || c.Words > 64 {
		return nil, fmt.Errorf("words %d: use 4 to 64; fewer than 4 words in a row occur in ordinary text", c.Words)
	}
	if c.Share == 0 {
		c.Share = Default().Share
	}
	if !(c.Share > 0.2 && c.Share <= 1) {
		return nil, fmt.Errorf("share %v: use a number above 0.2 and up to 1", c.Share)
	}
	if !(c.Unexplained >= 0 && c.Unexplained <= 4) {
		return nil, fmt.Errorf("unexplained %v: use 0 (off) to 4", c.Unexplained)
	}
	if n := len(c.Canaries) + len(c.Known); n > maxKnown {
		return nil, fmt.Errorf("%d secrets, the limit is %d", n, maxKnown)
	}
	i := &inspector{conf: c}
	ix := &index{abs: newAutomaton(), delta: newAutomaton()}
	for n, s := range append(append([]string(nil), c.Canaries...), c.Known...) {
		if err := ix.add(s, n < len(c.Canaries), c.Share); err != nil {
			return nil, fmt.Errorf("secret number %d %w", n+1, err)
		}
	}
	ix.prompt.add(c.SystemPrompt, c.Words)
	ix.seal()
	ix.unexplained(c.Unexplained)
	if len(ix.needles) > 0 || len(ix.prompt.passages) > 0 {
		i.index = ix
	}
	return i, nil
}

type inspector struct {
	conf  Config
	index *index    // nil: nothing is marked
	scans sync.Pool // of texts by themselves
}

// Inspect implements guard.Inspector.
func (i *inspector) Inspect(t *guard.Text) ([]guard.Finding, error) {
	if i.index == nil && !i.conf.Formats {
		return nil, &guard.NothingToDo{Why: "no secrets, no system prompt, formats turned off"}
	}
	var out []guard.Finding
	if i.index != nil {
		// The readings are looked at for what is hidden deeper than scan reads.
		if !t.Followed {
			out = i.marked(t.Raw, t.Asked)
		}
		for _, v := range t.Views {
			if v.Text != t.Raw && len(out) == 0 {
				out = i.marked(v.Text, true)
			}
		}
	}
	if i.conf.Formats {
		out = append(out, credentials(t)...)
	}
	return out, nil
}

// marked scans a text by itself; odd says that what nothing explains is no finding in
// it: nobody is told it, or it is what a code says.
func (i *inspector) marked(text string, odd bool) []guard.Finding {
	s, ok := i.scans.Get().(*scan)
	if !ok {
		s = newScan(i.index, nil)
	}
	s.odd = odd
	s.exp.brisk = odd || s.most == 0
	out, _ := s.Write(text)
	out = append(out, s.End()...)
	s.reset()
	i.scans.Put(s)
	return out
}

// Hold implements guard.Holder for credentials by their format.
func (i *inspector) Hold(text string) int {
	if !i.conf.Formats {
		return 0
	}
	return credentialTail(text)
}

// Most implements guard.Holder.
func (i *inspector) Most() (guard.Category, float64) { return guard.Secret, 0.8 }

// Remember implements guard.Follower.
func (i *inspector) Remember() guard.Recall {
	if i.index == nil {
		return nil
	}
	return newRecall(i.index)
}

// Follow implements guard.Follower.
func (i *inspector) Follow(r guard.Recall) guard.Follow {
	if i.index == nil {
		return nil
	}
	mine, _ := r.(*recall)
	s, ok := i.index.scans.Get().(*scan)
	if !ok {
		return newScan(i.index, mine)
	}
	if s.recall = mine; mine == nil {
		s.recall = newRecall(i.index)
	}
	return s
}
