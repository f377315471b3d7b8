package bedrock

import (
	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/anthropic"
	"bartizan/internal/guard/wire/shape"
)

func usage() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("totalTokens cacheReadInputTokenCount cacheWriteInputTokenCount serverToolUsage"), fields{
		"inputTokens": shape.Count(shape.Input), "outputTokens": shape.Count(shape.Output),
		"cacheReadInputTokens": shape.Count(shape.CacheRead), "cacheWriteInputTokens": shape.Count(shape.CacheWrite),
		"cacheDetails": shape.List(shape.Map(shape.Meta())), "serverToolUsage": shape.Map(shape.Meta()),
	}))
}

// ending is what an answer and the last event of a stream have.
func ending() fields {
	return shape.With(shape.Metas("stopReason p"), fields{
		"usage": usage(), "metrics": shape.Map(shape.Meta()), "trace": shape.Leaves(wire.Answer), "performanceConfig": shape.Map(shape.Meta()),
		"serviceTier": shape.Map(shape.Meta()), "additionalModelResponseFields": shape.Leaves(wire.Answer),
	})
}

func conversedFields() fields {
	said := shape.Object(fields{"role": shape.Meta(), "content": shape.List(block(wire.Answer))})
	return shape.With(ending(), fields{"output": shape.Object(fields{"message": said}), "message": shape.Text(wire.Answer)})
}

func conversed() *shape.Shape { return shape.Object(conversedFields()) }

// converseEvents are the events of ConverseStream by their names.
func converseEvents() map[string]*shape.Shape {
	base := fields{"contentBlockIndex": shape.Meta(), "p": shape.Opaque()}
	event := func(f fields) *shape.Shape {
		return shape.Object(shape.With(base, f)).Ident("contentBlockIndex").OrZero()
	}
	return map[string]*shape.Shape{
		"messageStart": event(fields{"role": shape.Meta()}),
		"contentBlockStart": event(fields{"start": shape.Object(fields{
			"toolUse":    shape.Object(shape.With(shape.Metas("toolUseId type"), fields{"name": shape.Text(wire.Label)})).Named("name"),
			"toolResult": shape.Object(shape.Metas("toolUseId type status")),
			"image":      picture(),
		})}),
		"contentBlockDelta": event(fields{"delta": shape.Object(fields{
			"text":    shape.Text(wire.Answer).Formed(),
			"toolUse": shape.Object(fields{"input": shape.Text(wire.ToolCall).Formed()}).Named("name"),
			"reasoningContent": shape.Object(fields{"text": shape.Text(wire.Reasoning).As("reasoning"),
				"signature": shape.Opaque(), "redactedContent": shape.Opaque()}),
			"citation":   shape.Leaves(wire.Answer).As("citation"),
			"toolResult": shape.List(shape.Object(fields{"text": shape.Text(wire.ToolResult).As("result"), "json": shape.JSON(wire.ToolResult).As("result")})),
			"image":      picture(),
		})}),
		"contentBlockStop": event(nil),
		"messageStop":      shape.Object(ending()),
		"metadata":         shape.Object(ending()).Last(),
	}
}

