// Package gemini is the format of Google's generateContent and streamGenerateContent
// (as server-sent events and as a JSON array), countTokens, embeddings and the list
// of models, of the Gemini API and of Vertex AI. It judges nothing.
//
// The API reads someKey and some_key alike; a body with both is refused.
// Source: https://ai.google.dev/api/generate-content and the types of the package
// @google/genai 2.32.
package gemini

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
	ask := shape.Object(request()).Must("contents").Snake()
	count := shape.Object(shape.With(request(), fields{"generateContentRequest": shape.Object(request())})).Snake()
	embed := shape.Object(embedding()).Snake()
	f.API = shape.API{End: end, Ops: []shape.Op{
		{Method: "POST", Path: "/models/{model}:generateContent", Ask: ask, Tell: answer()},
		{Method: "POST", Path: "/models/{model}:streamGenerateContent", Ask: ask, Events: answer(), Frame: frame, Stream: true},
		{Method: "POST", Path: "/models/{model}:countTokens", Ask: count, Tell: counted()},
		{Method: "POST", Path: "/models/{model}:embedContent", Ask: embed, Tell: vectors()},
		{Method: "POST", Path: "/models/{model}:batchEmbedContents", Ask: shape.Object(fields{"requests": shape.List(embed)}).Snake(), Tell: vectors()},
		{Method: "GET", Path: "/models", Tell: shape.Nothing()},
		{Method: "GET", Path: "/models/{model}", Tell: shape.Nothing()},
	}}
	return f, nil
}

type format struct{ shape.API }

func frame(e *shape.Events, media string) wire.Stream {
	if media == "application/json" {
		return shape.Items(e)
	}
	return shape.SSE(e, media)
}

// problem is the error object of the API.
func problem(code, status string, r wire.Refusal) []byte {
	b := append([]byte(`{"error":{"code":`), code...)
	b = wire.AppendString(append(b, `,"message":`...), shape.Said(r))
	b = wire.AppendString(append(b, `,"status":`...), status)
	b = wire.AppendString(append(b, `,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","domain":"bartizan","reason":`...), r.Code)
	return append(b, "}]}}"...)
}

// Refuse is wire.Refuser's.
func (*format) Refuse(_ wire.Head, status int, r wire.Refusal) (string, []byte) {
	code, name := "400", "INVALID_ARGUMENT"
	switch {
	case status == 401:
		code, name = "401", "UNAUTHENTICATED"
	case status == 403:
		code, name = "403", "PERMISSION_DENIED"
	case status == 429:
		code, name = "429", "RESOURCE_EXHAUSTED"
	case status >= 500:
		code, name = "503", "UNAVAILABLE"
	}
	return "application/json; charset=UTF-8", problem(code, name, r)
}

// end: clients raise an event with an error of a code from 400 on.
func end(e *shape.Events, r wire.Refusal) []byte {
	p := string(problem("403", "PERMISSION_DENIED", r))
	switch {
	case !e.Items:
		return []byte("data: " + p + "\n\n")
	case e.Count == 0:
		return []byte("[" + p + "]")
	}
	return []byte("," + p + "]")
}

type fields = shape.Fields

func request() fields {
	return fields{
		"model":             shape.Model(),
		"contents":          shape.Or(content(wire.Prompt), shape.List(content(wire.Prompt))),
		"systemInstruction": shape.Object(fields{"role": shape.Meta(), "parts": parts(wire.System)}),
		"tools": shape.List(shape.Open(wire.ToolSpec, fields{"functionDeclarations": shape.List(shape.Object(fields{
			"name": shape.Text(wire.Label), "description": shape.Text(wire.ToolSpec), "behavior": shape.Meta(),
			"parameters": shape.Spec().OfCall().OpenAPI(), "parametersJsonSchema": shape.Spec().OfCall(), "response": shape.Spec(), "responseJsonSchema": shape.Spec(),
		}).Named("name"))})),
		"toolConfig":       shape.Open(wire.Label, nil),
		"safetySettings":   shape.List(shape.Map(shape.Meta())),
		"cachedContent":    shape.Meta(),
		"labels":           shape.Map(shape.Text(wire.Document)),
		"serviceTier":      shape.Meta(),
		"store":            shape.Meta(),
		"modelArmorConfig": shape.Map(shape.Meta()),
		"generationConfig": shape.Object(shape.With(shape.Metas(`temperature topP topK candidateCount responseLogprobs logprobs presencePenalty frequencyPenalty seed
			responseMimeType mediaResolution audioTimestamp enableEnhancedCivicAnswers`), fields{
			"maxOutputTokens":    shape.Limit(),
			"stopSequences":      shape.List(shape.Text(wire.Prompt)),
			"responseSchema":     shape.Spec().OfAnswer().OpenAPI(),
			"responseJsonSchema": shape.Spec().OfAnswer(),
			"responseFormat":     shape.Spec(),
			"responseModalities": shape.List(shape.Meta()),
			"thinkingConfig":     shape.Map(shape.Meta()),
			"imageConfig":        shape.Map(shape.Meta()),
			"speechConfig":       shape.Leaves(wire.Prompt),
			"routingConfig":      shape.Leaves(wire.Prompt),
		})),
	}
}

// content is one turn; without a role it is the user's.
func content(k wire.Kind) *shape.Shape {
	turn := func(k wire.Kind) *shape.Shape { return shape.Object(fields{"parts": parts(k)}) }
	return shape.By("role", fields{
		"": turn(k), "user": turn(wire.Prompt), "model": turn(wire.Answer), "function": turn(wire.ToolResult), "tool": turn(wire.ToolResult), "system": turn(wire.System),
	})
}

