import assert from "node:assert/strict";
import test from "node:test";
import WebSocket from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { cluster, until } from "../../clients/js/test/cluster.js";

/** An editor of npm's `y-websocket` on a document of a node. */
function editor(t, url, name) {
  const doc = new Y.Doc();
  const options = { WebSocketPolyfill: WebSocket, disableBc: true, maxBackoffTime: 500 };
  const provider = new WebsocketProvider(`${url.replace("http", "ws")}/v1/yjs`, name, doc, options);
  const log = { doc, provider, text: doc.getText("content"), closes: 0 };
  provider.on("connection-close", (event) => event && (log.closes += 1));
  t.after(() => {
    provider.destroy();
    // What says who is here goes with the document.
    doc.destroy();
  });
  return log;
}

const content = async (url, name) => {
  const answer = await fetch(`${url}/v1/objects/document/${name}`);
  return answer.status === 200 ? (await answer.json()).state.content : undefined;
};

const names = ({ provider }) =>
  [...provider.awareness.getStates().values()].map(({ user }) => user).filter(Boolean).sort();

test("editors of npm's y-websocket lose nothing when the leader of their document dies", { timeout: 90_000 }, async (t) => {
  const nodes = await cluster(t, 3);
  const { leader } = await (await fetch(`${nodes[0].url}/v1/objects/document/notes/location`)).json();
  const { nodes: known } = await (await fetch(`${nodes[0].url}/v1/nodes`)).json();
  const address = known.find(({ id }) => id === leader).address;
  const doomed = nodes.find(({ url }) => new URL(url).host === address);
  const others = nodes.filter((node) => node !== doomed);

  const writers = others.map(({ url }) => editor(t, url, "notes"));
  const stranded = editor(t, doomed.url, "notes");
  for (const { provider } of [...writers, stranded]) await until("the first synchronisation", () => provider.synced);
  writers.forEach(({ provider }, index) => provider.awareness.setLocalStateField("user", `writer ${index}`));
  stranded.provider.awareness.setLocalStateField("user", "stranded");
  for (const log of [...writers, stranded]) await until("all three to see each other", () => names(log).length === 3);

  const words = [];
  for (let n = 0; n < 60; n += 1) {
    if (n === 20) await doomed.kill();
    for (const [index, { text }] of writers.entries()) {
      const word = `<${index}.${n}>`;
      words.push(word);
      text.insert(n % 2 === 0 ? 0 : text.length, word);
    }
    if (n % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const hasAll = (text) => words.every((word) => text.includes(word));
  for (const log of writers) {
    await until("all that was typed", () => hasAll(log.text.toString()));
    assert.equal(log.text.length, words.join("").length, "nothing twice");
    assert.equal(log.closes, 0, "the socket of a node that lives was closed");
    assert.equal(log.provider.wsconnected, true);
  }
  assert.equal(writers[0].text.toString(), writers[1].text.toString());
  await until("all of it over HTTP", async () => (await content(others[0].url, "notes")) === writers[0].text.toString());
  for (const log of writers) await until("who is gone to be gone", () => names(log).length === 2);

  // What the third typed while it had nobody comes with the next node that takes it.
  stranded.text.insert(0, "<alone>");
  stranded.provider.disconnect();
  stranded.provider.serverUrl = `${others[0].url.replace("http", "ws")}/v1/yjs`;
  stranded.provider.connect();
  for (const log of [...writers, stranded]) {
    await until("what was typed alone", () => log.text.toString().includes("<alone>") && hasAll(log.text.toString()));
  }
  // Those who stayed see it at once; it has forgotten their clocks when its connection broke, and sees them when they
  // next say that they are there: y-protocols does that every 15 s.
  for (const log of writers) await until("those who stayed to see all three", () => names(log).length === 3);
  await until("who came back to see all three", () => names(stranded).length === 3, 25_000);
});

test("the HTTP API and an editor change the same text", { timeout: 60_000 }, async (t) => {
  const [{ url }] = await cluster(t, 1);
  const log = editor(t, url, "shared/plan");
  await until("the first synchronisation", () => log.provider.synced);
  log.text.insert(0, "typed 😀");
  const path = "shared%2Fplan";
  await until("the text over HTTP", async () => (await content(url, path)) === "typed 😀");
  const call = (method, body) =>
    fetch(`${url}/v1/objects/document/${path}/methods/${method}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  assert.equal((await call("replace", { find: "typed", text: "said" })).status, 200);
  await until("the change over HTTP", () => log.text.toString() === "said 😀");
  log.text.delete(0, 5);
  await until("the deletion", async () => (await content(url, path)) === "😀");
  const { content: first } = await (await fetch(`${url}/v1/objects/document/${path}/versions/1`)).json();
  assert.equal(first, "typed 😀");
  // Formats and embedded things have no place in the text over HTTP, and stay in the editor.
  log.text.insertEmbed(0, { image: "x" });
  log.text.format(1, 2, { bold: true });
  assert.equal((await call("insert", { index: 3, text: "!" })).status, 200);
  await until("the text around it", () => JSON.stringify(log.text.toDelta()).includes("!"));
  assert.deepEqual(log.text.toDelta()[0], { insert: { image: "x" } });

  assert.equal((await fetch(`${url}/v1/objects/document/${path}`, { method: "DELETE" })).status, 204);
  await until("an empty text", () => log.text.toString() === "" && log.text.length === 0);
  log.text.insert(0, "anew");
  await until("the document begun anew", async () => (await content(url, path)) === "anew");
  assert.equal(log.closes, 0);
});
