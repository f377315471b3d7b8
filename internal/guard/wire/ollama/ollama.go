// Package ollama is the format of Ollama's chat, generate and embeddings, and of
// the operations that list models. It judges nothing. Operations that change
// models (create, pull, push, copy, delete, blobs) are not of it.
//
// Token numbers (context) are not read: in a request they are unknown, in an answer
// they repeat what is there as text.
// Source: https://github.com/ollama/ollama/blob/main/docs/api.md and the types of the
// ollama package 0.6.4.
package ollama

import (
	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/shape"
)

// Config has no settings.
type Config struct{}

// Default is the default configuration.
func Default() Config { return Config{} }

// New makes the format. Its server does not look at a request's content type.
func New(Config) (wire.Format, error) {
	f := &format{}
	f.API = shape.API{End: end, Lax: true, Ops: []shape.Op{
		{Method: "POST", Path: "/api/chat", Ask: chat(), Tell: chatted(), Events: chatted(), Frame: shape.Lines, Stream: true},
		{Method: "POST", Path: "/api/generate", Ask: generate(), Tell: generated(), Events: generated(), Frame: shape.Lines, Stream: true},
		{Method: "POST", Path: "/api/embed", Ask: embed("input"), Tell: embedded()},
		{Method: "POST", Path: "/api/embeddings", Ask: embed("prompt"), Tell: embedded()},
		{Method: "POST", Path: "/api/show", Ask: shape.Object(fields{"model": shape.Model(), "name": shape.Model(), "verbose": shape.Meta()}), Tell: shape.Open(wire.Document, nil)},
		{Method: "GET", Path: "/api/tags", Tell: shape.Nothing()},
		{Method: "GET", Path: "/api/ps", Tell: shape.Nothing()},
		{Method: "GET", Path: "/api/version", Tell: shape.Nothing()},
	}}
	return f, nil
}

type format struct{ shape.API }

func problem(r wire.Refusal) []byte {
	b := wire.AppendString([]byte(`{"error":`), shape.Said(r))
	return append(b, '}')
}

// Refuse is wire.Refuser's.
func (*format) Refuse(_ wire.Head, _ int, r wire.Refusal) (string, []byte) {
	return "application/json; charset=utf-8", problem(r)
}

// end: clients raise a line with an error.
func end(_ *shape.Events, r wire.Refusal) []byte { return append(problem(r), '\n') }

type fields = shape.Fields

func options() *shape.Shape {
	return shape.Map(shape.Or(shape.Text(wire.Prompt), shape.Meta(), shape.List(shape.Text(wire.Prompt))))
}

// settings are those of chat and generate.
func settings() fields {
	return shape.With(shape.Metas("keep_alive think truncate shift logprobs top_logprobs"), fields{
		"model":  shape.Model(),
		"stream": shape.Streams(),
		"format": shape.Spec().OfAnswer(),
		"options": shape.Open(wire.Prompt, shape.With(shape.Metas("temperature top_k top_p min_p seed num_ctx repeat_penalty"), fields{
			"num_predict": shape.Limit(),
			"stop":        shape.Or(shape.Text(wire.Prompt), shape.List(shape.Text(wire.Prompt))),
		})),
	})
}

func chat() *shape.Shape {
	return shape.Object(shape.With(settings(), fields{
		"messages": shape.List(shape.By("role", fields{
			"system":    shape.Object(message(wire.System)),
			"user":      shape.Object(message(wire.Prompt)),
			"assistant": shape.Object(message(wire.Answer)),
			"tool":      shape.Object(message(wire.ToolResult)).Named("tool_name"),
		})),
		"tools": shape.List(shape.Object(fields{"type": shape.Meta(), "function": shape.Object(fields{
			"type": shape.Meta(), "name": shape.Text(wire.Label), "description": shape.Text(wire.ToolSpec), "parameters": shape.Spec().OfCall(),
		}).Named("name")})),
	})).Must("model")
}

func message(k wire.Kind) fields {
	return fields{
		"role":         shape.Meta(),
		"content":      shape.Text(k).Formed(),
		"thinking":     shape.Text(wire.Reasoning),
		"images":       shape.List(shape.Media()),
		"name":         shape.Text(wire.Label),
		"tool_name":    shape.Text(wire.Label),
		"tool_call_id": shape.Meta(),
		"tool_calls": shape.List(shape.Object(fields{"id": shape.Meta(), "type": shape.Meta(), "function": shape.Object(fields{
			"index": shape.Meta(), "name": shape.Text(wire.Label), "arguments": shape.JSON(wire.ToolCall).Formed(), "description": shape.Text(wire.ToolCall),
		}).Named("name")}).Fresh()),
	}
}

func generate() *shape.Shape {
	return shape.Object(shape.With(settings(), shape.Metas("raw width height steps"), fields{
		"prompt":   shape.Text(wire.Prompt),
		"suffix":   shape.Text(wire.Prompt),
		"system":   shape.Text(wire.System),
		"template": shape.Text(wire.System),
		"images":   shape.List(shape.Media()),
		"context":  nil,
	})).Must("model")
}

// told is what every answer has.
func told() fields {
	return shape.With(shape.Metas("created_at done_reason total_duration load_duration prompt_eval_duration eval_duration remote_model remote_host completed total"), fields{
		"model":             shape.Model(),
		"done":              shape.Done(),
		"prompt_eval_count": shape.Count(shape.Input),
		"eval_count":        shape.Count(shape.Output),
		"logprobs":          shape.Odds(),
		"error":             shape.Text(wire.Answer).Last(),
	})
}

func chatted() *shape.Shape {
	return shape.Object(shape.With(told(), fields{"message": shape.Object(message(wire.Answer))}))
}

func generated() *shape.Shape {
	return shape.Object(shape.With(told(), fields{
		"response": shape.Text(wire.Answer).Formed(),
		"thinking": shape.Text(wire.Reasoning),
		"image":    shape.Media(),
		"context":  shape.List(shape.Meta()),
	}))
}

func embed(key string) *shape.Shape {
	return shape.Object(shape.With(shape.Metas("truncate keep_alive dimensions"), fields{
		"model": shape.Model(), "options": options(), key: shape.Or(shape.Text(wire.Prompt), shape.List(shape.Text(wire.Prompt))),
	})).Must("model")
}

func embedded() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("total_duration load_duration"), fields{
		"model": shape.Model(), "prompt_eval_count": shape.Count(shape.Input),
		"embedding": shape.List(shape.Meta()), "embeddings": shape.List(shape.List(shape.Meta())), "error": shape.Text(wire.Answer),
	}))
}
