// Talks to model APIs through the official clients, straight or through the guard:
//   node guard.mjs BASE KEY CLIENT
// CLIENT is one of the functions below. Every kind of answer is asked for, as a whole and
// as a stream, first one that is allowed ("plain"), then one with a canary ("leak"). One
// line of JSON says what the program got: the client's own objects, or its error.
import process from "node:process";

const [base, key, which] = process.argv.slice(2);
const schema = { type: "object", properties: { answer: { type: "string", description: "The short answer." } }, required: ["answer"], additionalProperties: false };
const parameters = { type: "object", properties: { city: { type: "string", description: "Name of the city." } }, required: ["city"], additionalProperties: false };
const described = "Gets the weather of a city.";
const system = "You answer briefly.";

async function collect(stream) {
  const all = [];
  for await (const x of stream) all.push(x);
  return all;
}

async function openai(kind, stream, prompt) {
  const { default: OpenAI } = await import("openai");
  const client = new OpenAI({ baseURL: base + "/openai/v1", apiKey: key, maxRetries: 0 });
  const ask = { model: "gpt-4o-mini", stream, messages: [{ role: "system", content: system }, { role: "user", content: prompt }] };
  if (stream) ask.stream_options = { include_usage: true };
  if (kind === "tool") ask.tools = [{ type: "function", function: { name: "get_weather", description: described, parameters, strict: true } }];
  if (kind === "structured") ask.response_format = { type: "json_schema", json_schema: { name: "reply", schema, strict: true } };
  const got = await client.chat.completions.create(ask);
  return stream ? collect(got) : got;
}

async function responses(kind, stream, prompt) {
  const { default: OpenAI } = await import("openai");
  const client = new OpenAI({ baseURL: base + "/responses/v1", apiKey: key, maxRetries: 0 });
  const ask = { model: "gpt-4o-mini", stream, instructions: system, input: prompt };
  if (kind === "tool") ask.tools = [{ type: "function", name: "get_weather", description: described, parameters, strict: true }];
  if (kind === "structured") ask.text = { format: { type: "json_schema", name: "reply", schema, strict: true } };
  const got = await client.responses.create(ask);
  return stream ? collect(got) : got;
}

// aisdk is Vercel's ai package on both OpenAI APIs and on Anthropic's.
function aisdk(model) {
  return async (kind, stream, prompt) => {
    const { generateText, streamText, tool, jsonSchema, Output } = await import("ai");
    const ask = { model: await model(), system, prompt, maxRetries: 0, onError: () => {} };
    if (kind === "tool") ask.tools = { get_weather: tool({ description: described, inputSchema: jsonSchema(parameters) }) };
    if (kind === "structured") ask.output = Output.object({ schema: jsonSchema(schema) });
    if (!stream) {
      delete ask.onError;
      const got = await generateText(ask);
      return { text: got.text, calls: got.toolCalls, usage: got.totalUsage, finish: got.finishReason, output: kind === "structured" ? got.output : null };
    }
    const parts = [];
    for await (const p of streamText(ask).fullStream) {
      if (p.type === "error") throw p.error;
      if (/-delta$|^tool-call$|^finish$/.test(p.type)) parts.push({ type: p.type, text: p.text, delta: p.delta, input: p.input, usage: p.totalUsage, finish: p.finishReason });
    }
    return parts;
  };
}
const aiOpenAI = async () => (await import("@ai-sdk/openai")).createOpenAI({ baseURL: base + "/openai/v1", apiKey: key });
const aiChat = aisdk(async () => (await aiOpenAI()).chat("gpt-4o-mini"));
const aiResponses = aisdk(async () => (await aiOpenAI()).responses("gpt-4o-mini"));
const aiAnthropic = aisdk(async () => (await import("@ai-sdk/anthropic")).createAnthropic({ baseURL: base + "/anthropic/v1", apiKey: key })("claude-sonnet-4-5"));

async function anthropic(kind, stream, prompt) {
  const { default: Anthropic } = await import("@anthropic-ai/sdk");
  const client = new Anthropic({ baseURL: base + "/anthropic", apiKey: key, maxRetries: 0 });
  const ask = { model: "claude-sonnet-4-5", max_tokens: 256, stream, system, messages: [{ role: "user", content: prompt }] };
  if (kind === "tool") ask.tools = [{ name: "get_weather", description: described, input_schema: parameters }];
  if (kind === "structured") ask.output_config = { format: { type: "json_schema", schema } };
  const got = await client.messages.create(ask);
  return stream ? collect(got) : got;
}

