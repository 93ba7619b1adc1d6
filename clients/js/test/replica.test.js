import assert from "node:assert/strict";
import test from "node:test";
import { applyDelta } from "../src/delta.js";
import { pauseMs } from "../src/limits.js";
import { Presence } from "../src/presence.js";
import { Reader } from "../src/reader.js";
import { Replica } from "../src/replica.js";

const init = (version, state) => ({ type: "init", object: "object/a", version, state, self: "me", presence: [] });
const update = (version, parts) => ({
  type: "update", object: "object/a", version, changes: {}, deleted: [], method: "put", by: "local", timestamp: "then", ...parts,
});

function check(frames, version, state) {
  const replica = new Replica();
  for (const frame of frames) replica.take(frame);
  assert.deepEqual([replica.version, replica.state], [version, state]);
}

test("updates are applied in the contract's order", () => {
  check([init(0, {})], 0, {});
  check([init(3, { a: 1 }), update(4, { changes: { b: 2 } })], 4, { a: 1, b: 2 });
  check([init(3, { a: 1, b: 2 }), update(4, { deleted: ["a"], changes: { b: 3 } })], 4, { b: 3 });
  check([init(3, { a: 1 }), update(4, { cleared: true, changes: { b: 2 } })], 4, { b: 2 });
  check([init(3, { a: 1 }), { type: "deleted", object: "object/a", version: 4 }], 4, {});
  check([init(3, { a: 1 }), { type: "deleted", version: 4 }, update(5, { changes: { b: 1 } })], 5, { b: 1 });
  check([init(9, { a: 1 }), init(2, { b: 1 })], 2, { b: 1 });
  check([init(1, null), update(2, { changes: { a: 1 } })], 2, null);
  check([init(1, null), update(2, { cleared: true, changes: { a: 1 } })], 2, { a: 1 });
});

test("each version passes once, and a gap is not jumped", () => {
  const replica = new Replica(3, { a: 1 });
  assert.equal(replica.take(update(3, { changes: { a: 9 } })), "seen");
  assert.equal(replica.take(update(5, { changes: { a: 9 } })), "gap");
  assert.deepEqual([replica.version, replica.state], [3, { a: 1 }]);
  assert.equal(replica.take(update(4, { changes: { a: 2 } })).type, "update");
  assert.deepEqual([replica.version, replica.state], [4, { a: 2 }]);
  assert.equal(new Replica().take(update(1, {})), "gap");
});

test("a state once shown never changes, and any key is only a key", () => {
  const replica = new Replica(1, {});
  replica.take(update(2, { changes: JSON.parse('{"__proto__":{"a":1},"constructor":2}') }));
  const shown = replica.state;
  assert.equal(JSON.stringify(shown), '{"__proto__":{"a":1},"constructor":2}');
  assert.equal(replica.state, shown);
  assert.throws(() => (shown.constructor = 3), TypeError);
  replica.take(update(3, { changes: { constructor: 3 } }));
  assert.equal(shown.constructor, 2);
  assert.equal(replica.state.constructor, 3);
});

test("a document's text follows its deltas", () => {
  assert.equal(applyDelta("", [{ insert: "ab" }]), "ab");
  assert.equal(applyDelta("a😀b", [{ retain: 3 }, { insert: "c" }]), "a😀cb");
  assert.equal(applyDelta("abc", [{ retain: 1 }, { delete: 1 }]), "ac");
  assert.equal(applyDelta("abc", []), "abc");
  assert.equal(applyDelta("abc", [{ retain: 4 }]), undefined);
  assert.equal(applyDelta("abc", [{ insert: { image: "x" } }]), undefined);
  check([init(1, { content: "a", version: 1 }), update(2, { changes: { version: 2 }, delta: [{ insert: "b" }] })], 2, { content: "ba", version: 2 });
});

test("pauses double, up to the longest, in their upper half", () => {
  const longest = [1, 2, 3, 6, 7, 8, 5000].map((failures) => pauseMs(failures, 500, 30_000, () => 1));
  assert.deepEqual(longest, [500, 1000, 2000, 16_000, 30_000, 30_000, 30_000]);
  assert.equal(pauseMs(1, 500, 30_000, () => 0), 250);
});

test("a reader that lags is given the state, and nothing twice", async () => {
  const replica = new Replica(0, {});
  const reader = new Reader(() => replica.asInit(), () => {});
  const next = async () => (await reader.next()).value;
  const commit = (version) => reader.push(replica.take(update(version, { changes: { n: version } })));
  for (let version = 1; version <= 1024; version += 1) commit(version);
  assert.equal((await next()).version, 1);
  for (let version = 1025; version <= 1030; version += 1) commit(version);
  assert.deepEqual(await next(), { type: "init", version: 1030, state: { n: 1030 } });
  const waiting = next();
  commit(1031);
  assert.equal((await waiting).version, 1031);
  reader.end();
  assert.deepEqual(await reader.next(), { done: true, value: undefined });
});

test("a reader that lags and can be told nothing in the place of what waited is rejected", async () => {
  let left = 0;
  const reader = new Reader(() => undefined, () => (left += 1));
  for (let n = 0; n <= 1024; n += 1) reader.push(n);
  await assert.rejects(reader.next(), { code: "too_slow", retry: "safe" });
  assert.equal(left, 1);
});

test("who is present: every opening begins anew, and only what changed is told", () => {
  const presence = new Presence();
  const member = (id, data = null) => ({ id, data });
  assert.equal(presence.begin([]), undefined);
  assert.deepEqual(presence.begin([member("a", 1), member("b")]), { joined: [member("a", 1), member("b")], left: [], changed: [] });
  const shown = presence.shown;
  assert.equal(presence.shown, shown);
  assert.deepEqual(presence.take({ type: "presence", joined: [], left: ["a", "z"], changed: [member("b", 2)] }),
    { joined: [], left: ["a"], changed: [member("b", 2)] });
  assert.deepEqual([...presence.shown], [["b", 2]]);
  assert.deepEqual(presence.begin([member("b", 3), member("c")]), { joined: [member("c")], left: [], changed: [member("b", 3)] });
  assert.equal(presence.begin([member("b", 3), member("c")]), undefined);
  assert.deepEqual(presence.begin([]), { joined: [], left: ["b", "c"], changed: [] });
  // What was shown stays as it was, and nobody changes it.
  assert.deepEqual([shown.size, shown.get("a"), shown.has("b"), [...shown.keys()], [...shown.values()]], [2, 1, true, ["a", "b"], [1, null]]);
  assert.equal(/** @type {any} */ (shown).set, undefined);
  const each = [];
  shown.forEach((data, id, map) => each.push(id, data, map === shown));
  assert.deepEqual(each, ["a", 1, true, "b", null, true]);
});