// invoke is a request of the model's own: Anthropic's has a version, Nova's may
// have one, the others are told by their fields.
func invoke() *shape.Shape {
	texts := shape.List(shape.Text(wire.Prompt))
	others := shape.Object(shape.With(shape.Metas(`temperature top_p top_k p k seed n num_generations return_likelihoods input_type truncate dimensions normalize
			embeddingTypes embedding_types return_prompt search_queries_only citation_quality stream`), fields{
		"prompt":               shape.Text(wire.Prompt), // Llama, Mistral
		"max_gen_len":          shape.Limit(),
		"max_tokens":           shape.Limit(),
		"stop":                 texts,
		"stop_sequences":       texts,
		"images":               shape.List(shape.Media()),
		"inputText":            shape.Text(wire.Prompt), // Titan
		"inputImage":           shape.Media(),
		"textGenerationConfig": shape.Object(shape.With(shape.Metas("temperature topP"), fields{"maxTokenCount": shape.Limit(), "stopSequences": texts})),
		"message":              shape.Text(wire.Prompt), // Cohere
		"preamble":             shape.Text(wire.System),
		"texts":                texts,
		"chat_history": shape.List(shape.By("role", fields{
			"USER": shape.Object(fields{"message": shape.Text(wire.Prompt)}), "CHATBOT": shape.Object(fields{"message": shape.Text(wire.Answer)}),
			"SYSTEM": shape.Object(fields{"message": shape.Text(wire.System)}),
		})),
		"documents": shape.Leaves(wire.Document),
		"tools":     shape.Leaves(wire.ToolSpec),
		"messages":  messages(), // Nova
		"system":    shape.List(shape.Object(fields{"text": shape.Text(wire.System)})),
		"inferenceConfig": shape.Object(shape.With(shape.Metas("temperature topP topK"), fields{
			"maxTokens": shape.Limit(), "max_new_tokens": shape.Limit(), "stopSequences": texts,
		})),
		"toolConfig":    toolConfig(),
		"schemaVersion": shape.Meta(),
	}))
	claude := anthropic.Request(fields{"anthropic_beta": shape.List(shape.Meta())}).Must("anthropic_version")
	return shape.By("anthropic_version", fields{"*": claude, "": others})
}

// plain are the fields in which other models than Anthropic's and Nova's answer.
func plain() fields {
	return shape.With(shape.Metas(`stop_reason inputTextTokenCount inputTextTokenCountByType totalOutputTextTokenCount completionReason index generation_id response_id
			is_finished finish_reason event_type response_type id`), fields{
		"generation":                     shape.Text(wire.Answer), // Llama
		"prompt":                         shape.Text(wire.Prompt),
		"prompt_token_count":             shape.Count(shape.Input),
		"generation_token_count":         shape.Count(shape.Output),
		"outputText":                     shape.Text(wire.Answer), // Titan
		"results":                        shape.List(shape.Object(fields{"tokenCount": shape.Count(shape.Output), "outputText": shape.Text(wire.Answer), "completionReason": shape.Meta()})).Indexed("result"),
		"outputs":                        shape.List(shape.Object(fields{"text": shape.Text(wire.Answer), "stop_reason": shape.Meta()})).Indexed("output"), // Mistral
		"text":                           shape.Text(wire.Answer),                                                                                          // Cohere
		"generations":                    shape.List(shape.Open(wire.Answer, fields{"id": shape.Meta(), "text": shape.Text(wire.Answer), "finish_reason": shape.Meta()})).Indexed("generation"),
		"citations":                      shape.Leaves(wire.Answer),
		"response":                       shape.Leaves(wire.Answer),
		"chat_history":                   shape.Leaves(wire.Prompt),
		"tool_calls":                     shape.Leaves(wire.ToolCall),
		"embedding":                      shape.List(shape.Meta()),
		"embeddings":                     shape.Or(shape.List(shape.List(shape.Meta())), shape.Map(shape.List(shape.List(shape.Meta())))),
		"embeddingsByType":               shape.Map(shape.List(shape.Meta())),
		"texts":                          shape.List(shape.Text(wire.Prompt)),
		"amazon-bedrock-guardrailAction": shape.Meta(),
		"amazon-bedrock-trace":           shape.Leaves(wire.Answer),
		"amazon-bedrock-invocationMetrics": shape.Object(shape.With(shape.Metas("invocationLatency firstByteLatency"), fields{
			"inputTokenCount": shape.Count(shape.Input), "outputTokenCount": shape.Count(shape.Output),
			"cacheReadInputTokenCount": shape.Count(shape.CacheRead), "cacheWriteInputTokenCount": shape.Count(shape.CacheWrite),
		})),
	})
}

func invoked() *shape.Shape {
	return shape.Else(anthropic.Answer(), shape.Object(shape.With(plain(), conversedFields())))
}

// invokeEvents are what the chunks of a stream have inside.
func invokeEvents() *shape.Shape {
	nova := fields{}
	for name, s := range converseEvents() {
		nova[name] = s
	}
	return shape.Else(anthropic.Events(), shape.Object(shape.With(plain(), nova)))
}
