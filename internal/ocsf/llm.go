package ocsf

import (
	"fmt"
	"math"
	"slices"

	"bartizan/internal/model"
)

var timeAIAndControl = []string{profileTime, profileAI, profileControl}

const (
	actionAllowed      int32 = 1
	dispositionAllowed int32 = 1
	dispositionChanged int32 = 11 // Corrected
	severityLow        int32 = 2
	severityMedium     int32 = 3
)

// LLMActor is OCSF's actor object: the exchange, and whose key it was.
type LLMActor struct {
	Session Session `json:"session" parquet:"session"`
	User    LLMUser `json:"user,omitzero" parquet:"user"`
}

// LLMUser is OCSF's user object.
type LLMUser struct {
	Name string `json:"name,omitzero" parquet:"name,optional,dict"` // of the key's end user, or as the request names it
	UID  string `json:"uid,omitzero" parquet:"uid,optional,dict"`   // of the key
}

// LLMRoute is OCSF's api object of an exchange with a model: operation is method and path, service
// the route.
type LLMRoute struct {
	Operation string      `json:"operation" parquet:"operation,dict"`
	Service   Service     `json:"service" parquet:"service"`
	Request   LLMRequest  `json:"request" parquet:"request"`
	Response  LLMResponse `json:"response,omitzero" parquet:"response"`
	Token     Token       `json:"token,omitzero" parquet:"token"`
}

// LLMRequest is OCSF's request object; its uid is the exchange's.
type LLMRequest struct {
	UID string `json:"uid" parquet:"uid"`
}

// LLMResponse is OCSF's response object.
type LLMResponse struct {
	Code int32 `json:"code" parquet:"code,optional,dict"`
}

// LLMCall is an exchange with a language model, as a gateway judged it: API Activity.
type LLMCall struct {
	Event
	StatusCode    string          `json:"status_code,omitzero" parquet:"status_code,optional,dict"`
	StatusDetail  string          `json:"status_detail,omitzero" parquet:"status_detail,optional"` // why
	Duration      int64           `json:"duration" parquet:"duration"`                             // milliseconds
	ActionID      int32           `json:"action_id" parquet:"action_id,dict"`
	DispositionID int32           `json:"disposition_id" parquet:"disposition_id,dict"`
	Actor         LLMActor        `json:"actor" parquet:"actor"`
	SrcEndpoint   Peer            `json:"src_endpoint" parquet:"src_endpoint"`
	API           LLMRoute        `json:"api" parquet:"api"`
	Model         AIModel         `json:"ai_model,omitzero" parquet:"ai_model"`
	Unmapped      LLMCallUnmapped `json:"unmapped" parquet:"unmapped"`
}

// LLMCallUnmapped is what OCSF has no attribute for. The names of tokens are those of
// OpenTelemetry's semantic conventions for generative AI (gen_ai.usage.…), with "_" for ".".
type LLMCallUnmapped struct {
	Took       float64        `json:"took_ms" parquet:"took_ms"`
	Peer       string         `json:"peer,omitzero" parquet:"peer,optional,dict"`
	KeyName    string         `json:"key_name,omitzero" parquet:"key_name,optional,dict"`
	Method     string         `json:"method,omitzero" parquet:"method,optional,dict"`
	Path       string         `json:"path,omitzero" parquet:"path,optional,dict"`
	Stream     bool           `json:"stream,omitzero" parquet:"stream"`
	Outcome    string         `json:"outcome,omitzero" parquet:"outcome,optional,dict"`
	Status     int64          `json:"status,omitzero" parquet:"status"`
	Action     string         `json:"action,omitzero" parquet:"action,optional,dict"`
	Category   string         `json:"category,omitzero" parquet:"category,optional,dict"`
	Decision   string         `json:"decision,omitzero" parquet:"decision,optional,dict"`
	Upstream   int64          `json:"upstream_status,omitzero" parquet:"upstream_status"`
	Request    int64          `json:"request_bytes" parquet:"request_bytes"`
	Answer     int64          `json:"answer_bytes" parquet:"answer_bytes"`
	Usage      *LLMUsage      `json:"usage,omitempty" parquet:"usage,optional"`
	Dollars    *float64       `json:"dollars,omitempty" parquet:"dollars,optional"`
	Unpriced   bool           `json:"cost_unknown,omitzero" parquet:"cost_unknown"`
	Found      []LLMFinding   `json:"found,omitempty" parquet:"found,list"`
	Inspectors []LLMInspector `json:"inspectors,omitempty" parquet:"inspectors,list"`
	Masked     int64          `json:"masked,omitzero" parquet:"masked"`
	Restored   int64          `json:"restored,omitzero" parquet:"restored"`
	Media      int64          `json:"media,omitzero" parquet:"media"`
	Unknown    []string       `json:"unknown,omitempty" parquet:"unknown,list"`
}

