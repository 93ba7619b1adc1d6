import assert from "node:assert/strict";
import test from "node:test";
import { Presence, Socket } from "phoenix";
import WebSocket from "ws";
import { incrementAcross, isEachOnce, ledBy, until } from "./cluster.js";

/** A socket of npm's `phoenix` to a node, and how often it was closed. */
function socketTo(t, url) {
  const socket = new Socket(`${url.replace("http", "ws")}/socket`, { transport: WebSocket, heartbeatIntervalMs: 500 });
  const log = { socket, closes: 0 };
  socket.onClose(() => (log.closes += 1));
  socket.connect();
  t.after(() => new Promise((resolve) => socket.disconnect(resolve)));
  return log;
}

/** What a push or a join is answered with. */
const answer = (push) =>
  new Promise((resolve, reject) => push.receive("ok", resolve).receive("error", reject).receive("timeout", reject));

test("channels of npm's phoenix outlive the node that leads their object", { timeout: 60_000 }, async (t) => {
  const object = "counter/channel";
  const nodes = await ledBy(t, object);
  const clients = nodes.others.map(({ url }, index) => {
    const log = socketTo(t, url);
    log.versions = [];
    log.fed = [];
    log.channel = log.socket.channel(`object:${object}`, { presence: { name: `client ${index}` } });
    log.channel.on("update", ({ version }) => log.versions.push(version));
    log.presence = new Presence(log.channel);
    log.feed = log.socket.channel("feed:counter", {});
    log.feed.on("update", ({ object: of, version }) => of === object && log.fed.push(version));
    return log;
  });
  for (const { channel, feed } of clients) {
    assert.deepEqual(await answer(channel.join()), { state: {}, version: 0 });
    assert.equal((await answer(feed.join())).complete, true);
  }
  const names = ({ presence }) => presence.list((_, { metas }) => metas[0].name).sort();
  for (const log of clients) {
    await until("both are present", () => names(log).length === 2);
    assert.deepEqual(names(log), ["client 0", "client 1"]);
  }

  await incrementAcross(nodes, object, 60);
  const { result, version } = await answer(clients[0].channel.push("call_method", { method: "increment" }));
  assert.deepEqual([result, version], [{ value: 61 }, 61]);
  for (const log of clients) {
    await until("every update has come", () => log.versions.length >= 61 && log.fed.length >= 61);
    assert.ok(isEachOnce(log.versions, 1, 61), `versions ${log.versions}`);
    assert.ok(isEachOnce(log.fed, 1, 61), `of the feed ${log.fed}`);
    assert.equal(log.closes, 0, "the socket of a node that lives was closed");
    assert.deepEqual(names(log), ["client 0", "client 1"]);
  }

  const heard = new Promise((resolve) => clients[1].channel.on("signal", resolve));
  await answer(clients[0].channel.push("signal", { data: { wave: 1 } }));
  assert.deepEqual((await heard).data, { wave: 1 });
  await answer(clients[0].channel.leave());
  await until("who left is not present", () => names(clients[1]).length === 1);
  await assert.rejects(answer(clients[1].channel.push("call_method", { method: "nothing" })), { code: "method_not_found" });
});

test("the seed's channel", { timeout: 30_000 }, async (t) => {
  const { others } = await ledBy(t, "object/seed");
  const { socket } = socketTo(t, others[0].url);
  const channel = socket.channel("durable_object:seed", {});
  const pushed = [];
  channel.on("state_updated", (state) => pushed.push(state));
  assert.deepEqual(await answer(channel.join()), { state: {}, version: 0 });
  const called = await answer(channel.push("call_method", { method: "method_increment", params: { increment: 4 } }));
  assert.deepEqual(called, { success: true, result: { key: "value", value: 4 }, key: "value", value: 4 });
  assert.deepEqual(await answer(channel.push("update_state", { key: "colour", value: "red" })), {});
  assert.deepEqual(await answer(channel.push("refresh_state", {})), {});
  await until("the pushes", () => pushed.length === 3);
  assert.deepEqual(pushed, [{ value: 4 }, { colour: "red" }, { colour: "red", value: 4 }]);
  const refused = answer(channel.push("call_method", { method: "increment", params: { increment: "much" } }));
  await assert.rejects(refused, { code: "invalid_parameters" });
});
