// Package anthropic is the format of Anthropic's messages, their token counts and
// the list of models. It judges nothing.
// Source: https://docs.anthropic.com/en/api/messages and the types of the package
// @anthropic-ai/sdk 1.14.
package anthropic

import (
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
	f.API = shape.API{End: end, Ops: []shape.Op{
		{Method: "POST", Path: "/messages", Ask: Request(nil).Must("messages"), Tell: Answer(), Events: Events()},
		{Method: "POST", Path: "/messages/count_tokens", Ask: Request(nil).Must("messages"), Tell: counted()},
		{Method: "GET", Path: "/models", Tell: shape.Nothing()},
		{Method: "GET", Path: "/models/{model}", Tell: shape.Nothing()},
	}}
	return f, nil
}

type format struct{ shape.API }

// Problem is the error object of the API.
func Problem(kind string, r wire.Refusal) []byte {
	b := wire.AppendString([]byte(`{"type":"error","error":{"type":`), kind)
	b = wire.AppendString(append(b, `,"message":`...), shape.Said(r))
	b = wire.AppendString(append(b, `,"details":{"error_code":`...), r.Code)
	return append(b, "}}}"...)
}

// Refuse is wire.Refuser's.
func (*format) Refuse(_ wire.Head, status int, r wire.Refusal) (string, []byte) {
	kind := "invalid_request_error"
	switch {
	case status == 401:
		kind = "authentication_error"
	case status == 403:
		kind = "permission_error"
	case status == 413:
		kind = "request_too_large"
	case status == 429:
		kind = "rate_limit_error"
	case status >= 500:
		kind = "api_error"
	}
	return "application/json", Problem(kind, r)
}

// end: clients raise an error event wherever it comes.
func end(_ *shape.Events, r wire.Refusal) []byte {
	return []byte("event: error\ndata: " + string(Problem("api_error", r)) + "\n\n")
}

type f = shape.Fields

func cache() *shape.Shape { return shape.Object(shape.Metas("type ttl scope")) }

// Request is the body of a request with more fields (those of Bedrock).
func Request(more f) *shape.Shape {
	system := shape.Object(f{"content": content(wire.System)})
	return shape.Object(shape.With(shape.Metas("temperature top_p top_k service_tier inference_geo speed user_profile_id workspace_id"), f{
		"model":              shape.Model(),
		"max_tokens":         shape.Limit(),
		"stream":             shape.Streams(),
		"system":             content(wire.System),
		"stop_sequences":     shape.List(shape.Text(wire.Prompt)),
		"metadata":           shape.Object(f{"user_id": shape.User()}),
		"cache_control":      cache(),
		"container":          shape.Leaves(wire.Document),
		"diagnostics":        shape.Leaves(wire.Document),
		"context_management": shape.Leaves(wire.System),
		"mcp_servers":        shape.Leaves(wire.ToolSpec),
		"thinking":           shape.Object(shape.Metas("type budget_tokens display")),
		"output_format":      outputFormat(),
		"output_config":      shape.Object(f{"effort": shape.Meta(), "format": outputFormat(), "task_budget": shape.Object(shape.Metas("type total remaining"))}),
		"tool_choice":        shape.Object(f{"type": shape.Meta(), "disable_parallel_tool_use": shape.Meta(), "name": shape.Text(wire.Label)}),
		"tools":              shape.List(tool()),
		"messages": shape.List(shape.By("role", f{
			"user":      shape.Object(f{"content": content(wire.Prompt)}),
			"assistant": shape.Object(f{"content": content(wire.Answer)}),
			"system":    system,
		})),
	}, more))
}

func outputFormat() *shape.Shape {
	return shape.Object(f{"type": shape.Meta(), "schema": shape.Spec().OfAnswer()})
}

// tool is one of the application, or one of the provider with a dated type and settings of its own.
func tool() *shape.Shape {
	own := shape.Object(shape.With(shape.Metas("type defer_loading eager_input_streaming strict"), f{
		"name":            shape.Text(wire.Label),
		"description":     shape.Text(wire.ToolSpec),
		"input_schema":    shape.Spec().OfCall(),
		"input_examples":  shape.Leaves(wire.ToolSpec),
		"allowed_callers": shape.List(shape.Meta()),
		"cache_control":   cache(),
	})).Named("name")
	return shape.By("type", f{"": own, "custom": own, "*": shape.Open(wire.ToolSpec, f{"name": shape.Text(wire.Label), "cache_control": cache()}).Named("name")})
}

