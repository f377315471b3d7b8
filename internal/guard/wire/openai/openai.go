// Package openai is the format of OpenAI's chat completions, legacy completions,
// embeddings, moderations and list of models, as OpenAI documents them and as
// compatible servers extend them (reasoning_content, reasoning), and of OpenAI's
// responses, which are a package of their own. It judges nothing.
// Source: https://platform.openai.com/docs/api-reference/chat and the types of the
// openai package 6.49.
package openai

import (
	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/responses"
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
		// Azure: the path names the model, whatever the body says.
		{Method: "POST", Path: "/deployments/{model}/chat/completions", Ask: request(), Tell: answer(), Events: chunk()},
		{Method: "POST", Path: "/deployments/{model}/completions", Ask: legacyRequest(), Tell: legacyAnswer(), Events: legacyAnswer()},
		{Method: "POST", Path: "/deployments/{model}/embeddings", Ask: embeddings(), Tell: vectors()},
		{Method: "POST", Path: "/chat/completions", Ask: request(), Tell: answer(), Events: chunk()},
		{Method: "POST", Path: "/completions", Ask: legacyRequest(), Tell: legacyAnswer(), Events: legacyAnswer()},
		{Method: "POST", Path: "/embeddings", Ask: embeddings(), Tell: vectors()},
		{Method: "POST", Path: "/moderations", Ask: moderations(), Tell: moderated()},
		{Method: "GET", Path: "/models", Tell: shape.Nothing()},
		{Method: "GET", Path: "/models/{model}", Tell: shape.Nothing()},
	}}
	f.Ops = append(f.Ops, responses.Ops()...) // a client has one base URL for both
	return f, nil
}

type format struct{ shape.API }

// problem is the error object of the API.
func problem(kind string, r wire.Refusal) []byte {
	b := wire.AppendString([]byte(`{"error":{"message":`), shape.Said(r))
	b = wire.AppendString(append(b, `,"type":`...), kind)
	b = wire.AppendString(append(b, `,"param":null,"code":`...), r.Code)
	return append(b, "}}"...)
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
	return "application/json", problem(kind, r)
}

// end: clients raise an event with an error. [DONE] comes after it for those that do not look.
func end(_ *shape.Events, r wire.Refusal) []byte {
	return []byte("data: " + string(problem("server_error", r)) + "\n\ndata: [DONE]\n\n")
}

type f = shape.Fields

func texts(k wire.Kind) *shape.Shape { return shape.Or(shape.Text(k), shape.List(shape.Text(k))) }

func usage() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("total_tokens num_sources_used cost cost_in_usd_ticks queue_time prompt_time completion_time total_time is_byok"), f{
		"prompt_tokens":     shape.Count(shape.Input),
		"completion_tokens": shape.Count(shape.Output),
		"prompt_tokens_details": shape.Object(shape.With(shape.Metas("audio_tokens text_tokens image_tokens video_tokens"), f{
			"cached_tokens":         shape.Count(shape.CacheRead),
			"cache_write_tokens":    shape.Count(shape.CacheWrite),
			"cache_creation_tokens": shape.Count(shape.CacheWrite),
		})),
		"completion_tokens_details": shape.Object(shape.With(shape.Metas("audio_tokens accepted_prediction_tokens rejected_prediction_tokens text_tokens image_tokens"), f{
			"reasoning_tokens": shape.Count(shape.Reasoning),
		})),
		"prompt_cache_hit_tokens":  shape.Count(shape.CacheRead), // DeepSeek
		"prompt_cache_miss_tokens": shape.Meta(),
		"reasoning_tokens":         shape.Count(shape.Reasoning),
		"cost_details":             shape.Map(shape.Meta()),
	}))
}

// failure is the error of an answer or of an event.
func failure() *shape.Shape {
	return shape.Or(shape.Text(wire.Answer), shape.Object(shape.With(shape.Metas("type param code status"), f{
		"message":  shape.Text(wire.Answer),
		"metadata": shape.JSON(wire.Answer),
	}))).Last()
}

// scores is what moderation says of a text.
func scores() f {
	return shape.With(shape.Metas("flagged type model"), f{
		"categories":                   shape.Map(shape.Meta()),
		"category_scores":              shape.Map(shape.Meta()),
		"category_applied_input_types": shape.Map(shape.List(shape.Meta())),
	})
}

func moderated() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("id type"), f{
		"model":   shape.Model(),
		"results": shape.List(shape.Object(scores())),
		"error":   failure(),
	}))
}

func moderations() *shape.Shape {
	return shape.Object(f{
		"model": shape.Model(),
		"input": shape.Or(shape.Text(wire.Prompt), shape.List(shape.Or(shape.Text(wire.Prompt), shape.By("type", f{
			"text":      shape.Object(f{"text": shape.Text(wire.Prompt)}),
			"image_url": shape.Object(f{"image_url": link()}),
		})))),
	}).Must("input")
}

func embeddings() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("encoding_format dimensions"), f{
		"model": shape.Model(),
		"user":  shape.User(),
		"input": tokens(),
	})).Must("input")
}

// tokens is text that may be numbers already. A text of numbers was not looked
// at: it is listed as unknown.
func tokens() *shape.Shape { return texts(wire.Prompt) }

func vectors() *shape.Shape {
	vector := shape.Or(shape.Opaque(), shape.List(shape.Meta()))
	return shape.Object(shape.With(shape.Metas("object id created"), f{
		"model": shape.Model(),
		"data":  shape.List(shape.Object(shape.With(shape.Metas("object index"), f{"embedding": vector}))),
		"usage": usage(),
		"error": failure(),
	}))
}

func legacyRequest() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("best_of echo frequency_penalty logprobs n presence_penalty seed temperature top_p"), f{
		"model":          shape.Model(),
		"prompt":         tokens(),
		"suffix":         shape.Text(wire.Prompt),
		"stop":           texts(wire.Prompt),
		"stream":         shape.Streams(),
		"stream_options": streamOptions(),
		"logit_bias":     shape.Map(shape.Meta()),
		"max_tokens":     shape.Limit(),
		"user":           shape.User(),
	})).Must("prompt")
}

func legacyAnswer() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("id object created system_fingerprint service_tier obfuscation"), f{
		"model": shape.Model(),
		"usage": usage(),
		"error": failure(),
		"choices": shape.List(shape.Object(shape.With(shape.Metas("index finish_reason stop_reason"), f{
			"text":     shape.Text(wire.Answer),
			"logprobs": shape.Odds(),
		})).Ident("index")),
	}))
}

func streamOptions() *shape.Shape {
	return shape.Object(shape.Metas("include_obfuscation include_usage continuous_usage_stats"))
}
