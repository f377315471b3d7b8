package llm

import (
	"strings"
)

// response is the object of /v1/responses.
type response struct {
	ID                 string       `json:"id"`
	Object             string       `json:"object"`
	CreatedAt          int64        `json:"created_at"`
	Status             string       `json:"status"`
	Error              *string      `json:"error"`
	IncompleteDetails  *incomplete  `json:"incomplete_details"`
	Instructions       *string      `json:"instructions"`
	MaxOutputTokens    *int         `json:"max_output_tokens"`
	Model              string       `json:"model"`
	Output             []outputItem `json:"output"`
	ParallelToolCalls  bool         `json:"parallel_tool_calls"`
	PreviousResponseID *string      `json:"previous_response_id"`
	Store              bool         `json:"store"`
	Temperature        float64      `json:"temperature"`
	ToolChoice         string       `json:"tool_choice"`
	Tools              []string     `json:"tools"`
	TopP               float64      `json:"top_p"`
	Truncation         string       `json:"truncation"`
	Usage              *cost        `json:"usage"`
}

type incomplete struct {
	Reason string `json:"reason"`
}

type cost struct {
	Input        int       `json:"input_tokens"`
	InputDetail  cached    `json:"input_tokens_details"`
	Output       int       `json:"output_tokens"`
	OutputDetail reasoning `json:"output_tokens_details"`
	Total        int       `json:"total_tokens"`
}

type cached struct {
	N int `json:"cached_tokens"`
}

type reasoning struct {
	N int `json:"reasoning_tokens"`
}

type outputItem struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Status  string `json:"status"`
	Role    string `json:"role"`
	Content []part `json:"content"`
}

type part struct {
	Type        string   `json:"type"`
	Text        string   `json:"text"`
	Annotations []string `json:"annotations"`
}

// responseEvent is one event of a streamed response.
type responseEvent struct {
	Type     string      `json:"type"`
	Sequence int         `json:"sequence_number"`
	Response *response   `json:"response,omitempty"`
	ItemID   string      `json:"item_id,omitempty"`
	Output   *int        `json:"output_index,omitempty"`
	Content  *int        `json:"content_index,omitempty"`
	Item     *outputItem `json:"item,omitempty"`
	Part     *part       `json:"part,omitempty"`
	Delta    *string     `json:"delta,omitempty"`
	Text     *string     `json:"text,omitempty"`
}

// responses answers /v1/responses.
func (c *call) responses() error {
	_, q, m, err := c.ask1("input")
	if q == nil || err != nil {
		return err
	}
	words, reason := c.answer(m, q)
	all := strings.Join(words, "")
	if err := c.exchange(openai, q, all); err != nil {
		return err
	}
	base := response{ID: c.id("resp_"), Object: "response", CreatedAt: c.s.Now().Unix(), Status: "in_progress", Model: q.model, Output: []outputItem{},
		ParallelToolCalls: true, Temperature: 1, ToolChoice: "auto", Tools: []string{}, TopP: 1, Truncation: "disabled"}
	if q.system != "" {
		base.Instructions = &q.system
	}
	if q.limit > 0 {
		base.MaxOutputTokens = &q.limit
	}
	item := outputItem{ID: c.id("msg_"), Type: "message", Status: "completed", Role: "assistant", Content: []part{{"output_text", all, []string{}}}}
	full := base
	full.Status, full.Output = "completed", []outputItem{item}
	full.Usage = &cost{Input: q.tokens, Output: len(words), Total: q.tokens + len(words)}
	if reason == "length" {
		full.Status, full.IncompleteDetails = "incomplete", &incomplete{"max_output_tokens"}
	}
	if !q.stream {
		if !c.think(len(words)) {
			return c.ctx.Err()
		}
		return c.reply(200, full)
	}
	return c.events(func(say func(string, any) error) error { return tellResponse(say, base, full, item, words) })
}

// tellResponse sends the events of a streamed response in their order.
func tellResponse(say func(string, any) error, base, full response, item outputItem, words []string) error {
	seq, zero := 0, 0
	var failed error
	send := func(e responseEvent) {
		if failed == nil {
			e.Sequence = seq
			seq++
			failed = say(e.Type, e)
		}
	}
	all := item.Content[0].Text
	empty, opening := item, part{"output_text", "", []string{}}
	empty.Status, empty.Content = "in_progress", []part{}
	send(responseEvent{Type: "response.created", Response: &base})
	send(responseEvent{Type: "response.in_progress", Response: &base})
	send(responseEvent{Type: "response.output_item.added", Output: &zero, Item: &empty})
	send(responseEvent{Type: "response.content_part.added", ItemID: item.ID, Output: &zero, Content: &zero, Part: &opening})
	for _, w := range words {
		send(responseEvent{Type: "response.output_text.delta", ItemID: item.ID, Output: &zero, Content: &zero, Delta: &w})
	}
	send(responseEvent{Type: "response.output_text.done", ItemID: item.ID, Output: &zero, Content: &zero, Text: &all})
	send(responseEvent{Type: "response.content_part.done", ItemID: item.ID, Output: &zero, Content: &zero, Part: &item.Content[0]})
	send(responseEvent{Type: "response.output_item.done", Output: &zero, Item: &item})
	last := "response.completed"
	if full.Status == "incomplete" {
		last = "response.incomplete"
	}
	send(responseEvent{Type: last, Response: &full})
	return failed
}
