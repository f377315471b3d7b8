package llm

import (
	"encoding/json"
	"strconv"
	"strings"
)

// question is a request to a model, whatever API it came by.
type question struct {
	model   string
	system  string
	prompt  string // newest text of the user
	turns   int
	stream  bool
	json    bool // the answer must be a JSON object
	limit   int  // tokens; 0 for no wish
	stop    []string
	usage   bool   // of a stream: tell what it cost
	tokens  int    // of everything that was sent
	options string // for the report
}

// text is a content: a string, or parts of which some are text.
type text struct {
	all    string
	images int
}

// UnmarshalJSON implements json.Unmarshaler. What is no content is empty.
func (t *text) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &t.all) == nil {
		return nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(b, &parts) != nil {
		var words []string // completions take a list of prompts
		_ = json.Unmarshal(b, &words)
		t.all = strings.Join(words, "\n")
		return nil
	}
	var all []string
	for _, p := range parts {
		if p.Text != "" {
			all = append(all, p.Text)
		} else if strings.Contains(p.Type, "image") {
			t.images++
		}
	}
	t.all = strings.Join(all, "\n")
	return nil
}

// message is one turn.
type message struct {
	Role    string   `json:"role"`
	Content text     `json:"content"`
	Images  []string `json:"images"`
}

// stops is one word or several at which to stop.
type stops []string

// UnmarshalJSON implements json.Unmarshaler.
func (s *stops) UnmarshalJSON(b []byte) error {
	var list []string
	if json.Unmarshal(b, &list) == nil {
		*s = list
		return nil
	}
	var one string
	if json.Unmarshal(b, &one) == nil && one != "" {
		*s = []string{one}
	}
	return nil
}

// wishes are what requests of all APIs may say about the answer.
type wishes struct {
	Temperature         *float64          `json:"temperature"`
	TopP                *float64          `json:"top_p"`
	Seed                *float64          `json:"seed"`
	MaxTokens           *float64          `json:"max_tokens"`
	MaxCompletionTokens *float64          `json:"max_completion_tokens"`
	MaxOutputTokens     *float64          `json:"max_output_tokens"`
	NumPredict          *float64          `json:"num_predict"`
	NumCtx              *float64          `json:"num_ctx"`
	Stop                stops             `json:"stop"`
	N                   *float64          `json:"n"`
	Tools               []json.RawMessage `json:"tools"`
	KeepAlive           json.RawMessage   `json:"keep_alive"`
}

// take adds the wishes to a question.
func (w *wishes) take(q *question) {
	var b strings.Builder
	add := func(name string, v *float64) {
		if v != nil {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(name + "=" + strconv.FormatFloat(*v, 'g', 6, 64))
		}
	}
	limits := [...]struct {
		name string
		v    *float64
	}{{"max_tokens", w.MaxTokens}, {"max_completion_tokens", w.MaxCompletionTokens}, {"max_output_tokens", w.MaxOutputTokens}, {"num_predict", w.NumPredict}}
	for _, l := range limits {
		add(l.name, l.v)
		if l.v != nil && *l.v >= 1 && *l.v < 1<<20 {
			q.limit = int(*l.v)
		}
	}
	add("temperature", w.Temperature)
	add("top_p", w.TopP)
	add("seed", w.Seed)
	add("num_ctx", w.NumCtx)
	add("n", w.N)
	if n := float64(len(w.Tools)); n > 0 {
		add("tools", &n)
	}
	if q.json {
		one := 1.0
		add("json", &one)
	}
	q.options = strings.TrimSpace(q.options + " " + b.String())
	q.stop = append(q.stop, w.Stop[:min(len(w.Stop), 8)]...)
}

// talk takes the turns of a conversation.
func (q *question) talk(list []message) {
	images := 0
	for _, m := range list {
		images += m.Content.images + len(m.Images)
		q.tokens += count(m.Content.all) + 4
		switch m.Role {
		case "system", "developer":
			q.system = strings.TrimSpace(q.system + "\n" + m.Content.all)
		case "user":
			q.prompt = m.Content.all
		}
	}
	q.turns += len(list)
	if images > 0 {
		q.options = "images=" + strconv.Itoa(images)
	}
}
