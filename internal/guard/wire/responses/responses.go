// Package responses is the format of OpenAI's responses. It judges nothing.
//
// An answer repeats the request's instructions and tools: they keep their kinds
// (system, tool_spec), because the model did not say them.
// Source: https://platform.openai.com/docs/api-reference/responses and the types of
// the openai package 6.49.
package responses

import (
	"strconv"

	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/shape"
)

// Config has no settings.
type Config struct{}

// Default is the default configuration.
func Default() Config { return Config{} }

// New makes the format.
func New(Config) (wire.Format, error) {
	f := &format{}
	f.API = shape.API{Ops: append(Ops(),
		shape.Op{Method: "GET", Path: "/models", Tell: shape.Nothing()},
		shape.Op{Method: "GET", Path: "/models/{model}", Tell: shape.Nothing()})}
	return f, nil
}

// Ops are the operations, for formats that have others too.
func Ops() []shape.Op {
	return []shape.Op{
		{Method: "POST", Path: "/responses", Ask: request(), Tell: answer(), Events: events(), End: end},
		{Method: "POST", Path: "/responses/compact", Ask: request(), Tell: answer()},
		{Method: "POST", Path: "/responses/input_tokens", Ask: request(), Tell: shape.Object(fields{"object": shape.Meta(), "input_tokens": shape.Count(shape.Input)})},
		{Method: "POST", Path: "/responses/{id}/cancel", Tell: answer()},
		{Method: "GET", Path: "/responses/{id}/input_items", Tell: shape.Object(shape.With(shape.Metas("object first_id last_id has_more"), fields{"data": items()}))},
		{Method: "GET", Path: "/responses/{id}", Tell: answer(), Events: events(), End: end},
		{Method: "DELETE", Path: "/responses/{id}", Tell: shape.Object(shape.Metas("id object deleted"))},
	}
}

type format struct{ shape.API }

// problem is the error object of the API.
func problem(kind string, r wire.Refusal) []byte {
	b := wire.AppendString([]byte(`{"message":`), shape.Said(r))
	b = wire.AppendString(append(b, `,"type":`...), kind)
	b = wire.AppendString(append(b, `,"param":null,"code":`...), r.Code)
	return append(b, '}')
}

// Refuse is wire.Refuser's.
func (*format) Refuse(_ wire.Head, status int, r wire.Refusal) (string, []byte) {
	kind := "invalid_request_error"
	switch {
	case status == 429:
		kind = "rate_limit_error"
	case status >= 500:
		kind = "server_error"
	}
	return "application/json", []byte(`{"error":` + string(problem(kind, r)) + `}`)
}

// end is an error event. Clients look for its fields at the top or in an error object, so they are at both.
func end(e *shape.Events, r wire.Refusal) []byte {
	b := wire.AppendString([]byte("event: error\ndata: {\"type\":\"error\",\"code\":"), r.Code)
	b = wire.AppendString(append(b, `,"message":`...), shape.Said(r))
	b = append(b, `,"param":null,"sequence_number":`...)
	b = append(strconv.AppendInt(b, int64(e.Count), 10), `,"error":`...)
	return append(append(b, problem("server_error", r)...), "}\n\n"...)
}

type fields = shape.Fields

func usage() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("total_tokens cost cost_in_usd_ticks num_sources_used num_server_side_tools_used"), fields{
		"input_tokens":          shape.Count(shape.Input),
		"output_tokens":         shape.Count(shape.Output),
		"input_tokens_details":  shape.Object(fields{"cached_tokens": shape.Count(shape.CacheRead), "cache_write_tokens": shape.Count(shape.CacheWrite)}),
		"output_tokens_details": shape.Object(fields{"reasoning_tokens": shape.Count(shape.Reasoning)}),
	}))
}

// settings are what a request asks for and its answer repeats.
func settings() fields {
	return shape.With(shape.Metas(`background max_tool_calls parallel_tool_calls previous_response_id prompt_cache_key prompt_cache_retention
		safety_identifier service_tier store temperature top_logprobs top_p truncation frequency_penalty presence_penalty`), fields{
		"model":                shape.Model(),
		"instructions":         shape.Or(shape.Text(wire.System).Whole(), items()),
		"max_output_tokens":    shape.Limit(),
		"metadata":             shape.Map(shape.Text(wire.Document).Whole()),
		"user":                 shape.User().Whole(),
		"conversation":         shape.Or(shape.Meta(), shape.Object(shape.Metas("id"))),
		"prompt":               shape.Leaves(wire.Prompt).Whole(),
		"prompt_cache_options": shape.Map(shape.Meta()),
		"reasoning":            shape.Map(shape.Meta()),
		"context_management":   shape.List(shape.Map(shape.Meta())),
		"text": shape.Object(fields{"verbosity": shape.Meta(), "format": shape.Object(fields{
			"type": shape.Meta(), "name": shape.Text(wire.Label).Whole(), "description": shape.Text(wire.ToolSpec).Whole(), "schema": shape.Spec().Whole().OfAnswer(), "strict": shape.Meta(),
		})}),
		"tool_choice": shape.Or(shape.Meta(), shape.Open(wire.Label, shape.Metas("type mode")).Whole()),
		"tools":       shape.List(tool()).Indexed("tool"),
	})
}

func request() *shape.Shape {
	return shape.Object(shape.With(settings(), fields{
		"input":          shape.Or(shape.Text(wire.Prompt), items()),
		"include":        shape.List(shape.Meta()),
		"stream":         shape.Streams(),
		"stream_options": shape.Map(shape.Meta()),
		"moderation":     shape.Leaves(wire.Document),
	}))
}

// tool is a function or a tool of the provider with settings of its own.
func tool() *shape.Shape {
	return shape.By("type", fields{
		"function": shape.Object(fields{
			"name": shape.Text(wire.Label).Whole(), "description": shape.Text(wire.ToolSpec).Whole(), "parameters": shape.Spec().Whole().OfCall(), "strict": shape.Meta(),
			"defer_loading": shape.Meta(), "allowed_callers": shape.List(shape.Meta()), "output_schema": shape.Spec().Whole(),
		}).Named("name"),
		"*": shape.Open(wire.ToolSpec, fields{"name": shape.Text(wire.Label).Whole()}).Whole().Named("name"),
	})
}

func failure() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("code type param"), fields{"message": shape.Text(wire.Answer).As("error").Whole()}))
}

func response() fields {
	return shape.With(settings(), shape.Metas("id object status created_at completed_at"), fields{
		"error":              failure(),
		"incomplete_details": shape.Object(shape.Metas("reason")),
		"output":             shape.List(item()).Indexed("output_index"),
		"output_text":        shape.Text(wire.Answer).Whole(),
		"moderation":         shape.Leaves(wire.Answer).Whole(),
		"billing":            shape.Map(shape.Meta()),
		"content_filters":    shape.Words(wire.Answer), // Azure
		"usage":              usage(),
	})
}

func answer() *shape.Shape { return shape.Object(response()) }
