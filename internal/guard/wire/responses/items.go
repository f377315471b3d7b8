package responses

import (
	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/shape"
)

const ids = "id call_id status created_by approval_request_id container_id max_output_length"

func items() *shape.Shape { return shape.List(item()).Indexed("item") }

// item is one thing of a conversation: in a request, in an answer, in an event.
// In an event all its text is Whole, because deltas have brought it.
func item() *shape.Shape {
	said := func(k wire.Kind) *shape.Shape {
		return shape.Object(shape.With(shape.Metas("id status phase"), fields{"content": content(k)}))
	}
	message := shape.By("role", fields{
		"user": said(wire.Prompt), "system": said(wire.System), "developer": said(wire.System), "assistant": said(wire.Answer), "tool": said(wire.ToolResult),
	})
	out := fields{
		"":        message,
		"message": message,
		"reasoning": shape.Object(fields{
			"id": shape.Meta(), "status": shape.Meta(), "encrypted_content": shape.Opaque(),
			"summary": shape.List(shape.By("type", parts(wire.Reasoning))).Indexed("summary_index"),
			"content": shape.List(shape.By("type", parts(wire.Reasoning))).Indexed("content_index"),
		}),
		"item_reference":          shape.Object(shape.Metas("id")),
		"function_call":           call("arguments"),
		"custom_tool_call":        call("input"),
		"mcp_call":                call("arguments"),
		"mcp_approval_request":    call("arguments"),
		"function_call_output":    result(),
		"custom_tool_call_output": result(),
		"image_generation_call": shape.Object(shape.With(shape.Metas("id status action background output_format quality size"), fields{
			"result": shape.Media(), "revised_prompt": shape.Text(wire.Answer).Whole(),
		})),
		"mcp_list_tools":   shape.Open(wire.ToolSpec, shape.Metas(ids)).Whole(),
		"additional_tools": shape.Open(wire.ToolSpec, shape.Metas(ids)).Whole(),
		"tool_search_call": shape.Open(wire.ToolCall, shape.Metas(ids)).Whole(),
		"tool_search_output": shape.Object(shape.With(shape.Metas("id call_id status execution created_by"), fields{
			"tools": shape.List(tool()).Indexed("tool"),
		})),
		"compaction":         shape.Object(shape.With(shape.Metas("id created_by"), fields{"encrypted_content": shape.Opaque()})),
		"compaction_trigger": shape.Object(shape.Metas("id")),
	}
	for _, name := range []string{"computer_call", "code_interpreter_call", "local_shell_call", "shell_call", "apply_patch_call", "program", "web_search_call", "file_search_call"} {
		out[name] = shape.Open(wire.ToolCall, shape.Metas(ids)).Whole()
	}
	for _, name := range []string{"computer_call_output", "local_shell_call_output", "shell_call_output", "apply_patch_call_output", "program_output", "mcp_approval_response"} {
		out[name] = shape.Open(wire.ToolResult, shape.Metas(ids)).Whole()
	}
	return shape.By("type", out)
}

// call has the name of its tool, the arguments, and, where the provider called, the result.
func call(arguments string) *shape.Shape {
	return shape.Object(shape.With(shape.Metas("id call_id status created_by namespace approval_request_id caller"), fields{
		"name":         shape.Text(wire.Label).Whole(),
		"server_label": shape.Text(wire.Label).Whole(),
		arguments:      shape.Text(wire.ToolCall).As("arguments").Whole().Formed(),
		"output":       shape.Text(wire.ToolResult).Whole(),
		"error":        shape.Leaves(wire.ToolResult).Whole(),
		"caller":       shape.Map(shape.Meta()),
	})).Named("name")
}

func result() *shape.Shape {
	return shape.Object(shape.With(shape.Metas("id call_id status created_by"), fields{
		"name":   shape.Text(wire.Label).Whole(),
		"output": content(wire.ToolResult),
		"caller": shape.Map(shape.Meta()),
	})).Named("name")
}

// content is a text or a list of parts.
func content(k wire.Kind) *shape.Shape {
	return shape.Or(shape.Text(k).As("text").Whole(), shape.List(shape.By("type", parts(k))).Indexed("content_index"))
}

func parts(k wire.Kind) fields {
	text := func(k wire.Kind, more ...fields) *shape.Shape {
		return shape.Object(shape.With(append(more, fields{"text": shape.Text(k).Whole(), "prompt_cache_breakpoint": shape.Map(shape.Meta())})...))
	}
	return fields{
		"input_text":     text(k),
		"text":           text(k),
		"summary_text":   text(wire.Reasoning),
		"reasoning_text": text(wire.Reasoning),
		"output_text":    text(k, fields{"annotations": shape.Leaves(wire.Answer).Whole(), "logprobs": shape.Odds().Whole()}).FormedIn("text"),
		"refusal":        shape.Object(fields{"refusal": shape.Text(wire.Answer).Whole()}),
		"input_image": shape.Object(fields{"image_url": shape.Media(), "file_id": shape.Meta(), "detail": shape.Meta(),
			"prompt_cache_breakpoint": shape.Map(shape.Meta())}),
		"computer_screenshot": shape.Object(fields{"image_url": shape.Media(), "file_id": shape.Meta(), "detail": shape.Meta()}),
		"input_file": shape.Object(fields{"file_data": shape.Media(), "file_url": shape.Media(), "file_id": shape.Meta(), "filename": shape.Text(wire.Label), "detail": shape.Meta(),
			"prompt_cache_breakpoint": shape.Map(shape.Meta())}),
		"input_audio": shape.Object(fields{"input_audio": shape.Object(fields{"data": shape.Media(), "format": shape.Meta()}).Typed("format")}),
	}
}