// content is a text or a list of blocks of whatever kind its speaker makes it.
func content(k wire.Kind) *shape.Shape {
	return shape.Or(shape.Text(k), shape.List(shape.By("type", blocks(k))))
}

func citations(k wire.Kind) *shape.Shape { return shape.Leaves(k).As("citations") }

// plain are the blocks that stand in results and documents too.
func plain(k wire.Kind) f {
	return f{
		"text":  shape.Object(f{"text": shape.Text(k).Formed(), "citations": citations(k), "cache_control": cache()}),
		"image": shape.Object(f{"source": source(nil), "cache_control": cache(), "transformations": shape.Leaves(k)}),
	}
}

func source(text *shape.Shape) *shape.Shape {
	data := shape.Metas("media_type")
	data["data"] = shape.Media()
	cases := f{
		"base64": shape.Object(data).Typed("media_type"),
		"url":    shape.Object(f{"url": shape.Media()}),
		"file":   shape.Object(f{"file_id": shape.Meta()}),
	}
	if text != nil {
		cases["text"] = shape.Object(f{"media_type": shape.Meta(), "data": shape.Text(wire.Document)})
		cases["content"] = shape.Object(f{"content": text})
	}
	return shape.By("type", cases)
}

func documents() f {
	inner := shape.Or(shape.Text(wire.Document), shape.List(shape.By("type", plain(wire.Document))))
	return f{
		"document": shape.Object(f{"source": source(inner), "title": shape.Text(wire.Document), "context": shape.Text(wire.Document),
			"citations": shape.Object(shape.Metas("enabled")), "cache_control": cache()}),
		"search_result": shape.Object(f{"source": shape.Text(wire.Document), "title": shape.Text(wire.Document), "content": inner,
			"citations": shape.Object(shape.Metas("enabled")), "cache_control": cache()}),
	}
}

func blocks(k wire.Kind) f {
	out := shape.With(plain(k), documents(), said(), f{
		"tool_result": shape.Object(shape.With(shape.Metas("tool_use_id is_error toolset_name"), f{"cache_control": cache(),
			"content": shape.Or(shape.Text(wire.ToolResult), shape.List(shape.By("type", shape.With(plain(wire.ToolResult), documents(), f{
				"tool_reference": shape.Object(f{"tool_name": shape.Text(wire.Label), "cache_control": cache()}),
				"browser_state":  shape.Open(wire.ToolResult, nil),
			}))))})),
		"mid_conv_system": shape.Open(wire.System, nil),
	})
	return out
}

// called is a call of a tool, results what a tool of the provider gave back.
func called() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("id toolset_name"), f{
		"name":          shape.Text(wire.Label),
		"server_name":   shape.Text(wire.Label),
		"input":         shape.JSON(wire.ToolCall).Whole().Formed(),
		"caller":        shape.Object(shape.Metas("type tool_id")),
		"cache_control": cache(),
	})).Named("name")
}

// said are the blocks that a model makes, or its provider's tools for it.
func said() f {
	out := f{
		"thinking":          shape.Object(f{"thinking": shape.Text(wire.Reasoning), "signature": shape.Opaque()}),
		"redacted_thinking": shape.Object(f{"data": shape.Opaque()}),
		"tool_use":          called(),
		"server_tool_use":   called(),
		"mcp_tool_use":      called(),
		"container_upload":  shape.Object(f{"file_id": shape.Meta(), "cache_control": cache()}),
		"compaction":        shape.Object(f{"content": shape.Text(wire.Answer), "signature": shape.Opaque(), "encrypted_content": shape.Opaque(), "cache_control": cache()}),
	}
	for _, name := range []string{"web_search", "web_fetch", "code_execution", "bash_code_execution", "text_editor_code_execution", "tool_search", "mcp"} {
		out[name+"_tool_result"] = shape.Open(wire.ToolResult, shape.With(shape.Metas("tool_use_id is_error"), f{"cache_control": cache()}))
	}
	return out
}