// parts of a turn; one with "thought": true is what the model said to itself.
func parts(k wire.Kind) *shape.Shape {
	said, thought := part(k, "text"), part(wire.Reasoning, "thought")
	one := shape.By("thought", fields{"": said, "false": said, "true": thought})
	return shape.Or(one, shape.List(one))
}

func part(k wire.Kind, as string) *shape.Shape {
	blob := shape.Object(fields{"mimeType": shape.Meta(), "data": shape.Media(), "displayName": shape.Text(wire.Label)}).Typed("mimeType")
	file := shape.Object(fields{"mimeType": shape.Meta(), "fileUri": shape.Media(), "displayName": shape.Text(wire.Label)}).Typed("mimeType")
	return shape.Object(fields{
		"text":             shape.Text(k).As(as).Formed(),
		"thoughtSignature": shape.Opaque(),
		"inlineData":       blob,
		"fileData":         file,
		"functionCall": shape.Object(fields{"id": shape.Meta(), "name": shape.Text(wire.Label), "args": shape.JSON(wire.ToolCall).Formed(),
			"partialArgs": shape.Leaves(wire.ToolCall), "willContinue": shape.Meta()}).Named("name").Fresh(),
		"functionResponse": shape.Object(fields{"id": shape.Meta(), "name": shape.Text(wire.Label), "response": shape.JSON(wire.ToolResult),
			"willContinue": shape.Meta(), "scheduling": shape.Meta(), "parts": shape.List(shape.Object(fields{"inlineData": blob, "fileData": file}))}).Named("name").Fresh(),
		"executableCode":      shape.Object(fields{"id": shape.Meta(), "language": shape.Meta(), "code": shape.Text(wire.ToolCall)}).Fresh(),
		"codeExecutionResult": shape.Object(fields{"id": shape.Meta(), "outcome": shape.Meta(), "output": shape.Text(wire.ToolResult)}).Fresh(),
		"toolCall":            shape.Open(wire.ToolCall, fields{"id": shape.Meta()}).Fresh(),
		"toolResponse":        shape.Open(wire.ToolResult, fields{"id": shape.Meta()}).Fresh(),
		"audioTranscription":  shape.Open(k, nil),
		"videoMetadata":       shape.Map(shape.Meta()),
		"mediaResolution":     shape.Or(shape.Meta(), shape.Map(shape.Meta())),
		"partMetadata":        shape.Leaves(wire.Document),
	})
}

func answer() *shape.Shape {
	count := shape.With(shape.Metas("totalTokenCount toolUsePromptTokenCount trafficType serviceTier"), fields{
		"promptTokenCount":        shape.Count(shape.Input),
		"candidatesTokenCount":    shape.Count(shape.Output),
		"cachedContentTokenCount": shape.Count(shape.CacheRead),
		"thoughtsTokenCount":      shape.Count(shape.Reasoning),
	})
	for _, k := range []string{"promptTokensDetails", "candidatesTokensDetails", "cacheTokensDetails", "toolUsePromptTokensDetails"} {
		count[k] = shape.List(shape.Map(shape.Meta()))
	}
	ratings := shape.List(shape.Map(shape.Meta()))
	return shape.Object(shape.With(shape.Metas("responseId createTime"), fields{
		"modelVersion":   shape.Model(),
		"modelStatus":    shape.Leaves(wire.Answer),
		"usageMetadata":  shape.Object(count),
		"promptFeedback": shape.Object(fields{"blockReason": shape.Meta().Last(), "blockReasonMessage": shape.Text(wire.Answer), "safetyRatings": ratings}),
		"error":          failure(),
		"candidates": shape.List(shape.Object(shape.With(shape.Metas("index tokenCount avgLogprobs continuationToken"), fields{
			"content":            shape.Object(fields{"role": shape.Meta(), "parts": parts(wire.Answer)}),
			"finishReason":       shape.Meta().Last(), // no event closes the stream
			"finishMessage":      shape.Text(wire.Answer),
			"safetyRatings":      ratings,
			"citationMetadata":   shape.Leaves(wire.Answer),
			"groundingMetadata":  shape.Leaves(wire.Answer),
			"urlContextMetadata": shape.Leaves(wire.Answer),
			"logprobsResult":     shape.Odds(),
		})).Ident("index").OrZero()),
	})).Snake()
}

func failure() *shape.Shape {
	return shape.Object(fields{"code": shape.Meta(), "status": shape.Meta(), "message": shape.Text(wire.Answer), "details": shape.Leaves(wire.Answer)}).Last()
}

func counted() *shape.Shape {
	return shape.Object(fields{
		"totalTokens": shape.Count(shape.Input), "cachedContentTokenCount": shape.Count(shape.CacheRead), "totalBillableCharacters": shape.Meta(), "error": failure(),
		"promptTokensDetails": shape.List(shape.Map(shape.Meta())), "cacheTokensDetails": shape.List(shape.Map(shape.Meta())),
	}).Snake()
}

func embedding() fields {
	return shape.With(shape.Metas("taskType outputDimensionality"), fields{
		"model": shape.Model(), "content": content(wire.Prompt), "title": shape.Text(wire.Document),
		"embedContentConfig": shape.Leaves(wire.Document),
	})
}

func vectors() *shape.Shape {
	one := shape.Object(fields{"values": shape.List(shape.Meta()), "shape": shape.List(shape.Meta()), "statistics": shape.Map(shape.Meta())})
	return shape.Object(fields{"embedding": one, "embeddings": shape.List(one), "metadata": shape.Map(shape.Meta()), "usageMetadata": shape.Leaves(wire.Answer), "error": failure()}).Snake()
}
