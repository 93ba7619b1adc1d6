/** What the tests of these clients share: which node leads an object, and a cluster whose leader dies. */

import { client, cluster, until } from "../../clients/js/test/cluster.js";

export { until };

/**
 * Three nodes, and of one object the node that leads it and the two that do not.
 * @param {import("node:test").TestContext} t
 * @param {string} object `class/name`
 */
export async function ledBy(t, object) {
  const nodes = await cluster(t, 3);
  const { leader } = await (await fetch(`${nodes[0].url}/v1/objects/${object}/location`)).json();
  const { nodes: known } = await (await fetch(`${nodes[0].url}/v1/nodes`)).json();
  const address = known.find(({ id }) => id === leader).address;
  const doomed = nodes.find(({ url }) => new URL(url).host === address);
  return { doomed, others: nodes.filter((node) => node !== doomed) };
}

/** Increments a counter over HTTP so many times, once each whatever happens, and kills a node half-way. */
export async function incrementAcross({ doomed, others }, object, times) {
  const counter = client([others[1].url]).object(object);
  for (let n = 1; n <= times; n += 1) {
    if (n === Math.floor(times / 2)) await doomed.kill();
    await counter.call("increment");
  }
}

/** Whether these are the versions from `first` to `last`, each once and in order. */
export function isEachOnce(versions, first, last) {
  return versions.length === last - first + 1 && versions.every((version, index) => version === first + index);
}
