import assert from "node:assert/strict";
import test from "node:test";
import { client, cluster, follow, until } from "./cluster.js";

test("updates survive the node they came from", { timeout: 50_000 }, async (t) => {
  const nodes = await cluster(t, 3);
  const [, second] = nodes;
  const writer = client([second.url]).object("counter/survivor");
  await writer.call("increment");
  // Whoever leads the object goes; the subscriber is connected to it, and writers to another.
  const { leader } = await (await fetch(`${second.url}/v1/objects/counter/survivor/location`)).json();
  const { nodes: known } = await (await fetch(`${second.url}/v1/nodes`)).json();
  const address = known.find(({ id }) => id === leader).address;
  const doomed = nodes.find(({ url }) => new URL(url).host === address);
  assert.ok(doomed, `the leader's address ${address} is one of ours`);
  const spared = nodes.filter((node) => node !== doomed);

  const servers = [doomed.url, ...spared.map(({ url }) => url)];
  const log = follow(client(servers).object("counter/survivor"));
  const steady = follow(client([spared[1].url]).object("counter/survivor"));
  t.after(() => [log, steady].forEach(({ subscription }) => subscription.close()));
  await Promise.all([log.subscription.opened, steady.subscription.opened]);
  assert.equal(log.states.at(-1).server, doomed.url);

  // Calls go on through another node and over the subscriber's own socket, while the node dies.
  const through = client([spared[0].url]).object("counter/survivor");
  const calls = [];
  for (let n = 0; n < 60; n += 1) {
    calls.push(through.call("increment"), log.subscription.call("increment"));
    if (n === 20) await doomed.kill();
    if (n % 10 === 9) await calls.at(-2);
  }
  const versions = (await Promise.all(calls)).map(({ version }) => version).sort((a, b) => a - b);
  // Each call took effect once: 120 of them, 120 versions after the first.
  assert.deepEqual(versions, Array.from({ length: 120 }, (_, index) => index + 2));
  assert.deepEqual((await through.get()).state, { value: 121 });

  for (const { subscription } of [log, steady]) {
    await until("all updates are seen", () => subscription.version === 121);
    assert.deepEqual(subscription.state, { value: 121 });
  }
  for (const { events } of [log, steady]) {
    const [init, ...updates] = events;
    assert.equal(init.type, "init");
    assert.deepEqual(updates.map(({ type, version, changes }) => [type, version, changes.value]),
      updates.map((_, index) => ["update", init.version + index + 1, init.version + index + 1]));
    assert.equal(events.length, 121 - init.version + 1);
  }
  const back = log.states.at(-1);
  assert.deepEqual([back.state, back.resumed], ["live", true]);
  assert.notEqual(back.server, doomed.url);
  // The socket of a node that lives noticed nothing.
  assert.deepEqual(steady.states.map(({ state }) => state), ["connecting", "live"]);
});

test("who is present survives the node that it came through", { timeout: 50_000 }, async (t) => {
  const nodes = await cluster(t, 3);
  const path = "/v1/objects/object/table/location";
  const { leader } = await (await fetch(nodes[0].url + path)).json();
  const { nodes: known } = await (await fetch(`${nodes[0].url}/v1/nodes`)).json();
  const address = known.find(({ id }) => id === leader).address;
  const doomed = nodes.find(({ url }) => new URL(url).host === address);
  const spared = nodes.filter((node) => node !== doomed);
  const moves = [];
  const heard = [];
  const enter = (servers, name, options) => {
    const subscription = client(servers.map(({ url }) => url)).object("object/table").subscribe({ presence: { name }, ...options });
    t.after(() => subscription.close());
    return subscription;
  };
  const names = ({ presence }) => [...presence.values()].map(({ name }) => name).sort().join();
  const ada = enter([doomed, ...spared], "Ada");
  const ben = enter([spared[0]], "Ben", { onPresence: (event) => moves.push(event), onSignal: (event) => heard.push(event) });
  const cleo = enter([spared[1]], "Cleo");
  for (const one of [ada, ben, cleo]) await until("everybody is seen", () => names(one) === "Ada,Ben,Cleo", 20_000);
  const [adaId, benId, cleoId] = [ada.self, ben.self, cleo.self];

  // The leader of the object dies, and with it Ada's connection.
  moves.length = 0;
  await doomed.kill();
  await until("Ada is back under another id", () => ada.self !== adaId && names(ada) === "Ada,Ben,Cleo", 20_000);
  for (const one of [ben, cleo]) await until("Ada is seen again", () => one.presence.has(ada.self) && !one.presence.has(adaId), 20_000);
  assert.equal(names(ben), "Ada,Ben,Cleo");
  // Only Ada went and came: those whose connections lived were never said to have left.
  const told = (kind) => moves.flatMap((event) => event[kind]);
  assert.deepEqual(told("left"), [adaId]);
  assert.deepEqual(told("joined"), [{ id: ada.self, data: { name: "Ada" } }]);
  assert.deepEqual([ben.self, cleo.self], [benId, cleoId]);
  await until("signals go on", () => {
    ada.signal("back");
    return heard.length > 0;
  });
  assert.deepEqual(heard[0], { from: ada.self, data: "back" });
});
