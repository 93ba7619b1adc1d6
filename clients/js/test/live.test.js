import assert from "node:assert/strict";
import test from "node:test";
import { client, cluster, follow, proxy, until } from "./cluster.js";

const HISTORY_MAX = 256;

test("one node, followed", async (t) => {
  const [node] = await cluster(t, 1);
  const stead = client([node.url]);

  await t.test("state and events through deletion and recreation", async (t) => {
    const object = stead.object("object/life");
    const log = follow(object);
    t.after(() => log.subscription.close());
    await log.subscription.opened;
    assert.deepEqual(log.events, [{ type: "init", version: 0, state: {} }]);
    await object.put({ a: 1, b: 2 });
    await object.call("delete", { key: "a" });
    await object.delete();
    await object.put({ c: 3 });
    await until("version 4 is seen", () => log.subscription.version === 4);
    assert.deepEqual(log.versions, [0, 1, 2, 3, 4]);
    const [, put, gone, deleted, again] = log.events;
    assert.deepEqual([put.changes, put.method, put.by], [{ a: 1, b: 2 }, "initialize", "local"]);
    assert.deepEqual([gone.deleted, gone.method], [["a"], "delete"]);
    assert.deepEqual(deleted, { type: "deleted", version: 3 });
    assert.deepEqual(again.changes, { c: 3 });
    assert.deepEqual(log.subscription.state, { c: 3 });
  });

  await t.test("a document's text", async (t) => {
    const object = stead.object("document/notes");
    const subscription = object.subscribe();
    t.after(() => subscription.close());
    await subscription.opened;
    await subscription.call("insert", { index: 0, text: "tea 😀" });
    await subscription.call("insert", { index: 6, text: " and milk" });
    await subscription.call("delete", { index: 0, length: 1 });
    assert.equal(subscription.state.content, "ea 😀 and milk");
    assert.deepEqual(subscription.state, (await object.get()).state);
  });

  await t.test("calls over the socket: the update comes before the reply", async (t) => {
    const log = follow(stead.object("counter/socket"));
    t.after(() => log.subscription.close());
    // Not yet open: they wait.
    const calls = Array.from({ length: 100 }, () => log.subscription.call("increment"));
    for (const [index, call] of calls.entries()) {
      const { result, version } = await call;
      assert.deepEqual([result, version], [{ value: index + 1 }, index + 1]);
      assert.ok(log.subscription.version >= version);
    }
    assert.deepEqual(log.subscription.state, { value: 100 });
    await assert.rejects(log.subscription.call("increment", { by: 0.5 }), { code: "invalid_parameters", retry: "never" });
    await assert.rejects(log.subscription.call("increment", /** @type {any} */ ([])), { code: "invalid_request", retry: "never" });
    await assert.rejects(log.subscription.call("set", { a: "x".repeat(4 * 1024 * 1024) }), { code: "body_too_large" });
    log.subscription.close();
    await assert.rejects(log.subscription.call("increment"), { code: "aborted" });
    assert.deepEqual(log.states.map(({ state }) => state), ["connecting", "live", "closed"]);
  });

  await t.test("presence and signals", async (t) => {
    const heard = { ada: [], ben: [] };
    const enter = (who, options) => {
      const subscription = stead.object("object/room").subscribe({ onSignal: (event) => heard[who].push(event), ...options });
      t.after(() => subscription.close());
      return subscription;
    };
    const names = ({ presence }) => [...presence.values()].map(({ name }) => name).sort();
    const ada = enter("ada", { presence: { name: "Ada" } });
    await until("Ada is there", () => ada.presence.has(ada.self));
    const ben = enter("ben");
    await ben.opened;
    assert.deepEqual([...ben.presence], [[ada.self, { name: "Ada" }]]);
    ben.present({ name: "Ben" });
    await until("both see both", () => names(ada).length === 2 && names(ben).length === 2);
    assert.deepEqual([names(ada), names(ben)], [["Ada", "Ben"], ["Ada", "Ben"]]);
    ben.present({ name: "Ben", at: 3 });
    await until("it is seen", () => ada.presence.get(ben.self).at === 3);
    assert.ok(ben.signal({ wave: true }));
    assert.ok(ada.signal("hello"));
    await until("both heard", () => heard.ada.length + heard.ben.length === 2);
    assert.deepEqual(heard, { ada: [{ from: ben.self, data: { wave: true } }], ben: [{ from: ada.self, data: "hello" }] });
    const benId = ben.self;
    ben.close();
    await until("Ben left", () => !ada.presence.has(benId));
    assert.deepEqual(names(ada), ["Ada"]);
  });

  await t.test("an iterator: the state, then every change; leaving it closes", async () => {
    const object = stead.object("counter/iterated");
    await object.call("increment");
    const subscription = object.subscribe();
    const seen = [];
    for await (const event of subscription) {
      seen.push([event.type, event.version]);
      if (event.version === 4) break;
      await object.call("increment");
    }
    assert.deepEqual(seen, [["init", 1], ["update", 2], ["update", 3], ["update", 4]]);
    await assert.rejects(subscription.call("get"), { code: "aborted" });
    const late = object.subscribe({ since: 2, state: { value: 2 } });
    await until("it caught up", () => late.version === 4);
    for await (const event of late) {
      assert.deepEqual(event, { type: "init", version: 4, state: { value: 4 } });
      break;
    }
  });

  await t.test("resumed from a version, or begun again where history is too short", async () => {
    const object = stead.object("counter/history");
    for (let n = 0; n < 3; n += 1) await object.call("increment");
    const short = follow(object, { since: 1, state: { value: 1 } });
    await until("it caught up", () => short.subscription.version === 3);
    short.subscription.close();
    assert.deepEqual(short.events.map(({ type, version }) => [type, version]), [["update", 2], ["update", 3]]);
    assert.deepEqual(short.subscription.state, { value: 3 });
    const writer = object.subscribe();
    for (let n = 0; n < HISTORY_MAX; n += 64) await Promise.all(Array.from({ length: 64 }, () => writer.call("increment")));
    writer.close();
    const long = follow(object, { since: 2, state: { value: 2 } });
    await long.subscription.opened;
    long.subscription.close();
    assert.deepEqual(long.events, [{ type: "init", version: 3 + HISTORY_MAX, state: { value: 3 + HISTORY_MAX } }]);
    const ahead = follow(object, { since: 1_000_000 });
    await ahead.subscription.opened;
    ahead.subscription.close();
    assert.deepEqual(ahead.versions, [3 + HISTORY_MAX]);
  });

  await t.test("history that overflows while the connection is lost gives an init", async (t) => {
    const object = stead.object("counter/overflow");
    const between = await proxy(t, node.url);
    const log = follow(client([between.url]).object("counter/overflow"));
    t.after(() => log.subscription.close());
    await log.subscription.opened;
    await object.call("increment");
    await until("the first is seen", () => log.subscription.version === 1);
    between.breakOff();
    await until("the loss is noticed", () => log.states.at(-1).state === "waiting");
    const writer = object.subscribe();
    for (let n = 0; n < HISTORY_MAX + 64; n += 64) await Promise.all(Array.from({ length: 64 }, () => writer.call("increment")));
    writer.close();
    between.mend();
    await until("it is back", () => log.subscription.version > 1);
    assert.deepEqual(log.events.at(2), { type: "init", version: HISTORY_MAX + 65, state: { value: HISTORY_MAX + 65 } });
    await object.call("increment");
    await until("it goes on", () => log.subscription.version === HISTORY_MAX + 66);
    assert.equal(log.events.length, 4);
  });

  await t.test("a class that is not there closes for good", async () => {
    const log = follow(stead.object("nothing/x"));
    const call = log.subscription.call("get");
    await assert.rejects(log.subscription.opened, { code: "class_not_found", retry: "never" });
    await assert.rejects(call, { code: "class_not_found" });
    assert.deepEqual(log.states.map(({ state }) => state), ["connecting", "closed"]);
    assert.equal(log.states.at(-1).error.code, "class_not_found");
    await assert.rejects(log.subscription[Symbol.asyncIterator]().next(), { code: "class_not_found" });
  });

  await t.test("a connection that fell silent is noticed and replaced; its call takes effect once", async (t) => {
    const between = await proxy(t, node.url);
    const timing = { silence: 100, pong: 200, open: 500 };
    const log = follow(client([between.url, node.url], { timing }).object("counter/silent"));
    t.after(() => log.subscription.close());
    await log.subscription.call("increment");
    // Quiet, but alive: pings are answered.
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.deepEqual(log.states.map(({ state }) => state), ["connecting", "live"]);
    between.fallSilent();
    const keyless = log.subscription.call("increment", {}, { idempotencyKey: false });
    const refused = assert.rejects(keyless, { code: "outcome_unknown", retry: "unknown" });
    const { result } = await log.subscription.call("increment");
    await refused;
    assert.deepEqual(result, { value: 2 });
    assert.deepEqual(log.versions, [0, 1, 2]);
    assert.equal(log.states.find(({ state }) => state === "waiting").reason, "no answer to a ping");
    assert.deepEqual(log.states.at(-1), { state: "live", server: node.url, resumed: true });
  });

  await t.test("a server that stops says so", async (t) => {
    const log = follow(stead.object("counter/socket"));
    t.after(() => log.subscription.close());
    await log.subscription.opened;
    await node.stop();
    await until("the end is noticed", () => log.states.length > 2);
    assert.deepEqual(log.states[2].state, "waiting");
    assert.equal(log.states[2].reason, "closed with 1001 (100)");
  });
});