// LLMUsage are tokens as a provider counted them; -1 where it said nothing.
type LLMUsage struct {
	Input      int64 `json:"input_tokens" parquet:"input_tokens"`
	Output     int64 `json:"output_tokens" parquet:"output_tokens"`
	CacheRead  int64 `json:"cache_read_input_tokens" parquet:"cache_read_input_tokens"`
	CacheWrite int64 `json:"cache_creation_input_tokens" parquet:"cache_creation_input_tokens"`
	Reasoning  int64 `json:"reasoning_output_tokens" parquet:"reasoning_output_tokens"`
}

// LLMFinding is something that was found, and what was done about it.
type LLMFinding struct {
	Where     string  `json:"where" parquet:"where"`
	Direction string  `json:"direction" parquet:"direction,dict"`
	Category  string  `json:"category" parquet:"category,dict"`
	Score     float64 `json:"score" parquet:"score"`
	Note      string  `json:"note" parquet:"note,dict"`
	Action    string  `json:"action" parquet:"action,dict"`
}

// LLMInspector says how often an inspector did what.
type LLMInspector struct {
	Name    string `json:"name" parquet:"name,dict"`
	Clean   int64  `json:"clean" parquet:"clean"`
	Found   int64  `json:"found" parquet:"found"`
	Skipped int64  `json:"skipped" parquet:"skipped"`
	Failed  int64  `json:"failed" parquet:"failed"`
	Off     int64  `json:"off" parquet:"off"`
}

// llmHead sets what the two classes have in common.
func llmHead(e *Event, activity, id, action string) (actionID, dispositionID int32) {
	e.other(activity)
	e.Metadata.UID = text(id)
	switch action {
	case "block":
		e.SeverityID = severityMedium
		return actionDenied, dispositionBlock
	case "mask", "rewrite":
		e.SeverityID = severityLow
		return actionModified, dispositionChanged
	case "flag", "throttle":
		e.SeverityID = severityLow
		return actionObserved, dispositionAlert
	}
	return actionAllowed, dispositionAllowed
}

