// Talks to the decoy with the openai package and prints what it got as JSON.
// OPENAI_MODULE is the file URL of the package.
const { default: OpenAI } = await import(process.env.OPENAI_MODULE);
const client = new OpenAI({ maxRetries: 0, timeout: 15000 });
const models = [];
for await (const m of client.models.list()) models.push(m.id);
const model = models[0];
const messages = [{ role: "system", content: "be brief" }, { role: "user", content: [{ type: "text", text: "What is 17*23?" }] }];
const chat = await client.chat.completions.create({ model, messages });

const chunks = [];
let usage = null;
for await (const c of await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } })) {
  if (c.choices[0]?.delta?.content) chunks.push(c.choices[0].delta.content);
  if (c.usage) usage = c.usage;
}
const helper = await client.chat.completions.stream({ model, messages }).finalMessage();
const text = await client.completions.create({ model, prompt: "hello" });

const response = await client.responses.create({ model, input: "What is 12*12?", instructions: "be brief" });
const stream = client.responses.stream({ model, input: [{ role: "user", content: [{ type: "input_text", text: "Count to 5" }] }] });
let deltas = "";
stream.on("response.output_text.delta", (e) => { deltas += e.delta; });
const final = await stream.finalResponse();
const embedding = await client.embeddings.create({ model, input: ["a b", "c"] });

const errors = [];
for (const f of [
  () => client.chat.completions.create({ model: "gpt-4o", messages }),
  () => client.chat.completions.create({ model, messages: [] }),
  () => client.models.retrieve("gpt-4o"),
]) {
  try { await f(); errors.push("none"); } catch (e) { errors.push(`${e.status} ${e.constructor.name} ${e.type}`); }
}
console.log(JSON.stringify({
  models, chat: chat.choices[0].message.content, finish: chat.choices[0].finish_reason, tokens: chat.usage.total_tokens,
  chunks: chunks.length, streamed: chunks.join(""), usage: usage.total_tokens, helper: helper.content, text: text.choices[0].text,
  response: response.output_text, status: response.status, deltas, final: final.output[0].content[0].text,
  vectors: embedding.data.length, size: embedding.data[0].embedding.length, errors,
}));
