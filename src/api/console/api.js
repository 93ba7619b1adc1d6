/** How the page reaches its server: the JavaScript client, and plain questions. */

import { SteadError, connect } from "./client/stead.js";

export { SteadError };

/** How long a question may take. Milliseconds. */
const PATIENCE = 5_000;

/** The page's own server is the only one that a browser lets it reach: others are foreign origins. */
export const stead = connect({ servers: [location.origin], timing: { reconnectMin: 300, reconnectMax: 2_000 } });

/** @param {string} path @returns {Promise<any>} the JSON of an answer @throws SteadError */
export async function ask(path) {
  let answer;
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE), cache: "no-store" });
  } catch (cause) {
    throw new SteadError({ code: "unreachable", detail: "the server does not answer", retry: "safe", cause });
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const { code = "unexpected_answer", detail = `the server answered ${answer.status}`, retry = "unknown" } = body;
  throw new SteadError({ status: answer.status, code, detail, retry });
}
