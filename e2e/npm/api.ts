// Drives a node's API with a client whose types a third party's generator made from the
// node's own OpenAPI document: what the document promises and the node does not keep fails
// to compile or fails here. Prints what it got as one line of JSON.
// NODE_URL, TOKEN_READ, TOKEN_OPERATE, TOKEN_ADMIN say where and who; ATTACKER who was seen; TARGET what to block.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Problem = components["schemas"]["Problem"];

function setting(name: string): string {
  const v = process.env[name];
  if (!v) throw new Error(`${name} is not set`);
  return v;
}
const as = (token: string) =>
  createClient<paths>({ baseUrl: setting("NODE_URL"), headers: token ? { Authorization: `Bearer ${token}` } : {} });
const reader = as(setting("TOKEN_READ")), operator = as(setting("TOKEN_OPERATE")), admin = as(setting("TOKEN_ADMIN"));
const attacker = setting("ATTACKER"), target = setting("TARGET");

// must gives the answer of a call that has to succeed.
function must<T>(what: string, r: { data?: T; error?: unknown; response: Response }): T {
  if (r.error !== undefined || r.data === undefined) throw new Error(`${what}: ${r.response.status} ${JSON.stringify(r.error)}`);
  return r.data;
}
// refused gives the problem of a call that has to fail.
function refused(what: string, r: { error?: Problem; response: Response }) {
  const type = r.response.headers.get("content-type") ?? "";
  if (r.error === undefined || !type.startsWith("application/problem+json")) throw new Error(`${what}: ${r.response.status} ${type}`);
  return { status: r.response.status, said: r.error.status, places: (r.error.errors ?? []).map((e) => e.location), instance: r.error.instance };
}

// events reads the live stream until one of the named kinds has come; the reading starts at once.
async function events(kinds: string[], started: () => void) {
  const { data } = await reader.GET("/v1/events", { params: { query: { types: "decision" } }, parseAs: "stream" });
  if (!data) throw new Error("no stream of events");
  const seen: { event: string; id: string }[] = [];
  const utf8 = new TextDecoder();
  let text = "";
  for await (const part of data as ReadableStream<Uint8Array>) {
    text += utf8.decode(part, { stream: true });
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const fields = new Map(text.slice(0, end).split("\n").map((l) => [l.slice(0, l.indexOf(":")), l.slice(l.indexOf(":") + 1).trim()] as const));
      const event = fields.get("event");
      if (!event) continue;
      seen.push({ event, id: fields.get("id") ?? "" });
      if (event === "ready") started();
      if (kinds.includes(event)) return seen; // leaving the loop ends the request
    }
  }
  throw new Error("the stream of events ended");
}

const status = must("status", await reader.GET("/v1/status"));

// Every page of the signals, small ones.
const signals: components["schemas"]["Signal"][] = [];
let pages = 0;
for (let cursor: string | undefined; ; pages++) {
  const page = must("signals", await reader.GET("/v1/signals", { params: { query: { actor: attacker, limit: 2, cursor } } }));
  signals.push(...page.items);
  if (!page.next) break;
  cursor = page.next;
}
const whole = must("signals in one page", await reader.GET("/v1/signals", { params: { query: { actor: attacker, limit: 1000 } } }));
const indicators = must("intel", await reader.GET("/v1/intel", { params: { query: { type: "ip", value: attacker } } }));
const blob = signals.flatMap((s) => s.evidence ?? []).find((e) => e.blob)?.blob;
if (!blob) throw new Error("no signal with evidence");
const evidence = await reader.GET("/v1/evidence/{sha256}", { params: { path: { sha256: blob } }, parseAs: "arrayBuffer" });
const exported = await reader.GET("/v1/export", { params: { query: { class: ["signal"] } }, parseAs: "text" });
const lines = must("export", exported).trim().split("\n").map((l) => JSON.parse(l) as { class: string; event: { metadata: { uid: string } } });

// A decision by hand, seen live, explained, ended.
let live: Promise<{ event: string; id: string }[]>;
await new Promise<void>((started, failed) => { live = events(["decision"], started); live.catch(failed); });
const added = must("add", await operator.POST("/v1/decisions", { body: { op: "add", target, seconds: 600, reason: "by a generated client" } }));
const seen = await live!;
const shown = must("decision", await reader.GET("/v1/decisions/{id}", { params: { path: { id: added.id } } }));
const why = must("why", await reader.GET("/v1/why", { params: { query: { id: added.id } } }));
const listed = must("decisions", await reader.GET("/v1/decisions", { params: { query: { target } } }));
const removed = must("remove", await operator.POST("/v1/decisions", { body: { op: "remove", id: added.id, reason: "enough" } }));
const guarded = must("add what is guarded", await operator.POST("/v1/decisions", { body: { op: "add", target: "127.0.0.1", seconds: 60, reason: "own address" } }));
const replayed = must("replay", await operator.POST("/v1/replay", { body: { name: "p.yaml", policy: "mode: observe\n" } }));

// Tokens made, used, revoked.
const made = must("token", await admin.POST("/v1/tokens", { body: { name: "generated", scope: "read", seconds: 3600 } }));
must("status with the new token", await as(made.token).GET("/v1/status"));
const revoked = must("revoke", await admin.DELETE("/v1/tokens/{token}", { params: { path: { token: made.id } } }));
const tokens = must("tokens", await admin.GET("/v1/tokens"));

const refusals = {
  nobody: refused("no token", await as("").GET("/v1/status")),
  revoked: refused("revoked token", await as(made.token).GET("/v1/status")),
  scope: refused("scope", await reader.POST("/v1/decisions", { body: { op: "add", target, reason: "not allowed" } })),
  ended: refused("ended decision", await operator.POST("/v1/decisions", { body: { op: "approve", id: added.id } })),
  field: refused("unknown field", await operator.POST("/v1/decisions", { body: { op: "add", target, raeson: "typo" } as never })),
  limit: refused("limit", await reader.GET("/v1/signals", { params: { query: { limit: 0 } } })),
  nothing: refused("no such decision", await reader.GET("/v1/decisions/{id}", { params: { path: { id: "01ARZ3NDEKTSV4RRFFQ69G5FAV" } } })),
};
const audit = must("audit", await admin.GET("/v1/audit", { params: { query: { limit: 1000 } } }));

console.log(JSON.stringify({
  name: status.name, mode: status.mode,
  signals: signals.map((s) => s.id), pages, whole: whole.items.map((s) => s.id),
  indicator: indicators.items[0]?.confidence ?? 0,
  evidence: evidence.data?.byteLength ?? 0,
  exported: lines.filter((l) => l.class === "signal").map((l) => l.event.metadata.uid),
  decision: { id: added.id, state: added.state, shown: shown.id, why: why.decision?.id, listed: listed.items.map((d) => d.id), removed: removed.state },
  guarded: { state: guarded.state, by: (guarded.guardrails ?? []).filter((g) => g.verdict !== "pass").map((g) => g.guardrail) },
  seen, replayed: replayed.signals, revoked: revoked.state, tokens: tokens.items.map((t) => t.name),
  audit: audit.items.map((a) => `${a.operation} ${a.result}`),
  refused: refusals,
}));