async function aws() {
  const sdk = await import("@aws-sdk/client-bedrock-runtime");
  const { NodeHttpHandler } = await import("@smithy/node-http-handler");
  const client = new sdk.BedrockRuntimeClient({ region: "us-east-1", endpoint: base + "/bedrock", maxAttempts: 1, requestHandler: new NodeHttpHandler(),
    token: { token: key }, authSchemePreference: ["httpBearerAuth"] });
  return { sdk, client };
}

async function bedrock(kind, stream, prompt) {
  const { sdk, client } = await aws();
  const ask = { modelId: "amazon.nova-lite-v1:0", system: [{ text: system }], messages: [{ role: "user", content: [{ text: prompt }] }], inferenceConfig: { maxTokens: 256 } };
  if (kind === "tool") ask.toolConfig = { tools: [{ toolSpec: { name: "get_weather", description: described, inputSchema: { json: parameters } } }] };
  if (kind === "structured") ask.outputConfig = { textFormat: { type: "json_schema", structure: { jsonSchema: { name: "reply", schema: JSON.stringify(schema) } } } };
  if (stream) return collect((await client.send(new sdk.ConverseStreamCommand(ask))).stream);
  const { $metadata, ...got } = await client.send(new sdk.ConverseCommand(ask));
  return got;
}

async function bedrockInvoke(kind, stream, prompt) {
  const { sdk, client } = await aws();
  const body = { anthropic_version: "bedrock-2023-05-31", max_tokens: 256, system, messages: [{ role: "user", content: prompt }] };
  if (kind === "tool") body.tools = [{ name: "get_weather", description: described, input_schema: parameters }];
  if (kind === "structured") body.output_config = { format: { type: "json_schema", schema } };
  const ask = { modelId: "anthropic.claude-3-haiku-20240307-v1:0", contentType: "application/json", body: JSON.stringify(body) };
  const text = (bytes) => JSON.parse(new TextDecoder().decode(bytes));
  if (stream) return (await collect((await client.send(new sdk.InvokeModelWithResponseStreamCommand(ask))).body)).map((e) => text(e.chunk.bytes));
  return text((await client.send(new sdk.InvokeModelCommand(ask))).body);
}

async function gemini(kind, stream, prompt) {
  const { GoogleGenAI } = await import("@google/genai");
  const client = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: base + "/gemini" } });
  const ask = { model: "gemini-2.5-flash", contents: prompt, config: { systemInstruction: system } };
  if (kind === "tool") ask.config.tools = [{ functionDeclarations: [{ name: "get_weather", description: described, parametersJsonSchema: parameters }] }];
  if (kind === "structured") Object.assign(ask.config, { responseMimeType: "application/json", responseJsonSchema: schema });
  const plain = ({ candidates, usageMetadata, modelVersion }) => ({ candidates, usageMetadata, modelVersion });
  if (stream) return (await collect(await client.models.generateContentStream(ask))).map(plain);
  return plain(await client.models.generateContent(ask));
}

async function ollama(kind, stream, prompt) {
  const { Ollama } = await import("ollama");
  const client = new Ollama({ host: base + "/ollama", headers: { Authorization: "Bearer " + key } });
  const ask = { model: "llama3.2", stream, messages: [{ role: "system", content: system }, { role: "user", content: prompt }] };
  if (kind === "tool") ask.tools = [{ type: "function", function: { name: "get_weather", description: described, parameters } }];
  if (kind === "structured") ask.format = schema;
  const got = await client.chat(ask);
  return stream ? collect(got) : got;
}

const clients = { openai, responses, aiChat, aiResponses, aiAnthropic, anthropic, bedrock, bedrockInvoke, gemini, ollama };
const out = [];
for (const kind of ["text", "tool", "structured"]) {
  for (const stream of [false, true]) {
    for (const what of ["plain", "leak"]) {
      const one = { kind, stream, what };
      try {
        one.result = await clients[which](kind, stream, `${what} ${kind}, please`);
      } catch (e) {
        one.error = { name: e.name ?? e.constructor?.name, status: e.status ?? e.statusCode ?? e.$metadata?.httpStatusCode ?? 0, message: String(e.message ?? e).slice(0, 600) };
      }
      out.push(one);
    }
  }
}
process.stdout.write(JSON.stringify(out) + "\n", () => process.exit(0)); // some clients keep connections open
