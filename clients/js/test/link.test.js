/** What a real server does seldom: its close codes, refusals that pass, sockets that speak after their end. */

import assert from "node:assert/strict";
import test from "node:test";
import { connect } from "../src/stead.js";

const INIT = { type: "init", object: "counter/a", version: 1, state: { value: 1 }, self: "me", presence: [] };
const SERVERS = ["http://one:1/", "https://two/base/"];

/** A client on sockets that do what the test says. */
function stagedClient(t, timing) {
  const stage = { sockets: [], states: [], events: [], client: undefined, subscription: undefined };
  class Fake {
    sent = [];
    constructor(url) {
      this.url = url;
      stage.sockets.push(this);
    }
    send(text) {
      this.sent.push(JSON.parse(text));
    }
    close() {
      this.isClosed = true;
    }
    say(frame) {
      this.onmessage?.({ data: JSON.stringify(frame) });
    }
  }
  const quick = { reconnectMin: 1, reconnectMax: 1, retryMin: 1, retryMax: 1, ...timing };
  stage.client = connect({ servers: SERVERS, WebSocket: Fake, timing: quick });
  t.after(() => stage.subscription?.close());
  stage.socket = async (index) => {
    while (stage.sockets.length <= index) await new Promise((resolve) => setTimeout(resolve, 1));
    return stage.sockets[index];
  };
  return stage;
}

/** The same with a subscription. */
async function staged(t, { timing = {}, ...options } = {}) {
  const stage = stagedClient(t, timing);
  const note = (event) => stage.events.push([event.type, event.version]);
  const listeners = { onInit: note, onUpdate: note, onDeleted: note, onState: (event) => stage.states.push(event) };
  stage.subscription = stage.client.object("counter/a").subscribe({ ...listeners, ...options });
  return stage;
}

test("close codes: come back, or stay away", async (t) => {
  const ends = async (code) => {
    const stage = await staged(t, { timing: { reconnectMin: 1, reconnectMax: 1, tooMany: 5_000 } });
    (await stage.socket(0)).onclose({ code, reason: "" });
    const { state, delayMs, error } = stage.states.at(-1);
    stage.subscription.close();
    return [code, state, state === "closed" ? error.code : delayMs];
  };
  for (const code of [1000, 1001, 1002, 1005, 1006, 1011, 4508]) assert.deepEqual(await ends(code), [code, "waiting", 1]);
  assert.deepEqual(await ends(4529), [4529, "waiting", 5_000]);
  const final = { 1007: "invalid_request", 1009: "body_too_large", 4400: "refused", 4401: "unauthenticated", 4403: "forbidden", 4404: "class_not_found", 4499: "refused" };
  for (const [code, word] of Object.entries(final)) assert.deepEqual(await ends(Number(code)), [Number(code), "closed", word]);
});

test("servers in turn, with the last version; what an old socket says is not heard", async (t) => {
  const stage = await staged(t);
  const first = await stage.socket(0);
  assert.equal(first.url, "ws://one:1/v1/objects/counter/a/live");
  first.say(INIT);
  first.say({ type: "update", version: 2, changes: { value: 2 }, deleted: [] });
  first.onclose({ code: 1006, reason: "" });
  const second = await stage.socket(1);
  assert.equal(second.url, "wss://two/base/v1/objects/counter/a/live?since=2");
  assert.equal(first.onmessage, null);
  second.say({ type: "resumed", version: 3, self: "me" });
  // A version that is missing: nothing of it is applied, and the missing one is asked for.
  second.say({ type: "update", version: 4, changes: { value: 4 }, deleted: [] });
  assert.ok(second.isClosed);
  const third = await stage.socket(2);
  assert.equal(third.url, "ws://one:1/v1/objects/counter/a/live?since=2");
  third.say({ type: "resumed", version: 4, self: "me" });
  for (const version of [2, 3, 3, 4]) third.say({ type: "update", version, changes: { value: version }, deleted: [] });
  assert.deepEqual(stage.events, [["init", 1], ["update", 2], ["update", 3], ["update", 4]]);
  assert.deepEqual(stage.subscription.state, { value: 4 });
});

test("pauses double until a connection was stable", async (t) => {
  const stage = await staged(t, { timing: { reconnectMin: 2, reconnectMax: 16, stable: 0 } });
  const longest = [];
  for (let index = 0; index < 5; index += 1) {
    const socket = await stage.socket(index);
    if (index === 4) socket.say(INIT);
    socket.onclose({ code: 1006, reason: "" });
    longest.push(stage.states.at(-1).delayMs);
  }
  for (const [index, full] of [2, 4, 8, 16, 2].entries()) {
    assert.ok(longest[index] >= full / 2 && longest[index] <= full, `${longest}`);
  }
});

