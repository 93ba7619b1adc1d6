/** What stands before a cluster, as a load balancer does: one address, whichever nodes live. */

import { once } from "node:events";
import { connect, createServer } from "node:net";

/**
 * An address whose connections go to the first node that takes them.
 * @param {import("node:test").TestContext} t
 * @param {{url: string}[]} nodes
 */
export async function front(t, nodes) {
  const sockets = new Set();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => {});
    pass(socket, nodes.map(({ url }) => new URL(url)));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

function pass(socket, [first, ...rest]) {
  if (first === undefined) return socket.destroy();
  const node = connect(Number(first.port), first.hostname);
  node.once("connect", () => {
    node.on("close", () => socket.destroy());
    socket.on("close", () => node.destroy());
    socket.pipe(node).pipe(socket);
  });
  node.once("error", () => (node.connecting || node.readyState !== "open") && pass(socket, rest));
  node.on("error", () => {});
}
