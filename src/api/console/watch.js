/**
 * The cluster as this node sees it, asked again and again while the page is looked at.
 *
 * Whoever listens is told what came, or since when there is no answer. One question is under way at a time.
 */

import { ask } from "./api.js";

/** Between two looks. Milliseconds. */
const PAUSE = 1_000;
/** One look may fail, say of a question that was under way when a leader died. */
const FAILURES_MAX = 1;

/**
 * @typedef {object} Look
 * @property {any} cluster
 * @property {any[]} nodes
 * @property {any[]} shards
 * @property {number | null} silentSince since when the server does not answer; what else is here is older
 */

/** @type {Set<(look: Look) => void>} */
const listeners = new Set();
/** @type {Look | undefined} */
let last;
let timer;
let isAsking = false;
let failures = 0;
/** When the first of these failed. */
let failedAt = 0;

/** @param {(look: Look) => void} listener @returns {() => void} ends it */
export function watch(listener) {
  listeners.add(listener);
  if (last !== undefined) listener(last);
  return () => listeners.delete(listener);
}

/** Begins, for as long as the page is there. */
export function beginWatching() {
  document.addEventListener("visibilitychange", look);
  void look();
}

async function look() {
  clearTimeout(timer);
  if (document.visibilityState === "hidden" || isAsking) return;
  isAsking = true;
  try {
    const [cluster, { nodes }, { shards }] = await Promise.all([ask("/v1/cluster"), ask("/v1/nodes"), ask("/v1/shards")]);
    failures = 0;
    last = { cluster, nodes, shards, silentSince: null };
  } catch {
    if (failures === 0) failedAt = Date.now();
    failures += 1;
    if (failures > FAILURES_MAX) last = { ...(last ?? { cluster: undefined, nodes: [], shards: [] }), silentSince: failedAt };
  }
  isAsking = false;
  timer = setTimeout(look, PAUSE);
  if (last !== undefined) for (const listener of listeners) listener(last);
}
