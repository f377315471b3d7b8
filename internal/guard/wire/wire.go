// Package wire is the contract of a model API format: it finds every piece of
// text in requests, answers and streams of OpenAI, Anthropic, Bedrock, Gemini or
// Ollama, so that each can be inspected where it stands and replaced without
// touching a byte around it. It forwards nothing and judges nothing.
//
// What a format does not understand is listed, never skipped: the gateway's
// policy decides what happens to it. Its raw text is a part all the same, so that a
// policy which lets it pass still has it inspected. A body that two parsers could
// read in different ways is a *Unknown as a whole.
//
// Every string that a person or a model may have written is a part; what is left
// are numbers, words without blanks (ids, enumerations) and base64 of the provider.
// Tool names come as parts of the kind Label, beside the parts that carry them as Name.
package wire

import "fmt"

// Kind says what a piece of text is in a conversation.
type Kind string

// Kinds.
const (
	System     Kind = "system"      // instructions of the application: system, developer
	Prompt     Kind = "prompt"      // what a user says
	Answer     Kind = "answer"      // what the model says, structured output too
	Reasoning  Kind = "reasoning"   // what it says to itself
	ToolCall   Kind = "tool_call"   // arguments of a call, JSON
	ToolResult Kind = "tool_result" // what a tool gave back
	ToolSpec   Kind = "tool_spec"   // description of a tool or of one of its parameters
	Document   Kind = "document"    // attached or retrieved text
	Media      Kind = "media"       // image, audio, file: Text is empty
	Address    Kind = "address"     // where a medium is, in a part of its own beside it: a URL, not in place
	Label      Kind = "label"       // name of a tool, a participant, a file, an end user: a text, but no sentence
)

// Span is a range of bytes of the body: one JSON string literal with its quotes, or,
// where Text is JSON as it stands (arguments that are an object), that value. In a
// stream it belongs to the event, and RewriteEvent understands it. An empty one
// cannot be rewritten in place: what is found there can only be blocked.
type Span struct{ From, To int }

// Part is one piece of a request or an answer.
type Part struct {
	Kind  Kind
	Where string // RFC 6901 pointer into the body
	Name  string // of the tool, where there is one
	Text  string // decoded
	Media string // MIME type of Media, or the URL it is at
	Size  int    // of Media, bytes as sent
	Span  Span
	// Formed says that this is an answer itself, or the arguments of a call: what a schema is about.
	Formed bool
}

// Schema is one that a request names: of the answer, or of a tool's arguments.
type Schema struct {
	Tool    string // "": of the answer
	Where   string // RFC 6901 pointer into the body
	Text    string // JSON
	OpenAPI bool   // as Gemini writes it: OBJECT, nullable
}

// Usage is what the provider counted; -1 where it said nothing.
type Usage struct {
	Input, Output, CacheRead, CacheWrite, Reasoning int64 // tokens
}

// TextAt is the text of the part at a pointer; "" when there is none.
func (m *Message) TextAt(where string) string {
	for i := range m.Parts {
		if m.Parts[i].Where == where {
			return m.Parts[i].Text
		}
	}
	return ""
}

// Message is one request or one whole answer.
type Message struct {
	Model     string
	Others    []string // models that the request lets take its place
	Stream    bool     // the request asks for a stream
	MaxTokens int64    // the request's limit for the answer; 0: none; below 0: as it was asked
	User      string   // end user the request names; ""
	Parts     []Part
	Unknown   []string // pointers of what the format does not understand
	Usage     *Usage   // nil: not said
	Schemas   []Schema // that a request names; at most MaxSchemas, then TooMany
	TooMany   bool     // schemas
}

// MaxSchemas of one request that are told.
const MaxSchemas = 512

// Head is what of an HTTP request chooses the operation.
type Head struct {
	Method, Path string // path without the route's prefix
	ContentType  string // of the body at hand
}

// Format is one API. It is safe for concurrent use and keeps nothing.
type Format interface {
	// Request reads a request's body. The error is a *Unknown when head or body is no request of this format.
	Request(h Head, body []byte) (*Message, error)
	// Answer reads the whole body of a successful answer to a request with that head.
	Answer(h Head, body []byte) (*Message, error)
	// Stream makes a reader for the streamed answer to a request with that head; h.ContentType is the answer's.
	Stream(h Head) (Stream, error)
}

// Refusal is a request or an answer that was stopped.
type Refusal struct {
	Message string // for the caller, in our words
	Code    string // stable, "blocked_by_guard"
	ID      string // of the record that says why
}

// Refuser is a Format that can say no in the shape its clients understand.
type Refuser interface {
	Refuse(h Head, status int, r Refusal) (contentType string, body []byte)
}

// Stream reads one streamed answer. It is not safe for concurrent use.
type Stream interface {
	// Split returns the length of the first whole event in data, 0 when more is needed. data begins
	// where the last event ended; as long as the answer is 0, the next data is longer and begins with
	// the same bytes. What is left when the stream ends is no event: it is not to be passed on.
	Split(data []byte) (int, error)
	// Event reads one event as Split cut it.
	Event(raw []byte) (Event, error)
	// End is what closes the stream in place of what was stopped, so that a client sees an error or a refusal and no hang.
	End(r Refusal) []byte
}

// Event is one event of a stream.
type Event struct {
	Deltas  []Delta
	Usage   *Usage
	Unknown []string // pointers of what was not understood
	Last    bool     // the answer is complete; a few events may follow (usage, an end mark)
}

// Delta is a piece of text that continues its channel.
type Delta struct {
	Channel string // what belongs together: choice, block, call; unique in the stream
	Part
	Whole bool // repeats the channel's whole text (a "done" event) instead of continuing it
}

// Unknown says that something is not of the format.
type Unknown struct{ What string }

func (e *Unknown) Error() string { return fmt.Sprintf("not a known shape: %s", e.What) }
