/** The TypeScript SDKs: version 1, of the revisions with sessions, and version 2, of the stateless one as well. */

import assert from "node:assert/strict";
import test from "node:test";
import * as v2 from "@modelcontextprotocol/client";
import * as v2stdio from "@modelcontextprotocol/client/stdio";
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as StdioV1 } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as HttpV1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { SSEClientTransport as SseV1 } from "@modelcontextprotocol/sdk/client/sse.js";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { client as steadClient, cluster, until } from "../../clients/js/test/cluster.js";
import { front } from "./front.js";

const WITHIN = { timeout: 90_000 };
const INFO = { name: "stead-tests", version: "1" };
const HASTE = { initialReconnectionDelay: 50, maxReconnectionDelay: 500, reconnectionDelayGrowFactor: 1.5, maxRetries: 20 };

/** What is asked of every client: it lists, calls, reads, gets and completes. */
async function works(client) {
  const { tools } = await client.listTools();
  const names = tools.map(({ name }) => name);
  for (const name of ["create_change_request", "compliance_report", "object_get", "document_edit"]) {
    assert.ok(names.includes(name), `${name} is not among ${names}`);
  }
  // Both SDKs hold a result against the tool's outputSchema.
  const made = await call(client, "create_change_request", {
    title: "Update docs", description: "A page", requestor: "erin", implementationPlan: "Write it",
  });
  assert.equal(made.isError ?? false, false, JSON.stringify(made));
  const { changeId, status } = made.structuredContent;
  assert.match(changeId, /^CHG-\d{8}-[A-Z0-9]{6}$/);
  assert.equal(status, "submitted");
  assert.deepEqual(JSON.parse(made.content[0].text), made.structuredContent);
  const refused = await call(client, "create_change_request", { title: "x" });
  assert.equal(refused.isError, true);
  assert.deepEqual(JSON.parse(refused.content[0].text).error, "Missing required parameters: title, description, requestor");
  const name = `sdk-${Math.random().toString(36).slice(2)}`;
  const counted = await call(client, "counter_increment", { name, by: 5 });
  assert.equal(counted.structuredContent.result.value, 5);
  const { contents } = await client.readResource({ uri: `stead://counter/${name}` });
  assert.deepEqual(JSON.parse(contents[0].text), { value: 5 });
  const { resourceTemplates } = await client.listResourceTemplates();
  assert.ok(resourceTemplates.some(({ uriTemplate }) => uriTemplate === "stead://{class}/{name}"));
  const { prompts } = await client.listPrompts();
  assert.deepEqual(prompts.map(({ name }) => name).sort(), ["approval_recommendation", "change_risk_analysis", "compliance_check"]);
  const { messages } = await client.getPrompt({ name: "change_risk_analysis", arguments: { changeId } });
  assert.ok(messages.some(({ content }) => content.text.includes(changeId)));
  const completed = await client.complete({
    ref: { type: "ref/resource", uri: "stead://counter/{name}" }, argument: { name: "name", value: name.slice(0, -1) },
  });
  assert.ok(completed.completion.values.includes(name), JSON.stringify(completed));
  const ofAny = await client.complete({
    ref: { type: "ref/resource", uri: "stead://{class}/{name}" }, argument: { name: "name", value: name },
    context: { arguments: { class: "counter" } },
  });
  assert.deepEqual(ofAny.completion.values, [name]);
  await assert.rejects(call(client, "no_such_tool", {}), /Unknown tool: no_such_tool/);
}

const call = (client, name, args) => client.callTool({ name, arguments: args });

const CLIENTS = {
  "version 1 over HTTP": (url) => connectV1(new HttpV1(new URL(`${url}/mcp`))),
  "version 1 over SSE": (url) => connectV1(new SseV1(new URL(`${url}/mcp/sse`))),
  "version 1 over stdio": (url) => connectV1(new StdioV1(stdio(url))),
  "version 2, with sessions": (url) => connectV2(url, "legacy"),
  "version 2, stateless": (url) => connectV2(url, { pin: "2026-07-28" }),
  "version 2, stateless over stdio": async (url) => {
    const client = new v2.Client(INFO, { versionNegotiation: { mode: { pin: "2026-07-28" } } });
    await client.connect(new v2stdio.StdioClientTransport(stdio(url)));
    return client;
  },
};

const stdio = (url) => ({ command: process.env["STEAD_BIN"], args: ["mcp", "--server", url] });

async function connectV1(transport) {
  const client = new ClientV1(INFO);
  await client.connect(transport);
  return client;
}

async function connectV2(url, mode) {
  const client = new v2.Client(INFO, { versionNegotiation: { mode } });
  await client.connect(new v2.StreamableHTTPClientTransport(new URL(`${url}/mcp`), { reconnectionOptions: HASTE }));
  return client;
}

for (const [name, connect] of Object.entries(CLIENTS)) {
  test(`the TypeScript SDK, ${name}, against one node`, WITHIN, async (t) => {
    const [node] = await cluster(t, 1);
    const client = await connect(node.url);
    t.after(() => client.close());
    await works(client);
  });
}

test("a session outlives its node, and its stream goes on through another", WITHIN, async (t) => {
  const nodes = await cluster(t, 3);
  const url = await front(t, nodes);
  const transport = new HttpV1(new URL(`${url}/mcp`), { reconnectionOptions: HASTE });
  const client = await connectV1(transport);
  t.after(() => client.close());
  const session = transport.sessionId;
  await works(client);
  const heard = [];
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => heard.push(params.uri));
  const uri = "stead://counter/followed";
  await client.subscribeResource({ uri });
  const counter = steadClient([nodes[1].url, nodes[2].url]).object("counter/followed");
  await counter.call("increment");
  await until("the commit is told", () => heard.includes(uri));
  await nodes[0].kill();
  // Made while nobody holds the stream, and after.
  await counter.call("increment");
  const before = heard.length;
  await until("the stream goes on", () => heard.length > before, 30_000);
  const after = heard.length;
  await counter.call("increment");
  await until("what comes later is told too", () => heard.length > after);
  assert.ok(heard.every((told) => told === uri));
  assert.equal(transport.sessionId, session, "the session is another");
  await works(client);
});

test("a stateless client follows a resource, and again after its node has died", WITHIN, async (t) => {
  const nodes = await cluster(t, 3);
  const url = await front(t, nodes);
  const client = await connectV2(url, { pin: "2026-07-28" });
  t.after(() => client.close());
  await works(client);
  const heard = [];
  client.setNotificationHandler("notifications/resources/updated", ({ params }) => heard.push(params.uri));
  const uri = "stead://counter/listened";
  const counter = steadClient([nodes[1].url, nodes[2].url]).object("counter/listened");
  const listening = await client.listen({ resourceSubscriptions: [uri] });
  await counter.call("increment");
  await until("the commit is told", () => heard.includes(uri));
  await nodes[0].kill();
  assert.equal(await listening.closed, "remote");
  await client.listen({ resourceSubscriptions: [uri] });
  const before = heard.length;
  await counter.call("increment");
  await until("what comes later is told too", () => heard.length > before);
  await works(client);
});
