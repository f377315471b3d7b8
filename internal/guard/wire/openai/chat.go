package openai

import (
	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/shape"
)

func request() *shape.Shape {
	return shape.Object(shape.With(shape.Metas(`frequency_penalty logprobs n parallel_tool_calls presence_penalty prompt_cache_key prompt_cache_retention
		reasoning_effort safety_identifier seed service_tier store temperature top_logprobs top_p top_k min_p repetition_penalty verbosity
		ignore_eos min_tokens skip_special_tokens include_reasoning reasoning_format safe_prompt random_seed prompt_mode route deferred`), f{
		"model":                 shape.Model(),
		"messages":              shape.List(message()),
		"user":                  shape.User(),
		"stream":                shape.Streams(),
		"stream_options":        streamOptions(),
		"max_tokens":            shape.Limit(),
		"max_completion_tokens": shape.Limit(),
		"stop":                  texts(wire.Prompt),
		"logit_bias":            shape.Map(shape.Meta()),
		"metadata":              shape.Map(shape.Text(wire.Document)),
		"modalities":            shape.List(shape.Meta()),
		"audio":                 shape.Object(f{"format": shape.Meta(), "voice": shape.Or(shape.Meta(), shape.Object(shape.Metas("id")))}),
		"moderation":            shape.Object(f{"model": shape.Meta(), "policy": shape.Map(shape.Object(shape.Metas("mode")))}),
		"prompt_cache_options":  shape.Object(shape.Metas("mode ttl")),
		"prediction":            shape.Object(f{"type": shape.Meta(), "content": content(wire.Prompt, nil)}),
		"functions":             shape.List(shape.Object(function()).Named("name")),
		"function_call":         shape.Or(shape.Meta(), named()),
		"tools":                 shape.List(tool()),
		"tool_choice":           shape.Or(shape.Meta(), toolChoice()),
		"response_format":       responseFormat(),
		"reasoning":             shape.Object(shape.Metas("effort summary max_tokens exclude enabled")),
		"chat_template_kwargs":  shape.Map(shape.Meta()),
		"models":                shape.List(shape.Others()), // OpenRouter
		"provider":              shape.Words(wire.Prompt),
		"transforms":            shape.List(shape.Meta()),
		"plugins":               shape.Leaves(wire.Prompt),
		"search_parameters":     shape.Leaves(wire.Prompt), // xAI
		"data_sources":          shape.Leaves(wire.Prompt), // Azure
		"guided_json":           shape.Spec().OfAnswer(),   // vLLM
		"web_search_options": shape.Object(f{"search_context_size": shape.Meta(), "user_location": shape.Object(f{
			"type":        shape.Meta(),
			"approximate": shape.Map(shape.Text(wire.Prompt)),
		})}),
	})).Must("messages")
}

// message is one turn; its role says what its text is.
func message() *shape.Shape {
	said := func(k wire.Kind, more ...f) *shape.Shape {
		return shape.Object(shape.With(append(more, f{"content": content(k, parts(k)), "name": shape.Text(wire.Label)})...))
	}
	return shape.By("role", f{
		"system":    said(wire.System),
		"developer": said(wire.System),
		"user":      said(wire.Prompt),
		"tool":      said(wire.ToolResult, shape.Metas("tool_call_id")).Named("name"),
		"function":  said(wire.ToolResult).Named("name"),
		"assistant": said(wire.Answer, spoken(), shape.Metas("id prefix"), f{"audio": shape.Object(shape.Metas("id"))}),
	})
}

// spoken is what a model says, in a request's history as in an answer.
func spoken() f {
	return f{
		"content":           content(wire.Answer, parts(wire.Answer)),
		"refusal":           shape.Text(wire.Answer),
		"reasoning_content": shape.Text(wire.Reasoning),
		"reasoning":         shape.Text(wire.Reasoning),
		"reasoning_details": shape.List(shape.Object(shape.With(shape.Metas("type id format index"), f{
			"text": shape.Text(wire.Reasoning), "summary": shape.Text(wire.Reasoning), "data": shape.Opaque(), "signature": shape.Opaque(),
		})).Ident("index")),
		"tool_calls":               shape.List(call()),
		"function_call":            called("arguments"),
		"annotations":              shape.List(annotation()),
		"provider_specific_fields": shape.Leaves(wire.Answer),   // LiteLLM
		"context":                  shape.Leaves(wire.Document), // Azure
	}
}

// call is a tool call; in a stream the type comes with its first piece only.
func call() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("id type index"), f{"function": called("arguments"), "custom": called("input")})).Ident("index")
}

func called(arguments string) *shape.Shape {
	text := shape.Text(wire.ToolCall)
	if arguments == "arguments" { // the input of a custom tool has a grammar
		text.Formed()
	}
	return shape.Object(f{"name": shape.Text(wire.Label), arguments: text}).Named("name")
}

func annotation() *shape.Shape {
	return shape.Object(f{"type": shape.Meta(), "url_citation": shape.Object(shape.With(shape.Metas("start_index end_index"), f{
		"title": shape.Text(wire.Answer), "url": shape.Text(wire.Answer), "content": shape.Text(wire.Answer),
	}))})
}

// content is a text or a list of parts.
func content(k wire.Kind, more f) *shape.Shape {
	as := map[bool]string{false: "content", true: "reasoning_content"}[k == wire.Reasoning]
	text := func() *shape.Shape {
		s := shape.Text(k).As(as)
		if k == wire.Answer {
			s.Formed()
		}
		return s
	}
	return shape.Or(text(), shape.List(shape.By("type", shape.With(f{
		"text": shape.Object(f{"text": text(), "prompt_cache_breakpoint": breakpoint(), "cache_control": shape.Object(shape.Metas("type ttl"))}),
	}, more))))
}