test("calls: sent in order once it is live, again where that is safe", async (t) => {
  const stage = await staged(t);
  const { subscription } = stage;
  const [keyed, keyless] = [subscription.call("increment"), subscription.call("get", {}, { idempotencyKey: false })];
  const lost = assert.rejects(keyless, { code: "outcome_unknown", retry: "unknown" });
  const first = await stage.socket(0);
  assert.deepEqual(first.sent, []);
  first.say(INIT);
  assert.deepEqual(first.sent.map(({ method }) => method), ["increment", "get"]);
  const [{ id, idempotency_key: key }, second] = first.sent;
  assert.match(key, /^[0-9a-f]{32}$/);
  assert.ok(!("idempotency_key" in second));
  const error = (retry) => ({ type: "reply", id, ok: false, error: { code: "unavailable", detail: "not now", retry } });
  for (const [count, retry] of [[3, "safe"], [4, "unknown"]]) {
    first.say(error(retry));
    while (first.sent.length < count) await new Promise((resolve) => setTimeout(resolve, 1));
    assert.deepEqual(first.sent.at(-1), first.sent[0]);
  }
  first.onclose({ code: 1001, reason: "" });
  await lost;
  const next = await stage.socket(1);
  next.say({ type: "resumed", version: 1, self: "me" });
  assert.deepEqual(next.sent, [first.sent[0]]);
  next.say({ type: "reply", id, ok: true, result: { value: 2 }, version: 2 });
  assert.deepEqual(await keyed, { result: { value: 2 }, version: 2 });

  const refused = subscription.call("increment");
  next.say({ type: "reply", id: next.sent.at(-1).id, ok: false, error: { code: "invalid_parameters", detail: "no", retry: "never" } });
  await assert.rejects(refused, { code: "invalid_parameters", retry: "never" });
  const late = subscription.call("increment", {}, { timeoutMs: 5 });
  await assert.rejects(late, { code: "outcome_unknown", retry: "unknown" });
});

test("what a listener throws keeps nothing from the others", async (t) => {
  // The runner takes what is thrown to nobody for a failure, so it is caught on its way there.
  const thrown = new Promise((resolve) => {
    t.mock.method(globalThis, "queueMicrotask", (task) => Promise.resolve().then(task).catch(resolve));
  });
  const stage = await staged(t, {
    onInit: () => {
      throw new Error("of the application");
    },
  });
  const reader = stage.subscription[Symbol.asyncIterator]();
  (await stage.socket(0)).say(INIT);
  await stage.subscription.opened;
  assert.deepEqual(await reader.next(), { done: false, value: { type: "init", version: 1, state: { value: 1 } } });
  assert.deepEqual(stage.subscription.state, { value: 1 });
  assert.equal((await thrown).message, "of the application");
});

test("presence is announced on every connection, and begins anew", async (t) => {
  const told = [];
  const stage = await staged(t, {
    presence: { name: "Ada" },
    onPresence: ({ joined, left, changed }) => told.push([joined.map(({ id }) => id), left, changed.map(({ id }) => id)]),
  });
  const { subscription } = stage;
  assert.deepEqual([subscription.self, subscription.presence.size], [undefined, 0]);
  assert.equal(subscription.signal("too early"), false);
  const first = await stage.socket(0);
  first.say({ ...INIT, presence: [{ id: "ben", data: 1 }] });
  assert.equal(subscription.self, "me");
  assert.deepEqual(first.sent, [{ type: "presence", data: { name: "Ada" } }]);
  first.say({ type: "presence", joined: [{ id: "me", data: { name: "Ada" } }], left: [], changed: [] });
  subscription.present({ name: "Ada", at: 3 });
  assert.deepEqual(first.sent.at(-1), { type: "presence", data: { name: "Ada", at: 3 } });
  assert.deepEqual([...subscription.presence.keys()], ["ben", "me"]);
  first.onclose({ code: 1006, reason: "" });
  // Not known now: who was present is still shown.
  assert.equal(subscription.presence.size, 2);
  subscription.present({ name: "Ada", at: 4 });
  const second = await stage.socket(1);
  assert.deepEqual(second.sent, []);
  second.say({ type: "resumed", version: 1, self: "again" });
  assert.deepEqual([subscription.self, subscription.presence.size], ["again", 0]);
  assert.deepEqual(second.sent, [{ type: "presence", data: { name: "Ada", at: 4 } }]);
  second.say({ type: "presence", joined: [{ id: "ben", data: 2 }], left: [], changed: [] });
  second.say({ type: "presence", joined: [], left: ["ben"], changed: [] });
  // Begun anew on the same connection: there is nothing to announce.
  second.say({ ...INIT, version: 5, self: "again", presence: [{ id: "cleo", data: 1 }] });
  assert.equal(second.sent.length, 1);
  assert.deepEqual(told, [[["ben"], [], []], [["me"], [], []], [[], ["ben", "me"], []], [["ben"], [], []], [[], ["ben"], []], [["cleo"], [], []]]);
  second.onclose({ code: 1006, reason: "" });
  const third = await stage.socket(2);
  third.say({ type: "resumed", version: 5, self: "once more" });
  assert.deepEqual(third.sent, [{ type: "presence", data: { name: "Ada", at: 4 } }]);
});

