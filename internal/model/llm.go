package model

import "time"

// LLMCall is one exchange with a language model as a gateway saw it: who asked, what every
// inspector did, and what became of it. It holds no text of the exchange.
type LLMCall struct {
	ID         ULID           `json:"id"`
	Time       time.Time      `json:"time"`
	Took       float64        `json:"took_ms"`
	Route      string         `json:"route,omitempty"`
	Peer       string         `json:"peer,omitempty"` // address of the client
	Key        string         `json:"key,omitempty"`  // id of the client's key, never the key
	KeyName    string         `json:"key_name,omitempty"`
	User       string         `json:"user,omitempty"` // of the key, or as the request names its end user
	Method     string         `json:"method"`
	Path       string         `json:"path"`
	Model      string         `json:"model,omitempty"`
	Stream     bool           `json:"stream,omitempty"`
	Outcome    string         `json:"outcome" enum:"forwarded,refused,failed,abandoned"`
	Status     int            `json:"status"` // HTTP, given to the client
	Code       string         `json:"code,omitempty"`
	Action     string         `json:"action" enum:"allow,flag,throttle,mask,rewrite,block"`
	Category   string         `json:"category,omitempty"`
	Reason     string         `json:"reason,omitempty"`
	Decision   ULID           `json:"decision,omitzero"` // for which the client was refused
	Upstream   int            `json:"upstream_status,omitempty"`
	Request    int64          `json:"request_bytes"`
	Answer     int64          `json:"answer_bytes"`
	Usage      *LLMUsage      `json:"usage,omitempty"` // nil: the provider did not say
	Dollars    *float64       `json:"dollars,omitempty"`
	Unpriced   bool           `json:"cost_unknown,omitempty"`
	Found      []LLMFinding   `json:"found,omitempty"`
	Inspectors []LLMInspector `json:"inspectors,omitempty"`
	Masked     int            `json:"masked,omitempty"`
	Restored   int            `json:"restored,omitempty"`
	Media      int            `json:"media,omitempty"`   // pieces nobody looked into
	Unknown    []string       `json:"unknown,omitempty"` // what was not understood
}

// LLMUsage is what a provider counted, in tokens; -1 where it said nothing.
type LLMUsage struct {
	Input      int64 `json:"input"`
	Output     int64 `json:"output"`
	CacheRead  int64 `json:"cache_read"`
	CacheWrite int64 `json:"cache_write"`
	Reasoning  int64 `json:"reasoning"`
}

// LLMFinding is something that was found in an exchange, and what was done about it.
type LLMFinding struct {
	Where     string  `json:"where"`
	Direction string  `json:"direction"`
	Category  string  `json:"category"`
	Score     float64 `json:"score"`
	Note      string  `json:"note"` // in our words
	Action    string  `json:"action"`
}

// LLMInspector says how often an inspector did what, by texts of an exchange.
type LLMInspector struct {
	Name    string `json:"name"`
	Clean   int    `json:"clean,omitempty"`
	Found   int    `json:"found,omitempty"`
	Skipped int    `json:"skipped,omitempty"` // nothing to look for
	Failed  int    `json:"failed,omitempty"`
	Off     int    `json:"off,omitempty"` // not asked in the text's direction
}

// LLMTraffic is what was said in one exchange, as it is kept: personal data, credentials
// and known secrets are replaced, and what could not be is left out and says so.
type LLMTraffic struct {
	ID       ULID         `json:"id"` // of the LLMCall
	Time     time.Time    `json:"time"`
	Route    string       `json:"route"`
	Peer     string       `json:"peer,omitempty"`
	Key      string       `json:"key,omitempty"`
	Model    string       `json:"model,omitempty"`
	Action   string       `json:"action"`
	Category string       `json:"category,omitempty"`
	Masked   int          `json:"masked"`         // pieces that were replaced
	Withheld int          `json:"withheld"`       // texts that are not here
	More     int          `json:"more,omitempty"` // texts beyond those a record has room for
	Messages []LLMMessage `json:"messages" nullable:"false"`
}

// LLMMessage is one text of an exchange.
type LLMMessage struct {
	Direction string `json:"direction" enum:"system,request,tool_result,response,tool_call"`
	Kind      string `json:"kind"` // system, prompt, answer, reasoning, tool_call, tool_result, document, …
	Tool      string `json:"tool,omitempty"`
	Size      int    `json:"size"` // of the text as it was, bytes
	Text      string `json:"text,omitempty"`
	Withheld  string `json:"withheld,omitempty"` // why the text is not here
}
