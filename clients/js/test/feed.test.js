import assert from "node:assert/strict";
import test from "node:test";
import { client, cluster, until } from "./cluster.js";

/** What a feed says, kept. */
function listen(stead, cls, options = {}) {
  const log = { events: [], gaps: 0, states: [], feed: undefined };
  const note = ({ type, object, version }) => log.events.push([type, object, version]);
  log.feed = stead.feed(cls, {
    ...options,
    onUpdate: note,
    onDeleted: note,
    onGap: () => (log.gaps += 1),
    onState: (event) => log.states.push(event),
  });
  return log;
}

test("one node's feed of a class", async (t) => {
  const [node] = await cluster(t, 1);
  const stead = client([node.url]);

  await t.test("what happens to every object of the class, and to no other", async (t) => {
    const log = listen(stead, "counter");
    t.after(() => log.feed.close());
    await log.feed.opened;
    for (const name of ["a", "b/ä", "a"]) await stead.object(`counter/${name}`).call("increment");
    await stead.object("object/a").put({ a: 1 });
    await stead.object("counter/a").delete();
    await until("all of it came", () => log.events.length === 4);
    assert.deepEqual(log.events.filter(([, object]) => object === "counter/a"), [["update", "counter/a", 1], ["update", "counter/a", 2], ["deleted", "counter/a", 3]]);
    assert.deepEqual(log.events.filter(([, object]) => object !== "counter/a"), [["update", "counter/b/ä", 1]]);
    assert.deepEqual(log.states.map(({ state }) => state), ["connecting", "live"]);
  });

  await t.test("from a cursor on, in an iterator", async () => {
    const first = stead.feed("counter");
    await first.opened;
    const { cursor } = first;
    first.close();
    const object = stead.object("counter/iterated");
    for (let n = 0; n < 3; n += 1) await object.call("increment");
    const seen = [];
    let middle;
    for await (const event of stead.feed("counter", { cursor })) {
      assert.ok(event.type === "update" && !event.too_large);
      seen.push([event.object, event.version, event.changes, event.method]);
      if (event.version === 2) middle = event.cursor;
      if (event.version === 3) break;
    }
    assert.deepEqual(seen, [1, 2, 3].map((value) => ["counter/iterated", value, { value }, "increment"]));
    for await (const event of stead.feed("counter", { cursor: middle })) {
      assert.deepEqual([event.object, event.version], ["counter/iterated", 3]);
      break;
    }
  });

  await t.test("what is no class, and no cursor, ends it", async () => {
    await assert.rejects(stead.feed("nothing").opened, { code: "class_not_found", retry: "never" });
    await assert.rejects(stead.feed("counter", { cursor: "not one" }).opened, { code: "invalid_request" });
  });
});

test("a feed survives the node it came from", { timeout: 60_000 }, async (t) => {
  const nodes = await cluster(t, 3);
  const [doomed, second, third] = nodes;
  const log = listen(client(nodes.map(({ url }) => url)), "counter");
  const steady = listen(client([second.url]), "counter");
  t.after(() => [log, steady].forEach(({ feed }) => feed.close()));
  await Promise.all([log.feed.opened, steady.feed.opened]);
  const writer = client([third.url, second.url]);
  const objects = Array.from({ length: 20 }, (_, index) => `counter/${index}`);
  for (let round = 0; round < 5; round += 1) {
    if (round === 2) await doomed.kill();
    await Promise.all(objects.map((object) => writer.object(object).call("increment")));
  }
  for (const { events, gaps } of [log, steady]) {
    await until("all of it came", () => events.length >= 100, 20_000);
    // Each version once, and those of one object in order.
    for (const object of objects) {
      assert.deepEqual(events.filter(([, of]) => of === object), [1, 2, 3, 4, 5].map((version) => ["update", object, version]));
    }
    assert.deepEqual([events.length, gaps], [100, 0]);
  }
  const back = log.states.at(-1);
  assert.deepEqual([back.state, back.resumed], ["live", true]);
  assert.notEqual(back.server, doomed.url);
});