// FromLLMCall overwrites the row.
func (r *LLMCall) FromLLMCall(m *Mapper, c *model.LLMCall) {
	r.head(m, classAPI, activityOther, c.Time, timeAIAndControl)
	r.ActionID, r.DispositionID = llmHead(&r.Event, "Inference", c.ID.String(), c.Action)
	r.StatusID = status(c.Outcome == "forwarded" && c.Status < 400)
	if c.Outcome == "refused" {
		r.ActionID, r.DispositionID = actionDenied, dispositionBlock
	}
	r.StatusCode, r.StatusDetail = text(c.Code), text(c.Reason)
	r.Duration = int64(math.Round(min(max(c.Took, 0), 1e12)))
	r.Actor = LLMActor{Session{r.Metadata.UID, true}, LLMUser{text(c.User), text(c.Key)}}
	r.SrcEndpoint = peer(text(c.Peer))
	r.API = LLMRoute{Operation: text(c.Method) + " " + text(c.Path), Service: Service{text(c.Route)}, Request: LLMRequest{r.Metadata.UID}, Response: LLMResponse{clamp32(c.Status)}}
	if c.Key != "" {
		r.API.Token = Token{tokenAPI, text(c.Key)}
	}
	r.Model = AIModel{}
	if c.Model != "" {
		r.Model = AIModel{text(c.Model), r.API.Service.Name}
	}
	r.Unmapped = LLMCallUnmapped{Took: c.Took, Peer: text(c.Peer), KeyName: text(c.KeyName), Method: text(c.Method), Path: text(c.Path), Stream: c.Stream, Outcome: text(c.Outcome), Status: int64(c.Status),
		Action: text(c.Action), Category: text(c.Category), Decision: idText(c.Decision), Upstream: int64(c.Upstream), Request: c.Request, Answer: c.Answer, Dollars: c.Dollars, Unpriced: c.Unpriced,
		Masked: int64(c.Masked), Restored: int64(c.Restored), Media: int64(c.Media)}
	if u := c.Usage; u != nil {
		r.Unmapped.Usage = &LLMUsage{u.Input, u.Output, u.CacheRead, u.CacheWrite, u.Reasoning}
	}
	for _, f := range c.Found {
		r.Unmapped.Found = append(r.Unmapped.Found, LLMFinding{text(f.Where), text(f.Direction), text(f.Category), f.Score, text(f.Note), text(f.Action)})
	}
	for _, i := range c.Inspectors {
		r.Unmapped.Inspectors = append(r.Unmapped.Inspectors, LLMInspector{text(i.Name), int64(i.Clean), int64(i.Found), int64(i.Skipped), int64(i.Failed), int64(i.Off)})
	}
	for _, u := range c.Unknown {
		r.Unmapped.Unknown = append(r.Unmapped.Unknown, text(u))
	}
}

// LLMCall is the way back. It fails on a row that no exchange makes.
func (r *LLMCall) LLMCall() (model.LLMCall, error) {
	u := &r.Unmapped
	c := model.LLMCall{Time: r.TimeDT.At(), Took: u.Took, Route: r.API.Service.Name, Peer: u.Peer, Key: r.Actor.User.UID, KeyName: u.KeyName, User: r.Actor.User.Name, Method: u.Method, Path: u.Path,
		Model: r.Model.Name, Stream: u.Stream, Outcome: u.Outcome, Status: int(u.Status), Code: r.StatusCode, Action: u.Action, Category: u.Category, Reason: r.StatusDetail, Upstream: int(u.Upstream),
		Request: u.Request, Answer: u.Answer, Dollars: u.Dollars, Unpriced: u.Unpriced, Masked: int(u.Masked), Restored: int(u.Restored), Media: int(u.Media)}
	var err error
	if c.ID, err = model.ParseULID(r.Metadata.UID); err != nil {
		return model.LLMCall{}, fmt.Errorf("read row of an exchange: %w", err)
	}
	if u.Decision != "" {
		if c.Decision, err = model.ParseULID(u.Decision); err != nil {
			return model.LLMCall{}, fmt.Errorf("read row of exchange %s: %w", c.ID, err)
		}
	}
	if t := u.Usage; t != nil {
		c.Usage = &model.LLMUsage{Input: t.Input, Output: t.Output, CacheRead: t.CacheRead, CacheWrite: t.CacheWrite, Reasoning: t.Reasoning}
	}
	for _, f := range u.Found {
		c.Found = append(c.Found, model.LLMFinding(f))
	}
	for _, i := range u.Inspectors {
		c.Inspectors = append(c.Inspectors, model.LLMInspector{Name: i.Name, Clean: int(i.Clean), Found: int(i.Found), Skipped: int(i.Skipped), Failed: int(i.Failed), Off: int(i.Off)})
	}
	if len(u.Unknown) > 0 {
		c.Unknown = slices.Clone(u.Unknown)
	}
	return c, nil
}

func clamp32(n int) int32 { return int32(min(max(n, 0), math.MaxInt32)) }

// idText is the text of an id; "" for none.
func idText(id model.ULID) string {
	if id == (model.ULID{}) {
		return ""
	}
	return id.String()
}