test("signals, and what is refused of them", async (t) => {
  const [signals, refused] = [[], []];
  const stage = await staged(t, { onSignal: (event) => signals.push(event), onError: ({ code, retry }) => refused.push([code, retry]) });
  const socket = await stage.socket(0);
  socket.say(INIT);
  assert.equal(stage.subscription.signal({ wave: true }), true);
  assert.deepEqual(socket.sent, [{ type: "signal", data: { wave: true } }]);
  socket.say({ type: "signal", from: "ben", data: [1] });
  assert.deepEqual(signals, [{ from: "ben", data: [1] }]);
  socket.say({ type: "error", code: "overloaded", detail: "too many signals wait" });
  assert.deepEqual(refused, [["overloaded", "safe"]]);
  for (const wrong of [() => stage.subscription.signal("x".repeat(64 * 1024)), () => stage.subscription.present("x".repeat(16 * 1024)),
    () => stage.subscription.signal(undefined), () => stage.client.object("counter/a").subscribe({ presence: () => {} })]) {
    assert.throws(wrong, TypeError);
  }
  assert.equal(socket.sent.length, 1);
});

/** A feed on sockets that do what the test says. */
function stagedFeed(t, options = {}) {
  const stage = stagedClient(t);
  const note = (event) => stage.events.push([event.type, event.object, event.cursor]);
  const listeners = { onUpdate: note, onDeleted: note, onGap: note, onState: (event) => stage.states.push(event) };
  stage.subscription = stage.client.feed("counter", { ...listeners, ...options });
  return stage;
}

test("a feed: from its cursor on, whatever is lost in between", async (t) => {
  const stage = stagedFeed(t);
  const feed = stage.subscription;
  const reader = feed[Symbol.asyncIterator]();
  const first = await stage.socket(0);
  assert.equal(first.url, "ws://one:1/v1/live");
  first.onopen();
  assert.deepEqual(first.sent, [{ type: "subscribe", ref: 1, feed: "counter" }]);
  first.say({ type: "subscribed", ref: 1, feed: "counter", cursor: "c0", complete: true });
  await feed.opened;
  assert.deepEqual(stage.states.at(-1), { state: "live", server: "http://one:1", resumed: false });
  first.say({ type: "update", ref: 1, object: "counter/a", cursor: "c1", version: 1, changes: { value: 1 }, deleted: [], method: "increment", by: "local", timestamp: "then" });
  first.say({ type: "pong" });
  first.say({ type: "deleted", ref: 1, object: "counter/a", cursor: "c2", version: 2 });
  assert.deepEqual([feed.class, feed.cursor], ["counter", "c2"]);
  first.onclose({ code: 1001, reason: "" });
  const second = await stage.socket(1);
  second.onopen();
  assert.deepEqual(second.sent, [{ type: "subscribe", ref: 1, feed: "counter", cursor: "c2" }]);
  // Not now: elsewhere.
  second.say({ type: "error", ref: 1, code: "unavailable", detail: "no leader" });
  assert.equal(stage.states.at(-1).reason, "unavailable: no leader");
  const third = await stage.socket(2);
  third.onopen();
  third.say({ type: "subscribed", ref: 1, feed: "counter", cursor: "c2", complete: true });
  assert.deepEqual(stage.states.at(-1), { state: "live", server: "http://one:1", resumed: true });
  // The logs were cut in the middle of it.
  third.say({ type: "subscribed", ref: 1, feed: "counter", cursor: "c9", complete: false });
  third.onclose({ code: 4508, reason: "" });
  const fourth = await stage.socket(3);
  fourth.onopen();
  assert.equal(fourth.sent[0].cursor, "c9");
  fourth.say({ type: "subscribed", ref: 1, feed: "counter", cursor: "c20", complete: false });
  assert.equal(stage.states.at(-1).resumed, false);
  assert.deepEqual(stage.events, [["update", "counter/a", "c1"], ["deleted", "counter/a", "c2"], ["gap", undefined, "c9"], ["gap", undefined, "c20"]]);
  const { value } = await reader.next();
  assert.deepEqual(value, { type: "update", object: "counter/a", cursor: "c1", version: 1, changes: { value: 1 }, deleted: [], method: "increment", by: "local", timestamp: "then" });
  assert.deepEqual((await reader.next()).value, { type: "deleted", object: "counter/a", cursor: "c2", version: 2 });
  feed.close();
  assert.equal((await reader.next()).value.type, "gap");
  assert.deepEqual(stage.states.at(-1), { state: "closed" });
});

test("a feed that is refused ends for good", async (t) => {
  for (const code of ["class_not_found", "invalid_request", "forbidden"]) {
    const stage = stagedFeed(t, { cursor: "c" });
    (await stage.socket(0)).onopen();
    stage.sockets[0].say({ type: "error", ref: 1, code, detail: "no" });
    await assert.rejects(stage.subscription.opened, { code, retry: "never" });
    assert.equal(stage.states.at(-1).error.code, code);
    await assert.rejects(stage.subscription[Symbol.asyncIterator]().next(), { code });
  }
  const { client } = stagedClient(t);
  for (const wrong of [() => client.feed("Counter"), () => client.feed("counter", { cursor: "" }), () => client.feed("counter", { cursor: 7 })]) {
    assert.throws(wrong, TypeError);
  }
});
