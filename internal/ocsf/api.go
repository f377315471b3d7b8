package ocsf

import (
	"slices"

	"bartizan/internal/observe"
)

const (
	classAPI int32 = 6003
	tokenAPI int32 = 7
)

var timeAndAI = []string{profileTime, profileAI}

// Call is an operation of a service protocol: API Activity.
type Call struct {
	Event
	Actor       Actor    `json:"actor" parquet:"actor"`
	SrcEndpoint Endpoint `json:"src_endpoint" parquet:"src_endpoint"`
	DstEndpoint Endpoint `json:"dst_endpoint,omitzero" parquet:"dst_endpoint"`
	API         CallAPI  `json:"api" parquet:"api"`
	Unmapped    Place    `json:"unmapped" parquet:"unmapped"`
}

// CallAPI is OCSF's api object.
type CallAPI struct {
	Operation string      `json:"operation" parquet:"operation,dict"`
	Service   Service     `json:"service" parquet:"service"`
	Request   CallRequest `json:"request" parquet:"request"`
}

// CallRequest is OCSF's request object. Requests have no identity of their own;
// the uid is the session's.
type CallRequest struct {
	UID  string   `json:"uid" parquet:"uid,dict"`
	Data CallData `json:"data,omitzero" parquet:"data"`
}

// CallData is what was asked.
type CallData struct {
	Args   []string `json:"args,omitempty" parquet:"args,list"`
	Detail string   `json:"detail,omitzero" parquet:"detail,optional"` // body or remainder
}

// IsZero lets encoders leave it out.
func (d CallData) IsZero() bool { return len(d.Args) == 0 && d.Detail == "" }

// FromObservation implements ObservationRow.
func (r *Call) FromObservation(m *Mapper, o *observe.Observation) {
	c := o.Call
	r.head(m, classAPI, activityOther, o.Time, onlyTime)
	r.other("Call")
	r.Metadata.CorrelationUID = m.sessionText(o.Session)
	r.StatusID = status(!c.Failed)
	r.Actor = actor(r.Metadata.CorrelationUID)
	r.SrcEndpoint, r.DstEndpoint = endpoint(o.Remote), m.localEndpoint(o.Local)
	r.Unmapped.setPlace(m, o)
	d := &r.API.Request.Data
	d.Detail, d.Args = text(c.Detail), slices.Grow(d.Args[:0], len(c.Args))
	for _, a := range c.Args {
		d.Args = append(d.Args, text(a))
	}
	r.API.Operation, r.API.Service.Name, r.API.Request.UID = text(c.Operation), r.Unmapped.Service, r.Metadata.CorrelationUID
}

// Observation implements ObservationRow.
func (r *Call) Observation() (observe.Observation, error) {
	o, err := r.observation(observe.KindCall, &r.Unmapped, r.SrcEndpoint, r.DstEndpoint)
	d := &r.API.Request.Data
	o.Call = &observe.APICall{Operation: r.API.Operation, Detail: d.Detail, Failed: r.StatusID == statusFailure}
	if len(d.Args) > 0 {
		o.Call.Args = slices.Clone(d.Args)
	}
	return o, err
}

// Exchange is a request to a language model and our answer: API Activity.
type Exchange struct {
	Event
	Actor       Actor       `json:"actor" parquet:"actor"`
	SrcEndpoint Endpoint    `json:"src_endpoint" parquet:"src_endpoint"`
	DstEndpoint Endpoint    `json:"dst_endpoint,omitzero" parquet:"dst_endpoint"`
	API         ExchangeAPI `json:"api" parquet:"api"`
	Model       AIModel     `json:"ai_model,omitzero" parquet:"ai_model"`
	Unmapped    Place       `json:"unmapped" parquet:"unmapped"`
}

// AIModel is OCSF's ai_model object; the zero value is left out.
type AIModel struct {
	Name     string `json:"name" parquet:"name,optional,dict"`
	Provider string `json:"ai_provider" parquet:"ai_provider,optional,dict"` // whose interface was used
}

// ExchangeAPI is OCSF's api object: operation is the route, service the kind of
// interface (ollama, openai, …).
type ExchangeAPI struct {
	Operation string           `json:"operation" parquet:"operation,dict"`
	Service   Service          `json:"service" parquet:"service"`
	Request   ExchangeRequest  `json:"request" parquet:"request"`
	Response  ExchangeResponse `json:"response,omitzero" parquet:"response"`
	Token     Token            `json:"token,omitzero" parquet:"token"`
}

// ExchangeRequest is OCSF's request object; its uid is the session's.
type ExchangeRequest struct {
	UID  string       `json:"uid" parquet:"uid,dict"`
	Data ExchangeData `json:"data,omitzero" parquet:"data"`
}

// ExchangeData is what was asked.
type ExchangeData struct {
	System  string `json:"system,omitzero" parquet:"system,optional"`
	Prompt  string `json:"prompt,omitzero" parquet:"prompt,optional"`
	Turns   int64  `json:"turns,omitzero" parquet:"turns"`
	Stream  bool   `json:"stream,omitzero" parquet:"stream"`
	Options string `json:"options,omitzero" parquet:"options,optional,dict"`
}

// ExchangeResponse is OCSF's response object.
type ExchangeResponse struct {
	Data ExchangeAnswer `json:"data,omitzero" parquet:"data"`
}

// ExchangeAnswer is the beginning of our answer.
type ExchangeAnswer struct {
	Answer string `json:"answer" parquet:"answer,optional"`
}

// Token is OCSF's token object: the key that was offered, by its identifier.
type Token struct {
	TypeID int32  `json:"type_id" parquet:"type_id,optional,dict"`
	UID    string `json:"uid,omitzero" parquet:"uid,optional,dict"`
}

// FromObservation implements ObservationRow.
func (r *Exchange) FromObservation(m *Mapper, o *observe.Observation) {
	e := o.Exchange
	r.head(m, classAPI, activityOther, o.Time, timeAndAI)
	r.other("Exchange")
	r.Metadata.CorrelationUID = m.sessionText(o.Session)
	r.Actor = actor(r.Metadata.CorrelationUID)
	r.SrcEndpoint, r.DstEndpoint = endpoint(o.Remote), m.localEndpoint(o.Local)
	r.Unmapped.setPlace(m, o)
	r.API = ExchangeAPI{
		Operation: text(e.Route), Service: Service{text(e.API)},
		Request: ExchangeRequest{UID: r.Metadata.CorrelationUID, Data: ExchangeData{
			System: text(e.System), Prompt: text(e.Prompt), Turns: int64(e.Turns), Stream: e.Stream, Options: text(e.Options)}},
		Response: ExchangeResponse{ExchangeAnswer{text(e.Answer)}},
	}
	if e.Key != "" {
		r.API.Token = Token{tokenAPI, text(e.Key)}
	}
	r.Model = AIModel{}
	if e.Model != "" {
		r.Model = AIModel{Name: text(e.Model), Provider: r.API.Service.Name}
	}
}

// Observation implements ObservationRow.
func (r *Exchange) Observation() (observe.Observation, error) {
	o, err := r.observation(observe.KindExchange, &r.Unmapped, r.SrcEndpoint, r.DstEndpoint)
	d := &r.API.Request.Data
	o.Exchange = &observe.Exchange{API: r.API.Service.Name, Model: r.Model.Name, Route: r.API.Operation, System: d.System, Prompt: d.Prompt,
		Turns: int(d.Turns), Stream: d.Stream, Key: r.API.Token.UID, Answer: r.API.Response.Data.Answer, Options: d.Options}
	return o, err
}