func breakpoint() *shape.Shape { return shape.Object(shape.Metas("mode")) }

func link() *shape.Shape {
	return shape.Or(shape.Media(), shape.Object(f{"url": shape.Media(), "detail": shape.Meta()}))
}

func parts(k wire.Kind) f {
	return f{
		"thinking":     shape.Object(f{"thinking": content(wire.Reasoning, nil), "closed": shape.Meta(), "signature": shape.Opaque()}), // Mistral
		"reference":    shape.Object(f{"reference_ids": shape.Words(k)}),
		"document_url": shape.Object(f{"document_url": shape.Media(), "document_name": shape.Text(wire.Label)}),
		"refusal":      shape.Object(f{"refusal": shape.Text(k)}),
		"image_url":    shape.Object(f{"image_url": link(), "prompt_cache_breakpoint": breakpoint()}),
		"video_url":    shape.Object(f{"video_url": link()}),
		"input_audio":  shape.Object(f{"input_audio": shape.Object(f{"data": shape.Media(), "format": shape.Meta()}).Typed("format"), "prompt_cache_breakpoint": breakpoint()}),
		"file": shape.Object(f{"file": shape.Object(f{"file_data": shape.Media(), "file_id": shape.Meta(), "filename": shape.Text(wire.Label)}),
			"prompt_cache_breakpoint": breakpoint()}),
	}
}

func function() f {
	return f{"name": shape.Text(wire.Label), "description": shape.Text(wire.ToolSpec), "parameters": shape.Spec().OfCall(), "strict": shape.Meta()}
}

func tool() *shape.Shape {
	grammar := shape.Object(f{"definition": shape.Text(wire.ToolSpec), "syntax": shape.Meta()})
	return shape.By("type", f{
		"function": shape.Object(f{"function": shape.Object(function()).Named("name"), "cache_control": shape.Object(shape.Metas("type ttl"))}),
		"custom": shape.Object(f{"custom": shape.Object(f{
			"name":        shape.Text(wire.Label),
			"description": shape.Text(wire.ToolSpec),
			"format":      shape.Object(f{"type": shape.Meta(), "grammar": grammar}),
		}).Named("name")}),
	})
}

func named() *shape.Shape { return shape.Object(f{"name": shape.Text(wire.Label)}) }

func toolChoice() *shape.Shape {
	one := f{
		"function": shape.Object(f{"function": named()}),
		"custom":   shape.Object(f{"custom": named()}),
	}
	return shape.By("type", shape.With(one, f{
		"allowed_tools": shape.Object(f{"allowed_tools": shape.Object(f{"mode": shape.Meta(), "tools": shape.List(shape.By("type", one))})}),
	}))
}

func responseFormat() *shape.Shape {
	return shape.Object(f{"type": shape.Meta(), "json_schema": shape.Object(f{
		"name": shape.Text(wire.Label), "description": shape.Text(wire.ToolSpec), "schema": shape.Spec().OfAnswer(), "strict": shape.Meta(),
	})})
}

func answer() *shape.Shape {
	said := shape.Object(shape.With(shape.Metas("role id"), spoken(), f{"audio": audio()}))
	return shape.Object(shape.With(head(), f{"choices": shape.List(shape.Object(shape.With(choice(), f{"message": said})).Ident("index"))}))
}

func chunk() *shape.Shape {
	said := shape.Object(shape.With(shape.Metas("role id"), spoken(), f{"audio": audio()}))
	return shape.Object(shape.With(head(), f{"choices": shape.List(shape.Object(shape.With(choice(), f{"delta": said})).Ident("index"))}))
}

// audio is what the model said aloud, with its transcript.
func audio() *shape.Shape {
	return shape.Object(f{"id": shape.Meta(), "data": shape.Media(), "expires_at": shape.Meta(), "transcript": shape.Text(wire.Answer)})
}

func head() f {
	sides := shape.By("type", f{
		"moderation_results": shape.Object(f{"model": shape.Meta(), "results": shape.List(shape.Object(scores()))}),
		"error":              shape.Object(f{"code": shape.Meta(), "message": shape.Text(wire.Answer)}),
	})
	return shape.With(shape.Metas("id object created service_tier system_fingerprint obfuscation provider"), f{
		"model":                 shape.Model(),
		"usage":                 usage(),
		"error":                 failure(),
		"moderation":            shape.Object(f{"input": sides, "output": sides}),
		"citations":             shape.List(shape.Text(wire.Answer)),
		"search_results":        shape.Leaves(wire.Answer), // Perplexity
		"prompt_filter_results": shape.Words(wire.Answer),  // Azure
		"kv_transfer_params":    shape.Words(wire.Answer),  // vLLM
		"prompt_token_ids":      shape.List(shape.Meta()),
		"p":                     shape.Opaque(), // Mistral's padding
		"x_groq":                shape.Object(f{"id": shape.Meta(), "usage": usage(), "error": failure(), "seed": shape.Meta()}),
	})
}

func choice() f {
	return shape.With(shape.Metas("index finish_reason native_finish_reason stop_reason seed"), f{
		"logprobs": shape.Odds(), "token_ids": shape.List(shape.Meta()),
		"content_filter_results": shape.Words(wire.Answer), "content_filter_result": shape.Words(wire.Answer), "content_filter_offsets": shape.Words(wire.Answer),
	})
}
