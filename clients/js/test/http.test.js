import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import test from "node:test";
import { SteadError } from "../src/stead.js";
import { client, cluster, nobody } from "./cluster.js";

const refused = (parts) => (error) => {
  assert.ok(error instanceof SteadError, String(error));
  assert.deepEqual({ ...error, ...parts }, { ...error });
  return true;
};

/** A fetch that asks the server, and loses the first answers. */
function losing(count) {
  const lossy = async (...ask) => {
    lossy.asked += 1;
    const answer = await fetch(...ask);
    if (lossy.asked > count) return answer;
    await answer.text();
    throw new TypeError("fetch failed: the answer was lost");
  };
  lossy.asked = 0;
  return lossy;
}

test("one node over HTTP", async (t) => {
  const [node] = await cluster(t, 1);
  const stead = client([node.url]);

  await t.test("an object is put, read, called, deleted", async () => {
    const cart = stead.object("object/a cart/ä%2F?#");
    await assert.rejects(cart.get(), refused({ status: 404, code: "object_not_found", retry: "never" }));
    assert.deepEqual(await cart.put({ items: ["tea"] }), { class: "object", name: cart.name, version: 1 });
    const { result, version } = await cart.call("set", { key: "open", value: true });
    assert.deepEqual([result, version], [{ key: "open", value: true }, 2]);
    const { state, version: read } = await cart.get();
    assert.deepEqual([state, read], [{ items: ["tea"], open: true }, 2]);
    const history = await cart.history({ since: 1 });
    assert.deepEqual([history.complete, history.version], [true, 2]);
    assert.deepEqual(history.updates.map(({ version, changes }) => [version, changes]), [[2, { open: true }]]);
    await cart.delete();
    await assert.rejects(cart.delete(), refused({ status: 404, code: "object_not_found" }));
    assert.deepEqual((await cart.history()).updates.at(-1), { object: cart.address, version: 3, deleted_object: true });
  });

  await t.test("refusals say what they are", async () => {
    const likes = stead.object("counter/likes");
    await assert.rejects(likes.call("vanish"), refused({ status: 404, code: "method_not_found", retry: "never" }));
    await assert.rejects(likes.call("increment", { by: 0.5 }), refused({ status: 422, code: "invalid_parameters" }));
    await likes.call("increment", {}, { ifMatch: 0 });
    await assert.rejects(likes.call("increment", {}, { ifMatch: 0 }), refused({ status: 412, code: "version_mismatch" }));
    await assert.rejects(stead.object("nothing/x").get(), refused({ status: 404, code: "class_not_found" }));
    for (const wrong of ["counter", "Counter/x", "/x", "counter/", "counter/..", "counter/a\nb", `counter/${"ä".repeat(257)}`, "counter/\ud800", undefined]) {
      assert.throws(() => stead.object(wrong), TypeError, String(wrong));
    }
    await assert.rejects(likes.call("increment", {}, { idempotencyKey: "a b" }), TypeError);
    await assert.rejects(likes.call("increment", {}, { ifMatch: 0.5 }), TypeError);
  });

  await t.test("a call whose answer was lost takes effect once", async () => {
    const fetch = losing(2);
    const object = client([node.url], { fetch }).object("counter/once");
    assert.deepEqual(await object.call("increment"), { result: { value: 1 }, version: 1 });
    assert.equal(fetch.asked, 3);
    const gone = losing(1);
    await client([node.url], { fetch: gone }).object("counter/once").delete();
    assert.equal(gone.asked, 2);
  });

  await t.test("without a key it is not repeated, and its key is told otherwise", async () => {
    const fetch = losing(1);
    const object = client([node.url], { fetch }).object("counter/keyless");
    const lost = { status: 0, code: "unreachable", retry: "unknown", idempotencyKey: undefined };
    await assert.rejects(object.call("increment", {}, { idempotencyKey: false }), refused(lost));
    assert.equal((await object.get()).version, 1);
    const always = client([node.url], { fetch: losing(Infinity) }).object("counter/keyless");
    const error = await always.call("increment", {}, { timeoutMs: 200 }).catch((error) => error);
    assert.equal(error.retry, "unknown");
    const again = await object.call("increment", {}, { idempotencyKey: error.idempotencyKey });
    assert.deepEqual(again, { result: { value: 2 }, version: 2 });
    assert.equal((await object.get()).version, 2);
  });

  await t.test("other servers are tried, and what answered stays first", async () => {
    let asked = 0;
    const busy = createServer((request, response) => {
      asked += 1;
      request.resume();
      response.writeHead(503, { "content-type": "application/problem+json" });
      response.end('{"code":"unavailable","detail":"not now","retry":"safe"}');
    });
    busy.listen(0, "127.0.0.1");
    await once(busy, "listening");
    t.after(() => busy.close());
    const servers = [await nobody(), `http://127.0.0.1:${busy.address().port}`, node.url];
    const object = client(servers).object("counter/others");
    for (let value = 1; value <= 3; value += 1) {
      // Without a key: neither of the first two can have done it.
      const { result } = await object.call("increment", {}, { idempotencyKey: false });
      assert.deepEqual(result, { value });
    }
    assert.equal(asked, 1);
    const others = client(servers.slice(0, 2)).object("counter/others");
    await assert.rejects(others.call("increment", {}, { timeoutMs: 300 }), refused({ retry: "safe" }));
  });

  await t.test("an ask can be given up", async () => {
    const object = client([await nobody()]).object("counter/x");
    const signal = AbortSignal.timeout(50);
    const began = performance.now();
    await assert.rejects(object.get({ signal }), SteadError);
    assert.ok(performance.now() - began < 5_000);
  });
});
