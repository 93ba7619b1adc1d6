/** Real nodes for tests: started on free ports, killed by pid, their directories removed. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, connect as dial } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import WebSocket from "ws";
import { connect } from "../src/stead.js";

const BIN = process.env["STEAD_BIN"];
if (BIN === undefined) throw new Error("STEAD_BIN names the server's program; tests/js.sh builds it and sets it");
const SECRET = "a secret of these tests";
const SETTLED_WITHIN_MS = 30_000;

/** Tests wait a second at most where an application waits half a minute. */
const HASTE = { reconnectMin: 50, reconnectMax: 500 };

/** @param {string[]} servers @param {Partial<import("../stead.js").ConnectOptions>} [options] */
export function client(servers, options = {}) {
  return connect({ servers, WebSocket, ...options, timing: { ...HASTE, ...options.timing } });
}

/**
 * A cluster of `count` nodes, each started with these words more, gone when the test ends.
 * @param {import("node:test").TestContext} t
 */
export async function cluster(t, count, words = []) {
  const home = await mkdtemp(join(tmpdir(), "stead-js-"));
  const nodes = [];
  t.after(async () => {
    await Promise.all(nodes.map((node) => node.kill()));
    await rm(home, { recursive: true, force: true });
  });
  for (let index = 0; index < count; index += 1) {
    nodes.push(await start(join(home, String(index)), nodes[0]?.peer, words));
  }
  if (count > 1) await settled(nodes[0].url, count);
  return nodes;
}

/** The address of a server that is not there. */
export async function nobody() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return `http://127.0.0.1:${port}`;
}

/** Starts a node; where it was before, if `at` says so. */
async function start(data, join, words, at = { listen: "127.0.0.1:0", peer: "127.0.0.1:0" }) {
  const args = ["serve", "--data", data, "--listen", at.listen, "--peer-listen", at.peer, ...words];
  if (join !== undefined) args.push("--join", join);
  const env = { ...process.env, STEAD_JOIN_SECRET: SECRET };
  const child = spawn(BIN, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  child.stderr.on("data", (text) => (log += text));
  const ended = once(child, "exit");
  const first = await Promise.race([once(createInterface(child.stdout), "line"), ended]);
  const url = /^listening on (http:\/\/\S+)/.exec(String(first[0]))?.[1];
  if (url === undefined) throw new Error(`the node did not start: ${first[0]}\n${log}`);
  const node = { url, pid: child.pid, id: undefined, peer: undefined, kill, stop, again };
  try {
    await until("the node is ready", async () => (await fetch(`${url}/ready`)).ok, SETTLED_WITHIN_MS);
    // One that has just joined is in the map a moment later.
    await until("the node knows itself", async () => {
      const { nodes } = await (await fetch(`${url}/v1/nodes`)).json();
      const own = nodes.find(({ address }) => address === new URL(url).host);
      [node.id, node.peer] = [own?.id, own?.peer_address];
      return own !== undefined;
    });
  } catch (error) {
    await kill();
    throw error;
  }
  return node;

  /** With SIGKILL: nothing is handed over, nothing said. */
  async function kill() {
    child.kill("SIGKILL");
    await ended;
  }

  /** With SIGTERM, as an operator does it. */
  async function stop() {
    child.kill("SIGTERM");
    await ended;
  }

  /** The same node, started again where it was. To be killed by whoever asked for it. */
  function again() {
    return start(data, undefined, words, { listen: new URL(url).host, peer: node.peer });
  }
}

/** Every shard has its replicas and a leader. */
export async function settled(url, replicas) {
  await until("the cluster is settled", async () => {
    const { shards } = await (await fetch(`${url}/v1/shards`)).json();
    const voters = (shard) => shard.replicas.filter(({ role }) => role === "voter").length;
    return shards.length > 0 && shards.every((shard) => shard.leader !== null && voters(shard) === replicas);
  }, SETTLED_WITHIN_MS);
}

/** Asks until the answer is true. Nothing of the server tells when it is, so this polls. */
export async function until(what, holds, withinMs = 10_000) {
  const deadline = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What a subscription says, kept. The replayed state is made of the events alone, by other code. */
export function follow(object, options = {}) {
  const log = { events: [], states: [], versions: [], subscription: undefined };
  const note = (event) => {
    log.events.push(event);
    log.versions.push(event.version);
  };
  log.subscription = object.subscribe({
    ...options,
    onInit: note,
    onUpdate: note,
    onDeleted: note,
    onState: (event) => log.states.push(event),
  });
  return log;
}

/** A connection in between, that can fall silent as a cut cable does: no byte passes, nothing is closed. */
export async function proxy(t, url) {
  const { port, hostname } = new URL(url);
  const sockets = new Set();
  let silent = false;
  let refuses = false;
  const server = createServer((near) => {
    if (refuses) return near.destroy();
    const far = dial(Number(port), hostname);
    for (const [from, to] of [[near, far], [far, near]]) {
      sockets.add(from);
      from.on("data", (bytes) => silent || to.write(bytes));
      from.on("error", () => {});
      from.on("close", () => silent || to.destroy());
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    fallSilent: () => (silent = true),
    /** Closes what is open, and whatever opens until it is mended. */
    breakOff: () => {
      refuses = true;
      sockets.forEach((socket) => socket.destroy());
    },
    mend: () => (refuses = false),
  };
}
