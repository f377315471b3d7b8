// Package bedrock is the format of Amazon Bedrock's Converse, ConverseStream,
// InvokeModel, InvokeModelWithResponseStream and CountTokens. A stream is one of
// AWS event-stream frames; texts in it are replaced inside the frames, base64 and
// check sums made again. Bodies of InvokeModel are the model's own: those of
// Anthropic, Nova, Llama, Titan, Mistral and Cohere are read, others are unknown.
// It judges nothing.
//
// Requests are signed by the client (SigV4): a gateway that changes one signs it
// itself.
// Source: https://docs.aws.amazon.com/bedrock/latest/APIReference and the types of the
// package @aws-sdk/client-bedrock-runtime 3.1164.
package bedrock

import (
	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/shape"
)

// Config has no settings.
type Config struct{}

// Default is the default configuration.
func Default() Config { return Config{} }

// New makes the format. Its server does not look at a request's content type, and the client says octet-stream.
func New(Config) (wire.Format, error) {
	f := &format{}
	f.API = shape.API{End: end, Lax: true, Ops: []shape.Op{
		{Method: "POST", Path: "/model/{model}/converse", Ask: converse(), Tell: conversed()},
		{Method: "POST", Path: "/model/{model}/converse-stream", Ask: converse(), Frame: frames(converseEvents(), nil), Stream: true},
		{Method: "POST", Path: "/model/{model}/invoke", Ask: invoke(), Tell: invoked()},
		{Method: "POST", Path: "/model/{model}/invoke-with-response-stream", Ask: invoke(), Frame: frames(nil, invokeEvents()), Stream: true},
		{Method: "POST", Path: "/model/{model}/count-tokens", Ask: shape.Object(fields{"input": shape.Object(fields{"converse": converse()})}),
			Tell: shape.Object(fields{"inputTokens": shape.Count(shape.Input), "message": shape.Text(wire.Answer)})},
	}}
	return f, nil
}

type format struct{ shape.API }

// Refuse is wire.Refuser's. The client takes the name of the error from the body when no header has it.
func (*format) Refuse(_ wire.Head, status int, r wire.Refusal) (string, []byte) {
	name := "ValidationException"
	switch {
	case status == 401 || status == 403:
		name = "AccessDeniedException"
	case status == 429:
		name = "ThrottlingException"
	case status >= 500:
		name = "ServiceUnavailableException"
	}
	b := wire.AppendString([]byte(`{"__type":`), name)
	b = wire.AppendString(append(b, `,"message":`...), shape.Said(r))
	b = wire.AppendString(append(b, `,"reason":`...), r.Code)
	return "application/json", append(b, '}')
}

type fields = shape.Fields

func converse() *shape.Shape {
	return shape.Object(fields{
		"modelId":  shape.Model(),
		"messages": messages(),
		"system":   shape.List(shape.Object(fields{"text": shape.Text(wire.System), "guardContent": guarded(wire.System), "cachePoint": cachePoint()})),
		"inferenceConfig": shape.Object(shape.With(shape.Metas("temperature topP topK"), fields{
			"maxTokens": shape.Limit(), "stopSequences": shape.List(shape.Text(wire.Prompt)),
		})),
		"toolConfig":                        toolConfig(),
		"guardrailConfig":                   shape.Map(shape.Meta()),
		"additionalModelRequestFields":      shape.Leaves(wire.System),
		"additionalModelResponseFieldPaths": shape.List(shape.Text(wire.Label)),
		"promptVariables":                   shape.Map(shape.Object(fields{"text": shape.Text(wire.Prompt)})),
		"requestMetadata":                   shape.Map(shape.Text(wire.Document)),
		"performanceConfig":                 shape.Map(shape.Meta()),
		"serviceTier":                       shape.Map(shape.Meta()),
		"outputConfig": shape.Object(fields{"effort": shape.Meta(), "textFormat": shape.Object(fields{"type": shape.Meta(),
			"structure": shape.Object(fields{"jsonSchema": shape.Object(fields{
				"schema": shape.Text(wire.ToolSpec).OfAnswer(), "name": shape.Text(wire.Label), "description": shape.Text(wire.ToolSpec),
			})}),
		})}),
	})
}

