package builtin

import (
	"bartizan/internal/guard/wire"
	"bartizan/internal/guard/wire/anthropic"
	"bartizan/internal/guard/wire/bedrock"
	"bartizan/internal/guard/wire/gemini"
	"bartizan/internal/guard/wire/ollama"
	"bartizan/internal/guard/wire/openai"
	"bartizan/internal/guard/wire/responses"
	"bartizan/internal/plug"
)

// Wires are the model API formats that the gateway reads.
func Wires() plug.Table[wire.Format] {
	return plug.NewTable("model API format",
		plug.Of("openai", openai.Default, openai.New),
		plug.Of("responses", responses.Default, responses.New),
		plug.Of("ollama", ollama.Default, ollama.New),
		plug.Of("gemini", gemini.Default, gemini.New),
		plug.Of("bedrock", bedrock.Default, bedrock.New),
		plug.Of("anthropic", anthropic.Default, anthropic.New),
	)
}