// events are those of a stream. The deltas of a text, its done event, and the part,
// item and response that repeat it have the same channel.
func events() *shape.Shape {
	base := shape.Metas("sequence_number item_id output_index content_index summary_index obfuscation")
	event := func(f fields) *shape.Shape {
		return shape.Object(shape.With(base, f)).Ident("output_index", "content_index", "summary_index")
	}
	pair := func(out fields, name, as, done string, k wire.Kind) {
		formed := func(s *shape.Shape) *shape.Shape {
			if name == "response.output_text" || name == "response.function_call_arguments" {
				s.Formed()
			}
			return s
		}
		odds := fields{"logprobs": shape.Odds()}
		out[name+".delta"] = event(shape.With(odds, fields{"delta": formed(shape.Text(k).As(as))})).Named("name")
		odds = fields{"logprobs": shape.Odds().Whole(), "name": shape.Text(wire.Label).Whole()}
		out[name+".done"] = event(shape.With(odds, fields{done: formed(shape.Text(k).As(as).Whole())})).Named("name")
	}
	whole := fields{"response": answer()}
	out := fields{
		"response.created": event(whole), "response.queued": event(whole), "response.in_progress": event(whole),
		"response.completed": event(whole).Last(), "response.failed": event(whole).Last(), "response.incomplete": event(whole).Last(),
		"response.output_item.added":            event(fields{"item": item()}),
		"response.output_item.done":             event(fields{"item": item()}),
		"response.content_part.added":           event(fields{"part": shape.By("type", parts(wire.Answer))}),
		"response.content_part.done":            event(fields{"part": shape.By("type", parts(wire.Answer))}),
		"response.reasoning_summary_part.added": event(fields{"part": shape.By("type", parts(wire.Reasoning)), "status": shape.Meta()}),
		"response.reasoning_summary_part.done":  event(fields{"part": shape.By("type", parts(wire.Reasoning)), "status": shape.Meta()}),
		"response.output_text.annotation.added": event(fields{"annotation_index": shape.Meta(), "annotation": shape.Leaves(wire.Answer).Whole()}),
		"response.audio.delta":                  event(fields{"delta": shape.Media(), "response_id": shape.Meta()}),
		"response.audio.done":                   event(fields{"response_id": shape.Meta()}),
		"response.audio.transcript.delta":       event(fields{"delta": shape.Text(wire.Answer).As("transcript"), "response_id": shape.Meta()}),
		"response.audio.transcript.done":        event(fields{"response_id": shape.Meta()}),
		"response.image_generation_call.partial_image": event(fields{"partial_image_b64": shape.Media(), "partial_image_index": shape.Meta(),
			"size": shape.Meta(), "quality": shape.Meta(), "background": shape.Meta(), "output_format": shape.Meta()}),
		"error":     event(fields{"code": shape.Meta(), "message": shape.Text(wire.Answer).As("error").Whole(), "param": shape.Meta(), "error": failure()}).Last(),
		"keepalive": event(nil),
	}
	pair(out, "response.output_text", "text", "text", wire.Answer)
	pair(out, "response.refusal", "refusal", "refusal", wire.Answer)
	pair(out, "response.reasoning_text", "text", "text", wire.Reasoning)
	pair(out, "response.reasoning_summary_text", "text", "text", wire.Reasoning)
	pair(out, "response.function_call_arguments", "arguments", "arguments", wire.ToolCall)
	pair(out, "response.mcp_call_arguments", "arguments", "arguments", wire.ToolCall)
	pair(out, "response.custom_tool_call_input", "arguments", "input", wire.ToolCall)
	pair(out, "response.code_interpreter_call_code", "code", "code", wire.ToolCall)
	for call, states := range map[string][]string{
		"code_interpreter_call": {"in_progress", "interpreting", "completed"}, "file_search_call": {"in_progress", "searching", "completed"},
		"web_search_call": {"in_progress", "searching", "completed"}, "image_generation_call": {"in_progress", "generating", "completed"},
		"mcp_call": {"in_progress", "completed", "failed"}, "mcp_list_tools": {"in_progress", "completed", "failed"},
	} {
		for _, state := range states {
			out["response."+call+"."+state] = event(nil)
		}
	}
	return shape.By("type", out)
}
