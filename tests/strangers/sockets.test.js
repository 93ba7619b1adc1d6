import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import test from "node:test";
import WebSocket from "ws";
import { incrementAcross, isEachOnce, ledBy, until } from "./cluster.js";

test("plain sockets of npm's ws outlive the node that leads their objects", { timeout: 60_000 }, async (t) => {
  const object = "counter/plain";
  const nodes = await ledBy(t, object);
  const logs = nodes.others.flatMap(({ url }) => [
    follow(t, `${url}/v1/objects/${object}/live`),
    follow(t, `${url}/v1/live`, { type: "subscribe", ref: [1], object }),
    follow(t, `${url}/v1/live`, { type: "subscribe", ref: "f", feed: "counter" }),
  ]);
  await until("all have begun", () => logs.every(({ begun }) => begun));
  await incrementAcross(nodes, object, 60);
  for (const log of logs) {
    await until("every update has come", () => log.versions.length >= 60);
    assert.ok(isEachOnce(log.versions, 1, 60), `versions ${log.versions}`);
    assert.equal(log.closed, false, "the socket of a node that lives was closed");
  }
});

test("a client of PyPI's websockets outlives the node that leads its object", { timeout: 60_000 }, async (t) => {
  const python = process.env["PYTHON"];
  if (python === undefined) return t.skip("PYTHON names no Python that has websockets");
  const object = "counter/python";
  const nodes = await ledBy(t, object);
  const url = `${nodes.others[0].url.replace("http", "ws")}/v1/objects/${object}/live`;
  const child = spawn(python, [new URL("follow.py", import.meta.url).pathname, url, "60"], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill());
  const ended = once(child, "exit");
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, "init 0");
  await incrementAcross(nodes, object, 60);
  const versions = [];
  for await (const line of lines) versions.push(Number(line));
  assert.ok(isEachOnce(versions, 1, 60), `versions ${versions}`);
  assert.deepEqual(await ended, [0, null]);
});

/** Follows what a socket says. */
function follow(t, url, subscription) {
  const socket = new WebSocket(url.replace("http", "ws"));
  const log = { versions: [], begun: false, closed: false };
  socket.on("open", () => subscription && socket.send(JSON.stringify(subscription)));
  socket.on("message", (data) => {
    const frame = JSON.parse(String(data));
    if (frame.type === "init" || frame.type === "subscribed") log.begun = true;
    else if (frame.type === "update") log.versions.push(frame.version);
    else throw new Error(`unexpected: ${data}`);
  });
  socket.on("close", () => (log.closed = true));
  t.after(() => socket.terminate());
  return log;
}