// LLMTraffic is what was said in an exchange, masked: API Activity.
type LLMTraffic struct {
	Event
	ActionID      int32              `json:"action_id" parquet:"action_id,dict"`
	DispositionID int32              `json:"disposition_id" parquet:"disposition_id,dict"`
	Actor         LLMActor           `json:"actor" parquet:"actor"`
	SrcEndpoint   Peer               `json:"src_endpoint" parquet:"src_endpoint"`
	API           LLMRoute           `json:"api" parquet:"api"`
	Model         AIModel            `json:"ai_model,omitzero" parquet:"ai_model"`
	Unmapped      LLMTrafficUnmapped `json:"unmapped" parquet:"unmapped"`
}

// LLMTrafficUnmapped is what OCSF 1.8 has no attribute for (message_context came with 1.9).
type LLMTrafficUnmapped struct {
	Peer     string       `json:"peer,omitzero" parquet:"peer,optional,dict"`
	Action   string       `json:"action,omitzero" parquet:"action,optional,dict"`
	Category string       `json:"category,omitzero" parquet:"category,optional,dict"`
	Masked   int64        `json:"masked" parquet:"masked"`
	Withheld int64        `json:"withheld" parquet:"withheld"`
	More     int64        `json:"more,omitzero" parquet:"more"`
	Messages []LLMMessage `json:"messages,omitempty" parquet:"messages,list"`
}

// LLMMessage is one text of an exchange.
type LLMMessage struct {
	Direction string `json:"direction" parquet:"direction,dict"`
	Kind      string `json:"kind" parquet:"kind,dict"`
	Tool      string `json:"tool,omitzero" parquet:"tool,optional,dict"`
	Size      int64  `json:"size" parquet:"size"`
	Text      string `json:"text,omitzero" parquet:"text,optional"`
	Withheld  string `json:"withheld,omitzero" parquet:"withheld,optional,dict"`
}

// FromLLMTraffic overwrites the row.
func (r *LLMTraffic) FromLLMTraffic(m *Mapper, x *model.LLMTraffic) {
	r.head(m, classAPI, activityOther, x.Time, timeAIAndControl)
	r.ActionID, r.DispositionID = llmHead(&r.Event, "Exchange", x.ID.String(), x.Action)
	r.Actor = LLMActor{Session{r.Metadata.UID, true}, LLMUser{UID: text(x.Key)}}
	r.SrcEndpoint = peer(text(x.Peer))
	r.API = LLMRoute{Operation: "exchange", Service: Service{text(x.Route)}, Request: LLMRequest{r.Metadata.UID}}
	if x.Key != "" {
		r.API.Token = Token{tokenAPI, text(x.Key)}
	}
	r.Model = AIModel{}
	if x.Model != "" {
		r.Model = AIModel{text(x.Model), r.API.Service.Name}
	}
	r.Unmapped = LLMTrafficUnmapped{Peer: text(x.Peer), Action: text(x.Action), Category: text(x.Category), Masked: int64(x.Masked), Withheld: int64(x.Withheld), More: int64(x.More)}
	for _, t := range x.Messages {
		r.Unmapped.Messages = append(r.Unmapped.Messages, LLMMessage{text(t.Direction), text(t.Kind), text(t.Tool), int64(t.Size), text(t.Text), text(t.Withheld)})
	}
}

// LLMTraffic is the way back. It fails on a row that no exchange makes.
func (r *LLMTraffic) LLMTraffic() (model.LLMTraffic, error) {
	u := &r.Unmapped
	x := model.LLMTraffic{Time: r.TimeDT.At(), Route: r.API.Service.Name, Peer: u.Peer, Key: r.Actor.User.UID, Model: r.Model.Name, Action: u.Action, Category: u.Category,
		Masked: int(u.Masked), Withheld: int(u.Withheld), More: int(u.More)}
	var err error
	if x.ID, err = model.ParseULID(r.Metadata.UID); err != nil {
		return model.LLMTraffic{}, fmt.Errorf("read row of recorded traffic: %w", err)
	}
	for _, t := range u.Messages {
		x.Messages = append(x.Messages, model.LLMMessage{Direction: t.Direction, Kind: t.Kind, Tool: t.Tool, Size: int(t.Size), Text: t.Text, Withheld: t.Withheld})
	}
	return x, nil
}