func messages() *shape.Shape {
	turn := func(k wire.Kind) *shape.Shape { return shape.Object(fields{"content": shape.List(block(k))}) }
	return shape.List(shape.By("role", fields{"user": turn(wire.Prompt), "assistant": turn(wire.Answer), "system": turn(wire.System)}))
}

func toolConfig() *shape.Shape {
	none := shape.Object(fields{})
	return shape.Object(fields{
		"tools": shape.List(shape.Object(fields{
			"toolSpec": shape.Object(fields{"name": shape.Text(wire.Label), "description": shape.Text(wire.ToolSpec), "strict": shape.Meta(),
				"inputSchema": shape.Object(fields{"json": shape.Spec().OfCall()})}).Named("name"),
			"systemTool": shape.Object(fields{"name": shape.Text(wire.Label)}),
			"cachePoint": cachePoint(),
		})),
		"toolChoice": shape.Object(fields{"auto": none, "any": none, "tool": shape.Object(fields{"name": shape.Text(wire.Label)})}),
	})
}

func cachePoint() *shape.Shape { return shape.Object(shape.Metas("type ttl")) }

func guarded(k wire.Kind) *shape.Shape {
	return shape.Object(fields{
		"text":  shape.Object(fields{"text": shape.Text(k), "qualifiers": shape.List(shape.Meta())}),
		"image": picture(),
	})
}

func source(more fields) *shape.Shape {
	return shape.Object(shape.With(fields{"bytes": shape.Media(), "s3Location": shape.Object(fields{"uri": shape.Media(), "bucketOwner": shape.Meta()})}, more))
}

// picture is an image, a video or a sound.
func picture() *shape.Shape {
	return shape.Object(fields{"format": shape.Meta(), "source": source(nil), "error": shape.Leaves(wire.Answer)}).Typed("format")
}

func searchResult() *shape.Shape {
	return shape.Object(fields{"source": shape.Text(wire.Document), "title": shape.Text(wire.Document),
		"content": shape.List(shape.Object(fields{"text": shape.Text(wire.Document)})), "citations": shape.Map(shape.Meta())})
}

func document() *shape.Shape {
	return shape.Object(fields{"format": shape.Meta(), "name": shape.Text(wire.Document), "context": shape.Text(wire.Document), "citations": shape.Map(shape.Meta()),
		"source": source(fields{"text": shape.Text(wire.Document), "content": shape.List(shape.Object(fields{"text": shape.Text(wire.Document)}))})}).Typed("format")
}

// block is one of many: the member that is there says which.
func block(k wire.Kind) *shape.Shape {
	return shape.Object(fields{
		"text":     shape.Text(k).Formed(),
		"image":    picture(),
		"video":    picture(),
		"audio":    picture(),
		"document": document(),
		"toolUse": shape.Object(shape.With(shape.Metas("toolUseId type"), fields{
			"name": shape.Text(wire.Label), "input": shape.JSON(wire.ToolCall).Formed(),
		})).Named("name"),
		"toolResult":       toolResult(),
		"guardContent":     guarded(k),
		"reasoningContent": shape.Object(fields{"reasoningText": shape.Object(fields{"text": shape.Text(wire.Reasoning), "signature": shape.Opaque()}), "redactedContent": shape.Opaque()}),
		"citationsContent": shape.Object(fields{"content": shape.List(shape.Object(fields{"text": shape.Text(k)})), "citations": shape.Leaves(k)}),
		"searchResult":     searchResult(),
		"cachePoint":       cachePoint(),
		"toolAddition":     shape.Leaves(wire.ToolSpec),
		"toolRemoval":      shape.Leaves(wire.ToolSpec),
	})
}

func toolResult() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("toolUseId status type"), fields{"content": shape.List(shape.Object(fields{
		"text": shape.Text(wire.ToolResult), "json": shape.JSON(wire.ToolResult),
		"image": picture(), "video": picture(), "document": document(), "searchResult": searchResult(),
	}))}))
}
