// A client of the Model Context Protocol's own SDK that does everything the reference server offers and prints, one
// line each, what it got. Usage: node mcp.mjs stdio COMMAND ARG… | node mcp.mjs http URL | node mcp.mjs sse URL. MCP_PLAN chooses what is done.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema, LoggingMessageNotificationSchema, ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";

const [kind, target, ...args] = process.argv.slice(2);
const say = (what, value) => console.log(JSON.stringify({ what, value }));
const client = new Client({ name: "bartizan-e2e", version: "1.0.0" }, { capabilities: { roots: { listChanged: true }, sampling: {}, elicitation: {} } });
client.setRequestHandler(CreateMessageRequestSchema, async (r) => {
  say("sampling", r.params);
  return { model: "none", role: "assistant", content: { type: "text", text: "sampled" } };
});
client.setRequestHandler(ElicitRequestSchema, async (r) => {
  say("elicitation", r.params);
  return { action: "decline" };
});
client.setRequestHandler(ListRootsRequestSchema, async () => ({ roots: [{ uri: "file:///srv/project", name: "project" }] }));
let changed = 0;
let wake = () => {};
client.setNotificationHandler(ToolListChangedNotificationSchema, async () => { changed++; wake(); });
client.setNotificationHandler(LoggingMessageNotificationSchema, async () => {});

const transport = kind === "stdio"
  ? new StdioClientTransport({ command: target, args, env: process.env, stderr: "inherit" })
  : new (kind === "sse" ? SSEClientTransport : StreamableHTTPClientTransport)(new URL(target), { requestInit: { headers: JSON.parse(process.env.MCP_HEADERS ?? "{}") } });
await client.connect(transport);
say("server", [client.getServerVersion(), client.getServerCapabilities(), client.getInstructions()]);

const attempt = async (what, f) => {
  try { say(what, await f()); } catch (e) { say(what, { error: e.message, code: e.code }); }
};
const call = (name, a = {}, options) => attempt(name, () => client.callTool({ name, arguments: a }, undefined, options));

const plans = {
  async everything() {
    await attempt("tools", () => client.listTools());
    await call("echo", { message: "naïve 日本語 \u{1f469}\u200d\u{1f4bb} \"quoted\" \\ \n line" });
    await call("get-sum", { a: 1.5, b: 2 });
    await call("get-structured-content", { location: "New York" });
    await call("get-tiny-image");
    await call("get-annotated-message", { messageType: "error", includeImage: true });
    await call("get-resource-links", { count: 3 });
    await call("get-resource-reference", { resourceType: "Text", resourceId: 1 });
    await call("get-roots-list");
    const progress = [];
    await call("trigger-long-running-operation", { duration: 0.4, steps: 2 }, { onprogress: (p) => progress.push(p.progress) });
    say("progress", progress);
    await call("trigger-sampling-request", { prompt: "hello", maxTokens: 10 });
    await call("trigger-elicitation-request");
    await call("echo", {});
    await call("no-such-tool");
    await attempt("resources", () => client.listResources());
    await attempt("templates", () => client.listResourceTemplates());
    await attempt("prompts", () => client.listPrompts());
    await attempt("simple-prompt", () => client.getPrompt({ name: "simple-prompt" }));
    await attempt("args-prompt", () => client.getPrompt({ name: "args-prompt", arguments: { city: "Lyon", state: "Rhone" } }));
    await attempt("bad-prompt", () => client.getPrompt({ name: "no-such-prompt" }));
    await attempt("complete", () => client.complete({ ref: { type: "ref/prompt", name: "completable-prompt" }, argument: { name: "department", value: "E" } }));
    await attempt("level", () => client.setLoggingLevel("debug"));
    const stop = new AbortController();
    setTimeout(() => stop.abort("enough"), 150);
    await attempt("cancelled", () => client.callTool({ name: "trigger-long-running-operation", arguments: { duration: 30, steps: 3 } }, undefined, { signal: stop.signal }));
    await attempt("ping", () => client.ping());
    await attempt("many", async () => (await Promise.all(Array.from({ length: 20 }, (_, i) => client.callTool({ name: "echo", arguments: { message: `m${i}` } }))))
      .map((r) => r.content[0].text));
  },
  // An agent with a second server behind a gateway of its own, which this client starts too (MCP_SECOND: a command as JSON): 40 mails, 80 files, then
  // 40 more files, and at last a mail after a file and a file from elsewhere.
  async habit() {
    const [command, ...rest] = JSON.parse(process.env.MCP_SECOND);
    const second = new Client({ name: "bartizan-e2e", version: "1.0.0" });
    await second.connect(new StdioClientTransport({ command, args: rest, env: process.env, stderr: "inherit" }));
    const mail = (i) => second.callTool({ name: "send_mail", arguments: { to: "team@example.com", text: `number ${i} ${"word ".repeat(i % 7)}` } });
    const read = (i) => client.callTool({ name: "read_file", arguments: { path: `/srv/project/${i % 9}/${i}.go`, ...(i % 3 ? {} : { head: i }) } });
    for (let i = 0; i < 40; i++) await mail(i);
    for (let i = 0; i < 80; i++) await read(i);
    say("learned", true);
    for (let i = 0; i < 40; i++) await read(i);
    say("usual", true);
    if (process.env.MCP_ROGUE) {
      await mail(1);
      await client.callTool({ name: "read_file", arguments: { path: "/home/ann/.ssh/id_ed25519" } });
    }
    await second.close();
  },
  async hostile() {
    await attempt("tools", async () => (await client.listTools()).tools.map((t) => t.name));
    await call("lookup", { q: "one" });
    await call("leak");
    await call("order");
    await call("read_vault");
    const told = new Promise((done) => { wake = done; });
    await call("pull");
    if (!changed) await told;
    await call("lookup", { q: "two" });
    await attempt("tools again", async () => (await client.listTools()).tools.map((t) => [t.name, t.description]));
    await call("lookup", { q: "three" });
  },
};
await plans[process.env.MCP_PLAN ?? "everything"]();
await client.close();
process.exit(0);
