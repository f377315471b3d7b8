package anthropic

import (
	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/shape"
)

func usage() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("inference_geo service_tier speed"), f{
		"input_tokens":                shape.Count(shape.Input),
		"output_tokens":               shape.Count(shape.Output),
		"cache_read_input_tokens":     shape.Count(shape.CacheRead),
		"cache_creation_input_tokens": shape.Count(shape.CacheWrite),
		"cache_creation":              shape.Map(shape.Meta()),
		"server_tool_use":             shape.Map(shape.Meta()),
		"output_tokens_details":       shape.Object(f{"thinking_tokens": shape.Count(shape.Reasoning), "reasoning_tokens": shape.Count(shape.Reasoning)}),
		"iterations":                  shape.List(shape.Map(shape.Or(shape.Meta(), shape.Map(shape.Meta())))),
	}))
}

// ending says why the model stopped.
func ending() f {
	return f{
		"stop_reason":   shape.Meta(),
		"stop_sequence": shape.Text(wire.Answer),
		"stop_details":  shape.Object(f{"type": shape.Meta(), "category": shape.Meta(), "explanation": shape.Text(wire.Answer)}),
		"container":     shape.Leaves(wire.Answer),
	}
}

func failure() *shape.Shape {
	return shape.Object(f{"type": shape.Meta(), "message": shape.Text(wire.Answer), "details": shape.Leaves(wire.Answer)})
}

// metrics is what Bedrock adds to an answer's last event.
func metrics() *shape.Shape { return shape.Map(shape.Meta()) }

func message() f {
	return shape.With(ending(), f{
		"id":                             shape.Meta(),
		"role":                           shape.Meta(),
		"model":                          shape.Model(),
		"usage":                          usage(),
		"diagnostics":                    shape.Leaves(wire.Answer),
		"context_management":             shape.Leaves(wire.Answer),
		"amazon-bedrock-guardrailAction": shape.Meta(),
		"amazon-bedrock-trace":           shape.Leaves(wire.Answer),
		"content":                        shape.List(shape.By("type", shape.With(plain(wire.Answer), said()))).Indexed("block"),
	})
}

// Answer is the body of an answer.
func Answer() *shape.Shape {
	return shape.By("type", f{
		"message": shape.Object(message()),
		"error":   shape.Object(f{"error": failure(), "request_id": shape.Meta()}),
	})
}

// Events are those of a stream.
func Events() *shape.Shape {
	delta := f{
		"text_delta":       shape.Object(f{"text": shape.Text(wire.Answer).Formed()}),
		"input_json_delta": shape.Object(f{"partial_json": shape.Text(wire.ToolCall).Formed()}).Named("name"),
		"thinking_delta":   shape.Object(f{"thinking": shape.Text(wire.Reasoning), "estimated_tokens": shape.Meta()}),
		"signature_delta":  shape.Object(f{"signature": shape.Opaque()}),
		"citations_delta":  shape.Object(f{"citation": citations(wire.Answer)}),
		"compaction_delta": shape.Object(f{"content": shape.Text(wire.Answer), "encrypted_content": shape.Opaque()}),
	}
	index := f{"index": shape.Meta()}
	return shape.By("type", f{
		"message_start":       shape.Object(f{"message": shape.Object(shape.With(message(), shape.Metas("type")))}),
		"content_block_start": shape.Object(shape.With(index, f{"content_block": shape.By("type", shape.With(plain(wire.Answer), said()))})).Ident("index"),
		"content_block_delta": shape.Object(shape.With(index, f{"delta": shape.By("type", delta)})).Ident("index"),
		"content_block_stop":  shape.Object(index).Ident("index"),
		"message_delta":       shape.Object(f{"delta": shape.Object(ending()), "usage": usage(), "context_management": shape.Leaves(wire.Answer)}),
		"message_stop":        shape.Object(f{"amazon-bedrock-invocationMetrics": metrics()}).Last(),
		"ping":                shape.Object(f{}),
		"error":               shape.Object(f{"error": failure(), "request_id": shape.Meta()}).Last(),
	})
}

func counted() *shape.Shape {
	return shape.Object(f{"input_tokens": shape.Count(shape.Input), "context_management": shape.Map(shape.Meta())})
}
